//! How fast a backend multiplies matrices of a model's shapes.

use std::time::{Duration, Instant};

use anyhow::Result;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use crate::backend::{self, Work};
use crate::engine::Device;
use crate::model::DecoderConfig;
use crate::model::decoder::Precision;
use crate::ops::TrainBackend;

/// Tokens of one product.
const ROWS: usize = 1024;

/// How often it is measured, the first products not counted: the fastest counts, since what else runs on the machine
/// can only slow it down.
const TIMES: usize = 6;

/// For how long each time.
const MEASURED: Duration = Duration::from_millis(150);

/// Floating-point operations a second, an addition and a multiplication counted as two, of the first product of the
/// model's feed-forward layers over 1,024 tokens, in the device's precision.
///
/// # Errors
/// A backend that this build lacks or that has no such precision.
pub fn rate(device: Device<'_>, config: &DecoderConfig) -> Result<f64> {
    struct Products<'a>(Device<'a>, [usize; 2]);
    impl Work for Products<'_> {
        type Output = Result<f64>;
        fn run<B: TrainBackend>(self, device: &B::Device) -> Self::Output {
            let precision = self.0.compute::<B::InnerBackend>(device)?.precision;
            let [hidden, up] = self.1;
            let ones = |shape| {
                let ones = Tensor::<B::InnerBackend, 2>::ones(shape, device);
                match precision {
                    Precision::F32 => ones,
                    Precision::Bf16 => ones.cast(burn::tensor::DType::BF16),
                }
            };
            let (tokens, weight) = (ones([ROWS, hidden]), ones([hidden, up]));
            let once = || -> Result<()> {
                drop(tokens.clone().matmul(weight.clone()));
                Ok(B::InnerBackend::sync(device)?)
            };
            // The first chooses a kernel, where there are several.
            once()?;
            once()?;
            let mut fastest = 0.0_f64;
            for _ in 0..TIMES {
                let (begun, mut products) = (Instant::now(), 0);
                while begun.elapsed() < MEASURED {
                    once()?;
                    products += 1;
                }
                fastest = fastest.max(f64::from(products) / begun.elapsed().as_secs_f64());
            }
            Ok(2.0 * (ROWS * hidden * up) as f64 * fastest)
        }
    }
    let shape = [config.hidden_size, config.up_size()];
    backend::dispatch(device.backend, Products(device, shape))?
}
