//! Raters, who see the truth through a bias of their own and noise, and how well their mean can show it.
//!
//! A rating is `round(clamp(truth + bias of the rater + noise, 0, 10))`. Write T for the variance of the
//! truth over the dialogues and E = bias^2 + noise^2 + 1/12 for that of the error of one rating, rounding
//! included. Then, with k ratings of a dialogue, the correlation of their mean with the truth is
//!
//! ```text
//! ceiling = sqrt(T / (T + E m)),    m = the mean of 1 / k
//! ```
//!
//! which no model that predicts the mean rating can pass, and that of two raters' ratings of one dialogue is
//!
//! ```text
//! reliability = T / (T + E)
//! ```
//!
//! (the intraclass correlation ICC(1) of Shrout and Fleiss, 1979). Two things are left out: clamping, which
//! lowers both the error and the variance where truths lie at an end of the scale, and that a small pool
//! draws few biases, whose variance is then not just `bias^2`.

use std::collections::BTreeMap;

use rand::Rng;
use rand::seq::index::sample;

use super::bot::normal;
use super::score::{Impression, SCALE, Scores};
use crate::data::{Rated, Rating};

/// Those who rate.
#[derive(Clone, Debug)]
pub struct Raters {
    /// Each one's own offset, the same for every impression and dialogue.
    pub bias: Vec<f64>,
    /// How many rate a dialogue.
    pub each: usize,
    /// Standard deviation of the error of one rating beside the offset.
    pub noise: f64,
    /// Rate of scores that are not given.
    pub missing: f64,
}

impl Raters {
    /// The ratings of a dialogue. A rater who gives no score at all is left out.
    pub fn rate<R: Rng>(&self, rng: &mut R, truth: &Scores) -> Vec<Rating> {
        let mut ratings = Vec::new();
        for rater in sample(rng, self.bias.len(), self.each) {
            let mut scores = BTreeMap::new();
            for impression in Impression::ALL {
                let seen = truth.get(impression) + self.bias[rater] + self.noise * normal(rng);
                let score = seen.clamp(SCALE.low, SCALE.high).round();
                if !rng.random_bool(self.missing) {
                    scores.insert(impression.name().to_owned(), score);
                }
            }
            if !scores.is_empty() {
                let rater = format!("r{rater}");
                ratings.push(Rating { rater, scores });
            }
        }
        ratings
    }
}

/// What a split's ratings of one impression can show of its truth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ceiling {
    /// Mean and sample standard deviation of the truth.
    pub truth: [f64; 2],
    /// Correlation of the mean rating with the truth, over the dialogues that have ratings.
    pub ceiling: f64,
    /// Correlation of two raters' ratings of one dialogue, over all ordered pairs of ratings.
    pub reliability: f64,
}

impl Ceiling {
    /// Computed from the data; nothing where a correlation is not defined, for want of dialogues, of
    /// ratings or of variance.
    pub fn measure(rows: &[Rated], impression: Impression) -> Option<Self> {
        let name = impression.name();
        let (mut truths, mut means, mut rated_truths) = (Vec::new(), Vec::new(), Vec::new());
        let (mut one, mut another) = (Vec::new(), Vec::new());
        for row in rows {
            let truth = *row.truth.as_ref()?.get(name)?;
            truths.push(truth);
            if let Some(mean) = row.mean(name) {
                means.push(mean);
                rated_truths.push(truth);
            }
            let given = row.ratings.iter().enumerate();
            let given: Vec<(usize, f64)> = given
                .filter_map(|(at, rating)| Some((at, *rating.scores.get(name)?)))
                .collect();
            for (left, score) in &given {
                for (_, other) in given.iter().filter(|(right, _)| right != left) {
                    one.push(*score);
                    another.push(*other);
                }
            }
        }
        Some(Self {
            truth: [mean(&truths), variance(&truths).sqrt()],
            ceiling: correlation(&means, &rated_truths)?,
            reliability: correlation(&one, &another)?,
        })
    }

    /// The closed form of the ceiling and the reliability, for truths of the variance `truth`.
    pub fn expected(truth: f64, bias: f64, noise: f64, raters: usize, missing: f64) -> [f64; 2] {
        let error = bias * bias + noise * noise + 1.0 / 12.0;
        let reciprocal = mean_reciprocal(raters, missing);
        [
            (truth / (truth + error * reciprocal)).sqrt(),
            truth / (truth + error),
        ]
    }
}

/// The mean of 1 / k, k of `raters` scores being given, each missing at the rate `missing`, and k not 0.
fn mean_reciprocal(raters: usize, missing: f64) -> f64 {
    let (mut sum, mut total) = (0.0, 0.0);
    // Binomial weights by recursion would divide by a rate that may be 0.
    let mut ways = 1.0;
    for given in 1..=raters {
        ways *= (raters - given + 1) as f64 / given as f64;
        let rate = (1.0 - missing).powi(given as i32) * missing.powi((raters - given) as i32);
        sum += ways * rate / given as f64;
        total += ways * rate;
    }
    sum / total
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn variance(values: &[f64]) -> f64 {
    let centre = mean(values);
    let squares: f64 = values.iter().map(|it| (it - centre).powi(2)).sum();
    squares / (values.len() as f64 - 1.0)
}

/// Pearson's correlation; nothing where it is not defined.
pub(super) fn correlation(one: &[f64], other: &[f64]) -> Option<f64> {
    let centres = (mean(one), mean(other));
    let products = one.iter().zip(other);
    let products = products.map(|(a, b)| (a - centres.0) * (b - centres.1));
    let covariance = products.sum::<f64>() / (one.len() as f64 - 1.0);
    let found = covariance / (variance(one) * variance(other)).sqrt();
    found.is_finite().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlations_by_hand() {
        let found = correlation(&[1.0, 2.0, 4.0], &[2.0, 2.0, 5.0]).unwrap();
        // Deviations (-4, -1, 5) / 3 and (-1, -1, 2): 15 / sqrt(42 * 6).
        assert!((found - 15.0 / 252f64.sqrt()).abs() < 1e-12, "{found}");
        assert_eq!(correlation(&[1.0, 1.0], &[1.0, 2.0]), None);
        assert_eq!(correlation(&[], &[]), None);
    }

    #[test]
    fn a_mean_reciprocal_by_hand() {
        assert_eq!(mean_reciprocal(3, 0.0), 1.0 / 3.0);
        // Of two, both (0.25) or one (0.5): (0.25 / 2 + 0.5) / 0.75.
        assert!((mean_reciprocal(2, 0.5) - 5.0 / 6.0).abs() < 1e-12);
    }

    #[test]
    fn the_closed_form_by_hand() {
        let [ceiling, reliability] = Ceiling::expected(2.0, 1.0, 0.0, 1, 0.0);
        assert!((reliability - 24.0 / 37.0).abs() < 1e-12);
        assert!((ceiling - reliability.sqrt()).abs() < 1e-12);
    }
}
