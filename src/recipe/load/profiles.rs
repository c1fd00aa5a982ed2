//! The profiles of a recipe, each laid over those that it is like.

use crate::stage::settings::keys::{Node, Problem, Table, Value, brief, suggest};

use super::name::check_name;
use crate::recipe::chain::path_of;

/// Takes the `profile` table out of the root, checking the shape of each profile.
pub(super) fn take_profiles(
    root: &mut Node,
    problems: &mut Vec<Problem>,
) -> Vec<(String, Vec<Node>)> {
    const KEYS: [&str; 9] = [
        "like", "title", "about", "paper", "seeds", "outputs", "stage", "claim", "table",
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
        if let Err(expected) = check_name(name) {
            wrong(node, &key, format!("{expected}; rename it"));
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
    let entries: Vec<(String, Node)> = entries.clone().into_iter().collect();
    let settled = entries
        .iter()
        .filter_map(|(name, _)| Some((name.clone(), settled(&entries, name, problems)?)));
    settled.collect()
}

/// A profile after those that it is like, in the order in which they are laid over a recipe.
fn settled(
    entries: &[(String, Node)],
    name: &str,
    problems: &mut Vec<Problem>,
) -> Option<Vec<Node>> {
    let (mut chain, mut layers): (Vec<String>, Vec<Node>) = (Vec::new(), Vec::new());
    let mut next = name.to_owned();
    loop {
        let (_, node) = entries.iter().find(|(known, _)| *known == next)?;
        let mut own = node.clone();
        let Value::Table(table) = &mut own.value else {
            return None;
        };
        let like = table.remove("like");
        layers.push(own);
        chain.push(next);
        let Some(like) = like else { break };
        let key = format!("profile.{}.like", chain[chain.len() - 1]);
        let mut wrong = |message: String| {
            problems.push(Problem::new(like.origin.clone(), key.clone(), message));
            None
        };
        let Some(other) = like.as_str() else {
            return wrong(format!(
                "expected the name of a profile, found {}",
                like.show()
            ));
        };
        if chain.iter().any(|before| before == other) {
            chain.push(other.to_owned());
            return wrong(format!("a cycle: {}", path_of(&chain, " is like ")));
        }
        if !entries.iter().any(|(known, _)| known == other) {
            let known: Vec<&str> = entries.iter().map(|(known, _)| known.as_str()).collect();
            return wrong(format!(
                "unknown profile {}{}",
                brief(other),
                suggest(other, "profiles", &known)
            ));
        }
        next = other.to_owned();
    }
    layers.reverse();
    Some(layers)
}
