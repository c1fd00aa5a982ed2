//! What does not fit in a decoder's description.

use super::{DecoderConfig, Positions, Rotary, RotaryScaling};

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
            (
                "query_pre_attn_scalar",
                self.query_pre_attn_scalar.unwrap_or(1),
            ),
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
        let caps = [self.attn_soft_cap, self.final_soft_cap];
        check(
            caps.iter()
                .flatten()
                .all(|cap| cap.is_finite() && *cap > 0.0),
            "soft caps must be positive".into(),
        );
        for (name, layers) in [
            ("sliding_layers", &self.sliding_layers),
            ("rotary_layers", &self.rotary_layers),
        ] {
            let count = layers.as_ref().map_or(self.layers, Vec::len);
            check(
                count == self.layers,
                format!(
                    "{name} must have one entry a layer ({}), not {count}",
                    self.layers
                ),
            );
        }
        let main = match &self.positions {
            Positions::Learned => None,
            Positions::Rotary(rotary) => Some(rotary),
        };
        let rotary = main.into_iter().chain(&self.sliding_rotary);
        let rotary: Vec<_> = rotary.flat_map(|it| it.problems(self.head_dim)).collect();
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
        problems.extend(rotary);
        problems.extend(self.family_problems());
        problems
    }

    /// Options that this family's folder has no way to say.
    fn family_problems(&self) -> Vec<String> {
        let traits = self.family.traits();
        let fixed = (traits.fix)(self);
        let mut problems = Vec::new();
        macro_rules! compare {
            ($($field:ident),* $(,)?) => {$(
                if self.$field != fixed.$field {
                    let name = stringify!($field);
                    problems.push(format!("{name} must be {:?} in the {} family", fixed.$field, traits.name));
                }
            )*};
        }
        compare!(
            norm,
            positions,
            activation,
            kv_heads,
            head_dim,
            qkv_bias,
            out_bias,
            mlp_bias,
            sliding_window,
            sliding_layers,
            rotary_layers,
            sliding_rotary,
            query_pre_attn_scalar,
            attn_soft_cap,
            final_soft_cap,
            qk_norm,
            norms,
            norm_offset,
            parallel,
            scaled_embedding,
        );
        if traits.whole_heads && self.heads > 0 && !self.hidden_size.is_multiple_of(self.heads) {
            problems.push(format!(
                "hidden_size must be a multiple of heads in the {} family",
                traits.name
            ));
        }
        problems
    }
}

impl Rotary {
    /// What is wrong with these settings for heads of `head_dim` features.
    fn problems(&self, head_dim: usize) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |holds: bool, message: String| {
            if !holds {
                problems.push(message);
            }
        };
        let theta = self.theta;
        check(
            theta.is_finite() && theta > 0.0,
            format!("rotary theta must be positive, not {theta}"),
        );
        check(
            self.partial > 0.0 && self.partial <= 1.0,
            format!(
                "the rotary share of a head must be above 0 and at most 1, not {}",
                self.partial
            ),
        );
        let dims = self.dims(head_dim);
        if self.partial == 1.0 {
            check(
                head_dim.is_multiple_of(2),
                format!("head_dim must be even for rotary positions, not {head_dim}"),
            );
        } else {
            check(
                dims > 0 && dims.next_multiple_of(2) <= head_dim,
                format!(
                    "the rotary share {} of head_dim {head_dim} must be a feature at least, and an even number of \
                     features must fit in",
                    self.partial
                ),
            );
        }
        let factor = match &self.scaling {
            None => return problems,
            Some(
                RotaryScaling::Linear { factor }
                | RotaryScaling::Dynamic { factor }
                | RotaryScaling::Llama3 { factor, .. }
                | RotaryScaling::Yarn { factor, .. }
                | RotaryScaling::LongRope { factor, .. },
            ) => *factor,
        };
        // LongRoPE's factor only sharpens attention, and not at all below 1.
        let least = match self.scaling {
            Some(RotaryScaling::LongRope { .. }) => f64::MIN_POSITIVE,
            _ => 1.0,
        };
        check(
            factor.is_finite() && factor >= least,
            format!("rotary scaling factor must be at least 1, not {factor}"),
        );
        let positive = |value: &Option<f64>| value.is_none_or(|it| it.is_finite() && it > 0.0);
        let mut trained = 1;
        match &self.scaling {
            Some(RotaryScaling::Llama3 {
                low_freq_factor: low,
                high_freq_factor: high,
                original_max_position_embeddings: original,
                ..
            }) => {
                trained = *original;
                check(
                    *low > 0.0 && high > low && high.is_finite(),
                    format!(
                        "low_freq_factor ({low}) must be positive and below high_freq_factor ({high})"
                    ),
                );
            }
            Some(RotaryScaling::Yarn {
                original_max_position_embeddings: original,
                attention_factor,
                beta_fast: fast,
                beta_slow: slow,
                mscale,
                mscale_all_dim,
                ..
            }) => {
                trained = *original;
                check(
                    *slow > 0.0 && fast >= slow && fast.is_finite(),
                    format!("beta_slow ({slow}) must be positive and at most beta_fast ({fast})"),
                );
                check(
                    positive(attention_factor),
                    "attention_factor must be positive".into(),
                );
                check(
                    [mscale, mscale_all_dim]
                        .into_iter()
                        .flatten()
                        .all(|scale| scale.is_finite() && *scale >= 0.0),
                    "mscale and mscale_all_dim must not be negative".into(),
                );
                check(
                    dims.is_multiple_of(2),
                    format!("yarn turns an even number of features, not {dims}"),
                );
                check(
                    theta > 1.0,
                    format!("yarn needs a theta above 1, not {theta}"),
                );
            }
            Some(RotaryScaling::LongRope {
                short_factor,
                long_factor,
                original_max_position_embeddings: original,
                attention_factor,
                ..
            }) => {
                trained = *original;
                let factors = || short_factor.iter().chain(long_factor);
                check(
                    [short_factor, long_factor]
                        .iter()
                        .all(|it| it.len() == dims / 2)
                        && factors().all(|factor| factor.is_finite() && *factor > 0.0),
                    format!(
                        "short_factor and long_factor must have {} positive numbers each",
                        dims / 2
                    ),
                );
                check(
                    positive(attention_factor),
                    "attention_factor must be positive".into(),
                );
                check(
                    dims.is_multiple_of(2),
                    format!("longrope turns an even number of features, not {dims}"),
                );
                check(
                    *original > 1 || attention_factor.is_some(),
                    "original_max_position_embeddings must be at least 2 for longrope".into(),
                );
            }
            _ => {}
        }
        check(
            trained > 0,
            "original_max_position_embeddings must be at least 1".into(),
        );
        problems
    }
}
