//! Tensors as the kernels read and write them: contiguous f32 on the host.

use std::marker::PhantomData;

use burn::tensor::{DType, FloatDType, Tensor, TensorData};
use burn_flex::{Flex, FlexTensor};

/// What is bf16 as f32, which the cache is kept in.
pub(super) fn widened<const D: usize>(x: Tensor<Flex, D>) -> Tensor<Flex, D> {
    match x.dtype() {
        DType::BF16 => x.cast(FloatDType::F32),
        _ => x,
    }
}

/// The inputs made contiguous, if all are f32: what the kernels read.
pub(super) fn plain<const N: usize>(inputs: [FlexTensor; N]) -> Option<[FlexTensor; N]> {
    let f32s = inputs.iter().all(|input| input.dtype() == DType::F32);
    f32s.then(|| inputs.map(|input| input.to_contiguous()))
}

/// Row-major values in the shape of `tensor`.
pub(super) fn like(tensor: &FlexTensor, values: Vec<f32>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, tensor.layout().shape().clone()))
}

/// A primitive from row-major values.
pub(super) fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

/// The values of a contiguous f32 tensor.
pub(super) fn values(tensor: &FlexTensor) -> &[f32] {
    tensor
        .as_slice()
        .expect("made contiguous and checked to be f32 before")
}

/// A buffer of which threads write disjoint parts.
#[derive(Clone, Copy)]
pub(super) struct Shared<'a> {
    start: *mut f32,
    length: usize,
    owner: PhantomData<&'a mut [f32]>,
}

// SAFETY: `slice` demands that parts do not overlap.
unsafe impl Send for Shared<'_> {}
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    pub(super) fn new(buffer: &'a mut [f32]) -> Self {
        Self {
            start: buffer.as_mut_ptr(),
            length: buffer.len(),
            owner: PhantomData,
        }
    }

    /// # Safety
    ///
    /// No other live slice may overlap this one.
    pub(super) unsafe fn slice(self, from: usize, length: usize) -> &'a mut [f32] {
        assert!(from + length <= self.length, "a part of the buffer");
        unsafe { std::slice::from_raw_parts_mut(self.start.add(from), length) }
    }
}
