//! What a filter, test, method or function is given, by place and by name.

use std::rc::Rc;

use super::error::{Error, Result};
use super::meter::Meter;
use super::value::Value;

#[derive(Clone, Default)]
pub(super) struct Given {
    pub positional: Vec<Value>,
    pub named: Vec<(Rc<str>, Value)>,
}

impl Given {
    /// Steps for the letters of the texts in it, which are read.
    pub fn scan(&self, meter: &Meter) -> Result<()> {
        let named = self.named.iter().map(|(_, value)| value);
        let texts = self
            .positional
            .iter()
            .chain(named)
            .filter_map(Value::as_text);
        meter.scan(texts.map(|text| text.len()).sum())
    }

    /// Puts the arguments into the places of the parameters, of which the first `needed` must be given.
    pub fn bind<const N: usize>(
        self,
        what: &str,
        parameters: [&str; N],
        needed: usize,
    ) -> Result<[Option<Value>; N]> {
        let mut bound = [const { None }; N];
        if self.positional.len() > N {
            let count = self.positional.len();
            return Err(Error::operation(format!(
                "{what} takes at most {N} arguments, {count} given"
            )));
        }
        for (place, value) in bound.iter_mut().zip(self.positional) {
            *place = Some(value);
        }
        for (name, value) in self.named {
            match parameters.iter().position(|parameter| **parameter == *name) {
                Some(place) if bound[place].is_none() => bound[place] = Some(value),
                Some(_) => return Err(Error::operation(format!("{what} is given `{name}` twice"))),
                None => return Err(Error::operation(format!("{what} has no argument `{name}`"))),
            }
        }
        match bound[..needed].iter().position(Option::is_none) {
            Some(missing) => Err(Error::operation(format!(
                "{what} misses its argument `{}`",
                parameters[missing]
            ))),
            None => Ok(bound),
        }
    }
}

/// A whole number that was given, or what stands for it.
pub(super) fn int_or(value: Option<Value>, default: i128, what: &str) -> Result<i128> {
    match value {
        None => Ok(default),
        Some(value) => value.as_int().ok_or_else(|| {
            Error::operation(format!(
                "{what}: an integer is required, not {}",
                value.type_name()
            ))
        }),
    }
}

/// A text that was given.
pub(super) fn text_of(value: &Value, what: &str) -> Result<Rc<str>> {
    match value {
        Value::Undefined(missing) => Err(Error::operation(&**missing)),
        other => other.as_text().cloned().ok_or_else(|| {
            Error::operation(format!(
                "{what}: a str is required, not {}",
                other.type_name()
            ))
        }),
    }
}
