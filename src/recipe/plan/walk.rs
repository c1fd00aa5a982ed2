//! From the outputs to every stage that they need.

use std::collections::{BTreeMap, HashSet};

use crate::recipe::PlannedStage;
use crate::recipe::chain::path_of;
use crate::stage::kind::Kind;
use crate::stage::settings::keys::{
    Keys, Link, Node, Problem, Reading, Scope, StageRef, Table as Keyed, brief, suggest,
};

const LONGEST_NAME: usize = 100;

/// The walk from the outputs along references, depth first.
pub(super) struct Walk<'a> {
    pub scope: &'a Scope,
    pub declared: &'a Keyed,
    pub kinds: &'a [Kind],
    /// Stages met; `None` where the kind is not known.
    pub read: BTreeMap<String, Option<PlannedStage>>,
    /// Stages after all that they refer to.
    pub order: Vec<String>,
    pub problems: Vec<Problem>,
    pub lost: bool,
}

impl<'a> Walk<'a> {
    /// Visits a stage and all that it refers to, without recursion: a chain may have thousands of stages.
    pub fn visit(&mut self, name: &str) {
        // The stages that led here, each with the references that are still to be followed.
        let mut trail: Vec<(String, std::vec::IntoIter<Link<StageRef>>)> = Vec::new();
        let mut on_trail: HashSet<String> = HashSet::new();
        let mut next = Some(name.to_owned());
        loop {
            if let Some(name) = next.take()
                && !self.read.contains_key(&name)
                && let Some(node) = self.declared.get(&name)
            {
                let stage = self.read_stage(&name, node);
                let refs = stage.as_ref().map(|stage| stage.refs.clone());
                self.read.insert(name.clone(), stage);
                on_trail.insert(name.clone());
                trail.push((name, refs.unwrap_or_default().into_iter()));
            }
            let Some((name, refs)) = trail.last_mut() else {
                return;
            };
            match refs.next() {
                Some(link) if on_trail.contains(&link.to.name) => {
                    let key = format!("stage.{name}.{}", link.key.join("."));
                    let names = trail.iter().map(|(name, _)| name.clone());
                    let mut cycle: Vec<String> =
                        names.skip_while(|name| *name != link.to.name).collect();
                    cycle.push(link.to.name);
                    let message = format!("a cycle: {}", path_of(&cycle, " refers to "));
                    self.problems.push(Problem::new(link.origin, key, message));
                }
                Some(link) => next = Some(link.to.name),
                None => {
                    on_trail.remove(name.as_str());
                    self.order.extend(trail.pop().map(|(name, _)| name));
                }
            }
        }
    }

    fn read_stage(&mut self, name: &str, node: &Node) -> Option<PlannedStage> {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
        if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(plain) {
            let message = format!(
                "expected a stage's name of letters, digits, - and _, at most {LONGEST_NAME} of them"
            );
            self.problems.push(Problem::new(
                node.origin.clone(),
                format!("stage.{name}"),
                message,
            ));
        }
        let mut found = Reading::default();
        let mut keys = Keys::new(self.scope, node, &["stage", name], &mut found);
        let kind = self.read_kind(&mut keys);
        let per_seed = keys.bool("per_seed", true);
        let stage = kind.map(|kind| (kind.read)(&mut keys));
        drop(keys);
        self.lost |= kind.is_none() || found.lost_refs;
        self.problems.append(&mut found.problems);
        let mut settings = found.settings;
        settings.shift_remove("per_seed");
        let (kind, stage) = kind.zip(stage)?;
        Some(PlannedStage {
            name: name.into(),
            kind: kind.name,
            version: kind.version,
            modules: kind.modules,
            produces: kind.produces,
            uses_backend: kind.uses_backend,
            per_seed,
            settings: settings.into(),
            refs: found.refs,
            paths: found.paths,
            on_hub: found.on_hub,
            stage,
        })
    }

    /// The stage's kind; where there is none, that is a problem, and what other keys it takes is not known.
    fn read_kind(&self, keys: &mut Keys<'_>) -> Option<&'a Kind> {
        let node = keys.raw("kind");
        let written = node.and_then(Node::as_str);
        let kind = written.and_then(|name| self.kinds.iter().find(|kind| kind.name == name));
        if kind.is_none() {
            keys.ignore_rest();
            let known: Vec<&str> = self.kinds.iter().map(|kind| kind.name).collect();
            let suggestion = suggest(written.unwrap_or_default(), "kinds", &known);
            let message = match (node, written.map(str::trim)) {
                (None, _) => format!("required: expected a kind of stage{suggestion}"),
                (Some(node), None) => {
                    format!("expected a string, found {}{suggestion}", node.show())
                }
                (_, Some("")) => format!("unknown kind{suggestion}"),
                (_, Some(name)) => format!("unknown kind {}{suggestion}", brief(name)),
            };
            keys.problem("kind", message);
        }
        kind
    }

    /// A stage that runs once cannot build on one that runs once per seed.
    pub fn check_seeds(&mut self) {
        let per_seed = |name: &str| {
            self.read
                .get(name)
                .and_then(Option::as_ref)
                .is_some_and(|stage| stage.per_seed)
        };
        let mut problems = Vec::new();
        for stage in self.read.values().flatten().filter(|stage| !stage.per_seed) {
            for link in stage.refs.iter().filter(|link| per_seed(&link.to.name)) {
                let key = format!("stage.{}.{}", stage.name, link.key.join("."));
                let message = format!(
                    "{} runs once for all seeds (per_seed = false) but @{} runs once per seed; give both the same per_seed",
                    stage.name, link.to.name
                );
                problems.push(Problem::new(link.origin.clone(), key, message));
            }
        }
        self.problems.append(&mut problems);
    }
}
