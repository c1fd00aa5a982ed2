//! What several tests share: a backend, and small random models.

use burn::backend::Autodiff;
use burn::tensor::backend::Backend;
use rapport::model::config::{Activation, DecoderConfig, Family, Norm, Positions};
use rapport::model::{Decoder, weights};

#[cfg(feature = "flex")]
pub type Inner = burn_flex::Flex;
pub type Ad = Autodiff<Inner>;

/// A model small enough to check by hand, of any family.
pub fn config(family: Family) -> DecoderConfig {
    let gpt2 = family == Family::Gpt2;
    DecoderConfig {
        family,
        vocab_size: 50,
        hidden_size: 32,
        layers: 2,
        heads: 4,
        kv_heads: if gpt2 { 4 } else { 2 },
        head_dim: 8,
        intermediate_size: 48,
        max_positions: 64,
        norm: if gpt2 { Norm::Layer } else { Norm::Rms },
        norm_eps: 1e-5,
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
        qkv_bias: gpt2 || family == Family::Qwen2,
        out_bias: gpt2,
        mlp_bias: gpt2,
        sliding_window: (family == Family::Mistral).then_some(4),
        tied: gpt2,
        bos: Some(0),
        eos: Some(0),
        other_eos: Vec::new(),
        pad: None,
    }
}

/// A random model with weights large enough for its predictions to differ.
pub fn model<B: Backend>(config: &DecoderConfig, seed: u64, device: &B::Device) -> Decoder<B> {
    weights::assign(
        Decoder::zeros(config, device),
        weights::random(config, 0.3, seed),
    )
}
