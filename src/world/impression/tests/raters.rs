//! What raters do to the truth: their stated bias, noise and gaps, and the ceiling that these set.

use std::collections::{BTreeMap, HashSet};

use super::{deviation, mean, world};
use crate::world::impression::rating::Ceiling;
use crate::world::impression::{Impression, ImpressionWorld};

#[test]
fn bias_noise_and_missing_scores_have_their_stated_sizes() {
    let data = ImpressionWorld {
        pool: 400,
        raters: 5,
        bias: 0.8,
        noise: 1.5,
        missing: 0.2,
        train: 4_000,
        pretrain: 0,
        ..world()
    }
    .generate()
    .unwrap();
    let (mut given, mut all) = (0.0, 0.0);
    let mut errors: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for row in &data.train {
        let distinct: HashSet<&str> = row.ratings.iter().map(|it| it.rater.as_str()).collect();
        assert_eq!(distinct.len(), 5);
        let truth = row.truth.as_ref().unwrap();
        for rating in &row.ratings {
            all += Impression::COUNT as f64;
            given += rating.scores.len() as f64;
            for (name, score) in &rating.scores {
                assert_eq!(score.round(), *score);
                // Only far from the ends of the scale, where clamping changes nothing.
                if (4.9..=5.1).contains(&truth[name]) {
                    let of = errors.entry(&rating.rater).or_default();
                    of.push(score - truth[name]);
                }
            }
        }
    }
    let missing = 1.0 - given / all;
    assert!((missing - 0.2).abs() < 0.005, "{missing}");
    // Each rater's mean error is the offset, but for the error of the mean itself; what is left is noise.
    let offsets: Vec<f64> = errors.values().map(|it| mean(it)).collect();
    let rest: Vec<f64> = errors
        .values()
        .flat_map(|it| it.iter().map(|error| error - mean(it)))
        .collect();
    let count = rest.len() as f64;
    let each = count / offsets.len() as f64;
    let noise = (deviation(&rest).powi(2) * each / (each - 1.0) - 1.0 / 12.0).sqrt();
    assert!((noise - 1.5).abs() < 0.05, "{noise}");
    let bias = (deviation(&offsets).powi(2) - (1.5 * 1.5 + 1.0 / 12.0) / each).sqrt();
    // Four standard errors of the deviation of 400 offsets.
    assert!((bias - 0.8).abs() < 4.0 * 0.8 / 800f64.sqrt(), "{bias}");
}

fn measured(world: &ImpressionWorld) -> BTreeMap<Impression, Ceiling> {
    let data = world.generate().unwrap();
    let of = |impression| {
        (
            impression,
            Ceiling::measure(&data.train, impression).unwrap(),
        )
    };
    Impression::ALL.into_iter().map(of).collect()
}

/// Impressions of which few truths lie near an end of the scale, where clamping counts.
const INNER: [Impression; 3] = [
    Impression::Attentiveness,
    Impression::Empathetic,
    Impression::Humanness,
];

#[test]
fn ceilings_match_their_closed_form_and_fall_as_noise_grows() {
    let mut before = BTreeMap::new();
    for (bias, noise, missing) in [(0.0, 0.0, 0.0), (0.4, 0.6, 0.1), (0.5, 1.2, 0.3)] {
        let world = ImpressionWorld {
            pretrain: 0,
            prompts: 0,
            train: 6_000,
            pool: 600,
            bias,
            noise,
            missing,
            ..world()
        };
        let found = measured(&world);
        for impression in INNER {
            let got = found[&impression];
            let truth = got.truth[1].powi(2);
            let [ceiling, reliability] =
                Ceiling::expected(truth, bias, noise, world.raters, missing);
            assert!(
                (got.ceiling - ceiling).abs() < 0.015,
                "{impression:?} {noise}: {} for {ceiling}",
                got.ceiling
            );
            // Without noise all raters round alike, so their errors are not independent.
            assert!(
                noise == 0.0 || (got.reliability - reliability).abs() < 0.03,
                "{impression:?} {noise}: {} for {reliability}",
                got.reliability
            );
        }
        for impression in Impression::ALL {
            let Ceiling {
                ceiling,
                reliability,
                ..
            } = found[&impression];
            if let Some((old, older)) = before.insert(impression, (ceiling, reliability)) {
                assert!(ceiling < old && reliability < older, "{impression:?}");
            }
        }
    }
}

#[test]
fn by_default_raters_agree_well_enough_to_learn_from() {
    for (impression, found) in measured(&world()) {
        let Ceiling { ceiling, .. } = found;
        assert!((0.75..0.97).contains(&ceiling), "{impression:?} {ceiling}");
    }
}
