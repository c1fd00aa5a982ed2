//! Imports point down the house's list, never up.

use std::fs;
use std::path::{Path, PathBuf};

/// The modules of src/, top first, as docs/architecture.md lists them.
const HOUSE: [&str; 17] = [
    "cli",
    "run",
    "recipe",
    "stage",
    "report",
    "engine",
    "train",
    "generate",
    "judge",
    "eval",
    "world",
    "data",
    "objective",
    "model",
    "backend",
    "ops",
    "store",
];

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
    found
}

/// The paths after `crate::` in a file, tests included.
fn imports(text: &str) -> Vec<String> {
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| line.split("crate::").skip(1).map(str::to_owned))
        .map(|rest| {
            rest.chars()
                .take_while(|c| c.is_alphanumeric() || "_:".contains(*c))
                .collect()
        })
        .collect()
}

fn violations(module: &str, text: &str) -> Vec<String> {
    let rank = |name: &str| HOUSE.iter().position(|known| *known == name);
    let own = rank(module).unwrap_or_else(|| panic!("{module} has no place in the house"));
    let up = |path: &String| {
        let target = path.split("::").next().unwrap_or_default();
        rank(target).is_some_and(|rank| rank < own)
    };
    imports(text).into_iter().filter(up).collect()
}

#[test]
fn imports_point_down() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for file in files(&src) {
        let inside = file.strip_prefix(&src).unwrap();
        let module = inside.components().next().unwrap().as_os_str();
        let module = module.to_str().unwrap().trim_end_matches(".rs");
        if ["lib", "main"].contains(&module) {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        for path in violations(module, &text) {
            wrong.push(format!("src/{}: crate::{path}", inside.display()));
        }
    }
    assert!(
        wrong.is_empty(),
        "imports that point up:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn only_the_backend_file_names_a_backend() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let names = [
        "burn_flex::",
        "burn_ndarray::",
        "backend::Wgpu",
        "backend::Cuda",
    ];
    for file in files(&src) {
        let inside = file
            .strip_prefix(&src)
            .unwrap()
            .to_string_lossy()
            .into_owned();
        // A kernel for one backend is the backend's own code, and lives beside its default body.
        if inside == "backend.rs" || inside.starts_with("ops/flex") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        for name in names {
            assert!(!text.contains(name), "src/{inside} names {name}");
        }
    }
}

#[test]
fn an_import_that_points_up_is_found() {
    assert_eq!(violations("store", "use crate::train::Job;").len(), 1);
    assert!(violations("train", "use crate::store::Stop;").is_empty());
    assert_eq!(violations("model", "use crate::data::Dialogue;").len(), 1);
}
