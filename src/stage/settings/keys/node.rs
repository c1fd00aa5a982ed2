//! TOML values that remember where they were written.

use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::json;
use toml_edit::{Document, Item};

use super::problem::{Origin, Problem, brief};

/// A TOML value without its place.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A string.
    Str(String),
    /// A date or time, which no key takes; its text.
    Date(String),
    /// A list, or an array of tables.
    Array(Vec<Node>),
    /// A table.
    Table(Table),
}

/// A table in the order in which it was written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table(pub IndexMap<String, Node>);

impl Table {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.0.get(key)
    }

    /// The value of a key, to change.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.0.get_mut(key)
    }

    /// Takes a key out.
    pub fn remove(&mut self, key: &str) -> Option<Node> {
        self.0.shift_remove(key)
    }

    /// The keys.
    pub fn names(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    /// Sets a key, merging table into table.
    pub fn merge(&mut self, key: String, node: Node) {
        match self.get_mut(&key) {
            Some(old) => old.merge(node),
            None => {
                self.0.insert(key, node);
            }
        }
    }
}

/// A TOML value and where it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// The line of its key; for a table, of its header.
    pub origin: Origin,
}

impl Node {
    /// Parses a TOML file's text.
    ///
    /// # Errors
    /// The first syntax error, by line.
    pub fn parse(file: &Path, text: &str) -> Result<Self, Problem> {
        let newlines = text.bytes().enumerate();
        let newlines = newlines.filter(|(_, byte)| *byte == b'\n');
        let source = Source {
            file: file.into(),
            newlines: newlines.map(|(at, _)| at).collect(),
        };
        let document = Document::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let message = error.message().trim().replace('\n', "; ");
            Problem::new(
                source.origin(Some(at)),
                "",
                format!("not valid TOML: {message}"),
            )
        })?;
        Ok(source.node(document.as_item(), source.origin(Some(0))))
    }

    /// The table, if it is one.
    pub fn as_table(&self) -> Option<&Table> {
        if let Value::Table(table) = &self.value {
            Some(table)
        } else {
            None
        }
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Value::Str(text) = &self.value {
            Some(text)
        } else {
            None
        }
    }

    /// Lays `over` on top: tables merge key by key, anything else is replaced.
    pub fn merge(&mut self, over: Self) {
        match (&mut self.value, over.value) {
            (Value::Table(base), Value::Table(over)) => {
                for (key, node) in over.0 {
                    base.merge(key, node);
                }
            }
            (value, over_value) => {
                *value = over_value;
                self.origin = over.origin;
            }
        }
    }

    /// The value as an error message shows it.
    pub fn show(&self) -> String {
        match &self.value {
            Value::Bool(value) => value.to_string(),
            Value::Int(value) => value.to_string(),
            Value::Float(value) => format!("{value:?}"),
            Value::Str(text) => json!(brief(text)).to_string(),
            Value::Date(text) => format!("the date {text}"),
            Value::Array(items) if items.len() > 8 => format!("a list of {}", items.len()),
            Value::Array(items) => {
                let items: Vec<String> = items.iter().map(Self::show).collect();
                brief(&format!("[{}]", items.join(", "))).into_owned()
            }
            Value::Table(_) => "a table".into(),
        }
    }
}

struct Source {
    file: Arc<Path>,
    /// Where lines end, in bytes.
    newlines: Vec<usize>,
}

impl Source {
    fn origin(&self, at: Option<usize>) -> Origin {
        let at = at.unwrap_or(0);
        let line = 1 + self.newlines.partition_point(|newline| *newline < at);
        Origin::File {
            file: self.file.clone(),
            line,
        }
    }

    fn node(&self, item: &Item, origin: Origin) -> Node {
        let value = match item {
            Item::None => Value::Table(Table::default()),
            Item::Value(value) => return self.value(value, origin),
            Item::Table(table) => Value::Table(Table(
                table
                    .iter()
                    .map(|(name, item)| {
                        // A header's own line; a key's for anything else.
                        let header = item
                            .as_table()
                            .filter(|table| !table.is_implicit() && !table.is_dotted())
                            .and_then(toml_edit::Table::span);
                        let span = header.or_else(|| table.key(name).and_then(|key| key.span()));
                        let origin = self.origin(span.map(|span| span.start));
                        (name.to_string(), self.node(item, origin))
                    })
                    .collect(),
            )),
            Item::ArrayOfTables(tables) => Value::Array(
                tables
                    .iter()
                    .map(|table| {
                        let origin = self.origin(table.span().map(|span| span.start));
                        self.node(&Item::Table(table.clone()), origin)
                    })
                    .collect(),
            ),
        };
        Node { value, origin }
    }

    fn value(&self, value: &toml_edit::Value, origin: Origin) -> Node {
        let value = match value {
            toml_edit::Value::Boolean(value) => Value::Bool(*value.value()),
            toml_edit::Value::Integer(value) => Value::Int(*value.value()),
            toml_edit::Value::Float(value) => Value::Float(*value.value()),
            toml_edit::Value::String(value) => Value::Str(value.value().clone()),
            toml_edit::Value::Datetime(value) => Value::Date(value.value().to_string()),
            toml_edit::Value::Array(items) => Value::Array(
                items
                    .iter()
                    .map(|item| {
                        let origin = self.origin(item.span().map(|span| span.start));
                        self.value(item, origin)
                    })
                    .collect(),
            ),
            toml_edit::Value::InlineTable(table) => Value::Table(Table(
                table
                    .iter()
                    .map(|(name, value)| {
                        let span = table.key(name).and_then(|key| key.span()).or(value.span());
                        let origin = self.origin(span.map(|span| span.start));
                        (name.to_string(), self.value(value, origin))
                    })
                    .collect(),
            )),
        };
        Node { value, origin }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(node: &Node, path: &[&str]) -> usize {
        let found = path.iter().fold(node, |node, key| match &node.value {
            Value::Array(items) => &items[key.parse::<usize>().unwrap()],
            _ => node.as_table().unwrap().get(key).unwrap(),
        });
        match &found.origin {
            Origin::File { line, .. } => *line,
            Origin::Argument(text) => panic!("{text}"),
        }
    }

    #[test]
    fn every_form_of_toml_keeps_its_line() {
        let text = "a = 1\n\n[stage.sft] # c\nx.y = 2\nz = [\n  3,\n  4]\n[stage.dpo]\nt = {u = 5}\n[[claim]]\nid = 6\n[[claim]]\n";
        let node = Node::parse(Path::new("f.toml"), text).unwrap();
        for (path, expected) in [
            (&["a"][..], 1),
            (&["stage", "sft"], 3),
            (&["stage", "sft", "x", "y"], 4),
            (&["stage", "sft", "z"], 5),
            (&["stage", "sft", "z", "1"], 7),
            (&["stage", "dpo"], 8),
            (&["stage", "dpo", "t", "u"], 9),
            (&["claim", "0", "id"], 11),
            (&["claim", "1"], 12),
        ] {
            assert_eq!(line(&node, path), expected, "{path:?}");
        }
    }

    #[test]
    fn a_syntax_error_is_named_by_line() {
        let problem = Node::parse(Path::new("f.toml"), "a = 1\nb = \nc = 2\n").unwrap_err();
        assert!(
            problem
                .to_string()
                .starts_with("f.toml:2: not valid TOML: "),
            "{problem}"
        );
        let problem = Node::parse(Path::new("f.toml"), "a = 1\nb = 2\na = 2\n").unwrap_err();
        assert!(problem.to_string().starts_with("f.toml:3: "), "{problem}");
    }

    #[test]
    fn merging_keeps_the_place_of_what_is_not_overridden() {
        let mut base = Node::parse(Path::new("a"), "[s]\nx = 1\ny = [1, 2]\n").unwrap();
        let over = Node::parse(Path::new("b"), "\n\n[s]\ny = [3]\nz = 4\n").unwrap();
        base.merge(over);
        let table = base
            .as_table()
            .unwrap()
            .get("s")
            .unwrap()
            .as_table()
            .unwrap();
        let shown: Vec<String> = table
            .0
            .iter()
            .map(|(key, node)| format!("{} {key} {}", node.origin, node.show()))
            .collect();
        assert_eq!(shown, ["a:2 x 1", "b:4 y [3]", "b:5 z 4"]);
    }
}
