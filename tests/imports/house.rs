//! Which file takes something from which, by following each path to the file that defines what it names.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::source::{Named, Source, Use};

/// Files by path, and what they hold.
pub type Files = BTreeMap<String, String>;

/// Which files each file takes something from.
pub type Arrows = BTreeMap<String, BTreeSet<String>>;

struct Module {
    file: String,
    source: Source,
}

/// The modules of some crates, by path, the crate's name first.
pub struct House {
    modules: HashMap<Vec<String>, Module>,
}

/// Where a path ends: at a module, or at something that the module defines.
enum End {
    Module(Vec<String>),
    Item(Vec<String>),
}

impl House {
    /// The product modules that are reached from the roots: each a crate's name and its first file.
    pub fn new(files: &Files, roots: &[(&str, &str)]) -> Self {
        let mut modules = HashMap::new();
        let mut left: Vec<(Vec<String>, String)> = Vec::new();
        for (name, file) in roots {
            left.push((vec![(*name).to_owned()], (*file).to_owned()));
        }
        while let Some((path, file)) = left.pop() {
            let Some(text) = files.get(&file) else {
                continue;
            };
            let source = Source::read(text, false);
            let stem = file.trim_end_matches(".rs");
            let folder = match stem.rsplit_once('/') {
                Some((folder, "lib" | "mod")) => folder,
                _ => stem,
            };
            for name in &source.modules {
                let mut path = path.clone();
                path.push(name.clone());
                let places = [
                    format!("{folder}/{name}.rs"),
                    format!("{folder}/{name}/mod.rs"),
                ];
                let found = places.into_iter().find(|place| files.contains_key(place));
                left.extend(found.map(|file| (path, file)));
            }
            modules.insert(path, Module { file, source });
        }
        Self { modules }
    }

    /// Which file takes something from which. What a file only hands on (`pub use`) it does not take.
    pub fn arrows(&self) -> Arrows {
        let mut arrows = Arrows::new();
        for (path, module) in &self.modules {
            let taken = arrows.entry(module.file.clone()).or_default();
            let source = &module.source;
            let used = |brought: &&Use| !brought.public || source.words.contains(&brought.name);
            for brought in source.uses.iter().filter(used) {
                match self.resolve(path, &brought.path, 0) {
                    Some(End::Item(from)) => _ = taken.insert(self.modules[&from].file.clone()),
                    Some(End::Module(from)) if brought.name == "*" => {
                        taken.insert(self.modules[&from].file.clone());
                    }
                    _ => {}
                }
            }
            for named in &source.paths {
                if let Some(End::Item(from)) = self.resolve(path, named, 0) {
                    taken.insert(self.modules[&from].file.clone());
                }
            }
            taken.remove(&module.file);
        }
        arrows
    }

    fn resolve(&self, from: &[String], named: &Named, depth: usize) -> Option<End> {
        // No re-export goes through as many others; one that names itself would go on for ever.
        if depth > 20 {
            return None;
        }
        let absolute = absolute(from, named);
        let (mut here, rest) = match absolute {
            Some(path) => (path[..1].to_vec(), path[1..].to_vec()),
            None => {
                let (head, rest) = named.segments.split_first()?;
                if self.modules.contains_key(&vec![head.clone()]) {
                    (vec![head.clone()], rest.to_vec())
                } else {
                    match self.step(from, head, depth)? {
                        End::Module(path) => (path, rest.to_vec()),
                        item => return Some(item),
                    }
                }
            }
        };
        for segment in &rest {
            match self.step(&here, segment, depth) {
                Some(End::Module(path)) => here = path,
                Some(item) => return Some(item),
                None => return self.modules.contains_key(&here).then_some(End::Item(here)),
            }
        }
        self.modules
            .contains_key(&here)
            .then_some(End::Module(here))
    }

    /// A name within a module: one below it, or what it brings in by `use`.
    fn step(&self, module: &[String], name: &str, depth: usize) -> Option<End> {
        let mut below = module.to_vec();
        below.push(name.to_owned());
        if self.modules.contains_key(&below) {
            return Some(End::Module(below));
        }
        let uses = &self.modules.get(module)?.source.uses;
        let brought = uses.iter().find(|brought| brought.name == name)?;
        self.resolve(module, &brought.path, depth + 1)
    }
}

/// A path from the crate's name on, where it begins with `crate`, `self` or `super`.
pub fn absolute(module: &[String], named: &Named) -> Option<Vec<String>> {
    let mut here = module.to_vec();
    let mut inline = named.inline;
    let mut segments = named.segments.iter().peekable();
    match segments.peek()?.as_str() {
        "crate" => here.truncate(1),
        "self" | "super" => {}
        _ => return None,
    }
    while let Some(segment) = segments.next_if(|it| ["crate", "self", "super"].contains(&&***it)) {
        if segment == "super" {
            match inline.checked_sub(1) {
                Some(left) => inline = left,
                None => _ = here.pop(),
            }
        }
    }
    here.extend(segments.cloned());
    Some(here)
}

/// The sets of files that take something from one another in a circle.
pub fn circles(arrows: &Arrows) -> Vec<BTreeSet<&str>> {
    let reached = |from: &str| {
        let mut found = BTreeSet::new();
        let mut left = vec![from.to_owned()];
        while let Some(file) = left.pop() {
            for next in arrows.get(&file).into_iter().flatten() {
                if found.insert(next.as_str()) {
                    left.push(next.clone());
                }
            }
        }
        found
    };
    let reached: BTreeMap<&str, BTreeSet<&str>> = arrows
        .keys()
        .map(|file| (file.as_str(), reached(file)))
        .collect();
    let mut circles: Vec<BTreeSet<&str>> = Vec::new();
    for (file, found) in &reached {
        if found.contains(file) && !circles.iter().any(|circle| circle.contains(file)) {
            let back = |other: &&&str| reached.get(**other).is_some_and(|it| it.contains(file));
            circles.push(found.iter().filter(back).copied().collect());
        }
    }
    circles
}
