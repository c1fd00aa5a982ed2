//! Reading a stage's settings: every key asked for is checked, recorded and documented by the same
//! call, and every problem is kept with its place instead of ending the reading.

mod links;
mod lists;
mod node;
mod object;
mod problem;
mod scalars;
#[cfg(test)]
mod tests;
mod variant;
mod words;

use std::collections::BTreeMap;
use std::path::PathBuf;

use indexmap::IndexMap;
use serde_json::{Map, Value as Json, json};

pub use node::{Node, Table, Value};
pub use problem::{Lacks, Origin, Problem, Problems, brief, nearest, suggest};

use crate::hub::{self, Pinned, Wanted};
use crate::stage::settings::produces::Produces;
pub use words::{BATCH, COUNT, LARGE, POSITIVE, SAMPLES, SEED, SIZE, Within};

/// A reference to another stage of the recipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageRef {
    /// The stage's name, without the `@`.
    pub name: String,
}

/// A stage that references may name.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// Its kind.
    pub kind: &'static str,
    /// What it makes.
    pub produces: Produces,
}

/// What lies on a hub, as a setting names it.
#[derive(Clone, Debug)]
pub struct OnHub {
    /// As it was written.
    pub name: String,
    pub wanted: Wanted,
    /// What it is, once that was asked.
    pub pinned: Option<Pinned>,
}

/// What settings are read against.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// The recipe's stages; `None` for one whose own kind is not known.
    pub stages: BTreeMap<String, Option<Offer>>,
    /// What `${DATA}`, `${MODEL}` and `${LARGER}` stand for, as far as it was given.
    pub given: BTreeMap<&'static str, String>,
    /// What names of a hub are, by name, as far as it was asked.
    pub pins: BTreeMap<String, Pinned>,
}

/// One key of a kind, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyDoc {
    /// The key within the stage, such as `init.std`.
    pub key: String,
    /// Type and range in words.
    pub expected: String,
    /// The value it has when left out.
    pub default: Option<Json>,
    /// Whether it must be given.
    pub required: bool,
    /// The ends of its range, if it is a number or a list of them.
    pub ends: Option<[Json; 2]>,
    /// One line, where the kind gave one.
    pub doc: &'static str,
    /// The choice that opens it, such as `judge = "endpoint"`, where it is not open.
    pub goes_with: Option<String>,
}

/// A reference or path found while reading, by its place in the settings.
#[derive(Clone, Debug)]
pub struct Link<T> {
    /// Path of keys (and list indices) within the settings.
    pub key: Vec<String>,
    /// Where it was written.
    pub origin: Origin,
    /// What it leads to.
    pub to: T,
}

/// All that reading has brought to light.
#[derive(Debug, Default)]
pub struct Reading {
    /// Every key's value, defaults included; an optional key left out is not among them.
    pub settings: Map<String, Json>,
    /// References to stages.
    pub refs: Vec<Link<StageRef>>,
    /// Files and folders, whose content takes part in the stage's identity.
    pub paths: Vec<Link<PathBuf>>,
    /// What lies on a hub, whose commit does.
    pub on_hub: Vec<Link<OnHub>>,
    /// The keys asked for, in order.
    pub docs: Vec<KeyDoc>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// A reference could not be followed, so `refs` may be short.
    pub lost_refs: bool,
}

/// The keys of one table, read one by one.
///
/// A default of `None` makes a key required. Where a key has a problem, its reader returns the
/// default or some value of the type, so that reading goes on. When `Keys` is dropped, keys that
/// were never asked for become problems.
pub struct Keys<'a> {
    scope: &'a Scope,
    table: Option<&'a Table>,
    origin: Origin,
    /// Full path of the table, such as `stage.sft`.
    path: Vec<String>,
    /// How many leading segments of `path` are not part of the settings.
    root: usize,
    found: &'a mut Reading,
    known: Vec<String>,
    /// Keys that only another choice opens, and what is said of one that is given.
    closed: IndexMap<String, String>,
    doc: &'static str,
    ends: Option<[Json; 2]>,
    open: bool,
}

enum Need<T> {
    Required,
    Optional,
    Default(T),
}

impl<T> From<Option<T>> for Need<T> {
    fn from(default: Option<T>) -> Self {
        default.map_or(Self::Required, Self::Default)
    }
}

impl<'a> Keys<'a> {
    /// Reads the table `node`, called `path` in messages.
    pub fn new(scope: &'a Scope, node: &'a Node, path: &[&str], found: &'a mut Reading) -> Self {
        let path: Vec<String> = path.iter().map(ToString::to_string).collect();
        if node.as_table().is_none() {
            let message = format!("expected a table, found {}", node.show());
            found
                .problems
                .push(Problem::new(node.origin.clone(), path.join("."), message));
        }
        Self {
            scope,
            table: node.as_table(),
            origin: node.origin.clone(),
            root: path.len(),
            path,
            found,
            known: Vec::new(),
            closed: IndexMap::new(),
            doc: "",
            ends: None,
            open: node.as_table().is_none(),
        }
    }

    /// Gives the next key that is read a line of documentation.
    pub fn doc(&mut self, doc: &'static str) -> &mut Self {
        self.doc = doc;
        self
    }

    /// Adds a problem of the kind's own making with `key`, such as two keys that exclude another.
    pub fn problem(&mut self, key: &str, message: impl Into<String>) {
        let origin = self
            .node(key)
            .map_or(&self.origin, |node| &node.origin)
            .clone();
        self.problem_at(origin, key, message.into());
    }

    fn problem_at(&mut self, origin: Origin, key: &str, message: String) {
        let key = self.full(key);
        self.found.problems.push(Problem::new(origin, key, message));
    }

    /// Whether the recipe gives `key` a value.
    pub fn has(&self, key: &str) -> bool {
        self.node(key).is_some()
    }

    /// Whether the recipe gives `key` the name of what lies on a hub, which may not be here yet.
    pub fn is_on_hub(&self, key: &str) -> bool {
        let text = self.node(key).and_then(Node::as_str);
        text.is_some_and(|text| self.meant(text).is_ok_and(|it| hub::is_name(&it)))
    }

    /// The raw value of `key`, which the caller reads by itself.
    pub fn raw(&mut self, key: &str) -> Option<&'a Node> {
        self.known.push(key.into());
        self.node(key)
    }

    /// Lets keys that were never asked for pass.
    pub fn ignore_rest(&mut self) {
        self.open = true;
    }

    fn node(&self, key: &str) -> Option<&'a Node> {
        self.table.and_then(|table| table.get(key))
    }

    fn full(&self, key: &str) -> String {
        let mut path = self.path.clone();
        path.push(key.into());
        path.join(".")
    }

    fn place(&self, key: &str) -> Vec<String> {
        let mut place = self.path[self.root..].to_vec();
        place.push(key.into());
        place
    }

    fn record(&mut self, key: &str, value: Json) {
        let mut map = &mut self.found.settings;
        for segment in &self.path[self.root..] {
            let entry = map.entry(segment.clone()).or_insert_with(|| json!({}));
            match entry {
                Json::Object(inner) => map = inner,
                _ => return,
            }
        }
        map.insert(key.into(), value);
    }

    /// The heart of every reader: documents, finds, converts and records one key.
    fn read<T: Into<Json> + Clone>(
        &mut self,
        key: &str,
        need: Need<T>,
        expected: &str,
        convert: impl FnOnce(&Node) -> Option<T>,
    ) -> Option<T> {
        self.announce(key, &need, expected);
        let value = match (self.node(key), need) {
            (Some(node), need) => match convert(node) {
                Some(value) => value,
                None => {
                    let message = format!("expected {expected}, found {}", node.show());
                    self.problem_at(node.origin.clone(), key, message);
                    return if let Need::Default(value) = need {
                        Some(value)
                    } else {
                        None
                    };
                }
            },
            (None, Need::Default(value)) => value,
            (None, Need::Optional) => return None,
            (None, Need::Required) => {
                self.required(key, expected, false);
                return None;
            }
        };
        self.record(key, value.clone().into());
        Some(value)
    }

    fn announce<T: Into<Json> + Clone>(&mut self, key: &str, need: &Need<T>, expected: &str) {
        self.known.push(key.into());
        let (default, required) = match need {
            Need::Required => (None, true),
            Need::Optional => (None, false),
            Need::Default(value) => (Some(value.clone().into()), false),
        };
        let (doc, ends) = (std::mem::take(&mut self.doc), self.ends.take());
        let key = self.place(key).join(".");
        self.found.docs.push(KeyDoc {
            key,
            expected: expected.into(),
            default,
            required,
            ends,
            doc,
            goes_with: None,
        });
    }

    fn required(&mut self, key: &str, expected: &str, missing_path: bool) {
        if self.open {
            return;
        }
        let mut message = format!("required: expected {expected}");
        if missing_path {
            let path = self.full(key);
            let short = path.strip_prefix("stage.").unwrap_or(&path);
            message.push_str(&format!("; give it with --set {short}=PATH"));
        }
        let mut problem = Problem::new(self.origin.clone(), self.full(key), message);
        if missing_path {
            problem.lacks = Lacks::Path;
        }
        self.found.problems.push(problem);
    }

    /// The keys of the table `key`; one that is left out reads as empty.
    pub fn table(&mut self, key: &str) -> Keys<'_> {
        let node = self.raw(key);
        let table = node.and_then(Node::as_table);
        if let (Some(node), None) = (node, table) {
            let message = format!("expected a table, found {}", node.show());
            self.problem_at(node.origin.clone(), key, message);
        }
        let origin = node.map_or(&self.origin, |node| &node.origin).clone();
        let open = self.open || (node.is_some() && table.is_none());
        let mut path = self.path.clone();
        path.push(key.into());
        Keys {
            scope: self.scope,
            table,
            origin,
            path,
            root: self.root,
            found: self.found,
            known: Vec::new(),
            closed: IndexMap::new(),
            doc: "",
            ends: None,
            open,
        }
    }
}

impl Drop for Keys<'_> {
    fn drop(&mut self) {
        let Some(table) = self.table.filter(|_| !self.open) else {
            return;
        };
        let mut known: Vec<&str> = self.known.iter().map(String::as_str).collect();
        known.dedup();
        for (name, node) in &table.0 {
            if !known.contains(&name.as_str()) {
                let message = match self.closed.get(name) {
                    Some(why) => why.clone(),
                    None => format!("unknown key{}", suggest(name, "keys", &known)),
                };
                let key = self.full(name);
                self.found
                    .problems
                    .push(Problem::new(node.origin.clone(), key, message));
            }
        }
    }
}
