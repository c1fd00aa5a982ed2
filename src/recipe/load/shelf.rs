//! Where recipes are: a folder on disk, and those that the program carries.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use include_dir::{Dir, include_dir};

/// `experiments/` as it was when the program was built.
static BUILT_IN: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/experiments");

/// The folder that is looked in where it exists and none is named.
pub const FOLDER: &str = "experiments";

/// Where recipes are looked for by name.
#[derive(Clone, Copy, Debug)]
pub struct Shelf<'a> {
    /// A folder on disk, whose recipes come first.
    pub folder: Option<&'a Path>,
    /// Whether those that the program carries are behind them.
    pub built_in: bool,
}

/// A recipe's text, or where it is.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::recipe) enum Place {
    File(PathBuf),
    /// By its name, with the text.
    BuiltIn(&'static str, &'static str),
}

impl<'a> Shelf<'a> {
    /// The folder that was named, alone; else `./experiments` where it exists, over what the program carries.
    pub fn new(named: Option<&'a Path>) -> Self {
        let usual = Path::new(FOLDER);
        Self {
            folder: named.or_else(|| usual.is_dir().then_some(usual)),
            built_in: named.is_none(),
        }
    }

    /// The recipe of this name, if there is one.
    pub(in crate::recipe) fn find(&self, name: &str) -> Option<Place> {
        let file = self.folder.map(|folder| file_in(folder, name));
        match file.filter(|file| file.is_file()) {
            Some(file) => Some(Place::File(file)),
            None => self.built_in.then(|| built_in(name))?,
        }
    }

    /// Where such a recipe would be.
    pub(in crate::recipe) fn would_be(&self, name: &str) -> PathBuf {
        file_in(self.folder.unwrap_or(Path::new(FOLDER)), name)
    }

    /// All names, sorted, each once.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(in crate::recipe) fn names(&self) -> Result<Vec<String>> {
        let mut names = match self.folder {
            Some(folder) => names_in(folder)?,
            None => Vec::new(),
        };
        if self.built_in {
            names.extend(built_in_names().map(str::to_owned));
        }
        names.sort();
        names.dedup();
        Ok(names)
    }
}

pub(in crate::recipe) fn file_in(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.toml"))
}

/// The recipe of this name that the program carries.
pub(in crate::recipe) fn built_in(name: &str) -> Option<Place> {
    let file = BUILT_IN.get_file(format!("{name}.toml"))?;
    let name = file.path().file_stem()?.to_str()?;
    Some(Place::BuiltIn(name, file.contents_utf8()?))
}

fn built_in_names() -> impl Iterator<Item = &'static str> {
    let files = BUILT_IN.files().map(|file| file.path());
    let recipes = files.filter(|path| path.extension().is_some_and(|ending| ending == "toml"));
    recipes.filter_map(|path| path.file_stem()?.to_str())
}

/// The names of all recipes in a folder.
pub(in crate::recipe) fn names_in(folder: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("cannot read the recipes' folder {}", folder.display()))?;
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let recipes = paths.filter(|path| path.extension().is_some_and(|ending| ending == "toml"));
    Ok(recipes.map(|path| name_of(&path)).collect())
}

pub(in crate::recipe) fn name_of(file: &Path) -> String {
    file.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_carries_the_recipes_as_they_are_on_disk() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER);
        let mut names = names_in(&folder).unwrap();
        names.sort();
        let all = Shelf {
            folder: None,
            built_in: true,
        };
        assert_eq!(all.names().unwrap(), names);
        for name in names {
            let text = std::fs::read_to_string(file_in(&folder, &name)).unwrap();
            let Some(Place::BuiltIn(found, carried)) = all.find(&name) else {
                panic!("{name} is not carried");
            };
            assert_eq!((found, carried), (&*name, &*text));
        }
    }

    #[test]
    fn a_folder_that_is_named_stands_alone_and_a_file_wins() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("dpo.toml");
        std::fs::write(&file, "").unwrap();
        let named = Shelf::new(Some(folder.path()));
        assert_eq!(named.find("dpo"), Some(Place::File(file.clone())));
        assert_eq!(named.find("sft"), None);
        assert_eq!(named.names().unwrap(), ["dpo"]);
        let both = Shelf {
            built_in: true,
            ..named
        };
        assert_eq!(both.find("dpo"), Some(Place::File(file)));
        assert!(matches!(both.find("sft"), Some(Place::BuiltIn("sft", _))));
        assert_eq!(both.find("../dpo"), None);
        let Place::BuiltIn(..) = built_in("persona-dpo").unwrap() else {
            panic!("no file is read");
        };
    }
}
