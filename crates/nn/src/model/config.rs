//! What a decoder is made of: one description that covers GPT-2, Llama, Mistral and Qwen2.
//!
//! The fields mirror what the four families' `config.json` files say, in one vocabulary; reading and
//! writing those files is [`crate::model::hf::config_json`]'s work.

mod validate;

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

pub use super::family::Family;
use super::family::{Biases, Block, Traits};
pub use crate::ops::Activation;

/// How hidden states are normalised before each block and before the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Norm {
    /// Zero mean, unit variance, then scale and shift.
    Layer,
    /// Unit root mean square, then scale (arXiv 1910.07467).
    Rms,
}

/// How a token learns where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Positions {
    /// One trained vector a position, added to the embedding.
    Learned,
    /// Rotation of queries and keys (arXiv 2104.09864), halves paired as in transformers.
    Rotary {
        theta: f64,
        scaling: Option<RotaryScaling>,
    },
}

/// A change to the rotary frequencies that lets a model read longer texts than it was trained on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rope_type", rename_all = "lowercase")]
pub enum RotaryScaling {
    /// All frequencies divided by `factor` (arXiv 2306.15595).
    Linear { factor: f64 },
    /// Llama 3.1: slow frequencies divided by `factor`, fast ones kept, those between blended.
    Llama3 {
        factor: f64,
        low_freq_factor: f64,
        high_freq_factor: f64,
        original_max_position_embeddings: usize,
    },
}

impl Positions {
    /// Rotary angles per position step, in radians: `head_dim / 2` values, fastest first. `None` for
    /// learned positions. The angle of frequency `k` at position `p` is `p * frequencies[k]`; it turns
    /// the pair of features `(k, k + head_dim / 2)`.
    pub fn frequencies(&self, head_dim: usize) -> Option<Vec<f32>> {
        let Positions::Rotary { theta, scaling } = *self else {
            return None;
        };
        let plain = |k: usize| theta.powf(-((2 * k) as f64) / head_dim as f64);
        let scaled = |frequency: f64| match scaling {
            None => frequency,
            Some(RotaryScaling::Linear { factor }) => frequency / factor,
            Some(RotaryScaling::Llama3 {
                factor,
                low_freq_factor: low,
                high_freq_factor: high,
                original_max_position_embeddings: original,
            }) => {
                // Turns made over the original context: few turns is slow, many is fast.
                let turns = original as f64 * frequency / (2.0 * PI);
                let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                frequency * (kept + (1.0 - kept) / factor)
            }
        };
        Some((0..head_dim / 2).map(|k| scaled(plain(k)) as f32).collect())
    }
}

/// What the outputs of a scoring head are. Such a head stands in the place of a language model's and reads
/// the last real token alone: transformers' `ForSequenceClassification`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreHead {
    /// The name of each output: an impression, `reward`, or a class.
    pub labels: Vec<String>,
    pub problem: Problem,
    /// What each output is to be added to, once multiplied by `scale`, to be a score; 0 where the output is
    /// the score. transformers keeps both as `score_centre` and `score_scale` of the configuration.
    pub centre: Vec<f64>,
    pub scale: Vec<f64>,
}

/// What the outputs of a scoring head are trained for, by transformers' `problem_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// Each is a score by itself.
    Regression,
    /// They are the logits of one choice.
    SingleLabelClassification,
}

impl ScoreHead {
    /// A head whose outputs are scores, or logits, as they are.
    pub fn plain(labels: Vec<String>, problem: Problem) -> Self {
        Self {
            centre: vec![0.0; labels.len()],
            scale: vec![1.0; labels.len()],
            labels,
            problem,
        }
    }
}

/// The shape and options of one decoder. Everything that decides its parameters' shapes is here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecoderConfig {
    pub family: Family,
    /// Rows of the embedding, token ids `0..vocab_size`.
    pub vocab_size: usize,
    pub hidden_size: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Number of query heads.
    pub heads: usize,
    /// Number of key and value heads; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Features of one head.
    pub head_dim: usize,
    /// Width of the feed-forward layer (of one of the two fused halves under SwiGLU).
    pub intermediate_size: usize,
    /// Longest sequence, in tokens: the rows of learned positions; for rotary ones, what the model was
    /// trained for.
    pub max_positions: usize,
    pub norm: Norm,
    /// Added under the square root of the norm.
    pub norm_eps: f64,
    pub positions: Positions,
    pub activation: Activation,
    /// Biases on the query, key and value projections.
    pub qkv_bias: bool,
    /// Bias on the attention's output projection.
    pub out_bias: bool,
    /// Biases on the feed-forward projections.
    pub mlp_bias: bool,
    /// A query at position `q` sees keys at `k` with `q - k < window`; `None` sees all before it.
    pub sliding_window: Option<usize>,
    /// The head is the embedding, transposed.
    pub tied: bool,
    pub bos: Option<u32>,
    pub eos: Option<u32>,
    /// Further ids that end a generation (Llama 3 lists several); empty for most models.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_eos: Vec<u32>,
    pub pad: Option<u32>,
    /// The head that scores whole sequences; none in a language model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<ScoreHead>,
}

impl DecoderConfig {
    /// A model of `family` with that family's options: full attention, as many key heads as query
    /// heads, GPT-2's head tied and the others' not, 1024 positions, no special tokens. Change fields
    /// afterwards; [`validate`](Self::validate) says what does not fit.
    pub fn new(
        family: Family,
        vocab_size: usize,
        hidden_size: usize,
        layers: usize,
        heads: usize,
    ) -> Self {
        let Traits { block, biases, .. } = family.traits();
        let gpt2 = *block == Block::Gpt2;
        Self {
            family,
            vocab_size,
            hidden_size,
            layers,
            heads,
            kv_heads: heads,
            head_dim: hidden_size.checked_div(heads).unwrap_or(0),
            // Both give 8 h^2 feed-forward weights a block; SwiGLU's has three matrices, not two.
            intermediate_size: if gpt2 {
                4 * hidden_size
            } else {
                (8 * hidden_size).div_ceil(3).next_multiple_of(16)
            },
            max_positions: 1024,
            norm: if gpt2 { Norm::Layer } else { Norm::Rms },
            norm_eps: if gpt2 { 1e-5 } else { 1e-6 },
            positions: if gpt2 {
                Positions::Learned
            } else {
                Positions::Rotary {
                    theta: 10_000.0,
                    scaling: None,
                }
            },
            activation: if gpt2 {
                Activation::GeluTanh
            } else {
                Activation::SwiGlu
            },
            qkv_bias: matches!(biases, Biases::All | Biases::Qkv),
            out_bias: *biases == Biases::All,
            mlp_bias: *biases == Biases::All,
            sliding_window: None,
            tied: gpt2,
            bos: None,
            eos: None,
            other_eos: Vec::new(),
            pad: None,
            score: None,
        }
    }

    /// Rows of the output head: one a token, or one a score.
    pub fn head_rows(&self) -> usize {
        let score = self.score.as_ref();
        score.map_or(self.vocab_size, |score| score.labels.len())
    }

    /// Every id that ends a text.
    pub fn ends(&self) -> Vec<u32> {
        self.eos.iter().chain(&self.other_eos).copied().collect()
    }

    /// The token that fills up rows, which a scoring head never reads: its own or, as is the habit where
    /// there is none, EOS.
    pub fn padding(&self) -> Option<u32> {
        self.pad.or(self.eos)
    }

    /// The same trunk with another head, which scores sequences.
    pub fn with_score(&self, score: ScoreHead) -> Self {
        Self {
            tied: false,
            score: Some(score),
            ..self.clone()
        }
    }

    /// Columns of the fused query, key and value projection.
    pub fn qkv_size(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_dim
    }

    /// Columns of the first feed-forward projection (gate and up fused under SwiGLU).
    pub fn up_size(&self) -> usize {
        match self.activation {
            Activation::SwiGlu => 2 * self.intermediate_size,
            Activation::Gelu | Activation::GeluTanh => self.intermediate_size,
        }
    }

    /// Number of trained values, a tied head counted once.
    pub fn parameters(&self) -> usize {
        let (hidden, qkv, up) = (self.hidden_size, self.qkv_size(), self.up_size());
        let out_in = self.heads * self.head_dim;
        let norm = match self.norm {
            Norm::Layer => 2 * hidden,
            Norm::Rms => hidden,
        };
        let block = 2 * norm
            + hidden * qkv
            + out_in * hidden
            + hidden * up
            + self.intermediate_size * hidden
            + if self.qkv_bias { qkv } else { 0 }
            + if self.out_bias { hidden } else { 0 }
            + if self.mlp_bias { up + hidden } else { 0 };
        let positions = match self.positions {
            Positions::Learned => self.max_positions * hidden,
            Positions::Rotary { .. } => 0,
        };
        let head = if self.tied { 0 } else { self.head_rows() };
        (self.vocab_size + head) * hidden + positions + self.layers * block + norm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_parameter_counts() {
        let gpt2 = DecoderConfig::new(Family::Gpt2, 50257, 768, 12, 12);
        assert_eq!(gpt2.parameters(), 124_439_808);
        let mut llama2 = DecoderConfig::new(Family::Llama, 32000, 4096, 32, 32);
        llama2.intermediate_size = 11008;
        assert_eq!(llama2.parameters(), 6_738_415_616);
        let mut mistral = DecoderConfig::new(Family::Mistral, 32768, 4096, 32, 32);
        (mistral.kv_heads, mistral.intermediate_size) = (8, 14336);
        assert_eq!(mistral.parameters(), 7_248_023_552);
        let mut qwen = DecoderConfig::new(Family::Qwen2, 151936, 1536, 28, 12);
        (qwen.kv_heads, qwen.intermediate_size, qwen.tied) = (2, 8960, true);
        assert_eq!(qwen.parameters(), 1_543_714_304);
    }

    #[test]
    fn every_family_default_is_valid() {
        for family in Family::ALL {
            let config = DecoderConfig::new(family, 97, 32, 2, 4);
            assert_eq!(config.validate(), Vec::<String>::new());
            assert_eq!(Family::from_name(family.name()), Some(family));
        }
    }

    #[test]
    fn all_problems_at_once() {
        let mut config = DecoderConfig::new(Family::Mistral, 10, 30, 0, 6);
        config.kv_heads = 4;
        config.norm_eps = 0.0;
        config.qkv_bias = true;
        config.sliding_window = Some(0);
        (config.vocab_size, config.head_dim) = (usize::MAX, usize::MAX);
        let problems = config.validate().join("\n");
        for part in [
            "layers must be at least 1",
            "sliding_window must be at least 1",
            "heads (6) must be a multiple of kv_heads (4)",
            "norm_eps must be positive",
            "head_dim must be even",
            "must be false in the mistral family",
            "vocab_size must be at most",
            "heads * head_dim must be at most",
        ] {
            assert!(problems.contains(part), "{part:?} not in:\n{problems}");
        }
        let mut small = DecoderConfig::new(Family::Llama, 10, 32, 1, 4);
        (small.eos, small.other_eos) = (Some(10), vec![3, 11]);
        assert_eq!(
            small.validate(),
            [
                "eos (10) must be below vocab_size (10)",
                "other_eos (11) must be below vocab_size (10)"
            ]
        );
        assert!(
            !DecoderConfig::new(Family::Llama, 0, 0, 0, 0)
                .validate()
                .is_empty()
        );
    }

    #[test]
    fn llama3_frequencies_keep_fast_and_divide_slow() {
        let plain = Positions::Rotary {
            theta: 500_000.0,
            scaling: None,
        };
        let scaling = RotaryScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 8192,
        };
        let scaled = Positions::Rotary {
            theta: 500_000.0,
            scaling: Some(scaling),
        };
        let (plain, scaled) = (
            plain.frequencies(128).unwrap(),
            scaled.frequencies(128).unwrap(),
        );
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
        assert_eq!(Positions::Learned.frequencies(8), None);
        let linear = Positions::Rotary {
            theta: 10_000.0,
            scaling: Some(RotaryScaling::Linear { factor: 4.0 }),
        };
        assert_eq!(linear.frequencies(2), Some(vec![0.25]));
    }
}
