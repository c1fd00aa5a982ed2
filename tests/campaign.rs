//! `scripts/faults.py` can only find what it runs.

use std::collections::BTreeSet;

use rapport::stage::KINDS;

use crate::cli::root;

#[test]
fn the_campaign_breaks_every_stage_kind() {
    let campaign = std::fs::read_to_string(root().join("scripts/campaign/breaking.py")).unwrap();
    let recipes = std::fs::read_dir(root().join("tests/recipes")).unwrap();
    let recipes = recipes.map(|entry| entry.unwrap().path());
    let named = recipes.filter(|path| {
        let name = path.file_stem().unwrap().to_str().unwrap();
        campaign.contains(&format!("test_recipe(\"{name}\")"))
    });
    let files = root().join("tests/corpus/recipe/files.toml");
    let mut text = String::new();
    for path in named.chain([files]) {
        text += &std::fs::read_to_string(path).unwrap();
    }
    let kinds: BTreeSet<&str> = KINDS.iter().map(|kind| kind.name).collect();
    let missing: Vec<_> = kinds
        .into_iter()
        .filter(|kind| !text.contains(&format!("kind = \"{kind}\"")))
        .collect();
    assert!(missing.is_empty(), "{missing:?} stand in no recipe");
}
