//! Rotary positions and what lets a model read longer texts than it was trained on.
//!
//! Reference: transformers' `modeling_rope_utils.py`.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// How a token learns where it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Positions {
    /// One trained vector a position, added to the embedding.
    Learned,
    /// Rotation of queries and keys.
    Rotary(Rotary),
}

/// Rotation of queries and keys (arXiv 2104.09864), halves paired as in transformers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rotary {
    pub theta: f64,
    pub scaling: Option<RotaryScaling>,
    /// The share of a head that is turned: its first features.
    #[serde(default = "whole", skip_serializing_if = "is_whole")]
    pub partial: f64,
}

fn whole() -> f64 {
    1.0
}

fn is_whole(partial: &f64) -> bool {
    *partial == 1.0
}

/// A change to the rotary frequencies that lets a model read longer texts than it was trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rope_type", rename_all = "lowercase")]
pub enum RotaryScaling {
    /// All frequencies divided by `factor` (arXiv 2306.15595).
    Linear { factor: f64 },
    /// A base that grows with texts longer than the model's positions. Such texts are cut or refused, so that nothing
    /// is left for it to do.
    Dynamic { factor: f64 },
    /// Slow frequencies divided by `factor`, fast ones kept, those between blended; and attention sharpened
    /// (arXiv 2309.00071).
    Yarn {
        factor: f64,
        original_max_position_embeddings: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        attention_factor: Option<f64>,
        /// Turns over the original context above which a frequency is kept.
        beta_fast: f64,
        /// And below which it is divided.
        beta_slow: f64,
        #[serde(skip_serializing_if = "Option::is_none")]
        mscale: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        mscale_all_dim: Option<f64>,
        /// The bounds of what is blended are whole frequencies.
        truncate: bool,
    },
    /// Llama 3.1: slow frequencies divided by `factor`, fast ones kept, those between blended.
    Llama3 {
        factor: f64,
        low_freq_factor: f64,
        high_freq_factor: f64,
        original_max_position_embeddings: usize,
    },
    /// Each frequency divided by its own factor, of two sets: one for texts up to the original length, one for longer
    /// ones (arXiv 2402.13753).
    LongRope {
        short_factor: Vec<f64>,
        long_factor: Vec<f64>,
        factor: f64,
        original_max_position_embeddings: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        attention_factor: Option<f64>,
    },
}

impl Rotary {
    /// Whole heads, frequencies as they are.
    pub fn plain(theta: f64) -> Self {
        Self {
            theta,
            scaling: None,
            partial: 1.0,
        }
    }

    /// Features of a head that are turned, if that number is even.
    pub fn dims(&self, head_dim: usize) -> usize {
        (head_dim as f64 * self.partial) as usize
    }

    /// The length above which a text is turned by another set of frequencies.
    pub fn longest_short(&self) -> Option<usize> {
        match self.scaling {
            Some(RotaryScaling::LongRope {
                original_max_position_embeddings: original,
                ..
            }) => Some(original),
            _ => None,
        }
    }

    /// Rotary angles per position step, in radians, fastest first: half as many values as features that are turned. The
    /// angle of frequency `k` at position `p` is `p * frequencies[k]`; it turns the pair of features
    /// `(k, k + frequencies.len())`. `long` texts are those above [`longest_short`](Self::longest_short).
    pub fn frequencies(&self, head_dim: usize, long: bool) -> Vec<f32> {
        let dims = self.dims(head_dim);
        let plain = |k: usize| self.theta.powf(-((2 * k) as f64) / dims as f64);
        let scaled = |k: usize| match &self.scaling {
            None | Some(RotaryScaling::Dynamic { .. }) => plain(k),
            Some(RotaryScaling::Linear { factor }) => plain(k) / factor,
            Some(RotaryScaling::Llama3 {
                factor,
                low_freq_factor: low,
                high_freq_factor: high,
                original_max_position_embeddings: original,
            }) => {
                // Turns made over the original context: few turns is slow, many is fast.
                let turns = *original as f64 * plain(k) / (2.0 * PI);
                let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                plain(k) * (kept + (1.0 - kept) / factor)
            }
            Some(RotaryScaling::Yarn {
                factor,
                original_max_position_embeddings: original,
                beta_fast,
                beta_slow,
                truncate,
                ..
            }) => {
                // The frequency that makes so many turns over the original context, counted as if whole.
                let at = |turns: f64| {
                    let length = *original as f64 / (turns * 2.0 * PI);
                    dims as f64 * length.ln() / (2.0 * self.theta.ln())
                };
                let (mut first, mut last) = (at(*beta_fast), at(*beta_slow));
                if *truncate {
                    (first, last) = (first.floor(), last.ceil());
                }
                (first, last) = (first.max(0.0), last.min(dims as f64 - 1.0));
                if first == last {
                    last += 0.001;
                }
                let divided = ((k as f64 - first) / (last - first)).clamp(0.0, 1.0);
                plain(k) * (divided / factor + (1.0 - divided))
            }
            Some(RotaryScaling::LongRope {
                short_factor,
                long_factor,
                ..
            }) => {
                let factors = if long { long_factor } else { short_factor };
                plain(k) / factors.get(k).copied().unwrap_or(1.0)
            }
        };
        (0..dims.div_ceil(2)).map(|k| scaled(k) as f32).collect()
    }

    /// What turned queries and keys are multiplied by.
    pub fn attention_factor(&self) -> f32 {
        let grown = |factor: f64, scale: f64| match factor <= 1.0 {
            true => 1.0,
            false => 0.1 * scale * factor.ln() + 1.0,
        };
        let factor = match &self.scaling {
            Some(RotaryScaling::Yarn {
                factor,
                attention_factor,
                mscale,
                mscale_all_dim,
                ..
            }) => {
                let given = |scale: &Option<f64>| scale.filter(|scale| *scale != 0.0);
                attention_factor.unwrap_or_else(|| match (given(mscale), given(mscale_all_dim)) {
                    (Some(own), Some(all)) => grown(*factor, own) / grown(*factor, all),
                    _ => grown(*factor, 1.0),
                })
            }
            Some(RotaryScaling::LongRope {
                factor,
                original_max_position_embeddings: original,
                attention_factor,
                ..
            }) => attention_factor.unwrap_or_else(|| match *factor <= 1.0 {
                true => 1.0,
                false => (1.0 + factor.ln() / (*original as f64).ln()).sqrt(),
            }),
            _ => 1.0,
        };
        factor as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn llama3_frequencies_keep_fast_and_divide_slow() {
        let plain = Rotary::plain(500_000.0);
        let scaled = Rotary {
            scaling: Some(RotaryScaling::Llama3 {
                factor: 8.0,
                low_freq_factor: 1.0,
                high_freq_factor: 4.0,
                original_max_position_embeddings: 8192,
            }),
            ..plain.clone()
        };
        let [plain, scaled] = [plain, scaled].map(|rotary| rotary.frequencies(128, false));
        assert_eq!(plain.len(), 64);
        assert_eq!(scaled[0], 1.0);
        assert!((scaled[63] / plain[63] - 0.125).abs() < 1e-6);
        // As transformers computes them for Llama 3.1 8B: one kept, one blended, one divided.
        for (k, expected) in [
            (25, 5.940_730_7e-3),
            (31, 8.567_515e-4),
            (40, 3.428_102_4e-5),
        ] {
            assert!(
                (scaled[k] / expected - 1.0).abs() < 1e-5,
                "{k}: {}",
                scaled[k]
            );
        }
        assert!(scaled.windows(2).all(|pair| pair[0] > pair[1]));
        let linear = Rotary {
            scaling: Some(RotaryScaling::Linear { factor: 4.0 }),
            ..Rotary::plain(10_000.0)
        };
        assert_eq!(linear.frequencies(2, false), [0.25]);
    }

    #[test]
    fn a_part_of_a_head_is_turned() {
        let rotary = |partial| Rotary {
            partial,
            ..Rotary::plain(10_000.0)
        };
        assert_eq!(rotary(0.25).frequencies(16, false), [1.0, 0.01]);
        // An odd number of features is rounded up, its frequencies are not.
        let three = rotary(0.25).frequencies(12, false);
        assert_eq!(three.len(), 2);
        assert!((three[1] - 10_000f32.powf(-2.0 / 3.0)).abs() < 1e-8);
    }
}
