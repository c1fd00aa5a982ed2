//! Python's two ways to fill a text's blanks: `%` and `str.format`.

use super::spec::{MAX_WIDTH, Spec, format_value, letter, number_in};
use crate::jinja::access::{attribute, item};
use crate::jinja::error::{Error, Result};
use crate::jinja::given::Given;
use crate::jinja::meter::Meter;
use crate::jinja::value::Value;
use crate::jinja::value::float::whole;

/// `text % values`
pub(in crate::jinja) fn percent(text: &str, values: &Value, meter: &Meter) -> Result<String> {
    let mut out = String::new();
    let list = match values {
        Value::Tuple(list) => list.items.clone(),
        other => vec![other.clone()],
    };
    let mut list = list.into_iter();
    let mut by_name = false;
    let mut letters = text.chars().peekable();
    while let Some(letter_read) = letters.next() {
        if letter_read != '%' {
            out.push(letter_read);
            continue;
        }
        let mut named = None;
        if letters.next_if_eq(&'(').is_some() {
            let name: String = letters
                .by_ref()
                .take_while(|letter| *letter != ')')
                .collect();
            let Value::Dict(dict) = values else {
                return Err(Error::operation("format requires a mapping"));
            };
            let key = Value::text(&name).key(meter)?;
            let Some((_, value)) = dict.entries.get(&key) else {
                return Err(Error::operation(format!("KeyError: '{name}'")));
            };
            named = Some(value.clone());
            by_name = true;
        }
        let mut spec = Spec::default();
        while let Some(flag) = letters.next_if(|letter| "-+ #0".contains(*letter)) {
            match flag {
                '-' => spec.align = Some('<'),
                '#' => spec.alternate = true,
                '0' => spec.zero = true,
                sign if spec.sign != Some('+') => spec.sign = Some(sign),
                _ => {}
            }
        }
        let missing = || Error::operation("not enough arguments for format string");
        let star = |list: &mut std::vec::IntoIter<Value>| {
            let number = list.next().ok_or_else(missing)?.as_int();
            let number = number.ok_or_else(|| Error::operation("* wants int"))?;
            match usize::try_from(number)
                .ok()
                .filter(|number| *number <= MAX_WIDTH)
            {
                Some(number) => Ok(number),
                None => Err(Error::bound(format!(
                    "a width or precision is not from 0 to {MAX_WIDTH}"
                ))),
            }
        };
        spec.width = match letters.next_if_eq(&'*') {
            Some(_) => star(&mut list)?,
            None => number_in(&mut letters)?.unwrap_or(0),
        };
        if letters.next_if_eq(&'.').is_some() {
            spec.precision = Some(match letters.next_if_eq(&'*') {
                Some(_) => star(&mut list)?,
                None => number_in(&mut letters)?.unwrap_or(0),
            });
        }
        while letters.next_if(|letter| "hlL".contains(*letter)).is_some() {}
        let kind = letters
            .next()
            .ok_or_else(|| Error::operation("incomplete format"))?;
        if kind == '%' {
            out.push('%');
            continue;
        }
        let value = match named {
            Some(value) => value,
            None => list.next().ok_or_else(missing)?,
        };
        meter.charge_times(4, spec.width + spec.precision.unwrap_or(0))?;
        let number = |value: &Value| {
            value.as_float().ok_or_else(|| {
                Error::operation(format!(
                    "%{kind} format: a real number is required, not {}",
                    value.type_name()
                ))
            })
        };
        let filled = match kind {
            's' | 'r' | 'a' => {
                let mut text = String::new();
                match kind {
                    's' => value.write(&mut text, meter)?,
                    _ => value.write_repr(&mut text, meter)?,
                }
                let cut: String = text
                    .chars()
                    .take(spec.precision.unwrap_or(usize::MAX))
                    .collect();
                spec.zero = false;
                spec.pad("", &cut, '>')
            }
            'd' | 'i' | 'u' => {
                let value = match value.as_int() {
                    Some(number) => number,
                    None => whole(number(&value)?.trunc())
                        .ok_or_else(|| Error::operation("%d of no number"))?,
                };
                let digits = spec.int_digits(value, 'd')?;
                let digits = format!("{digits:0>width$}", width = spec.precision.unwrap_or(0));
                spec.pad(spec.sign_of(value < 0), &digits, '>')
            }
            'x' | 'X' | 'o' => {
                let value = value.as_int().ok_or_else(|| {
                    Error::operation(format!(
                        "%{kind} format: an integer is required, not {}",
                        value.type_name()
                    ))
                })?;
                spec.pad(spec.sign_of(value < 0), &spec.int_digits(value, kind)?, '>')
            }
            'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
                let value = number(&value)?;
                spec.pad(
                    spec.sign_of(value.is_sign_negative()),
                    &spec.float_digits(value, kind)?,
                    '>',
                )
            }
            'c' => match value.as_text() {
                Some(text) if text.chars().count() == 1 => spec.pad("", text, '>'),
                _ => spec.pad(
                    "",
                    &letter(
                        value
                            .as_int()
                            .ok_or_else(|| Error::operation("%c requires int or char"))?,
                    )?,
                    '>',
                ),
            },
            other => {
                return Err(Error::operation(format!(
                    "unsupported format character '{other}'"
                )));
            }
        };
        meter.charge(filled.len())?;
        out.push_str(&filled);
    }
    let is_mapping = !matches!(
        values,
        Value::Tuple(_) | Value::Text(_) | Value::Int(_) | Value::Float(_) | Value::Bool(_)
    );
    if list.next().is_some() && !by_name && !is_mapping {
        return Err(Error::operation(
            "not all arguments converted during string formatting",
        ));
    }
    Ok(out)
}

/// `text.format(*values, **named)`
pub(in crate::jinja) fn format_fields(text: &str, given: &Given, meter: &Meter) -> Result<String> {
    fields(text, given, &mut 0, 2, meter)
}

/// Fills the fields of a text; what stands behind their `:` may have fields itself, as often as `levels` says.
fn fields(
    text: &str,
    given: &Given,
    next: &mut usize,
    levels: usize,
    meter: &Meter,
) -> Result<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            out.push_str(brace);
            rest = after;
            continue;
        }
        if brace == "}" {
            return Err(Error::operation("Single '}' encountered in format string"));
        }
        let Some(below) = levels.checked_sub(1) else {
            return Err(Error::operation("Max string recursion exceeded"));
        };
        let mut depth = 1;
        let end = rest.find(|letter| {
            depth += i32::from(letter == '{') - i32::from(letter == '}');
            depth == 0
        });
        let Some(end) = end else {
            return Err(Error::operation("expected '}' before end of string"));
        };
        let (inside, after) = (&rest[..end], &rest[end + 1..]);
        rest = after;
        let (name, spec) = inside.split_once(':').unwrap_or((inside, ""));
        let (name, conversion) = match name.rsplit_once('!') {
            Some((name, conversion)) => (name, Some(conversion)),
            None => (name, None),
        };
        let value = field(name, given, next, meter)?;
        let spec = match spec.contains('{') {
            true => fields(spec, given, next, below, meter)?,
            false => spec.to_owned(),
        };
        let value = match conversion {
            None => value,
            Some("s") => Value::Text(value.to_text(meter)?),
            Some("r" | "a") => {
                let mut text = String::new();
                value.write_repr(&mut text, meter)?;
                Value::text(text)
            }
            Some(other) => {
                return Err(Error::operation(format!(
                    "Unknown conversion specifier '{other}'"
                )));
            }
        };
        let filled = format_value(&value, &spec, meter)?;
        meter.charge(filled.len())?;
        out.push_str(&filled);
    }
    out.push_str(rest);
    meter.charge(out.len())?;
    Ok(out)
}

/// A field of `str.format`: a name or place, and what is asked of it.
fn field(path: &str, given: &Given, next: &mut usize, meter: &Meter) -> Result<Value> {
    let end = path.find(['.', '[']).unwrap_or(path.len());
    let (first, mut rest) = path.split_at(end);
    let place = match first.is_empty() {
        true => {
            *next += 1;
            Some(*next - 1)
        }
        false => first.parse().ok(),
    };
    let mut value = match place {
        Some(place) => given.positional.get(place).cloned().ok_or_else(|| {
            Error::operation(format!(
                "Replacement index {place} out of range for positional args tuple"
            ))
        })?,
        None => {
            let named = given.named.iter().find(|(name, _)| **name == *first);
            named
                .map(|(_, value)| value.clone())
                .ok_or_else(|| Error::operation(format!("KeyError: '{first}'")))?
        }
    };
    while !rest.is_empty() {
        let malformed = || Error::operation("a field of the format string is malformed");
        value = if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let (name, left) = after.split_at(end);
            rest = left;
            attribute(&value, &name.into(), meter)?
        } else {
            let after = rest.strip_prefix('[').ok_or_else(malformed)?;
            let (key, left) = after.split_once(']').ok_or_else(malformed)?;
            rest = left;
            let key = match key.parse() {
                Ok(number) => Value::Int(number),
                Err(_) => Value::text(key),
            };
            item(&value, &key, meter)?
        };
    }
    Ok(value)
}
