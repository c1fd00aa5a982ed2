//! From columns back to rows (Dremel: Melnik et al., 2010; VLDB 3, 330).

use serde_json::{Map, Value};

use super::column::{Column, Levels};
use super::json::{json, key};
use super::schema::{Kind, Node, Repetition};
use super::thrift::Read;
use crate::formats::bounds::LARGEST_ROW;

/// What a value takes beside its text.
const VALUE: usize = 48;

/// The columns of a group of rows, those that are read.
pub struct Columns {
    pub leaves: Vec<Option<Column>>,
    /// What the row takes so far.
    spent: usize,
    /// What is wrong with a value of the row.
    wrong: Option<String>,
}

impl Columns {
    pub fn new(leaves: Vec<Option<Column>>) -> Self {
        Self {
            leaves,
            spent: 0,
            wrong: None,
        }
    }

    /// The next row's value of a column.
    ///
    /// # Errors
    /// Outside, that the file is damaged; inside, what is wrong with this value alone.
    pub fn value(&mut self, column: &Node) -> Read<Result<Value, String>> {
        let levels = self.levels(column.leaves.0)?.ok_or(SHORT)?;
        if levels.repeated != 0 {
            return Err("a row that begins within another".into());
        }
        let value = self.field(column, levels)?;
        Ok(match self.wrong.take() {
            None => Ok(value),
            Some(wrong) => Err(wrong),
        })
    }

    /// What the row takes so far, in bytes.
    pub fn spent(&self) -> usize {
        self.spent
    }

    /// Begins the next row.
    pub fn begin(&mut self) {
        self.spent = 0;
    }

    /// Whether no column that is read has values left.
    pub fn is_done(&mut self) -> Read<bool> {
        for leaf in self.leaves.iter_mut().flatten() {
            if leaf.peek()?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn column(&mut self, leaf: usize) -> Read<&mut Column> {
        let column = self.leaves.get_mut(leaf).and_then(Option::as_mut);
        column.ok_or_else(|| "a column that was not opened".into())
    }

    fn levels(&mut self, leaf: usize) -> Read<Option<Levels>> {
        self.column(leaf)?.peek()
    }

    fn spend(&mut self, bytes: usize) -> Read<()> {
        self.spent += bytes;
        match self.spent > LARGEST_ROW {
            true => Err(format!("a row of more than {LARGEST_ROW} bytes")),
            false => Ok(()),
        }
    }

    /// A node's value, or the list of those of one that is repeated.
    fn field(&mut self, node: &Node, levels: Levels) -> Read<Value> {
        match node.repetition {
            Repetition::Repeated => self.repeated(node, false),
            _ => self.one(node, levels),
        }
    }

    /// One value of a node; nothing where it is absent.
    fn one(&mut self, node: &Node, levels: Levels) -> Read<Value> {
        self.spend(VALUE)?;
        if let Kind::Leaf(..) = node.kind {
            return self.leaf(node.leaves.0);
        }
        if levels.defined < node.defined {
            self.pass(node)?;
            return Ok(Value::Null);
        }
        match &node.kind {
            Kind::Leaf(..) => Ok(Value::Null),
            Kind::Struct(members) => {
                let mut object = Map::new();
                for member in members {
                    let levels = self.levels(member.leaves.0)?.ok_or(SHORT)?;
                    let value = self.field(member, levels)?;
                    // A struct has all keys that any row has: what a row does not have is nothing, and no key.
                    if !value.is_null() {
                        self.spend(VALUE + member.name.len())?;
                        object.insert(member.name.clone(), value);
                    }
                }
                Ok(object.into())
            }
            Kind::List(items, only_child) => self.repeated(items, *only_child),
            Kind::Map(entries) => {
                let Value::Array(entries) = self.repeated(entries, false)? else {
                    return Ok(Value::Null);
                };
                let entry = |entry: Value| {
                    let Value::Object(entry) = entry else {
                        return None;
                    };
                    let mut entry = entry.into_iter();
                    let name = key(entry.next()?.1);
                    Some((name, entry.next().map_or(Value::Null, |it| it.1)))
                };
                let entries: Map<String, Value> = entries.into_iter().filter_map(entry).collect();
                Ok(entries.into())
            }
        }
    }

    /// All values of a node that is repeated, or of its only child.
    fn repeated(&mut self, node: &Node, only_child: bool) -> Read<Value> {
        self.spend(VALUE)?;
        let mut items = Vec::new();
        let mut levels = self.levels(node.leaves.0)?.ok_or(SHORT)?;
        if levels.defined < node.defined {
            self.pass(node)?;
            return Ok(items.into());
        }
        loop {
            let item = match &node.kind {
                Kind::Struct(members) if only_child => self.field(&members[0], levels)?,
                _ => self.one(node, levels)?,
            };
            items.push(item);
            match self.levels(node.leaves.0)? {
                Some(next) if next.repeated == node.repeated => levels = next,
                _ => return Ok(items.into()),
            }
        }
    }

    /// Goes past what says that a node is absent.
    fn pass(&mut self, node: &Node) -> Read<()> {
        for leaf in node.leaves.0..node.leaves.1 {
            self.spend(1)?;
            let column = self.column(leaf)?;
            let levels = column.peek()?.ok_or(SHORT)?;
            if levels.defined >= node.defined {
                return Err("columns of one group that do not agree on what is there".into());
            }
            column.take()?;
        }
        Ok(())
    }

    fn leaf(&mut self, leaf: usize) -> Read<Value> {
        let column = self.column(leaf)?;
        column.peek()?.ok_or(SHORT)?;
        let (physical, meaning) = (column.leaf.physical, column.leaf.meaning);
        let Some(scalar) = column.take()? else {
            return Ok(Value::Null);
        };
        let (value, size) = json(scalar, physical, meaning);
        self.spend(size)?;
        value.or_else(|wrong| {
            self.wrong.get_or_insert(wrong);
            Ok(Value::Null)
        })
    }
}

const SHORT: &str = "fewer values than rows";
