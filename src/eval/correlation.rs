//! How well predictions agree with ratings: correlations and error with intervals, and calibration.
//!
//! Items of one cluster, such as a dialogue, a speaker or a system, are not independent, so that intervals come
//! from a bootstrap that draws whole clusters (Davison and Hinkley, 1997, Bootstrap Methods, section 3.8).

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::statistics::{mean, percentile};

/// Bootstrap rounds of every interval here.
pub const RESAMPLES: usize = 1000;

/// Bins of a calibration curve, where there are that many different predictions.
pub const BINS: usize = 10;

/// The least share of bootstrap rounds in which a statistic must be defined for it to have an interval.
const DEFINED: f64 = 0.95;

/// A statistic of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    pub value: f64,
    /// From the 2.5th to the 97.5th percentile of the bootstrap; nothing where there are not two clusters, or where
    /// the statistic is undefined in more than a twentieth of the rounds.
    pub ci95: Option<[f64; 2]>,
}

/// A bin of a calibration curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Means over its items.
    pub predicted: f64,
    pub rated: f64,
    pub count: usize,
}

/// What ratings really are where a model predicts this or that.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// By rising prediction, of equal counts as nearly as equal predictions, which stay together, allow.
    pub bins: Vec<Bin>,
    /// Least squares of the rating on the prediction, `rating = intercept + slope * prediction`: 1 and 0 for a
    /// calibrated model, a slope under 1 for one that goes too far. Nothing where predictions are all the same.
    pub slope: Option<f64>,
    pub intercept: Option<f64>,
    /// Mean distance between a bin's two means, each bin counting by its items (the expected calibration error of
    /// Naeini et al., 2015, for a number in place of a probability).
    pub error: f64,
}

/// Agreement of predictions with ratings. What is not defined, as a correlation with a constant, is absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Items with both.
    pub n: usize,
    /// Items that were left out for want of a rating or of a finite prediction.
    pub missing: usize,
    /// Clusters that the items are of.
    pub clusters: usize,
    pub pearson: Option<Estimate>,
    pub spearman: Option<Estimate>,
    /// Mean absolute error, in the ratings' points.
    pub mae: Option<Estimate>,
    pub calibration: Option<Calibration>,
}

impl Agreement {
    /// Agreement of `predicted` with `rated`, item by item; `cluster` names what each item belongs to, and `seed` the
    /// bootstrap's draws.
    ///
    /// # Panics
    /// When the three differ in length: a mistake in the program.
    pub fn of(predicted: &[f64], rated: &[Option<f64>], cluster: &[u32], seed: u64) -> Self {
        let complete = complete(predicted, rated, cluster);
        let sample = Sample::new(
            complete.iter().map(|it| it.0).collect(),
            complete.iter().map(|it| it.1).collect(),
        );
        let mut members: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        for (at, item) in complete.iter().enumerate() {
            members.entry(item.2).or_default().push(at);
        }
        let members: Vec<Vec<usize>> = members.into_values().collect();
        let [pearson, spearman, mae] = sample.estimates(&members, seed);
        Self {
            n: complete.len(),
            missing: predicted.len() - complete.len(),
            clusters: members.len(),
            pearson,
            spearman,
            mae,
            calibration: Calibration::of(&sample.predicted, &sample.rated),
        }
    }

    /// Agreement of the groups' means, as of systems: a group's predictions and ratings are averaged over the items
    /// that have both, and each group is an item and a cluster. Groups of which no item has both are `missing`.
    ///
    /// # Panics
    /// When the three differ in length: a mistake in the program.
    pub fn of_groups(predicted: &[f64], rated: &[Option<f64>], group: &[u32], seed: u64) -> Self {
        let mut groups: BTreeMap<u32, Vec<(f64, f64)>> =
            group.iter().map(|&group| (group, Vec::new())).collect();
        for (predicted, rated, group) in complete(predicted, rated, group) {
            groups.entry(group).or_default().push((predicted, rated));
        }
        let side = |of: fn(&(f64, f64)) -> f64| -> Vec<f64> {
            let means = groups.values().map(|items| items.iter().map(of).collect());
            means.map(|values: Vec<f64>| mean(&values)).collect()
        };
        // The mean of nothing is NaN on both sides, which leaves the group out.
        let rated: Vec<Option<f64>> = side(|item| item.1).into_iter().map(Some).collect();
        let names: Vec<u32> = groups.keys().copied().collect();
        Self::of(&side(|item| item.0), &rated, &names, seed)
    }
}

/// The items that have both sides, with their cluster.
fn complete(predicted: &[f64], rated: &[Option<f64>], cluster: &[u32]) -> Vec<(f64, f64, u32)> {
    assert_eq!(predicted.len(), rated.len(), "a rating for each prediction");
    assert_eq!(predicted.len(), cluster.len(), "a cluster for each item");
    let items = predicted.iter().zip(rated).zip(cluster);
    items
        .filter_map(|((&predicted, &rated), &cluster)| Some((predicted, rated?, cluster)))
        .filter(|(predicted, rated, _)| predicted.is_finite() && rated.is_finite())
        .collect()
}

/// Pearson's correlation; nothing for fewer than two items or where a side is constant.
///
/// # Panics
/// When the sides differ in length: a mistake in the program.
pub fn pearson(one: &[f64], other: &[f64]) -> Option<f64> {
    assert_eq!(one.len(), other.len(), "pairs");
    weighted_pearson(one, other, &vec![1.0; one.len()])
}

/// Spearman's correlation: Pearson's of the ranks, equal values sharing the mean of theirs. Nothing where
/// Pearson's is not defined.
///
/// # Panics
/// When the sides differ in length: a mistake in the program.
pub fn spearman(one: &[f64], other: &[f64]) -> Option<f64> {
    assert_eq!(one.len(), other.len(), "pairs");
    Sample::new(one.to_vec(), other.to_vec()).spearman(&vec![1.0; one.len()])
}

/// Values by item whose mean is Pearson's correlation and whose spread is its sampling error, so that
/// [`paired_difference`](super::paired_difference) can compare the correlations of two models on the same items:
/// `r` and the item's influence on it, `z1 z2 - r (z1^2 + z2^2) / 2` for standardised `z` (Devlin, Gnanadesikan and
/// Kettenring, 1975, Biometrika 62). Items that lack a side have `r` itself. Nothing where `r` is not defined.
///
/// # Panics
/// When the sides differ in length: a mistake in the program.
pub fn pearson_items(predicted: &[f64], rated: &[Option<f64>]) -> Option<Vec<f64>> {
    let (one, other) = sides(predicted, rated);
    let r = pearson(&one, &other)?;
    let standard = |values: &[f64]| -> Vec<f64> {
        let centre = mean(values);
        let squares: Vec<f64> = values.iter().map(|it| (it - centre).powi(2)).collect();
        let deviation = mean(&squares).sqrt();
        values.iter().map(|it| (it - centre) / deviation).collect()
    };
    let pairs = standard(&one).into_iter().zip(standard(&other));
    let influences = pairs.map(|(a, b)| a * b - r * (a * a + b * b) / 2.0);
    Some(by_item(predicted, rated, r, influences.collect()))
}

/// Values by item whose mean is the mean absolute error, as [`pearson_items`]. Nothing where no item is complete.
///
/// # Panics
/// When the sides differ in length: a mistake in the program.
pub fn mae_items(predicted: &[f64], rated: &[Option<f64>]) -> Option<Vec<f64>> {
    let (one, other) = sides(predicted, rated);
    let distances: Vec<f64> = one.iter().zip(&other).map(|(a, b)| (a - b).abs()).collect();
    let found = mean(&distances);
    let influences = distances.iter().map(|it| it - found).collect();
    (!distances.is_empty()).then(|| by_item(predicted, rated, found, influences))
}

/// Both sides of the complete items.
fn sides(predicted: &[f64], rated: &[Option<f64>]) -> (Vec<f64>, Vec<f64>) {
    let complete = complete(predicted, rated, &vec![0; predicted.len()]);
    complete.into_iter().map(|item| (item.0, item.1)).unzip()
}

/// `value` and the influence of each complete item, in proportion to how few of all they are; `value` alone for the
/// others.
fn by_item(predicted: &[f64], rated: &[Option<f64>], value: f64, influences: Vec<f64>) -> Vec<f64> {
    let times = predicted.len() as f64 / influences.len() as f64;
    let mut influences = influences.into_iter();
    let items = predicted.iter().zip(rated);
    items
        .map(|(predicted, rated)| {
            let whole = predicted.is_finite() && rated.is_some_and(f64::is_finite);
            let influence = whole.then(|| influences.next()).flatten();
            value + times * influence.unwrap_or(0.0)
        })
        .collect()
}

/// Complete items, and the order of each side: with it a bootstrap round needs no sorting of its own, since drawing
/// an item twice is to give it twice the weight.
struct Sample {
    predicted: Vec<f64>,
    rated: Vec<f64>,
    orders: [Vec<usize>; 2],
}

impl Sample {
    fn new(predicted: Vec<f64>, rated: Vec<f64>) -> Self {
        let orders = [order(&predicted), order(&rated)];
        Self {
            predicted,
            rated,
            orders,
        }
    }

    /// Pearson, Spearman and mean absolute error with items counted `weights` times.
    fn statistics(&self, weights: &[f64]) -> [Option<f64>; 3] {
        [
            weighted_pearson(&self.predicted, &self.rated, weights),
            self.spearman(weights),
            self.mae(weights),
        ]
    }

    fn spearman(&self, weights: &[f64]) -> Option<f64> {
        let one = ranks(&self.predicted, &self.orders[0], weights);
        let other = ranks(&self.rated, &self.orders[1], weights);
        weighted_pearson(&one, &other, weights)
    }

    fn mae(&self, weights: &[f64]) -> Option<f64> {
        let distances = self.predicted.iter().zip(&self.rated);
        let distances = distances.map(|(predicted, rated)| (predicted - rated).abs());
        let sum: f64 = distances.zip(weights).map(|(it, weight)| weight * it).sum();
        let total: f64 = weights.iter().sum();
        (total > 0.0).then(|| sum / total)
    }

    /// The statistics with their intervals, `members` being the items of each cluster.
    fn estimates(&self, members: &[Vec<usize>], seed: u64) -> [Option<Estimate>; 3] {
        let items = self.predicted.len();
        let mut rounds: [Vec<f64>; 3] = Default::default();
        if members.len() > 1 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut weights = vec![0.0; items];
            for _ in 0..RESAMPLES {
                weights.fill(0.0);
                for _ in 0..members.len() {
                    for &item in &members[rng.random_range(0..members.len())] {
                        weights[item] += 1.0;
                    }
                }
                for (rounds, found) in rounds.iter_mut().zip(self.statistics(&weights)) {
                    rounds.extend(found);
                }
            }
        }
        let mut rounds = rounds.into_iter();
        self.statistics(&vec![1.0; items]).map(|value| {
            let mut rounds = rounds.next().unwrap_or_default();
            rounds.sort_by(f64::total_cmp);
            let enough = rounds.len() as f64 >= DEFINED * RESAMPLES as f64;
            let ci95 = enough.then(|| [percentile(&rounds, 0.025), percentile(&rounds, 0.975)]);
            Some(Estimate {
                value: value?,
                ci95,
            })
        })
    }
}

/// The items by rising value.
fn order(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    order
}

/// The runs of equal values along `order`.
fn ties<'a>(values: &'a [f64], order: &'a [usize]) -> impl Iterator<Item = &'a [usize]> {
    order.chunk_by(|&a, &b| values[a] == values[b])
}

/// Ranks from 1 among items counted `weights` times; equal values have the mean of theirs.
fn ranks(values: &[f64], order: &[usize], weights: &[f64]) -> Vec<f64> {
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0.0;
    for tie in ties(values, order) {
        let weight: f64 = tie.iter().map(|&item| weights[item]).sum();
        for &item in tie {
            ranks[item] = before + (weight + 1.0) / 2.0;
        }
        before += weight;
    }
    ranks
}

fn weighted_pearson(one: &[f64], other: &[f64], weights: &[f64]) -> Option<f64> {
    // Rounding could leave a constant side a variance above 0, so it is known by its values.
    let constant = |values: &[f64]| {
        let mut drawn = values.iter().zip(weights).filter(|it| *it.1 > 0.0);
        let first = drawn.next();
        drawn.all(|it| Some(it.0) == first.map(|first| first.0))
    };
    if constant(one) || constant(other) {
        return None;
    }
    let total: f64 = weights.iter().sum();
    let centre = |values: &[f64]| {
        let products = values.iter().zip(weights).map(|(v, w)| v * w);
        products.sum::<f64>() / total
    };
    let centres = (centre(one), centre(other));
    let (mut both, mut left, mut right) = (0.0, 0.0, 0.0);
    for ((a, b), weight) in one.iter().zip(other).zip(weights) {
        let (a, b) = (a - centres.0, b - centres.1);
        both += weight * a * b;
        left += weight * a * a;
        right += weight * b * b;
    }
    let found = both / (left.sqrt() * right.sqrt());
    found.is_finite().then_some(found.clamp(-1.0, 1.0))
}

impl Calibration {
    /// Of predictions and ratings, all finite; nothing where there are none.
    fn of(predicted: &[f64], rated: &[f64]) -> Option<Self> {
        let n = predicted.len();
        let order = order(predicted);
        let mut bins: Vec<Vec<usize>> = Vec::new();
        let mut placed = 0;
        for tie in ties(predicted, &order) {
            // Where a run of equal predictions starts says which of the equal shares it goes to.
            let share = placed * BINS.min(n) / n;
            match bins.last_mut() {
                Some(bin) if (placed - bin.len()) * BINS.min(n) / n == share => bin.extend(tie),
                _ => bins.push(tie.to_vec()),
            }
            placed += tie.len();
        }
        let bin = |items: &Vec<usize>| {
            let side = |values: &[f64]| {
                let of: Vec<f64> = items.iter().map(|&item| values[item]).collect();
                mean(&of)
            };
            Bin {
                predicted: side(predicted),
                rated: side(rated),
                count: items.len(),
            }
        };
        let bins: Vec<Bin> = bins.iter().map(bin).collect();
        let distances = bins
            .iter()
            .map(|bin| bin.count as f64 * (bin.predicted - bin.rated).abs());
        let error = distances.sum::<f64>() / n as f64;
        let slope = slope(predicted, rated);
        (n > 0).then(|| Self {
            slope,
            intercept: slope.map(|slope| mean(rated) - slope * mean(predicted)),
            bins,
            error,
        })
    }
}

/// Least squares of `rated` on `predicted`; nothing where the latter are all the same.
fn slope(predicted: &[f64], rated: &[f64]) -> Option<f64> {
    if predicted.iter().all(|it| *it == predicted[0]) {
        return None;
    }
    let centres = (mean(predicted), mean(rated));
    let (mut both, mut left) = (0.0, 0.0);
    for (predicted, rated) in predicted.iter().zip(rated) {
        both += (predicted - centres.0) * (rated - centres.1);
        left += (predicted - centres.0).powi(2);
    }
    Some(both / left)
}

#[cfg(test)]
mod tests;
