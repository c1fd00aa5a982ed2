//! Embedding rows; backward adds them into the gradient that the table already has.

use std::sync::Arc;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops as Step};
use burn::tensor::ops::FloatTensor;
use burn_flex::{Flex, FlexTensor};

use crate::ops::flex::host::{tensor, values};

/// The table's rows at `ids`.
pub(super) fn forward(table: &FlexTensor, ids: &[u32]) -> FlexTensor {
    let size = table.layout().shape()[1];
    let rows = values(table);
    let mut out = Vec::with_capacity(ids.len() * size);
    for &id in ids {
        let at = id as usize * size;
        out.extend_from_slice(&rows[at..at + size]);
    }
    tensor(out, [ids.len(), size])
}

/// Adds each row's gradient to that of its table.
///
/// A tied table has one from the output head by then, as large as itself; adding in place touches
/// only the rows that were read, where a gradient of its own would be written and summed whole.
#[derive(Debug)]
pub(super) struct EmbedBackward;

impl Backward<Flex, 1> for EmbedBackward {
    type State = (FloatTensor<Autodiff<Flex>>, Arc<[u32]>);

    fn backward(self, step: Step<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let grad = gradients.consume::<Flex>(&step.node).to_contiguous();
        let [Some(_)] = step.parents else { return };
        let (table, ids) = step.state;
        let shape = table.primitive.layout().shape().clone();
        let size = shape[1];
        let mut total = match gradients.remove::<Flex>(&table) {
            Some(total) => total.to_contiguous(),
            None => FlexTensor::zeros(shape, table.primitive.dtype()),
        };
        let rows = total.storage_mut::<f32>();
        for (&id, grad) in ids.iter().zip(values(&grad).chunks_exact(size)) {
            let row = &mut rows[id as usize * size..][..size];
            for (total, grad) in row.iter_mut().zip(grad) {
                *total += grad;
            }
        }
        gradients.register::<Flex>(table.node.id, total);
    }
}
