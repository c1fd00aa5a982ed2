//! Gemma 3's text models (Kamath et al. 2025, arXiv 2503.19786): Gemma 2's blocks with normalised queries and keys in place
//! of capped scores; five layers with a window to each without, each sort with frequencies of its own.

use serde_json::json;

use super::gemma2::{COMMON, begin, fix, read, write};
use super::traits::{Defaults, Traits, but_each, joined, rotary_table};
use crate::model::config::{DecoderConfig, Positions, QkNorm, Rotary};

/// Of so many layers the last does not slide.
const INTERVAL: usize = 6;

/// The base of the layers that slide.
const LOCAL: f64 = 10_000.0;

pub(super) static TRAITS: Traits = Traits {
    name: "gemma3_text",
    classes: ["Gemma3", "Gemma3Text"],
    defaults: Defaults {
        vocab_size: 262_208,
        max_positions: 131_072,
        rope_theta: 1_000_000.0,
        ..COMMON.defaults
    },
    begin: |config| DecoderConfig {
        sliding_layers: Some(but_each(INTERVAL, config.layers)),
        ..begin(config)
    },
    fix: |given| DecoderConfig {
        qk_norm: Some(QkNorm::Head),
        sliding_rotary: Some(
            given
                .sliding_rotary
                .clone()
                .map_or(Rotary::plain(LOCAL), |rotary| Rotary {
                    partial: 1.0,
                    ..rotary
                }),
        ),
        ..fix(given)
    },
    read: |keys, config| {
        let [full, sliding] = keys.rotary_by_layer(
            config,
            [
                ("full_attention", "rope_theta", TRAITS.defaults.rope_theta),
                ("sliding_attention", "rope_local_base_freq", LOCAL),
            ],
        );
        config.positions = Positions::Rotary(full);
        config.sliding_rotary = Some(sliding);
        config.final_soft_cap = keys.soft_cap("final_logit_softcapping", None);
        let ignored = keys.soft_cap("attn_logit_softcapping", None);
        if let Some(cap) = ignored {
            keys.notes.push(format!(
                "attn_logit_softcapping: {cap} does nothing in this family: scores are not capped, as in transformers"
            ));
        }
        let interval = keys.size("sliding_window_pattern", INTERVAL);
        read(keys, config, interval);
    },
    write: |config| {
        let (Positions::Rotary(full), Some(sliding)) = (&config.positions, &config.sliding_rotary)
        else {
            return json!({});
        };
        let rotary = json!({
            "rope_theta": full.theta,
            "rope_local_base_freq": sliding.theta,
            "rope_scaling": full.scaling,
            "rope_parameters": {
                "full_attention": rotary_table(full),
                "sliding_attention": rotary_table(sliding),
            },
        });
        let nothing = json!({"attn_logit_softcapping": null});
        joined([rotary, nothing, write(config)])
    },
    ..COMMON
};
