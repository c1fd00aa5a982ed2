use super::*;
use crate::store::read_json;
use crate::world::impression::rating::Ceiling;
use crate::world::impression::{Impression, ImpressionWorld};

fn world(test: usize) -> (Vec<Rated>, Vec<String>) {
    let world = ImpressionWorld {
        test,
        pretrain: 0,
        train: 1,
        valid: 1,
        prompts: 0,
        ..Default::default()
    };
    let names = Impression::ALL.map(|it| it.name().to_owned());
    (world.generate().unwrap().test, names.to_vec())
}

fn truths(rows: &[Rated], impressions: &[String]) -> Vec<Vec<f64>> {
    let truth = |row: &Rated| {
        let truth = row.truth.clone().unwrap();
        impressions.iter().map(|name| truth[name]).collect()
    };
    rows.iter().map(truth).collect()
}

#[test]
fn who_knows_the_truth_reaches_the_ceiling_that_ratings_alone_show() {
    let (rows, impressions) = world(3000);
    let dir = tempfile::tempdir().unwrap();
    let mut measures = Measures::default();
    let predicted = truths(&rows, &impressions);
    measure(
        &rows,
        &impressions,
        &predicted,
        Cluster::Dialogue,
        dir.path(),
        &mut measures,
    )
    .unwrap();
    for impression in Impression::ALL {
        let name = impression.name();
        let number = |what: &str| measures.numbers[&format!("{what}.{name}")];
        // The world's ceiling is the correlation of the same two, and its reliability that of one rating.
        let known = Ceiling::measure(&rows, impression).unwrap();
        assert!((number("pearson") - known.ceiling).abs() < 1e-9, "{name}");
        let scores = |row: &Rated| -> Vec<f64> {
            let given = row.ratings.iter();
            given
                .filter_map(|it| it.scores.get(name).copied())
                .collect()
        };
        let noise = Noise::of(&rows.iter().map(scores).collect::<Vec<_>>()).unwrap();
        assert!(
            (noise.reliability - known.reliability).abs() < 1e-9,
            "{name}"
        );
        // Estimated without the truth, it lies near: three standard errors of the two are at most 0.03.
        assert!(
            (number("of_ceiling") - 1.0).abs() < 0.05,
            "{name}: {}",
            number("of_ceiling")
        );
        assert!(number("pearson_low") < number("pearson"));
        assert!(number("pearson") < number("pearson_high"));
        let items = &measures.items[&format!("pearson.{name}")];
        assert_eq!(items.len(), rows.len());
        // The mean of a row's ratings is unbiased but where the scale ends.
        assert!(number("calibration_error") < 0.6, "{name}");
    }
    let mean = impressions
        .iter()
        .map(|it| measures.numbers[&format!("pearson.{it}")]);
    let mean = mean.sum::<f64>() / 12.0;
    assert!((measures.numbers["pearson"] - mean).abs() < 1e-9);
    assert!(measures.numbers.contains_key("system_pearson.agency"));
    assert!(!measures.numbers.contains_key("pearson_low"));
    assert!(measures.scores.contains("mae.trust"));
    let curves: BTreeMap<String, Calibration> = read_json(&dir.path().join(CALIBRATION)).unwrap();
    assert_eq!(curves.len(), 12);
}

#[test]
fn a_model_that_says_nothing_is_said_to_and_systems_widen_the_interval() {
    let (mut rows, _) = world(300);
    let impressions = ["ease".to_owned(), "trust".to_owned()];
    let mut predicted = truths(&rows, &impressions);
    predicted.iter_mut().for_each(|scores| scores[0] = 5.0);
    let dir = tempfile::tempdir().unwrap();
    let by = |cluster, rows: &[Rated]| {
        let mut measures = Measures::default();
        measure(
            rows,
            &impressions,
            &predicted,
            cluster,
            dir.path(),
            &mut measures,
        )
        .unwrap();
        measures
    };
    let alone = by(Cluster::Dialogue, &rows);
    assert!(!alone.numbers.contains_key("pearson.ease"));
    assert!(alone.numbers.contains_key("mae.ease"));
    assert!(
        alone
            .notes
            .iter()
            .any(|it| it.starts_with("ease: no correlation"))
    );
    // The mean is over what is defined.
    assert_eq!(alone.numbers["pearson"], alone.numbers["pearson.trust"]);
    let systems = by(Cluster::System, &rows);
    assert!(systems.items.is_empty());
    assert_ne!(
        systems.numbers["pearson_low.trust"],
        alone.numbers["pearson_low.trust"]
    );
    rows[3].speaker.clear();
    rows[5].speaker.clear();
    let speakers = by(Cluster::Speaker, &rows);
    assert!(
        speakers
            .notes
            .iter()
            .any(|it| it.starts_with("2 of 300 dialogues do not"))
    );
    // Ratings by one rater each show no ceiling.
    rows.iter_mut().for_each(|row| row.ratings.truncate(1));
    let once = by(Cluster::Dialogue, &rows);
    assert!(!once.numbers.contains_key("ceiling.trust"));
    assert!(
        once.notes
            .iter()
            .any(|it| it.starts_with("trust: no ceiling"))
    );
}
