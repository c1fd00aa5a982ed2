//! `persona-world`: dialogues and ranking items of known truth.

use anyhow::Result;

use crate::stage::artifact::measures::Measures;
use crate::stage::kind::{Context, Kind, Stage};
use crate::stage::settings::keys::{Keys, SEED};
use crate::stage::settings::produces::Produces;
use crate::stage::settings::splits::ItemSplit;
use crate::stage::settings::world::{self, MOST};
use crate::stage::work::judge::oracle::WORLD_FILE;
use crate::store::{write_json, write_jsonl};
use crate::world::persona::{Contradictions, PersonaWorld};

pub const KIND: Kind = Kind {
    name: "persona-world",
    about: "generated persona dialogues and ranking items, with known truth",
    produces: Produces::Dialogues,
    version: 1,
    uses_backend: false,
    modules: &[],
    read,
};

struct World(PersonaWorld);

fn read(keys: &mut Keys<'_>) -> Box<dyn Stage> {
    let default = PersonaWorld::default();
    let world = PersonaWorld {
        seed: keys.usize("seed", default.seed as usize, SEED) as u64,
        pretrain: keys
            .doc("clean dialogues, which stand for what a pre-trained model has read")
            .usize("pretrain", default.pretrain, 0..=MOST),
        train: keys.usize("train", default.train, 1..=MOST),
        valid: keys.usize("valid", default.valid, 1..=MOST),
        test: keys.usize("test", default.test, 1..=MOST),
        ranking_items: keys.usize("ranking_items", default.ranking_items, 1..=MOST),
        ungrounded: keys
            .doc("share of answers in train and valid that ignore the persona")
            .float("ungrounded", default.ungrounded, 0.0..=1.0),
        popularity: keys
            .doc("how unevenly those answers draw their value: Zipf's exponent; 0: all alike")
            .float("popularity", default.popularity, 0.0..=4.0),
        reuse: keys
            .doc("share of answers that repeat the persona's own wording")
            .float("reuse", default.reuse, 0.0..=1.0),
        candidates_per_label: keys.usize(
            "candidates_per_label",
            default.candidates_per_label,
            1..=100,
        ),
        contradictions: keys
            .doc("contradicting candidates mirror the true ones' wording, or draw their own")
            .one_of(
                "contradictions",
                "mirrored",
                &[
                    ("mirrored", Contradictions::Mirrored),
                    ("drawn", Contradictions::Drawn),
                ],
            ),
    };
    world::refuse(keys, world.problems());
    Box::new(World(world))
}

impl Stage for World {
    fn run(&self, context: &Context) -> Result<()> {
        let data = self.0.generate()?;
        let mut measures = Measures::default();
        for (name, dialogues) in [
            ("pretrain", &data.pretrain),
            ("train", &data.train),
            ("valid", &data.valid),
            ("test", &data.test),
        ] {
            write_jsonl(&context.dir.join(format!("{name}.jsonl")), dialogues)?;
            measures
                .numbers
                .insert(name.to_owned(), dialogues.len() as f64);
        }
        write_jsonl(&context.dir.join(ItemSplit::Test.name()), &data.ranking)?;
        measures
            .numbers
            .insert("ranking_items".into(), data.ranking.len() as f64);
        write_json(&context.dir.join(WORLD_FILE), &self.0)?;
        measures.write(&context.dir)
    }
}
