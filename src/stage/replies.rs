//! `replies`: sampled replies to a split's histories, measured, and judged where the world is known.

use anyhow::Result;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::data::template::{dialogue_examples, history};
use crate::data::{Prompt, Turn};
use crate::eval::text::TextMeasures;
use crate::stage::corpus::Split;
use crate::stage::keys::{Keys, StageRef};
use crate::stage::kind::{Context, Kind, Produces, Stage};
use crate::stage::measures::Measures;
use crate::stage::persona_world::WORLD_FILE;
use crate::stage::sampling::SamplingSettings;
use crate::store::write_jsonl;
use crate::world::persona::oracle::{Relation, Verdict, judge_reply};

pub const KIND: Kind = Kind {
    name: "replies",
    about: "sampled replies: text measures, and the oracle's verdicts in a world",
    produces: Produces::Measure,
    version: 1,
    uses_backend: true,
    read,
};

/// One line of `replies.jsonl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SampledReply {
    pub persona: Vec<String>,
    pub history: Vec<Turn>,
    pub reference: String,
    pub reply: String,
    pub verdict: Option<Verdict>,
}

/// The file of [`SampledReply`] rows in the artifact.
pub const REPLIES_FILE: &str = "replies.jsonl";

struct Replies {
    model: StageRef,
    data: StageRef,
    split: Split,
    examples: usize,
    sampling: SamplingSettings,
}

fn read(keys: &mut Keys<'_>) -> Box<dyn Stage> {
    Box::new(Replies {
        model: keys.stage("model", &[Produces::Model]),
        data: keys.stage("data", &[Produces::Dialogues]),
        split: Split::read(keys, "test"),
        examples: keys
            .doc("histories sampled, the same for every model and seed; 0: all")
            .usize("examples", 200, 0..),
        sampling: SamplingSettings::read(keys),
    })
}

impl Stage for Replies {
    fn run(&self, context: &Context) -> Result<()> {
        let data = context.input(&self.data);
        let dialogues = self.split.dialogues(data)?;
        let mut rows = Vec::new();
        for dialogue in &dialogues {
            for (turn, example) in dialogue_examples(dialogue).into_iter().enumerate() {
                let row = SampledReply {
                    persona: dialogue.persona.clone(),
                    history: history(dialogue, turn),
                    reference: example.completions[0].text.trim().to_owned(),
                    reply: String::new(),
                    verdict: None,
                };
                rows.push((row, example.prompt));
            }
        }
        // The same histories whatever the seed, so that models and seeds are compared on them.
        rows.shuffle(&mut ChaCha8Rng::seed_from_u64(0));
        if self.examples > 0 {
            rows.truncate(self.examples);
        }
        let prompts: Vec<(u64, Prompt)> = rows
            .iter()
            .enumerate()
            .map(|(stream, (_, prompt))| (stream as u64, prompt.clone()))
            .collect();
        let sampled = self.sampling.run(context, &self.model, &prompts)?;
        let known_world = data.join(WORLD_FILE).exists();
        let mut measures = Measures::default();
        let mut finished = Vec::with_capacity(rows.len());
        let rows: Vec<SampledReply> = rows
            .into_iter()
            .zip(sampled)
            .map(|((mut row, _), sampled)| {
                finished.push(f64::from(u8::from(sampled.finished)));
                row.reply = sampled.text.trim().to_owned();
                row.verdict =
                    known_world.then(|| judge_reply(&row.persona, &row.history, &row.reply));
                row
            })
            .collect();
        measures.mean("finished", finished);
        if known_world {
            let share = |test: &dyn Fn(&Verdict) -> bool| -> Vec<f64> {
                let verdicts = rows.iter().filter_map(|row| row.verdict.as_ref());
                verdicts.map(|v| f64::from(u8::from(test(v)))).collect()
            };
            for (name, relation) in [
                ("grounded", Relation::Grounded),
                ("contradicting", Relation::Contradicting),
                ("neither", Relation::Neither),
            ] {
                measures.mean(name, share(&|v| v.relation == relation));
            }
            measures.mean("well_formed", share(&|v| v.well_formed));
            measures.mean("on_topic", share(&|v| v.on_topic));
        }
        let texts: Vec<&str> = rows.iter().map(|row| row.reply.as_str()).collect();
        let text = TextMeasures::of(&texts);
        for (name, value) in [
            ("mean_length", text.mean_length),
            ("distinct_1", text.distinct_1),
            ("distinct_2", text.distinct_2),
            ("repetition", text.repetition),
            ("self_overlap", text.self_overlap),
        ] {
            if let Some(value) = value {
                measures.numbers.insert(name.into(), value);
            }
        }
        write_jsonl(&context.dir.join(REPLIES_FILE), &rows)?;
        measures.write(&context.dir)
    }
}
