//! What a family's file says, and what several of them have in common.

use serde_json::{Value, json};

use crate::model::config::{Activation, DecoderConfig, Norm, Norms, Positions, Rotary};
use crate::model::hf::config_json::keys::Keys;

/// What sets a family apart.
pub struct Traits {
    /// The `model_type` of `config.json`.
    pub name: &'static str,
    /// What its classes of transformers begin with: of language models, and of scoring heads.
    pub classes: [&'static str; 2],
    /// What the name of its class of language models ends with.
    pub task: &'static str,
    pub names: Names,
    pub spelling: Spelling,
    pub defaults: Defaults,
    /// Whether its configuration class refuses a hidden size that heads do not divide, even where `head_dim` is given.
    pub whole_heads: bool,
    /// Whether projections into the residual stream begin smaller by the root of twice the layers.
    pub shrunk_residuals: bool,
    /// What a model begins as, where the family leaves it open.
    pub begin: fn(DecoderConfig) -> DecoderConfig,
    /// The nearest decoder that its folder can say.
    pub fix: fn(&DecoderConfig) -> DecoderConfig,
    /// Reads the keys that only some families have, once those of all are read.
    pub(crate) read: fn(&mut Keys<'_>, &mut DecoderConfig),
    /// The same keys, written.
    pub write: fn(&DecoderConfig) -> Value,
}

/// The names of its stored tensors; of a block's parts below the block's.
#[derive(Clone, Copy)]
pub struct Names {
    pub embed: &'static str,
    pub block: &'static str,
    pub attn_norm: &'static str,
    pub attn_post_norm: &'static str,
    /// One tensor, or one each for queries, keys and values.
    pub qkv: &'static [&'static str],
    /// Whether the one tensor goes head by head, each with its query, key and value.
    pub by_head: bool,
    /// The norms of queries and of keys.
    pub qk_norms: [&'static str; 2],
    pub out: &'static str,
    pub mlp_norm: &'static str,
    pub mlp_post_norm: &'static str,
    /// One tensor, or one each for gate and up.
    pub up: &'static [&'static str],
    pub down: &'static str,
    pub norm: &'static str,
    pub head: &'static str,
    /// Whether weights of linear layers are stored as `[out, in]`.
    pub out_in: bool,
}

/// How `config.json` spells what every family says.
#[derive(Clone, Copy)]
pub struct Spelling {
    pub hidden_size: &'static str,
    pub layers: &'static str,
    pub heads: &'static str,
    /// Nothing: as many as heads.
    pub kv_heads: Option<&'static str>,
    /// Nothing: as heads divide the hidden size.
    pub head_dim: Option<&'static str>,
    pub intermediate_size: &'static str,
    pub max_positions: &'static str,
    pub norm_eps: &'static str,
    pub activation: &'static str,
}

/// What its configuration class of transformers takes where `config.json` is silent.
#[derive(Clone, Copy)]
pub struct Defaults {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub layers: usize,
    pub heads: usize,
    /// Nothing: as many as heads.
    pub kv_heads: Option<usize>,
    /// Nothing: as heads divide the hidden size.
    pub head_dim: Option<usize>,
    /// Nothing: four times the hidden size.
    pub intermediate_size: Option<usize>,
    pub max_positions: usize,
    pub norm_eps: f64,
    pub activation: &'static str,
    pub rope_theta: f64,
    pub attention_bias: bool,
    pub tied: bool,
    pub bos: Option<u32>,
    pub eos: Option<u32>,
    pub pad: Option<u32>,
}

/// Llama's names, which most families share.
pub(super) const NAMES: Names = Names {
    embed: "model.embed_tokens.weight",
    block: "model.layers",
    attn_norm: "input_layernorm",
    attn_post_norm: "post_attention_layernorm",
    qkv: &["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    by_head: false,
    qk_norms: ["self_attn.q_norm", "self_attn.k_norm"],
    out: "self_attn.o_proj",
    mlp_norm: "post_attention_layernorm",
    mlp_post_norm: "post_feedforward_layernorm",
    up: &["mlp.gate_proj", "mlp.up_proj"],
    down: "mlp.down_proj",
    norm: "model.norm",
    head: "lm_head.weight",
    out_in: true,
};

/// Llama's spelling, which most families share.
pub(super) const SPELLING: Spelling = Spelling {
    hidden_size: "hidden_size",
    layers: "num_hidden_layers",
    heads: "num_attention_heads",
    kv_heads: Some("num_key_value_heads"),
    head_dim: Some("head_dim"),
    intermediate_size: "intermediate_size",
    max_positions: "max_position_embeddings",
    norm_eps: "rms_norm_eps",
    activation: "hidden_act",
};

/// Llama's defaults.
pub(super) const DEFAULTS: Defaults = Defaults {
    vocab_size: 32000,
    hidden_size: 4096,
    layers: 32,
    heads: 32,
    kv_heads: None,
    head_dim: None,
    intermediate_size: Some(11008),
    max_positions: 2048,
    norm_eps: 1e-6,
    activation: "silu",
    rope_theta: 10_000.0,
    attention_bias: false,
    tied: false,
    bos: Some(1),
    eos: Some(2),
    pad: None,
};

/// A family of Llama's names, spelling and [`plain`] blocks: what a family's file goes on from.
pub(super) const LIKE_LLAMA: Traits = Traits {
    name: "",
    classes: [""; 2],
    task: "ForCausalLM",
    names: NAMES,
    spelling: SPELLING,
    defaults: DEFAULTS,
    whole_heads: false,
    shrunk_residuals: false,
    begin: |config| config,
    fix: plain,
    read: |_, _| {},
    write: rotary_json,
};

/// Every layer but each `interval`th.
pub(super) fn but_each(interval: usize, layers: usize) -> Vec<bool> {
    (1..=layers).map(|layer| layer % interval != 0).collect()
}

/// Llama's block, without biases, window or anything else that a family may add: what is open in it is as given.
pub(super) fn plain(given: &DecoderConfig) -> DecoderConfig {
    let rotary = match &given.positions {
        Positions::Learned => Rotary::plain(10_000.0),
        Positions::Rotary(rotary) => Rotary {
            partial: 1.0,
            ..rotary.clone()
        },
    };
    DecoderConfig {
        norm: Norm::Rms,
        positions: Positions::Rotary(rotary),
        activation: match given.activation.gated() {
            true => given.activation,
            false => Activation::SwiGlu,
        },
        qkv_bias: false,
        out_bias: false,
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
        ..given.clone()
    }
}

/// [`plain`], but of each head as large a part is turned as is given.
pub(super) fn turned_in_part(given: &DecoderConfig) -> DecoderConfig {
    let plain = plain(given);
    DecoderConfig {
        positions: match &given.positions {
            Positions::Learned => plain.positions.clone(),
            rotary => rotary.clone(),
        },
        ..plain
    }
}

/// The rotary settings in both spellings, for transformers 4 and 5.
pub(super) fn rotary_json(config: &DecoderConfig) -> Value {
    let Positions::Rotary(rotary) = &config.positions else {
        return json!({});
    };
    json!({
        "rope_theta": rotary.theta,
        "rope_scaling": rotary.scaling,
        "rope_parameters": rotary_table(rotary),
    })
}

/// What transformers 5 calls `rope_parameters`.
pub(super) fn rotary_table(rotary: &Rotary) -> Value {
    let scaling = rotary.scaling.as_ref();
    let mut value = scaling.map_or(json!({"rope_type": "default"}), |scaling| json!(scaling));
    value["rope_theta"] = json!(rotary.theta);
    value
}

/// One object with the fields of several.
pub(super) fn joined<const N: usize>(objects: [Value; N]) -> Value {
    let fields = objects.into_iter().filter_map(|object| match object {
        Value::Object(fields) => Some(fields),
        _ => None,
    });
    Value::Object(fields.flatten().collect())
}

/// The layers of which transformers' `layer_types` says that their attention slides.
pub(super) fn layer_types(config: &DecoderConfig) -> Value {
    let kind = |layer| match config.attends(layer).window {
        Some(_) => "sliding_attention",
        None => "full_attention",
    };
    json!((0..config.layers).map(kind).collect::<Vec<_>>())
}

/// A window as Qwen's keys say it.
pub(super) fn window_flag(config: &DecoderConfig) -> Value {
    let slides = config.sliding_window.is_some();
    let mut value = json!({
        "use_sliding_window": slides,
        "sliding_window": config.sliding_window,
        "max_window_layers": if slides { 0 } else { config.layers },
    });
    if config.sliding_layers.is_some() {
        value["layer_types"] = layer_types(config);
    }
    value
}
