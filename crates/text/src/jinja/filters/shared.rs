//! What several filters are made of.

use crate::jinja::access::item;
use crate::jinja::error::{Error, Result};
use crate::jinja::given::Given;
use crate::jinja::meter::Meter;
use crate::jinja::value::Value;

/// What is said of a filter by another name.
pub fn unknown(name: &str) -> Error {
    Error::operation(format!("the filter `{name}` is not known here"))
}

/// For a filter that takes no argument.
pub fn bare(name: &str, given: Given) -> Result<()> {
    given.bind(name, [], 0).map(|_| ())
}

/// Whether a truth was given.
pub fn truthy(value: &Option<Value>) -> bool {
    value.as_ref().is_some_and(Value::truth)
}

/// What is said of a value that a filter does not take.
pub fn wrong(name: &str, value: &Value) -> Error {
    match value {
        Value::Undefined(what) => Error::operation(&**what),
        value => Error::operation(format!(
            "{name} does not take a value of type '{}'",
            value.type_name()
        )),
    }
}

/// What `attribute` says of an item, such as `function.name` or `0`; the item itself where it says nothing.
pub fn fetch(
    value: &Value,
    attribute: Option<&Value>,
    default: Option<&Value>,
    meter: &Meter,
) -> Result<Value> {
    let default_of = |found: Value| match default {
        Some(default) if found.is_undefined() => default.clone(),
        _ => found,
    };
    let attribute = match attribute {
        None | Some(Value::None) => return Ok(value.clone()),
        Some(attribute) => attribute,
    };
    let Some(path) = attribute.as_text() else {
        return Ok(default_of(item(value, attribute, meter)?));
    };
    let mut value = value.clone();
    for part in path.split('.') {
        meter.step(1)?;
        let key = match part.parse::<i128>() {
            Ok(number) if part.bytes().all(|byte| byte.is_ascii_digit()) => Value::Int(number),
            _ => meter.text(part)?,
        };
        value = default_of(item(&value, &key, meter)?);
    }
    Ok(value)
}
