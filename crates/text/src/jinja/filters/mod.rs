//! Jinja2's filters (`jinja2/filters.py`), but for those of web pages and chance.

mod each;
mod list;
mod number;
mod text;

use super::error::{Error, Result};
use super::eval::Run;
use super::given::Given;
use super::meter::Meter;
use super::ops::item;
use super::value::Value;

/// Whether [`apply`] knows a filter of that name.
pub(super) fn known(name: &str) -> bool {
    let names: [&[&str]; 4] = [&each::NAMES, &list::NAMES, &number::NAMES, &text::NAMES];
    names.iter().any(|names| names.contains(&name))
}

/// A value through a filter.
pub(super) fn apply(run: &mut Run<'_>, name: &str, value: Value, given: Given) -> Result<Value> {
    let meter = run.meter;
    meter.scan(8 * value.as_text().map_or(0, |text| text.len()))?;
    given.scan(meter)?;
    match name {
        _ if each::NAMES.contains(&name) => each::apply(run, name, &value, given),
        _ if list::NAMES.contains(&name) => list::apply(run, name, value, given),
        _ if number::NAMES.contains(&name) => number::apply(name, &value, given),
        _ => text::apply(run, name, value, given),
    }
}

fn unknown(name: &str) -> Error {
    Error::operation(format!("the filter `{name}` is not known here"))
}

/// For a filter that takes no argument.
fn bare(name: &str, given: Given) -> Result<()> {
    given.bind(name, [], 0).map(|_| ())
}

fn truthy(value: &Option<Value>) -> bool {
    value.as_ref().is_some_and(Value::truth)
}

/// What HTML escapes.
pub(super) fn escape(text: &str, meter: &Meter) -> Result<String> {
    meter.charge(6 * text.len())?;
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&#34;"),
            '\'' => escaped.push_str("&#39;"),
            letter => escaped.push(letter),
        }
    }
    Ok(escaped)
}

fn wrong(name: &str, value: &Value) -> Error {
    match value {
        Value::Undefined(what) => Error::operation(&**what),
        value => Error::operation(format!(
            "{name} does not take a value of type '{}'",
            value.type_name()
        )),
    }
}

/// What `attribute` says of an item, such as `function.name` or `0`; the item itself where it says nothing.
fn fetch(
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
