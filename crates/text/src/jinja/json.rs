//! The filter `tojson`: what Python's `json.dumps` writes.

use super::error::{Error, Result};
use super::given::{Given, int_or, text_of};
use super::meter::Meter;
use super::sort::sort;
use super::value::{Value, float::float_text};

struct Writer<'m> {
    meter: &'m Meter,
    ascii: bool,
    indent: Option<String>,
    item: String,
    key: String,
    sort: bool,
    out: String,
}

pub(super) fn to_json(value: &Value, given: Given, meter: &Meter) -> Result<Value> {
    let names = ["ensure_ascii", "indent", "separators", "sort_keys"];
    let [ascii, indent, separators, sort] = given.bind("tojson", names, 0)?;
    let truthy = |value: Option<Value>| value.is_some_and(|value| value.truth());
    let indent = match indent {
        None | Some(Value::None) => None,
        Some(Value::Text(text)) => Some(text.to_string()),
        width => {
            let width = usize::try_from(int_or(width, 0, "tojson")?).unwrap_or(0);
            meter.charge(width)?;
            Some(" ".repeat(width))
        }
    };
    let (item, key) = match separators.filter(|it| !matches!(it, Value::None)) {
        Some(separators) => match &separators.items(meter)?[..] {
            [item, key] => (
                text_of(item, "separators")?.to_string(),
                text_of(key, "separators")?.to_string(),
            ),
            _ => return Err(Error::operation("tojson: separators are two texts")),
        },
        None => (
            if indent.is_some() { "," } else { ", " }.into(),
            ": ".into(),
        ),
    };
    let mut writer = Writer {
        meter,
        ascii: truthy(ascii),
        indent,
        item,
        key,
        sort: truthy(sort),
        out: String::new(),
    };
    writer.value(value, 0)?;
    Ok(Value::text(writer.out))
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<()> {
        self.meter.charge(8)?;
        match value {
            Value::None => self.out.push_str("null"),
            Value::Bool(value) => self.out.push_str(if *value { "true" } else { "false" }),
            Value::Int(number) => self.out.push_str(&number.to_string()),
            Value::Float(number) => self.out.push_str(&float(*number)),
            Value::Text(text) | Value::Safe(text) => self.text(text)?,
            Value::List(list) | Value::Tuple(list) => {
                self.out.push('[');
                for (index, item) in list.items.iter().enumerate() {
                    self.between(index, depth)?;
                    self.value(item, depth + 1)?;
                }
                self.close(list.items.is_empty(), depth)?;
                self.out.push(']');
            }
            Value::Dict(dict) => {
                let mut entries = Vec::new();
                for (key, value) in dict.entries.values() {
                    let name = match key {
                        Value::Text(text) | Value::Safe(text) => text.to_string(),
                        Value::None => "null".into(),
                        Value::Bool(value) => value.to_string(),
                        Value::Int(number) => number.to_string(),
                        Value::Float(number) => float(*number),
                        other => {
                            let kind = other.type_name();
                            return Err(Error::operation(format!(
                                "keys must be str, int, float, bool or None, not {kind}"
                            )));
                        }
                    };
                    entries.push((key, name, value));
                }
                if self.sort {
                    entries = sort(entries, &mut |(a, ..), (b, ..)| a.compare(b, self.meter))?;
                }
                self.out.push('{');
                for (index, (_, name, value)) in entries.iter().enumerate() {
                    self.between(index, depth)?;
                    self.text(name)?;
                    self.meter.charge(self.key.len())?;
                    self.out.push_str(&self.key);
                    self.value(value, depth + 1)?;
                }
                self.close(entries.is_empty(), depth)?;
                self.out.push('}');
            }
            Value::Undefined(_) => {
                return Err(Error::operation(
                    "Object of type Undefined is not JSON serializable",
                ));
            }
            other => {
                let kind = other.type_name();
                return Err(Error::operation(format!(
                    "Object of type {kind} is not JSON serializable"
                )));
            }
        }
        Ok(())
    }

    fn between(&mut self, index: usize, depth: usize) -> Result<()> {
        if index > 0 {
            self.meter.charge(self.item.len())?;
            self.out.push_str(&self.item);
        }
        self.line(depth + 1)
    }

    fn close(&mut self, empty: bool, depth: usize) -> Result<()> {
        if empty { Ok(()) } else { self.line(depth) }
    }

    fn line(&mut self, depth: usize) -> Result<()> {
        if let Some(indent) = &self.indent {
            self.meter.charge_times(indent.len(), depth)?;
            self.out.push('\n');
            for _ in 0..depth {
                self.out.push_str(indent);
            }
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<()> {
        self.meter.charge(2 * text.len())?;
        self.out.push('"');
        for letter in text.chars() {
            match letter {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\x08' => self.out.push_str("\\b"),
                '\x0c' => self.out.push_str("\\f"),
                letter if letter < ' ' || self.ascii && !(' '..='~').contains(&letter) => {
                    let mut units = [0; 2];
                    for unit in letter.encode_utf16(&mut units) {
                        self.out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                letter => self.out.push(letter),
            }
        }
        self.out.push('"');
        Ok(())
    }
}

fn float(number: f64) -> String {
    match number {
        number if number.is_nan() => "NaN".into(),
        f64::INFINITY => "Infinity".into(),
        f64::NEG_INFINITY => "-Infinity".into(),
        number => float_text(number),
    }
}
