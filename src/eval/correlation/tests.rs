use super::*;
use proptest::prelude::*;

/// Sixty pairs, which the scripts behind the numbers below make in the same way.
fn sixty() -> (Vec<f64>, Vec<f64>) {
    let pair = |i: u32| {
        let predicted = f64::from(i * 37 % 101) / 10.0;
        (predicted, predicted * 0.6 + f64::from(i * 53 % 29) / 6.0)
    };
    (0..60).map(pair).unzip()
}

fn alone(items: usize) -> Vec<u32> {
    (0..items as u32).collect()
}

fn given(values: &[f64]) -> Vec<Option<f64>> {
    values.iter().copied().map(Some).collect()
}

fn near(got: f64, expected: f64, within: f64) {
    assert!((got - expected).abs() < within, "{got} {expected}");
}

#[test]
fn estimates_are_those_of_scipy() {
    // scipy 1.17: stats.pearsonr, stats.spearmanr, numpy's abs(p - r).mean(), stats.linregress(p, r).
    let predicted = [2.5, 7.1, 4.0, 4.0, 9.3, 1.2, 6.6, 5.0, 8.1, 3.3];
    let rated = [3.0, 6.0, 5.0, 4.0, 9.0, 2.0, 6.0, 6.0, 7.0, 3.0];
    let got = Agreement::of(&predicted, &given(&rated), &alone(10), 0);
    near(got.pearson.unwrap().value, 0.960_491_723_716_833, 1e-12);
    near(got.spearman.unwrap().value, 0.981_556_286_670_529_6, 1e-12);
    near(got.mae.unwrap().value, 0.67, 1e-12);
    let calibration = got.calibration.unwrap();
    near(calibration.slope.unwrap(), 0.789_538_898_709_709_5, 1e-12);
    near(
        calibration.intercept.unwrap(),
        1.065_456_227_593_383_4,
        1e-12,
    );
    assert_eq!(pearson(&predicted, &rated), got.pearson.map(|it| it.value));
    assert_eq!(
        spearman(&predicted, &rated),
        got.spearman.map(|it| it.value)
    );
    assert_eq!((got.n, got.missing, got.clusters), (10, 0, 10));
}

#[test]
fn intervals_are_those_of_scipy() {
    // scipy 1.17: stats.bootstrap((p, r), ..., paired=True, method="percentile", n_resamples=20000), whose
    // standard errors are 0.041, 0.051 and 0.136. Percentiles of 1,000 rounds waver by about a tenth of them.
    let (predicted, rated) = sixty();
    let got = Agreement::of(&predicted, &given(&rated), &alone(60), 3);
    for (got, value, ci95, within) in [
        (got.pearson, 0.805_031_734_040_104, [0.7144, 0.8746], 0.012),
        (
            got.spearman,
            0.805_001_389_274_798_8,
            [0.6849, 0.8845],
            0.015,
        ),
        (got.mae, 1.418_444_444_444_444_4, [1.1578, 1.6894], 0.04),
    ] {
        let got = got.unwrap();
        near(got.value, value, 1e-12);
        let found = got.ci95.unwrap();
        near(found[0], ci95[0], within);
        near(found[1], ci95[1], within);
    }
    assert_eq!(
        got,
        Agreement::of(&predicted, &given(&rated), &alone(60), 3)
    );
    assert_ne!(
        got,
        Agreement::of(&predicted, &given(&rated), &alone(60), 4)
    );
}

#[test]
fn items_that_come_again_within_a_cluster_say_nothing_new() {
    let (predicted, rated) = sixty();
    let once = Agreement::of(&predicted, &given(&rated), &alone(60), 1);
    let thrice = |values: &[f64]| values.repeat(3);
    let clusters = alone(60).repeat(3);
    let got = Agreement::of(&thrice(&predicted), &given(&thrice(&rated)), &clusters, 1);
    assert_eq!((got.n, got.clusters), (180, 60));
    for (got, once) in [
        (got.pearson, once.pearson),
        (got.spearman, once.spearman),
        (got.mae, once.mae),
    ] {
        let (got, once) = (got.unwrap(), once.unwrap());
        near(got.value, once.value, 1e-9);
        let (got, once) = (got.ci95.unwrap(), once.ci95.unwrap());
        near(got[0], once[0], 1e-9);
        near(got[1], once[1], 1e-9);
    }
    // As items of their own they would seem to say more.
    let wrong = Agreement::of(&thrice(&predicted), &given(&thrice(&rated)), &alone(180), 1);
    let width = |it: &Agreement| {
        it.pearson
            .unwrap()
            .ci95
            .map(|[low, high]| high - low)
            .unwrap()
    };
    assert!(width(&wrong) < 0.75 * width(&got));
}

#[test]
fn what_is_missing_is_left_out_and_counted() {
    let predicted = [1.0, f64::NAN, 3.0, 4.0, 6.0, 2.0];
    let rated = [
        Some(2.0),
        Some(9.0),
        None,
        Some(4.0),
        Some(5.0),
        Some(f64::NAN),
    ];
    let got = Agreement::of(&predicted, &rated, &[0, 0, 0, 1, 1, 2], 0);
    assert_eq!((got.n, got.missing, got.clusters), (3, 3, 2));
    let alone = Agreement::of(&[1.0, 4.0, 6.0], &given(&[2.0, 4.0, 5.0]), &[0, 1, 1], 0);
    assert_eq!(got.pearson.unwrap(), alone.pearson.unwrap());
    assert_eq!(got.calibration, alone.calibration);
}

#[test]
fn a_constant_side_has_no_correlation() {
    // The mean of three times 0.1 is not 0.1 in binary.
    let flat = [0.1, 0.1, 0.1];
    let got = Agreement::of(&flat, &given(&[1.0, 2.0, 4.0]), &alone(3), 0);
    assert_eq!((got.pearson, got.spearman), (None, None));
    near(got.mae.unwrap().value, 0.9 + 4.0 / 3.0, 1e-12);
    let calibration = got.calibration.unwrap();
    assert_eq!((calibration.slope, calibration.intercept), (None, None));
    assert_eq!(calibration.bins.len(), 1);
    let got = Agreement::of(&[1.0, 2.0, 4.0], &given(&flat), &alone(3), 0);
    assert_eq!(got.pearson, None);
    near(got.calibration.unwrap().slope.unwrap(), 0.0, 1e-12);
    let none = Agreement::of(&[], &[], &[], 0);
    assert_eq!((none.n, none.mae, none.calibration), (0, None, None));
    assert_eq!(pearson(&[1.0], &[2.0]), None);
}

#[test]
fn there_is_no_interval_without_two_clusters_or_where_most_rounds_are_constant() {
    let (predicted, rated) = sixty();
    let got = Agreement::of(&predicted, &given(&rated), &[7; 60], 0);
    assert!(got.pearson.unwrap().ci95.is_none() && got.mae.unwrap().ci95.is_none());
    // One item of six differs: it is missing from (5/6)^6, a third of the rounds.
    let got = Agreement::of(
        &[1.0, 1.0, 1.0, 1.0, 1.0, 2.0],
        &given(&[1.0, 2.0, 1.0, 2.0, 1.0, 2.0]),
        &alone(6),
        0,
    );
    assert!(got.pearson.unwrap().ci95.is_none() && got.mae.unwrap().ci95.is_some());
}

#[test]
fn a_calibration_curve_by_hand() {
    // Twenty items in ten bins of two; the four predictions of 3 stay together.
    let mut predicted: Vec<f64> = (0..20).map(f64::from).collect();
    predicted[3..7].fill(3.0);
    predicted.reverse();
    let rated: Vec<f64> = predicted.iter().map(|it| 1.0 + 2.0 * it).collect();
    let got = Calibration::of(&predicted, &rated).unwrap();
    let counts: Vec<usize> = got.bins.iter().map(|bin| bin.count).collect();
    assert_eq!(counts, [2, 5, 1, 2, 2, 2, 2, 2, 2]);
    assert_eq!(got.bins[0].predicted, 0.5);
    assert_eq!((got.bins[1].predicted, got.bins[1].rated), (2.8, 6.6));
    near(got.slope.unwrap(), 2.0, 1e-12);
    near(got.intercept.unwrap(), 1.0, 1e-12);
    // Every rating is its prediction and 1 too high: the mean of 1 + prediction.
    near(got.error, 1.0 + mean(&predicted), 1e-12);
}

#[test]
fn groups_are_compared_by_their_means() {
    let predicted = [1.0, 3.0, 5.0, 5.0, 9.0, 4.0];
    let rated = [Some(1.0), Some(1.0), Some(2.0), Some(4.0), Some(6.0), None];
    let got = Agreement::of_groups(&predicted, &rated, &[4, 4, 2, 2, 9, 5], 0);
    assert_eq!((got.n, got.missing, got.clusters), (3, 1, 3));
    // Means (2, 1), (5, 3) and (9, 6).
    assert_eq!(
        got.pearson.unwrap().value,
        pearson(&[2.0, 5.0, 9.0], &[1.0, 3.0, 6.0]).unwrap()
    );
    near(got.mae.unwrap().value, 2.0, 1e-12);
}

#[test]
fn an_items_value_is_r_and_its_influence_on_it() {
    let (predicted, rated) = sixty();
    let items = pearson_items(&predicted, &given(&rated)).unwrap();
    let r = pearson(&predicted, &rated).unwrap();
    near(mean(&items), r, 1e-12);
    // The influence is how r changes with the item's weight.
    let small = 1e-5;
    for (item, value) in items.iter().enumerate() {
        let weighed = |by: f64| {
            let mut weights = vec![1.0; 60];
            weights[item] += by;
            weighted_pearson(&predicted, &rated, &weights).unwrap()
        };
        let derivative = (weighed(small) - weighed(-small)) / (2.0 * small);
        near(value - r, 60.0 * derivative, 1e-6);
    }
    // What is missing is neither for nor against it.
    let mut some = given(&rated);
    some[7] = None;
    let got = pearson_items(&predicted, &some).unwrap();
    let (one, other) = sides(&predicted, &some);
    let r = pearson(&one, &other).unwrap();
    near(mean(&got), r, 1e-12);
    assert_eq!((got.len(), got[7]), (60, r));
    let got = mae_items(&predicted, &some).unwrap();
    let found = Agreement::of(&predicted, &some, &alone(60), 0).mae.unwrap();
    near(mean(&got), found.value, 1e-12);
    assert_eq!(
        mae_items(&[1.0, 2.0], &given(&[3.0, 2.0])),
        Some(vec![2.0, 0.0])
    );
    assert_eq!(mae_items(&[1.0], &[None]), None);
}

proptest! {
    #[test]
    fn a_weight_of_two_is_an_item_that_comes_twice(
        items in prop::collection::vec((0u8..6, 0u8..6, 0u8..3), 2..30),
    ) {
        let side = |of: fn(&(u8, u8, u8)) -> u8| items.iter().map(|it| f64::from(of(it))).collect();
        let sample = Sample::new(side(|it| it.0), side(|it| it.1));
        let weights: Vec<f64> = side(|it| it.2);
        let again = items.iter().flat_map(|it| std::iter::repeat_n(it, usize::from(it.2)));
        let (one, other): (Vec<f64>, Vec<f64>) =
            again.map(|it| (f64::from(it.0), f64::from(it.1))).unzip();
        let expected = Sample::new(one, other);
        let expected = expected.statistics(&vec![1.0; expected.predicted.len()]);
        for (got, expected) in sample.statistics(&weights).into_iter().zip(expected) {
            prop_assert_eq!(got.is_some(), expected.is_some());
            prop_assert!((got.unwrap_or(0.0) - expected.unwrap_or(0.0)).abs() < 1e-9);
        }
    }
}
