//! What templates can call by name, and the namespaces that one of them makes.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use indexmap::IndexMap;

use super::access::{item, pairs};
use super::dates::Day;
use super::error::{Error, Result};
use super::given::{Given, int_or, text_of};
use super::meter::Meter;
use super::value::{Cycler, Joiner, Key, MUTABLE_DEPTH, Namespace, Value, make::insert};

/// Every function that [`call`] knows.
pub(super) const NAMES: [&str; 7] = [
    "range",
    "dict",
    "namespace",
    "cycler",
    "joiner",
    "raise_exception",
    "strftime_now",
];

/// Items of a `range`, as the sandbox of Jinja2 bounds it.
const MAX_RANGE: i128 = 100_000;

/// The day of a rendering.
pub(super) struct Today {
    pub day: Day,
    /// Whether it was asked for.
    pub asked: Cell<bool>,
}

/// Calls a function.
pub(super) fn call(name: &str, given: Given, today: &Today, meter: &Meter) -> Result<Value> {
    match name {
        "range" => {
            let [first, second, step] = given.bind(name, ["start", "stop", "step"], 1)?;
            let first = int_or(first, 0, name)?;
            let (start, stop) = match second {
                None => (0, first),
                second => (first, int_or(second, 0, name)?),
            };
            let step = int_or(step, 1, name)?;
            if step == 0 {
                return Err(Error::operation("range() arg 3 must not be zero"));
            }
            let span = stop.saturating_sub(start);
            let count = match step > 0 {
                true => (span.max(0).saturating_add(step - 1)) / step,
                false => {
                    (span.saturating_neg().max(0).saturating_sub(step + 1)) / step.saturating_neg()
                }
            };
            if count > MAX_RANGE {
                return Err(Error::bound(format!("a range is longer than {MAX_RANGE}")));
            }
            let items = (0..count).map(|index| Value::Int(start + index * step));
            meter.view("range", items.collect())
        }
        "dict" => {
            let mut entries = IndexMap::new();
            for value in &given.positional {
                extend(&mut entries, value, meter)?;
            }
            for (name, value) in given.named {
                insert(&mut entries, Value::Text(name), value, meter)?;
            }
            meter.dict(entries)
        }
        "namespace" => {
            let mut entries = IndexMap::new();
            for value in &given.positional {
                extend(&mut entries, value, meter)?;
            }
            let namespace = Rc::new(Namespace::default());
            let positional = entries
                .into_values()
                .filter_map(|(key, value)| Some((key.as_text()?.clone(), value)));
            for (name, value) in positional.chain(given.named) {
                set_field(&namespace, &name, value)?;
            }
            Ok(Value::Namespace(namespace))
        }
        "cycler" => match given.positional.is_empty() {
            true => Err(Error::operation("at least one item has to be provided")),
            false => {
                shallow(given.positional.iter())?;
                let (items, at) = (given.positional, Default::default());
                Ok(Value::Cycler(Rc::new(Cycler { items, at })))
            }
        },
        "joiner" => {
            let [separator] = given.bind(name, ["sep"], 0)?;
            let separator = separator.unwrap_or_else(|| Value::text(", "));
            shallow([&separator].into_iter())?;
            let used = Default::default();
            Ok(Value::Joiner(Rc::new(Joiner { separator, used })))
        }
        "raise_exception" => {
            let [message] = given.bind(name, ["message"], 1)?;
            let message = message.unwrap_or(Value::None).to_text(meter)?;
            Err(Error::raised(&*message))
        }
        _ => {
            let [format] = given.bind("strftime_now", ["format"], 1)?;
            let format = text_of(&format.unwrap_or(Value::None), name)?;
            meter.charge_times(64, format.len())?;
            today.asked.set(true);
            meter.text(today.day.format(&format)?)
        }
    }
}

/// Values that change hold none of their own kind.
fn shallow<'v>(values: impl Iterator<Item = &'v Value>) -> Result<()> {
    for value in values {
        if value.depth() >= MUTABLE_DEPTH {
            return Err(Error::operation(
                "a namespace, loop, cycler or joiner cannot hold another",
            ));
        }
    }
    Ok(())
}

/// `namespace.name = value`
pub(super) fn set_field(namespace: &Namespace, name: &str, value: Value) -> Result<()> {
    shallow([&value].into_iter())?;
    if name.starts_with('_') {
        return Err(Error::operation(format!(
            "Chat templates cannot store underscore-prefixed attributes on a namespace, but got '{name}'"
        )));
    }
    let fields: &RefCell<_> = &namespace.fields;
    fields.borrow_mut().insert(name.into(), value);
    Ok(())
}

/// Adds what `dict` takes from a dict or a list of pairs.
fn extend(entries: &mut IndexMap<Key, (Value, Value)>, value: &Value, meter: &Meter) -> Result<()> {
    let found = match value {
        Value::Dict(_) => pairs(value, meter)?,
        value => value.items(meter)?,
    };
    for pair in found {
        if pair.len() != Some(2) {
            return Err(Error::operation("dict expects pairs of a key and a value"));
        }
        let [key, value] = [0, 1].map(|at| item(&pair, &Value::Int(at), meter));
        insert(entries, key?, value?, meter)?;
    }
    Ok(())
}
