//! `replies`: sampled replies to a split's histories, measured, and judged where the world is known.

use anyhow::Result;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use crate::data::template::{dialogue_examples, history};
use crate::data::{Dialogue, Example, Turn};
use crate::stage::artifact::measures::Measures;
use crate::stage::kind::{Context, Kind, Stage};
use crate::stage::modules;
use crate::stage::settings::keys::{COUNT, Keys, StageRef};
use crate::stage::settings::produces::Produces;
use crate::stage::settings::sampling::SamplingSettings;
use crate::stage::settings::splits::Split;
use crate::stage::work::judge::oracle::WORLD_FILE;
use crate::stage::work::samples::Samples;
use crate::world::persona::oracle::{Relation, Verdict, judge_reply};

pub const KIND: Kind = Kind {
    name: "replies",
    about: "sampled replies: text measures, and the oracle's verdicts in a world",
    produces: Produces::Measure,
    // 2: replies are kept as they are shown. 3: and as their tokens.
    version: 3,
    uses_backend: true,
    modules: modules::SAMPLING,
    read,
};

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
            .usize("examples", 200, 0..=COUNT),
        sampling: SamplingSettings::read(keys),
    })
}

impl Stage for Replies {
    fn run(&self, context: &Context) -> Result<()> {
        let data = context.input(&self.data);
        let dialogues = self.split.dialogues(data)?;
        let mut rows: Vec<Row<'_>> = dialogues.iter().flat_map(Row::of).collect();
        // The same histories whatever the seed, so that models and seeds are compared on them.
        rows.shuffle(&mut ChaCha8Rng::seed_from_u64(0));
        if self.examples > 0 {
            rows.truncate(self.examples);
        }
        let mut measures = Measures::default();
        let model = (&self.model, None);
        let examples = rows.iter().map(|row| row.example.clone()).collect();
        let mut samples = Samples::draw(&self.sampling, context, model, examples, &mut measures)?;
        if data.join(WORLD_FILE).try_exists()? {
            let mut verdicts = Vec::with_capacity(rows.len());
            for (row, replied) in rows.iter().zip(&mut samples.replied) {
                let verdict = judge_reply(row.persona, &row.history, &replied.reply);
                replied.verdict = Some(in_words(&verdict));
                replied.failed = verdict.relation == Relation::Contradicting;
                verdicts.push(verdict);
            }
            let share = |test: &dyn Fn(&Verdict) -> bool| -> Vec<f64> {
                verdicts
                    .iter()
                    .map(|v| f64::from(u8::from(test(v))))
                    .collect()
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
        samples.measure(&mut measures);
        samples.finish(context, &measures)
    }
}

/// A place in a dialogue where the bot replies.
struct Row<'a> {
    persona: &'a [String],
    history: Vec<Turn>,
    example: Example,
}

impl<'a> Row<'a> {
    /// Every such place, in order.
    fn of(dialogue: &'a Dialogue) -> impl Iterator<Item = Self> {
        let examples = dialogue_examples(dialogue).into_iter().enumerate();
        examples.map(|(turn, example)| Self {
            persona: &dialogue.persona,
            history: history(dialogue, turn),
            example,
        })
    }
}

fn in_words(verdict: &Verdict) -> String {
    let relation = match verdict.relation {
        Relation::Grounded => "grounded",
        Relation::Contradicting => "contradicting",
        Relation::Neither => "neither",
    };
    let form = if verdict.well_formed {
        ""
    } else {
        ", ill-formed"
    };
    format!("{relation}{form}")
}
