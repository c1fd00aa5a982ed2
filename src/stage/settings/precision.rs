//! In what precision a stage computes its models, and in what type it saves them.

use crate::backend;
use crate::engine::Device;
use crate::model::decoder::Precision;
use crate::model::hf;
use crate::stage::settings::keys::Keys;

/// The key `bf16`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bf16(Option<bool>);

impl Bf16 {
    /// Reads the key.
    pub fn read(keys: &mut Keys<'_>) -> Self {
        Self(
            keys.doc("compute in bf16 with f32 weights and moments; where left out, on cuda only")
                .optional_bool("bf16"),
        )
    }

    /// What is computed in on the backend of that name.
    pub fn planned(self, backend: &str) -> Precision {
        match self.0.unwrap_or(backend::prefers_bf16(backend)) {
            true => Precision::Bf16,
            false => Precision::F32,
        }
    }

    /// Where models are computed without gradients.
    pub fn device(self, backend: &str) -> Device<'_> {
        Device::new(backend, self.planned(backend))
    }
}

/// The key `save_dtype`: in what type a stage saves the weights of its model.
#[derive(Clone, Copy, Debug, Default)]
pub struct SavedAs(pub Option<hf::Precision>);

impl SavedAs {
    /// Reads the key.
    pub fn read(keys: &mut Keys<'_>) -> Self {
        Self(
            keys.doc("type of the saved weights; auto: the one that the model it starts from is stored in")
                .one_of(
                    "save_dtype",
                    "auto",
                    &[
                        ("auto", None),
                        ("float32", Some(hf::Precision::F32)),
                        ("bfloat16", Some(hf::Precision::Bf16)),
                        ("float16", Some(hf::Precision::F16)),
                    ],
                ),
        )
    }
}
