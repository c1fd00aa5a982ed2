//! Ranking items in the shape of Dialogue-NLI's (Welleck et al. 2019, arXiv 1811.00671): which of about 30
//! replies does a model find likeliest?

use std::collections::HashSet;

use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom, index};

use super::dialogue::{Draft, Fact, Form, Manner, Reply};
use super::families::Grammar;
use super::settings::{Contradictions, PersonaWorld};
use crate::data::RankingItem;
use crate::world::pick;

/// Draws `world.ranking_items` items; their dialogues are added to `seen`.
pub(super) fn items<R: Rng>(
    world: &PersonaWorld,
    manner: &Manner,
    rng: &mut R,
    seen: &mut HashSet<String>,
) -> Vec<RankingItem> {
    (0..world.ranking_items)
        .map(|k| item(world, manner, rng, seen, format!("ranking-{k:06}")))
        .collect()
}

/// One item: a dialogue up to a persona question, then, in random order,
/// - 1 `hits`: the dialogue's own answer
/// - n `entail`: the true value in other forms
/// - n `contradict`: n false values of the same family
/// - n `random`: replies out of other dialogues, small talk or of a family that the persona lacks
fn item<R: Rng>(
    world: &PersonaWorld,
    manner: &Manner,
    rng: &mut R,
    seen: &mut HashSet<String>,
    id: String,
) -> RankingItem {
    let draft = Draft::unseen(rng, manner, seen);
    let questions: Vec<(usize, Fact, Form)> = draft
        .replies
        .iter()
        .enumerate()
        .filter_map(|(k, reply)| match reply {
            Reply::Answer { fact, form, .. } => Some((k, *fact, *form)),
            Reply::SmallTalk { .. } => None,
        })
        .collect();
    let &(exchange, fact, gold) = questions
        .choose(rng)
        .expect("every dialogue asks at least one persona question");
    let count = world.candidates_per_label;

    let others = other_forms(rng, &fact, gold, count);
    let mut candidates = vec![(gold.text(fact.family, fact.value), "hits")];
    candidates.extend(
        others
            .iter()
            .map(|form| (form.text(fact.family, fact.value), "entail")),
    );

    let wrong = index::sample(
        rng,
        Grammar::get().families[fact.family].values.len() - 1,
        count,
    );
    for (k, value) in wrong.into_iter().enumerate() {
        let value = value + usize::from(value >= fact.value);
        let form = match world.contradictions {
            Contradictions::Mirrored if k == 0 => gold,
            Contradictions::Mirrored => others[k - 1],
            Contradictions::Drawn => Form::draw(rng, &fact, manner.reuse),
        };
        candidates.push((form.text(fact.family, value), "contradict"));
    }

    let mut taken: HashSet<String> = HashSet::new();
    while taken.len() < count {
        let other = Draft::draw(rng, manner);
        let k = rng.random_range(0..other.replies.len());
        let held = match other.replies[k] {
            Reply::SmallTalk { .. } => false,
            Reply::Answer { fact, .. } => draft.facts.iter().any(|f| f.family == fact.family),
        };
        let text = &other.turns[2 * k + 1].text;
        if !held && taken.insert(text.clone()) {
            candidates.push((text.clone(), "random"));
        }
    }

    candidates.shuffle(rng);
    RankingItem {
        id,
        persona: draft.persona(),
        history: draft.turns[..=2 * exchange].to_vec(),
        candidates: candidates
            .into_iter()
            .map(|(text, label)| (text, label.to_owned()))
            .collect(),
    }
}

/// `count` distinct forms other than `gold`, drawn one after another in proportion to their likelihood.
fn other_forms<R: Rng>(rng: &mut R, fact: &Fact, gold: Form, count: usize) -> Vec<Form> {
    let grammar = Grammar::get();
    let mut left: Vec<(Form, u32)> = Vec::new();
    for (wording, phrase) in grammar.families[fact.family].wordings().enumerate() {
        for (tail, ending) in grammar.tails.iter().enumerate() {
            left.push((Form { wording, tail }, phrase.weight * ending.weight));
        }
    }
    left.retain(|(form, _)| *form != gold);
    (0..count)
        .map(|_| {
            let k = pick(rng, left.iter().map(|(_, weight)| *weight));
            left.swap_remove(k).0
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::oracle;
    use super::*;
    use std::collections::HashMap;

    fn items(contradictions: Contradictions, reuse: f64) -> Vec<RankingItem> {
        let world = PersonaWorld {
            pretrain: 0,
            train: 0,
            valid: 0,
            test: 0,
            ranking_items: 200,
            contradictions,
            reuse,
            ..Default::default()
        };
        world.generate().unwrap().ranking
    }

    #[test]
    fn labels_agree_with_the_oracle_and_no_candidate_occurs_twice() {
        for item in items(Contradictions::Mirrored, 0.7)
            .iter()
            .chain(&items(Contradictions::Drawn, 1.0))
        {
            let mut counts: HashMap<&str, usize> = HashMap::new();
            for (text, label) in &item.candidates {
                *counts.entry(label).or_default() += 1;
                let expected = if label == "hits" { "entail" } else { label };
                assert_eq!(oracle::label(item, text), expected, "{text} in {item:?}");
                let verdict = oracle::judge_reply(&item.persona, &item.history, text);
                assert!(verdict.well_formed);
                assert_eq!(verdict.on_topic, label != "random", "{text} in {item:?}");
            }
            let expected = [
                ("hits", 1),
                ("entail", 10),
                ("contradict", 10),
                ("random", 10),
            ];
            assert_eq!(counts, HashMap::from(expected));
            let distinct: HashSet<_> = item.candidates.iter().map(|(text, _)| text).collect();
            assert_eq!(distinct.len(), 31);
        }
    }

    #[test]
    fn mirrored_contradictions_differ_from_true_candidates_in_the_value_alone() {
        for item in items(Contradictions::Mirrored, 0.7) {
            let shape = |text: &str| {
                let known = Grammar::get().families.iter().flat_map(|f| &f.values);
                let mut said =
                    known.filter(|v| text.split([' ', '.', ',']).any(|w| w == v.as_str()));
                said.next().map(|v| text.replacen(v.as_str(), "_", 1))
            };
            let of = |wanted: &[&str]| -> HashSet<_> {
                let labelled = item
                    .candidates
                    .iter()
                    .filter(|(_, l)| wanted.contains(&l.as_str()));
                labelled.map(|(text, _)| shape(text)).collect()
            };
            let (truth, lies) = (of(&["hits", "entail"]), of(&["contradict"]));
            assert_eq!((truth.len(), lies.len()), (11, 10));
            assert!(lies.is_subset(&truth), "{lies:?} {truth:?}");
            assert!(of(&["hits"]).is_subset(&lies));
        }
    }

    #[test]
    fn true_and_false_candidates_come_in_no_fixed_order() {
        let firsts: HashSet<_> = items(Contradictions::Mirrored, 0.7)
            .iter()
            .map(|i| i.candidates[0].1.clone())
            .collect();
        assert!(firsts.len() >= 3);
    }
}
