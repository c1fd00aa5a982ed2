//! What values are equal to, and which comes first.

use std::cmp::Ordering;
use std::rc::Rc;

use super::Value;
use crate::jinja::error::{Error, Result};
use crate::jinja::meter::Meter;

impl Value {
    /// `==`
    pub fn equals(&self, other: &Self, meter: &Meter) -> Result<bool> {
        meter.step(1)?;
        Ok(match (self, other) {
            (Self::Undefined(_), Self::Undefined(_)) | (Self::None, Self::None) => true,
            (Self::Text(a) | Self::Safe(a), Self::Text(b) | Self::Safe(b)) => {
                meter.scan(a.len().min(b.len()))?;
                a == b
            }
            (Self::List(a), Self::List(b)) | (Self::Tuple(a), Self::Tuple(b)) => {
                if a.items.len() != b.items.len() {
                    return Ok(false);
                }
                for (a, b) in a.items.iter().zip(&b.items) {
                    if !a.equals(b, meter)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Self::Dict(a), Self::Dict(b)) => {
                if a.entries.len() != b.entries.len() {
                    return Ok(false);
                }
                for (key, (_, value)) in &a.entries {
                    match b.entries.get(key) {
                        Some((_, other)) if value.equals(other, meter)? => {}
                        _ => return Ok(false),
                    }
                }
                true
            }
            (Self::View(name, a), Self::View(other, b)) if name == other => {
                let (a, b) = (Self::List(a.clone()), Self::List(b.clone()));
                a.equals(&b, meter)?
            }
            (Self::Function(a), Self::Function(b)) => a == b,
            _ => match (
                self.as_int(),
                other.as_int(),
                self.as_float(),
                other.as_float(),
            ) {
                (Some(a), Some(b), ..) => a == b,
                (_, _, Some(a), Some(b)) => a == b,
                _ => self.same(other),
            },
        })
    }

    /// Whether both are one object, as far as that can be told.
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::None, Self::None) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::List(a), Self::List(b)) | (Self::Tuple(a), Self::Tuple(b)) => Rc::ptr_eq(a, b),
            (Self::Dict(a), Self::Dict(b)) => Rc::ptr_eq(a, b),
            (Self::Namespace(a), Self::Namespace(b)) => Rc::ptr_eq(a, b),
            (Self::Generator(a), Self::Generator(b)) => Rc::ptr_eq(a, b),
            (Self::Loop(a), Self::Loop(b)) => Rc::ptr_eq(a, b),
            (Self::Macro(a), Self::Macro(b)) => Rc::ptr_eq(a, b),
            _ => false,
        }
    }

    /// `<`, `>` and the like; nothing where a number is not one.
    pub fn compare(&self, other: &Self, meter: &Meter) -> Result<Option<Ordering>> {
        meter.step(1)?;
        match (self, other) {
            (Self::Undefined(what), _) | (_, Self::Undefined(what)) => {
                Err(Error::operation(&**what))
            }
            (Self::Text(a) | Self::Safe(a), Self::Text(b) | Self::Safe(b)) => {
                meter.scan(a.len().min(b.len()))?;
                Ok(Some(a.cmp(b)))
            }
            (Self::List(a), Self::List(b)) | (Self::Tuple(a), Self::Tuple(b)) => {
                for (a, b) in a.items.iter().zip(&b.items) {
                    if !a.equals(b, meter)? {
                        return a.compare(b, meter);
                    }
                }
                Ok(Some(a.items.len().cmp(&b.items.len())))
            }
            _ => match (
                self.as_int(),
                other.as_int(),
                self.as_float(),
                other.as_float(),
            ) {
                (Some(a), Some(b), ..) => Ok(Some(a.cmp(&b))),
                (_, _, Some(a), Some(b)) => Ok(a.partial_cmp(&b)),
                _ => Err(Error::operation(format!(
                    "'{}' and '{}' cannot be compared by order",
                    self.type_name(),
                    other.type_name()
                ))),
            },
        }
    }
}
