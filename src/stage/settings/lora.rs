//! The keys `lora` and `base_dtype`: what is trained beside weights that are not.

use crate::engine::LoraSettings;
use crate::model::hf::BaseDtype;
use crate::model::lora::Targets;
use crate::stage::settings::keys::{Keys, LARGE, Within};

/// Values of a rank: more has no use.
const RANKS: std::ops::RangeInclusive<usize> = 1..=4096;

/// Reads the keys; nothing where there is no `lora`.
pub fn read(keys: &mut Keys<'_>) -> Option<LoraSettings> {
    keys.variant_by_presence("lora", |keys| Some(given(keys)), |_| None)
}

fn given(keys: &mut Keys<'_>) -> LoraSettings {
    // Always recorded, so that a table without a key is part of the stage's identity too.
    let base_dtype = keys
        .doc(
            "what the frozen weights are held in; auto: f32, or what the adapter that training goes on from was \
             trained beside",
        )
        .one_of(
            "base_dtype",
            "auto",
            &[
                ("auto", None),
                ("f32", Some(BaseDtype::F32)),
                ("bf16", Some(BaseDtype::Bf16)),
                ("int8", Some(BaseDtype::Int8)),
                ("nf4", Some(BaseDtype::Nf4)),
            ],
        );
    let mut keys = keys.table("lora");
    LoraSettings {
        base_dtype,
        r: keys
            .doc("rank; where left out: 16, or the adapter's that training goes on from, as with the others")
            .optional_usize("r", RANKS),
        alpha: keys
            .doc("lora_alpha: adapters are scaled by alpha / r; where left out: 32")
            .optional_float("alpha", Within::above(0.0, LARGE)),
        dropout: keys
            .doc("share of an adapter's input that it does not see in training; where left out: 0")
            .optional_float("dropout", 0.0..1.0),
        targets: keys
            .doc("modules by PEFT's names; where left out: all-linear, every linear map of every block")
            .optional_names("targets")
            .map(|names| match names.as_slice() {
                [one] if one == "all-linear" => Targets::AllLinear,
                _ => Targets::Named(names),
            }),
        rslora: keys
            .doc("scale by alpha / sqrt(r) (arXiv 2312.03732); where left out: false")
            .optional_bool("rslora"),
        dora: keys
            .doc("train the length of each output's weights apart (arXiv 2402.09353); where left out: false")
            .optional_bool("dora"),
    }
}
