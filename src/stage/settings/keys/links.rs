//! Keys that lead elsewhere: to other stages, and to files.

use std::io::ErrorKind;
use std::path::PathBuf;

use serde_json::Value as Json;

use super::{Keys, Lacks, Link, Need, Node, OnHub, Problem, StageRef, Value, brief, suggest};
use crate::hub::{self, Wanted};
use crate::stage::settings::produces::Produces;

impl Keys<'_> {
    /// A reference `"@name"` to a stage that makes one of `allowed`.
    pub fn stage(&mut self, key: &str, allowed: &[Produces]) -> StageRef {
        self.reference(key, Need::Required, allowed)
            .unwrap_or(StageRef {
                name: String::new(),
            })
    }

    /// A reference to a stage, or nothing.
    pub fn optional_stage(&mut self, key: &str, allowed: &[Produces]) -> Option<StageRef> {
        self.reference(key, Need::Optional, allowed)
    }

    fn reference(
        &mut self,
        key: &str,
        need: Need<String>,
        allowed: &[Produces],
    ) -> Option<StageRef> {
        let expected = reference_words(allowed);
        let before = self.found.problems.len();
        let text = self.read(key, need, &expected, |node| {
            node.as_str()
                .filter(|text| text.starts_with('@'))
                .map(str::to_string)
        });
        self.found.lost_refs |= self.found.problems.len() > before;
        let node = self.node(key)?;
        let place = self.place(key);
        self.link(text?.trim_start_matches('@'), node, key, place, allowed)
    }

    /// A list of references, at least one.
    pub fn stages(&mut self, key: &str, allowed: &[Produces]) -> Vec<StageRef> {
        let expected = reference_words(allowed);
        let Ok(nodes) = self.items::<bool>(
            key,
            Need::Required,
            &format!("a list, each item {expected}"),
        ) else {
            self.found.lost_refs = true;
            return Vec::new();
        };
        if nodes.is_empty() {
            self.problem(key, "expected at least one stage, found none");
        }
        let shown: Vec<Json> = nodes
            .iter()
            .filter_map(|node| node.as_str().map(Json::from))
            .collect();
        self.record(key, shown.into());
        let mut refs = Vec::new();
        for (index, node) in nodes.iter().enumerate() {
            let name = format!("{key}[{index}]");
            let mut place = self.place(key);
            place.push(index.to_string());
            match node.as_str().and_then(|text| text.strip_prefix('@')) {
                Some(stage) => refs.extend(self.link(stage, node, &name, place, allowed)),
                None => {
                    self.found.lost_refs = true;
                    let message = format!("expected {expected}, found {}", node.show());
                    self.problem_at(node.origin.clone(), &name, message);
                }
            }
        }
        refs
    }

    fn link(
        &mut self,
        name: &str,
        node: &Node,
        key: &str,
        place: Vec<String>,
        allowed: &[Produces],
    ) -> Option<StageRef> {
        let Some(offer) = self.scope.stages.get(name) else {
            self.found.lost_refs = true;
            let known: Vec<&str> = self.scope.stages.keys().map(String::as_str).collect();
            let message = format!(
                "unknown stage @{}{}",
                brief(name),
                suggest(name, "stages", &known)
            );
            self.problem_at(node.origin.clone(), key, message);
            return None;
        };
        if let Some(offer) = offer.filter(|offer| !allowed.contains(&offer.produces)) {
            let message = format!(
                "expected {}, found @{name}, whose kind {} makes {}",
                reference_words(allowed),
                offer.kind,
                offer.produces
            );
            self.problem_at(node.origin.clone(), key, message);
        }
        let to = StageRef {
            name: name.to_string(),
        };
        self.found.refs.push(Link {
            key: place,
            origin: node.origin.clone(),
            to: to.clone(),
        });
        Some(to)
    }

    /// A file or folder, which must be there; relative to the folder that the command runs in.
    /// `${DATA}/` at its start stands for the data folder of the command line, `${MODEL}` and `${LARGER}` for its models;
    /// `hub:` leads to a hub.
    pub fn path(&mut self, key: &str) -> PathBuf {
        self.leads(key, Need::Required, FILE_OR_FOLDER)
            .unwrap_or_default()
    }

    /// A file or folder as [`Keys::path`], or nothing.
    pub fn optional_path(&mut self, key: &str) -> Option<PathBuf> {
        self.leads(key, Need::Optional, FILE_OR_FOLDER)
    }

    /// A model's folder, as [`Keys::path`].
    pub fn model_path(&mut self, key: &str) -> PathBuf {
        self.leads(key, Need::Required, MODEL).unwrap_or_default()
    }

    /// A model's folder as [`Keys::model_path`]; where it is left out, `found`, which may lie on a hub too.
    pub fn model_path_or_found(&mut self, key: &str, found: Option<String>) -> Option<PathBuf> {
        let given = self.leads(key, Need::Optional, MODEL);
        if self.has(key) {
            return given;
        }
        let node = Node {
            value: Value::Str(found?),
            origin: self.origin.clone(),
        };
        let place = self.place(key);
        let (path, shown) = self.existing(&node, key, place, MODEL)?;
        self.record(key, shown.into());
        Some(path)
    }

    /// A tokenizer's file or folder, as [`Keys::path`].
    pub fn tokenizer_path(&mut self, key: &str) -> PathBuf {
        self.leads(key, Need::Required, TOKENIZER)
            .unwrap_or_default()
    }

    /// A file as [`Keys::path`], and no folder; or nothing.
    pub fn optional_file(&mut self, key: &str) -> Option<PathBuf> {
        self.leads(key, Need::Optional, FILE)
    }

    fn leads(&mut self, key: &str, need: Need<String>, wanted: Leads) -> Option<PathBuf> {
        let expected = format!("a path of {}", wanted.what);
        let expected = expected.as_str();
        self.announce(key, &need, expected);
        let Some(node) = self.node(key) else {
            if matches!(need, Need::Required) {
                self.required(key, expected, true);
            }
            return None;
        };
        let place = self.place(key);
        let (path, shown) = self.existing(node, key, place, wanted)?;
        self.record(key, shown.into());
        Some(path)
    }

    /// The name of an environment variable that holds a secret and is set, or nothing; an empty name is none. What
    /// was written is not told again: it may be the secret itself.
    pub fn secret_variable(&mut self, key: &str) -> Option<String> {
        let expected = "the name of an environment variable";
        self.announce(key, &Need::Default(String::new()), expected);
        let name = match self.node(key) {
            None => "",
            Some(node) => node.as_str().unwrap_or("?"),
        };
        let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        if !name.chars().all(plain) || name.starts_with(|letter: char| letter.is_ascii_digit()) {
            let message =
                format!("expected {expected} (letters, digits and _), not the secret itself");
            self.problem(key, message);
            return None;
        }
        if name.is_empty() {
            self.record(key, name.into());
            return None;
        }
        if std::env::var_os(name).is_none_or(|value| value.is_empty()) {
            let origin = self.node(key).map(|node| node.origin.clone());
            let message = "the environment variable of this name is not set; set it (export NAME=...) or leave the \
                           key out";
            let origin = origin.unwrap_or_else(|| self.origin.clone());
            let mut problem = Problem::new(origin, self.full(key), message);
            problem.lacks = Lacks::Variable;
            self.found.problems.push(problem);
        }
        self.record(key, name.into());
        Some(name.to_owned())
    }

    /// A list of files or folders; `required` asks for at least one.
    pub fn paths(&mut self, key: &str, required: bool) -> Vec<PathBuf> {
        let need = if required {
            Need::Required
        } else {
            Need::Default(Vec::<String>::new())
        };
        let Ok(nodes) = self.items(key, need, "a list of paths") else {
            return Vec::new();
        };
        if required && nodes.is_empty() {
            self.problem(key, "expected at least one path, found none");
        }
        let (mut paths, mut shown) = (Vec::new(), Vec::<Json>::new());
        for (index, node) in nodes.iter().enumerate() {
            let mut place = self.place(key);
            place.push(paths.len().to_string());
            let key = format!("{key}[{index}]");
            if let Some((path, name)) = self.existing(node, &key, place, FILE_OR_FOLDER) {
                paths.push(path);
                shown.push(name.into());
            }
        }
        self.record(key, shown.into());
        paths
    }

    /// What a path leads to: one that begins with a variable of the command line stands for what was given there.
    ///
    /// # Errors
    /// Words on what was not given, or is not known.
    pub(super) fn meant(&self, text: &str) -> Result<String, (String, Lacks)> {
        let Some((name, rest)) = text.strip_prefix("${").and_then(|it| it.split_once('}')) else {
            return Ok(text.to_owned());
        };
        let Some((_, what)) = GIVEN.iter().find(|(known, _)| *known == name) else {
            let known = GIVEN.map(|(known, _)| known);
            let known = suggest(name, "variables", &known);
            let message = format!("unknown variable ${{{}}}{known}", brief(name));
            return Err((message, Lacks::Nothing));
        };
        match self.scope.given.get(name) {
            Some(given) => Ok(match rest {
                "" => given.clone(),
                _ => format!("{}{rest}", given.trim_end_matches('/')),
            }),
            None => {
                let message = format!(
                    "{text} needs {what}: give --{} DIR (make ... {name}=DIR)",
                    name.to_lowercase()
                );
                Err((message, Lacks::Path))
            }
        }
    }

    /// The path, and what it is called.
    fn existing(
        &mut self,
        node: &Node,
        key: &str,
        place: Vec<String>,
        wanted: Leads,
    ) -> Option<(PathBuf, String)> {
        let Some(text) = node.as_str().filter(|text| !text.is_empty()) else {
            let message = format!("expected a path of {}, found {}", wanted.what, node.show());
            self.problem_at(node.origin.clone(), key, message);
            return None;
        };
        let path = match self.meant(text) {
            Ok(name) if hub::is_name(&name) => {
                return self.on_hub(&name, node, key, place, wanted.wanted);
            }
            Ok(path) => PathBuf::from(path),
            Err((message, lacks)) => {
                self.lacking(node, key, message, lacks);
                return None;
            }
        };
        let shown = path.display();
        match std::fs::metadata(&path) {
            Ok(it) if it.is_file() || it.is_dir() && wanted.folder => {}
            Ok(it) => {
                let found = if it.is_dir() {
                    "a folder"
                } else {
                    "a pipe or device"
                };
                let message = format!("expected {}, found {found} at {shown}", wanted.what);
                self.problem_at(node.origin.clone(), key, message);
                return None;
            }
            Err(error) => {
                let message = match error.kind() {
                    ErrorKind::NotFound => {
                        format!("expected an existing file or folder, found none at {shown}")
                    }
                    _ => format!("cannot read {shown}: {error}"),
                };
                self.lacking(node, key, message, Lacks::Path);
            }
        }
        self.found.paths.push(Link {
            key: place,
            origin: node.origin.clone(),
            to: path.clone(),
        });
        let shown = path.to_string_lossy().into_owned();
        Some((path, shown))
    }

    fn lacking(&mut self, node: &Node, key: &str, message: String, lacks: Lacks) {
        let mut problem = Problem::new(node.origin.clone(), self.full(key), message);
        problem.lacks = lacks;
        self.found.problems.push(problem);
    }

    /// What lies on a hub: where it will lie here, if it is known what it is.
    fn on_hub(
        &mut self,
        name: &str,
        node: &Node,
        key: &str,
        place: Vec<String>,
        wanted: Wanted,
    ) -> Option<(PathBuf, String)> {
        if let Err(error) = hub::check(name) {
            self.problem_at(node.origin.clone(), key, format!("{error:#}"));
            return None;
        }
        let pinned = self.scope.pins.get(name).cloned();
        let (path, shown) = match &pinned {
            Some(pinned) => (pinned.path.clone(), pinned.name.clone()),
            None => (PathBuf::from(name), name.to_owned()),
        };
        self.found.on_hub.push(Link {
            key: place,
            origin: node.origin.clone(),
            to: OnHub {
                name: name.to_owned(),
                wanted,
                pinned,
            },
        });
        Some((path, shown))
    }
}

/// Variables of a path, and what each stands for.
const GIVEN: [(&str, &str); 3] = [
    ("DATA", "the data folder"),
    ("MODEL", "a pre-trained model"),
    ("LARGER", "a larger pre-trained model"),
];

/// What a path leads to.
#[derive(Clone, Copy)]
struct Leads {
    what: &'static str,
    folder: bool,
    /// What of it is wanted from a hub.
    wanted: Wanted,
}

const FILE: Leads = Leads {
    what: "a file",
    folder: false,
    wanted: Wanted::Data,
};
const FILE_OR_FOLDER: Leads = Leads {
    what: "a file or folder",
    folder: true,
    ..FILE
};
const MODEL: Leads = Leads {
    wanted: Wanted::Model,
    ..FILE_OR_FOLDER
};
const TOKENIZER: Leads = Leads {
    wanted: Wanted::Tokenizer,
    ..FILE_OR_FOLDER
};

fn reference_words(allowed: &[Produces]) -> String {
    let words: Vec<String> = allowed.iter().map(ToString::to_string).collect();
    format!(
        "a reference \"@NAME\" to a stage that makes {}",
        words.join(" or ")
    )
}
