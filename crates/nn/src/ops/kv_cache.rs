//! The key-value cache of a whole decoder.

use burn::tensor::{DType, Tensor, backend::Backend};

use crate::ops::{CacheView, LayerCache, Ops};

/// The caches of all layers of a decoder.
#[derive(Debug)]
pub struct KvCache<B: Backend>(Vec<Option<LayerCache<B>>>);

impl<B: Ops> KvCache<B> {
    /// Room for `slots` tokens in each of `layers` layers.
    pub fn new(
        layers: usize,
        [kv_heads, slots, head_dim]: [usize; 3],
        dtype: DType,
        device: &B::Device,
    ) -> Self {
        let zeros = || B::cache_zeros([kv_heads, slots, head_dim], dtype, device);
        let layer = || LayerCache {
            key: zeros(),
            value: zeros(),
        };
        Self((0..layers).map(|_| Some(layer())).collect())
    }

    /// [`Ops::cache_write`] into one layer.
    ///
    /// # Panics
    ///
    /// If there is no such layer.
    pub fn write(&mut self, layer: usize, qkv: Tensor<B, 3>, view: &CacheView<'_>) {
        // Taken out, so that the kernel holds the only reference and need not copy.
        let held = self.0[layer].take().expect("put back after each write");
        self.0[layer] = Some(B::cache_write(held, qkv, view));
    }

    /// [`Ops::cache_attention`] over one layer.
    ///
    /// # Panics
    ///
    /// If there is no such layer.
    pub fn attend(&self, layer: usize, qkv: Tensor<B, 3>, view: &CacheView<'_>) -> Tensor<B, 3> {
        let layer = self.0[layer].as_ref().expect("put back after each write");
        B::cache_attention(layer, qkv, view)
    }
}
