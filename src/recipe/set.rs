//! `--set a.b=c` arguments, the last layer of a recipe.

use std::path::Path;

use crate::stage::settings::keys::{Node, Origin, Problem, Table, Value, brief, suggest};

use super::layer::lay;

/// Top-level keys that an argument may set; any other first segment names a stage.
const TOP: [&str; 5] = ["seeds", "outputs", "title", "paper", "about"];

/// Lays each argument over `root`, in order; returns the stages that were set, with the argument.
pub(super) fn apply(
    root: &mut Node,
    sets: &[String],
    problems: &mut Vec<Problem>,
) -> Vec<(String, Origin)> {
    let mut touched = Vec::new();
    // A kind begins its stage anew, so it comes before the keys that are set beside it.
    let kind = |set: &str| {
        set.split_once('=')
            .is_some_and(|(key, _)| key.trim_end().ends_with(".kind"))
    };
    let (kinds, others): (Vec<&String>, Vec<&String>) = sets.iter().partition(|set| kind(set));
    for set in kinds.into_iter().chain(others) {
        match apply_one(root, set) {
            Ok(stage) => touched.extend(stage.map(|stage| (stage, origin(set)))),
            Err((key, message)) => problems.push(Problem::new(origin(set), key, message)),
        }
    }
    touched
}

/// The argument as it was typed, without a value that may be a secret.
fn origin(set: &str) -> Origin {
    const SECRETS: [&str; 4] = ["api_key", "apikey", "secret", "password"];
    let (path, value) = set.split_once('=').unwrap_or((set, ""));
    let (lower, last) = (set.to_lowercase(), path.trim_end().to_lowercase());
    let secret = SECRETS.iter().any(|word| lower.contains(word))
        || last.ends_with("key")
        || last.ends_with("token")
        || value.contains("://") && value.contains(['@', '?', '#']);
    match secret && set.contains('=') {
        true => Origin::argument(format!("--set {path}=...")),
        false => Origin::argument(format!("--set {set}")),
    }
}

fn apply_one(root: &mut Node, set: &str) -> Result<Option<String>, (String, String)> {
    let expected = "expected STAGE.KEY=VALUE, or seeds=[...] or outputs=[...]";
    let (path, text) = set
        .split_once('=')
        .ok_or_else(|| (String::new(), expected.to_string()))?;
    let path = path.trim();
    let mut segments: Vec<&str> = path.split('.').map(str::trim).collect();
    if segments.iter().any(|segment| segment.is_empty()) {
        return Err((path.into(), expected.into()));
    }
    let Value::Table(top) = &root.value else {
        return Ok(None);
    };
    let stages = top.get("stage").and_then(Node::as_table);
    let declared = |name: &str| stages.is_some_and(|stages| stages.get(name).is_some());
    // The long form `stage.sft.beta` is what error messages show, so it must work as well.
    if segments[0] == "stage" && !declared("stage") {
        segments.remove(0);
    } else if TOP.contains(&segments[0]) && segments.len() == 1 {
        lay(root, wrap(&segments, value(text, &origin(set))));
        return Ok(None);
    }
    let stage = match segments.as_slice() {
        [stage, _, ..] if declared(stage) => stage.to_string(),
        [stage, _, ..] => {
            let known = stages.map(Table::names).unwrap_or_default();
            let message = format!(
                "unknown stage {}{}",
                brief(stage),
                suggest(stage, "stages", &known)
            );
            return Err((path.into(), message));
        }
        _ => return Err((path.into(), expected.into())),
    };
    segments.insert(0, "stage");
    lay(root, wrap(&segments, value(text, &origin(set))));
    Ok(Some(stage))
}

/// `a.b` and a value as a table that holds a table that holds the value.
fn wrap(segments: &[&str], value: Node) -> Node {
    segments.iter().rev().fold(value, |inner, segment| {
        let origin = inner.origin.clone();
        Node {
            value: Value::Table(Table([(segment.to_string(), inner)].into())),
            origin,
        }
    })
}

/// Reads the text as a TOML value, or else as a bare string.
fn value(text: &str, origin: &Origin) -> Node {
    let text = text.trim();
    let parsed = Node::parse(Path::new(""), &format!("value = {text}\n")).ok();
    let value = parsed.and_then(|node| match node.value {
        Value::Table(mut table) if table.0.len() == 1 => table.remove("value"),
        _ => None,
    });
    match value {
        Some(mut node) if !matches!(node.value, Value::Date(_)) => {
            place(&mut node, origin);
            node
        }
        _ => Node {
            value: Value::Str(text.into()),
            origin: origin.clone(),
        },
    }
}

/// Gives a value and all within it the place of the argument.
fn place(node: &mut Node, origin: &Origin) {
    node.origin = origin.clone();
    match &mut node.value {
        Value::Array(items) => items.iter_mut().for_each(|item| place(item, origin)),
        Value::Table(table) => table.0.values_mut().for_each(|node| place(node, origin)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_toml_or_else_bare_strings() {
        let origin = origin("a.b=c");
        for (text, shown) in [
            ("1e-3", "0.001"),
            ("12", "12"),
            ("true", "true"),
            ("fast", "\"fast\""),
            ("\"fast\"", "\"fast\""),
            ("a/b c.json", "\"a/b c.json\""),
            ("@base", "\"@base\""),
            ("[1, 2]", "[1, 2]"),
            ("[1", "\"[1\""),
            ("2024-01-02", "\"2024-01-02\""),
            ("1\nx = 2", "\"1\\nx = 2\""),
            ("", "\"\""),
        ] {
            assert_eq!(value(text, &origin).show(), shown, "{text}");
        }
    }
}
