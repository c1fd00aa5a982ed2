//! Filters that give a text.

use super::shared::{bare, fetch, truthy, unknown, wrong};
use crate::jinja::error::{Error, Result};
use crate::jinja::given::{Given, int_or, text_of};
use crate::jinja::json::to_json;
use crate::jinja::lexer::python_space;
use crate::jinja::meter::Meter;
use crate::jinja::methods::{self, capitalize, replace, split_lines, trim};
use crate::jinja::number::percent;
use crate::jinja::value::{Value, text::escape};

pub(super) const NAMES: [&str; 20] = [
    "capitalize",
    "center",
    "e",
    "escape",
    "forceescape",
    "safe",
    "format",
    "indent",
    "join",
    "lower",
    "upper",
    "replace",
    "string",
    "striptags",
    "title",
    "tojson",
    "trim",
    "truncate",
    "urlencode",
    "wordcount",
];

pub(super) fn apply(name: &str, value: Value, given: Given, meter: &Meter) -> Result<Value> {
    Ok(match name {
        "capitalize" => {
            bare(name, given).and_then(|()| meter.text(capitalize(&value.to_text(meter)?)))?
        }
        "center" => {
            let mut given = given;
            if given.positional.is_empty() && given.named.is_empty() {
                given.positional.push(Value::Int(80));
            }
            methods::call(&Value::Text(value.to_text(meter)?), name, given, meter)?
        }
        "e" | "escape" | "forceescape" => {
            bare(name, given)?;
            match value {
                Value::Safe(_) if name != "forceescape" => value,
                value => Value::Safe(escape(&value.to_text(meter)?, meter)?.into()),
            }
        }
        "safe" => bare(name, given).and_then(|()| Ok(Value::Safe(value.to_text(meter)?)))?,
        "format" => {
            let text = value.to_text(meter)?;
            let values = match (given.positional.is_empty(), given.named.is_empty()) {
                (false, false) => {
                    return Err(Error::operation(
                        "can't handle positional and keyword arguments at the same time",
                    ));
                }
                (true, false) => meter.named_dict(given.named)?,
                _ => meter.tuple(given.positional)?,
            };
            meter.text(percent(&text, &values, meter)?)?
        }
        "indent" => {
            let [width, first, blank] = given.bind(name, ["width", "first", "blank"], 0)?;
            let text = text_of(&value, name)?;
            let width = match width {
                Some(Value::Text(text) | Value::Safe(text)) => text,
                width => {
                    let width = usize::try_from(int_or(width, 4, name)?).unwrap_or(0);
                    meter.charge(width)?;
                    " ".repeat(width).into()
                }
            };
            let text = format!("{text}\n");
            let lines = split_lines(&text, false);
            meter.charge(text.len())?;
            meter.charge_times(width.len(), lines.len() + 1)?;
            let mut out = String::new();
            out.push_str(if truthy(&first) { &width } else { "" });
            for (index, line) in lines.iter().enumerate() {
                if index > 0 {
                    out.push('\n');
                    out.push_str(if truthy(&blank) || !line.is_empty() {
                        &width
                    } else {
                        ""
                    });
                }
                out.push_str(line);
            }
            match value {
                Value::Safe(_) => Value::Safe(out.into()),
                _ => Value::text(out),
            }
        }
        "join" => {
            let [separator, attribute] = given.bind(name, ["d", "attribute"], 0)?;
            let separator = separator.map_or_else(|| Ok("".into()), |it| it.to_text(meter))?;
            let mut out = String::new();
            for (index, found) in value.items(meter)?.into_iter().enumerate() {
                let found = fetch(&found, attribute.as_ref(), None, meter)?;
                meter.charge(separator.len())?;
                out.push_str(if index > 0 { &separator } else { "" });
                found.write(&mut out, meter)?;
            }
            Value::text(out)
        }
        "lower" => {
            bare(name, given).and_then(|()| meter.text(value.to_text(meter)?.to_lowercase()))?
        }
        "upper" => {
            bare(name, given).and_then(|()| meter.text(value.to_text(meter)?.to_uppercase()))?
        }
        "replace" => {
            let [old, new, count] = given.bind(name, ["old", "new", "count"], 2)?;
            let part = |value: Option<Value>| value.unwrap_or(Value::None).to_text(meter);
            let count = match count {
                None | Some(Value::None) => usize::MAX,
                count => usize::try_from(int_or(count, -1, name)?).unwrap_or(usize::MAX),
            };
            replace(
                &value.to_text(meter)?,
                &part(old)?,
                &part(new)?,
                count,
                meter,
            )?
        }
        "string" => {
            bare(name, given)?;
            match value {
                Value::Safe(_) => value,
                value => Value::Text(value.to_text(meter)?),
            }
        }
        "striptags" => {
            bare(name, given)?;
            let text = value.to_text(meter)?;
            if text.contains(['<', '&']) {
                return Err(Error::operation(
                    "striptags is not supported in chat templates",
                ));
            }
            meter.text(text.split_whitespace().collect::<Vec<_>>().join(" "))?
        }
        "title" => {
            bare(name, given)?;
            let text = value.to_text(meter)?;
            let mut titled = String::new();
            let mut starts = true;
            for letter in text.chars() {
                match starts {
                    true => titled.extend(letter.to_uppercase()),
                    false => titled.extend(letter.to_lowercase()),
                }
                starts = python_space(letter) || "-({[<".contains(letter);
            }
            meter.text(titled)?
        }
        "tojson" => to_json(&value, given, meter)?,
        "trim" => {
            let [letters] = given.bind(name, ["chars"], 0)?;
            let text = meter.text(trim(&value.to_text(meter)?, letters.as_ref(), meter)?)?;
            match (value, text) {
                (Value::Safe(_), Value::Text(text)) => Value::Safe(text),
                (_, text) => text,
            }
        }
        "truncate" => {
            let [length, kill, end, leeway] =
                given.bind(name, ["length", "killwords", "end", "leeway"], 0)?;
            let text = text_of(&value, name)?;
            let count =
                |value, default| Ok(usize::try_from(int_or(value, default, name)?).unwrap_or(0));
            let (length, leeway) = (count(length, 255)?, count(leeway, 5)?);
            let end = end.map_or_else(|| Ok("...".into()), |end| text_of(&end, name))?;
            let Some(kept) = length.checked_sub(end.chars().count()) else {
                return Err(Error::operation(
                    "truncate: the length is below that of its end",
                ));
            };
            if text.chars().count() <= length.saturating_add(leeway) {
                return Ok(value);
            }
            let cut: String = text.chars().take(kept).collect();
            let cut = match truthy(&kill) {
                true => &cut,
                false => cut.rsplit_once(' ').map_or(&*cut, |(before, _)| before),
            };
            meter.text(format!("{cut}{end}"))?
        }
        "urlencode" => {
            bare(name, given)?;
            let text = match &value {
                Value::Dict(_) | Value::List(_) | Value::Tuple(_) => {
                    return Err(wrong(name, &value));
                }
                value => value.to_text(meter)?,
            };
            meter.charge(3 * text.len())?;
            let mut quoted = String::new();
            for byte in text.bytes() {
                match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' | b'/' => {
                        quoted.push(byte.into())
                    }
                    byte => quoted.push_str(&format!("%{byte:02X}")),
                }
            }
            Value::text(quoted)
        }
        "wordcount" => {
            bare(name, given)?;
            let text = value.to_text(meter)?;
            let words = text.split(|letter: char| letter != '_' && !letter.is_alphanumeric());
            Value::Int(words.filter(|word| !word.is_empty()).count() as i128)
        }
        other => return Err(unknown(other)),
    })
}
