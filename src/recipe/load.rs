//! Finding a recipe's file and laying it over those it extends.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::stage::settings::keys::{Node, Origin, Problem, Problems, Table, Value, brief, suggest};

use super::DEFAULT_PROFILE;
use super::chain::path_of;
use super::layer::lay;

/// A recipe with what it extends, before a profile is chosen.
pub(super) struct Recipe {
    /// The file's name without its ending.
    pub name: String,
    /// The recipe's own file, as messages name it.
    pub file: PathBuf,
    /// All keys but `extends` and `profile`.
    pub root: Node,
    /// The profiles in the order in which they were declared.
    pub profiles: Vec<(String, Node)>,
}

impl Recipe {
    /// The profile to use, or `None` where the recipe declares none.
    pub fn profile(&self, asked: Option<&str>) -> Result<Option<&str>, Problems> {
        let name = asked.unwrap_or(DEFAULT_PROFILE);
        if let Some((known, _)) = self.profiles.iter().find(|(known, _)| known == name) {
            return Ok(Some(known));
        }
        if self.profiles.is_empty() && name == DEFAULT_PROFILE {
            return Ok(None);
        }
        let known: Vec<&str> = self
            .profiles
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        let known = if known.is_empty() {
            vec![DEFAULT_PROFILE]
        } else {
            known
        };
        let message = format!(
            "unknown profile of {}{}",
            self.name,
            suggest(name, "profiles", &known)
        );
        Err(Problem::new(Origin::argument(format!("--profile {name}")), "", message).into())
    }

    /// Every profile, or the one nameless way to plan a recipe that declares none.
    pub fn profiles_or_none(&self) -> Vec<Option<&str>> {
        match self.profiles.as_slice() {
            [] => vec![None],
            profiles => profiles
                .iter()
                .map(|(name, _)| Some(name.as_str()))
                .collect(),
        }
    }

    /// All keys with a profile laid over them.
    pub fn layered(&self, profile: Option<&str>) -> Node {
        let mut root = self.root.clone();
        let chosen = self
            .profiles
            .iter()
            .find(|(name, _)| Some(name.as_str()) == profile);
        if let Some((_, over)) = chosen {
            lay(&mut root, over.clone());
        }
        root
    }
}

/// Reads a recipe and all it extends.
pub(super) fn load(folder: &Path, name: &str) -> Result<Recipe, Problems> {
    let file = locate(folder, name);
    if !file.is_file() {
        let known = names(folder).unwrap_or_default();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        // No path that there may be is longer.
        let path: String = file.display().to_string().chars().take(4096).collect();
        let message = format!(
            "no such recipe ({path}){}",
            suggest(name, "recipes", &known)
        );
        return Err(Problem::new(Origin::argument(format!("recipe {name}")), "", message).into());
    }
    check_name(&name_of(&file))
        .map_err(|message| Problem::new(Origin::argument(format!("recipe {name}")), "", message))?;
    let mut root = read_chain(folder, &file)?;
    let mut problems = Vec::new();
    let profiles = take_profiles(&mut root, &mut problems);
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    Ok(Recipe {
        name: name_of(&file),
        file,
        root,
        profiles,
    })
}

/// A name that looks like a path is one; any other is a file of the folder.
fn locate(folder: &Path, name: &str) -> PathBuf {
    if name.ends_with(".toml") || name.contains(['/', '\\']) {
        PathBuf::from(name)
    } else {
        folder.join(format!("{name}.toml"))
    }
}

/// Whether a recipe or a profile may have the name.
pub fn is_name(name: &str) -> bool {
    check_name(name).is_ok()
}

fn name_of(file: &Path) -> String {
    file.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// What a recipe or profile may be called: a run's folder bears its name.
fn check_name(name: &str) -> Result<(), String> {
    let plain = |letter: char| letter.is_alphanumeric() || "-_. ".contains(letter);
    if !name.is_empty() && name.len() <= 100 && name.chars().all(plain) && !name.starts_with('.') {
        return Ok(());
    }
    Err(
        "expected a name of letters, digits, spaces, -, _ and dots that begins with no dot; rename it"
            .into(),
    )
}

/// Bytes of one recipe file.
const LARGEST: u64 = 1 << 20;

/// Reads `file` over what it extends.
fn read_chain(folder: &Path, file: &Path) -> Result<Node, Problem> {
    let mut layers: Vec<Node> = Vec::new();
    let (mut file, mut chain, mut seen) = (file.to_owned(), Vec::new(), HashSet::new());
    let mut from: Option<Node> = None;
    loop {
        chain.push(name_of(&file));
        let repeats = !seen.insert(file.canonicalize().unwrap_or_else(|_| file.clone()));
        if let Some(extends) = from.filter(|_| repeats) {
            let message = format!("a cycle: {}", path_of(&chain, " extends "));
            return Err(Problem::new(extends.origin, "extends", message));
        }
        let mut own = Node::parse(&file, &read(&file)?)?;
        let extends = match &mut own.value {
            Value::Table(table) => table.remove("extends"),
            _ => None,
        };
        layers.push(own);
        let Some(extends) = extends else { break };
        file = base(folder, &file, &extends)?;
        from = Some(extends);
    }
    let mut merged = layers.pop().unwrap_or_else(|| Node {
        value: Value::Table(Table::default()),
        origin: Origin::argument(""),
    });
    while let Some(over) = layers.pop() {
        lay(&mut merged, over);
    }
    Ok(merged)
}

fn read(file: &Path) -> Result<String, Problem> {
    let problem = |message: String| {
        let origin = Origin::File {
            file: file.into(),
            line: 1,
        };
        Problem::new(origin, "", message)
    };
    let mut text = String::new();
    File::open(file)
        .and_then(|file| file.take(LARGEST + 1).read_to_string(&mut text))
        .map_err(|error| problem(format!("cannot read the recipe: {error}")))?;
    if text.len() as u64 > LARGEST {
        return Err(problem(format!(
            "expected a recipe of at most {LARGEST} bytes"
        )));
    }
    Ok(text)
}

/// The file that the recipe in `file` extends.
fn base(folder: &Path, file: &Path, extends: &Node) -> Result<PathBuf, Problem> {
    let problem = |message: String| Problem::new(extends.origin.clone(), "extends", message);
    let Some(name) = extends.as_str() else {
        return Err(problem(format!(
            "expected the name of a recipe, found {}",
            extends.show()
        )));
    };
    // A base is looked for beside the recipe that names it, so that a folder can be moved.
    let beside = file.parent().unwrap_or(folder);
    let path = [locate(beside, name), locate(folder, name)]
        .into_iter()
        .find(|path| path.is_file());
    path.ok_or_else(|| {
        let known = names(beside).unwrap_or_default();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        problem(format!(
            "no such recipe {}{}",
            brief(name),
            suggest(name, "recipes", &known)
        ))
    })
}

/// Takes the `profile` table out of the root, checking the shape of each profile.
fn take_profiles(root: &mut Node, problems: &mut Vec<Problem>) -> Vec<(String, Node)> {
    const KEYS: [&str; 8] = [
        "title", "about", "paper", "seeds", "outputs", "stage", "claim", "table",
    ];
    let Value::Table(table) = &mut root.value else {
        return Vec::new();
    };
    let Some(profiles) = table.remove("profile") else {
        return Vec::new();
    };
    let mut wrong = |node: &Node, key: &str, message: String| {
        problems.push(Problem::new(node.origin.clone(), key, message));
    };
    const MOST: usize = 50;
    let Some(Table(entries)) = profiles.as_table() else {
        wrong(
            &profiles,
            "profile",
            format!("expected tables [profile.NAME], found {}", profiles.show()),
        );
        return Vec::new();
    };
    if entries.len() > MOST {
        let message = format!("expected at most {MOST} profiles, found {}", entries.len());
        wrong(&profiles, "profile", message);
    }
    for (name, node) in entries {
        let key = format!("profile.{name}");
        if let Err(message) = check_name(name) {
            wrong(node, &key, message);
        }
        let Some(table) = node.as_table() else {
            wrong(
                node,
                &key,
                format!("expected a table, found {}", node.show()),
            );
            continue;
        };
        for (inner, node) in &table.0 {
            if !KEYS.contains(&inner.as_str()) {
                wrong(
                    node,
                    &format!("{key}.{inner}"),
                    format!("unknown key{}", suggest(inner, "keys", &KEYS)),
                );
            }
        }
    }
    entries.clone().into_iter().collect()
}

/// The names of all recipes in a folder, sorted.
fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("cannot read the recipes' folder {}", folder.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .map(|path| name_of(&path))
        .collect();
    names.sort();
    Ok(names)
}

/// A recipe as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its title, or what keeps it from being read.
    pub title: String,
    /// The paper it follows; may be empty.
    pub paper: String,
    /// What it is about; may be empty.
    pub about: String,
    /// Its profiles.
    pub profiles: Vec<String>,
}

/// Lists the recipes of a folder by name; one that cannot be read is listed with its problem.
///
/// # Errors
/// When the folder cannot be read.
pub fn list(folder: &Path) -> Result<Vec<Listed>> {
    let listed = names(folder)?
        .into_iter()
        .map(|name| match load(folder, &name) {
            Ok(recipe) => {
                let text = |key: &str| {
                    let node = recipe.root.as_table().and_then(|table| table.get(key));
                    node.and_then(Node::as_str).unwrap_or_default().to_string()
                };
                let profiles = recipe
                    .profiles
                    .iter()
                    .map(|(name, _)| name.clone())
                    .collect();
                Listed {
                    title: text("title"),
                    paper: text("paper"),
                    about: text("about"),
                    name,
                    profiles,
                }
            }
            Err(problems) => Listed {
                name,
                title: problems.to_string(),
                paper: String::new(),
                about: String::new(),
                profiles: Vec::new(),
            },
        });
    Ok(listed.collect())
}
