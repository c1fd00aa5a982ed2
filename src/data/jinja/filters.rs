//! Jinja2's filters (`jinja2/filters.py`), but for those of web pages and chance.

use std::cmp::Ordering;
use std::rc::Rc;

use indexmap::IndexSet;

use super::error::{Error, Result};
use super::eval::Run;
use super::given::{Given, int_or, text_of};
use super::json::to_json;
use super::lexer::python_space;
use super::methods::{self, capitalize, pairs, replace, split_lines, trim};
use super::number::{percent, whole};
use super::ops::{attribute, item};
use super::tests;
use super::value::Value;

/// Every filter that [`apply`] knows.
pub(super) const NAMES: [&str; 48] = [
    "abs",
    "attr",
    "batch",
    "capitalize",
    "center",
    "count",
    "d",
    "default",
    "dictsort",
    "e",
    "escape",
    "first",
    "float",
    "forceescape",
    "format",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "selectattr",
    "slice",
    "sort",
    "string",
    "sum",
    "title",
    "tojson",
    "trim",
    "truncate",
    "unique",
    "upper",
    "wordcount",
    "urlencode",
    "striptags",
];

/// What HTML escapes.
pub(super) fn escape(text: &str) -> String {
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
    escaped
}

/// A value through a filter.
pub(super) fn apply(run: &mut Run<'_>, name: &str, value: Value, given: Given) -> Result<Value> {
    let meter = run.meter;
    meter.scan(8 * value.as_text().map_or(0, |text| text.len()))?;
    let bare = |given: Given| given.bind(name, [], 0).map(|_| ());
    let truthy = |value: &Option<Value>| value.as_ref().is_some_and(Value::truth);
    Ok(match name {
        "abs" => {
            bare(given)?;
            match (&value, value.as_int(), value.as_float()) {
                (_, Some(number), _) => Value::Int(number.abs()),
                (_, _, Some(number)) => Value::Float(number.abs()),
                _ => return Err(wrong(name, &value)),
            }
        }
        "attr" => {
            let [field] = given.bind(name, ["name"], 1)?;
            let field = text_of(&field.unwrap_or(Value::None), name)?;
            match &value {
                Value::Dict(_) if !methods::names(&value).contains(&&*field) => {
                    Value::Undefined(format!("'dict object' has no attribute '{field}'").into())
                }
                value => attribute(value, &field, meter)?,
            }
        }
        "batch" => {
            let [size, fill] = given.bind(name, ["linecount", "fill_with"], 1)?;
            let size = int_or(size, 0, name)?;
            let size = usize::try_from(size).unwrap_or(0);
            let fill = fill.filter(|fill| !matches!(fill, Value::None));
            let items = value.items(meter)?;
            let mut rows = Vec::new();
            if size == 0 {
                return Err(Error::operation("batch: linecount must be at least 1"));
            }
            for chunk in items.chunks(size) {
                let mut row = chunk.to_vec();
                if let Some(fill) = &fill {
                    let missing = size - row.len();
                    meter.charge_times(size_of::<Value>(), missing)?;
                    row.extend(std::iter::repeat_n(fill.clone(), missing));
                }
                rows.push(meter.list(row)?);
            }
            meter.generator(rows)?
        }
        "capitalize" => {
            bare(given).and_then(|()| meter.text(capitalize(&value.to_text(meter)?)))?
        }
        "center" => {
            let mut given = given;
            if given.positional.is_empty() && given.named.is_empty() {
                given.positional.push(Value::Int(80));
            }
            methods::call(run, &Value::Text(value.to_text(meter)?), name, given)?
        }
        "count" | "length" => {
            bare(given)?;
            let length = value.len();
            Value::Int(length.ok_or_else(|| {
                Error::operation(format!(
                    "object of type '{}' has no len()",
                    value.type_name()
                ))
            })? as i128)
        }
        "d" | "default" => {
            let [default, boolean] = given.bind(name, ["default_value", "boolean"], 0)?;
            match value.is_undefined() || truthy(&boolean) && !value.truth() {
                true => default.unwrap_or_else(|| Value::text("")),
                false => value,
            }
        }
        "dictsort" => {
            let [case, by, reverse] = given.bind(name, ["case_sensitive", "by", "reverse"], 0)?;
            let by = match by {
                None => "key".into(),
                Some(by) => text_of(&by, name)?,
            };
            let place = match &*by {
                "key" => 0,
                "value" => 1,
                _ => {
                    return Err(Error::operation(
                        "You can only sort by either \"key\" or \"value\"",
                    ));
                }
            };
            let Value::Dict(_) = &value else {
                return Err(wrong(name, &value));
            };
            let keyed = pairs(&value, meter)?.into_iter().map(|pair| {
                let key = item(&pair, &Value::Int(place), meter)?;
                Ok((fold(key, truthy(&case)), pair))
            });
            meter.list(sorted(
                run,
                keyed.collect::<Result<_>>()?,
                truthy(&reverse),
            )?)?
        }
        "e" | "escape" | "forceescape" => {
            bare(given)?;
            match value {
                Value::Safe(_) if name != "forceescape" => value,
                value => {
                    let text = value.to_text(meter)?;
                    meter.charge(6 * text.len())?;
                    Value::Safe(escape(&text).into())
                }
            }
        }
        "safe" => bare(given).and_then(|()| Ok(Value::Safe(value.to_text(meter)?)))?,
        "first" => {
            bare(given)?;
            let none = || Value::Undefined("No first item, sequence was empty.".into());
            match &value {
                Value::Generator(generator) => {
                    generator.items.borrow_mut().next().unwrap_or_else(none)
                }
                value => value.items(meter)?.into_iter().next().unwrap_or_else(none),
            }
        }
        "last" => {
            bare(given)?;
            if let Value::Generator(_) = value {
                return Err(wrong(name, &value));
            }
            let last = value.items(meter)?.pop();
            last.unwrap_or_else(|| Value::Undefined("No last item, sequence was empty.".into()))
        }
        "float" => {
            let [default] = given.bind(name, ["default"], 0)?;
            let number = match &value {
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
            let number = match &value {
                Value::Undefined(what) => return Err(Error::operation(&**what)),
                Value::Text(text) | Value::Safe(text) => {
                    parse_int(text, base).or_else(|| whole(parse_float(text)?.trunc()))
                }
                value => value.as_int().or_else(|| whole(value.as_float()?.trunc())),
            };
            number.map(Value::Int).or(default).unwrap_or(Value::Int(0))
        }
        "format" => {
            let text = value.to_text(meter)?;
            let values = match (given.positional.is_empty(), given.named.is_empty()) {
                (false, false) => {
                    return Err(Error::operation(
                        "can't handle positional and keyword arguments at the same time",
                    ));
                }
                (true, false) => run.dict_of(given.named)?,
                _ => meter.tuple(given.positional)?,
            };
            meter.text(percent(&text, &values, meter)?)?
        }
        "groupby" => {
            let [attribute, default, case] =
                given.bind(name, ["attribute", "default", "case_sensitive"], 1)?;
            let attribute = attribute.unwrap_or(Value::None);
            let mut keyed = Vec::new();
            for found in value.items(meter)? {
                let key = fetch(run, &found, &attribute, default.as_ref())?;
                let pair = meter.tuple(vec![key.clone(), found])?;
                keyed.push((fold(key, truthy(&case)), pair));
            }
            let mut groups: Vec<(Value, Value, Vec<Value>)> = Vec::new();
            for (key, pair) in sorted_keyed(run, keyed, false)? {
                let (real, found) = (
                    item(&pair, &Value::Int(0), meter)?,
                    item(&pair, &Value::Int(1), meter)?,
                );
                match groups.last_mut() {
                    Some((last, _, group)) if last.equals(&key, meter)? => group.push(found),
                    _ => groups.push((key, real, vec![found])),
                }
            }
            let groups = groups
                .into_iter()
                .map(|(_, real, group)| meter.tuple(vec![real, meter.list(group)?]));
            meter.list(groups.collect::<Result<_>>()?)?
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
        "items" => bare(given).and_then(|()| meter.generator(pairs(&value, meter)?))?,
        "join" => {
            let [separator, attribute] = given.bind(name, ["d", "attribute"], 0)?;
            let separator = separator.map_or_else(|| Ok("".into()), |it| it.to_text(meter))?;
            let mut out = String::new();
            for (index, mut found) in value.items(meter)?.into_iter().enumerate() {
                if let Some(attribute) = &attribute {
                    found = fetch(run, &found, attribute, None)?;
                }
                meter.charge(separator.len())?;
                out.push_str(if index > 0 { &separator } else { "" });
                found.write(&mut out, meter)?;
            }
            Value::text(out)
        }
        "list" => bare(given).and_then(|()| meter.list(value.items(meter)?))?,
        "lower" => bare(given).and_then(|()| meter.text(value.to_text(meter)?.to_lowercase()))?,
        "upper" => bare(given).and_then(|()| meter.text(value.to_text(meter)?.to_uppercase()))?,
        "map" => map(run, &value, given)?,
        "max" | "min" => {
            let [case, attribute] = given.bind(name, ["case_sensitive", "attribute"], 0)?;
            let mut best: Option<(Value, Value)> = None;
            for found in value.items(meter)? {
                let key = match &attribute {
                    Some(attribute) => fetch(run, &found, attribute, None)?,
                    None => found.clone(),
                };
                let key = fold(key, truthy(&case));
                let better = match &best {
                    None => true,
                    Some((known, _)) => {
                        let wanted = if name == "max" {
                            Ordering::Greater
                        } else {
                            Ordering::Less
                        };
                        key.compare(known, meter)? == Some(wanted)
                    }
                };
                if better {
                    best = Some((key, found));
                }
            }
            let none = || Value::Undefined("No aggregated item, sequence was empty.".into());
            best.map_or_else(none, |(_, found)| found)
        }
        "select" | "reject" | "selectattr" | "rejectattr" => select(run, name, &value, given)?,
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
        "reverse" => {
            bare(given)?;
            match value.as_text() {
                Some(text) => meter.text(text.chars().rev().collect::<String>())?,
                None => {
                    let mut items = value.items(meter)?;
                    items.reverse();
                    match value {
                        Value::Generator(_) => meter.list(items)?,
                        _ => meter.generator(items)?,
                    }
                }
            }
        }
        "round" => {
            let [precision, method] = given.bind(name, ["precision", "method"], 0)?;
            let precision = int_or(precision, 0, name)?.clamp(-400, 400) as i32;
            let method = method.map_or_else(|| Ok("common".into()), |it| text_of(&it, name))?;
            let number = value.as_float().ok_or_else(|| wrong(name, &value))?;
            let scale = 10f64.powi(precision);
            match (&*method, &value) {
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
        "slice" => {
            let [count, fill] = given.bind(name, ["slices", "fill_with"], 1)?;
            let count = usize::try_from(int_or(count, 0, name)?).unwrap_or(0);
            let fill = fill.filter(|fill| !matches!(fill, Value::None));
            let items = value.items(meter)?;
            if count == 0 {
                return Err(Error::operation("slice: slices must be at least 1"));
            }
            meter.charge_times(64, count)?;
            let (each, more) = (items.len() / count, items.len() % count);
            let mut rest = items.into_iter();
            let mut slices = Vec::with_capacity(count);
            for index in 0..count {
                let mut slice: Vec<Value> = rest
                    .by_ref()
                    .take(each + usize::from(index < more))
                    .collect();
                if index >= more {
                    slice.extend(fill.clone());
                }
                slices.push(meter.list(slice)?);
            }
            meter.generator(slices)?
        }
        "sort" => {
            let [reverse, case, attribute] =
                given.bind(name, ["reverse", "case_sensitive", "attribute"], 0)?;
            let mut keyed = Vec::new();
            for found in value.items(meter)? {
                let key = match &attribute {
                    None | Some(Value::None) => fold(found.clone(), truthy(&case)),
                    Some(Value::Text(names)) => {
                        let keys = names.split(',').map(|field| {
                            let key = fetch(run, &found, &Value::text(field), None)?;
                            Ok(fold(key, truthy(&case)))
                        });
                        let keys = keys.collect::<Result<_>>()?;
                        meter.list(keys)?
                    }
                    Some(attribute) => fold(fetch(run, &found, attribute, None)?, truthy(&case)),
                };
                keyed.push((key, found));
            }
            meter.list(sorted(run, keyed, truthy(&reverse))?)?
        }
        "string" => {
            bare(given)?;
            match value {
                Value::Safe(_) => value,
                value => Value::Text(value.to_text(meter)?),
            }
        }
        "striptags" => {
            bare(given)?;
            let text = value.to_text(meter)?;
            if text.contains(['<', '&']) {
                return Err(Error::operation(
                    "striptags is not supported in chat templates",
                ));
            }
            meter.text(text.split_whitespace().collect::<Vec<_>>().join(" "))?
        }
        "sum" => {
            let [attribute, start] = given.bind(name, ["attribute", "start"], 0)?;
            let mut sum = start.unwrap_or(Value::Int(0));
            for mut found in value.items(meter)? {
                if let Some(attribute) = attribute.as_ref().filter(|it| !matches!(it, Value::None))
                {
                    found = fetch(run, &found, attribute, None)?;
                }
                sum = super::ops::binary(super::ast::Binary::Add, &sum, &found, meter)?;
            }
            sum
        }
        "title" => {
            bare(given)?;
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
            let text = meter.text(trim(&value.to_text(meter)?, letters.as_ref())?)?;
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
            if text.chars().count() <= length + leeway {
                return Ok(value);
            }
            let cut: String = text.chars().take(kept).collect();
            let cut = match truthy(&kill) {
                true => &cut,
                false => cut.rsplit_once(' ').map_or(&*cut, |(before, _)| before),
            };
            meter.text(format!("{cut}{end}"))?
        }
        "unique" => {
            let [case, attribute] = given.bind(name, ["case_sensitive", "attribute"], 0)?;
            let mut seen = IndexSet::new();
            let mut kept = Vec::new();
            for found in value.items(meter)? {
                let key = match &attribute {
                    Some(attribute) => fetch(run, &found, attribute, None)?,
                    None => found.clone(),
                };
                if seen.insert(fold(key, truthy(&case)).key(meter)?) {
                    kept.push(found);
                }
            }
            meter.generator(kept)?
        }
        "urlencode" => {
            bare(given)?;
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
            bare(given)?;
            let text = value.to_text(meter)?;
            let words = text.split(|letter: char| letter != '_' && !letter.is_alphanumeric());
            Value::Int(words.filter(|word| !word.is_empty()).count() as i128)
        }
        other => {
            return Err(Error::operation(format!(
                "the filter `{other}` is not known here"
            )));
        }
    })
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

/// Text in small letters, for an order that does not look at case.
fn fold(value: Value, case_sensitive: bool) -> Value {
    match value {
        Value::Text(text) if !case_sensitive => Value::text(text.to_lowercase()),
        value => value,
    }
}

/// What `attribute` says of an item, such as `function.name` or `0`.
fn fetch(
    run: &Run<'_>,
    value: &Value,
    attribute: &Value,
    default: Option<&Value>,
) -> Result<Value> {
    let default_of = |found: Value| match default {
        Some(default) if found.is_undefined() => default.clone(),
        _ => found,
    };
    let Some(path) = attribute.as_text() else {
        return Ok(default_of(item(value, attribute, run.meter)?));
    };
    let mut value = value.clone();
    for part in path.split('.') {
        let key = match part.parse::<i128>() {
            Ok(number) if part.bytes().all(|byte| byte.is_ascii_digit()) => Value::Int(number),
            _ => Value::text(part),
        };
        value = default_of(item(&value, &key, run.meter)?);
    }
    Ok(value)
}

fn sorted(run: &Run<'_>, keyed: Vec<(Value, Value)>, reverse: bool) -> Result<Vec<Value>> {
    Ok(sorted_keyed(run, keyed, reverse)?
        .into_iter()
        .map(|(_, value)| value)
        .collect())
}

/// Sorts by key and keeps the order of equals, as Python does, backwards too.
fn sorted_keyed(
    run: &Run<'_>,
    mut keyed: Vec<(Value, Value)>,
    reverse: bool,
) -> Result<Vec<(Value, Value)>> {
    let mut failed = None;
    if reverse {
        keyed.reverse();
    }
    keyed.sort_by(|(a, _), (b, _)| match failed.is_some() {
        true => Ordering::Equal,
        false => a.compare(b, run.meter).map_or_else(
            |error| {
                failed = Some(error);
                Ordering::Equal
            },
            |order| order.unwrap_or(Ordering::Equal),
        ),
    });
    if reverse {
        keyed.reverse();
    }
    match failed {
        Some(error) => Err(error),
        None => Ok(keyed),
    }
}

fn map(run: &mut Run<'_>, value: &Value, mut given: Given) -> Result<Value> {
    let mut mapped = Vec::new();
    if !value.truth() {
        return run.meter.generator(mapped);
    }
    let by_attribute =
        given.positional.is_empty() && given.named.iter().any(|(name, _)| &**name == "attribute");
    if by_attribute {
        let [attribute, default] = given.bind("map", ["attribute", "default"], 0)?;
        let attribute = attribute.unwrap_or(Value::None);
        let default = default.filter(|default| !matches!(default, Value::None));
        for found in value.items(run.meter)? {
            mapped.push(fetch(run, &found, &attribute, default.as_ref())?);
        }
    } else {
        if given.positional.is_empty() {
            return Err(Error::operation("map requires a filter argument"));
        }
        let name = text_of(&given.positional.remove(0), "map")?;
        for found in value.items(run.meter)? {
            mapped.push(apply(run, &name, found, given.clone())?);
        }
    }
    run.meter.generator(mapped)
}

fn select(run: &mut Run<'_>, name: &str, value: &Value, mut given: Given) -> Result<Value> {
    if !value.truth() {
        return run.meter.generator(Vec::new());
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
    for found in value.items(run.meter)? {
        let looked_at = match &attribute {
            Some(attribute) => fetch(run, &found, attribute, None)?,
            None => found.clone(),
        };
        let holds = match &test {
            Some(test) => tests::apply(run, test, looked_at, given.clone())?,
            None => looked_at.truth(),
        };
        if holds == name.starts_with("select") {
            kept.push(found);
        }
    }
    run.meter.generator(kept)
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
