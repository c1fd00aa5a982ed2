//! `str` and `repr` of values.

use std::rc::Rc;

use super::float::float_text;
use super::{List, Value};
use crate::jinja::error::{Error, Result};
use crate::jinja::meter::Meter;

impl Value {
    /// What `str` makes of it.
    pub fn to_text(&self, meter: &Meter) -> Result<Rc<str>> {
        if let Some(text) = self.as_text() {
            return Ok(text.clone());
        }
        let mut out = String::new();
        self.write(&mut out, meter)?;
        meter.charge(out.len())?;
        Ok(out.into())
    }

    /// Adds what `str` makes of it.
    pub fn write(&self, out: &mut String, meter: &Meter) -> Result<()> {
        match self {
            Self::Undefined(_) => Ok(()),
            Self::Text(text) | Self::Safe(text) => {
                meter.charge(text.len())?;
                out.push_str(text);
                Ok(())
            }
            other => other.write_repr(out, meter),
        }
    }

    /// Adds what `repr` makes of it.
    pub fn write_repr(&self, out: &mut String, meter: &Meter) -> Result<()> {
        meter.charge(16)?;
        let list = |out: &mut String, list: &List, open: &str, close: &str| {
            out.push_str(open);
            for (index, item) in list.items.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                item.write_repr(out, meter)?;
            }
            out.push_str(close);
            Ok(())
        };
        match self {
            Self::Undefined(_) => out.push_str("Undefined"),
            Self::None => out.push_str("None"),
            Self::Bool(value) => out.push_str(if *value { "True" } else { "False" }),
            Self::Int(number) => out.push_str(&number.to_string()),
            Self::Float(number) => out.push_str(&float_text(*number)),
            Self::Text(text) => write_quoted(text, out, meter)?,
            Self::Safe(text) => {
                out.push_str("Markup(");
                write_quoted(text, out, meter)?;
                out.push(')');
            }
            Self::List(items) => list(out, items, "[", "]")?,
            Self::Tuple(items) if items.items.len() == 1 => list(out, items, "(", ",)")?,
            Self::Tuple(items) => list(out, items, "(", ")")?,
            Self::View(name, items) if *name != "range" => {
                out.push_str(name);
                list(out, items, "([", "])")?;
            }
            Self::Dict(dict) => {
                out.push('{');
                for (index, (key, value)) in dict.entries.values().enumerate() {
                    out.push_str(if index > 0 { ", " } else { "" });
                    key.write_repr(out, meter)?;
                    out.push_str(": ");
                    value.write_repr(out, meter)?;
                }
                out.push('}');
            }
            other => {
                return Err(Error::operation(format!(
                    "'{}' has no text: Python would print its place in memory",
                    other.type_name()
                )));
            }
        }
        Ok(())
    }
}

/// Python's quotes and escapes around a text.
fn write_quoted(text: &str, out: &mut String, meter: &Meter) -> Result<()> {
    meter.charge(text.len())?;
    let quote = match text.contains('\'') && !text.contains('"') {
        true => '"',
        false => '\'',
    };
    out.push(quote);
    for letter in text.chars() {
        match letter {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            letter if letter == quote => out.extend(['\\', letter]),
            letter if printable(letter) => out.push(letter),
            letter => {
                let code = u32::from(letter);
                out.push_str(&match code {
                    0..=0xff => format!("\\x{code:02x}"),
                    0x100..=0xffff => format!("\\u{code:04x}"),
                    _ => format!("\\U{code:08x}"),
                });
            }
        }
    }
    out.push(quote);
    Ok(())
}

/// What `str.isprintable` says of a letter. Rust's own escapes follow the same table, but that a letter which joins
/// the one before it is only shown as it is behind one.
pub(in crate::jinja) fn printable(letter: char) -> bool {
    match letter {
        letter if letter.is_ascii() => !letter.is_ascii_control(),
        letter => format!("a{letter}").escape_debug().nth(1) == Some(letter),
    }
}

/// What HTML escapes.
pub fn escape(text: &str, meter: &Meter) -> Result<String> {
    meter.charge(6 * text.len())?;
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
    Ok(escaped)
}
