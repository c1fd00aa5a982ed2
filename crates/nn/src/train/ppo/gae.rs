//! Generalised advantage estimation (Schulman et al., arXiv 1506.02438, equations 11 to 16).

/// The advantage of each token of one reply.
///
/// `A_t` is the sum over k of `(gamma lam)^k d_{t+k}`, with `d_t = r_t + gamma V_{t+1} - V_t`; a reply ends its
/// episode, so the value after its last token is 0. A token's return, the target of its value, is
/// `A_t + V_t`.
///
/// # Shapes
///
/// - `rewards`, `values`, output: one entry a token; `values` are of the states before the tokens
///
/// # Panics
///
/// Where there are not as many values as rewards.
pub fn advantages(rewards: &[f64], values: &[f64], gamma: f64, lam: f64) -> Vec<f64> {
    assert_eq!(rewards.len(), values.len(), "a value for each reward");
    let mut advantages = vec![0.0; rewards.len()];
    let (mut advantage, mut next_value) = (0.0, 0.0);
    for t in (0..rewards.len()).rev() {
        let delta = rewards[t] + gamma * next_value - values[t];
        advantage = delta + gamma * lam * advantage;
        advantages[t] = advantage;
        next_value = values[t];
    }
    advantages
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, sum by sum.
    fn naive(rewards: &[f64], values: &[f64], gamma: f64, lam: f64) -> Vec<f64> {
        let value = |t: usize| values.get(t).copied().unwrap_or(0.0);
        let delta = |t: usize| rewards[t] + gamma * value(t + 1) - value(t);
        let length = rewards.len();
        (0..length)
            .map(|t| {
                (t..length)
                    .map(|k| (gamma * lam).powi((k - t) as i32) * delta(k))
                    .sum()
            })
            .collect()
    }

    fn close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-9, "{found} for {expected}");
        }
    }

    proptest! {
        #[test]
        fn the_recursion_is_the_sum_of_the_definition(
            tokens in prop::collection::vec((-3.0f64..3.0, -3.0f64..3.0), 1..30),
            gamma in 0.0f64..=1.0,
            lam in 0.0f64..=1.0,
        ) {
            let (rewards, values): (Vec<f64>, Vec<f64>) = tokens.into_iter().unzip();
            close(&advantages(&rewards, &values, gamma, lam), &naive(&rewards, &values, gamma, lam));
        }

        /// With lam 1 an advantage is the discounted sum of rewards less the value; with lam 0 the one-step error.
        #[test]
        fn its_ends_are_returns_and_one_step_errors(
            tokens in prop::collection::vec((-3.0f64..3.0, -3.0f64..3.0), 1..30),
            gamma in 0.0f64..=1.0,
        ) {
            let (rewards, values): (Vec<f64>, Vec<f64>) = tokens.into_iter().unzip();
            let mut to_go = 0.0;
            let mut returns: Vec<f64> = rewards.iter().rev().map(|reward| {
                to_go = reward + gamma * to_go;
                to_go
            }).collect();
            returns.reverse();
            let monte_carlo: Vec<f64> = returns.iter().zip(&values).map(|(r, v)| r - v).collect();
            close(&advantages(&rewards, &values, gamma, 1.0), &monte_carlo);
            let next = values.iter().skip(1).chain([&0.0]);
            let errors: Vec<f64> = rewards.iter().zip(&values).zip(next)
                .map(|((r, v), next)| r + gamma * next - v).collect();
            close(&advantages(&rewards, &values, gamma, 0.0), &errors);
        }
    }

    #[test]
    fn a_reward_at_the_end_decays_towards_the_beginning() {
        let found = advantages(&[0.0, 0.0, 1.0], &[0.0; 3], 0.5, 0.5);
        close(&found, &[0.0625, 0.25, 1.0]);
    }
}
