//! `persona-files`: public persona dialogues and Dialogue-NLI items, given by path.

mod statements;
mod two_sided;

use std::path::PathBuf;

use anyhow::Result;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use crate::data::convai2::convai2;
use crate::data::dialogue_nli::dialogue_nli;
use crate::data::leak::held_out;
use crate::data::synthetic_persona_chat::synthetic_persona_chat;
use crate::data::{Dialogue, RankingItem};
use crate::stage::artifact::measures::Measures;
use crate::stage::kind::{Context, Kind, Stage};
use crate::stage::settings::keys::{COUNT, Keys, SEED};
use crate::stage::settings::produces::Produces;
use crate::stage::settings::splits::Split;
use crate::store::{BadInput, write_jsonl};
use two_sided::{Items, two_sided};

pub const KIND: Kind = Kind {
    name: "persona-files",
    about: "persona dialogues and ranking items from public files, leaks between them held out",
    produces: Produces::Dialogues,
    version: 1,
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
        write_jsonl(&context.dir.join("ranking.jsonl"), &items)?;
        measures
            .numbers
            .insert("ranking_items".into(), items.len() as f64);
        measures.numbers.insert("held_out".into(), held_out as f64);
        measures.write(&context.dir)
    }
}

#[cfg(test)]
mod tests;
