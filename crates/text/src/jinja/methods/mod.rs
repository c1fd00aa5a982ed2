//! Methods of Python's texts, lists and dicts. Those that change a list or dict are refused,
//! as the sandbox of transformers does.

mod letters;
mod text;

pub(super) use letters::{capitalize, replace, split_lines, trim};

use super::access::pairs;
use super::error::{Error, Result};
use super::given::Given;
use super::meter::Meter;
use super::value::Value;

/// Those of lists and dicts that change them.
const CHANGING: [&str; 12] = [
    "append",
    "clear",
    "extend",
    "insert",
    "pop",
    "remove",
    "reverse",
    "sort",
    "popitem",
    "setdefault",
    "update",
    "fromkeys",
];

/// Calls a method.
pub(super) fn call(value: &Value, name: &str, given: Given, meter: &Meter) -> Result<Value> {
    given.scan(meter)?;
    match value {
        Value::Text(text) => text::call(text, name, given, meter),
        Value::Safe(text) => Ok(match text::call(text, name, given, meter)? {
            Value::Text(text) => Value::Safe(text),
            other => other,
        }),
        Value::List(_) | Value::Dict(_) if CHANGING.contains(&name) => {
            Err(Error::operation(format!(
                "the sandbox of chat templates allows no method that changes a {}: .{name}()",
                value.type_name()
            )))
        }
        Value::Dict(dict) => match name {
            "get" => {
                let [key, default] = given.bind("get", ["key", "default"], 1)?;
                let key = key.unwrap_or(Value::None).key(meter)?;
                let found = dict.entries.get(&key).map(|(_, value)| value.clone());
                Ok(found.or(default).unwrap_or(Value::None))
            }
            "items" => pairs(value, meter).and_then(|items| meter.view("dict_items", items)),
            "keys" => meter.view("dict_keys", value.items(meter)?),
            "values" => meter.view(
                "dict_values",
                dict.entries
                    .values()
                    .map(|(_, value)| value.clone())
                    .collect(),
            ),
            _ => Ok(value.clone()),
        },
        Value::List(list) | Value::Tuple(list) | Value::View(_, list) => match name {
            "count" | "index" => {
                let [item] = given.bind(name, ["value"], 1)?;
                let item = item.unwrap_or(Value::None);
                let mut count = 0;
                for (index, found) in list.items.iter().enumerate() {
                    if found.equals(&item, meter)? {
                        if name == "index" {
                            return Ok(Value::Int(index as i128));
                        }
                        count += 1;
                    }
                }
                match name {
                    "index" => Err(Error::operation("the list does not hold that value")),
                    _ => Ok(Value::Int(count)),
                }
            }
            _ => Ok(value.clone()),
        },
        Value::Loop(state) => match name {
            "cycle" => {
                let count = given.positional.len();
                let at = state.index.get().checked_rem(count);
                let at = at.ok_or_else(|| Error::operation("no items for cycling given"))?;
                Ok(given.positional[at].clone())
            }
            _ => {
                let now = meter.tuple(given.positional)?;
                let mut last = state.last.borrow_mut();
                let same = match &*last {
                    Some(last) => last.equals(&now, meter)?,
                    None => false,
                };
                *last = Some(now);
                Ok(Value::Bool(!same))
            }
        },
        Value::Cycler(cycler) => {
            let at = match name {
                "reset" => {
                    cycler.at.set(0);
                    return Ok(Value::None);
                }
                _ => cycler.at.get(),
            };
            cycler.at.set((at + 1) % cycler.items.len().max(1));
            cycler
                .items
                .get(at)
                .cloned()
                .ok_or_else(|| Error::operation("at least one item has to be provided"))
        }
        Value::Float(number) => Ok(Value::Bool(number.fract() == 0.0)),
        Value::Int(number) if name == "bit_length" => Ok(Value::Int(i128::from(
            128 - number.unsigned_abs().leading_zeros(),
        ))),
        _ => Ok(Value::Bool(true)),
    }
}
