//! Log-probabilities of scored tokens, and their sums by branch.

use burn::tensor::{IndexingUpdateOp, Int, Tensor, TensorData, backend::Backend};

/// The default body of [`Ops::token_logps`](crate::ops::Ops::token_logps).
pub(super) fn token_logps<B: Backend>(
    hidden: Tensor<B, 2>,
    head: Tensor<B, 2>,
    targets: &[u32],
) -> Tensor<B, 1> {
    let ids: Vec<i32> = targets.iter().map(|&t| t as i32).collect();
    let targets: Tensor<B, 2, Int> =
        Tensor::from_data(TensorData::new(ids, [targets.len(), 1]), &hidden.device());
    let logits = hidden.matmul(head.transpose());
    // Subtracting the largest logit changes neither value nor gradient; it only keeps exp finite.
    let largest = logits.clone().detach().max_dim(1);
    let shifted = logits.sub(largest);
    let picked = shifted.clone().gather(1, targets);
    picked
        .sub(shifted.exp().sum_dim(1).log())
        .squeeze_dim::<1>(1)
}

/// Sums `logps` by branch.
///
/// # Shapes
///
/// - `logps`: `[scored]`, `branch`: `[scored]` with values below `branches`
/// - output: `[branches]`
pub fn branch_sums<B: Backend>(
    logps: Tensor<B, 1>,
    branch: Tensor<B, 1, Int>,
    branches: usize,
) -> Tensor<B, 1> {
    let device = logps.device();
    Tensor::zeros([branches], &device).select_assign(0, branch, logps, IndexingUpdateOp::Add)
}

/// The default body of [`Ops::logits`](crate::ops::Ops::logits).
pub(super) fn logits<B: Backend>(hidden: Tensor<B, 2>, head: Tensor<B, 2>, into: &mut Vec<f32>) {
    let logits = hidden.matmul(head.transpose()).into_data().convert::<f32>();
    into.clear();
    into.extend(logits.iter::<f32>());
}
