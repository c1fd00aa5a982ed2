//! `persona-files`: public persona dialogues and Dialogue-NLI items, given by path.

mod statements;
mod two_sided;

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Result;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use crate::data::convai2::convai2;
use crate::data::dialogue_nli::dialogue_nli;
use crate::data::leak::{families, held_out};
use crate::data::synthetic_persona_chat::synthetic_persona_chat;
use crate::data::{Dialogue, RankingItem};
use crate::stage::artifact::measures::Measures;
use crate::stage::kind::{Context, Kind, Stage};
use crate::stage::settings::keys::{COUNT, Keys, SEED};
use crate::stage::settings::produces::Produces;
use crate::stage::settings::splits::{ItemSplit, Split, TrainSize};
use crate::store::{BadInput, write_jsonl};
use two_sided::{Items, two_sided};

pub const KIND: Kind = Kind {
    name: "persona-files",
    about: "persona dialogues and ranking items from public files, leaks between them held out",
    produces: Produces::Dialogues,
    // 2: items for validation.
    version: 2,
    uses_backend: false,
    modules: &[],
    read,
};

struct Files {
    convai2: Vec<PathBuf>,
    synthetic: Vec<PathBuf>,
    /// Archives of RealPersonaChat, and the items built from them; nothing where there are none.
    two_sided: Option<(Vec<PathBuf>, Items)>,
    ranking: Vec<PathBuf>,
    valid: usize,
    test: usize,
    train: TrainSize,
    valid_items: f64,
    seed: u64,
}

fn read(keys: &mut Keys<'_>) -> Box<dyn Stage> {
    let files = Files {
        convai2: keys
            .doc("PersonaChat in ParlAI's text form")
            .paths("convai2", false),
        synthetic: keys
            .doc("Synthetic-Persona-Chat as CSV")
            .paths("synthetic_persona_chat", false),
        two_sided: keys.variant_by_presence("real_persona_chat", real_persona_chat, |_| None),
        ranking: {
            let required = !keys.has("real_persona_chat");
            keys.doc("Dialogue-NLI evaluation items; may be left out with real_persona_chat, which gives items itself")
                .paths("dialogue_nli", required)
        },
        valid: keys
            .doc("dialogues kept for validation, of RealPersonaChat both sides of each")
            .usize("valid", 100, 1..=COUNT),
        test: keys
            .doc("dialogues kept for test")
            .usize("test", 100, 1..=COUNT),
        train: TrainSize::read(keys),
        valid_items: keys
            .doc(
                "share of the ranking items kept for validation, to choose settings on; items of one dialogue or one \
                 persona stay together",
            )
            .float("valid_items", 0.0, 0.0..1.0),
        seed: keys.usize("seed", 1, SEED) as u64,
    };
    if !["convai2", "synthetic_persona_chat", "real_persona_chat"]
        .iter()
        .any(|key| keys.has(key))
    {
        keys.problem(
            "convai2",
            "expected dialogues, in convai2, synthetic_persona_chat or real_persona_chat",
        );
    }
    Box::new(files)
}

fn real_persona_chat(keys: &mut Keys<'_>) -> Option<(Vec<PathBuf>, Items)> {
    let paths = keys
        .doc("RealPersonaChat's archives, or the folders they unpack to: each side of a dialogue in turn is the bot")
        .paths("real_persona_chat", true);
    Some((paths, Items::read(keys)))
}

impl Stage for Files {
    fn run(&self, context: &Context) -> Result<()> {
        let mut measures = Measures::default();
        let mut items: Vec<RankingItem> = Vec::new();
        for path in &self.ranking {
            items.extend(dialogue_nli(path)?);
        }
        let mut dialogues: Vec<Dialogue> = Vec::new();
        for (paths, read) in [
            (
                &self.convai2,
                convai2 as fn(&std::path::Path) -> Result<Vec<Dialogue>>,
            ),
            (&self.synthetic, synthetic_persona_chat),
        ] {
            for path in paths {
                let found = read(path)?;
                measures.note(format!("{}: {} dialogues", path.display(), found.len()));
                dialogues.extend(found);
            }
        }
        let leaked = held_out(&dialogues, &items);
        dialogues.retain(|dialogue| !leaked.contains(&dialogue.id));
        let mut held_out = leaked.len();
        // The two sides of one dialogue are of one split.
        let mut dialogues: Vec<Vec<Dialogue>> = dialogues.into_iter().map(|it| vec![it]).collect();
        if let Some((paths, wanted)) = &self.two_sided {
            for path in paths {
                let found = two_sided(path, wanted, self.seed, &mut measures)?;
                dialogues.extend(found.dialogues);
                items.extend(found.items);
                held_out += found.held_out;
            }
        }
        measures.note(format!(
            "{held_out} dialogues held out of training, validation and test because ranking items were built \
             on them"
        ));
        if dialogues.len() <= self.valid.saturating_add(self.test) {
            let message = format!(
                "{} dialogues are left, too few for {} of validation and {} of test; lower valid and test",
                dialogues.len(),
                self.valid,
                self.test
            );
            return Err(BadInput(message).into());
        }
        dialogues.shuffle(&mut ChaCha8Rng::seed_from_u64(self.seed));
        let test = dialogues.split_off(dialogues.len() - self.test);
        let valid = dialogues.split_off(dialogues.len() - self.valid);
        dialogues.truncate(self.train.of(dialogues.len())?);
        for (split, part) in [
            (Split::Train, dialogues),
            (Split::Valid, valid),
            (Split::Test, test),
        ] {
            let part = part.concat();
            write_jsonl(&context.dir.join(format!("{}.jsonl", split.name())), &part)?;
            measures
                .numbers
                .insert(split.name().into(), part.len() as f64);
        }
        let (valid_items, items) = self.valid_items(items);
        for (items, file, count) in [
            (&items, ItemSplit::Test, "ranking_items"),
            (&valid_items, ItemSplit::Valid, "valid_ranking_items"),
        ] {
            write_jsonl(&context.dir.join(file.name()), items)?;
            measures.numbers.insert(count.into(), items.len() as f64);
        }
        measures.numbers.insert("held_out".into(), held_out as f64);
        measures.write(&context.dir)
    }
}

impl Files {
    /// The items for validation, as many as their share at most, and the others: whole families in an order drawn by
    /// seed, each that fits.
    fn valid_items(&self, items: Vec<RankingItem>) -> (Vec<RankingItem>, Vec<RankingItem>) {
        let families = families(&items);
        let mut order: Vec<usize> = (0..families.iter().max().map_or(0, |last| last + 1)).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(self.seed));
        let most = (self.valid_items * items.len() as f64).round() as usize;
        let (mut kept, mut taken) = (BTreeSet::new(), 0);
        for family in order {
            let size = families.iter().filter(|it| **it == family).count();
            if taken + size <= most {
                taken += size;
                kept.insert(family);
            }
        }
        let mut parts = (Vec::new(), Vec::new());
        for (item, family) in items.into_iter().zip(families) {
            match kept.contains(&family) {
                true => parts.0.push(item),
                false => parts.1.push(item),
            }
        }
        parts
    }
}

#[cfg(test)]
mod tests;
