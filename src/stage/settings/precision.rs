//! In what precision a stage computes its models.

use crate::backend;
use crate::engine::Device;
use crate::model::decoder::Precision;
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
