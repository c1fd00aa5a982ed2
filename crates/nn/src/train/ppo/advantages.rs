//! Advantages of whole replies from the rewards of a prompt's other replies, and whitening.

/// Values with variance 1, and mean 0 unless `shift_mean` is false, which leaves the mean as it is. The variance
/// is the unbiased one over all values, with 1e-8 added, as TRL's `masked_whiten` has it; that of a single value
/// counts as 0.
pub fn whiten(values: &mut [f64], shift_mean: bool) {
    let (mean, deviation) = mean_and_deviation(values);
    let scale = (deviation * deviation + 1e-8).sqrt().recip();
    let kept = if shift_mean { 0.0 } else { mean };
    for value in values {
        *value = (*value - mean) * scale + kept;
    }
}

/// Each reward less the mean of the prompt's other replies': RLOO (Ahmadian et al., arXiv 2402.14740, equation 7).
///
/// `rewards` has `generations` of a prompt after those of another; there are at least two.
pub fn leave_one_out(rewards: &[f64], generations: usize) -> Vec<f64> {
    let others = (generations - 1) as f64;
    let group = |group: &[f64]| {
        let sum: f64 = group.iter().sum();
        let baseline = |reward: &f64| reward - (sum - reward) / others;
        group.iter().map(baseline).collect::<Vec<f64>>()
    };
    rewards.chunks(generations).flat_map(group).collect()
}

/// What GRPO divides its advantages by, besides 1e-4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScaleRewards {
    /// The deviation of the prompt's rewards (the paper's).
    Group,
    /// The deviation of the whole batch's rewards.
    Batch,
    /// Nothing (arXiv 2503.20783).
    None,
}

/// Each reward less the mean of its prompt's replies', over a standard deviation: GRPO (Shao et al., arXiv
/// 2402.03300, section 4.1.2).
///
/// `rewards` is as in [`leave_one_out`].
pub fn group_normalised(rewards: &[f64], generations: usize, scale: ScaleRewards) -> Vec<f64> {
    let (_, of_all) = mean_and_deviation(rewards);
    let group = |group: &[f64]| {
        let (mean, deviation) = mean_and_deviation(group);
        let divisor = match scale {
            ScaleRewards::Group => deviation + EPSILON,
            ScaleRewards::Batch => of_all + EPSILON,
            ScaleRewards::None => 1.0,
        };
        let normalised = |reward: &f64| (reward - mean) / divisor;
        group.iter().map(normalised).collect::<Vec<f64>>()
    };
    rewards.chunks(generations).flat_map(group).collect()
}

/// Values with mean 0, over their deviation and 1e-4: RLOO's `normalize_advantages`.
pub fn normalise(values: &mut [f64]) {
    let (mean, deviation) = mean_and_deviation(values);
    for value in values {
        *value = (*value - mean) / (deviation + EPSILON);
    }
}

/// What TRL adds to deviations that it divides by.
const EPSILON: f64 = 1e-4;

/// The mean, and the root of the unbiased variance, 0 for fewer than two values.
pub fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count.max(1.0);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (squares / (count - 1.0).max(1.0)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whitened_values_have_variance_one_and_keep_their_mean_if_told() {
        let values = [1.0, 4.0, -2.0, 7.5, 0.25];
        let (mean, deviation) = mean_and_deviation(&values);
        assert!((mean - 2.15).abs() < 1e-12);
        for shift_mean in [true, false] {
            let mut whitened = values;
            whiten(&mut whitened, shift_mean);
            let (found, one) = mean_and_deviation(&whitened);
            let expected = if shift_mean { 0.0 } else { mean };
            assert!((found - expected).abs() < 1e-9 && (one - 1.0).abs() < 1e-8);
            let first = (1.0 - mean) / deviation + expected;
            assert!((whitened[0] - first).abs() < 1e-8);
        }
        let mut same = [3.0; 4];
        whiten(&mut same, true);
        assert_eq!(same, [0.0; 4]);
        let mut one = [3.0];
        whiten(&mut one, false);
        assert_eq!(one, [3.0]);
    }

    #[test]
    fn a_baseline_leaves_its_own_reply_out() {
        let found = leave_one_out(&[1.0, 2.0, 6.0, 5.0, 5.0, 5.0], 3);
        assert_eq!(found, [-3.0, -1.5, 4.5, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn groups_are_normalised_by_themselves() {
        let rewards = [1.0, 3.0, 10.0, 10.0];
        let deviation = 2f64.sqrt() + 1e-4;
        let expected = [-1.0 / deviation, 1.0 / deviation, 0.0, 0.0];
        let found = group_normalised(&rewards, 2, ScaleRewards::Group);
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12);
        }
        let plain = group_normalised(&rewards, 2, ScaleRewards::None);
        assert_eq!(plain, [-1.0, 1.0, 0.0, 0.0]);
        let all = mean_and_deviation(&rewards).1 + 1e-4;
        let found = group_normalised(&rewards, 2, ScaleRewards::Batch);
        assert!((found[1] - 1.0 / all).abs() < 1e-12);
    }
}
