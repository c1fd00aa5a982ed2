//! Scores from JSON objects, alone, fenced or in the middle of a text.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::found::{Found, number};

/// So many braces may open what is no object before the search is given up.
const MISSES: usize = 256;

/// JSON that keeps a key given twice, so that it can be refused.
enum Json {
    Object(Vec<(String, Json)>),
    Number(f64),
    Text(String),
    Other,
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Json::Other)
    }
}

impl<'de> Visitor<'de> for Json {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Json::Object(entries))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Json::Other)
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value as f64))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Other)
    }
}

/// Takes the scores of every object in `text`; whether any of them names a criterion.
pub(super) fn read(text: &str, found: &mut Found<'_>) -> Result<bool, String> {
    let mut named = false;
    let (mut from, mut misses) = (0, 0);
    while let Some(at) = text[from..].find('{').map(|at| from + at) {
        let mut objects = serde_json::Deserializer::from_str(&text[at..]).into_iter::<Json>();
        match objects.next() {
            Some(Ok(object)) => {
                named |= take(&object, found)?;
                from = at + objects.byte_offset();
            }
            _ => {
                misses += 1;
                if misses == MISSES {
                    return Err("too many braces that open no object".into());
                }
                from = at + 1;
            }
        }
    }
    Ok(named)
}

fn take(object: &Json, found: &mut Found<'_>) -> Result<bool, String> {
    let Json::Object(entries) = object else {
        return Ok(false);
    };
    let mut named = false;
    for (key, value) in entries {
        if let Some(name) = found.criterion(key).map(str::to_owned) {
            let score = score(value).ok_or_else(|| format!("{name} is no number"))?;
            found.add(&name, score)?;
            named = true;
        } else if key == "scores" {
            named |= take(value, found)?;
        }
    }
    Ok(named)
}

/// `7`, `"7"`, `"7/10"` or `{"score": 7, ...}`.
fn score(value: &Json) -> Option<f64> {
    match value {
        Json::Number(value) => Some(*value),
        Json::Text(text) => match number(text.trim())? {
            (value, "") => Some(value),
            _ => None,
        },
        Json::Object(entries) => {
            let mut scores = entries.iter().filter(|(key, _)| key == "score");
            match (scores.next(), scores.next()) {
                (Some((_, Json::Number(value))), None) => Some(*value),
                _ => None,
            }
        }
        Json::Other => None,
    }
}
