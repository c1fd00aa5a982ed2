//! Laying one layer of a recipe over another.

use crate::stage::settings::keys::{Node, Table, Value};

use super::chain::LONGEST;

/// Lays `over` on `root`: tables merge key by key, anything else is replaced. A stage to which `over` gives
/// another kind begins anew, since the keys below are of the kind that it had; so do the keys that profiles
/// below give it.
pub(super) fn lay(root: &mut Node, over: Node) {
    if let (Value::Table(base), Value::Table(layer)) = (&mut root.value, &over.value) {
        let changed_stages = changed(&[&*base], layer);
        let mut changed_in_profiles = Vec::new();
        for (name, own) in profiles(layer) {
            let below = profiles(base).find(|(base, _)| *base == name);
            let below: Vec<&Table> = below
                .map(|(_, table)| table)
                .into_iter()
                .chain([&*base])
                .collect();
            changed_in_profiles.push((name.clone(), changed(&below, own)));
        }
        for stage in &changed_stages {
            clear(base, stage);
        }
        let below = base.get_mut("profile").map(|node| &mut node.value);
        if let Some(Value::Table(below)) = below {
            for profile in below.0.values_mut() {
                let Value::Table(profile) = &mut profile.value else {
                    continue;
                };
                for stage in &changed_stages {
                    if kind_of(&[&*profile], stage).is_none() {
                        clear(profile, stage);
                    }
                }
            }
            for (name, stages) in changed_in_profiles {
                let profile = below.get_mut(&name).map(|node| &mut node.value);
                if let Some(Value::Table(profile)) = profile {
                    stages.iter().for_each(|stage| clear(profile, stage));
                }
            }
        }
    }
    root.merge(over);
}

fn stage<'a>(layer: &'a Table, name: &str) -> Option<&'a Table> {
    layer.get("stage")?.as_table()?.get(name)?.as_table()
}

fn profiles(layer: &Table) -> impl Iterator<Item = (&String, &Table)> {
    let profiles = layer.get("profile").and_then(Node::as_table);
    let entries = profiles.into_iter().flat_map(|table| &table.0);
    entries.filter_map(|(name, node)| Some((name, node.as_table()?)))
}

fn clear(layer: &mut Table, name: &str) {
    let stages = layer.get_mut("stage").map(|node| &mut node.value);
    if let Some(Value::Table(stages)) = stages
        && let Some(Value::Table(keys)) = stages.get_mut(name).map(|node| &mut node.value)
    {
        keys.0.clear();
    }
}

/// The kind that a stage has in `layers`, the uppermost first: its own, or that of the stage it is like.
fn kind_of<'a>(layers: &[&'a Table], name: &str) -> Option<&'a str> {
    let text = |name: &str, key: &str| {
        let mut tables = layers.iter().filter_map(|layer| stage(layer, name));
        tables.find_map(|table| table.get(key)?.as_str())
    };
    let mut name: &str = name;
    // Chains have an end here; circles are reported where stages are laid over those they are like.
    for _ in 0..LONGEST {
        match text(name, "kind") {
            Some(kind) => return Some(kind),
            None => name = text(name, "like")?,
        }
    }
    None
}

/// The stages to which `over` gives another kind than they have below.
fn changed(below: &[&Table], over: &Table) -> Vec<String> {
    let stages = over.get("stage").and_then(Node::as_table);
    let names = stages.into_iter().flat_map(|stages| stages.0.keys());
    let changes = |name: &&String| {
        let kind = stage(over, name).and_then(|table| table.get("kind")?.as_str());
        kind.is_some_and(|kind| kind_of(below, name).is_some_and(|below| below != kind))
    };
    names.filter(changes).cloned().collect()
}
