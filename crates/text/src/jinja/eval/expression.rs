//! What expressions give.

use indexmap::IndexMap;

use super::Run;
use crate::jinja::access::{attribute, item, slice};
use crate::jinja::ast::{Binary, Compare, Expr, Node};
use crate::jinja::error::{Error, Result};
use crate::jinja::meter::Meter;
use crate::jinja::ops::binary;
use crate::jinja::value::{Scope, Value, make::insert};
use crate::jinja::{filters, predicates};

impl Run<'_> {
    pub(super) fn eval(&mut self, node: &Node, scope: &Scope) -> Result<Value> {
        self.deeper(|run| run.expression(&node.expr, scope))
    }

    pub(super) fn all(&mut self, nodes: &[Node], scope: &Scope) -> Result<Vec<Value>> {
        nodes.iter().map(|node| self.eval(node, scope)).collect()
    }

    fn expression(&mut self, expr: &Expr, scope: &Scope) -> Result<Value> {
        let meter = self.meter;
        Ok(match expr {
            Expr::None => Value::None,
            Expr::Bool(value) => Value::Bool(*value),
            Expr::Int(number) => Value::Int(*number),
            Expr::Float(number) => Value::Float(*number),
            Expr::Text(text) => meter.text(text)?,
            Expr::Name(name) => self.name(name, scope)?,
            Expr::List(items) => meter.list(self.all(items, scope)?)?,
            Expr::Tuple(items) => meter.tuple(self.all(items, scope)?)?,
            Expr::Dict(entries) => {
                let mut dict = IndexMap::new();
                for (key, value) in entries {
                    let (key, value) = (self.eval(key, scope)?, self.eval(value, scope)?);
                    insert(&mut dict, key, value, meter)?;
                }
                meter.dict(dict)?
            }
            Expr::Attribute(value, name) => {
                let value = self.eval(value, scope)?;
                attribute(&value, &(&**name).into(), meter)?
            }
            Expr::Item(value, key) => {
                let (value, key) = (self.eval(value, scope)?, self.eval(key, scope)?);
                item(&value, &key, meter)?
            }
            Expr::Slice(value, ends) => {
                let value = self.eval(value, scope)?;
                let mut given = [Value::None, Value::None, Value::None];
                for (given, end) in given.iter_mut().zip(ends) {
                    if let Some(end) = end {
                        *given = self.eval(end, scope)?;
                    }
                }
                let [start, stop, step] = &given;
                slice(&value, [start, stop, step], meter)?
            }
            Expr::Call(callee, args) => {
                let callee = self.eval(callee, scope)?;
                let given = self.arguments(args, scope)?;
                self.call(&callee, given)?
            }
            Expr::Filter(value, name, args) => {
                let value = match value {
                    Some(value) => self.eval(value, scope)?,
                    None => self.filtered.last().cloned().unwrap_or(Value::None),
                };
                let given = self.arguments(args, scope)?;
                filters::apply(name, value, given, meter)?
            }
            Expr::Test(value, name, args) => {
                let value = self.eval(value, scope)?;
                let given = self.arguments(args, scope)?;
                Value::Bool(predicates::apply(name, value, given, meter)?)
            }
            Expr::Not(value) => Value::Bool(!self.holds(value, scope)?),
            Expr::Negative(value) => {
                let value = self.eval(value, scope)?;
                match (&value, value.as_int()) {
                    (Value::Float(number), _) => Value::Float(-number),
                    (_, Some(number)) => {
                        binary(Binary::Subtract, &Value::Int(0), &Value::Int(number), meter)?
                    }
                    _ => return Err(unary("-", &value)),
                }
            }
            Expr::Positive(value) => {
                let value = self.eval(value, scope)?;
                match (&value, value.as_int()) {
                    (Value::Float(_), _) => value,
                    (_, Some(number)) => Value::Int(number),
                    _ => return Err(unary("+", &value)),
                }
            }
            Expr::Binary(operator, left, right) => {
                let (left, right) = (self.eval(left, scope)?, self.eval(right, scope)?);
                binary(*operator, &left, &right, meter)?
            }
            Expr::And(left, right) => {
                let left = self.eval(left, scope)?;
                match self.given(left.clone())?.truth() {
                    true => self.eval(right, scope)?,
                    false => left,
                }
            }
            Expr::Or(left, right) => {
                let left = self.eval(left, scope)?;
                match self.given(left.clone())?.truth() {
                    true => left,
                    false => self.eval(right, scope)?,
                }
            }
            Expr::Compare(first, rest) => {
                let mut left = self.eval(first, scope)?;
                for (operator, right) in rest {
                    let right = self.eval(right, scope)?;
                    if !compare(*operator, &left, &right, meter)? {
                        return Ok(Value::Bool(false));
                    }
                    left = right;
                }
                Value::Bool(true)
            }
            Expr::Concat(items) => {
                let mut text = String::new();
                for item in items {
                    let item = self.eval(item, scope)?;
                    self.given(item)?.write(&mut text, meter)?;
                }
                meter.text(text)?
            }
            Expr::Condition { test, then, other } => match (self.holds(test, scope)?, other) {
                (true, _) => self.eval(then, scope)?,
                (false, Some(other)) => self.eval(other, scope)?,
                (false, None) => Value::Undefined(
                    "the inline if-expression evaluated to false and no else section was defined."
                        .into(),
                ),
            },
        })
    }
}

fn unary(sign: &str, value: &Value) -> Error {
    match value {
        Value::Undefined(what) => Error::operation(&**what),
        value => Error::operation(format!(
            "bad operand type for unary {sign}: '{}'",
            value.type_name()
        )),
    }
}

fn compare(operator: Compare, left: &Value, right: &Value, meter: &Meter) -> Result<bool> {
    Ok(match operator {
        Compare::Equal => left.equals(right, meter)?,
        Compare::Unequal => !left.equals(right, meter)?,
        Compare::Less => left.compare(right, meter)?.is_some_and(|it| it.is_lt()),
        Compare::LessEqual => left.compare(right, meter)?.is_some_and(|it| it.is_le()),
        Compare::Greater => left.compare(right, meter)?.is_some_and(|it| it.is_gt()),
        Compare::GreaterEqual => left.compare(right, meter)?.is_some_and(|it| it.is_ge()),
        Compare::In => right.contains(left, meter)?,
        Compare::NotIn => !right.contains(left, meter)?,
    })
}
