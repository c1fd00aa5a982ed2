//! In what precision a stage computes its models.

use anyhow::{Result, bail};
use burn::tensor::DType;
use burn::tensor::backend::{Backend, DTypeUsage};

use crate::backend;
use crate::model::decoder::Precision;
use crate::stage::keys::Keys;
use crate::stage::kind::Context;

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

    /// As [`planned`](Self::planned), if the device can.
    ///
    /// # Errors
    /// bf16 asked for where the backend has none.
    pub fn on<B: Backend>(self, context: &Context, device: &B::Device) -> Result<Precision> {
        let precision = self.planned(&context.backend);
        let usage = B::dtype_usage(device, DType::BF16);
        if precision == Precision::Bf16 && !usage.contains(DTypeUsage::Arithmetic) {
            bail!(
                "bf16 = true, but the {} backend cannot compute in bf16; set bf16=false with \
                 --set to compute in f32, or use --backend cuda",
                context.backend
            );
        }
        Ok(precision)
    }
}
