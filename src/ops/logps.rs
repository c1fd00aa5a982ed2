//! Log-probabilities of scored tokens, and their sums by branch.

use burn::tensor::{IndexingUpdateOp, Int, Tensor, backend::Backend};

/// Log-probability of each target under `softmax(hidden @ head^T)`, reduced in f32.
///
/// # Shapes
///
/// - `hidden`: `[scored, hidden]`, `head`: `[vocabulary, hidden]`, `targets`: `[scored]`
/// - output: `[scored]`
pub fn token_logps<B: Backend>(
    hidden: Tensor<B, 2>,
    head: Tensor<B, 2>,
    targets: Tensor<B, 1, Int>,
) -> Tensor<B, 1> {
    let logits = hidden.matmul(head.transpose());
    // Subtracting the largest logit changes neither value nor gradient; it only keeps exp finite.
    let largest = logits.clone().detach().max_dim(1);
    let shifted = logits.sub(largest);
    let picked = shifted.clone().gather(1, targets.unsqueeze_dim(1));
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
