//! `nli`: sentences of personas and replies, with how the one relates to the other: by a persona world's oracle, or from
//! Dialogue-NLI's own files.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use anyhow::Result;
use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;

use crate::data::dialogue_nli::nli_of_items;
use crate::data::nli::{NliLabel, NliPair, nli};
use crate::data::template::premise;
use crate::data::{Completion, Dialogue, Example, Role, Speaker};
use crate::stage::artifact::examples::{RowsSettings, write_examples, write_settings};
use crate::stage::artifact::measures::Measures;
use crate::stage::kind::{Context, Kind, Stage};
use crate::stage::modules;
use crate::stage::settings::keys::{COUNT, Keys, StageRef};
use crate::stage::settings::produces::Produces;
use crate::stage::settings::splits::Split;
use crate::stage::work::judge::oracle::WORLD_FILE;
use crate::stage::work::streams;
use crate::store::BadInput;
use crate::world::persona::oracle::{Relation, judge_reply};

pub const KIND: Kind = Kind {
    name: "nli",
    about: "sentences of personas and replies: entailment, neutral or contradiction",
    produces: Produces::Classes,
    // 2: random streams are named by their split.
    // 3: candidates of ranking items for testing.
    version: 3,
    uses_backend: false,
    modules: &[modules::TEMPLATE, modules::ORACLE],
    read,
};

/// Held-out splits first: what they have is left out of the later ones.
const SPLITS: [Split; 3] = [Split::Test, Split::Valid, Split::Train];

struct Nli {
    source: Source,
    /// Evaluation items whose candidates are the test split, where there are any.
    items: Vec<PathBuf>,
    /// Pairs of each of [`SPLITS`]; 0: all.
    limits: [usize; 3],
}

enum Source {
    World(Option<StageRef>),
    /// One for each of [`SPLITS`].
    Files([Option<PathBuf>; 3]),
}

fn read(keys: &mut Keys<'_>) -> Box<dyn Stage> {
    let data = keys
        .doc("a persona world, whose oracle labels")
        .optional_stage("data", &[Produces::Dialogues]);
    let mut file = |key| {
        keys.doc("pairs of Dialogue-NLI, instead of data: a JSON list, or JSON Lines")
            .optional_path(key)
    };
    let files = ["test", "valid", "train"].map(&mut file);
    let given = ["train", "valid", "test"].iter().find(|key| keys.has(key));
    let items = keys
        .doc(
            "Dialogue-NLI's evaluation items: their candidates, under the persona's sentence that they are about, are the \
             test split in place of the source's own",
        )
        .paths("items", false);
    if !items.is_empty() && keys.has("test") {
        keys.problem(
            "items",
            "expected one test split, found both items and test",
        );
    }
    match (&data, given) {
        (Some(_), Some(key)) => keys.problem(key, "expected either data or files, found both"),
        (None, _) if !keys.has("train") && !keys.has("data") => {
            keys.problem(
                "train",
                "expected a file of pairs, or data: a persona world",
            );
        }
        _ => {}
    }
    let mut limit = |key, of: &'static str| keys.doc(of).usize(key, 0, 0..=COUNT);
    let train = limit("examples", "pairs for training, drawn from all; 0: all");
    let valid = limit("valid_examples", "pairs for validation; 0: all");
    let test = limit("test_examples", "pairs for testing; 0: all");
    Box::new(Nli {
        source: match given {
            Some(_) => Source::Files(files),
            None => Source::World(data),
        },
        items,
        limits: [test, valid, train],
    })
}

impl Stage for Nli {
    fn run(&self, context: &Context) -> Result<()> {
        let mut measures = Measures::default();
        let mut elsewhere = HashSet::new();
        for (at, split) in SPLITS.into_iter().enumerate() {
            let mut rng = streams::seeded(context.seed, split.name());
            let Some(mut pairs) = self.pairs(context, at, &mut rng)? else {
                continue;
            };
            let drawn = pairs.len();
            let (mut repeated, mut held_out) = (0, 0);
            let mut own = HashSet::new();
            pairs.retain(|pair| {
                let (kept, new) = (!elsewhere.contains(&key(pair)), own.insert(key(pair)));
                held_out += usize::from(!kept);
                repeated += usize::from(kept && !new);
                kept && new
            });
            pairs.shuffle(&mut rng);
            let distinct = pairs.len();
            match self.source {
                Source::World(_) if !self.of_items(split) => balance(&mut pairs, self.limits[at]),
                _ if self.limits[at] > 0 => pairs.truncate(self.limits[at]),
                _ => {}
            }
            let name = split.name();
            if pairs.is_empty() {
                let message = format!(
                    "nothing is left for {name} of {drawn} pairs that are all of three classes, distinct, and in no \
                     held-out split; give it more dialogues or pairs"
                );
                return Err(BadInput(message).into());
            }
            measures.note(format!(
                "{name}: {} pairs; left out of {drawn}: {repeated} repeated, {held_out} that a held-out split has, {} by \
                 draw",
                pairs.len(),
                distinct - pairs.len()
            ));
            let mut numbers = vec![
                (name.to_owned(), pairs.len()),
                (format!("{name}_repeated"), repeated),
                (format!("{name}_held_out"), held_out),
            ];
            for label in NliLabel::ALL {
                let of = pairs.iter().filter(|pair| pair.label == label).count();
                numbers.push((format!("{name}_{}", label.name()), of));
            }
            let numbers = numbers.into_iter().map(|(key, count)| (key, count as f64));
            measures.numbers.extend(numbers);
            elsewhere.extend(pairs.iter().map(key));
            let examples = (0..)
                .zip(pairs)
                .map(|(at, pair)| Ok(example(split, at, pair)));
            write_examples(&context.dir, split, examples)?;
        }
        write_settings(
            &context.dir,
            RowsSettings {
                shuffle: true,
                by_dialogue: false,
                by_row: false,
            },
        )?;
        measures.write(&context.dir)
    }
}

impl Nli {
    fn of_items(&self, split: Split) -> bool {
        split == Split::Test && !self.items.is_empty()
    }

    /// The pairs of the split of that place; nothing where it is not given.
    fn pairs(
        &self,
        context: &Context,
        at: usize,
        rng: &mut ChaCha8Rng,
    ) -> Result<Option<Vec<NliPair>>> {
        if self.of_items(SPLITS[at]) {
            let pairs: Result<Vec<_>> = self.items.iter().map(|path| nli_of_items(path)).collect();
            return Ok(Some(pairs?.concat()));
        }
        match &self.source {
            Source::Files(files) => files[at].as_deref().map(nli).transpose(),
            Source::World(None) => Ok(None),
            Source::World(Some(data)) => {
                let world = context.input(data);
                if !world.join(WORLD_FILE).exists() {
                    let message = format!(
                        "@{} is no persona world, so that nobody knows how its replies relate to a persona; give files \
                         of pairs (train, valid, test)",
                        data.name
                    );
                    return Err(BadInput(message).into());
                }
                Ok(Some(of_world(&SPLITS[at].dialogues(world)?, rng)))
            }
        }
    }
}

/// What no two splits, and no split twice, may have.
fn key(pair: &NliPair) -> (String, String) {
    (pair.sentence.clone(), pair.reply.clone())
}

fn example(split: Split, at: usize, pair: NliPair) -> Example {
    Example {
        id: format!("{}-{at:06}", split.name()),
        group: String::new(),
        prompt: premise(&pair.sentence),
        completions: vec![Completion::new(
            format!(" {}", pair.reply),
            Role::Candidate(pair.label.name().into()),
        )],
        meta: Default::default(),
    }
}

/// Leaves as many pairs of each class, the first of each: as many as the rarest has, `limit` of all where it is not 0.
fn balance(pairs: &mut Vec<NliPair>, limit: usize) {
    let of = |label| pairs.iter().filter(|pair| pair.label == label).count();
    let mut each = NliLabel::ALL.map(of).into_iter().min().unwrap_or(0);
    if limit > 0 {
        each = each.min(limit / NliLabel::ALL.len());
    }
    let mut left = [each; NliLabel::ALL.len()];
    pairs.retain(|pair| {
        let left = &mut left[pair.label as usize];
        let stays = *left > 0;
        *left = left.saturating_sub(1);
        stays
    });
}

/// Every sentence of a dialogue's persona with every reply of its bot; and, since a bot that answers truly never
/// contradicts its own persona, each reply that states a fact with two sentences of other personas on the same matter:
/// one that says the same, and one that says otherwise.
fn of_world(dialogues: &[Dialogue], rng: &mut impl Rng) -> Vec<NliPair> {
    let facts = Facts::of(dialogues);
    let mut pairs = Vec::new();
    let mut add = |sentence: &str, reply: &str| {
        pairs.push(NliPair {
            sentence: sentence.to_owned(),
            reply: reply.to_owned(),
            label: match relation(sentence, reply) {
                Relation::Grounded => NliLabel::Entailment,
                Relation::Contradicting => NliLabel::Contradiction,
                Relation::Neither => NliLabel::Neutral,
            },
        });
    };
    let mut places: HashMap<&str, Option<(usize, usize)>> = HashMap::new();
    for dialogue in dialogues {
        let replies = dialogue
            .turns
            .iter()
            .filter(|turn| turn.speaker == Speaker::Bot);
        for reply in replies.map(|turn| &*turn.text) {
            for sentence in &dialogue.persona {
                add(sentence, reply);
            }
            let place = places.entry(reply).or_insert_with(|| facts.place(reply));
            let Some((family, value)) = *place else {
                continue;
            };
            let family = &facts.0[family];
            let own = |sentence: &&&str| dialogue.persona.iter().any(|own| own == **sentence);
            let same = family.get(value).into_iter().flatten();
            let same: Vec<&&str> = same.filter(|sentence| !own(sentence)).collect();
            if let Some(same) = same.choose(rng) {
                add(same, reply);
            }
            let others = (0..family.len()).filter(|&other| other != value);
            let others: Vec<usize> = others.collect();
            if let Some(other) = others.choose(rng).and_then(|&at| family[at].choose(rng)) {
                add(other, reply);
            }
        }
    }
    pairs
}

fn relation(sentence: &str, reply: &str) -> Relation {
    judge_reply(&[sentence.to_owned()], &[], reply).relation
}

/// The sentences of all personas, by what they speak of and what they say of it.
struct Facts<'a>(Vec<Vec<Vec<&'a str>>>);

impl<'a> Facts<'a> {
    fn of(dialogues: &'a [Dialogue]) -> Self {
        let mut facts = Self(Vec::new());
        let mut known = HashSet::new();
        for sentence in dialogues.iter().flat_map(|dialogue| &dialogue.persona) {
            if !known.insert(sentence) {
                continue;
            }
            match facts.place(sentence) {
                Some((family, value)) if value < facts.0[family].len() => {
                    facts.0[family][value].push(sentence);
                }
                Some((family, _)) => facts.0[family].push(vec![sentence]),
                None => facts.0.push(vec![vec![sentence]]),
            }
        }
        facts
    }

    /// What a text speaks of, and which of the things said of it; one past the last where nobody says it. Nothing where no
    /// persona speaks of it.
    fn place(&self, text: &str) -> Option<(usize, usize)> {
        let family = self
            .0
            .iter()
            .position(|values| relation(values[0][0], text) != Relation::Neither)?;
        let values = &self.0[family];
        let value = values
            .iter()
            .position(|same| relation(same[0], text) == Relation::Grounded);
        Some((family, value.unwrap_or(values.len())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_equal_in_number_and_the_first_stay() {
        let pair = |at: usize| NliPair {
            sentence: at.to_string(),
            reply: String::new(),
            label: NliLabel::ALL[[0, 0, 1, 0, 2, 2, 1, 1][at]],
        };
        let left = |limit: usize| -> String {
            let mut pairs: Vec<NliPair> = (0..8).map(pair).collect();
            balance(&mut pairs, limit);
            pairs.iter().map(|pair| &*pair.sentence).collect()
        };
        assert_eq!(left(0), "012456");
        assert_eq!(left(5), "024");
        assert_eq!(left(100), "012456");
    }
}
