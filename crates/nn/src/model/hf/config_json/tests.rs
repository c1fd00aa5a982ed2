use std::fs;

use serde_json::json;

use super::*;
use crate::model::config::{Positions, RotaryScaling};

fn extend(value: &mut Value, more: Value) {
    let more = more.as_object().unwrap().clone();
    value.as_object_mut().unwrap().extend(more);
}

fn errors(value: Value) -> String {
    parse(&value)
        .map(|config| format!("accepted: {config:?}"))
        .unwrap_or_else(|error| format!("{error:#}"))
}

#[test]
fn absent_keys_take_the_familys_defaults() {
    let gpt2 = parse(&json!({"model_type": "gpt2"})).unwrap();
    assert_eq!(gpt2.parameters(), 124_439_808);
    assert_eq!(
        (gpt2.bos, gpt2.eos, gpt2.tied),
        (Some(50256), Some(50256), true)
    );
    let llama = parse(&json!({"model_type": "llama"})).unwrap();
    assert_eq!((llama.parameters(), llama.tied), (6_738_415_616, false));
    assert_eq!(
        (llama.bos, llama.eos, llama.norm_eps),
        (Some(1), Some(2), 1e-6)
    );
    let mistral = parse(&json!({"model_type": "mistral"})).unwrap();
    assert_eq!((mistral.kv_heads, mistral.sliding_window), (8, Some(4096)));
    assert_eq!(mistral.max_positions, 131_072);
    let qwen = parse(&json!({"model_type": "qwen2", "sliding_window": 32768})).unwrap();
    assert_eq!(
        (qwen.kv_heads, qwen.sliding_window, qwen.eos),
        (32, None, None)
    );
    assert!(qwen.qkv_bias && !qwen.out_bias);
    let small = parse(&json!({"model_type": "gpt2", "vocab_size": 300})).unwrap();
    assert_eq!((small.bos, small.eos), (None, None));
}

#[test]
fn null_is_not_absent() {
    let config = json!({"model_type": "mistral", "sliding_window": null,
        "num_key_value_heads": null, "bos_token_id": null, "head_dim": null});
    let config = parse(&config).unwrap();
    assert_eq!(
        (config.sliding_window, config.kv_heads, config.bos),
        (None, 32, None)
    );
}

#[test]
fn rotary_settings_in_both_spellings() {
    let scaling = json!({"type": "linear", "factor": 2.0});
    let old = json!({"model_type": "llama", "rope_theta": 5e5, "rope_scaling": scaling});
    let new = json!({"model_type": "llama",
        "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 5e5}});
    let expected = Positions::Rotary {
        theta: 5e5,
        scaling: Some(RotaryScaling::Linear { factor: 2.0 }),
    };
    assert_eq!(parse(&old).unwrap().positions, expected);
    assert_eq!(parse(&new).unwrap().positions, expected);
    let llama3 = json!({"model_type": "llama", "max_position_embeddings": 4096,
        "rope_parameters": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "rope_theta": 5e5}});
    let Positions::Rotary {
        scaling:
            Some(RotaryScaling::Llama3 {
                original_max_position_embeddings,
                ..
            }),
        ..
    } = parse(&llama3).unwrap().positions
    else {
        panic!()
    };
    assert_eq!(original_max_position_embeddings, 4096);
}

/// As transformers 5.24 computes these families: without a scaling it does not look at the key; with one, it
/// rotates a part of the cosines' width and fails.
#[test]
fn a_partial_rotation_does_nothing_or_is_refused_where_it_stands() {
    let top = json!({"model_type": "llama", "partial_rotary_factor": 0.5});
    let inside = json!({"model_type": "qwen2", "rope_parameters": {"rope_type": "default",
        "rope_theta": 1e4, "partial_rotary_factor": 0.5}});
    let beside = json!({"model_type": "llama", "partial_rotary_factor": 0.5,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4}});
    let whole = Positions::Rotary {
        theta: 1e4,
        scaling: None,
    };
    for (config, start) in [
        (&top, "partial_rotary_factor: 0.5"),
        (&beside, "partial_rotary_factor: 0.5"),
        (&inside, "rope_parameters.partial_rotary_factor: 0.5"),
    ] {
        let (read, notes) = parse_noted(config).unwrap();
        assert_eq!(read.positions, whole);
        assert!(notes[0].starts_with(start), "{notes:?}");
    }
    let linear = json!({"type": "linear", "factor": 2.0});
    let top = json!({"model_type": "llama", "partial_rotary_factor": 0.5, "rope_scaling": linear});
    let text = errors(top);
    assert!(
        text.starts_with("partial_rotary_factor: 0.5 is not"),
        "{text}"
    );
    let inside = json!({"model_type": "llama",
        "rope_scaling": {"type": "linear", "factor": 2.0, "partial_rotary_factor": 0.5}});
    let text = errors(inside);
    assert!(
        text.starts_with("rope_scaling.partial_rotary_factor: 0.5 is not"),
        "{text}"
    );
}

/// As transformers 5.24: `standardize_rope_params` puts the outer key over the inner one.
#[test]
fn the_length_trained_on_may_stand_outside_the_rotary_table() {
    let scaling = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 512});
    let config = json!({"model_type": "llama", "original_max_position_embeddings": 256,
        "rope_scaling": scaling});
    let Positions::Rotary {
        scaling:
            Some(RotaryScaling::Llama3 {
                original_max_position_embeddings: original,
                ..
            }),
        ..
    } = parse(&config).unwrap().positions
    else {
        panic!()
    };
    assert_eq!(original, 256);
}

#[test]
fn windows_of_all_layers_or_none() {
    let qwen = |more: Value| {
        let mut value = json!({"model_type": "qwen2", "num_hidden_layers": 2,
            "use_sliding_window": true, "sliding_window": 8});
        extend(&mut value, more);
        value
    };
    assert_eq!(parse(&qwen(json!({}))).unwrap().sliding_window, None);
    let all = qwen(json!({"max_window_layers": 0}));
    assert_eq!(parse(&all).unwrap().sliding_window, Some(8));
    let mixed = errors(qwen(json!({"max_window_layers": 1})));
    assert!(
        mixed.contains("max_window_layers: 1 of 2 layers"),
        "{mixed}"
    );
    let mixed = errors(qwen(
        json!({"layer_types": ["full_attention", "sliding_attention"]}),
    ));
    assert!(mixed.contains("layer_types: 1 of 2 layers"), "{mixed}");
    let full = qwen(json!({"layer_types": ["full_attention", "full_attention"]}));
    assert_eq!(parse(&full).unwrap().sliding_window, None);
    let other = errors(qwen(json!({"layer_types": ["linear_attention", 3]})));
    assert!(
        other.contains("\"linear_attention\" is not supported"),
        "{other}"
    );
    let none = errors(qwen(json!({"sliding_window": null,
        "layer_types": ["sliding_attention", "sliding_attention"]})));
    assert!(none.contains("needs a sliding_window"), "{none}");
}

#[test]
fn every_unsupported_key_is_named() {
    let message = errors(
        json!({"model_type": "gpt2", "scale_attn_by_inverse_layer_idx": true,
        "scale_attn_weights": false, "activation_function": "relu", "n_layer": "12",
        "quantization_config": {"bits": 4}}),
    );
    for key in [
        "scale_attn_by_inverse_layer_idx: true",
        "scale_attn_weights: false",
        "activation_function: \"relu\"",
        "n_layer: expected",
        "quantization_config: not",
    ] {
        assert!(message.contains(key), "{key:?} not in:\n{message}");
    }
    let message = errors(json!({"model_type": "mistral", "attention_bias": true,
        "mlp_bias": true, "hidden_act": "gelu", "num_local_experts": 8, "n_heads": 3,
        "is_causal": false, "rope_scaling": {"rope_type": "yarn", "factor": 4}}));
    for key in [
        "attention_bias: true",
        "mlp_bias: true",
        "hidden_act: \"gelu\"",
        "num_local_experts: mixtures",
        "rope_scaling.rope_type: \"yarn\"",
        "is_causal: false",
    ] {
        assert!(message.contains(key), "{key:?} not in:\n{message}");
    }
    assert!(errors(json!({"model_type": "mixtral"})).contains("\"mixtral\" is not supported"));
    assert!(errors(json!({"vocab_size": 3})).contains("model_type: missing"));
    assert!(errors(json!([1])).contains("JSON object"));
    let message = errors(
        json!({"model_type": "llama", "rope_scaling": {"type": "linear"},
        "hidden_size": 33, "bos_token_id": "a", "eos_token_id": [1, "b"]}),
    );
    for key in [
        "rope_scaling.factor: missing",
        "hidden_size: 33 is not",
        "bos_token_id",
        "eos_token_id",
    ] {
        assert!(message.contains(key), "{key:?} not in:\n{message}");
    }
    let message = errors(json!({"model_type": "llama", "num_key_value_heads": 5}));
    assert!(message.contains("multiple of kv_heads (5)"), "{message}");
}

#[test]
fn absurd_sizes_are_errors() {
    for size in [
        json!(1u64 << 62),
        json!(1 << 30),
        json!(-1),
        json!(0),
        json!(1.5),
    ] {
        for family in ["gpt2", "llama"] {
            let text = errors(
                json!({"model_type": family, "vocab_size": size, "n_embd": size,
                "hidden_size": size, "head_dim": size, "num_hidden_layers": size}),
            );
            assert!(text.contains("vocab_size"), "{text}");
        }
    }
}

#[test]
fn what_is_written_reads_back() {
    let mut configs: Vec<_> = [Family::Gpt2, Family::Llama, Family::Mistral, Family::Qwen2]
        .map(|family| DecoderConfig::new(family, 97, 32, 2, 4))
        .into();
    configs[0].activation = Activation::Gelu;
    configs[0].eos = Some(3);
    configs[1].positions = Positions::Rotary {
        theta: 5e5,
        scaling: Some(RotaryScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original_max_position_embeddings: 64,
        }),
    };
    (
        configs[1].qkv_bias,
        configs[1].out_bias,
        configs[1].mlp_bias,
    ) = (true, true, true);
    (configs[1].eos, configs[1].other_eos) = (Some(1), vec![2, 3]);
    (configs[2].sliding_window, configs[2].kv_heads) = (Some(5), 2);
    (configs[3].sliding_window, configs[3].tied, configs[3].pad) = (Some(5), true, Some(0));
    configs.push(DecoderConfig::new(Family::Qwen2, 97, 32, 3, 4));
    for config in configs {
        let mut value = to_json(&config, "float32");
        assert_eq!(parse(&value).unwrap(), config);
        // A reader of one spelling only sees the same model.
        for key in ["rope_parameters", "rope_scaling"] {
            let removed = value.as_object_mut().unwrap().shift_remove(key);
            assert_eq!(parse(&value).unwrap(), config);
            value[key] = removed.unwrap_or(Value::Null);
        }
        assert_eq!(
            generation_json(&config)["eos_token_id"].is_null(),
            config.eos.is_none()
        );
    }
}

#[test]
fn unreadable_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    assert!(format!("{:#}", read(dir.path()).unwrap_err()).contains("config.json"));
    fs::write(dir.path().join("config.json"), "{\"model_type\": ").unwrap();
    assert!(format!("{:#}", read(dir.path()).unwrap_err()).contains("not valid JSON"));
}
