//! Keys of several values: lists of numbers or texts, and lists of tables.

use serde_json::Value as Json;

use super::words::{NUMBER, WHOLE, as_float, as_whole};
use super::{Keys, Need, Node, Reading, Value, Within};

/// Items of a list.
const MOST_ITEMS: usize = 10_000;

impl<'a> Keys<'a> {
    /// A list of numbers within `range`; `None` as the default makes it required.
    pub fn floats(
        &mut self,
        key: &str,
        default: Option<&[f64]>,
        range: impl Into<Within<f64>>,
    ) -> Vec<f64> {
        let range = range.into();
        self.ends = Some(range.ends());
        self.list(key, default, &range.words(NUMBER), |node| {
            as_float(node, &range)
        })
    }

    /// A list of whole numbers within `range`; `None` as the default makes it required.
    pub fn ints(
        &mut self,
        key: &str,
        default: Option<&[i64]>,
        range: impl Into<Within<i64>>,
    ) -> Vec<i64> {
        let range = range.into();
        self.ends = Some(range.ends());
        self.list(key, default, &range.words(WHOLE), |node| {
            as_whole(node, &range)
        })
    }

    /// A list of strings; `None` as the default makes it required.
    pub fn strings(&mut self, key: &str, default: Option<&[&str]>) -> Vec<String> {
        let default: Option<Vec<String>> =
            default.map(|items| items.iter().map(ToString::to_string).collect());
        self.list(key, default.as_deref(), "a string", |node| {
            node.as_str().map(str::to_string)
        })
    }

    /// A string or a list of strings, at least one; or nothing.
    pub fn optional_names(&mut self, key: &str) -> Option<Vec<String>> {
        let mut names = Vec::new();
        let expected = "a string, or a list of at least one";
        self.read(key, Need::Optional, expected, |node| {
            let one = std::slice::from_ref(node);
            let items = match &node.value {
                Value::Array(items) if items.len() <= MOST_ITEMS => items.as_slice(),
                _ => one,
            };
            let found = items.iter().map(|item| item.as_str().map(str::to_string));
            names = found.collect::<Option<Vec<_>>>()?;
            (!names.is_empty()).then(|| Json::from(names.clone()))
        })?;
        Some(names)
    }

    fn list<T: Into<Json> + Clone>(
        &mut self,
        key: &str,
        default: Option<&[T]>,
        item: &str,
        convert: impl Fn(&Node) -> Option<T>,
    ) -> Vec<T> {
        let expected = format!("a list, each item {item}");
        let nodes = match self.items(key, default.map(<[T]>::to_vec).into(), &expected) {
            Ok(nodes) => nodes,
            Err(default) => return default.unwrap_or_default(),
        };
        let mut values = Vec::with_capacity(nodes.len());
        for (index, node) in nodes.iter().enumerate() {
            match convert(node) {
                Some(value) => values.push(value),
                None => {
                    let message = format!("expected {item}, found {}", node.show());
                    self.problem_at(node.origin.clone(), &format!("{key}[{index}]"), message);
                }
            }
        }
        self.record(key, values.clone().into());
        values
    }

    /// The items of a list, or what stands in for it.
    pub(super) fn items<T: Into<Json> + Clone>(
        &mut self,
        key: &str,
        need: Need<Vec<T>>,
        expected: &str,
    ) -> Result<&'a [Node], Option<Vec<T>>> {
        self.announce(key, &need, expected);
        match (self.node(key), need) {
            (
                Some(Node {
                    value: Value::Array(items),
                    ..
                }),
                _,
            ) if items.len() <= MOST_ITEMS => Ok(items),
            (
                Some(Node {
                    value: Value::Array(items),
                    origin,
                }),
                _,
            ) => {
                let message = format!(
                    "expected a list of at most {MOST_ITEMS}, found {}",
                    items.len()
                );
                self.problem_at(origin.clone(), key, message);
                Err(None)
            }
            (Some(node), _) => {
                let message = format!("expected {expected}, found {}", node.show());
                self.problem_at(node.origin.clone(), key, message);
                Err(None)
            }
            (None, Need::Default(items)) => {
                self.record(key, items.clone().into());
                Err(Some(items))
            }
            (None, Need::Optional) => Err(None),
            (None, Need::Required) => {
                self.required(key, expected, false);
                Err(None)
            }
        }
    }

    /// Reads each table of a list of tables; they are not recorded among the settings.
    pub fn each_table<T>(&mut self, key: &str, mut read: impl FnMut(&mut Keys<'_>) -> T) -> Vec<T> {
        let Ok(nodes) = self.items::<bool>(key, Need::Optional, "a list of tables") else {
            return Vec::new();
        };
        let mut values = Vec::with_capacity(nodes.len());
        for (index, node) in nodes.iter().enumerate() {
            let mut path: Vec<&str> = self.path.iter().map(String::as_str).collect();
            let name = format!("{key}[{index}]");
            path.push(&name);
            let mut found = Reading::default();
            let mut keys = Keys::new(self.scope, node, &path, &mut found);
            let value = read(&mut keys);
            drop(keys);
            self.found.problems.append(&mut found.problems);
            values.push(value);
        }
        values
    }
}
