//! What a rendering may use: steps, memory and nesting. A template is a program of somebody else's.

use std::cell::Cell;
use std::rc::Rc;

use indexmap::IndexMap;

use super::error::{Error, Result};
use super::value::{Dict, Generator, Key, List, Value};

/// Expressions and statements that one rendering may run.
pub const MAX_STEPS: u64 = 10_000_000;

/// Bytes that one rendering may make, all its texts and lists together, those it has dropped too.
pub const MAX_BYTES: u64 = 512 << 20;

/// Bytes that it may write.
pub const MAX_OUTPUT: usize = 32 << 20;

/// How deep lists and dicts may be nested.
const MAX_DEPTH: u16 = 200;

/// What a namespace, or another value that changes, counts as: one cannot hold another, so that no chain of them grows.
pub(super) const MUTABLE_DEPTH: u16 = 100;

/// Steps for one byte that is only read, as a fraction.
const BYTES_A_STEP: u64 = 64;

/// Counts what a rendering uses.
#[derive(Default)]
pub struct Meter {
    steps: Cell<u64>,
    bytes: Cell<u64>,
}

impl Meter {
    pub(super) fn step(&self, count: u64) -> Result<()> {
        self.steps.set(self.steps.get().saturating_add(count));
        match self.steps.get() > MAX_STEPS {
            true => Err(Error::bound(format!(
                "it takes more than {MAX_STEPS} steps; does a loop end?"
            ))),
            false => Ok(()),
        }
    }

    /// For bytes that are read.
    pub(super) fn scan(&self, bytes: usize) -> Result<()> {
        self.step(bytes as u64 / BYTES_A_STEP)
    }

    /// For bytes that are made; asked before they are.
    pub(super) fn charge(&self, bytes: usize) -> Result<()> {
        self.bytes
            .set(self.bytes.get().saturating_add(bytes as u64));
        if self.bytes.get() > MAX_BYTES {
            let megabytes = MAX_BYTES >> 20;
            return Err(Error::bound(format!(
                "it makes more than {megabytes} MB of text and lists"
            )));
        }
        self.scan(bytes)
    }

    /// For `count` times `bytes`, which may be more than a number holds.
    pub(super) fn charge_times(&self, bytes: usize, count: usize) -> Result<()> {
        self.charge(bytes.saturating_mul(count))
    }

    pub(super) fn text(&self, text: impl AsRef<str>) -> Result<Value> {
        self.charge(text.as_ref().len())?;
        Ok(Value::text(text))
    }

    fn new_list(&self, items: Vec<Value>) -> Result<Rc<List>> {
        self.charge(size_of::<List>() + items.len() * size_of::<Value>())?;
        let depth = self.deeper(items.iter().map(Value::depth))?;
        Ok(Rc::new(List { items, depth }))
    }

    fn deeper(&self, depths: impl Iterator<Item = u16>) -> Result<u16> {
        let depth = 1 + depths.max().unwrap_or(0);
        match depth > MAX_DEPTH {
            true => Err(Error::bound(format!(
                "lists are nested deeper than {MAX_DEPTH}"
            ))),
            false => Ok(depth),
        }
    }

    pub(super) fn list(&self, items: Vec<Value>) -> Result<Value> {
        self.new_list(items).map(Value::List)
    }

    pub(super) fn tuple(&self, items: Vec<Value>) -> Result<Value> {
        self.new_list(items).map(Value::Tuple)
    }

    pub(super) fn view(&self, name: &'static str, items: Vec<Value>) -> Result<Value> {
        Ok(Value::View(name, self.new_list(items)?))
    }

    pub(super) fn generator(&self, items: Vec<Value>) -> Result<Value> {
        let depth = self.deeper(items.iter().map(Value::depth))?;
        Ok(Value::Generator(Rc::new(Generator {
            items: items.into_iter().into(),
            depth,
        })))
    }

    pub(super) fn dict(&self, entries: IndexMap<Key, (Value, Value)>) -> Result<Value> {
        self.charge(size_of::<Dict>() + entries.len() * 4 * size_of::<Value>())?;
        let depth = self.deeper(entries.values().map(|(_, value)| value.depth()))?;
        Ok(Value::Dict(Rc::new(Dict { entries, depth })))
    }

    /// A value of JSON.
    pub(super) fn json(&self, value: &serde_json::Value) -> Result<Value> {
        Ok(match value {
            serde_json::Value::Null => Value::None,
            serde_json::Value::Bool(value) => Value::Bool(*value),
            serde_json::Value::Number(number) => {
                match (number.as_i64(), number.as_u64(), number.as_f64()) {
                    (Some(number), ..) => Value::Int(number.into()),
                    (_, Some(number), _) => Value::Int(number.into()),
                    (.., number) => Value::Float(number.unwrap_or(f64::NAN)),
                }
            }
            serde_json::Value::String(text) => self.text(text)?,
            serde_json::Value::Array(items) => {
                let items = items.iter().map(|item| self.json(item));
                self.list(items.collect::<Result<_>>()?)?
            }
            serde_json::Value::Object(object) => {
                let entries = object.iter().map(|(name, value)| {
                    let name: Rc<str> = name.as_str().into();
                    Ok((
                        Key::Text(name.clone()),
                        (Value::Text(name), self.json(value)?),
                    ))
                });
                self.dict(entries.collect::<Result<_>>()?)?
            }
        })
    }
}
