//! The house's rules: imports point down its list and in no circle, kinds of stages stand apart, folders are small,
//! nothing above the engine names Burn.

mod burn;
mod house;
mod source;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use house::{Arrows, Files, House, absolute, circles};
use source::{Named, Source};

/// The rooms of all crates, top first, as docs/architecture.md lists them.
const HOUSE: [&str; 19] = [
    "cli",
    "run",
    "recipe",
    "stage",
    "report",
    "engine",
    "train",
    "generate",
    "judge",
    "hub",
    "eval",
    "world",
    "data",
    "objective",
    "model",
    "backend",
    "ops",
    "http",
    "store",
];

/// Each crate and its first file.
const CRATES: [(&str, &str); 6] = [
    ("rapport", "src/lib.rs"),
    ("rapport_http", "crates/http/src/lib.rs"),
    ("rapport_hub", "crates/hub/src/lib.rs"),
    ("rapport_nn", "crates/nn/src/lib.rs"),
    ("rapport_store", "crates/store/src/lib.rs"),
    ("rapport_text", "crates/text/src/lib.rs"),
];

/// Folders of stage kinds, by what they make: none imports another.
const KINDS: [&str; 6] = [
    "source",
    "model",
    "preference",
    "train",
    "measure",
    "people",
];

/// Folders below them, top first.
const BELOW_KINDS: [&str; 3] = ["work", "artifact", "settings"];

/// Files of one folder.
const MOST_FILES: usize = 13;

/// Every Rust file of the crates, by its path in the repository.
fn files() -> Files {
    fn collect(root: &Path, folder: &Path, found: &mut Files) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(root, &path, found);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap();
                found.insert(name.to_owned(), fs::read_to_string(&path).unwrap());
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Files::new();
    for (_, first) in CRATES {
        collect(root, root.join(first).parent().unwrap(), &mut found);
    }
    found
}

/// A file's module, from its crate's name on.
fn module_of(file: &str) -> Vec<String> {
    let first = |(_, first): &&(&str, &str)| file.starts_with(first.trim_end_matches("lib.rs"));
    let (name, first) = CRATES.iter().find(first).expect("a file of a crate");
    let inside = &file[first.len() - "lib.rs".len()..];
    let inside = inside.trim_end_matches(".rs").trim_end_matches("/mod");
    let below = inside
        .split('/')
        .filter(|name| !["lib", "main"].contains(name));
    [*name]
        .into_iter()
        .chain(below)
        .map(str::to_owned)
        .collect()
}

/// The room that a path from a crate's name on leads to, as a place in [`HOUSE`].
fn room(path: &[String]) -> Option<usize> {
    let name = match path.first()?.as_str() {
        "rapport_http" => "http",
        "rapport_hub" => "hub",
        "rapport_store" => "store",
        "rapport_text" => "data",
        "rapport" | "rapport_nn" => path.get(1)?,
        _ => return None,
    };
    HOUSE.iter().position(|known| *known == name)
}

/// The paths of a file, its tests among them, that lead to a room above its own.
fn pointing_up(file: &str, text: &str) -> Vec<String> {
    let module = module_of(file);
    let Some(own) = room(&module) else {
        return Vec::new();
    };
    let source = Source::read(text, true);
    let brought = source.uses.iter().map(|brought| &brought.path);
    let up = |named: &&Named| {
        let path = absolute(&module, named).unwrap_or_else(|| named.segments.clone());
        room(&path).is_some_and(|room| room < own)
    };
    let found = brought.chain(&source.paths).filter(up);
    found.map(|named| named.segments.join("::")).collect()
}

#[test]
fn imports_point_down() {
    let files = files();
    let mut wrong = Vec::new();
    for (file, text) in &files {
        let path = module_of(file);
        let placed = path.len() == 1 || room(&path).is_some();
        assert!(placed, "{file} has no place in the house");
        for path in pointing_up(file, text) {
            wrong.push(format!("{file}: {path}"));
        }
    }
    let wrong = wrong.join("\n");
    assert!(wrong.is_empty(), "imports that point up:\n{wrong}");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.md");
    let page = fs::read_to_string(page).unwrap();
    assert!(
        page.contains(&HOUSE.join(" ")),
        "the page lists other rooms"
    );
}

#[test]
fn an_import_that_points_up_is_found() {
    let found = |file: &str, text: &str| pointing_up(file, text).len();
    for (file, text) in [
        ("crates/nn/src/ops/norm.rs", "use crate::train::Job;"),
        ("crates/nn/src/model/mod.rs", "use crate::{ops, train};"),
        (
            "crates/nn/src/model/hf/save.rs",
            "use crate::{\n    ops::{Ops},\n    train::{Job},\n};",
        ),
        (
            "crates/nn/src/model/hf/save.rs",
            "use super::super::super::train::Job;",
        ),
        (
            "crates/nn/src/model/score.rs",
            "fn f() -> super::super::train::Job { todo!() }",
        ),
        (
            "crates/nn/src/model/score.rs",
            "mod tests { use super::super::super::train::Job; }",
        ),
        ("crates/store/src/stop.rs", "use rapport_text::Dialogue;"),
        (
            "crates/text/src/encode.rs",
            "use rapport_nn::model::Forest;\nuse rapport_nn::train::Job;",
        ),
        ("src/world/mod.rs", "use rapport_nn::engine;"),
        (
            "src/judge/ask/ruling.rs",
            "use super::super::super::stage::keys;",
        ),
    ] {
        assert_eq!(found(file, text), 1, "{file}: {text}");
    }
    for (file, text) in [
        (
            "crates/nn/src/train/mod.rs",
            "use rapport_store::Stop;\nuse crate::{model, ops::Ops};",
        ),
        (
            "crates/nn/src/model/mod.rs",
            "// use crate::train;\nconst X: &str = \"crate::train\";",
        ),
        (
            "crates/nn/src/model/score.rs",
            "mod tests { use super::super::decoder; }",
        ),
        (
            "src/stage/mod.rs",
            "use crate::data::{Dialogue, star::graph};",
        ),
    ] {
        assert_eq!(found(file, text), 0, "{file}: {text}");
    }
}

/// The circles of some files, a line each with what ties it.
fn tied(arrows: &Arrows) -> Vec<String> {
    let lines = circles(arrows).into_iter().map(|circle| {
        let ties = circle.iter().flat_map(|file| {
            let inside = arrows[*file]
                .iter()
                .filter(|to| circle.contains(to.as_str()));
            inside.map(move |to| format!("\n    {file} -> {to}"))
        });
        format!("{} files:{}", circle.len(), ties.collect::<String>())
    });
    lines.collect()
}

#[test]
fn files_import_one_another_in_no_circle() {
    let arrows = House::new(&files(), &CRATES).arrows();
    let found = tied(&arrows);
    assert!(found.is_empty(), "circles:\n{}", found.join("\n"));
}

#[test]
fn a_circle_of_files_is_found() {
    let found = |files: &[(&str, &str)]| {
        let files = files
            .iter()
            .map(|(name, text)| ((*name).into(), (*text).into()));
        let files: Files = files.collect();
        let arrows = House::new(
            &files,
            &[("rapport", "src/lib.rs"), ("rapport_store", "store/lib.rs")],
        )
        .arrows();
        circles(&arrows)
            .iter()
            .map(|circle| circle.len())
            .collect::<Vec<_>>()
    };
    // Through what a parent hands on, by `super` and in braces.
    let lib = (
        "src/lib.rs",
        "mod a;\nmod b;\npub use a::{A, other};\npub use b::B;",
    );
    let a = ("src/a.rs", "use super::{B, Missing};\npub struct A(B);");
    assert_eq!(
        found(&[
            lib,
            a,
            ("src/b.rs", "use crate::{A};\npub struct B(Box<A>);")
        ]),
        [2]
    );
    assert_eq!(
        found(&[lib, a, ("src/b.rs", "pub struct B(Box<crate::a::A>);")]),
        [2]
    );
    assert_eq!(
        found(&[lib, a, ("src/b.rs", "use super::a;\nfn f() { a::other() }")]),
        [2]
    );
    // Of three, through another crate's name and a folder.
    let lib = ("src/lib.rs", "pub mod a;\npub mod b;\nmod c;");
    let files = [
        lib,
        ("src/a/mod.rs", "mod x;\npub use x::X;"),
        ("src/a/x.rs", "use crate::b::B as Other;"),
        ("src/b.rs", "use crate::c::*;"),
        ("src/c.rs", "use rapport::a::X;"),
    ];
    assert_eq!(found(&files), [3]);
    // A child of what its parent defines, whom the parent uses.
    let lib = ("src/lib.rs", "mod a;");
    let child = ("src/a/x.rs", "use super::Shared;\npub fn x(_: Shared) {}");
    let parent = |text| found(&[lib, ("src/a.rs", text), child]);
    assert_eq!(
        parent("mod x;\npub struct Shared;\nfn f() { x::x(Shared) }"),
        [2]
    );
    assert_eq!(
        parent("mod x;\nuse x::x;\npub struct Shared;\nfn f() { x(Shared) }"),
        [2]
    );
    assert_eq!(
        parent("mod x;\npub use x::x;\npub struct Shared;\nfn f() { x(Shared) }"),
        [2]
    );
    // One that only hands its child on takes nothing from it, nor does one whose tests use it.
    assert!(parent("mod x;\npub use x::x;\npub struct Shared;").is_empty());
    assert!(
        parent("mod x;\npub struct Shared;\n#[cfg(test)]\nmod tests { use super::x::x; }")
            .is_empty()
    );
    assert!(parent("mod x;\npub struct Shared;\n#[cfg(test)]\nuse x::{x};\n").is_empty());
    assert!(
        parent("mod x;\npub struct Shared;\n/// [`x::x`]\nconst X: &str = r#\"\"x::x\"#;")
            .is_empty()
    );
}

/// The imports of stages that lead to another kind, or from a folder to one that is not below it.
fn between_stages(arrows: &Arrows) -> Vec<String> {
    let place = |file: &str| {
        let (folder, inside) = file.strip_prefix("src/stage/")?.split_once('/')?;
        let kind = inside.trim_end_matches(".rs").split('/').next()?;
        Some((folder.to_owned(), kind.to_owned()))
    };
    // Kinds stand side by side on the top floor.
    let floor = |folder: &str| BELOW_KINDS.iter().position(|known| *known == folder);
    let all = arrows
        .iter()
        .flat_map(|(file, taken)| taken.iter().map(move |to| (file, to)));
    let wrong = all.filter(|(file, to)| match (place(file), place(to)) {
        (Some(own), Some(other)) => match (floor(&own.0), floor(&other.0)) {
            (None, None) => own != other,
            (own, other) => other < own,
        },
        _ => false,
    });
    wrong.map(|(file, to)| format!("{file} -> {to}")).collect()
}

#[test]
fn kinds_of_stages_stand_apart_on_what_they_share() {
    let files = files();
    for file in files
        .keys()
        .filter_map(|file| file.strip_prefix("src/stage/"))
    {
        let folder = file.split_once('/').map_or("work", |(folder, _)| folder);
        let known = KINDS.contains(&folder) || BELOW_KINDS.contains(&folder);
        assert!(known, "src/stage/{file} is on no floor");
    }
    let wrong = between_stages(&House::new(&files, &CRATES).arrows());
    assert!(wrong.is_empty(), "between stages:\n{}", wrong.join("\n"));
}

#[test]
fn a_kind_that_imports_another_is_found() {
    let found = |from: &str, to: &str| {
        let taken = [format!("src/stage/{to}.rs")].into();
        between_stages(&Arrows::from([(format!("src/stage/{from}.rs"), taken)])).len()
    };
    for (from, to) in [
        ("train/sft", "measure/rank"),
        ("train/sft", "train/ppo"),
        ("train/sft/x", "train/ppo"),
        ("work/kl", "train/ppo"),
        ("settings/ppo", "work/kl"),
    ] {
        assert_eq!(found(from, to), 1, "{from} -> {to}");
    }
    for (from, to) in [
        ("train/sft", "train/sft/x"),
        ("train/sft", "settings/ppo"),
        ("work/kl", "work/sampling"),
        ("mod", "train/sft"),
        ("train/sft", "kind"),
    ] {
        assert_eq!(found(from, to), 0, "{from} -> {to}");
    }
}

/// The folders with more files than may be, and how many they have.
fn crowded(files: &Files) -> Vec<(&str, usize)> {
    let mut folders: BTreeMap<&str, usize> = BTreeMap::new();
    for file in files.keys() {
        let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
        if !format!("/{folder}/").contains("/tests/") {
            *folders.entry(folder).or_default() += 1;
        }
    }
    let most = |(_, count): &(&str, usize)| *count > MOST_FILES;
    folders.into_iter().filter(most).collect()
}

#[test]
fn folders_are_small() {
    assert_eq!(crowded(&files()), []);
}

#[test]
fn a_crowded_folder_is_found() {
    let files = |folder: &str, count: usize| {
        let names = (0..count).map(|at| (format!("{folder}/{at}.rs"), String::new()));
        names.collect::<Files>()
    };
    assert_eq!(crowded(&files("src/a", 14)), [("src/a", 14)]);
    assert!(crowded(&files("src/a", 13)).is_empty());
    assert!(crowded(&files("src/a/tests", 14)).is_empty());
}
