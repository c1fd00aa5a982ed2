//! What a step is made of: tokenised examples, and the order in which they are drawn.

use burn::tensor::{Tensor, TensorData, backend::Backend};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::model::forest::{Branch, Forest};
use crate::objective::{Branches, Normaliser, Objective, desensitised};
use crate::train::{Examples, TrainSettings, Units};

/// Columns that a row of trees may have. Wide rows are full rows; backends without a fused kernel
/// keep scores of its square a row, which is what this bounds.
pub(super) const ROW_WIDTH: usize = 4096;

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
#[derive(Debug, Default)]
pub struct Dataset {
    pub examples: Examples,
    /// What a batch is counted in.
    pub units: Units,
    /// Draw units in a new order each epoch; else in file order.
    pub shuffle: bool,
}

impl Dataset {
    /// The units of one epoch cut into micro-batches of `size` units.
    pub fn micro_batches(&self, epoch: usize, seed: u64, size: usize) -> Vec<Vec<usize>> {
        let order = self.order(epoch, seed);
        order.chunks(size).map(indices).collect()
    }

    /// The micro-batches of each optimizer step, from step `first` (counted from 0) to the last.
    pub fn steps(
        &self,
        settings: &TrainSettings,
        seed: u64,
        first: usize,
    ) -> impl Iterator<Item = Vec<Vec<usize>>> {
        let units = self.units.len();
        let (per_epoch, total) = (settings.steps_per_epoch(units), settings.steps(units));
        let micro = settings.per_device_train_batch_size;
        let size = micro.saturating_mul(settings.gradient_accumulation_steps);
        let mut order = (usize::MAX, Vec::new());
        (first..total).map(move |step| {
            let (epoch, start) = (step / per_epoch, step % per_epoch * size);
            if order.0 != epoch {
                order = (epoch, self.order(epoch, seed));
            }
            let drawn = &order.1[start..units.min(start.saturating_add(size))];
            drawn.chunks(micro).map(indices).collect()
        })
    }

    /// The units that training draws at all, in order: fewer than there are where `max_steps` ends it
    /// within the first epoch.
    pub fn drawn(&self, settings: &TrainSettings, seed: u64) -> Vec<usize> {
        let mut drawn = vec![false; self.units.len()];
        let epoch = settings.steps_per_epoch(self.units.len());
        for unit in self
            .steps(settings, seed, 0)
            .take(epoch)
            .flatten()
            .flatten()
        {
            drawn[unit] = true;
        }
        (0..drawn.len()).filter(|&unit| drawn[unit]).collect()
    }

    /// Cuts `units` into batches of about `tokens` computed tokens.
    pub fn by_tokens(&self, units: &[usize], tokens: usize) -> impl Iterator<Item = Vec<usize>> {
        let mut units = units.iter().copied().peekable();
        std::iter::from_fn(move || {
            let first = units.next()?;
            let mut room = tokens.saturating_sub(self.unit_tokens(first));
            let mut batch = vec![first];
            while let Some(unit) = units.next_if(|&unit| self.unit_tokens(unit) <= room) {
                room -= self.unit_tokens(unit);
                batch.push(unit);
            }
            Some(batch)
        })
    }

    /// About the tokens of a unit's tree: its longest prompt, of which the others are a part where a unit
    /// is a dialogue, and every completion.
    fn unit_tokens(&self, unit: usize) -> usize {
        let members = self.units.members(unit);
        let branches = members.flat_map(|example| self.examples.branches(example));
        let (prompt, scored) = branches.fold((0, 0), |(prompt, scored), branch| {
            (branch.scored_from.max(prompt), scored + branch.scored())
        });
        prompt + scored
    }

    /// What the whole set's loss is divided by.
    pub fn normaliser(&self, objective: &Objective) -> Normaliser {
        let examples = 0..self.examples.len();
        examples
            .map(|example| {
                let first = self.examples.branches(example).next();
                self.counts(example, first.as_ref(), objective)
            })
            .sum()
    }

    /// What an example adds to its step's normaliser, given its first branch.
    fn counts(
        &self,
        example: usize,
        first: Option<&Branch<'_>>,
        objective: &Objective,
    ) -> Normaliser {
        Normaliser {
            examples: 1,
            tokens: first.map_or(0, Branch::scored),
            weight: objective.weight(self.examples.targets(example)),
        }
    }

    /// The order in which an epoch draws the units.
    fn order(&self, epoch: usize, seed: u64) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.units.len() as u32).collect();
        if self.shuffle {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(epoch as u64 + 1);
            order.shuffle(&mut rng);
        }
        order
    }

    /// Lays out some units as a batch.
    pub fn batch(&self, units: &[usize], objective: &Objective) -> Batch {
        let mut reference = Vec::new();
        let (mut lengths, mut normaliser) = (Vec::new(), Normaliser::default());
        let (mut desirable, mut targets) = (Vec::new(), Vec::new());
        let trees: Vec<Vec<Branch>> = units
            .iter()
            .map(|&unit| {
                let mut tree = Vec::new();
                for example in self.units.members(unit) {
                    let first = tree.len();
                    tree.extend(self.examples.branches(example));
                    reference.extend(self.examples.reference(example));
                    desirable.extend(self.examples.desirable(example));
                    targets.extend_from_slice(self.examples.targets(example));
                    normaliser += self.counts(example, tree.get(first), objective);
                    lengths.extend(tree[first..].iter().map(|branch| branch.scored() as f32));
                }
                tree
            })
            .collect();
        let mut forest = Forest::pack(&trees, ROW_WIDTH);
        if let Some(alpha) = objective.tail_weight() {
            let branch: Vec<usize> = forest.scored.iter().map(|scored| scored.branch).collect();
            forest.weights = Some(desensitised::token_weights(&branch, alpha));
        }
        Batch {
            forest,
            reference,
            lengths,
            desirable,
            targets,
            normaliser,
        }
    }
}

fn indices(units: &[u32]) -> Vec<usize> {
    units.iter().map(|&unit| unit as usize).collect()
}

/// A micro-batch, laid out.
pub struct Batch {
    pub forest: Forest,
    reference: Vec<f32>,
    lengths: Vec<f32>,
    desirable: Vec<bool>,
    targets: Vec<f32>,
    /// What this batch adds to its step's normaliser.
    pub normaliser: Normaliser,
}

impl Batch {
    /// What the objective reads of this batch, given the policy's [branch values](crate::model::Decoder::branch_values); no reference
    /// where the examples carry none.
    pub fn branches<B: Backend>(&self, policy: Tensor<B, 1>) -> Branches<B> {
        let device = policy.device();
        let on_device = |values: &Vec<f32>| {
            Tensor::from_data(TensorData::new(values.clone(), [values.len()]), &device)
        };
        Branches {
            reference: (!self.reference.is_empty()).then(|| on_device(&self.reference)),
            lengths: on_device(&self.lengths),
            desirable: self.desirable.clone(),
            targets: self.targets.clone(),
            policy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::optimizer::AdamWConfig;
    use crate::train::{Keep, Sequence, TrainExample, Watching, schedule::Schedule};

    fn settings(max_steps: usize) -> TrainSettings {
        TrainSettings {
            learning_rate: 1e-3,
            lr_scheduler_type: Schedule::Linear,
            warmup_ratio: 0.0,
            per_device_train_batch_size: 3,
            gradient_accumulation_steps: 2,
            num_train_epochs: 2,
            max_steps,
            optimizer: AdamWConfig {
                adam_beta1: 0.9,
                adam_beta2: 0.999,
                adam_epsilon: 1e-8,
                weight_decay: 0.0,
                max_grad_norm: 1.0,
            },
            save_steps: 0,
            eval_steps: 0,
            keep: Keep::Last,
            watch: Watching::default(),
        }
    }

    /// Fourteen single examples, whose prompts have 5 tokens and completions 2, 3, 4, 2, ...
    fn set() -> Dataset {
        let example = |i: usize| TrainExample {
            sequences: vec![Sequence {
                tokens: vec![1; 7 + i % 3],
                scored_from: 5,
            }],
            reference: Vec::new(),
        };
        Dataset {
            examples: (0..14).map(example).collect(),
            units: (0..14).map(|i| vec![i]).collect(),
            shuffle: true,
        }
    }

    #[test]
    fn steps_are_the_epochs_micro_batches_wherever_they_begin() {
        let (set, settings) = (set(), settings(0));
        let mut expected = Vec::new();
        for epoch in 0..2 {
            let micro = set.micro_batches(epoch, 9, 3);
            assert_eq!(
                micro.iter().map(Vec::len).collect::<Vec<_>>(),
                [3, 3, 3, 3, 2]
            );
            expected.extend(micro.chunks(2).map(<[Vec<usize>]>::to_vec));
        }
        assert_ne!(expected[0], expected[3], "epochs differ");
        for first in 0..=expected.len() {
            let steps: Vec<_> = set.steps(&settings, 9, first).collect();
            assert_eq!(steps, expected[first..]);
        }
    }

    #[test]
    fn an_epoch_is_counted_in_micro_batches_as_transformers_does() {
        // Five micro-batches, two a step: the third step of an epoch has one.
        let settings = settings(0);
        let epochs: Vec<f64> = (1..=6).map(|step| settings.epoch(step, 14)).collect();
        assert_eq!(epochs, [0.4, 0.8, 1.0, 1.4, 1.8, 2.0]);
    }

    #[test]
    fn steps_larger_than_a_number_can_say_hold_all_there_is() {
        let mut settings = settings(0);
        settings.gradient_accumulation_steps = usize::MAX;
        let steps: Vec<_> = set().steps(&settings, 9, 0).collect();
        assert_eq!(steps.len(), 2);
        assert_eq!(steps[0].concat().len(), 14);
        assert_eq!(settings.epoch(1, 14), 1.0);
        settings.num_train_epochs = usize::MAX;
        settings.gradient_accumulation_steps = 1;
        assert_eq!(settings.steps(14), usize::MAX);
    }

    #[test]
    fn units_that_no_step_draws_are_told_apart() {
        let set = set();
        assert_eq!(set.drawn(&settings(0), 9).len(), 14);
        assert_eq!(set.drawn(&settings(7), 9).len(), 14);
        let mut first: Vec<usize> = set.steps(&settings(2), 9, 0).flatten().flatten().collect();
        first.sort();
        assert_eq!(first.len(), 12);
        assert_eq!(set.drawn(&settings(2), 9), first);
        assert!(Dataset::default().drawn(&settings(2), 9).is_empty());
    }

    #[test]
    fn batches_by_tokens_hold_as_many_units_as_there_is_room_for() {
        let set = set();
        let units: Vec<usize> = (0..7).collect();
        // 7, 8, 9, 7, 8, 9 and 7 tokens.
        assert_eq!(
            set.by_tokens(&units, 24).collect::<Vec<_>>(),
            [vec![0, 1, 2], vec![3, 4, 5], vec![6]]
        );
        assert_eq!(
            set.by_tokens(&units, 23).collect::<Vec<_>>(),
            [vec![0, 1], vec![2, 3], vec![4, 5], vec![6]]
        );
        // A unit that is too large is alone.
        assert_eq!(
            set.by_tokens(&units[..2], 1).collect::<Vec<_>>(),
            [[0], [1]]
        );
    }
}
