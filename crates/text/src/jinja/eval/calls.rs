//! Calls: what they are given, macros, and what of `loop` and `joiner` is called.

use std::rc::Rc;
use std::sync::Arc;

use super::Run;
use crate::jinja::access::{item, pairs};
use crate::jinja::ast::{Args, Macro};
use crate::jinja::error::{Error, Result};
use crate::jinja::given::Given;
use crate::jinja::value::{MacroValue, Scope, Value, within};
use crate::jinja::{functions, methods};

/// Bytes of a scope that a macro keeps, about.
const KEPT_BYTES: usize = 512;

impl Run<'_> {
    pub(super) fn make_macro(&mut self, definition: &Arc<Macro>, scope: &Scope) -> Result<Value> {
        // The scope stays until the end.
        self.meter.charge(KEPT_BYTES)?;
        self.kept.push(scope.clone());
        Ok(Value::Macro(Rc::new(MacroValue {
            definition: definition.clone(),
            scope: scope.clone(),
        })))
    }

    pub(super) fn arguments(&mut self, args: &Args, scope: &Scope) -> Result<Given> {
        let mut given = Given {
            positional: self.all(&args.positional, scope)?,
            named: Vec::new(),
        };
        if let Some(rest) = &args.rest {
            let rest = self.eval(rest, scope)?;
            given.positional.extend(rest.items(self.meter)?);
        }
        for (name, value) in &args.named {
            given
                .named
                .push(((&**name).into(), self.eval(value, scope)?));
        }
        if let Some(rest) = &args.rest_named {
            let rest = self.eval(rest, scope)?;
            for pair in pairs(&rest, self.meter)? {
                let [name, value] = [0, 1].map(|at| item(&pair, &Value::Int(at), self.meter));
                let name = name?.as_text().cloned();
                let name = name.ok_or_else(|| Error::operation("keywords must be strings"))?;
                given.named.push((name, value?));
            }
        }
        Ok(given)
    }

    /// Calls a value.
    pub(super) fn call(&mut self, callee: &Value, given: Given) -> Result<Value> {
        match callee {
            Value::Macro(it) => self.call_macro(it, given),
            Value::Method(method) => methods::call(&method.0, &method.1, given, self.meter),
            Value::Function(name) => functions::call(name, given, &self.today, self.meter),
            Value::Joiner(joiner) => Ok(match joiner.used.replace(true) {
                true => joiner.separator.clone(),
                false => Value::text(""),
            }),
            Value::Loop(state) => {
                let [items] = given.bind("loop", ["iterable"], 1)?;
                let Some((it, scope)) = &state.recursive else {
                    return Err(Error::operation(
                        "The loop must have the 'recursive' marker to be called recursively.",
                    ));
                };
                let items = items.unwrap_or(Value::None);
                let (_, text) = self.captured(|run| {
                    run.deeper(|run| run.for_loop(it, items, scope, state.level + 1))
                })?;
                Ok(text)
            }
            Value::Undefined(what) => Err(Error::operation(&**what)),
            other => Err(Error::operation(format!(
                "'{}' object is not callable",
                other.type_name()
            ))),
        }
    }

    fn call_macro(&mut self, it: &MacroValue, given: Given) -> Result<Value> {
        let definition = &*it.definition;
        let what = format!("macro '{}'", definition.name);
        let scope = within(&it.scope);
        let mut named = given.named;
        let mut positional = given.positional.into_iter();
        for (name, default) in &definition.parameters {
            self.meter.step(named.len() as u64)?;
            let place = named.iter().position(|(given, _)| **given == **name);
            let value = match (positional.next(), place) {
                (Some(_), Some(_)) => {
                    return Err(Error::operation(format!(
                        "{what} got multiple values for argument '{name}'"
                    )));
                }
                (Some(value), None) => value,
                (None, Some(place)) => named.remove(place).1,
                (None, None) => match default {
                    Some(default) => self.eval(default, &scope)?,
                    None => Value::Undefined(format!("parameter '{name}' was not provided").into()),
                },
            };
            scope.own.borrow_mut().insert(name.clone(), value);
        }
        if definition.uses_caller {
            let place = named.iter().position(|(name, _)| &**name == "caller");
            let caller = match place {
                Some(place) => named.remove(place).1,
                None => Value::Undefined("No caller defined".into()),
            };
            scope.own.borrow_mut().insert("caller".into(), caller);
        }
        let rest: Vec<Value> = positional.collect();
        if definition.uses_varargs {
            scope
                .own
                .borrow_mut()
                .insert("varargs".into(), self.meter.tuple(rest)?);
        } else if !rest.is_empty() {
            let count = definition.parameters.len();
            return Err(Error::operation(format!(
                "{what} takes not more than {count} argument(s)"
            )));
        }
        if definition.uses_kwargs {
            let dict = self.meter.named_dict(named)?;
            scope.own.borrow_mut().insert("kwargs".into(), dict);
        } else if let Some((name, _)) = named.first() {
            return Err(Error::operation(format!(
                "{what} takes no keyword argument '{name}'"
            )));
        }
        let (_, text) =
            self.captured(|run| run.deeper(|run| run.body(&definition.body, &scope)))?;
        Ok(text)
    }
}
