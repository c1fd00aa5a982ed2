//! Python's values, as templates see them.

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::rc::Rc;
use std::sync::Arc;

use indexmap::IndexMap;

use super::ast::{For, Macro};
use super::error::{Error, Result};
use super::eval::Scope;
use super::meter::{MUTABLE_DEPTH, Meter};
use super::number::{float_text, whole};

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
                size(text.len())?;
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
            Self::Loop(state) => {
                let rest = state.items.get(state.index.get() + 1..).unwrap_or_default();
                Ok(rest.to_vec())
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

    /// `==`
    pub fn equals(&self, other: &Self, meter: &Meter) -> Result<bool> {
        meter.step(1)?;
        Ok(match (self, other) {
            (Self::Undefined(_), Self::Undefined(_)) | (Self::None, Self::None) => true,
            (Self::Text(a) | Self::Safe(a), Self::Text(b) | Self::Safe(b)) => {
                meter.scan(a.len().min(b.len()))?;
                a == b
            }
            (Self::List(a), Self::List(b)) | (Self::Tuple(a), Self::Tuple(b)) => {
                if a.items.len() != b.items.len() {
                    return Ok(false);
                }
                for (a, b) in a.items.iter().zip(&b.items) {
                    if !a.equals(b, meter)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Self::Dict(a), Self::Dict(b)) => {
                if a.entries.len() != b.entries.len() {
                    return Ok(false);
                }
                for (key, (_, value)) in &a.entries {
                    match b.entries.get(key) {
                        Some((_, other)) if value.equals(other, meter)? => {}
                        _ => return Ok(false),
                    }
                }
                true
            }
            (Self::View(name, a), Self::View(other, b)) if name == other => {
                let (a, b) = (Self::List(a.clone()), Self::List(b.clone()));
                a.equals(&b, meter)?
            }
            (Self::Function(a), Self::Function(b)) => a == b,
            _ => match (
                self.as_int(),
                other.as_int(),
                self.as_float(),
                other.as_float(),
            ) {
                (Some(a), Some(b), ..) => a == b,
                (_, _, Some(a), Some(b)) => a == b,
                _ => self.same(other),
            },
        })
    }

    /// Whether both are one object, as far as that can be told.
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::None, Self::None) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::List(a), Self::List(b)) | (Self::Tuple(a), Self::Tuple(b)) => Rc::ptr_eq(a, b),
            (Self::Dict(a), Self::Dict(b)) => Rc::ptr_eq(a, b),
            (Self::Namespace(a), Self::Namespace(b)) => Rc::ptr_eq(a, b),
            (Self::Generator(a), Self::Generator(b)) => Rc::ptr_eq(a, b),
            (Self::Loop(a), Self::Loop(b)) => Rc::ptr_eq(a, b),
            (Self::Macro(a), Self::Macro(b)) => Rc::ptr_eq(a, b),
            _ => false,
        }
    }

    /// `<`, `>` and the like; nothing where a number is not one.
    pub fn compare(&self, other: &Self, meter: &Meter) -> Result<Option<Ordering>> {
        meter.step(1)?;
        match (self, other) {
            (Self::Undefined(what), _) | (_, Self::Undefined(what)) => {
                Err(Error::operation(&**what))
            }
            (Self::Text(a) | Self::Safe(a), Self::Text(b) | Self::Safe(b)) => {
                meter.scan(a.len().min(b.len()))?;
                Ok(Some(a.cmp(b)))
            }
            (Self::List(a), Self::List(b)) | (Self::Tuple(a), Self::Tuple(b)) => {
                for (a, b) in a.items.iter().zip(&b.items) {
                    if !a.equals(b, meter)? {
                        return a.compare(b, meter);
                    }
                }
                Ok(Some(a.items.len().cmp(&b.items.len())))
            }
            _ => match (
                self.as_int(),
                other.as_int(),
                self.as_float(),
                other.as_float(),
            ) {
                (Some(a), Some(b), ..) => Ok(Some(a.cmp(&b))),
                (_, _, Some(a), Some(b)) => Ok(a.partial_cmp(&b)),
                _ => Err(Error::operation(format!(
                    "'{}' and '{}' cannot be compared by order",
                    self.type_name(),
                    other.type_name()
                ))),
            },
        }
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

    /// What `str` makes of it.
    pub fn to_text(&self, meter: &Meter) -> Result<Rc<str>> {
        if let Some(text) = self.as_text() {
            return Ok(text.clone());
        }
        let mut out = String::new();
        self.write(&mut out, meter)?;
        meter.charge(out.len())?;
        Ok(out.into())
    }

    /// Adds what `str` makes of it.
    pub fn write(&self, out: &mut String, meter: &Meter) -> Result<()> {
        match self {
            Self::Undefined(_) => Ok(()),
            Self::Text(text) | Self::Safe(text) => {
                meter.charge(text.len())?;
                out.push_str(text);
                Ok(())
            }
            other => other.write_repr(out, meter),
        }
    }

    /// Adds what `repr` makes of it.
    pub fn write_repr(&self, out: &mut String, meter: &Meter) -> Result<()> {
        meter.charge(16)?;
        let list = |out: &mut String, list: &List, open: &str, close: &str| {
            out.push_str(open);
            for (index, item) in list.items.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                item.write_repr(out, meter)?;
            }
            out.push_str(close);
            Ok(())
        };
        match self {
            Self::Undefined(_) => out.push_str("Undefined"),
            Self::None => out.push_str("None"),
            Self::Bool(value) => out.push_str(if *value { "True" } else { "False" }),
            Self::Int(number) => out.push_str(&number.to_string()),
            Self::Float(number) => out.push_str(&float_text(*number)),
            Self::Text(text) => write_quoted(text, out, meter)?,
            Self::Safe(text) => {
                out.push_str("Markup(");
                write_quoted(text, out, meter)?;
                out.push(')');
            }
            Self::List(items) => list(out, items, "[", "]")?,
            Self::Tuple(items) if items.items.len() == 1 => list(out, items, "(", ",)")?,
            Self::Tuple(items) => list(out, items, "(", ")")?,
            Self::View(name, items) if *name != "range" => {
                out.push_str(name);
                list(out, items, "([", "])")?;
            }
            Self::Dict(dict) => {
                out.push('{');
                for (index, (key, value)) in dict.entries.values().enumerate() {
                    out.push_str(if index > 0 { ", " } else { "" });
                    key.write_repr(out, meter)?;
                    out.push_str(": ");
                    value.write_repr(out, meter)?;
                }
                out.push('}');
            }
            other => {
                return Err(Error::operation(format!(
                    "'{}' has no text: Python would print its place in memory",
                    other.type_name()
                )));
            }
        }
        Ok(())
    }
}

/// Python's quotes and escapes around a text.
fn write_quoted(text: &str, out: &mut String, meter: &Meter) -> Result<()> {
    meter.charge(text.len())?;
    let quote = match text.contains('\'') && !text.contains('"') {
        true => '"',
        false => '\'',
    };
    out.push(quote);
    for letter in text.chars() {
        match letter {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            letter if letter == quote => out.extend(['\\', letter]),
            letter if printable(letter) => out.push(letter),
            letter => {
                let code = u32::from(letter);
                out.push_str(&match code {
                    0..=0xff => format!("\\x{code:02x}"),
                    0x100..=0xffff => format!("\\u{code:04x}"),
                    _ => format!("\\U{code:08x}"),
                });
            }
        }
    }
    out.push(quote);
    Ok(())
}

/// What `str.isprintable` says of a letter. Rust's own escapes follow the same table, but that a letter which joins
/// the one before it is only shown as it is behind one.
pub(super) fn printable(letter: char) -> bool {
    match letter {
        '\'' | '"' | '\\' => true,
        letter => format!("a{letter}").escape_debug().nth(1) == Some(letter),
    }
}
