//! What does not fit in a decoder's description.

use super::{Activation, DecoderConfig, Norm, Positions, RotaryScaling};
use crate::model::family::{Biases, Block, Window};

/// Far above any published model, and low enough that counting parameters cannot overflow.
const LARGEST: usize = 1 << 24;

/// Each block has a dozen tensors that are looked for by name.
const MOST_LAYERS: usize = 1 << 14;

impl DecoderConfig {
    /// Everything that is wrong with this description, one sentence each; empty when a model can be
    /// built from it and saved in its family's form.
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |holds: bool, message: String| {
            if !holds {
                problems.push(message);
            }
        };
        for (name, value) in [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("layers", self.layers),
            ("heads", self.heads),
            ("kv_heads", self.kv_heads),
            ("head_dim", self.head_dim),
            ("intermediate_size", self.intermediate_size),
            ("max_positions", self.max_positions),
            ("sliding_window", self.sliding_window.unwrap_or(1)),
        ] {
            check(value > 0, format!("{name} must be at least 1"));
            check(
                value <= LARGEST,
                format!("{name} must be at most {LARGEST}, not {value}"),
            );
        }
        check(
            self.layers <= MOST_LAYERS,
            format!("layers must be at most {MOST_LAYERS}, not {}", self.layers),
        );
        let queries = self.heads.saturating_mul(self.head_dim);
        check(
            queries <= LARGEST,
            format!("heads * head_dim must be at most {LARGEST}, not {queries}"),
        );
        check(
            self.kv_heads == 0 || self.heads.is_multiple_of(self.kv_heads),
            format!(
                "heads ({}) must be a multiple of kv_heads ({})",
                self.heads, self.kv_heads
            ),
        );
        check(
            self.norm_eps.is_finite() && self.norm_eps > 0.0,
            format!("norm_eps must be positive, not {}", self.norm_eps),
        );
        if let Positions::Rotary { theta, scaling } = self.positions {
            check(
                self.head_dim.is_multiple_of(2),
                format!(
                    "head_dim must be even for rotary positions, not {}",
                    self.head_dim
                ),
            );
            check(
                theta.is_finite() && theta > 0.0,
                format!("rotary theta must be positive, not {theta}"),
            );
            if let Some(RotaryScaling::Linear { factor } | RotaryScaling::Llama3 { factor, .. }) =
                scaling
            {
                check(
                    factor.is_finite() && factor >= 1.0,
                    format!("rotary scaling factor must be at least 1, not {factor}"),
                );
            }
            if let Some(RotaryScaling::Llama3 {
                low_freq_factor: low,
                high_freq_factor: high,
                original_max_position_embeddings: original,
                ..
            }) = scaling
            {
                check(
                    low > 0.0 && high > low && high.is_finite(),
                    format!(
                        "low_freq_factor ({low}) must be positive and below high_freq_factor ({high})"
                    ),
                );
                check(
                    original > 0,
                    "original_max_position_embeddings must be at least 1".into(),
                );
            }
        }
        for (name, id) in [("bos", self.bos), ("eos", self.eos), ("pad", self.pad)]
            .into_iter()
            .chain(self.other_eos.iter().map(|id| ("other_eos", Some(*id))))
        {
            check(
                id.is_none_or(|id| (id as usize) < self.vocab_size),
                format!(
                    "{name} ({}) must be below vocab_size ({})",
                    id.unwrap_or(0),
                    self.vocab_size
                ),
            );
        }
        check(
            self.other_eos.is_empty() || self.eos.is_some(),
            "other_eos needs eos to be set first".into(),
        );
        if let Some(score) = &self.score {
            let labels = &score.labels;
            let distinct: std::collections::BTreeSet<&String> = labels.iter().collect();
            check(
                !labels.is_empty() && distinct.len() == labels.len(),
                "a scoring head needs labels that differ".into(),
            );
            check(
                score.centre.len() == labels.len() && score.scale.len() == labels.len(),
                "a scoring head needs a centre and a scale for each label".into(),
            );
            check(
                score.scale.iter().all(|it| it.is_finite() && *it > 0.0)
                    && score.centre.iter().all(|it| it.is_finite()),
                "a scoring head's centres must be finite and its scales positive".into(),
            );
            check(!self.tied, "a scoring head cannot be tied".into());
        }
        problems.extend(self.family_problems());
        problems
    }

    /// Options that this family's folder has no way to say.
    fn family_problems(&self) -> Vec<String> {
        let family = self.family.name();
        let traits = self.family.traits();
        let gpt2 = traits.block == Block::Gpt2;
        let rotary = matches!(self.positions, Positions::Rotary { .. });
        let swiglu = self.activation == Activation::SwiGlu;
        let biases = (self.qkv_bias, self.out_bias, self.mlp_bias);
        let fits = [
            (
                (self.norm == Norm::Layer) == gpt2,
                if gpt2 {
                    "norm must be layer"
                } else {
                    "norm must be rms"
                },
            ),
            (
                rotary != gpt2,
                if gpt2 {
                    "positions must be learned"
                } else {
                    "positions must be rotary"
                },
            ),
            (
                swiglu != gpt2,
                if gpt2 {
                    "activation must be gelu or gelu_tanh"
                } else {
                    "activation must be swi_glu"
                },
            ),
            (
                match traits.biases {
                    Biases::All => biases == (true, true, true),
                    Biases::Keys => self.qkv_bias == self.out_bias,
                    Biases::Nothing => biases == (false, false, false),
                    Biases::Qkv => biases == (true, false, false),
                },
                match traits.biases {
                    Biases::All => "qkv_bias, out_bias and mlp_bias must be true",
                    Biases::Keys => "qkv_bias and out_bias must be equal",
                    Biases::Nothing => "qkv_bias, out_bias and mlp_bias must be false",
                    Biases::Qkv => "qkv_bias must be true, out_bias and mlp_bias false",
                },
            ),
            (
                self.sliding_window.is_none() || traits.window != Window::Never,
                "sliding_window must be absent",
            ),
            (
                !gpt2 || self.kv_heads == self.heads,
                "kv_heads must equal heads",
            ),
            (
                !gpt2 || self.heads.saturating_mul(self.head_dim) == self.hidden_size,
                "heads * head_dim must equal hidden_size",
            ),
            (
                !traits.whole_heads
                    || self.heads == 0
                    || self.hidden_size.is_multiple_of(self.heads),
                "hidden_size must be a multiple of heads",
            ),
        ];
        fits.into_iter()
            .filter(|(holds, _)| !holds)
            .map(|(_, message)| format!("{message} in the {family} family"))
            .collect()
    }
}
