//! Decoders with adapters beside weights that are not trained.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Result, bail};
use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{DType, Tensor, TensorData};

use crate::model::decoder::Decoder;
use crate::model::linear::{Adapter, Linear};
use crate::model::lora::{AdapterValues, LoraConfig, Site};
use crate::ops::{LowRank, Packed, lengths};

impl<B: Backend> Decoder<B> {
    /// The linear maps of all blocks, by name.
    fn linears(&mut self) -> impl Iterator<Item = (String, &mut Linear<B>)> {
        let blocks = self.blocks.iter_mut().enumerate();
        blocks.flat_map(|(index, block)| {
            let linears = block.linears().into_iter();
            linears.map(move |(name, linear)| (format!("blocks.{index}.{name}"), linear))
        })
    }

    /// The same model, of which nothing is trained but adapters with those values, and the modules that are trained whole.
    ///
    /// # Errors
    /// Those of [`LoraConfig::sites`], and whatever `values` fails with.
    pub fn with_adapters(
        self,
        lora: &LoraConfig,
        mut values: impl FnMut(&Site) -> Result<AdapterValues>,
    ) -> Result<Self> {
        let mut sites = lora.sites(&self.config)?.into_iter().peekable();
        let device = self.embed.val().device();
        let mut model = self.tracked(false);
        let trained = |param: Param<Tensor<B, 2>>| param.set_require_grad(true);
        for name in lora.whole() {
            match name {
                "embed" => model.embed = trained(model.embed),
                _ => model.head = model.head.map(trained),
            }
        }
        for (name, linear) in model.linears() {
            while let Some(site) = sites.next_if(|site| site.linear == name) {
                let values = values(&site)?;
                let adapter = adapter(linear, &site, lora, values, &device);
                linear.adapters.push(adapter);
            }
        }
        if let Some(site) = sites.next() {
            bail!(
                "{}: not a linear map of the model as it is held",
                site.linear
            );
        }
        Ok(model)
    }

    /// The same model, none or all of whose parameters are trained.
    pub fn tracked(self, tracked: bool) -> Self {
        self.map(&mut Track(tracked))
    }

    /// The same model, the linear maps of that name held in fewer bits.
    pub fn with_packed(mut self, mut packed: BTreeMap<String, Arc<Packed>>) -> Self {
        for (name, linear) in self.linears() {
            linear.packed = packed.remove(&name);
        }
        self
    }

    /// The same weights without what adapters add; they share their values.
    pub fn without_adapters(mut self) -> Self {
        self.linears()
            .for_each(|(_, linear)| linear.adapters.clear());
        self
    }

    /// The same model with its adapters taken into its weights, in f32.
    pub fn merged(mut self) -> Self {
        self.linears().for_each(|(_, linear)| linear.merge());
        self
    }

    /// The same model, whose adapters see what `seed` draws of their inputs: for one pass of training, forward and
    /// backward. Nothing where none of them drops any.
    pub fn dropped(&self, seed: u64) -> Option<Self> {
        let mut model = self.clone();
        let mut drops = false;
        for (place, (_, linear)) in model.linears().enumerate() {
            for (index, adapter) in linear.adapters.iter_mut().enumerate() {
                let own = ((place as u64) << 8) | index as u64;
                adapter.drawn = Some(seed ^ own.wrapping_mul(0xd6e8_feb8_6659_fd93));
                drops |= adapter.dropout > 0.0;
            }
        }
        drops.then_some(model)
    }
}

impl<B: AutodiffBackend> Decoder<B> {
    /// The same values, those that are trained in parameters of their own; the others are shared.
    pub fn with_own_parameters(self) -> Self {
        self.map(&mut Own)
    }
}

/// Gives what is trained an identity and a place in the graph of its own.
struct Own;

impl<B: AutodiffBackend> ModuleMapper<B> for Own {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        match param.val().is_require_grad() {
            true => {
                let value = Tensor::from_inner(param.val().inner());
                Param::initialized(ParamId::new(), value.require_grad())
            }
            false => param,
        }
    }
}

fn adapter<B: Backend>(
    linear: &Linear<B>,
    site: &Site,
    lora: &LoraConfig,
    values: AdapterValues,
    device: &B::Device,
) -> Adapter<B> {
    let outputs = site.columns.len();
    fn parameter<B: Backend, const D: usize>(
        values: Vec<f32>,
        shape: [usize; D],
        device: &B::Device,
    ) -> Param<Tensor<B, D>> {
        let tensor = Tensor::from_data(TensorData::new(values, shape), (device, DType::F32));
        Param::initialized(ParamId::new(), tensor.require_grad())
    }
    let a = parameter(values.a, [site.inputs, site.rank], device);
    let b = parameter(values.b, [site.rank, outputs], device);
    let magnitude = lora.use_dora.then(|| match values.magnitude {
        Some(magnitude) => parameter(magnitude, [outputs], device),
        None => {
            let low = LowRank {
                a: a.val(),
                b: b.val(),
                magnitude: None,
                start: site.columns.start,
                scale: site.scale,
                dropout: None,
            };
            let own = linear.dense().narrow(1, site.columns.start, outputs);
            let lengths = lengths(own, &low).squeeze_dim::<1>(0);
            Param::initialized(ParamId::new(), lengths.detach().require_grad())
        }
    });
    Adapter {
        a,
        b,
        magnitude,
        start: site.columns.start,
        scale: site.scale,
        dropout: lora.lora_dropout,
        drawn: None,
    }
}

/// Takes parameters into training, or out of it.
struct Track(bool);

impl<B: Backend> ModuleMapper<B> for Track {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        param.set_require_grad(self.0)
    }
}
