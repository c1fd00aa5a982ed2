//! `pseudo-preferences`: pseudo-preferences. The reference reply is chosen; a reply that the model itself gives to
//! the same history, under a persona taken from another dialogue, is rejected.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use rand::{Rng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use crate::data::template::dialogue_examples;
use crate::data::{Dialogue, Example, Prompt, Role, Tokenizer};
use crate::stage::artifact::drawn;
use crate::stage::artifact::examples::{RowsSettings, write_examples, write_settings};
use crate::stage::artifact::folder::model_dir;
use crate::stage::artifact::measures::Measures;
use crate::stage::kind::{Context, Kind, Stage};
use crate::stage::modules;
use crate::stage::settings::keys::{COUNT, Keys, StageRef};
use crate::stage::settings::produces::Produces;
use crate::stage::settings::sampling::SamplingSettings;
use crate::stage::settings::splits::Split;
use crate::stage::work::streams;

pub const KIND: Kind = Kind {
    name: "pseudo-preferences",
    about: "pairs of a reference reply and a reply sampled under another persona",
    produces: Produces::Pairs,
    // 3: the sampled replies are their tokens; random streams are named by their split.
    // 4: where batches are of dialogues, whole dialogues are drawn.
    // 5: and all replies of one are sampled under one persona.
    version: 5,
    uses_backend: true,
    modules: modules::SAMPLING,
    read,
};

struct Pairs {
    model: StageRef,
    data: StageRef,
    shuffled: bool,
    examples: usize,
    valid_examples: usize,
    sampling: SamplingSettings,
    rows: RowsSettings,
}

fn read(keys: &mut Keys<'_>) -> Box<dyn Stage> {
    Box::new(Pairs {
        model: keys.stage("model", &[Produces::Model]),
        data: keys.stage("data", &[Produces::Dialogues]),
        shuffled: keys
            .doc("whose persona the sampled reply is given: another dialogue's, or its own")
            .one_of(
                "persona",
                "shuffled",
                &[("shuffled", true), ("true", false)],
            ),
        examples: keys
            .doc("histories sampled for training, with group = \"dialogue\" those of whole dialogues under one persona each, the last beyond it; 0: all")
            .usize("examples", 0, 0..=COUNT),
        valid_examples: keys.doc("histories sampled for validation; 0: none").usize(
            "valid_examples",
            0,
            0..=COUNT,
        ),
        sampling: SamplingSettings::read(keys),
        rows: RowsSettings {
            shuffle: keys.bool("shuffle", true),
            by_dialogue: keys.choice("group", "none", &["none", "dialogue"]) == "dialogue",
            by_row: false,
        },
    })
}

impl Stage for Pairs {
    fn run(&self, context: &Context) -> Result<()> {
        let mut measures = Measures::default();
        let splits = [
            (Split::Train, self.examples, true),
            (Split::Valid, self.valid_examples, self.valid_examples > 0),
        ];
        for (split, limit, wanted) in splits {
            if wanted {
                let pairs = self.split(context, split, limit, &mut measures)?;
                write_examples(&context.dir, split, pairs.into_iter().map(Ok))?;
            }
        }
        let tokenizer = Tokenizer::open(&model_dir(context.input(&self.model)))?;
        drawn::write(&context.dir, &tokenizer)?;
        write_settings(&context.dir, self.rows)?;
        measures.write(&context.dir)
    }
}

impl Pairs {
    fn split(
        &self,
        context: &Context,
        split: Split,
        limit: usize,
        measures: &mut Measures,
    ) -> Result<Vec<Example>> {
        let dialogues = split.dialogues(context.input(&self.data))?;
        let mut rng = streams::seeded(context.seed, split.name());
        let mut chosen = histories(&dialogues);
        if limit > 0 && limit < chosen.len() {
            if self.rows.by_dialogue {
                let drawn = whole(&chosen, limit, &mut rng);
                chosen.retain(|(dialogue, _)| drawn.contains(dialogue));
            } else {
                chosen.shuffle(&mut rng);
                chosen.truncate(limit);
            }
            // Back in the dialogues' order, so that those of one dialogue stay together.
            chosen.sort_by_key(|(dialogue, example)| (*dialogue, example.prompt.text().len()));
        }
        // Those of each split are drawn from streams of their own.
        let first = streams::stream(&format!("{} replies", split.name()));
        let of: Vec<usize> = chosen.iter().map(|(dialogue, _)| *dialogue).collect();
        let personas = match self.shuffled {
            true => other_personas(&dialogues, &of, self.rows.by_dialogue, &mut rng),
            false => Vec::new(),
        };
        let prompts: Vec<(u64, Prompt)> = (0..)
            .zip(&chosen)
            .map(|(place, (_, example))| {
                let prompt = match personas.get(place) {
                    Some(persona) => example.prompt.with_persona(persona),
                    None => example.prompt.clone(),
                };
                (first.wrapping_add(place as u64), prompt)
            })
            .collect();
        let replies = self
            .sampling
            .run(context, (&self.model, &[]), &prompts, measures)?;
        let (mut identical, mut empty, mut unfinished) = (0, 0, 0);
        let mut pairs = Vec::with_capacity(chosen.len());
        for ((_, mut example), reply) in chosen.into_iter().zip(replies) {
            let reference = example.completions[0].text.trim().to_owned();
            if reply.text.trim().is_empty() {
                empty += 1;
            } else if reply.text.trim() == reference {
                identical += 1;
            } else {
                unfinished += usize::from(!reply.finished);
                example.completions[0].role = Role::Chosen;
                example.completions.push(reply.completion(Role::Rejected));
                pairs.push(example);
            }
        }
        let name = split.name();
        ensure!(
            !pairs.is_empty(),
            "{name}: no pair is left of {} replies: {empty} are empty and {identical} like the reference; raise \
             temperature, or train @{} further",
            prompts.len(),
            self.model.name
        );
        measures.note(format!(
            "{name}: {} pairs; {identical} identical and {empty} empty replies dropped, {unfinished} \
             kept that max_new_tokens ended",
            pairs.len()
        ));
        for (count, value) in [
            ("pairs", pairs.len()),
            ("identical", identical),
            ("empty", empty),
            ("unfinished", unfinished),
        ] {
            measures
                .numbers
                .insert(format!("{name}_{count}"), value as f64);
        }
        Ok(pairs)
    }
}

/// Every reply's example with the index of its dialogue.
fn histories(dialogues: &[Dialogue]) -> Vec<(usize, Example)> {
    dialogues
        .iter()
        .enumerate()
        .flat_map(|(index, dialogue)| {
            dialogue_examples(dialogue)
                .into_iter()
                .map(move |example| (index, example))
        })
        .collect()
}

/// Dialogues, drawn until they have `limit` of the histories together.
fn whole(histories: &[(usize, Example)], limit: usize, rng: &mut ChaCha8Rng) -> BTreeSet<usize> {
    let mut sizes: BTreeMap<usize, usize> = BTreeMap::new();
    for (dialogue, _) in histories {
        *sizes.entry(*dialogue).or_default() += 1;
    }
    let mut sizes: Vec<(usize, usize)> = sizes.into_iter().collect();
    sizes.shuffle(rng);
    let mut left = limit;
    let drawn = sizes.into_iter().take_while(|(_, size)| {
        let wanted = left > 0;
        left = left.saturating_sub(*size);
        wanted
    });
    drawn.map(|(dialogue, _)| dialogue).collect()
}

/// For a history of each of the dialogues `of` the persona of another one. With `by_dialogue` the histories of a dialogue,
/// which lie side by side, have one and the same: their prompts go on from one another, and are computed once.
fn other_personas<'a>(
    dialogues: &'a [Dialogue],
    of: &[usize],
    by_dialogue: bool,
    rng: &mut ChaCha8Rng,
) -> Vec<&'a [String]> {
    let mut personas: Vec<&[String]> = Vec::with_capacity(of.len());
    for (at, dialogue) in of.iter().enumerate() {
        personas.push(match by_dialogue && at > 0 && of[at - 1] == *dialogue {
            true => personas[at - 1],
            false => other_persona(dialogues, *dialogue, rng),
        });
    }
    personas
}

/// The persona of a random other dialogue that is not word for word the same.
fn other_persona<'a>(dialogues: &'a [Dialogue], own: usize, rng: &mut ChaCha8Rng) -> &'a [String] {
    // A handful of draws finds another persona unless nearly all dialogues share one.
    for _ in 0..64 {
        let other = &dialogues[rng.random_range(0..dialogues.len())].persona;
        if *other != dialogues[own].persona {
            return other;
        }
    }
    &dialogues[(own + 1) % dialogues.len()].persona
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_history_gets_another_dialogues_persona_and_those_of_one_the_same_where_batches_are_dialogues()
     {
        let dialogues: Vec<Dialogue> = (0..20)
            .map(|id| Dialogue {
                id: id.to_string(),
                persona: vec![format!("i am number {id}.")],
                turns: Vec::new(),
                meta: Default::default(),
            })
            .collect();
        let of: Vec<usize> = (0..60).map(|at| at / 3).collect();
        for by_dialogue in [true, false] {
            let rng = &mut streams::seeded(1, "train");
            let personas = other_personas(&dialogues, &of, by_dialogue, rng);
            assert_eq!(personas.len(), of.len());
            for (persona, own) in personas.iter().zip(&of) {
                assert_ne!(*persona, dialogues[*own].persona);
            }
            let alike = personas
                .chunks(3)
                .filter(|it| it[0] == it[1] && it[1] == it[2]);
            let alike = alike.count();
            assert!(if by_dialogue { alike == 20 } else { alike < 5 }, "{alike}");
        }
    }

    #[test]
    fn whole_dialogues_are_drawn_up_to_the_one_that_fills_the_limit() {
        let example = |id: usize| Example {
            id: id.to_string(),
            group: String::new(),
            prompt: Prompt::Text(String::new()),
            completions: Vec::new(),
            meta: Default::default(),
        };
        // Dialogues 0 to 9 with three histories each.
        let histories: Vec<_> = (0..30).map(|at| (at / 3, example(at))).collect();
        for (limit, dialogues) in [(1, 1), (3, 1), (4, 2), (30, 10)] {
            let drawn = whole(&histories, limit, &mut streams::seeded(1, "train"));
            assert_eq!(drawn.len(), dialogues, "{limit}");
        }
        let of = |seed| whole(&histories, 9, &mut streams::seeded(seed, "train"));
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2), "three of ten, drawn by seed");
    }
}
