//! What several tests share: a backend, and small random models.

use burn::backend::Autodiff;
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use rapport::backend::{DefaultBackend, default_backend};
use rapport::engine::Device;
use rapport::model::config::{DecoderConfig, Family};
use rapport::model::decoder::Precision;
use rapport::model::{Decoder, weights};

/// The backend that the program chooses by default.
pub type Inner = DefaultBackend;
pub type Ad = Autodiff<Inner>;

/// The default backend, computing in f32.
pub fn in_f32() -> Device<'static> {
    Device::new(default_backend(), Precision::F32)
}

/// A model small enough to check by hand, of any family.
pub fn config(family: Family) -> DecoderConfig {
    let one_by_one = [Family::Gpt2, Family::GptNeoX].contains(&family);
    let start = DecoderConfig::new(family, 50, 32, 2, 4);
    let slides = family == Family::Mistral || start.sliding_window.is_some();
    DecoderConfig {
        kv_heads: if one_by_one { 4 } else { 2 },
        intermediate_size: 48,
        max_positions: 64,
        sliding_window: slides.then_some(4),
        eos: Some(0),
        ..start
    }
}

/// A random model with weights large enough for its predictions to differ.
pub fn model<B: Backend>(config: &DecoderConfig, seed: u64, device: &B::Device) -> Decoder<B> {
    weights::assign(
        Decoder::zeros(config, device),
        weights::random(config, 0.3, seed),
    )
}

/// Every weight's gradient, one after the other.
pub fn flatten(model: &Decoder<Ad>, gradients: GradientsParams) -> Vec<f32> {
    struct Flat(GradientsParams, Vec<f32>);
    impl ModuleVisitor<Ad> for Flat {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<Ad, D>>) {
            let gradient = self
                .0
                .get::<Inner, D>(param.id)
                .expect("every weight is used");
            self.1.extend(gradient.into_data().iter::<f32>());
        }
    }
    let mut flat = Flat(gradients, Vec::new());
    model.visit(&mut flat);
    flat.1
}
