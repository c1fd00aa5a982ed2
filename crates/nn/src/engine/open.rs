//! Models of folders, on a device: whole or with adapters beside a base that is not trained.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use burn::tensor::TensorData;
use burn::tensor::backend::Backend;
use half::bf16;

use crate::model::config::ScoreHead;
use crate::model::decoder::Precision;
use crate::model::hf::{self, BaseDtype, Checkpoint, Slot};
pub use crate::model::lora::Adapted;
use crate::model::lora::{LoraConfig, Site, Targets};
use crate::model::{Decoder, DecoderConfig, weights};
use crate::ops::{Packed, Packing};

/// What a recipe says of adapters. What it leaves out is that of the adapter which training goes on from, or a default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoraSettings {
    pub r: Option<usize>,
    pub alpha: Option<f64>,
    pub dropout: Option<f64>,
    pub targets: Option<Targets>,
    pub rslora: Option<bool>,
    pub dora: Option<bool>,
    /// What the base's weights are held in.
    pub base_dtype: Option<BaseDtype>,
}

impl LoraSettings {
    /// What the adapters of the model in `dir` are, which may be one already. With `head` they are a scoring model's,
    /// whose head is trained whole.
    ///
    /// # Errors
    /// Settings that differ from the adapter that training goes on from; targets that the model does not have.
    pub fn of(
        &self,
        dir: &Path,
        (config, checkpoint): (&DecoderConfig, &Checkpoint),
        head: bool,
    ) -> Result<Adapted> {
        let from = checkpoint.adapter.as_ref();
        let mut lora = match from {
            Some(adapter) => self.going_on(dir, &adapter.lora, config)?,
            None => {
                let plain = LoraConfig::all_linear();
                LoraConfig {
                    r: self.r.unwrap_or(plain.r),
                    lora_alpha: self.alpha.unwrap_or(plain.lora_alpha),
                    lora_dropout: self.dropout.unwrap_or(plain.lora_dropout),
                    use_rslora: self.rslora.unwrap_or(plain.use_rslora),
                    use_dora: self.dora.unwrap_or(plain.use_dora),
                    targets: self.targets.clone().unwrap_or(Targets::AllLinear),
                    ..plain
                }
            }
        };
        if head {
            lora.modules_to_save.push("score".into());
        }
        let held = from.map(|adapter| adapter.base_dtype);
        if let (Some(asked), Some(held)) = (self.base_dtype, held) {
            ensure!(
                asked == held,
                "{}: this adapter was trained on a base in {}; leave base_dtype out, or merge it first (rapport merge)",
                dir.display(),
                held.name()
            );
        }
        lora.sites(config)?;
        Ok(Adapted {
            lora,
            base: from.map_or_else(|| dir.to_path_buf(), |adapter| adapter.base.clone()),
            base_dtype: held.or(self.base_dtype).unwrap_or_default(),
        })
    }

    /// The adapter that training goes on from, where nothing that is asked for differs from it but dropout.
    fn going_on(
        &self,
        dir: &Path,
        from: &LoraConfig,
        config: &DecoderConfig,
    ) -> Result<LoraConfig> {
        // Targets may be written in several ways.
        let other = |targets: &Targets| -> Result<bool> {
            let asked = LoraConfig {
                targets: targets.clone(),
                ..from.clone()
            };
            Ok(asked.sites(config)? != from.sites(config)?)
        };
        let targets = self.targets.as_ref().map(other).transpose()?;
        let differs = [
            ("r", self.r.is_some_and(|it| it != from.r)),
            ("alpha", self.alpha.is_some_and(|it| it != from.lora_alpha)),
            ("targets", targets.unwrap_or(false)),
            (
                "rslora",
                self.rslora.is_some_and(|it| it != from.use_rslora),
            ),
            ("dora", self.dora.is_some_and(|it| it != from.use_dora)),
        ];
        let differs: Vec<&str> = differs.iter().filter(|it| it.1).map(|it| it.0).collect();
        if !differs.is_empty() {
            bail!(
                "{}: is an adapter already (r {}, alpha {}, rslora {}, dora {}), which training goes on from, and lora \
                 says otherwise of {}; leave these keys out, or merge it first (rapport merge)",
                dir.display(),
                from.r,
                from.lora_alpha,
                from.use_rslora,
                from.use_dora,
                differs.join(", ")
            );
        }
        Ok(LoraConfig {
            lora_dropout: self.dropout.unwrap_or(from.lora_dropout),
            ..from.clone()
        })
    }
}

/// Reads a model folder's weights onto a device; an adapter's are applied to its base's at each pass.
///
/// # Errors
/// A folder that cannot be read, or whose weights do not fit its configuration.
pub(super) fn open<B: Backend>(dir: &Path, device: &B::Device) -> Result<Decoder<B>> {
    let (config, checkpoint) = hf::open(dir)?;
    let dtype = checkpoint
        .adapter
        .as_ref()
        .map_or(BaseDtype::F32, |it| it.base_dtype);
    let held = Held(dtype, Widened::All);
    let model = read::<B>(&config, &checkpoint, held, false, device)?;
    beside(model, &checkpoint)
}

/// As [`open`], with the base held in `dtype`, as it is where adapters are trained beside it in `precision`.
pub(super) fn open_held<B: Backend>(
    dir: &Path,
    dtype: BaseDtype,
    precision: Precision,
    device: &B::Device,
) -> Result<Decoder<B>> {
    let (config, checkpoint) = hf::open(dir)?;
    let held = Held(dtype, Widened::of(precision));
    let model = read::<B>(&config, &checkpoint, held, false, device)?;
    beside(model, &checkpoint)
}

/// As [`open`], to be trained whole: an adapter is taken into the weights.
pub(super) fn open_whole<B: Backend>(dir: &Path, device: &B::Device) -> Result<Decoder<B>> {
    let (config, checkpoint) = hf::open(dir)?;
    let Some(adapter) = &checkpoint.adapter else {
        let held = Held(BaseDtype::F32, Widened::All);
        return read::<B>(&config, &checkpoint, held, true, device);
    };
    let held = Held(adapter.base_dtype, Widened::All);
    let model = read::<B>(&config, &checkpoint, held, false, device)?;
    let merged = beside(model, &checkpoint)?.merged();
    Ok(merged.tracked(true))
}

/// The model of a folder with adapters to be trained, those that it has or new ones, and a new scoring head if one is
/// given.
pub(super) fn open_adapted<B: Backend>(
    dir: &Path,
    settings: &LoraSettings,
    head: Option<&ScoreHead>,
    (seed, precision): (u64, Precision),
    device: &B::Device,
) -> Result<(Decoder<B>, Adapted)> {
    let (config, checkpoint) = hf::open(dir)?;
    let adapted = settings.of(dir, (&config, &checkpoint), head.is_some())?;
    let held = Held(adapted.base_dtype, Widened::of(precision));
    let mut model = read::<B>(&config, &checkpoint, held, false, device)?;
    if let Some(head) = head {
        model = model.with_score(head.clone());
    }
    let model = match &checkpoint.adapter {
        Some(_) => model.with_adapters(&adapted.lora, |site| checkpoint.adapter_values(site)),
        None => model.with_adapters(&adapted.lora, LoraConfig::begin(seed)),
    };
    Ok((model?, adapted))
}

/// The adapters of a folder beside its base, none of them trained.
fn beside<B: Backend>(model: Decoder<B>, checkpoint: &Checkpoint) -> Result<Decoder<B>> {
    let Some(adapter) = &checkpoint.adapter else {
        return Ok(model);
    };
    let values = |site: &Site| checkpoint.adapter_values(site);
    Ok(model.with_adapters(&adapter.lora, values)?.tracked(false))
}

/// What weights are held in, and which of them all the same in the f32 values that those bits stand for.
struct Held(BaseDtype, Widened);

#[derive(Clone, Copy)]
enum Widened {
    All,
    /// The table that logits are computed with: every pass would widen the whole of it.
    Head,
    Nothing,
}

impl Widened {
    /// For passes in that precision.
    fn of(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::Head,
            Precision::Bf16 => Self::Nothing,
        }
    }

    fn holds(self, config: &DecoderConfig, slot: &Slot) -> bool {
        let head = if config.tied { "embed" } else { "head" };
        match self {
            Self::All => true,
            Self::Head => config.score.is_none() && slot.name == head,
            Self::Nothing => false,
        }
    }
}

/// The weights of an opened folder.
fn read<B: Backend>(
    config: &DecoderConfig,
    checkpoint: &Checkpoint,
    Held(dtype, widened): Held,
    tracked: bool,
    device: &B::Device,
) -> Result<Decoder<B>> {
    let mut packed = BTreeMap::new();
    let value = |slot: &Slot| -> Result<TensorData> {
        let shape = slot.shape.clone();
        let packing = match dtype {
            BaseDtype::Int8 => Some(Packing::Int8),
            BaseDtype::Nf4 => Some(Packing::Nf4),
            BaseDtype::F32 | BaseDtype::Bf16 => None,
        };
        let matrix = shape.len() == 2;
        let wide = widened.holds(config, slot);
        if let Some(packing) = packing.filter(|_| matrix && slot.name.starts_with("blocks.")) {
            let [inputs, outputs] = [shape[0], shape[1]];
            let values = hf::transpose(&checkpoint.read(slot)?, inputs, outputs);
            let held = Packed::new(&values, [outputs, inputs], packing);
            if wide {
                let values = hf::transpose(&held.values(), outputs, inputs);
                return Ok(TensorData::new(values, shape));
            }
            packed.insert(
                slot.name.trim_end_matches(".weight").to_owned(),
                Arc::new(held),
            );
            return Ok(TensorData::new(Vec::<f32>::new(), [0, 0]));
        }
        if dtype == BaseDtype::F32 || !matrix {
            return Ok(TensorData::new(checkpoint.read(slot)?, shape));
        }
        let values = checkpoint.read_as::<bf16>(slot)?;
        Ok(match wide {
            true => {
                let widened: Vec<f32> = values.into_iter().map(bf16::to_f32).collect();
                TensorData::new(widened, shape)
            }
            false => TensorData::new(values, shape),
        })
    };
    let model = weights::fill(Decoder::zeros(config, device), tracked, value)?;
    Ok(model.with_packed(packed))
}
