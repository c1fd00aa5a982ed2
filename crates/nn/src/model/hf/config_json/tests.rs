use std::fs;

use serde_json::json;

use super::*;
use crate::model::config::{Activation, Norms, Positions, QkNorm, Rotary, RotaryScaling};

fn extend(value: &mut Value, more: Value) {
    let more = more.as_object().unwrap().clone();
    value.as_object_mut().unwrap().extend(more);
}

fn rotary(value: &Value) -> Rotary {
    match parse(value).unwrap().positions {
        Positions::Rotary(rotary) => rotary,
        Positions::Learned => panic!("learned positions"),
    }
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
    let expected = Positions::Rotary(Rotary {
        scaling: Some(RotaryScaling::Linear { factor: 2.0 }),
        ..Rotary::plain(5e5)
    });
    assert_eq!(parse(&old).unwrap().positions, expected);
    assert_eq!(parse(&new).unwrap().positions, expected);
    let llama3 = json!({"model_type": "llama", "max_position_embeddings": 4096,
        "rope_parameters": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "rope_theta": 5e5}});
    let Some(RotaryScaling::Llama3 {
        original_max_position_embeddings,
        ..
    }) = rotary(&llama3).scaling
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
    let whole = Positions::Rotary(Rotary::plain(1e4));
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
    let Some(RotaryScaling::Llama3 {
        original_max_position_embeddings: original,
        ..
    }) = rotary(&config).scaling
    else {
        panic!()
    };
    assert_eq!(original, 256);
}

#[test]
fn windows_of_all_layers_some_or_none() {
    let qwen = |more: Value| {
        let mut value = json!({"model_type": "qwen2", "num_hidden_layers": 2,
            "use_sliding_window": true, "sliding_window": 8});
        extend(&mut value, more);
        value
    };
    assert_eq!(parse(&qwen(json!({}))).unwrap().sliding_window, None);
    let all = qwen(json!({"max_window_layers": 0}));
    assert_eq!(parse(&all).unwrap().sliding_window, Some(8));
    for mixed in [
        json!({"max_window_layers": 1}),
        json!({"layer_types": ["full_attention", "sliding_attention"]}),
    ] {
        let mixed = parse(&qwen(mixed)).unwrap();
        assert_eq!(mixed.sliding_layers, Some(vec![false, true]));
        let windows = [0, 1].map(|layer| mixed.attends(layer).window);
        assert_eq!(windows, [None, Some(8)]);
    }
    // Mistral's class has one window for all, whatever this key says.
    let mistral = json!({"model_type": "mistral", "num_hidden_layers": 2,
        "layer_types": ["full_attention", "sliding_attention"]});
    let text = errors(mistral);
    assert!(
        text.contains("layer_types: full_attention is not"),
        "{text}"
    );
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
        "mlp_bias": true, "hidden_act": "relu", "num_local_experts": 8, "n_heads": 3,
        "is_causal": false, "rope_scaling": {"rope_type": "ntk", "factor": 4}}));
    for key in [
        "attention_bias: true",
        "mlp_bias: true",
        "hidden_act: \"relu\"",
        "num_local_experts: mixtures",
        "rope_scaling.rope_type: \"ntk\"",
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
fn absent_keys_take_the_defaults_of_newer_families() {
    let of = |name: &str| parse(&json!({"model_type": name})).unwrap();
    let qwen3 = of("qwen3");
    assert_eq!((qwen3.head_dim, qwen3.kv_heads, qwen3.eos), (128, 32, None));
    assert_eq!(qwen3.qk_norm, Some(QkNorm::Head));
    let phi3 = of("phi3");
    assert_eq!(
        (phi3.bos, phi3.eos, phi3.pad),
        (Some(1), Some(32000), Some(32000))
    );
    assert_eq!(phi3.parameters(), 3_821_079_552);
    let smollm3 = of("smollm3");
    assert_eq!(smollm3.parameters(), 3_075_098_624);
    let turned: Vec<_> = (0..5)
        .map(|layer| smollm3.attends(layer).rotary.is_some())
        .collect();
    assert_eq!(turned, [true, true, true, false, true]);
    assert_eq!(rotary(&json!({"model_type": "smollm3"})).theta, 2e6);
    let olmo2 = of("olmo2");
    assert_eq!(
        (olmo2.qk_norm, olmo2.norms, olmo2.parameters()),
        (Some(QkNorm::Whole), Norms::After, 6_888_624_128)
    );
    let neox = of("gpt_neox");
    assert_eq!(neox.parameters(), 20_554_567_680);
    assert!(neox.parallel && neox.mlp_bias && neox.activation == Activation::Gelu);
    assert_eq!(rotary(&json!({"model_type": "gpt_neox"})).dims(96), 24);
    let gemma2 = of("gemma2");
    assert_eq!(gemma2.parameters(), 2_614_341_888);
    assert_eq!(
        (gemma2.attn_soft_cap, gemma2.final_soft_cap),
        (Some(50.0), Some(30.0))
    );
    let windows = |config: &DecoderConfig| -> Vec<_> {
        (0..6)
            .map(|layer| config.attends(layer).window.is_some())
            .collect()
    };
    assert_eq!(windows(&gemma2), [true, false, true, false, true, false]);
    let gemma3 = of("gemma3_text");
    assert_eq!(windows(&gemma3), [true, true, true, true, true, false]);
    let thetas = [4, 5].map(|layer| gemma3.attends(layer).rotary.unwrap().theta);
    assert_eq!(thetas, [1e4, 1e6]);
    assert_eq!((gemma3.attn_soft_cap, gemma3.final_soft_cap), (None, None));
}

#[test]
fn what_newer_families_do_not_compute_is_refused_by_its_key() {
    let with = |name: &str, more: Value| {
        let mut value = json!({"model_type": name, "num_hidden_layers": 2});
        extend(&mut value, more);
        errors(value)
    };
    for (name, more, key) in [
        (
            "gemma2",
            json!({"use_bidirectional_attention": true}),
            "use_bidirectional_attention: true",
        ),
        (
            "gemma2",
            json!({"sliding_window": null}),
            "sliding_window: null",
        ),
        (
            "gemma3_text",
            json!({"final_logit_softcapping": -1.0}),
            "final_logit_softcapping: expected",
        ),
        (
            "gemma3_text",
            json!({"rope_parameters": {"rope_type": "default"}}),
            "rope_parameters.rope_type: expected",
        ),
        (
            "gemma2",
            json!({"query_pre_attn_scalar": 0}),
            "query_pre_attn_scalar: expected",
        ),
        (
            "phi3",
            json!({"rope_scaling": {"type": "linear", "factor": 2.0}}),
            "rope_scaling.rope_type: \"linear\"",
        ),
        (
            "phi3",
            json!({"rope_scaling": {"type": "su", "short_factor": [1.0], "long_factor": [1.0]}}),
            "rope_scaling.short_factor: expected 48 numbers",
        ),
        (
            "phi3",
            json!({"attention_bias": true}),
            "attention_bias: true",
        ),
        (
            "phi3",
            json!({"layer_types": ["full_attention", "sliding_attention"]}),
            "layer_types: sliding_attention",
        ),
        (
            "smollm3",
            json!({"no_rope_layers": [1]}),
            "no_rope_layers: expected",
        ),
        (
            "smollm3",
            json!({"sliding_window": 4, "layer_types": ["full_attention", "sliding_attention"]}),
            "layer_types: sliding_attention needs use_sliding_window",
        ),
        (
            "gpt_neox",
            json!({"hidden_act": "relu"}),
            "hidden_act: \"relu\"",
        ),
        (
            "gpt_neox",
            json!({"rotary_pct": 0.0}),
            "the rotary share of a head must be above 0",
        ),
        ("olmo2", json!({"mlp_bias": true}), "mlp_bias: true"),
        (
            "qwen3",
            json!({"rope_parameters": {"full_attention": {"rope_type": "default"}}}),
            "differ by layer",
        ),
        (
            "llama",
            json!({"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "beta_slow": 64}}),
            "beta_slow (64)",
        ),
    ] {
        let text = with(name, more);
        assert!(text.contains(key), "{name}: {key:?} not in:\n{text}");
    }
}

/// As transformers 5.24: the base, the share and the length of these families have keys of their own.
#[test]
fn rotary_settings_in_the_families_own_keys() {
    let neox = json!({"model_type": "gpt_neox", "rotary_emb_base": 5e3, "rotary_pct": 0.5, "rope_theta": 7.0});
    let neox = rotary(&neox);
    assert_eq!((neox.theta, neox.partial), (5e3, 0.5));
    let factors = vec![2.0; 36];
    let phi = json!({"model_type": "phi3", "max_position_embeddings": 131_072, "partial_rotary_factor": 0.75,
        "rope_scaling": {"type": "su", "short_factor": factors, "long_factor": factors}});
    let phi = rotary(&phi);
    // Outside the table, where 4096 is the default.
    assert_eq!((phi.partial, phi.longest_short()), (0.75, Some(4096)));
    // sqrt(1 + ln(32) / ln(4096))
    assert!((phi.attention_factor() - 1.190_238).abs() < 1e-6);
    let yarn = json!({"model_type": "qwen3", "rope_scaling": {"rope_type": "yarn", "factor": 4.0}});
    assert!((rotary(&yarn).attention_factor() - 1.138_629_4).abs() < 1e-6);
    let gemma = json!({"model_type": "gemma3_text", "rope_theta": 5e5, "rope_local_base_freq": 50.0,
        "rope_scaling": {"rope_type": "linear", "factor": 8.0}, "sliding_window_pattern": 2, "num_hidden_layers": 2});
    let gemma = parse(&gemma).unwrap();
    let [local, global] = [0, 1].map(|layer| gemma.attends(layer).rotary.unwrap().clone());
    assert_eq!((local, global.theta), (Rotary::plain(50.0), 5e5));
    assert_eq!(global.scaling, Some(RotaryScaling::Linear { factor: 8.0 }));
}

/// What no other test varies, in the families that can say it.
fn varied() -> Vec<DecoderConfig> {
    let of = |family| DecoderConfig::new(family, 97, 32, 2, 4);
    let longrope = Rotary {
        partial: 0.5,
        scaling: Some(RotaryScaling::LongRope {
            short_factor: vec![1.0, 1.5],
            long_factor: vec![2.0, 3.0],
            factor: 4.0,
            original_max_position_embeddings: 256,
            attention_factor: None,
        }),
        ..Rotary::plain(1e4)
    };
    let yarn = |attention_factor, mscale| Rotary {
        scaling: Some(RotaryScaling::Yarn {
            factor: 4.0,
            original_max_position_embeddings: 256,
            attention_factor,
            beta_fast: 16.0,
            beta_slow: 2.0,
            mscale,
            mscale_all_dim: mscale,
            truncate: mscale.is_none(),
        }),
        ..Rotary::plain(1e4)
    };
    let turned = |family, rotary| DecoderConfig {
        positions: Positions::Rotary(rotary),
        ..of(family)
    };
    vec![
        DecoderConfig {
            activation: Activation::Gelu,
            eos: Some(3),
            ..of(Family::Gpt2)
        },
        DecoderConfig {
            qkv_bias: true,
            out_bias: true,
            mlp_bias: true,
            eos: Some(1),
            other_eos: vec![2, 3],
            activation: Activation::GeGlu,
            positions: Positions::Rotary(Rotary {
                scaling: Some(RotaryScaling::Llama3 {
                    factor: 8.0,
                    low_freq_factor: 1.0,
                    high_freq_factor: 4.0,
                    original_max_position_embeddings: 64,
                }),
                ..Rotary::plain(5e5)
            }),
            ..of(Family::Llama)
        },
        DecoderConfig {
            sliding_window: Some(5),
            kv_heads: 2,
            ..of(Family::Mistral)
        },
        DecoderConfig {
            sliding_window: Some(5),
            tied: true,
            pad: Some(0),
            ..of(Family::Qwen2)
        },
        DecoderConfig {
            sliding_window: Some(5),
            sliding_layers: Some(vec![true, false]),
            qkv_bias: true,
            out_bias: true,
            head_dim: 10,
            ..of(Family::Qwen3)
        },
        turned(Family::Phi3, longrope),
        DecoderConfig {
            sliding_window: Some(7),
            pad: Some(5),
            ..of(Family::Phi3)
        },
        DecoderConfig {
            rotary_layers: Some(vec![false, true]),
            sliding_window: Some(9),
            sliding_layers: Some(vec![true, false]),
            ..of(Family::SmolLm3)
        },
        turned(Family::Olmo2, yarn(None, Some(0.5))),
        DecoderConfig {
            parallel: false,
            qkv_bias: false,
            out_bias: false,
            activation: Activation::GeluTanh,
            ..turned(Family::GptNeoX, yarn(Some(1.5), None))
        },
        DecoderConfig {
            sliding_layers: Some(vec![false, false]),
            attn_soft_cap: None,
            final_soft_cap: Some(2.5),
            query_pre_attn_scalar: Some(9),
            ..of(Family::Gemma2)
        },
        DecoderConfig {
            sliding_rotary: Some(Rotary {
                scaling: Some(RotaryScaling::Dynamic { factor: 2.0 }),
                ..Rotary::plain(7.0)
            }),
            final_soft_cap: Some(2.5),
            ..of(Family::Gemma3)
        },
    ]
}

#[test]
fn what_is_written_reads_back() {
    let plain = Family::ALL.map(|family| DecoderConfig::new(family, 97, 32, 3, 4));
    for config in plain.into_iter().chain(varied()) {
        assert_eq!(config.validate(), Vec::<String>::new());
        let mut value = to_json(&config, "float32");
        assert_eq!(parse(&value).unwrap(), config);
        // A reader of one spelling only sees the same model; the older one has no scaling for layers that slide.
        let newer = config
            .sliding_rotary
            .as_ref()
            .is_some_and(|it| it.scaling.is_some());
        for key in ["rope_parameters", "rope_scaling"] {
            let removed = value.as_object_mut().unwrap().shift_remove(key);
            if !(newer && key == "rope_parameters") {
                assert_eq!(parse(&value).unwrap(), config);
            }
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
