//! Models to start from.

use super::{Activation, DecoderConfig, Family, Norm, Norms, Positions, Rotary};

impl DecoderConfig {
    /// A model of `family` with that family's options: as many key heads as query heads, 1024 positions, no special
    /// tokens; full attention where the family leaves that open. Change fields afterwards;
    /// [`validate`](Self::validate) says what does not fit.
    pub fn new(
        family: Family,
        vocab_size: usize,
        hidden_size: usize,
        layers: usize,
        heads: usize,
    ) -> Self {
        let traits = family.traits();
        let start = Self {
            family,
            vocab_size,
            hidden_size,
            layers,
            heads,
            kv_heads: heads,
            head_dim: hidden_size.checked_div(heads).unwrap_or(0),
            intermediate_size: 0,
            max_positions: 1024,
            norm: Norm::Rms,
            norm_eps: traits.defaults.norm_eps,
            positions: Positions::Rotary(Rotary::plain(traits.defaults.rope_theta)),
            activation: Activation::SwiGlu,
            qkv_bias: traits.defaults.attention_bias,
            out_bias: traits.defaults.attention_bias,
            mlp_bias: false,
            sliding_window: None,
            sliding_layers: None,
            rotary_layers: None,
            sliding_rotary: None,
            query_pre_attn_scalar: None,
            attn_soft_cap: None,
            final_soft_cap: None,
            qk_norm: None,
            norms: Norms::Before,
            norm_offset: false,
            parallel: false,
            scaled_embedding: false,
            tied: traits.defaults.tied,
            bos: None,
            eos: None,
            other_eos: Vec::new(),
            pad: None,
            score: None,
        };
        let mut config = (traits.fix)(&(traits.begin)(start));
        // Both give 8 h^2 feed-forward weights a block; a gated layer has three matrices, not two.
        config.intermediate_size = match config.activation.gated() {
            true => (8 * hidden_size).div_ceil(3).next_multiple_of(16),
            false => 4 * hidden_size,
        };
        config
    }
}
