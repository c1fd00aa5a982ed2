//! Filters of lists, dicts and their items.

use std::cmp::Ordering;

use indexmap::IndexSet;

use super::shared::{bare, fetch, truthy, unknown, wrong};
use crate::jinja::access::{attribute, item, names::names, pairs};
use crate::jinja::ast::Binary;
use crate::jinja::error::{Error, Result};
use crate::jinja::given::{Given, int_or, text_of};
use crate::jinja::meter::Meter;
use crate::jinja::ops::binary;
use crate::jinja::sort::sort;
use crate::jinja::value::Value;

pub(super) const NAMES: [&str; 19] = [
    "attr", "batch", "count", "length", "d", "default", "dictsort", "first", "last", "groupby",
    "items", "list", "max", "min", "reverse", "slice", "sort", "sum", "unique",
];

pub(super) fn apply(name: &str, value: Value, given: Given, meter: &Meter) -> Result<Value> {
    Ok(match name {
        "attr" => {
            let [field] = given.bind(name, ["name"], 1)?;
            let field = text_of(&field.unwrap_or(Value::None), name)?;
            match &value {
                Value::Dict(_) if !names(&value).contains(&&*field) => {
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
        "count" | "length" => {
            bare(name, given)?;
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
                Ok((fold(key, truthy(&case), meter)?, pair))
            });
            let keyed = keyed.collect::<Result<_>>()?;
            meter.list(values(sorted(keyed, truthy(&reverse), meter)?))?
        }
        "first" => {
            bare(name, given)?;
            let none = || Value::Undefined("No first item, sequence was empty.".into());
            match &value {
                Value::Generator(generator) => {
                    generator.items.borrow_mut().next().unwrap_or_else(none)
                }
                value => value.items(meter)?.into_iter().next().unwrap_or_else(none),
            }
        }
        "last" => {
            bare(name, given)?;
            if let Value::Generator(_) = value {
                return Err(wrong(name, &value));
            }
            let last = value.items(meter)?.pop();
            last.unwrap_or_else(|| Value::Undefined("No last item, sequence was empty.".into()))
        }
        "groupby" => {
            let [attribute, default, case] =
                given.bind(name, ["attribute", "default", "case_sensitive"], 1)?;
            let attribute = attribute.unwrap_or(Value::None);
            let mut keyed = Vec::new();
            for found in value.items(meter)? {
                let key = fetch(&found, Some(&attribute), default.as_ref(), meter)?;
                let pair = meter.tuple(vec![key.clone(), found])?;
                keyed.push((fold(key, truthy(&case), meter)?, pair));
            }
            let mut groups: Vec<(Value, Value, Vec<Value>)> = Vec::new();
            for (key, pair) in sorted(keyed, false, meter)? {
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
        "items" => bare(name, given).and_then(|()| meter.generator(pairs(&value, meter)?))?,
        "list" => bare(name, given).and_then(|()| meter.list(value.items(meter)?))?,
        "max" | "min" => {
            let [case, attribute] = given.bind(name, ["case_sensitive", "attribute"], 0)?;
            let mut best: Option<(Value, Value)> = None;
            for found in value.items(meter)? {
                let key = fetch(&found, attribute.as_ref(), None, meter)?;
                let key = fold(key, truthy(&case), meter)?;
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
        "reverse" => {
            bare(name, given)?;
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
                    Some(Value::Text(names)) => {
                        let keys = names.split(',').map(|field| {
                            let key = fetch(&found, Some(&meter.text(field)?), None, meter)?;
                            fold(key, truthy(&case), meter)
                        });
                        let keys = keys.collect::<Result<_>>()?;
                        meter.list(keys)?
                    }
                    attribute => {
                        let key = fetch(&found, attribute.as_ref(), None, meter)?;
                        fold(key, truthy(&case), meter)?
                    }
                };
                keyed.push((key, found));
            }
            meter.list(values(sorted(keyed, truthy(&reverse), meter)?))?
        }
        "sum" => {
            let [attribute, start] = given.bind(name, ["attribute", "start"], 0)?;
            let mut sum = start.unwrap_or(Value::Int(0));
            for found in value.items(meter)? {
                let found = fetch(&found, attribute.as_ref(), None, meter)?;
                sum = binary(Binary::Add, &sum, &found, meter)?;
            }
            sum
        }
        "unique" => {
            let [case, attribute] = given.bind(name, ["case_sensitive", "attribute"], 0)?;
            let mut seen = IndexSet::new();
            let mut kept = Vec::new();
            for found in value.items(meter)? {
                let key = fetch(&found, attribute.as_ref(), None, meter)?;
                if seen.insert(fold(key, truthy(&case), meter)?.key(meter)?) {
                    kept.push(found);
                }
            }
            meter.generator(kept)?
        }
        other => return Err(unknown(other)),
    })
}

/// Text in small letters, for an order that does not look at case.
fn fold(value: Value, case_sensitive: bool, meter: &Meter) -> Result<Value> {
    match value {
        Value::Text(text) if !case_sensitive => meter.text(text.to_lowercase()),
        value => Ok(value),
    }
}

/// Sorts by key and keeps the order of equals, as Python does, backwards too.
fn sorted(
    mut keyed: Vec<(Value, Value)>,
    reverse: bool,
    meter: &Meter,
) -> Result<Vec<(Value, Value)>> {
    if reverse {
        keyed.reverse();
    }
    let mut keyed = sort(keyed, &mut |(a, _), (b, _)| a.compare(b, meter))?;
    if reverse {
        keyed.reverse();
    }
    Ok(keyed)
}

fn values(keyed: Vec<(Value, Value)>) -> Vec<Value> {
    keyed.into_iter().map(|(_, value)| value).collect()
}
