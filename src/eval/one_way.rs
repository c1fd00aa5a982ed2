//! What the scores of raters have in common: one-way analysis of variance, with groups that differ in size.
//!
//! Groups are the dialogues, the raters or the systems of the scores. With `a` groups of `n_i` of `N` scores, and the
//! mean squares `MSB` between and `MSW` within groups,
//!
//! ```text
//! k = (N - sum n_i^2 / N) / (a - 1)
//! T = (MSB - MSW) / k,    E = MSW
//! ```
//!
//! estimate the variance of the groups' means and that of a score about its group's mean without bias (Searle,
//! Casella and McCulloch, 1992, Variance Components, section 3.6).

use super::statistics::mean;

/// One-way analysis of variance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OneWay {
    /// Groups with scores.
    pub groups: usize,
    /// Their scores.
    pub scores: usize,
    /// Variance of the groups' means, `T`; under 0 where groups differ less than chance makes them.
    pub between: f64,
    /// Variance within groups, `E`.
    pub within: f64,
    /// Mean of `1 / n_i`.
    pub reciprocal: f64,
}

impl OneWay {
    /// From the scores of each group; groups without any are left out. Nothing where there are not two groups, where no
    /// group has two scores, or where all scores are the same.
    pub fn of<'a>(groups: impl IntoIterator<Item = &'a Vec<f64>>) -> Option<Self> {
        let groups: Vec<&Vec<f64>> = groups.into_iter().filter(|it| !it.is_empty()).collect();
        let scores: usize = groups.iter().map(|group| group.len()).sum();
        if groups.len() < 2 || scores == groups.len() {
            return None;
        }
        let total = scores as f64;
        let grand = groups.iter().flat_map(|group| group.iter()).sum::<f64>() / total;
        let (mut between, mut within, mut squares) = (0.0, 0.0, 0.0);
        let mut reciprocals = Vec::with_capacity(groups.len());
        for group in &groups {
            let (size, centre) = (group.len() as f64, mean(group));
            between += size * (centre - grand).powi(2);
            within += group.iter().map(|it| (it - centre).powi(2)).sum::<f64>();
            squares += size * size;
            reciprocals.push(1.0 / size);
        }
        if between + within <= 0.0 {
            return None;
        }
        let free = (groups.len() - 1) as f64;
        let within = within / (total - groups.len() as f64);
        let size = (total - squares / total) / free;
        Some(Self {
            groups: groups.len(),
            scores,
            between: (between / free - within) / size,
            within,
            reciprocal: mean(&reciprocals),
        })
    }

    /// The share of a score's variance that its group explains, `T / (T + E)`: ICC(1) of Shrout and Fleiss (1979,
    /// Psychological Bulletin 86), the correlation of two scores of one group. Under 0 where `T` is.
    pub fn icc(&self) -> f64 {
        self.between / (self.between + self.within)
    }

    /// Reliability of a group's mean, `T / (T + E m)` with `m` the mean of `1 / n_i`: ICC(1, k) where all groups are
    /// of `k` scores. 0 where `T` is under 0.
    pub fn reliability(&self) -> f64 {
        let between = self.between.max(0.0);
        if between == 0.0 {
            return 0.0;
        }
        between / (between + self.within * self.reciprocal)
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    }

    /// The six targets and four judges of Shrout and Fleiss (1979), table 2.
    fn targets() -> Vec<Vec<f64>> {
        vec![
            vec![9.0, 2.0, 5.0, 8.0],
            vec![6.0, 1.0, 3.0, 2.0],
            vec![8.0, 4.0, 6.0, 8.0],
            vec![7.0, 1.0, 2.0, 6.0],
            vec![10.0, 5.0, 6.0, 9.0],
            vec![6.0, 2.0, 4.0, 7.0],
        ]
    }

    #[test]
    fn groups_of_one_size_agree_with_pingouin() {
        let groups = targets();
        let found = OneWay::of(&groups).unwrap();
        assert_eq!((found.groups, found.scores), (6, 24));
        // ICC(1,1) and ICC(1,k) of pingouin.intraclass_corr (0.7.0).
        near(found.icc(), 0.1657417684054755);
        near(found.reliability(), 0.44279713367926876);
    }

    #[test]
    fn groups_of_many_sizes_agree_with_scipy() {
        let groups = [
            vec![4.0, 5.0, 3.0],
            vec![2.0, 2.0],
            vec![5.0],
            vec![],
            vec![1.0, 3.0, 2.0, 2.0],
            vec![4.0, 4.0],
        ];
        let found = OneWay::of(&groups).unwrap();
        let size: f64 = (12.0 - 34.0 / 12.0) / 4.0;
        // The statistic of scipy.stats.f_oneway (1.17) on the same groups is MSB / MSW.
        near(1.0 + size * found.between / found.within, 6.526041666666658);
        near(found.within, 4.0 / 7.0);
        near(found.reciprocal, (1.0 / 3.0 + 0.5 + 1.0 + 0.25 + 0.5) / 5.0);
    }

    #[test]
    fn drawn_variances_are_found_again() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut spread = |variance: f64| {
            // Uniform on an interval of the width sqrt(12 variance).
            (12.0 * variance).sqrt() * (rng.random::<f64>() - 0.5)
        };
        let groups: Vec<Vec<f64>> = (0..20_000)
            .map(|group| {
                let centre = spread(2.0);
                (0..1 + group % 5).map(|_| centre + spread(1.0)).collect()
            })
            .collect();
        let found = OneWay::of(&groups).unwrap();
        assert!((found.between - 2.0).abs() < 0.05, "{found:?}");
        assert!((found.within - 1.0).abs() < 0.03, "{found:?}");
    }

    #[test]
    fn what_cannot_be_told_is_nothing() {
        for groups in [
            vec![],
            vec![vec![1.0, 2.0]],
            vec![vec![1.0], vec![2.0], vec![3.0]],
            vec![vec![1.0, 1.0], vec![1.0]],
        ] {
            assert_eq!(OneWay::of(&groups), None, "{groups:?}");
        }
        // Groups alike, scores not: below chance.
        let found = OneWay::of(&[vec![1.0, 3.0], vec![3.0, 1.0]]).unwrap();
        assert!(found.icc() < 0.0 && found.reliability() == 0.0);
    }
}
