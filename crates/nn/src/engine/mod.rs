//! The engine: training, scoring and sampling of models, behind functions that are not generic over a backend.
//!
//! What stands above it names a backend by its name and a model by its folder, and compiles no code of Burn. What it is
//! given and gives back are token ids, plain numbers and weights by name; it knows no text.

mod frozen;
mod merge;
mod open;
mod ppo;
mod rate;
mod train;

use anyhow::{Result, bail};
use burn::tensor::DType;
use burn::tensor::backend::{Backend, DTypeUsage};

use crate::model::decoder::{Compute, Precision};
use crate::model::hf::BaseDtype;

pub use frozen::Frozen;
pub use merge::merge;
pub use open::{Adapted, LoraSettings};
pub use ppo::{PpoModels, Values, ppo};
pub use rate::rate;
pub use train::{Start, Trained, train};

/// On which backend a model is computed, and how.
#[derive(Clone, Copy, Debug)]
pub struct Device<'a> {
    /// The backend's name, as [`crate::backend::BACKENDS`] has it.
    pub backend: &'a str,
    pub compute: Compute,
}

impl<'a> Device<'a> {
    /// A device for passes without gradients, in `precision`.
    pub fn new(backend: &'a str, precision: Precision) -> Self {
        Self {
            backend,
            compute: Compute {
                precision,
                recompute: false,
            },
        }
    }

    /// How models are computed on it.
    ///
    /// # Errors
    /// bf16 asked for where the backend has none.
    fn compute<B: Backend>(&self, device: &B::Device) -> Result<Compute> {
        let usage = B::dtype_usage(device, DType::BF16);
        if self.compute.precision == Precision::Bf16 && !usage.contains(DTypeUsage::Arithmetic) {
            bail!(
                "bf16 = true, but the {} backend cannot compute in bf16; set bf16=false with --set to compute in \
                 f32, or use --backend cuda",
                self.backend
            );
        }
        Ok(self.compute)
    }

    /// Refuses a base in fewer bits than the backend reads.
    ///
    /// # Errors
    /// `int8` or `nf4` on a GPU.
    fn holds(&self, lora: &LoraSettings) -> Result<()> {
        let packed = matches!(lora.base_dtype, Some(BaseDtype::Int8 | BaseDtype::Nf4));
        if packed && !matches!(self.backend, "flex" | "ndarray") {
            bail!(
                "base_dtype: int8 and nf4 are held and widened on the host, which the {} backend would wait for; use \
                 bf16, or --backend flex",
                self.backend
            );
        }
        Ok(())
    }
}
