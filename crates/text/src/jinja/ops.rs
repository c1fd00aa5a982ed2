//! Python's operators.

use std::rc::Rc;

use super::ast::Binary;
use super::error::{Error, Result};
use super::meter::Meter;
use super::number::percent;
use super::value::{Value, text::escape};

/// A value's operator with another.
pub(super) fn binary(
    operator: Binary,
    left: &Value,
    right: &Value,
    meter: &Meter,
) -> Result<Value> {
    if let (Binary::Modulo, Value::Text(text)) = (operator, left) {
        return meter.text(percent(text, right, meter)?);
    }
    for value in [left, right] {
        if let Value::Undefined(what) = value {
            return Err(Error::operation(&**what));
        }
    }
    match (operator, left, right) {
        (Binary::Add, Value::Safe(_), Value::Text(_) | Value::Safe(_))
        | (Binary::Add, Value::Text(_), Value::Safe(_)) => {
            let mut joined = String::new();
            for value in [left, right] {
                match value {
                    Value::Text(text) => joined.push_str(&escape(text, meter)?),
                    other => other.write(&mut joined, meter)?,
                }
            }
            meter.charge(joined.len())?;
            return Ok(Value::Safe(joined.into()));
        }
        (Binary::Add, Value::Text(left), Value::Text(right)) => {
            meter.charge(left.len() + right.len())?;
            return Ok(Value::text([&**left, right].concat()));
        }
        (Binary::Add, Value::List(left), Value::List(right)) => {
            meter.charge((left.items.len() + right.items.len()) * size_of::<Value>())?;
            return meter.list([&left.items[..], &right.items].concat());
        }
        (Binary::Add, Value::Tuple(left), Value::Tuple(right)) => {
            meter.charge((left.items.len() + right.items.len()) * size_of::<Value>())?;
            return meter.tuple([&left.items[..], &right.items].concat());
        }
        (Binary::Multiply, value, times) | (Binary::Multiply, times, value)
            if times.as_int().is_some()
                && matches!(
                    value,
                    Value::Text(_) | Value::Safe(_) | Value::List(_) | Value::Tuple(_)
                ) =>
        {
            return repeat(value, times.as_int().unwrap_or(0), meter);
        }
        _ => {}
    }
    let wrong = |what: &str| Error::operation(what);
    if let (Some(a), Some(b)) = (left.as_int(), right.as_int()) {
        let whole = match operator {
            Binary::Add => a.checked_add(b),
            Binary::Subtract => a.checked_sub(b),
            Binary::Multiply => a.checked_mul(b),
            Binary::Divide | Binary::FloorDivide | Binary::Modulo if b == 0 => {
                return Err(wrong("division by zero"));
            }
            Binary::Divide => return Ok(Value::Float(a as f64 / b as f64)),
            Binary::FloorDivide => a
                .checked_div(b)
                .map(|it| it - i128::from(a % b != 0 && (a < 0) != (b < 0))),
            Binary::Modulo => a.checked_rem(b).map(|it| {
                if it != 0 && (it < 0) != (b < 0) {
                    it + b
                } else {
                    it
                }
            }),
            Binary::Power if b < 0 => return power(a as f64, b as f64),
            Binary::Power => u32::try_from(b).ok().and_then(|b| a.checked_pow(b)),
        };
        return whole.map(Value::Int).ok_or_else(too_large);
    }
    let (Some(a), Some(b)) = (left.as_float(), right.as_float()) else {
        let sign = match operator {
            Binary::Add => "+",
            Binary::Subtract => "-",
            Binary::Multiply => "*",
            Binary::Divide => "/",
            Binary::FloorDivide => "//",
            Binary::Modulo => "%",
            Binary::Power => "**",
        };
        return Err(wrong(&format!(
            "unsupported operand type(s) for {sign}: '{}' and '{}'",
            left.type_name(),
            right.type_name()
        )));
    };
    let floor = (a / b).floor();
    Ok(Value::Float(match operator {
        Binary::Add => a + b,
        Binary::Subtract => a - b,
        Binary::Multiply => a * b,
        Binary::Divide | Binary::FloorDivide | Binary::Modulo if b == 0.0 => {
            return Err(wrong("float division by zero"));
        }
        Binary::Divide => a / b,
        Binary::FloorDivide => floor,
        Binary::Modulo => {
            let rest = a % b;
            if rest != 0.0 && (rest < 0.0) != (b < 0.0) {
                rest + b
            } else {
                rest
            }
        }
        Binary::Power => return power(a, b),
    }))
}

pub(super) fn too_large() -> Error {
    Error::operation("an integer is larger than is supported")
}

fn power(a: f64, b: f64) -> Result<Value> {
    let power = a.powf(b);
    let wrong = match a.is_finite() && b.is_finite() {
        true if a == 0.0 && b < 0.0 => "0.0 cannot be raised to a negative power",
        true if power.is_nan() => "complex numbers are not supported",
        true if power.is_infinite() => "a number is larger than a float holds",
        _ => return Ok(Value::Float(power)),
    };
    Err(Error::operation(wrong))
}

fn repeat(value: &Value, times: i128, meter: &Meter) -> Result<Value> {
    let times = usize::try_from(times.max(0)).unwrap_or(usize::MAX);
    match value {
        Value::Text(text) | Value::Safe(text) => {
            meter.charge_times(text.len(), times)?;
            let text: Rc<str> = if text.is_empty() {
                "".into()
            } else {
                text.repeat(times).into()
            };
            Ok(match value {
                Value::Safe(_) => Value::Safe(text),
                _ => Value::Text(text),
            })
        }
        Value::List(list) | Value::Tuple(list) => {
            meter.charge_times(list.items.len() * size_of::<Value>(), times)?;
            let times = if list.items.is_empty() { 0 } else { times };
            let items = std::iter::repeat_n(&list.items, times)
                .flatten()
                .cloned()
                .collect();
            match value {
                Value::List(_) => meter.list(items),
                _ => meter.tuple(items),
            }
        }
        _ => Err(Error::operation("only texts and lists can be repeated")),
    }
}
