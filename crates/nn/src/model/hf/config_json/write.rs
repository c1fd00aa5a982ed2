//! What transformers needs to open a model that we saved.

use serde_json::{Map, Value, json};

use crate::model::config::{Activation, DecoderConfig, Positions, RotaryScaling};
use crate::model::family::{Biases, Block, Traits, Window};

/// The `config.json` of a model whose weights are stored as `dtype` (`"float32"` or `"bfloat16"`).
///
/// Both spellings of the type and of the rotary settings are written, for transformers 4 and 5.
pub fn to_json(config: &DecoderConfig, dtype: &str) -> Value {
    let Traits {
        class,
        block,
        biases,
        window,
        ..
    } = config.family.traits();
    let task = match (&config.score, block) {
        (Some(_), _) => "ForSequenceClassification",
        (None, Block::Gpt2) => "LMHeadModel",
        (None, Block::Llama) => "ForCausalLM",
    };
    let mut value = json!({
        "architectures": [format!("{class}{task}")],
        "model_type": config.family.name(),
        "vocab_size": config.vocab_size,
        "tie_word_embeddings": config.tied,
        "bos_token_id": config.bos,
        "eos_token_id": ends(config),
        "pad_token_id": config.pad,
        "dtype": dtype,
        "torch_dtype": dtype,
        "use_cache": true,
    });
    let own = match config.positions {
        Positions::Learned => json!({
            "n_embd": config.hidden_size,
            "n_layer": config.layers,
            "n_head": config.heads,
            "n_inner": config.intermediate_size,
            "n_positions": config.max_positions,
            "n_ctx": config.max_positions,
            "layer_norm_epsilon": config.norm_eps,
            "activation_function": match config.activation {
                Activation::Gelu => "gelu",
                Activation::GeluTanh | Activation::SwiGlu => "gelu_new",
            },
        }),
        Positions::Rotary { theta, scaling } => json!({
            "hidden_size": config.hidden_size,
            "num_hidden_layers": config.layers,
            "num_attention_heads": config.heads,
            "num_key_value_heads": config.kv_heads,
            "head_dim": config.head_dim,
            "intermediate_size": config.intermediate_size,
            "max_position_embeddings": config.max_positions,
            "rms_norm_eps": config.norm_eps,
            "hidden_act": "silu",
            "rope_theta": theta,
            "rope_scaling": scaling,
            "rope_parameters": rope_parameters(theta, scaling),
        }),
    };
    extend(&mut value, own);
    if *biases == Biases::Keys {
        let given = json!({"attention_bias": config.qkv_bias, "mlp_bias": config.mlp_bias});
        extend(&mut value, given);
    }
    let sliding = match window {
        Window::Never => json!({}),
        Window::Key(_) => json!({"sliding_window": config.sliding_window}),
        Window::Flag(_) => json!({
            "use_sliding_window": config.sliding_window.is_some(),
            "sliding_window": config.sliding_window,
            "max_window_layers": if config.sliding_window.is_some() { 0 } else { config.layers },
        }),
    };
    extend(&mut value, sliding);
    if let Some(head) = &config.score {
        let names = head.labels.iter().enumerate();
        let (by_id, by_name): (Map<_, _>, Map<_, _>) = names
            .map(|(id, name)| ((id.to_string(), json!(name)), (name.clone(), json!(id))))
            .unzip();
        let score = json!({
            "id2label": by_id,
            "label2id": by_name,
            "problem_type": head.problem,
            // transformers tells padding from the last real token by its id.
            "pad_token_id": config.padding(),
            "score_centre": head.centre,
            "score_scale": head.scale,
        });
        extend(&mut value, score);
    }
    value
}

/// The `generation_config.json` beside it: the special tokens, and nothing else that would change how
/// the model is sampled.
pub fn generation_json(config: &DecoderConfig) -> Value {
    let mut value = json!({"_from_model_config": true});
    for (key, id) in [
        ("bos_token_id", json!(config.bos)),
        ("eos_token_id", ends(config)),
        ("pad_token_id", json!(config.pad)),
    ] {
        if !id.is_null() {
            value[key] = id;
        }
    }
    value
}

fn ends(config: &DecoderConfig) -> Value {
    if config.other_eos.is_empty() {
        return json!(config.eos);
    }
    json!(config.ends())
}

fn rope_parameters(theta: f64, scaling: Option<RotaryScaling>) -> Value {
    let mut value = scaling.map_or(json!({"rope_type": "default"}), |scaling| json!(scaling));
    value["rope_theta"] = json!(theta);
    value
}

fn extend(value: &mut Value, more: Value) {
    if let (Some(map), Value::Object(more)) = (value.as_object_mut(), more) {
        map.extend(more);
    }
}
