//! Nothing above the engine names Burn, and one file names the backends.

use std::fs;
use std::path::Path;

use super::house::Files;
use super::source::{Named, Source};
use super::{CRATES, files};

/// Where a package, its tests aside, names Burn: in its manifest's dependencies or in its files.
fn burning(manifest: &str, files: &Files) -> Vec<String> {
    let mut section = "";
    let mut found = Vec::new();
    for line in manifest.lines().map(str::trim) {
        let header = line.starts_with('[');
        if header {
            section = line.trim_matches(['[', ']']);
        }
        let others = ["workspace.", "dev-dependencies"];
        let ours = !others.iter().any(|other| section.contains(other));
        let named = match header {
            true => section.contains("dependencies.burn"),
            false => section.ends_with("dependencies") && line.starts_with("burn"),
        };
        if ours && named {
            found.push(line.to_owned());
        }
    }
    for (file, text) in files {
        let source = Source::read(text, true);
        let paths = source.uses.iter().map(|brought| &brought.path);
        let burn = |named: &&Named| {
            named
                .segments
                .first()
                .is_some_and(|it| it.starts_with("burn"))
        };
        let paths = paths.chain(&source.paths).filter(burn);
        found.extend(paths.map(|named| format!("{file}: {}", named.segments.join("::"))));
    }
    found
}

#[test]
fn nothing_above_the_engine_names_burn() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (_, first) in CRATES.iter().filter(|(name, _)| *name != "rapport_nn") {
        let src = first.trim_end_matches("lib.rs");
        let manifest = root.join(src.trim_end_matches("src/")).join("Cargo.toml");
        let manifest = fs::read_to_string(manifest).unwrap();
        let mut files = files();
        files.retain(|file, _| file.starts_with(src));
        assert!(files.len() > 1, "{src}");
        let found = burning(&manifest, &files);
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}

#[test]
fn a_file_or_manifest_that_names_burn_is_found() {
    let none = Files::new();
    for manifest in [
        "[dependencies]\nanyhow = \"1\"\nburn.workspace = true",
        "[dependencies]\nburn-flex = { version = \"0.21\" }",
        "[dependencies.burn]\nworkspace = true",
        "[target.'cfg(unix)'.dependencies]\nburn = \"0.21\"",
    ] {
        assert_eq!(burning(manifest, &none).len(), 1, "{manifest}");
    }
    for manifest in [
        "[workspace.dependencies]\nburn = \"0.21\"",
        "[dev-dependencies]\nburn.workspace = true",
        "[profile.dev.package.burn-core]\nopt-level = 3",
    ] {
        assert!(burning(manifest, &none).is_empty(), "{manifest}");
    }
    for (text, count) in [
        ("use burn::tensor::Tensor;", 1),
        ("fn f(x: &burn_flex::Flex) {}", 1),
        ("use std::{fmt, io};\n// burn::tensor", 0),
    ] {
        let files = Files::from([("src/a.rs".into(), text.into())]);
        assert_eq!(burning("", &files).len(), count, "{text}");
    }
}

#[test]
fn only_the_backend_file_names_a_backend() {
    let names = [
        "burn_flex::",
        "burn_ndarray::",
        "backend::Wgpu",
        "backend::Cuda",
    ];
    for (file, text) in files() {
        // A kernel for one backend is the backend's own code, and lives beside its default body.
        if file == "crates/nn/src/backend.rs" || file.starts_with("crates/nn/src/ops/flex") {
            continue;
        }
        for name in names {
            assert!(!text.contains(name), "{file} names {name}");
        }
    }
}
