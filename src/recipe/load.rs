//! Finding a recipe's file and laying it over those it extends.

mod name;
mod profiles;
pub(super) mod shelf;

use std::collections::HashSet;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::stage::settings::keys::{Node, Origin, Problem, Problems, Table, Value, brief, suggest};

use super::DEFAULT_PROFILE;
use super::chain::path_of;
use super::layer::lay;
pub use name::{check_name, is_name};
use profiles::take_profiles;
use shelf::{Place, Shelf, built_in, file_in, name_of, names_in};

/// A recipe with what it extends, before a profile is chosen.
pub(super) struct Recipe {
    /// The file's name without its ending.
    pub name: String,
    /// The recipe's own file, as messages name it.
    pub file: PathBuf,
    /// All keys but `extends` and `profile`.
    pub root: Node,
    /// The profiles in the order in which they were declared, each with those that it is like, itself last.
    pub profiles: Vec<(String, Vec<Node>)>,
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
        for over in chosen.into_iter().flat_map(|(_, layers)| layers) {
            lay(&mut root, over.clone());
        }
        root
    }
}

/// Reads a recipe and all it extends.
pub(super) fn load(shelf: &Shelf<'_>, name: &str) -> Result<Recipe, Problems> {
    let wrong =
        |message: String| Problem::new(Origin::argument(format!("recipe {name}")), "", message);
    let place = match is_path(name) {
        true => Some(Place::File(name.into())).filter(Place::is_there),
        false => shelf.find(name),
    };
    let Some(place) = place else {
        let known = shelf.names().unwrap_or_default();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let file = match is_path(name) {
            true => PathBuf::from(name),
            false => shelf.would_be(name),
        };
        // No path that there may be is longer.
        let path: String = file.display().to_string().chars().take(4096).collect();
        return Err(wrong(format!(
            "no such recipe ({path}){}",
            suggest(name, "recipes", &known)
        ))
        .into());
    };
    check_name(&place.name()).map_err(|expected| wrong(format!("{expected}; rename it")))?;
    let mut root = read_chain(shelf, &place)?;
    let mut problems = Vec::new();
    let profiles = take_profiles(&mut root, &mut problems);
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    Ok(Recipe {
        name: place.name(),
        file: place.shown(),
        root,
        profiles,
    })
}

/// Whether the name looks like a path; any other is looked for on the shelf.
fn is_path(name: &str) -> bool {
    name.ends_with(".toml") || name.contains(['/', '\\'])
}

impl Place {
    fn is_there(&self) -> bool {
        match self {
            Self::File(file) => file.is_file(),
            Self::BuiltIn(..) => true,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::File(file) => name_of(file),
            Self::BuiltIn(name, _) => (*name).to_owned(),
        }
    }

    /// What messages call it.
    fn shown(&self) -> PathBuf {
        match self {
            Self::File(file) => file.clone(),
            Self::BuiltIn(name, _) => format!("built-in {name}.toml").into(),
        }
    }

    /// What tells it from any other.
    fn identity(&self) -> PathBuf {
        match self {
            Self::File(file) => file.canonicalize().unwrap_or_else(|_| file.clone()),
            Self::BuiltIn(..) => self.shown(),
        }
    }

    fn read(&self) -> Result<Node, Problem> {
        match self {
            Self::File(file) => Node::parse(file, &read(file)?),
            Self::BuiltIn(_, text) => Node::parse(&self.shown(), text),
        }
    }
}

/// Bytes of one recipe file.
const LARGEST: u64 = 1 << 20;

/// Reads a recipe over what it extends.
fn read_chain(shelf: &Shelf<'_>, first: &Place) -> Result<Node, Problem> {
    let mut layers: Vec<Node> = Vec::new();
    let (mut place, mut chain, mut seen) = (first.clone(), Vec::new(), HashSet::new());
    let mut from: Option<Node> = None;
    loop {
        chain.push(place.name());
        let repeats = !seen.insert(place.identity());
        if let Some(extends) = from.filter(|_| repeats) {
            let message = format!("a cycle: {}", path_of(&chain, " extends "));
            return Err(Problem::new(extends.origin, "extends", message));
        }
        let mut own = place.read()?;
        let extends = match &mut own.value {
            Value::Table(table) => table.remove("extends"),
            _ => None,
        };
        layers.push(own);
        let Some(extends) = extends else { break };
        place = base(shelf, &place, &extends)?;
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

/// What the recipe at `place` extends: it is looked for beside it, so that a folder can be moved, then on the shelf, then
/// among those that the program carries.
fn base(shelf: &Shelf<'_>, place: &Place, extends: &Node) -> Result<Place, Problem> {
    let problem = |message: String| Problem::new(extends.origin.clone(), "extends", message);
    let Some(name) = extends.as_str() else {
        return Err(problem(format!(
            "expected the name of a recipe, found {}",
            extends.show()
        )));
    };
    let folder = match place {
        Place::File(file) => Some(file.parent().unwrap_or(Path::new(""))),
        Place::BuiltIn(..) => None,
    };
    let beside = match (folder, is_path(name)) {
        (_, true) => Some(PathBuf::from(name)),
        (Some(folder), false) => Some(file_in(folder, name)),
        (None, false) => None,
    };
    let beside = beside.map(Place::File).filter(Place::is_there);
    let found = match folder {
        Some(_) => beside.or_else(|| shelf.find(name)),
        None => beside,
    };
    found.or_else(|| built_in(name)).ok_or_else(|| {
        let mut known = folder.map_or_else(|| Ok(Vec::new()), names_in);
        if known.as_ref().is_ok_and(Vec::is_empty) {
            known = shelf.names();
        }
        let known = known.unwrap_or_default();
        let mut known: Vec<&str> = known.iter().map(String::as_str).collect();
        known.sort_unstable();
        problem(format!(
            "no such recipe {}{}",
            brief(name),
            suggest(name, "recipes", &known)
        ))
    })
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
    /// Its file, or that the program carries it.
    pub from: String,
}

/// Lists the recipes of a shelf by name; one that cannot be read is listed with its problem.
///
/// # Errors
/// When the folder cannot be read.
pub fn list(shelf: &Shelf<'_>) -> Result<Vec<Listed>> {
    let listed = shelf.names()?.into_iter().map(|name| {
        let from = shelf.find(&name).map(|place| place.shown());
        let from = from.unwrap_or_default().display().to_string();
        match load(shelf, &name) {
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
                    from,
                }
            }
            Err(problems) => Listed {
                name,
                title: problems.to_string(),
                paper: String::new(),
                about: String::new(),
                profiles: Vec::new(),
                from,
            },
        }
    });
    Ok(listed.collect())
}
