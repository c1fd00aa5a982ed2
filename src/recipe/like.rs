//! `like = "NAME"` in a stage: the keys of another stage, with some of its own laid over them, so that an
//! arm of an experiment says only what makes it different.

use crate::stage::settings::keys::{Node, Problem, Table, Value, brief, suggest};

use super::chain::{LONGEST, path_of};

/// Values that stages may take from others in all, which bounds what a small file can come to.
const MOST_TAKEN: usize = 1_000_000;

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
    let mut left = MOST_TAKEN;
    for name in &names {
        if !settle(stages, name, &mut left, problems) {
            return;
        }
    }
}

/// Settles one stage, and before it those it is like, the last of the chain first. False once more is taken than may be.
fn settle(stages: &mut Table, name: &str, left: &mut usize, problems: &mut Vec<Problem>) -> bool {
    let mut chain = vec![name.to_owned()];
    let mut likes: Vec<Node> = Vec::new();
    loop {
        let last = &chain[chain.len() - 1];
        let own = stages.get_mut(last).map(|node| &mut node.value);
        let Some(Value::Table(own)) = own else { break };
        let Some(like) = own.remove("like") else {
            break;
        };
        let key = format!("stage.{last}.like");
        let mut problem = |message: String| {
            problems.push(Problem::new(like.origin.clone(), key.clone(), message));
        };
        let Some(other) = like.as_str() else {
            problem(format!(
                "expected the name of a stage, found {}",
                like.show()
            ));
            break;
        };
        if chain.iter().any(|before| before == other) {
            chain.push(other.to_owned());
            problem(format!("a cycle: {}", path_of(&chain, " is like ")));
            chain.pop();
            break;
        }
        if stages.get(other).is_none() {
            let known = stages.names();
            problem(format!(
                "unknown stage {}{}",
                brief(other),
                suggest(other, "stages", &known)
            ));
            break;
        }
        if chain.len() == LONGEST {
            problem(format!(
                "expected at most {LONGEST} stages that are like one another in a row"
            ));
            break;
        }
        chain.push(other.to_owned());
        likes.push(like);
    }
    while let (Some(other), Some(like)) = (chain.pop(), likes.pop()) {
        let Some(base) = stages.get(&other) else {
            continue;
        };
        let taken = values(base);
        if taken > *left {
            let message = format!("stages like others come to more than {MOST_TAKEN} values");
            problems.push(Problem::new(like.origin, "", message));
            return false;
        }
        *left -= taken;
        let mut base = base.clone();
        let Some(own) = stages.get_mut(&chain[chain.len() - 1]) else {
            continue;
        };
        base.merge(own.clone());
        *own = Node {
            origin: own.origin.clone(),
            ..base
        };
    }
    true
}

/// How many values there are in a value.
fn values(node: &Node) -> usize {
    1 + match &node.value {
        Value::Array(items) => items.iter().map(values).sum(),
        Value::Table(table) => table.0.values().map(values).sum(),
        _ => 0,
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
