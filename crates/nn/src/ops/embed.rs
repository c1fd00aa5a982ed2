//! Looking up rows of an embedding table.

use burn::tensor::{Int, Tensor, TensorData, backend::Backend};

/// The default body of [`Ops::embed`](crate::ops::Ops::embed).
pub fn embed<B: Backend>(table: Tensor<B, 2>, ids: &[u32]) -> Tensor<B, 2> {
    let values: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
    let ids = Tensor::<B, 1, Int>::from_data(TensorData::new(values, [ids.len()]), &table.device());
    table.select(0, ids)
}
