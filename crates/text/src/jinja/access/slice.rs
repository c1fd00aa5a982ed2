//! Slices, as Python counts.

use crate::jinja::error::{Error, Result};
use crate::jinja::meter::Meter;
use crate::jinja::value::{List, Value};

/// `value[start:stop:step]`, as Python counts.
pub fn slice(value: &Value, ends: [&Value; 3], meter: &Meter) -> Result<Value> {
    let letters: Vec<char> = match value.as_text() {
        Some(text) => {
            meter.charge((size_of::<char>() + size_of::<usize>()) * text.len())?;
            text.chars().collect()
        }
        None => Vec::new(),
    };
    let length = match value {
        Value::Undefined(what) => return Err(Error::operation(&**what)),
        Value::Text(_) | Value::Safe(_) => letters.len(),
        Value::List(list) | Value::Tuple(list) | Value::View("range", list) => list.items.len(),
        other => {
            // As Jinja2 has it of what cannot be cut.
            let what = format!("'{} object' cannot be sliced", other.type_name());
            return Ok(Value::Undefined(what.into()));
        }
    };
    let mut numbers = [None; 3];
    for (number, end) in numbers.iter_mut().zip(ends) {
        *number = match end {
            Value::None => None,
            other => Some(other.as_int().ok_or_else(|| {
                Error::operation(
                    "slice indices must be integers or None or have an __index__ method",
                )
            })?),
        };
    }
    let [start, stop, step] = numbers;
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(Error::operation("slice step cannot be zero"));
    }
    let length = length as i128;
    let (least, most) = if step > 0 {
        (0, length)
    } else {
        (-1, length - 1)
    };
    let place = |end: Option<i128>, default: i128| match end {
        None => default,
        Some(end) if end < 0 => (end.saturating_add(length)).max(least),
        Some(end) => end.min(most),
    };
    let (mut at, stop) = match step > 0 {
        true => (place(start, 0), place(stop, length)),
        false => (place(start, length - 1), place(stop, -1)),
    };
    let mut places = Vec::new();
    while if step > 0 { at < stop } else { at > stop } {
        places.push(at as usize);
        at = at.saturating_add(step);
    }
    let items = |list: &List| places.iter().map(|at| list.items[*at].clone()).collect();
    match value {
        Value::List(list) => meter.list(items(list)),
        Value::Tuple(list) => meter.tuple(items(list)),
        Value::View(name, list) => meter.view(name, items(list)),
        _ => {
            let text: String = places.iter().map(|at| letters[*at]).collect();
            meter.charge(text.len())?;
            Ok(match value {
                Value::Safe(_) => Value::Safe(text.into()),
                _ => Value::text(text),
            })
        }
    }
}
