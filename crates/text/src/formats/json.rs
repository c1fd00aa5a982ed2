//! One row as JSON: an object, whose keys are each given once.
//!
//! Python's `json` writes `NaN` and `Infinity`, which JSON does not have. In a column that nothing reads they stop nothing;
//! where one is read, it is named. So are bytes that are no text, which Parquet may hold.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Key of the object that stands for a number which is not finite. No text of a file that is read holds it as a name
/// by chance.
const NOT_FINITE: &str = "\0not finite";

/// Key of the object that stands for bytes that are no text.
const BINARY: &str = "\0bytes";

/// What stands for a number that is not finite.
pub fn not_finite() -> Value {
    mark(NOT_FINITE)
}

/// What stands for bytes that are no text.
pub fn binary() -> Value {
    mark(BINARY)
}

fn mark(key: &str) -> Value {
    let mark = [(key.to_owned(), Value::from(0))];
    mark.into_iter().collect::<Map<_, _>>().into()
}

/// Reads a value that is written as text.
///
/// # Errors
/// What is wrong with it.
pub fn value(text: &str) -> Result<Value, String> {
    let read: Result<Unique, _> = serde_json::from_str(text);
    match read {
        Ok(Unique(value)) => Ok(value),
        Err(error) => Err(format!("text that is no JSON: {error}")),
    }
}

/// Reads a row, `expected` in words.
///
/// # Errors
/// What is wrong with it, and at which column.
pub fn parse(text: &str, expected: &str) -> Result<Map<String, Value>, String> {
    let read = |text: &str| serde_json::from_str::<Unique>(text);
    let row = read(text).or_else(|error| match with_marks(text) {
        Some(marked) => read(&marked),
        None => Err(error),
    });
    match row {
        Ok(Unique(Value::Object(row))) => Ok(row),
        Ok(Unique(other)) => Err(format!("expected {expected}, found {}", kind(&other))),
        Err(error) => {
            // The parser counts lines within this one.
            let error = error.to_string().replace(" at line 1 column", " at column");
            Err(format!("expected {expected}: {error}"))
        }
    }
}

/// What a value is, in words.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(object) if object.contains_key(NOT_FINITE) => "NaN or Infinity",
        Value::Object(object) if object.contains_key(BINARY) => "bytes that are no text",
        Value::Object(_) => "an object",
    }
}

/// Whether a value is, or holds, a number that is not finite.
pub fn holds_not_finite(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(holds_not_finite),
        Value::Object(object) => {
            object.contains_key(NOT_FINITE) || object.values().any(holds_not_finite)
        }
        _ => false,
    }
}

/// The text with marks for numbers that are not finite; nothing where there is none outside of texts.
fn with_marks(text: &str) -> Option<String> {
    let mut marked = String::new();
    let mut found = false;
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        if letter == '"' {
            let mut escaped = false;
            let end = rest[1..].find(|letter| {
                let ends = letter == '"' && !escaped;
                escaped = letter == '\\' && !escaped;
                ends
            })?;
            let (string, after) = rest.split_at(end + 2);
            marked.push_str(string);
            rest = after;
            continue;
        }
        let names = ["NaN", "-NaN", "Infinity", "-Infinity"];
        match names.iter().find_map(|name| rest.strip_prefix(name)) {
            Some(after) => {
                marked.push_str("{\"\\u0000not finite\":0}");
                found = true;
                rest = after;
            }
            None => {
                marked.push(letter);
                rest = &rest[letter.len_utf8()..];
            }
        }
    }
    found.then_some(marked)
}

/// A value whose objects have each key once.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Unique;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }
            fn visit_unit<E>(self) -> Result<Unique, E> {
                Ok(Unique(Value::Null))
            }
            fn visit_bool<E>(self, value: bool) -> Result<Unique, E> {
                Ok(Unique(value.into()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Unique, E> {
                Ok(Unique(value.into()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Unique, E> {
                Ok(Unique(value.into()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Unique, E> {
                Ok(Unique(Number::from_f64(value).into()))
            }
            fn visit_str<E>(self, value: &str) -> Result<Unique, E> {
                Ok(Unique(value.into()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Unique, A::Error> {
                let mut items = Vec::new();
                while let Some(Unique(item)) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Unique(items.into()))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique, A::Error> {
                let mut object = Map::new();
                while let Some(key) = map.next_key::<String>()? {
                    if object.contains_key(&key) {
                        return Err(A::Error::custom(format!("the key {key:?} is given twice")));
                    }
                    let Unique(value) = map.next_value()?;
                    object.insert(key, value);
                }
                Ok(Unique(object.into()))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Map<String, Value>, String> {
        super::parse(text, "an object")
    }

    #[test]
    fn a_key_given_twice_is_named_wherever_it_stands() {
        for text in [
            r#"{"a": 1, "b": 2, "a": 3}"#,
            r#"{"m": [{"a": 1, "a": 2}]}"#,
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains("the key \"a\" is given twice"), "{error}");
        }
    }

    #[test]
    fn numbers_that_are_not_finite_are_kept_apart() {
        let row =
            parse(r#"{"a": NaN, "b": [-Infinity, 1], "c": "NaN \" Infinity", "d": 1e3}"#).unwrap();
        assert_eq!(kind(&row["a"]), "NaN or Infinity");
        assert!(holds_not_finite(&row["b"]) && !holds_not_finite(&row["c"]));
        assert_eq!(row["c"], "NaN \" Infinity");
        assert_eq!(row["d"], 1e3);
        assert!(parse(r#"{"a": NaNa}"#).is_err() && parse("[NaN").is_err());
        assert!(parse("3").unwrap_err().contains("found a number"));
    }
}
