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
                let penalised = if *logit > 0.0 {
                    *logit / penalty
                } else {
                    *logit * penalty
                };
                // A penalty near 0 leaves no f32.
                *logit = penalised.clamp(f32::MIN, f32::MAX);
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
            .map(|(token, &logit)| (token as u32, f64::from(logit)))
            .collect();
        let keep = if self.top_k == 0 {
            candidates.len()
        } else {
            self.top_k.min(candidates.len())
        };
        // Ties go to the smaller token id, so that the set kept is the same everywhere.
        let likelier = |a: &(u32, f64), b: &(u32, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        if keep < candidates.len() {
            candidates.select_nth_unstable_by(keep - 1, likelier);
            candidates.truncate(keep);
            candidates.sort_unstable_by(likelier);
        }
        let largest = candidates
            .iter()
            .map(|c| c.1)
            .fold(f64::NEG_INFINITY, f64::max);
        let weight = |candidate: &(u32, f64)| ((candidate.1 - largest) / self.temperature).exp();
        if self.top_p < 1.0 {
            let enough = self.top_p * candidates.iter().map(weight).sum::<f64>();
            // Sorted a block at a time, as far as the mass needs: most of a vocabulary never is.
            let (mut mass, mut kept, mut sorted) = (0.0, 0, 0);
            while mass < enough && sorted < candidates.len() {
                let rest = &mut candidates[sorted..];
                let block = sorted.max(128).min(rest.len());
                if block < rest.len() {
                    rest.select_nth_unstable_by(block - 1, likelier);
                }
                rest[..block].sort_unstable_by(likelier);
                sorted += block;
                while mass < enough && kept < sorted {
                    mass += weight(&candidates[kept]);
                    kept += 1;
                }
            }
            candidates.truncate(kept);
        }
        for candidate in &mut candidates {
            candidate.1 = weight(candidate);
        }
        let total: f64 = candidates.iter().map(|c| c.1).sum();
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

/// The first of the largest logits.
fn argmax(logits: &[f32]) -> u32 {
    // Largest of each lane first: a loop without branches, which compiles to vectors.
    let mut lanes = [f32::NEG_INFINITY; 32];
    let chunks = logits.chunks_exact(lanes.len());
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &logit) in lanes.iter_mut().zip(chunk) {
            *lane = if logit > *lane { logit } else { *lane };
        }
    }
    let largest = lanes.iter().chain(rest).copied();
    let largest = largest.fold(f32::NEG_INFINITY, f32::max);
    let first = logits.iter().position(|&logit| logit == largest);
    first.unwrap_or(0) as u32
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
    fn a_large_vocabulary_keeps_the_same_tokens_as_a_full_sort() {
        let logits: Vec<f32> = (0..1013).map(|i| (i * 37 % 101) as f32 / 50.0).collect();
        let mut sorted: Vec<(usize, f64)> = logits
            .iter()
            .map(|&logit| f64::from(logit).exp())
            .enumerate()
            .collect();
        sorted.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let total: f64 = sorted.iter().map(|t| t.1).sum();
        let mut mass = 0.0;
        let nucleus = sorted.iter().take_while(|t| {
            mass += t.1;
            mass - t.1 < 0.5 * total
        });
        let (top_p, count) = (
            Sampling {
                top_p: 0.5,
                ..Sampling::default()
            },
            nucleus.count(),
        );
        assert!(count > 256, "more than two blocks");
        let top_k = Sampling {
            top_k: 300,
            ..Sampling::default()
        };
        for (sampling, count) in [(top_p, count), (top_k, 300)] {
            let drawn = frequencies(&sampling, &logits);
            let mut kept: Vec<usize> = (0..drawn.len()).filter(|&i| drawn[i] > 0.0).collect();
            let mut expected: Vec<usize> = sorted[..count].iter().map(|t| t.0).collect();
            kept.sort_unstable();
            expected.sort_unstable();
            assert_eq!(kept, expected);
        }
        let greedy = Sampling {
            temperature: 0.0,
            ..Sampling::default()
        };
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let first = greedy.next(&mut logits.clone(), &[], 0, &mut rng);
        assert_eq!(first as usize, sorted[0].0, "the first of equal logits");
    }

    #[test]
    fn settings_near_their_ends_leave_a_distribution() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let cold = Sampling {
            temperature: 5e-324,
            ..Sampling::default()
        };
        assert_eq!(cold.next(&mut [-1.0, 2.0, 1.0], &[], 0, &mut rng), 1);
        // What has been seen is as likely as can be, and all else is out of reach.
        let fond = Sampling {
            repetition_penalty: 1e-40,
            ..Sampling::default()
        };
        assert_eq!(fond.next(&mut [1.0, 2.0, 1.0], &[2], 1, &mut rng), 2);
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
