//! Filters that give a number.

use super::shared::{bare, unknown, wrong};
use crate::jinja::error::{Error, Result};
use crate::jinja::given::{Given, int_or, text_of};
use crate::jinja::lexer::python_space;
use crate::jinja::ops::too_large;
use crate::jinja::value::Value;
use crate::jinja::value::float::whole;

pub(super) const NAMES: [&str; 4] = ["abs", "float", "int", "round"];

pub(super) fn apply(name: &str, value: &Value, given: Given) -> Result<Value> {
    Ok(match name {
        "abs" => {
            bare(name, given)?;
            match (value.as_int(), value.as_float()) {
                (Some(number), _) => Value::Int(number.checked_abs().ok_or_else(too_large)?),
                (_, Some(number)) => Value::Float(number.abs()),
                _ => return Err(wrong(name, value)),
            }
        }
        "float" => {
            let [default] = given.bind(name, ["default"], 0)?;
            let number = match value {
                Value::Undefined(what) => return Err(Error::operation(&**what)),
                Value::Text(text) | Value::Safe(text) => parse_float(text),
                value => value.as_float(),
            };
            number
                .map(Value::Float)
                .or(default)
                .unwrap_or(Value::Float(0.0))
        }
        "int" => {
            let [default, base] = given.bind(name, ["default", "base"], 0)?;
            let base = int_or(base, 10, name)?;
            let number = match value {
                Value::Undefined(what) => return Err(Error::operation(&**what)),
                Value::Text(text) | Value::Safe(text) => {
                    parse_int(text, base).or_else(|| whole(parse_float(text)?.trunc()))
                }
                value => value.as_int().or_else(|| whole(value.as_float()?.trunc())),
            };
            number.map(Value::Int).or(default).unwrap_or(Value::Int(0))
        }
        "round" => {
            let [precision, method] = given.bind(name, ["precision", "method"], 0)?;
            let precision = int_or(precision, 0, name)?.clamp(-400, 400) as i32;
            let method = method.map_or_else(|| Ok("common".into()), |it| text_of(&it, name))?;
            let number = value.as_float().ok_or_else(|| wrong(name, value))?;
            let scale = 10f64.powi(precision);
            match (&*method, value) {
                ("common", Value::Int(_) | Value::Bool(_)) if precision >= 0 => {
                    Value::Int(value.as_int().unwrap_or(0))
                }
                ("common", _) if precision < 0 => {
                    let rounded = (number * scale).round_ties_even() / scale;
                    match value.as_int() {
                        Some(_) => Value::Int(rounded as i128),
                        None => Value::Float(rounded),
                    }
                }
                ("common", _) => {
                    let text = format!("{number:.*}", precision as usize);
                    Value::Float(text.parse().unwrap_or(number))
                }
                ("ceil", _) => Value::Float((number * scale).ceil() / scale),
                ("floor", _) => Value::Float((number * scale).floor() / scale),
                _ => return Err(Error::operation("method must be common, ceil or floor")),
            }
        }
        other => return Err(unknown(other)),
    })
}

/// Python's `float` of a text.
fn parse_float(text: &str) -> Option<f64> {
    let text = text.trim_matches(python_space);
    let grouped = text.contains('_');
    let text = digits(text)?;
    let text = text.strip_prefix('+').unwrap_or(&text);
    let lower = text.to_ascii_lowercase();
    match lower.trim_start_matches('-') {
        "inf" | "infinity" | "nan" if !grouped => lower.parse().ok(),
        rest if rest.starts_with(|letter: char| letter.is_ascii_digit() || letter == '.') => {
            text.parse().ok()
        }
        _ => None,
    }
}

/// A text without the `_` between its digits; nothing where they stand elsewhere.
fn digits(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let between = |at: usize| {
        let digit = |at: Option<usize>| {
            at.and_then(|at| bytes.get(at))
                .is_some_and(u8::is_ascii_hexdigit)
        };
        digit(at.checked_sub(1)) && digit(Some(at + 1))
    };
    let fits = bytes
        .iter()
        .enumerate()
        .all(|(at, byte)| *byte != b'_' || between(at));
    fits.then(|| text.replace('_', ""))
}

/// Python's `int` of a text.
fn parse_int(text: &str, base: i128) -> Option<i128> {
    let text = digits(text.trim_matches(python_space))?;
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(&text)),
    };
    let lower = rest.to_ascii_lowercase();
    let prefixed = [("0x", 16), ("0o", 8), ("0b", 2)];
    let found = prefixed
        .iter()
        .find(|(prefix, radix)| lower.starts_with(prefix) && (base == 0 || base == *radix));
    let (rest, base) = match found {
        Some((prefix, radix)) => (&lower[prefix.len()..], *radix),
        None => (&*lower, if base == 0 { 10 } else { base }),
    };
    let base = u32::try_from(base)
        .ok()
        .filter(|base| (2..=36).contains(base))?;
    let number = i128::from_str_radix(rest, base)
        .ok()
        .filter(|_| !rest.starts_with(['-', '+']))?;
    Some(if negative { -number } else { number })
}
