//! Finding a recipe's file and laying it over those it extends.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::stage::keys::{Node, Origin, Problem, Problems, Table, Value, suggest};

use super::DEFAULT_PROFILE;

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
            root.merge(over.clone());
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
        let message = format!(
            "no such recipe ({}){}",
            file.display(),
            suggest(name, "recipes", &known)
        );
        return Err(Problem::new(Origin::argument(format!("recipe {name}")), "", message).into());
    }
    let own_name = name_of(&file);
    if !is_name(&own_name) {
        let message = format!(
            "{own_name:?} cannot name the run's folder; rename the file: up to 100 letters, without a dot in front"
        );
        return Err(Problem::new(Origin::argument(format!("recipe {name}")), "", message).into());
    }
    let mut root = read_chain(folder, &file, &mut vec![name_of(&file)])?;
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

/// Whether a recipe or a profile may have the name: it becomes that of a folder, which must lie where it belongs and be
/// seen there.
pub fn is_name(name: &str) -> bool {
    let odd = |c: char| c.is_control() || matches!(c, '/' | '\\' | ':');
    !name.is_empty() && name.len() <= 100 && !name.starts_with(['.', '-']) && !name.contains(odd)
}

fn name_of(file: &Path) -> String {
    file.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Reads `file` over what it extends; `chain` holds the names read so far.
fn read_chain(folder: &Path, file: &Path, chain: &mut Vec<String>) -> Result<Node, Problem> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        let origin = Origin::File {
            file: file.into(),
            line: 1,
        };
        Problem::new(origin, "", format!("cannot read the recipe: {error}"))
    })?;
    let mut own = Node::parse(file, &text)?;
    let Value::Table(table) = &mut own.value else {
        return Ok(own);
    };
    let Some(extends) = table.remove("extends") else {
        return Ok(own);
    };
    let problem = |message: String| Problem::new(extends.origin.clone(), "extends", message);
    let Some(base) = extends.as_str() else {
        return Err(problem(format!(
            "expected the name of a recipe, found {}",
            extends.show()
        )));
    };
    // A base is looked for beside the recipe that names it, so that a folder can be moved.
    let beside = file.parent().unwrap_or(folder);
    let path = [locate(beside, base), locate(folder, base)]
        .into_iter()
        .find(|path| path.is_file());
    let Some(path) = path else {
        let known = names(beside).unwrap_or_default();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        return Err(problem(format!(
            "no such recipe {base}{}",
            suggest(base, "recipes", &known)
        )));
    };
    let base = name_of(&path);
    let repeats = chain.contains(&base);
    chain.push(base);
    if repeats {
        return Err(problem(format!("a cycle: {}", chain.join(" extends "))));
    }
    let mut merged = read_chain(folder, &path, chain)?;
    merged.merge(own);
    Ok(merged)
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
    let Some(Table(entries)) = profiles.as_table() else {
        wrong(
            &profiles,
            "profile",
            format!("expected tables [profile.NAME], found {}", profiles.show()),
        );
        return Vec::new();
    };
    for (name, node) in entries {
        let key = format!("profile.{name}");
        if !is_name(name) {
            let message = format!("{name:?} cannot name the run's folder; rename the profile");
            wrong(node, &key, message);
            continue;
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
    entries.clone()
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
