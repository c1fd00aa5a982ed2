//! What a step is made of: tokenised examples, and the order in which they are drawn.

use burn::tensor::{Tensor, TensorData, backend::Backend};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::model::forest::{Branch, Forest};
use crate::objective::Objective;

/// One token sequence, scored from `scored_from` on.
#[derive(Clone, Debug, PartialEq)]
pub struct Sequence {
    pub tokens: Vec<u32>,
    pub scored_from: usize,
}

impl Sequence {
    /// Number of scored tokens.
    pub fn scored(&self) -> usize {
        self.tokens.len() - self.scored_from
    }
}

/// A tokenised example: as many sequences as its objective has branches.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainExample {
    pub sequences: Vec<Sequence>,
    /// The reference model's summed log-probs, one a sequence; empty where none is needed.
    pub reference: Vec<f32>,
}

/// Columns that a row of trees may have. Wide rows are full rows; backends without a fused kernel
/// keep scores of its square a row, which is what this bounds.
const ROW_WIDTH: usize = 4096;

/// What batches cost, counted in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Tokens computed, each once, filling left out.
    pub computed_tokens: usize,
    /// Cells of the rows that hold them, filling included.
    pub cells: usize,
    /// Tokens of the sequences one by one.
    pub unshared_tokens: usize,
    /// Tokens of the sequences, each padded to the longest of its micro-batch.
    pub padded_tokens: usize,
}

impl Cost {
    /// Share of the rows' cells that are tokens.
    pub fn rows_filled(&self) -> f64 {
        self.computed_tokens as f64 / self.cells.max(1) as f64
    }

    /// Adds what a batch costs.
    pub fn add(&mut self, forest: &Forest) {
        self.computed_tokens += forest.computed;
        self.cells += forest.rows * forest.width;
        self.unshared_tokens += forest.unshared;
        self.padded_tokens += forest.padded;
    }
}

/// Examples and how they are drawn.
#[derive(Clone, Debug, Default)]
pub struct Dataset {
    pub examples: Vec<TrainExample>,
    /// What a batch is counted in: single examples, or all examples of one dialogue.
    pub units: Vec<Vec<usize>>,
    /// Draw units in a new order each epoch; else in file order.
    pub shuffle: bool,
}

impl Dataset {
    /// The units of one epoch cut into micro-batches of `size` units.
    pub fn micro_batches(&self, epoch: usize, seed: u64, size: usize) -> Vec<Vec<usize>> {
        let mut order: Vec<usize> = (0..self.units.len()).collect();
        if self.shuffle {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(epoch as u64 + 1);
            order.shuffle(&mut rng);
        }
        order.chunks(size).map(<[usize]>::to_vec).collect()
    }

    /// Lays out some units as a batch.
    pub fn batch(&self, units: &[usize], objective: &Objective) -> Batch {
        let mut reference = Vec::new();
        let mut normaliser = 0;
        let trees: Vec<Vec<Branch>> = units
            .iter()
            .map(|&unit| {
                let examples = self.units[unit].iter().map(|&i| &self.examples[i]);
                examples
                    .flat_map(|example| {
                        reference.extend(&example.reference);
                        let scored = example.sequences.iter().map(Sequence::scored).sum();
                        normaliser += objective.weight(scored);
                        example.sequences.iter().map(|s| Branch {
                            tokens: &s.tokens,
                            scored_from: s.scored_from,
                        })
                    })
                    .collect()
            })
            .collect();
        Batch {
            forest: Forest::pack(&trees, ROW_WIDTH),
            reference,
            normaliser,
        }
    }
}

/// A micro-batch, laid out.
pub struct Batch {
    pub forest: Forest,
    reference: Vec<f32>,
    /// What this batch adds to its step's normaliser.
    pub normaliser: usize,
}

impl Batch {
    /// Reference log-probs on the device, `[branches]`; none where the examples carry none.
    pub fn reference<B: Backend>(&self, device: &B::Device) -> Option<Tensor<B, 1>> {
        (!self.reference.is_empty()).then(|| {
            let size = self.reference.len();
            Tensor::from_data(TensorData::new(self.reference.clone(), [size]), device)
        })
    }
}
