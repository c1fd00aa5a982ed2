//! Tables whose keys are the user's own.

use serde_json::{Map, Number, Value as Json};

use super::{Keys, Need, Node, Value};

impl Keys<'_> {
    /// A table of any keys and values, but dates and numbers that are not finite; empty where it is left out, and then
    /// not among the settings.
    pub fn object(&mut self, key: &str) -> Map<String, Json> {
        const EXPECTED: &str = "a table of texts, finite numbers, truth values, lists and tables";
        let found = self.read(key, Need::Optional, EXPECTED, |node| {
            node.as_table().and_then(|_| json(node))
        });
        match found {
            Some(Json::Object(map)) => map,
            _ => Map::new(),
        }
    }
}

fn json(node: &Node) -> Option<Json> {
    Some(match &node.value {
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(value) => Json::Number((*value).into()),
        Value::Float(value) => Json::Number(Number::from_f64(*value)?),
        Value::Str(text) => Json::String(text.clone()),
        Value::Date(_) => return None,
        Value::Array(items) => Json::Array(items.iter().map(json).collect::<Option<_>>()?),
        Value::Table(table) => {
            let entries = table.0.iter();
            let entries = entries.map(|(name, node)| Some((name.clone(), json(node)?)));
            Json::Object(entries.collect::<Option<_>>()?)
        }
    })
}
