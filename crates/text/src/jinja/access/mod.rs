//! How a value's attributes, items and slices are found.

pub mod names;
mod slice;

use std::rc::Rc;

use super::error::{Error, Result};
use super::meter::Meter;
use super::value::{Key, Loop, Value};

pub use slice::slice;

/// `value.name`: a method or field of that name, else the item of that key.
pub fn attribute(value: &Value, name: &Rc<str>, meter: &Meter) -> Result<Value> {
    if let Some(found) = own_attribute(value, name)? {
        return Ok(found);
    }
    match value {
        Value::Dict(dict) => {
            meter.step(1)?;
            match dict.entries.get(&Key::Text(name.clone())) {
                Some((_, value)) => Ok(value.clone()),
                None => missing(value, name, meter),
            }
        }
        _ => missing(value, name, meter),
    }
}

/// `value[key]`: the item of that key, else a method or field of that name.
pub fn item(value: &Value, key: &Value, meter: &Meter) -> Result<Value> {
    let at = |length: usize| {
        let index = key.as_int()?;
        let index = if index < 0 {
            index + length as i128
        } else {
            index
        };
        usize::try_from(index).ok().filter(|index| *index < length)
    };
    let found = match value {
        Value::Undefined(what) => return Err(Error::operation(&**what)),
        Value::Text(text) | Value::Safe(text) if key.as_int().is_some() => {
            meter.scan(text.len())?;
            let letter = at(text.chars().count()).and_then(|index| text.chars().nth(index));
            letter.map(|letter| Value::text(letter.to_string()))
        }
        Value::List(list) | Value::Tuple(list) | Value::View("range", list) => {
            at(list.items.len()).map(|index| list.items[index].clone())
        }
        Value::Dict(dict) => match key.key(meter) {
            Ok(key) => dict.entries.get(&key).map(|(_, value)| value.clone()),
            Err(_) => None,
        },
        _ => None,
    };
    if let Some(found) = found {
        return Ok(found);
    }
    let Some(name) = key.as_text() else {
        let mut text = String::new();
        key.write_repr(&mut text, meter)?;
        let what = format!("'{} object' has no element {text}", value.type_name());
        return Ok(Value::Undefined(what.into()));
    };
    match own_attribute(value, name)? {
        Some(found) => Ok(found),
        None => missing(value, name, meter),
    }
}

fn missing(value: &Value, name: &str, meter: &Meter) -> Result<Value> {
    meter.charge(name.len())?;
    let what = match value {
        Value::None => format!("'None' has no attribute '{name}'"),
        other => format!("'{} object' has no attribute '{name}'", other.type_name()),
    };
    Ok(Value::Undefined(what.into()))
}

/// What Python's `getattr` finds.
fn own_attribute(value: &Value, name: &Rc<str>) -> Result<Option<Value>> {
    if let Value::Undefined(what) = value {
        return Err(Error::operation(&**what));
    }
    if let Value::Loop(state) = value {
        return Ok(loop_field(state, name));
    }
    if let Value::Namespace(namespace) = value {
        return Ok(namespace.fields.borrow().get(name).cloned());
    }
    if let (Value::Macro(it), "name") = (value, &**name) {
        return Ok(Some(Value::text(&*it.definition.name)));
    }
    if let (Value::Cycler(it), "current") = (value, &**name) {
        return Ok(it.items.get(it.at.get()).cloned());
    }
    if let (Value::Tuple(group), "grouper" | "list") = (value, &**name) {
        // What `groupby` gives has these names beside its places.
        return Ok(group.items.get(usize::from(&**name == "list")).cloned());
    }
    let known = names::names(value).contains(&&**name);
    Ok(known.then(|| Value::Method(Rc::new((value.clone(), name.clone())))))
}

/// A field of `loop`.
fn loop_field(state: &Rc<Loop>, name: &Rc<str>) -> Option<Value> {
    let (index, length) = (state.index.get(), state.items.len());
    let number = |number: usize| Some(Value::Int(number as i128));
    let neighbour = |found: Option<&Value>, which: &str| {
        Some(
            found
                .cloned()
                .unwrap_or_else(|| Value::Undefined(format!("there is no {which} item").into())),
        )
    };
    match &**name {
        "index" => number(index + 1),
        "index0" => number(index),
        "revindex" => number(length - index),
        "revindex0" => number(length - index - 1),
        "first" => Some(Value::Bool(index == 0)),
        "last" => Some(Value::Bool(index + 1 == length)),
        "length" => number(length),
        "depth" => number(state.level + 1),
        "depth0" => number(state.level),
        "previtem" => neighbour(
            index.checked_sub(1).and_then(|at| state.items.get(at)),
            "previous",
        ),
        "nextitem" => neighbour(state.items.get(index + 1), "next"),
        "cycle" | "changed" => Some(Value::Method(Rc::new((
            Value::Loop(state.clone()),
            name.clone(),
        )))),
        _ => None,
    }
}

/// A dict's keys and values as tuples.
pub fn pairs(value: &Value, meter: &Meter) -> Result<Vec<Value>> {
    match value {
        Value::Dict(dict) => {
            let entries = dict.entries.values();
            entries
                .map(|(key, value)| meter.tuple(vec![key.clone(), value.clone()]))
                .collect()
        }
        Value::Undefined(_) => Ok(Vec::new()),
        _ => Err(Error::operation("Can only get item pairs from a mapping.")),
    }
}
