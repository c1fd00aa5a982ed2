//! Python's operators, and how a value's attributes, items and slices are found.

use std::rc::Rc;

use super::ast::Binary;
use super::error::{Error, Result};
use super::filters::escape;
use super::meter::Meter;
use super::methods;
use super::number::percent;
use super::value::{Key, List, Value};

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

/// `value.name`: a method or field of that name, else the item of that key.
pub(super) fn attribute(value: &Value, name: &Rc<str>, meter: &Meter) -> Result<Value> {
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
pub(super) fn item(value: &Value, key: &Value, meter: &Meter) -> Result<Value> {
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
        return Ok(methods::loop_field(state, name));
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
    let known = methods::names(value).contains(&&**name);
    Ok(known.then(|| Value::Method(Rc::new((value.clone(), name.clone())))))
}

/// `value[start:stop:step]`, as Python counts.
pub(super) fn slice(value: &Value, ends: [&Value; 3], meter: &Meter) -> Result<Value> {
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
