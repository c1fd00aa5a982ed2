//! Means, intervals and paired comparisons over seeds and items.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// The 97.5th percentile of the standard normal distribution.
const Z_95: f64 = 1.959_963_984_540_054;

/// An estimate with its 95% interval, and the estimate of each seed alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    pub estimate: f64,
    pub low: f64,
    pub high: f64,
    pub per_seed: Vec<f64>,
}

impl Interval {
    /// Whether the interval lies wholly on one side of zero.
    pub fn excludes_zero(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }

    /// `[low, high]`, as reports store it.
    pub fn ci95(&self) -> [f64; 2] {
        [self.low, self.high]
    }
}

/// Why an interval cannot be computed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StatisticsError {
    #[error("there is nothing to average: {0}")]
    Empty(&'static str),
    #[error("the sides of a paired comparison have {a} and {b} seeds; run both for the same seeds")]
    Seeds { a: usize, b: usize },
    #[error(
        "seed number {seed} has {found} items where {expected} were expected; \
         a comparison needs the same items on both sides and for every seed"
    )]
    Items {
        seed: usize,
        expected: usize,
        found: usize,
    },
    #[error("item {item} of seed number {seed} is {value}, not a finite number")]
    NotFinite {
        seed: usize,
        item: usize,
        value: f64,
    },
    #[error("a bootstrap needs at least one resample")]
    NoResamples,
}

/// The arithmetic mean; NaN for an empty slice.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The sample standard deviation (divisor n - 1); NaN for fewer than two values.
pub fn stddev(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return f64::NAN;
    }
    let centre = mean(values);
    let squares: f64 = values.iter().map(|v| (v - centre).powi(2)).sum();
    (squares / (values.len() - 1) as f64).sqrt()
}

/// The 95% Wilson score interval of a proportion, within `[0, 1]`.
///
/// Unlike the normal approximation it stays sensible at 0 and at `total` successes. `None` when
/// `total` is zero or `successes` exceeds it. Wilson, 1927, JASA 22(158).
pub fn wilson(successes: u64, total: u64) -> Option<[f64; 2]> {
    if total == 0 || successes > total {
        return None;
    }
    let n = total as f64;
    let p = successes as f64 / n;
    let z2 = Z_95 * Z_95;
    let centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z_95 / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    // At the ends the bounds are exactly 0 and 1; rounding would leave a stray 1e-17.
    let low = if successes == 0 { 0.0 } else { centre - half };
    let high = if successes == total {
        1.0
    } else {
        centre + half
    };
    Some([low, high])
}

/// The mean of `values` (`[seeds][items]`) with a 95% hierarchical-bootstrap interval.
///
/// See [`paired_difference`] for the method and the errors.
pub fn mean_interval(
    values: &[Vec<f64>],
    resamples: usize,
    rng_seed: u64,
) -> Result<Interval, StatisticsError> {
    check(values)?;
    bootstrap(values, resamples, rng_seed)
}

/// The mean of `a` minus the mean of `b` (both `[seeds][items]`), with a 95% interval.
///
/// Hierarchical bootstrap: each replicate draws seeds with replacement, then items with
/// replacement, the same items for all drawn seeds, since a hard item is hard for every seed. The
/// interval runs from the 2.5th to the 97.5th percentile of the replicates. With one seed only
/// items are drawn, and the interval says nothing about other seeds. Few seeds understate the
/// spread between seeds (by a factor of `sqrt((n - 1) / n)`), so reports show each seed as well.
///
/// # Errors
/// When a side is empty, when seeds or items do not match, when a value is not finite, or when
/// `resamples` is zero.
pub fn paired_difference(
    a: &[Vec<f64>],
    b: &[Vec<f64>],
    resamples: usize,
    rng_seed: u64,
) -> Result<Interval, StatisticsError> {
    if a.len() != b.len() {
        return Err(StatisticsError::Seeds {
            a: a.len(),
            b: b.len(),
        });
    }
    check(a)?;
    for (seed, (left, right)) in a.iter().zip(b).enumerate() {
        if left.len() != right.len() {
            return Err(StatisticsError::Items {
                seed,
                expected: left.len(),
                found: right.len(),
            });
        }
    }
    // Per side, since the difference of two infinities would not say which side was wrong.
    check(b)?;
    let difference: Vec<Vec<f64>> = a
        .iter()
        .zip(b)
        .map(|(a, b)| a.iter().zip(b).map(|(a, b)| a - b).collect())
        .collect();
    bootstrap(&difference, resamples, rng_seed)
}

fn check(values: &[Vec<f64>]) -> Result<(), StatisticsError> {
    let first = values.first().ok_or(StatisticsError::Empty("no seeds"))?;
    if first.is_empty() {
        return Err(StatisticsError::Empty("no items"));
    }
    for (seed, items) in values.iter().enumerate() {
        if items.len() != first.len() {
            return Err(StatisticsError::Items {
                seed,
                expected: first.len(),
                found: items.len(),
            });
        }
        if let Some(item) = items.iter().position(|v| !v.is_finite()) {
            let value = items[item];
            return Err(StatisticsError::NotFinite { seed, item, value });
        }
    }
    Ok(())
}

fn bootstrap(
    values: &[Vec<f64>],
    resamples: usize,
    rng_seed: u64,
) -> Result<Interval, StatisticsError> {
    if resamples == 0 {
        return Err(StatisticsError::NoResamples);
    }
    let per_seed: Vec<f64> = values.iter().map(|items| mean(items)).collect();
    let (seeds, items) = (values.len(), values[0].len());
    let mut rng = ChaCha8Rng::seed_from_u64(rng_seed);
    let mut column = vec![0.0; items];
    let mut replicates = Vec::with_capacity(resamples);
    for _ in 0..resamples {
        column.fill(0.0);
        for _ in 0..seeds {
            let seed = rng.random_range(0..seeds);
            for (sum, value) in column.iter_mut().zip(&values[seed]) {
                *sum += value;
            }
        }
        let total: f64 = (0..items).map(|_| column[rng.random_range(0..items)]).sum();
        replicates.push(total / (seeds * items) as f64);
    }
    replicates.sort_by(f64::total_cmp);
    Ok(Interval {
        estimate: mean(&per_seed),
        low: percentile(&replicates, 0.025),
        high: percentile(&replicates, 0.975),
        per_seed,
    })
}

/// The value below which the share `q` of ascending values lies: linear interpolation between order statistics (NumPy's
/// default).
///
/// # Panics
/// Where there are no values.
pub fn percentile(sorted: &[f64], q: f64) -> f64 {
    let at = q * (sorted.len() - 1) as f64;
    let (below, above) = (at.floor() as usize, at.ceil() as usize);
    sorted[below] + (sorted[above] - sorted[below]) * (at - below as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_sample_deviation() {
        assert_eq!(mean(&[1.0, 2.0, 6.0]), 3.0);
        assert_eq!(stddev(&[1.0, 2.0, 6.0]), 7f64.sqrt());
        assert!(stddev(&[1.0]).is_nan() && mean(&[]).is_nan());
    }

    #[test]
    fn wilson_by_hand() {
        // p = 1/2, n = 10: centre is 1/2, half-width z / (2 sqrt(n + z^2)).
        let half = Z_95 / (2.0 * (10.0 + Z_95 * Z_95).sqrt());
        let [low, high] = wilson(5, 10).unwrap();
        assert!((low - (0.5 - half)).abs() < 1e-12 && (high - (0.5 + half)).abs() < 1e-12);
        // p = 0: the upper end is z^2 / (n + z^2).
        let [low, high] = wilson(0, 10).unwrap();
        assert_eq!(low, 0.0);
        assert!((high - Z_95 * Z_95 / (10.0 + Z_95 * Z_95)).abs() < 1e-12);
        assert_eq!(wilson(10, 10).unwrap()[1], 1.0);
        assert_eq!(wilson(0, 0), None);
        assert_eq!(wilson(3, 2), None);
    }

    #[test]
    fn percentiles_interpolate() {
        let sorted: Vec<f64> = (0..=10).map(f64::from).collect();
        assert_eq!(percentile(&sorted, 0.25), 2.5);
        assert_eq!(percentile(&[4.0], 0.975), 4.0);
    }

    #[test]
    fn difference_has_the_right_sign_and_seeds() {
        let a = vec![vec![1.0, 1.0, 0.0, 1.0], vec![1.0, 1.0, 1.0, 1.0]];
        let b = vec![vec![0.0, 1.0, 0.0, 0.0], vec![0.0, 0.0, 1.0, 0.0]];
        let got = paired_difference(&a, &b, 500, 1).unwrap();
        assert_eq!(got.per_seed, [0.5, 0.75]);
        assert_eq!(got.estimate, 0.625);
        assert!(got.low <= got.estimate && got.estimate <= got.high);
        assert_eq!(got, paired_difference(&a, &b, 500, 1).unwrap());
        assert_ne!(got, paired_difference(&a, &b, 500, 2).unwrap());
    }

    #[test]
    fn pairing_removes_what_both_sides_share() {
        // Items differ wildly, the difference is constant: the interval has no width.
        let a: Vec<f64> = (0..50).map(|i| f64::from(i * i)).collect();
        let b: Vec<f64> = a.iter().map(|v| v - 2.0).collect();
        let got = paired_difference(&[a], &[b], 200, 3).unwrap();
        assert_eq!((got.low, got.estimate, got.high), (2.0, 2.0, 2.0));
        assert!(got.excludes_zero());
    }

    #[test]
    fn seeds_that_disagree_widen_the_interval() {
        // No spread between items at all: the width can only come from the seeds.
        let values = vec![vec![0.0; 40], vec![1.0; 40], vec![2.0; 40]];
        let got = mean_interval(&values, 1000, 4).unwrap();
        // All three draws are the smallest seed in 1/27 > 2.5% of the replicates.
        assert_eq!((got.low, got.high), (0.0, 2.0));
    }

    #[test]
    fn mismatches_are_named() {
        use StatisticsError::*;
        let two = vec![vec![1.0, 2.0]];
        let error = |a: &[Vec<f64>], b: &[Vec<f64>]| paired_difference(a, b, 10, 0).unwrap_err();
        assert_eq!(error(&two, &[]), Seeds { a: 1, b: 0 });
        let items = Items {
            seed: 0,
            expected: 2,
            found: 1,
        };
        assert_eq!(error(&two, &[vec![1.0]]), items);
        assert_eq!(error(&[], &[]), Empty("no seeds"));
        assert_eq!(error(&[vec![]], &[vec![]]), Empty("no items"));
        assert!(matches!(
            error(&two, &[vec![0.0, f64::INFINITY]]),
            NotFinite { item: 1, .. }
        ));
        assert!(matches!(
            mean_interval(&[vec![1.0, 2.0], vec![1.0]], 10, 0),
            Err(Items { seed: 1, .. })
        ));
        assert_eq!(mean_interval(&two, 0, 0), Err(NoResamples));
    }

    #[test]
    fn covers_the_truth_about_95_times_in_100() {
        // Bernoulli items of known probability: true difference 0.2, one seed.
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let (trials, items) = (300, 80);
        let mut covered = 0;
        for trial in 0..trials {
            let mut draw = |p: f64| -> Vec<f64> {
                (0..items)
                    .map(|_| f64::from(u8::from(rng.random_bool(p))))
                    .collect()
            };
            let (a, b) = (draw(0.6), draw(0.4));
            let got = paired_difference(&[a], &[b], 300, trial).unwrap();
            covered += usize::from(got.low <= 0.2 && 0.2 <= got.high);
        }
        let coverage = covered as f64 / trials as f64;
        // Three standard errors of a 95% rate over 300 trials, and the percentile method's own
        // slight narrowness on 80 items.
        assert!((0.90..=0.99).contains(&coverage), "coverage {coverage}");
    }
}
