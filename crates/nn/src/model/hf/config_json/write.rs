//! What transformers needs to open a model that we saved.

use serde_json::{Map, Value, json};

use crate::model::config::{Activation, DecoderConfig};
use crate::model::family::Traits;

/// The `config.json` of a model whose weights are stored as `dtype` (`"float32"` or `"bfloat16"`).
///
/// Both spellings of the type and of the rotary settings are written, for transformers 4 and 5.
pub fn to_json(config: &DecoderConfig, dtype: &str) -> Value {
    let Traits {
        classes: [class, scoring],
        task,
        spelling,
        write,
        ..
    } = config.family.traits();
    let class = match config.score {
        Some(_) => format!("{scoring}ForSequenceClassification"),
        None => format!("{class}{task}"),
    };
    let mut value = json!({
        "architectures": [class],
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
    let sizes = [
        (Some(spelling.hidden_size), config.hidden_size),
        (Some(spelling.layers), config.layers),
        (Some(spelling.heads), config.heads),
        (spelling.kv_heads, config.kv_heads),
        (spelling.head_dim, config.head_dim),
        (Some(spelling.intermediate_size), config.intermediate_size),
        (Some(spelling.max_positions), config.max_positions),
    ];
    for (key, size) in sizes {
        if let Some(key) = key {
            value[key] = json!(size);
        }
    }
    value[spelling.norm_eps] = json!(config.norm_eps);
    let activation = match config.activation {
        Activation::SwiGlu => "silu",
        Activation::GeGlu | Activation::Gelu => "gelu",
        Activation::GeluTanh | Activation::GeGluTanh => tanh(spelling.activation),
    };
    value[spelling.activation] = json!(activation);
    extend(&mut value, write(config));
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

/// What the family that spells the activation so calls GELU by its tanh approximation.
fn tanh(spelling: &str) -> &'static str {
    match spelling {
        "activation_function" => "gelu_new",
        _ => "gelu_pytorch_tanh",
    }
}

fn extend(value: &mut Value, more: Value) {
    if let (Some(map), Value::Object(more)) = (value.as_object_mut(), more) {
        map.extend(more);
    }
}
