//! Filters that put each item through another filter, or through a test.

use std::rc::Rc;

use super::{fetch, unknown};
use crate::jinja::error::{Error, Result};
use crate::jinja::eval::Run;
use crate::jinja::given::{Given, text_of};
use crate::jinja::tests;
use crate::jinja::value::Value;

pub(super) const NAMES: [&str; 5] = ["map", "reject", "rejectattr", "select", "selectattr"];

pub(super) fn apply(run: &mut Run<'_>, name: &str, value: &Value, given: Given) -> Result<Value> {
    match name {
        "map" => map(run, value, given),
        "select" | "reject" | "selectattr" | "rejectattr" => select(run, name, value, given),
        other => Err(unknown(other)),
    }
}

/// What each item is given anew.
fn given_again(run: &Run<'_>, given: &Given) -> Result<Given> {
    let count = given.positional.len() + given.named.len();
    run.meter.charge(count * size_of::<Value>())?;
    Ok(given.clone())
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
        let default = default.filter(|default| !matches!(default, Value::None));
        for found in value.items(run.meter)? {
            mapped.push(fetch(
                &found,
                attribute.as_ref(),
                default.as_ref(),
                run.meter,
            )?);
        }
    } else {
        if given.positional.is_empty() {
            return Err(Error::operation("map requires a filter argument"));
        }
        let name = text_of(&given.positional.remove(0), "map")?;
        for found in value.items(run.meter)? {
            let given = given_again(run, &given)?;
            // A filter that is mapped may be `map` itself.
            mapped.push(run.deeper(|run| super::apply(run, &name, found, given))?);
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
        let looked_at = fetch(&found, attribute.as_ref(), None, run.meter)?;
        let holds = match &test {
            Some(test) => {
                run.meter.step(1)?;
                let given = given_again(run, &given)?;
                tests::apply(run, test, looked_at, given)?
            }
            None => looked_at.truth(),
        };
        if holds == name.starts_with("select") {
            kept.push(found);
        }
    }
    run.meter.generator(kept)
}
