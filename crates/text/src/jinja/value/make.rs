//! Values that are made, which a [`Meter`] counts.

use std::rc::Rc;

use indexmap::IndexMap;

use super::{Dict, Generator, Key, List, Value};
use crate::jinja::error::{Error, Result};
use crate::jinja::meter::Meter;

/// How deep lists and dicts may be nested.
const MAX_DEPTH: u16 = 200;

impl Meter {
    pub fn text(&self, text: impl AsRef<str>) -> Result<Value> {
        self.charge(text.as_ref().len())?;
        Ok(Value::text(text))
    }

    fn new_list(&self, items: Vec<Value>) -> Result<Rc<List>> {
        self.charge(size_of::<List>() + items.len() * size_of::<Value>())?;
        let depth = self.nested(items.iter().map(Value::depth))?;
        Ok(Rc::new(List { items, depth }))
    }

    fn nested(&self, depths: impl Iterator<Item = u16>) -> Result<u16> {
        let depth = 1 + depths.max().unwrap_or(0);
        match depth > MAX_DEPTH {
            true => Err(Error::bound(format!(
                "lists are nested deeper than {MAX_DEPTH}"
            ))),
            false => Ok(depth),
        }
    }

    pub fn list(&self, items: Vec<Value>) -> Result<Value> {
        self.new_list(items).map(Value::List)
    }

    pub fn tuple(&self, items: Vec<Value>) -> Result<Value> {
        self.new_list(items).map(Value::Tuple)
    }

    pub fn view(&self, name: &'static str, items: Vec<Value>) -> Result<Value> {
        Ok(Value::View(name, self.new_list(items)?))
    }

    pub fn generator(&self, items: Vec<Value>) -> Result<Value> {
        let depth = self.nested(items.iter().map(Value::depth))?;
        Ok(Value::Generator(Rc::new(Generator {
            items: items.into_iter().into(),
            depth,
        })))
    }

    pub fn dict(&self, entries: IndexMap<Key, (Value, Value)>) -> Result<Value> {
        self.charge(size_of::<Dict>() + entries.len() * 4 * size_of::<Value>())?;
        let depth = self.nested(entries.values().map(|(_, value)| value.depth()))?;
        Ok(Value::Dict(Rc::new(Dict { entries, depth })))
    }

    /// A value of JSON.
    pub fn json(&self, value: &serde_json::Value) -> Result<Value> {
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

    /// A dict of named values.
    pub fn named_dict(&self, named: Vec<(Rc<str>, Value)>) -> Result<Value> {
        let mut dict = IndexMap::new();
        for (name, value) in named {
            insert(&mut dict, Value::Text(name), value, self)?;
        }
        self.dict(dict)
    }
}

/// Puts a value into a dict, whose older key stays.
pub fn insert(
    entries: &mut IndexMap<Key, (Value, Value)>,
    key: Value,
    value: Value,
    meter: &Meter,
) -> Result<()> {
    match entries.entry(key.key(meter)?) {
        indexmap::map::Entry::Occupied(mut entry) => entry.get_mut().1 = value,
        indexmap::map::Entry::Vacant(entry) => {
            entry.insert((key, value));
        }
    }
    Ok(())
}
