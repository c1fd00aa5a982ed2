//! `like = "NAME"` in a stage: the keys of another stage, with some of its own laid over them, so that an
//! arm of an experiment says only what makes it different.

use crate::stage::keys::{Node, Problem, Table, Value, suggest};

/// Lays every stage that is like another over it, after profiles and `--set`, so that a change to the
/// one is a change to both.
pub(super) fn apply(root: &mut Node, problems: &mut Vec<Problem>) {
    let Value::Table(table) = &mut root.value else {
        return;
    };
    let Some(Value::Table(stages)) = table.get_mut("stage").map(|node| &mut node.value) else {
        return;
    };
    let names: Vec<String> = stages.names().iter().map(ToString::to_string).collect();
    for name in &names {
        settle(stages, name, &mut Vec::new(), problems);
    }
}

/// Settles one stage, and before it the one it is like.
fn settle(stages: &mut Table, name: &str, path: &mut Vec<String>, problems: &mut Vec<Problem>) {
    let key = format!("stage.{name}.like");
    let own = stages.get_mut(name).map(|node| &mut node.value);
    let Some(Value::Table(own)) = own else { return };
    let Some(like) = own.remove("like") else {
        return;
    };
    let Some(other) = like.as_str() else {
        let message = format!("expected the name of a stage, found {}", like.show());
        problems.push(Problem::new(like.origin.clone(), key, message));
        return;
    };
    path.push(name.to_owned());
    if path.iter().any(|before| before == other) {
        let message = format!("a cycle: {} is like {other}", path.join(" is like "));
        problems.push(Problem::new(like.origin.clone(), key, message));
        return;
    }
    if stages.get(other).is_none() {
        let known = stages.names();
        let message = format!("unknown stage {other}{}", suggest(other, "stages", &known));
        problems.push(Problem::new(like.origin.clone(), key, message));
        return;
    }
    settle(stages, other, path, problems);
    let mut base = stages.get(other).cloned().unwrap_or_else(|| like.clone());
    if let Some(own) = stages.get_mut(name) {
        base.merge(own.clone());
        *own = Node {
            origin: own.origin.clone(),
            ..base
        };
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn settled(text: &str) -> (Node, Vec<String>) {
        let mut root = Node::parse(Path::new("r.toml"), text).unwrap();
        let mut problems = Vec::new();
        apply(&mut root, &mut problems);
        (root, problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_stage_takes_the_keys_of_another_and_keeps_its_own() {
        let text = "[stage.c]\nlike = \"b\"\nz = 3\n[stage.a]\nx = 1\ny = 1\nz = 1\n\
                    [stage.b]\nlike = \"a\"\ny = 2\n";
        let (root, problems) = settled(text);
        assert!(problems.is_empty(), "{problems:?}");
        let stages = root.as_table().unwrap().get("stage").unwrap();
        let c = stages
            .as_table()
            .unwrap()
            .get("c")
            .unwrap()
            .as_table()
            .unwrap();
        let value = |key: &str| c.get(key).unwrap().value.clone();
        let values = [value("x"), value("y"), value("z")];
        assert_eq!(values, [Value::Int(1), Value::Int(2), Value::Int(3)]);
        assert!(c.get("like").is_none());
    }

    #[test]
    fn unknown_stages_and_cycles_are_named_with_their_line() {
        let text = "[stage.a]\nlike = \"b\"\n[stage.b]\nlike = \"a\"\n[stage.c]\nlike = \"d\"\n[stage.d]\nlike = 1\n";
        let (_, problems) = settled(text);
        let expected = [("r.toml:4", "a cycle"), ("r.toml:8", "name of a stage")];
        for (line, words) in expected {
            let found = problems
                .iter()
                .any(|p| p.contains(line) && p.contains(words));
            assert!(found, "{line} {words}: {problems:?}");
        }
        let (_, problems) = settled("[stage.a]\nlike = \"bb\"\n[stage.b]\nx = 1\n");
        assert!(problems[0].contains("r.toml:2") && problems[0].contains("unknown stage bb"));
    }
}
