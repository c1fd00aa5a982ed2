//! An adapter taken into its base's weights.

use std::path::Path;

use anyhow::Result;

use crate::backend::{self, Work};
use crate::engine::open::open;
use crate::engine::train::Trained;
use crate::ops::TrainBackend;

/// The model of an adapter's folder with the adapter in its weights.
///
/// # Errors
/// As [`Frozen::open`](super::Frozen::open).
pub fn merge(backend: &str, dir: &Path) -> Result<Trained> {
    struct Merge<'a>(&'a Path);
    impl Work for Merge<'_> {
        type Output = Result<Trained>;
        fn run<B: TrainBackend>(self, device: &B::Device) -> Self::Output {
            let model = open::<B::InnerBackend>(self.0, device)?;
            Ok(Trained::new(model.merged(), None))
        }
    }
    backend::dispatch(backend, Merge(dir))?
}
