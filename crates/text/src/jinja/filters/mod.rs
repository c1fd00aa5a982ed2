//! Jinja2's filters (`jinja2/filters.py`), but for those of web pages and chance: those that put each item through
//! another filter or a test, and the way to all others.

mod list;
pub mod names;
mod number;
mod shared;
mod text;

use std::rc::Rc;

use super::error::{Error, Result};
use super::given::{Given, text_of};
use super::meter::Meter;
use super::predicates;
use super::value::Value;
use shared::fetch;

/// A value through a filter.
pub(super) fn apply(name: &str, value: Value, given: Given, meter: &Meter) -> Result<Value> {
    meter.scan(8 * value.as_text().map_or(0, |text| text.len()))?;
    given.scan(meter)?;
    match name {
        "map" => map(&value, given, meter),
        "select" | "reject" | "selectattr" | "rejectattr" => select(name, &value, given, meter),
        _ if list::NAMES.contains(&name) => list::apply(name, value, given, meter),
        _ if number::NAMES.contains(&name) => number::apply(name, &value, given),
        _ => text::apply(name, value, given, meter),
    }
}

/// What each item is given anew.
fn given_again(given: &Given, meter: &Meter) -> Result<Given> {
    let count = given.positional.len() + given.named.len();
    meter.charge(count * size_of::<Value>())?;
    Ok(given.clone())
}

fn map(value: &Value, mut given: Given, meter: &Meter) -> Result<Value> {
    let mut mapped = Vec::new();
    if !value.truth() {
        return meter.generator(mapped);
    }
    let by_attribute =
        given.positional.is_empty() && given.named.iter().any(|(name, _)| &**name == "attribute");
    if by_attribute {
        let [attribute, default] = given.bind("map", ["attribute", "default"], 0)?;
        let default = default.filter(|default| !matches!(default, Value::None));
        for found in value.items(meter)? {
            mapped.push(fetch(&found, attribute.as_ref(), default.as_ref(), meter)?);
        }
    } else {
        if given.positional.is_empty() {
            return Err(Error::operation("map requires a filter argument"));
        }
        let name = text_of(&given.positional.remove(0), "map")?;
        for found in value.items(meter)? {
            let given = given_again(&given, meter)?;
            // A filter that is mapped may be `map` itself.
            meter.enter()?;
            let found = apply(&name, found, given, meter);
            meter.leave();
            mapped.push(found?);
        }
    }
    meter.generator(mapped)
}

fn select(name: &str, value: &Value, mut given: Given, meter: &Meter) -> Result<Value> {
    if !value.truth() {
        return meter.generator(Vec::new());
    }
    let attribute = match name.ends_with("attr") {
        true if given.positional.is_empty() => {
            return Err(Error::operation("Missing parameter for attribute name"));
        }
        true => Some(given.positional.remove(0)),
        false => None,
    };
    let test: Option<Rc<str>> = match given.positional.is_empty() {
        true => None,
        false => Some(text_of(&given.positional.remove(0), name)?),
    };
    let mut kept = Vec::new();
    for found in value.items(meter)? {
        let looked_at = fetch(&found, attribute.as_ref(), None, meter)?;
        let holds = match &test {
            Some(test) => {
                meter.step(1)?;
                let given = given_again(&given, meter)?;
                predicates::apply(test, looked_at, given, meter)?
            }
            None => looked_at.truth(),
        };
        if holds == name.starts_with("select") {
            kept.push(found);
        }
    }
    meter.generator(kept)
}
