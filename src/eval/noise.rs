//! The ceiling that the raters' own disagreement sets to any model of their ratings.

use serde::{Deserialize, Serialize};

use super::correlation::pearson;
use super::statistics::mean;

/// What raters who rate the same items show of their own noise.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Noise {
    /// Items with two ratings or more.
    pub repeated: usize,
    /// Correlation of two raters of one item, over all ordered pairs of ratings: the reliability of one rating.
    pub reliability: f64,
    /// Reliability of an item's mean rating, by Spearman and Brown (1910), for the mean of 1/k over items.
    pub mean_reliability: f64,
    /// Its square root: how far the mean rating correlates with what a rating would be without noise, and the
    /// correlation with the mean rating that no model can be expected to pass.
    pub ceiling: f64,
}

impl Noise {
    /// From the ratings of each item. Nothing where no two raters rate an item, or where they do not agree at
    /// all (a correlation of 0 or less), so that ratings show nothing but noise.
    ///
    /// With `r` the correlation of two raters and k ratings of an item, the mean's reliability is
    /// `r / (r + (1 - r) / k)`; where k differs, 1/k is averaged, as the noise of a mean is in proportion to it.
    pub fn of(ratings: &[Vec<f64>]) -> Option<Self> {
        let (mut one, mut another) = (Vec::new(), Vec::new());
        for given in ratings {
            for (left, score) in given.iter().enumerate() {
                for (right, other) in given.iter().enumerate() {
                    if left != right {
                        one.push(*score);
                        another.push(*other);
                    }
                }
            }
        }
        let reliability = pearson(&one, &another).filter(|it| *it > 0.0)?;
        let given = ratings.iter().filter(|given| !given.is_empty());
        let reciprocals: Vec<f64> = given.map(|given| 1.0 / given.len() as f64).collect();
        let mean_reliability =
            reliability / (reliability + (1.0 - reliability) * mean(&reciprocals));
        Some(Self {
            repeated: ratings.iter().filter(|given| given.len() > 1).count(),
            reliability,
            mean_reliability,
            ceiling: mean_reliability.sqrt(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: f64, expected: f64, within: f64) {
        assert!((got - expected).abs() < within, "{got} {expected}");
    }

    #[test]
    fn noise_by_hand() {
        // Two raters of three items: the ordered pairs are (1,2) (2,1) (3,4) (4,3) (6,6) (6,6), of mean 11/3, with
        // covariance 2 (-8/3 * -5/3 - 2/3 * 1/3 + 49/9) = 2 * 87/9 and variance 64/9 + 25/9 + 4/9 + 1/9 + 98/9 = 192/9.
        let got = Noise::of(&[vec![1.0, 2.0], vec![3.0, 4.0], vec![6.0, 6.0], vec![]]).unwrap();
        let r = 174.0 / 192.0;
        assert_eq!(got.repeated, 3);
        near(got.reliability, r, 1e-12);
        // Spearman and Brown for two raters: 2r / (1 + r).
        near(got.mean_reliability, 2.0 * r / (1.0 + r), 1e-12);
        near(got.ceiling, (2.0 * r / (1.0 + r)).sqrt(), 1e-12);
        // An item with one rating has half the weight of a mean.
        let more = Noise::of(&[vec![1.0, 2.0], vec![3.0, 4.0], vec![6.0, 6.0], vec![5.0]]).unwrap();
        near(more.mean_reliability, r / (r + (1.0 - r) * 0.625), 1e-12);
        assert_eq!(Noise::of(&[vec![1.0], vec![2.0]]), None);
        assert_eq!(Noise::of(&[vec![1.0, 2.0], vec![2.0, 1.0]]), None);
    }
}
