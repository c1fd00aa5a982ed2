//! Methods of `str`.

use std::rc::Rc;

use super::letters::*;
use crate::jinja::error::{Error, Result};
use crate::jinja::given::{Given, int_or, text_of};
use crate::jinja::lexer::python_space;
use crate::jinja::meter::Meter;
use crate::jinja::number::format_fields;
use crate::jinja::value::{Value, text::printable};

/// Calls a method of a text.
pub(super) fn call(text: &Rc<str>, name: &str, given: Given, meter: &Meter) -> Result<Value> {
    meter.charge(4 * text.len())?;
    let none_given = |given: Given| given.bind(name, [], 0);
    let every = |given: Given, fits: &dyn Fn(char) -> bool, empty: bool| {
        none_given(given)?;
        Ok(Value::Bool(if text.is_empty() {
            empty
        } else {
            text.chars().all(fits)
        }))
    };
    let cases = |given: Given, wanted: fn(char) -> bool, other: fn(char) -> bool| {
        none_given(given)?;
        Ok(Value::Bool(
            text.chars().any(wanted) && !text.chars().any(other),
        ))
    };
    let texts = |parts: Vec<&str>| {
        meter.charge(text.len() + parts.len() * 16)?;
        Ok(parts.into_iter().map(Value::text).collect::<Vec<_>>())
    };
    match name {
        "upper" => none_given(given).and_then(|_| meter.text(text.to_uppercase())),
        "lower" => none_given(given).and_then(|_| meter.text(lower(text))),
        "casefold" => none_given(given).and_then(|_| meter.text(lower(text).replace('ß', "ss"))),
        "capitalize" => none_given(given).and_then(|_| meter.text(capitalize(text))),
        "title" => none_given(given).and_then(|_| meter.text(title(text))),
        "swapcase" => {
            none_given(given)?;
            let mut swapped = String::new();
            for letter in text.chars() {
                match letter.is_uppercase() {
                    true => swapped.extend(letter.to_lowercase()),
                    false => swapped.extend(letter.to_uppercase()),
                }
            }
            meter.text(swapped)
        }
        "strip" | "lstrip" | "rstrip" => {
            let [letters] = given.bind(name, ["chars"], 0)?;
            meter.text(strip(
                text,
                letters.as_ref(),
                (name != "rstrip", name != "lstrip"),
                meter,
            )?)
        }
        "split" | "rsplit" => {
            let [separator, most] = given.bind(name, ["sep", "maxsplit"], 0)?;
            let separator = match &separator {
                None | Some(Value::None) => None,
                Some(separator) => Some(text_of(separator, name)?),
            };
            let most = usize::try_from(int_or(most, -1, name)?).unwrap_or(usize::MAX);
            meter.list(texts(split(
                text,
                separator.as_deref(),
                most,
                name == "rsplit",
            )?)?)
        }
        "splitlines" => {
            let [keep] = given.bind(name, ["keepends"], 0)?;
            meter.list(texts(split_lines(
                text,
                keep.is_some_and(|keep| keep.truth()),
            ))?)
        }
        "partition" | "rpartition" => {
            let [separator] = given.bind(name, ["sep"], 1)?;
            let separator = text_of(&separator.unwrap_or(Value::None), name)?;
            if separator.is_empty() {
                return Err(Error::operation("empty separator"));
            }
            let parts = match name {
                "partition" => text.split_once(&*separator),
                _ => text.rsplit_once(&*separator),
            };
            let parts = match (parts, name) {
                (Some((before, after)), _) => vec![before, &separator, after],
                (None, "partition") => vec![text, "", ""],
                (None, _) => vec!["", "", text],
            };
            meter.tuple(texts(parts)?)
        }
        "startswith" | "endswith" => {
            let [affix, start, end] = given.bind(name, ["prefix", "start", "end"], 1)?;
            let (_, text) = within(text, start, end)?;
            let affixes = match affix.unwrap_or(Value::None) {
                list @ Value::Tuple(_) => list.items(meter)?,
                one => vec![one],
            };
            for affix in affixes {
                let affix = text_of(&affix, name)?;
                meter.scan(affix.len().min(text.len()))?;
                if name == "startswith" && text.starts_with(&*affix)
                    || name == "endswith" && text.ends_with(&*affix)
                {
                    return Ok(Value::Bool(true));
                }
            }
            Ok(Value::Bool(false))
        }
        "removeprefix" | "removesuffix" => {
            let [affix] = given.bind(name, ["prefix"], 1)?;
            let affix = text_of(&affix.unwrap_or(Value::None), name)?;
            let rest = match name {
                "removeprefix" => text.strip_prefix(&*affix),
                _ => text.strip_suffix(&*affix),
            };
            meter.text(rest.unwrap_or(text))
        }
        "find" | "rfind" | "index" | "rindex" | "count" => {
            let [part, start, end] = given.bind(name, ["sub", "start", "end"], 1)?;
            let part = text_of(&part.unwrap_or(Value::None), name)?;
            let (offset, text) = within(text, start, end)?;
            if name == "count" {
                return Ok(Value::Int(match part.is_empty() {
                    true => text.chars().count() as i128 + 1,
                    false => text.matches(&*part).count() as i128,
                }));
            }
            let found = match name.starts_with('r') {
                true => text.rfind(&*part),
                false => text.find(&*part),
            };
            match found {
                Some(at) => Ok(Value::Int((offset + text[..at].chars().count()) as i128)),
                None if name.ends_with("find") => Ok(Value::Int(-1)),
                None => Err(Error::operation("substring not found")),
            }
        }
        "replace" => {
            let [old, new, count] = given.bind(name, ["old", "new", "count"], 2)?;
            let (old, new) = (
                text_of(&old.unwrap_or(Value::None), name)?,
                text_of(&new.unwrap_or(Value::None), name)?,
            );
            let count = usize::try_from(int_or(count, -1, name)?).unwrap_or(usize::MAX);
            replace(text, &old, &new, count, meter)
        }
        "join" => {
            let [items] = given.bind(name, ["iterable"], 1)?;
            let mut joined = String::new();
            for (index, item) in items
                .unwrap_or(Value::None)
                .items(meter)?
                .iter()
                .enumerate()
            {
                let part = text_of(item, "join")?;
                meter.charge(text.len() + part.len())?;
                joined.push_str(if index > 0 { text } else { "" });
                joined.push_str(&part);
            }
            Ok(Value::text(joined))
        }
        "center" | "ljust" | "rjust" | "zfill" => {
            let [width, fill] = given.bind(name, ["width", "fillchar"], 1)?;
            let fill = match fill {
                None if name == "zfill" => "0".into(),
                None => " ".into(),
                Some(fill) => text_of(&fill, name)?,
            };
            if fill.chars().count() != 1 {
                return Err(Error::operation(
                    "The fill character must be exactly one character long",
                ));
            }
            let width = usize::try_from(int_or(width, 0, name)?).unwrap_or(0);
            let missing = width.saturating_sub(text.chars().count());
            meter.charge_times(fill.len(), missing)?;
            let fill = |count: usize| fill.repeat(count);
            meter.text(match name {
                "center" => {
                    // As CPython divides what is odd.
                    let left = missing / 2 + (missing & width & 1);
                    format!("{}{text}{}", fill(left), fill(missing - left))
                }
                "ljust" => format!("{text}{}", fill(missing)),
                "rjust" => format!("{}{text}", fill(missing)),
                _ => {
                    let (sign, digits) = text.split_at(usize::from(text.starts_with(['-', '+'])));
                    format!("{sign}{}{digits}", fill(missing))
                }
            })
        }
        "expandtabs" => {
            let [size] = given.bind(name, ["tabsize"], 0)?;
            let size = usize::try_from(int_or(size, 8, name)?).unwrap_or(0);
            meter.charge_times(size, text.matches('\t').count())?;
            let (mut expanded, mut column) = (String::new(), 0);
            for letter in text.chars() {
                match letter {
                    '\t' => {
                        let missing = column_gap(column, size);
                        expanded.extend(std::iter::repeat_n(' ', missing));
                        column += missing;
                    }
                    letter => {
                        expanded.push(letter);
                        column = if letter == '\n' || letter == '\r' {
                            0
                        } else {
                            column + 1
                        };
                    }
                }
            }
            meter.text(expanded)
        }
        "format" => meter.text(format_fields(text, &given, meter)?),
        "format_map" => {
            let [map] = given.bind(name, ["mapping"], 1)?;
            let map = map.unwrap_or(Value::None);
            let named = match &map {
                Value::Dict(dict) => dict.entries.values(),
                _ => return Err(Error::operation("format_map requires a mapping")),
            };
            let named =
                named.filter_map(|(key, value)| Some((key.as_text()?.clone(), value.clone())));
            let given = Given {
                positional: Vec::new(),
                named: named.collect(),
            };
            meter.text(format_fields(text, &given, meter)?)
        }
        "isspace" => every(given, &python_space, false),
        "isalpha" => every(
            given,
            &|letter| letter.is_alphabetic() && !is_mark_or_number(letter),
            false,
        ),
        "isdigit" => every(
            given,
            &|letter| letter.is_ascii_digit() || digit_value(letter),
            false,
        ),
        "isdecimal" => every(given, &|letter| decimal(letter), false),
        "isnumeric" => every(given, &char::is_numeric, false),
        "isalnum" => every(
            given,
            &|letter| letter.is_alphanumeric() && !combining(letter),
            false,
        ),
        "isascii" => every(given, &|letter| letter.is_ascii(), true),
        "isprintable" => every(given, &printable, true),
        "islower" => cases(given, char::is_lowercase, char::is_uppercase),
        "isupper" => cases(given, char::is_uppercase, char::is_lowercase),
        "istitle" => {
            none_given(given).map(|_| Value::Bool(text.chars().any(cased) && title(text) == **text))
        }
        "isidentifier" => {
            none_given(given)?;
            let starts = text.starts_with(|letter: char| letter == '_' || letter.is_alphabetic());
            Ok(Value::Bool(
                starts
                    && text
                        .chars()
                        .all(|letter| letter == '_' || letter.is_alphanumeric()),
            ))
        }
        _ => Err(Error::operation(format!(
            "str.{name} is not supported in chat templates"
        ))),
    }
}

fn column_gap(column: usize, size: usize) -> usize {
    if size == 0 { 0 } else { size - column % size }
}
