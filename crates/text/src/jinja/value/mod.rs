//! Python's values, as templates see them.

pub mod float;
pub mod make;
mod order;
pub mod text;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use indexmap::IndexMap;

use super::ast::{For, Macro};
use super::error::{Error, Result};
use super::meter::Meter;
use float::whole;

/// What a namespace, or another value that changes, counts as: one cannot hold another, so that no chain of them grows.
pub const MUTABLE_DEPTH: u16 = 100;

#[derive(Clone)]
pub enum Value {
    /// What is missing, in words.
    Undefined(Rc<str>),
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Rc<str>),
    /// Text that `safe` or `escape` made, which escapes what is added to it.
    Safe(Rc<str>),
    List(Rc<List>),
    Tuple(Rc<List>),
    Dict(Rc<Dict>),
    /// What `range`, or a dict's `keys`, `values` or `items` gives: read as often as one likes.
    View(&'static str, Rc<List>),
    /// What `map`, `select` and the like give: read once.
    Generator(Rc<Generator>),
    Namespace(Rc<Namespace>),
    Loop(Rc<Loop>),
    Cycler(Rc<Cycler>),
    Joiner(Rc<Joiner>),
    Macro(Rc<MacroValue>),
    /// A method that is not called yet.
    Method(Rc<(Value, Rc<str>)>),
    /// A function of the program.
    Function(&'static str),
}

/// Items, and how deep the lists within them are nested.
pub struct List {
    pub items: Vec<Value>,
    pub depth: u16,
}

/// A dict's key, by what it equals.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Key {
    None,
    Int(i128),
    /// The bits of a float that is no whole number.
    Float(u64),
    Text(Rc<str>),
    Tuple(Vec<Key>),
}

pub struct Dict {
    /// Each key as it was given, and its value.
    pub entries: IndexMap<Key, (Value, Value)>,
    pub depth: u16,
}

pub struct Generator {
    pub items: RefCell<std::vec::IntoIter<Value>>,
    pub depth: u16,
}

#[derive(Default)]
pub struct Namespace {
    pub fields: RefCell<IndexMap<Rc<str>, Value>>,
}

pub struct Loop {
    pub items: Vec<Value>,
    pub index: Cell<usize>,
    pub level: usize,
    /// What `loop.changed` was last given.
    pub last: RefCell<Option<Value>>,
    /// Where it is recursive: the statement that runs it, and the scope around it.
    pub recursive: Option<(Arc<For>, Scope)>,
}

pub struct Cycler {
    pub items: Vec<Value>,
    pub at: Cell<usize>,
}

pub struct Joiner {
    pub separator: Value,
    pub used: Cell<bool>,
}

pub struct MacroValue {
    pub definition: Arc<Macro>,
    pub scope: Scope,
}

/// Variables, and those around them.
pub type Scope = Rc<Variables>;

#[derive(Default)]
pub struct Variables {
    pub own: RefCell<HashMap<Arc<str>, Value>>,
    pub around: Option<Scope>,
}

/// Variables of their own within others.
pub fn within(scope: &Scope) -> Scope {
    Rc::new(Variables {
        own: RefCell::default(),
        around: Some(scope.clone()),
    })
}

impl Value {
    pub fn text(text: impl AsRef<str>) -> Self {
        Self::Text(text.as_ref().into())
    }

    /// The letters of a text.
    pub fn as_text(&self) -> Option<&Rc<str>> {
        match self {
            Self::Text(text) | Self::Safe(text) => Some(text),
            _ => None,
        }
    }

    /// A whole number; true and false count as 1 and 0.
    pub fn as_int(&self) -> Option<i128> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Bool(value) => Some(i128::from(*value)),
            _ => None,
        }
    }

    /// Any number.
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Self::Float(number) => Some(*number),
            other => other.as_int().map(|number| number as f64),
        }
    }

    pub fn is_undefined(&self) -> bool {
        matches!(self, Self::Undefined(_))
    }

    /// How deep lists are nested in it.
    pub fn depth(&self) -> u16 {
        match self {
            Self::List(list) | Self::Tuple(list) | Self::View(_, list) => list.depth,
            Self::Dict(dict) => dict.depth,
            Self::Generator(items) => items.depth,
            Self::Namespace(_) | Self::Loop(_) | Self::Cycler(_) | Self::Joiner(_) => MUTABLE_DEPTH,
            Self::Method(method) => method.0.depth(),
            _ => 0,
        }
    }

    /// Python's name of its type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Undefined(_) => "Undefined",
            Self::None => "NoneType",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Text(_) => "str",
            Self::Safe(_) => "Markup",
            Self::List(_) => "list",
            Self::Tuple(_) => "tuple",
            Self::Dict(_) => "dict",
            Self::View(name, _) => name,
            Self::Generator(_) => "generator",
            Self::Namespace(_) => "Namespace",
            Self::Loop(_) => "LoopContext",
            Self::Cycler(_) => "Cycler",
            Self::Joiner(_) => "Joiner",
            Self::Macro(_) => "Macro",
            Self::Method(_) => "builtin_function_or_method",
            Self::Function(_) => "function",
        }
    }

    pub fn truth(&self) -> bool {
        match self {
            Self::Undefined(_) | Self::None => false,
            Self::Bool(value) => *value,
            Self::Int(number) => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::Text(text) | Self::Safe(text) => !text.is_empty(),
            Self::List(list) | Self::Tuple(list) | Self::View(_, list) => !list.items.is_empty(),
            Self::Dict(dict) => !dict.entries.is_empty(),
            _ => true,
        }
    }

    /// How many items it has, by `len`.
    pub fn len(&self) -> Option<usize> {
        match self {
            Self::Undefined(_) => Some(0),
            Self::Text(text) | Self::Safe(text) => Some(text.chars().count()),
            Self::List(list) | Self::Tuple(list) | Self::View(_, list) => Some(list.items.len()),
            Self::Dict(dict) => Some(dict.entries.len()),
            Self::Loop(state) => Some(state.items.len()),
            _ => None,
        }
    }

    /// The items to go through, in a new list; of a generator, those not read yet.
    pub fn items(&self, meter: &Meter) -> Result<Vec<Value>> {
        let size = |count: usize| meter.charge(count * size_of::<Value>());
        match self {
            Self::Undefined(_) => Ok(Vec::new()),
            Self::Text(text) | Self::Safe(text) => {
                // Each letter is a text of its own.
                size(2 * text.len())?;
                let mut buffer = [0; 4];
                Ok(text
                    .chars()
                    .map(|letter| Value::text(letter.encode_utf8(&mut buffer)))
                    .collect())
            }
            Self::List(list) | Self::Tuple(list) | Self::View(_, list) => {
                size(list.items.len())?;
                Ok(list.items.clone())
            }
            Self::Dict(dict) => {
                size(dict.entries.len())?;
                Ok(dict.entries.values().map(|(key, _)| key.clone()).collect())
            }
            Self::Generator(generator) => {
                let items: Vec<Value> = generator.items.borrow_mut().by_ref().collect();
                size(items.len())?;
                Ok(items)
            }
            other => Err(Error::operation(format!(
                "'{}' object is not iterable",
                other.type_name()
            ))),
        }
    }

    /// The key of a dict that it is.
    pub fn key(&self, meter: &Meter) -> Result<Key> {
        meter.step(1)?;
        Ok(match self {
            Self::None => Key::None,
            Self::Bool(value) => Key::Int(i128::from(*value)),
            Self::Int(number) => Key::Int(*number),
            Self::Float(number) => match whole(*number) {
                Some(number) => Key::Int(number),
                None => Key::Float(number.to_bits()),
            },
            Self::Text(text) | Self::Safe(text) => {
                meter.scan(text.len())?;
                Key::Text(text.clone())
            }
            Self::Tuple(list) => {
                let keys = list.items.iter().map(|item| item.key(meter));
                Key::Tuple(keys.collect::<Result<_>>()?)
            }
            other => {
                return Err(Error::operation(format!(
                    "unhashable type: '{}'",
                    other.type_name()
                )));
            }
        })
    }

    /// `in`
    pub fn contains(&self, item: &Self, meter: &Meter) -> Result<bool> {
        match self {
            Self::Text(text) | Self::Safe(text) => match item.as_text() {
                Some(part) => {
                    meter.scan(text.len())?;
                    Ok(text.contains(&**part))
                }
                None => Err(Error::operation(format!(
                    "'in <string>' requires string as left operand, not {}",
                    item.type_name()
                ))),
            },
            Self::Dict(dict) => Ok(dict.entries.contains_key(&item.key(meter)?)),
            Self::List(list) | Self::Tuple(list) | Self::View(_, list) => {
                for found in &list.items {
                    if found.equals(item, meter)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            other => {
                for found in other.items(meter)? {
                    if found.equals(item, meter)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }
}
