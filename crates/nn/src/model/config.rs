//! What a decoder is made of: one description that covers every family.
//!
//! The fields mirror what the families' `config.json` files say, in one vocabulary; reading and
//! writing those files is [`crate::model::hf::config_json`]'s work, what a family can say at all
//! [`crate::model::family`]'s.

mod family;
mod layers;
mod new;
mod rotary;
mod validate;

use serde::{Deserialize, Serialize};

pub use self::family::Family;
pub use self::layers::Attends;
pub use self::rotary::{Positions, Rotary, RotaryScaling};
pub use crate::ops::Activation;

/// How hidden states are normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Norm {
    /// Zero mean, unit variance, then scale and shift.
    Layer,
    /// Unit root mean square, then scale (arXiv 1910.07467).
    Rms,
}

/// Where the norms of a block stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Norms {
    /// Before attention and before the feed-forward layer.
    #[default]
    Before,
    /// Behind each, ahead of the residual (OLMo 2, arXiv 2501.00656).
    After,
    /// On both sides of each (Gemma 2, arXiv 2408.00118).
    Both,
}

impl Norms {
    pub fn before(self) -> bool {
        self != Norms::After
    }

    pub fn after(self) -> bool {
        self != Norms::Before
    }
}

/// What queries and keys are normalised over, ahead of their rotation: root mean square, with a scale of each feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QkNorm {
    /// Each head by itself, all by the same scales (Dehghani et al., arXiv 2302.05442).
    Head,
    /// All heads of a token together.
    Whole,
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
    /// Width of the feed-forward layer (of one of the two fused halves of a gated one).
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
    /// Which layers have that window, one entry a layer; all of them where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sliding_layers: Option<Vec<bool>>,
    /// Which layers turn queries and keys, one entry a layer; all of them where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotary_layers: Option<Vec<bool>>,
    /// How the layers with a window turn theirs, where that is another way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sliding_rotary: Option<Rotary>,
    /// Scores are divided by the root of this, or else of `head_dim`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_pre_attn_scalar: Option<usize>,
    /// Scores `x` become `cap * tanh(x / cap)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attn_soft_cap: Option<f64>,
    /// The same of the language model's logits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub final_soft_cap: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qk_norm: Option<QkNorm>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub norms: Norms,
    /// Norms scale by one more than their weights.
    #[serde(default, skip_serializing_if = "is_default")]
    pub norm_offset: bool,
    /// The feed-forward layer reads what attention reads, not what attention gives.
    #[serde(default, skip_serializing_if = "is_default")]
    pub parallel: bool,
    /// Embedded tokens are multiplied by the root of `hidden_size`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub scaled_embedding: bool,
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

    /// Columns of the first feed-forward projection (gate and up side by side in a gated one).
    pub fn up_size(&self) -> usize {
        match self.activation.gated() {
            true => 2 * self.intermediate_size,
            false => self.intermediate_size,
        }
    }

    /// What embedded tokens are multiplied by, if by anything.
    pub fn embedding_scale(&self) -> Option<f32> {
        let scaled = self.scaled_embedding;
        scaled.then(|| (self.hidden_size as f64).sqrt() as f32)
    }

    /// What scores are multiplied by.
    pub fn attention_scale(&self) -> f32 {
        let scalar = self.query_pre_attn_scalar.unwrap_or(self.head_dim);
        1.0 / (scalar as f32).sqrt()
    }

    /// Features that the norms of queries and of keys scale; none where there are no such norms.
    pub fn qk_norm_sizes(&self) -> Option<[usize; 2]> {
        self.qk_norm.map(|kind| match kind {
            QkNorm::Head => [self.head_dim; 2],
            QkNorm::Whole => [self.heads, self.kv_heads].map(|heads| heads * self.head_dim),
        })
    }

    /// Number of trained values, a tied head counted once.
    pub fn parameters(&self) -> usize {
        let (hidden, qkv, up) = (self.hidden_size, self.qkv_size(), self.up_size());
        let out_in = self.heads * self.head_dim;
        let norm = match self.norm {
            Norm::Layer => 2 * hidden,
            Norm::Rms => hidden,
        };
        let norms = match self.norms {
            Norms::Before | Norms::After => 2,
            Norms::Both => 4,
        };
        let block = norms * norm
            + self.qk_norm_sizes().map_or(0, |sizes| sizes.iter().sum())
            + hidden * qkv
            + out_in * hidden
            + hidden * up
            + self.intermediate_size * hidden
            + if self.qkv_bias { qkv } else { 0 }
            + if self.out_bias { hidden } else { 0 }
            + if self.mlp_bias { up + hidden } else { 0 };
        let positions = match self.positions {
            Positions::Learned => self.max_positions * hidden,
            Positions::Rotary(_) => 0,
        };
        let head = if self.tied { 0 } else { self.head_rows() };
        (self.vocab_size + head) * hidden + positions + self.layers * block + norm
    }
}

/// Whether a field need not be written.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
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
}
