//! `guardrail-world`: service conversations whose prompts state guardrails, with known truth.

use anyhow::Result;

use crate::data::Example;
use crate::stage::artifact::examples::{RowsSettings, write_examples, write_settings};
use crate::stage::artifact::measures::Measures;
use crate::stage::kind::{Context, Kind, Stage};
use crate::stage::settings::keys::{Keys, SEED};
use crate::stage::settings::produces::Produces;
use crate::stage::settings::splits::{Group, Split};
use crate::stage::settings::world::{self, MOST};
use crate::world::guardrail::kind::RuleKind;
use crate::world::guardrail::{GuardrailWorld, judge_reply};

pub const KIND: Kind = Kind {
    name: "guardrail-world",
    about: "generated service conversations under guardrails, a compliant and a non-compliant reply a turn",
    produces: Produces::Pairs,
    // 3: prompts say who said what, and no template has written them.
    version: 3,
    uses_backend: false,
    modules: &[],
    read,
};

struct World {
    world: GuardrailWorld,
    rows: RowsSettings,
}

fn read(keys: &mut Keys<'_>) -> Box<dyn Stage> {
    let default = GuardrailWorld::default();
    let world = GuardrailWorld {
        seed: keys.usize("seed", default.seed as usize, SEED) as u64,
        pretrain: keys
            .doc("conversations for a base model; in all sizes each has four to six replies")
            .usize("pretrain", default.pretrain, 0..=MOST),
        train: keys.usize("train", default.train, 1..=MOST),
        valid: keys.usize("valid", default.valid, 1..=MOST),
        test: keys.usize("test", default.test, 1..=MOST),
        feedback: keys
            .doc("conversations on which a tuned model is tried to learn from its failures")
            .usize("feedback", default.feedback, 0..=MOST),
        careless: keys
            .doc("rate at which bots in pretrain disregard the rule at stake")
            .float("careless", default.careless, 0.0..=1.0),
        blunt: keys
            .doc("rate of replies in pretrain without courtesies")
            .float("blunt", default.blunt, 0.0..=1.0),
        drills: keys
            .doc("more conversations in pretrain, in which the bot reads out rules and facts as it is asked")
            .usize("drills", default.drills, 0..=MOST),
        held_out_rules: held_out_rules(keys),
        held_out_domains: keys
            .doc("domains that only pretrain and test_tasks have, such as clinic and school (which is in no other world)")
            .strings("held_out_domains", Some(&[])),
    };
    world::refuse(keys, world.problems());
    Box::new(World {
        world,
        rows: RowsSettings {
            shuffle: true,
            by_dialogue: Group::read(keys, "none") == Group::Dialogue,
            by_row: false,
        },
    })
}

fn held_out_rules(keys: &mut Keys<'_>) -> Vec<RuleKind> {
    const KEY: &str = "held_out_rules";
    let names = keys
        .doc("kinds of rules that only pretrain and test have")
        .strings(KEY, Some(&[]));
    let mut kinds = Vec::new();
    for name in names {
        match RuleKind::ALL.iter().find(|kind| kind.name() == name) {
            Some(kind) => kinds.push(*kind),
            None => {
                let known = RuleKind::ALL.map(RuleKind::name).join(", ");
                keys.problem(KEY, format!("expected kinds among {known}, found {name}"));
            }
        }
    }
    kinds
}

impl Stage for World {
    fn run(&self, context: &Context) -> Result<()> {
        let data = self.world.generate()?;
        let mut measures = Measures::default();
        for (split, examples) in [
            (Split::Pretrain, data.pretrain),
            (Split::Train, data.train),
            (Split::Valid, data.valid),
            (Split::Test, data.test),
            (Split::TestTasks, data.test_domains),
            (Split::Feedback, data.feedback),
        ] {
            // Without domains that are held out there is no split of them.
            if split == Split::TestTasks && examples.is_empty() {
                continue;
            }
            count(split, &examples, &mut measures)?;
            write_examples(&context.dir, split, examples.into_iter().map(Ok))?;
        }
        write_settings(&context.dir, self.rows)?;
        measures.write(&context.dir)
    }
}

/// Counts a split's conversations, examples, and the replies first in them that keep or break the rule at
/// stake.
fn count(split: Split, examples: &[Example], measures: &mut Measures) -> Result<()> {
    let (mut kept, mut broken) = (0, 0);
    let judged = examples.iter().filter(|example| !example.meta.is_empty());
    for example in judged {
        let reply = &example.completions[0].text;
        match judge_reply(&example.meta, &example.prompt, reply)?.adherent {
            Some(true) => kept += 1,
            Some(false) => broken += 1,
            None => {}
        }
    }
    let mut groups: Vec<&str> = examples.iter().map(|it| it.group.as_str()).collect();
    groups.dedup();
    let name = split.name();
    measures.note(format!(
        "{name}: {} replies in {} conversations; a rule is at stake in {}, which {broken} break",
        examples.len(),
        groups.len(),
        kept + broken
    ));
    for (what, value) in [
        ("", groups.len()),
        ("_examples", examples.len()),
        ("_at_stake", kept + broken),
        ("_broken", broken),
    ] {
        let numbers = &mut measures.numbers;
        numbers.insert(format!("{name}{what}"), value as f64);
    }
    Ok(())
}
