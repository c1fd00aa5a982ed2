//! Length-desensitised log-probs (LD-DPO, Liu et al., arXiv 2409.06411).

/// What each scored token weighs in its branch's summed log-prob: 1 up to the length of its pair's shorter
/// completion, `alpha` beyond. 1 is the plain sum; 0 leaves out what the longer completion has more.
///
/// # Shapes
///
/// - `branch`: the branch of each scored token, branches in pairs (0 and 1, 2 and 3, ...), the tokens of a
///   branch in order
/// - output: as `branch`
pub fn token_weights(branch: &[usize], alpha: f64) -> Vec<f32> {
    let branches = branch
        .iter()
        .max()
        .map_or(0, |&last| (last + 1).next_multiple_of(2));
    let mut lengths = vec![0; branches];
    branch.iter().for_each(|&branch| lengths[branch] += 1);
    let mut seen = vec![0; branches];
    let weight = |&branch: &usize| {
        seen[branch] += 1;
        let shared: usize = lengths[branch].min(lengths[branch ^ 1]);
        if seen[branch] <= shared {
            1.0
        } else {
            alpha as f32
        }
    };
    branch.iter().map(weight).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_beyond_the_shorter_completion_weigh_alpha() {
        let branch = [0, 0, 0, 1, 2, 3, 3];
        let expected = [1.0, 0.25, 0.25, 1.0, 1.0, 1.0, 0.25];
        assert_eq!(token_weights(&branch, 0.25), expected);
        assert_eq!(token_weights(&branch, 1.0), [1.0; 7]);
        assert!(token_weights(&[], 0.5).is_empty());
    }
}
