//! What the generated data must be: repeatable, disjoint, true to its table, and rated as stated.

mod counted;
mod raters;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::rating::correlation;
use super::*;
use crate::data::Role;
use counted::{Counts, count};

fn world() -> ImpressionWorld {
    ImpressionWorld {
        pretrain: 800,
        ..Default::default()
    }
}

fn bytes(data: &ImpressionData) -> String {
    let ImpressionData {
        pretrain,
        train,
        valid,
        test,
        prompts,
    } = data;
    serde_json::to_string(&(pretrain, train, valid, test, prompts)).unwrap()
}

fn rows(data: &ImpressionData) -> impl Iterator<Item = &Rated> {
    data.train.iter().chain(&data.valid).chain(&data.test)
}

fn truths(rows: &[Rated], impression: Impression) -> Vec<f64> {
    let truth = |row: &Rated| row.truth.as_ref().unwrap()[impression.name()];
    rows.iter().map(truth).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn deviation(values: &[f64]) -> f64 {
    let centre = mean(values);
    let squares: Vec<f64> = values.iter().map(|it| (it - centre).powi(2)).collect();
    mean(&squares).sqrt()
}

#[test]
fn a_seed_fixes_every_byte_and_another_seed_changes_them() {
    let first = bytes(&world().generate().unwrap());
    assert!(first == bytes(&world().generate().unwrap()));
    let other = ImpressionWorld { seed: 2, ..world() };
    assert!(first != bytes(&other.generate().unwrap()));
}

#[test]
fn a_longer_training_set_leaves_the_held_out_data_as_it_was() {
    let longer = ImpressionWorld {
        train: 1_700,
        pretrain: 900,
        ..world()
    };
    let (short, long) = (world().generate().unwrap(), longer.generate().unwrap());
    assert_eq!(short.test, long.test);
    assert_eq!(short.valid, long.valid);
    assert_eq!(short.prompts, long.prompts);
    assert_eq!(short.train, long.train[..short.train.len()]);
}

#[test]
fn no_dialogue_occurs_twice_in_or_across_splits() {
    let data = world().generate().unwrap();
    let mut seen = HashSet::new();
    for row in rows(&data) {
        let text: Vec<&str> = row.turns.iter().map(|it| it.text.as_str()).collect();
        assert!(seen.insert(text.join("\n")), "{text:?}");
    }
    let mut groups: BTreeMap<&str, String> = BTreeMap::new();
    for example in &data.pretrain {
        let text = example.prompt.text() + &example.completions[0].text;
        groups.insert(
            &example.group,
            text.replace("User: ", "").replace("Bot: ", ""),
        );
    }
    assert_eq!(groups.len(), 800);
    for text in groups.into_values() {
        assert!(seen.insert(text.clone()), "{text}");
    }
    let contexts: HashSet<String> = data.prompts.iter().map(|it| it.prompt.text()).collect();
    assert_eq!(contexts.len(), data.prompts.len());
}

#[test]
fn truths_are_what_a_simple_count_over_the_text_gives() {
    let data = world().generate().unwrap();
    for row in rows(&data) {
        let truth = row.truth.as_ref().unwrap();
        assert_eq!(truth.len(), Impression::COUNT);
        for (name, score) in count(&row.turns).scores() {
            assert!((truth[name] - score).abs() < 1e-9, "{name} {score} {row:?}");
        }
    }
}

#[test]
fn every_impression_varies_and_no_two_are_the_same() {
    let data = world().generate().unwrap();
    for (k, one) in Impression::ALL.into_iter().enumerate() {
        let values = truths(&data.train, one);
        let spread = deviation(&values);
        assert!(spread >= 1.0, "{one:?} {spread}");
        assert!(values.iter().all(|it| (0.0..=10.0).contains(it)), "{one:?}");
        for other in &Impression::ALL[..k] {
            let found = correlation(&values, &truths(&data.train, *other)).unwrap();
            assert!(found.abs() < 0.9, "{one:?} {other:?} {found}");
        }
    }
}

/// A linear fit on the plain counts of signs, whatever the number of turns.
#[test]
fn every_impression_can_be_decoded_from_counts_of_signs() {
    let data = world().generate().unwrap();
    let features = |rows: &[Rated]| -> Vec<Vec<f64>> {
        let counts = rows.iter().map(|row| count(&row.turns));
        counts.map(|counts| counts.features()).collect()
    };
    let (train, test) = (features(&data.train), features(&data.test));
    for impression in Impression::ALL {
        let weights = least_squares(&train, &truths(&data.train, impression));
        let predict = |row: &Vec<f64>| row.iter().zip(&weights).map(|(a, b)| a * b).sum();
        let predicted: Vec<f64> = test.iter().map(predict).collect();
        let found = correlation(&predicted, &truths(&data.test, impression)).unwrap();
        assert!(found > 0.95, "{impression:?} {found}");
    }
}

/// Weights that minimise the squared error, by the normal equations (Gauss and Jordan).
fn least_squares(features: &[Vec<f64>], targets: &[f64]) -> Vec<f64> {
    let size = features[0].len();
    let mut system = vec![vec![0.0; size + 1]; size];
    for (row, target) in features.iter().zip(targets) {
        for i in 0..size {
            for j in 0..size {
                system[i][j] += row[i] * row[j];
            }
            system[i][size] += row[i] * target;
        }
    }
    for pivot in 0..size {
        let best = (pivot..size)
            .max_by(|a, b| system[*a][pivot].abs().total_cmp(&system[*b][pivot].abs()))
            .unwrap();
        system.swap(pivot, best);
        let lead = system[pivot].clone();
        for (at, row) in system.iter_mut().enumerate() {
            let factor = row[pivot] / lead[pivot];
            if at != pivot {
                row.iter_mut()
                    .zip(&lead)
                    .for_each(|(a, b)| *a -= factor * b);
            }
        }
    }
    (0..size).map(|k| system[k][size] / system[k][k]).collect()
}

#[test]
fn bots_of_one_system_are_more_alike_than_others() {
    let data = world().generate().unwrap();
    for impression in Impression::ALL {
        let values = truths(&data.train, impression);
        let mut of: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for (row, value) in data.train.iter().zip(&values) {
            of.entry(&row.system).or_default().push(*value);
        }
        assert_eq!(of.len(), 6);
        let means: Vec<f64> = of.values().map(|it| mean(it)).collect();
        // Were all systems alike, their means would spread by deviation / sqrt(267).
        let alike = deviation(&values) / 16.0;
        assert!(deviation(&means) > 2.0 * alike, "{impression:?} {means:?}");
    }
    let speakers: BTreeSet<&str> = rows(&data).map(|it| it.speaker.as_str()).collect();
    assert_eq!(speakers.len(), 40);
}

#[test]
fn dull_replies_are_frequent_and_tempting() {
    use Impression::*;
    let data = world().generate().unwrap();
    let judged = |example: &Example| {
        judge_reply(&example.meta, &example.prompt, &example.completions[0].text).unwrap()
    };
    let (dull, lively): (Vec<&Example>, Vec<&Example>) = data
        .pretrain
        .iter()
        .partition(|it| is_dull(&it.completions[0].text));
    let share = dull.len() as f64 / data.pretrain.len() as f64;
    // A bot that happens to show nothing is dull too.
    assert!((0.29..0.36).contains(&share), "{share}");
    let average = Scores::mean(&lively.into_iter().map(judged).collect::<Vec<_>>());
    for example in &dull {
        let scores = judged(example);
        for impression in [Agency, Personality] {
            assert_eq!(scores.get(impression), 0.0, "{example:?}");
        }
        for impression in [Consistency, Ease, Topic, Trust] {
            let (score, average) = (scores.get(impression), average.get(impression));
            assert!(score > average, "{impression:?} {score} {average}");
        }
        let middling = Impression::ALL.into_iter();
        let middling = middling.filter(|it| scores.get(*it) >= 5.0).count();
        assert!(middling >= 7, "{example:?}");
    }
    assert!(average.get(Agency) > 1.0 && average.get(Personality) > 1.0);
    // Rated dialogues have some as well.
    let turns = data.train.iter().flat_map(|row| &row.turns);
    let rated = turns.filter(|turn| is_dull(&turn.text)).count();
    assert!(rated > 600, "{rated}");
}

#[test]
fn a_prompt_is_judged_by_its_meta_and_its_reference_is_good() {
    let data = world().generate().unwrap();
    assert_eq!(data.prompts.len(), 600);
    let judged = |example: &Example| {
        let reply = &example.completions[0].text;
        judge_reply(&example.meta, &example.prompt, reply).unwrap()
    };
    let without_signs = Scores::of(&BTreeSet::new());
    for example in &data.prompts {
        assert_eq!(example.completions.len(), 1);
        assert_eq!(example.completions[0].role, Role::Chosen);
        assert!(example.prompt.text().ends_with("\nBot:"));
        let scores = judged(example);
        for impression in Impression::ALL {
            let least = without_signs.get(impression);
            assert!(
                scores.get(impression) >= least,
                "{impression:?} {example:?}"
            );
        }
    }
    let mean =
        |examples: &[Example]| Scores::mean(&examples.iter().map(judged).collect::<Vec<_>>());
    let (reference, average) = (mean(&data.prompts), mean(&data.pretrain));
    for impression in Impression::ALL {
        let (better, than) = (reference.get(impression), average.get(impression));
        assert!(better > than + 0.3, "{impression:?} {better} {than}");
    }
}

#[test]
fn an_oracle_of_replies_agrees_with_the_truth_of_dialogues() {
    let data = world().generate().unwrap();
    let mut groups: BTreeMap<&str, Vec<&Example>> = BTreeMap::new();
    for example in &data.pretrain {
        groups.entry(&example.group).or_default().push(example);
    }
    for examples in groups.into_values() {
        let replies = examples.iter().map(|example| {
            let reply = &example.completions[0].text;
            judge_reply(&example.meta, &example.prompt, reply).unwrap()
        });
        let mean = Scores::mean(&replies.collect::<Vec<_>>()).by_name();
        let last = examples[examples.len() - 1];
        let text = last.prompt.text() + &last.completions[0].text;
        let counts: Counts = count(&counted::turns(&text));
        for (name, score) in counts.scores() {
            assert!((mean[name] - score).abs() < 1e-9, "{name} {text}");
        }
    }
}

#[test]
fn the_words_are_few_and_replies_are_short() {
    let data = world().generate().unwrap();
    let mut words = BTreeSet::new();
    let (mut replies, mut length) = (0, 0);
    for turn in rows(&data).flat_map(|row| &row.turns) {
        let split = |c: char| !c.is_alphanumeric();
        let found: Vec<&str> = turn.text.split(split).filter(|w| !w.is_empty()).collect();
        if turn.speaker == crate::data::Speaker::Bot {
            replies += 1;
            length += found.len();
        }
        words.extend(found);
    }
    assert!((200..=450).contains(&words.len()), "{} words", words.len());
    let mean = length as f64 / f64::from(replies);
    assert!((10.0..25.0).contains(&mean), "{mean} words a reply");
}

#[test]
fn settings_out_of_range_are_all_named() {
    let world = ImpressionWorld {
        dull: 1.1,
        min_turns: 1,
        max_turns: 0,
        systems: 0,
        pool: 3,
        raters: 4,
        bias: -0.1,
        noise: f64::NAN,
        missing: 0.95,
        ..world()
    };
    let keys: Vec<_> = world.problems().iter().map(|p| p.key).collect();
    let expected = [
        "dull",
        "min_turns",
        "max_turns",
        "systems",
        "raters",
        "bias",
        "noise",
        "missing",
    ];
    assert_eq!(keys, expected);
    let message = world.generate().unwrap_err().to_string();
    assert_eq!(
        message,
        "impression world: `dull` is 1.1, expected a rate from 0 to 1"
    );
    let no_pool = ImpressionWorld {
        pool: 0,
        ..ImpressionWorld::default()
    };
    let keys: Vec<_> = no_pool.problems().iter().map(|p| p.key).collect();
    assert_eq!(keys, ["pool", "raters"]);
    assert!(ImpressionWorld::default().problems().is_empty());
}
