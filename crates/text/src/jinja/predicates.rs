//! Jinja2's tests (`jinja2/tests.py`): what may stand behind `is`.

use std::cmp::Ordering;

use super::ast::Binary;
use super::error::{Error, Result};
use super::filters::names;
use super::given::{Given, text_of};
use super::meter::Meter;
use super::ops::binary;
use super::value::Value;

/// The tests of a value alone that [`apply`] knows.
const ALONE: [&str; 21] = [
    "odd",
    "even",
    "defined",
    "undefined",
    "filter",
    "test",
    "none",
    "boolean",
    "false",
    "true",
    "integer",
    "float",
    "lower",
    "upper",
    "string",
    "mapping",
    "number",
    "sequence",
    "iterable",
    "callable",
    "escaped",
];

/// Those of a value beside another.
const BESIDE: [&str; 18] = [
    "divisibleby",
    "sameas",
    "in",
    "==",
    "eq",
    "equalto",
    "!=",
    "ne",
    ">",
    "gt",
    "greaterthan",
    "ge",
    ">=",
    "<",
    "lt",
    "lessthan",
    "<=",
    "le",
];

/// Whether [`apply`] knows the test.
pub(super) fn known(name: &str) -> bool {
    ALONE.contains(&name) || BESIDE.contains(&name)
}

/// Whether a value passes a test.
pub(super) fn apply(name: &str, value: Value, given: Given, meter: &Meter) -> Result<bool> {
    meter.scan(8 * value.as_text().map_or(0, |text| text.len()))?;
    given.scan(meter)?;
    let other = match BESIDE.contains(&name) {
        true => {
            let [other] = given.bind(name, ["other"], 1)?;
            other.unwrap_or(Value::None)
        }
        false => {
            given.bind(name, [], 0)?;
            Value::None
        }
    };
    let rest = |by: Value| binary(Binary::Modulo, &value, &by, meter);
    let compared = |fits: fn(Ordering) -> bool| Ok(value.compare(&other, meter)?.is_some_and(fits));
    match name {
        "odd" => rest(Value::Int(2))?.equals(&Value::Int(1), meter),
        "even" => rest(Value::Int(2))?.equals(&Value::Int(0), meter),
        "divisibleby" => rest(other)?.equals(&Value::Int(0), meter),
        "defined" => Ok(!value.is_undefined()),
        "undefined" => Ok(value.is_undefined()),
        "filter" => Ok(names::known(&text_of(&value, name)?)),
        "test" => Ok(known(&text_of(&value, name)?)),
        "none" => Ok(matches!(value, Value::None)),
        "boolean" => Ok(matches!(value, Value::Bool(_))),
        "false" => Ok(matches!(value, Value::Bool(false))),
        "true" => Ok(matches!(value, Value::Bool(true))),
        "integer" => Ok(matches!(value, Value::Int(_))),
        "float" => Ok(matches!(value, Value::Float(_))),
        "number" => Ok(value.as_float().is_some()),
        "lower" => Ok(in_one_case(
            &value.to_text(meter)?,
            char::is_lowercase,
            char::is_uppercase,
        )),
        "upper" => Ok(in_one_case(
            &value.to_text(meter)?,
            char::is_uppercase,
            char::is_lowercase,
        )),
        "string" => Ok(value.as_text().is_some()),
        "mapping" => Ok(matches!(value, Value::Dict(_))),
        "sequence" => Ok(match &value {
            Value::View(kind, _) => *kind == "range",
            Value::Loop(_) => false,
            value => value.len().is_some(),
        }),
        "iterable" => Ok(value.len().is_some() || matches!(value, Value::Generator(_))),
        "callable" => Ok(matches!(
            value,
            Value::Macro(_)
                | Value::Method(_)
                | Value::Function(_)
                | Value::Joiner(_)
                | Value::Loop(_)
                | Value::Undefined(_)
        )),
        "sameas" => Ok(value.same(&other)),
        "escaped" => Ok(matches!(value, Value::Safe(_) | Value::Macro(_))),
        "in" => other.contains(&value, meter),
        "==" | "eq" | "equalto" => value.equals(&other, meter),
        "!=" | "ne" => Ok(!value.equals(&other, meter)?),
        ">" | "gt" | "greaterthan" => compared(Ordering::is_gt),
        ">=" | "ge" => compared(Ordering::is_ge),
        "<" | "lt" | "lessthan" => compared(Ordering::is_lt),
        "<=" | "le" => compared(Ordering::is_le),
        other => Err(Error::operation(format!(
            "the test `{other}` is not known here"
        ))),
    }
}

/// Whether a text has letters of one case and none of the other.
fn in_one_case(text: &str, wanted: fn(char) -> bool, other: fn(char) -> bool) -> bool {
    text.chars().any(wanted) && !text.chars().any(other)
}
