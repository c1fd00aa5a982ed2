//! Choosing the next token from its logits, in transformers' order: repetition penalty, minimum
//! length, temperature, top-k, top-p, draw.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

/// How replies are drawn, by transformers' names.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// 0 takes the likeliest token.
    pub temperature: f64,
    /// Keep this many of the likeliest tokens; 0 keeps all.
    pub top_k: usize,
    /// Keep the smallest set of likeliest tokens with this much probability; 1 keeps all.
    pub top_p: f64,
    /// Divides positive and multiplies negative logits of tokens seen before (arXiv 1909.05858).
    pub repetition_penalty: f64,
    /// No stop token is drawn before this many.
    pub min_new_tokens: usize,
    pub max_new_tokens: usize,
    /// Tokens that end a reply; they are not part of it.
    pub stop: Vec<u32>,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            repetition_penalty: 1.0,
            min_new_tokens: 0,
            max_new_tokens: 64,
            stop: Vec::new(),
        }
    }
}

impl Sampling {
    /// Draws the token after `before` (prompt and reply so far, of which `new` are the reply's).
    pub fn next(
        &self,
        logits: &mut [f32],
        before: &[u32],
        new: usize,
        rng: &mut ChaCha8Rng,
    ) -> u32 {
        if self.repetition_penalty != 1.0 {
            let penalty = self.repetition_penalty as f32;
            let mut seen = before.to_vec();
            seen.sort_unstable();
            seen.dedup();
            for token in seen {
                let logit = &mut logits[token as usize];
                *logit = if *logit > 0.0 {
                    *logit / penalty
                } else {
                    *logit * penalty
                };
            }
        }
        if new < self.min_new_tokens {
            for &token in &self.stop {
                logits[token as usize] = f32::NEG_INFINITY;
            }
        }
        if self.temperature == 0.0 {
            return argmax(logits);
        }
        let mut candidates: Vec<(u32, f64)> = logits
            .iter()
            .enumerate()
            .map(|(token, &logit)| (token as u32, f64::from(logit) / self.temperature))
            .collect();
        let keep = if self.top_k == 0 {
            candidates.len()
        } else {
            self.top_k.min(candidates.len())
        };
        if keep < candidates.len() || self.top_p < 1.0 {
            // Ties go to the smaller token id, so that the set kept is the same everywhere.
            candidates.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            candidates.truncate(keep);
        }
        let largest = candidates
            .iter()
            .map(|c| c.1)
            .fold(f64::NEG_INFINITY, f64::max);
        for candidate in &mut candidates {
            candidate.1 = (candidate.1 - largest).exp();
        }
        let mut total: f64 = candidates.iter().map(|c| c.1).sum();
        if self.top_p < 1.0 {
            let mut mass = 0.0;
            let kept = candidates
                .iter()
                .position(|c| {
                    mass += c.1;
                    mass >= self.top_p * total
                })
                .map_or(candidates.len(), |last| last + 1);
            candidates.truncate(kept);
            total = candidates.iter().map(|c| c.1).sum();
        }
        let mut left = rng.random::<f64>() * total;
        for &(token, weight) in &candidates {
            left -= weight;
            if left < 0.0 {
                return token;
            }
        }
        // Rounding can leave a sliver past the end; the last token with any weight takes it.
        candidates
            .iter()
            .rev()
            .find(|c| c.1 > 0.0)
            .map_or(0, |c| c.0)
    }
}

fn argmax(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (token, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = token;
        }
    }
    best as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn frequencies(sampling: &Sampling, logits: &[f32]) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let draws = 40_000;
        let mut counts = vec![0.0; logits.len()];
        for _ in 0..draws {
            counts[sampling.next(&mut logits.to_vec(), &[], 0, &mut rng) as usize] += 1.0;
        }
        counts.into_iter().map(|c| c / f64::from(draws)).collect()
    }

    /// Probabilities .1 .2 .3 .4 as logits.
    fn logits() -> Vec<f32> {
        [0.1f32, 0.2, 0.3, 0.4].map(f32::ln).to_vec()
    }

    fn close(found: &[f64], expected: &[f64]) {
        for (f, e) in found.iter().zip(expected) {
            assert!((f - e).abs() < 0.012, "{found:?} against {expected:?}");
        }
    }

    #[test]
    fn draws_follow_the_probabilities_and_temperature() {
        close(
            &frequencies(&Sampling::default(), &logits()),
            &[0.1, 0.2, 0.3, 0.4],
        );
        let cold = Sampling {
            temperature: 0.5,
            ..Sampling::default()
        };
        let squares = [0.01 / 0.3, 0.04 / 0.3, 0.09 / 0.3, 0.16 / 0.3];
        close(&frequencies(&cold, &logits()), &squares);
    }

    #[test]
    fn top_k_and_top_p_keep_the_likeliest() {
        let top_k = Sampling {
            top_k: 2,
            ..Sampling::default()
        };
        close(
            &frequencies(&top_k, &logits()),
            &[0.0, 0.0, 3.0 / 7.0, 4.0 / 7.0],
        );
        let top_p = Sampling {
            top_p: 0.65,
            ..Sampling::default()
        };
        close(
            &frequencies(&top_p, &logits()),
            &[0.0, 0.0, 3.0 / 7.0, 4.0 / 7.0],
        );
    }

    #[test]
    fn stop_waits_for_the_minimum_and_repetition_is_penalised() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let greedy = Sampling {
            temperature: 0.0,
            min_new_tokens: 1,
            stop: vec![3],
            ..Sampling::default()
        };
        assert_eq!(greedy.next(&mut logits(), &[], 0, &mut rng), 2);
        assert_eq!(greedy.next(&mut logits(), &[2], 1, &mut rng), 3);
        let penalised = Sampling {
            repetition_penalty: 2.0,
            stop: Vec::new(),
            ..greedy
        };
        assert_eq!(penalised.next(&mut logits(), &[3], 1, &mut rng), 2);
    }
}
