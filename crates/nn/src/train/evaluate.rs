//! Scoring without gradients: validation, and reference log-probs.

use crate::model::Decoder;
use crate::objective::{Objective, Running, Shared, Totals};
use crate::ops::Ops;
use crate::train::prefetch::ahead;
use crate::train::{Dataset, Evaluation};

/// Loss and accuracy over a whole set, `batch` units at a time, with what the objective has kept from its
/// training (`running`). `step` is left 0.
pub fn evaluate<B: Ops>(
    model: &Decoder<B>,
    set: &Dataset,
    objective: &Objective,
    batch: usize,
    running: &Running,
) -> Evaluation {
    let normaliser = set.normaliser(objective);
    let mut found = Vec::new();
    let batches = chunks(set, batch).map(|units| set.batch(&units, objective));
    ahead(batches, |batches| {
        for batch in batches {
            let policy = model.branch_values(&batch.forest);
            found.push(batch.branches(policy));
        }
    });
    let statistics = found.iter().map(|branches| objective.statistics(branches));
    let shared = Shared::new(&statistics.sum(), running);
    let mut totals = Totals::default();
    for branches in &found {
        totals.add(objective.loss(branches, &normaliser, &shared));
    }
    Evaluation {
        step: 0,
        loss: totals.loss,
        accuracy: objective
            .accuracy()
            .and_then(|name| totals.mean(name))
            .unwrap_or(0.0),
    }
}

/// Summed log-prob of every sequence of every example, example by example; nothing once `done`, told
/// how many units are complete, says not to go on.
pub fn branch_logps<B: Ops>(
    model: &Decoder<B>,
    set: &Dataset,
    objective: &Objective,
    batch: usize,
    done: impl FnMut(usize) -> bool,
) -> Option<Vec<Vec<f32>>> {
    let logps = unit_values(model, set, objective, chunks(set, batch), done)?;
    let of = |example| logps[set.examples.range(example)].to_vec();
    Some((0..set.examples.len()).map(of).collect())
}

/// What the model says of the sequences of the units of `batches`, see
/// [`branch_values`](Decoder::branch_values), sequence by sequence; NaN for those of other units, nothing
/// as in [`branch_logps`].
pub fn unit_values<B: Ops>(
    model: &Decoder<B>,
    set: &Dataset,
    objective: &Objective,
    batches: impl Iterator<Item = Vec<usize>> + Send,
    mut done: impl FnMut(usize) -> bool,
) -> Option<Vec<f32>> {
    let each = model.values_per_branch();
    let mut found = vec![f32::NAN; each * set.examples.sequences()];
    let mut complete = 0;
    let laid = batches.map(|units| {
        let batch = set.batch(&units, objective);
        (units, batch)
    });
    ahead(laid, |laid| {
        for (units, batch) in laid {
            let values = model.branch_values(&batch.forest).into_data();
            let mut values = values.iter::<f32>();
            for example in units.iter().flat_map(|&unit| set.units.members(unit)) {
                let range = set.examples.range(example);
                let places = &mut found[each * range.start..each * range.end];
                places
                    .iter_mut()
                    .zip(&mut values)
                    .for_each(|(place, value)| *place = value);
            }
            complete += units.len();
            if !done(complete) {
                return None;
            }
        }
        Some(found)
    })
}

/// All units, `size` at a time.
fn chunks(set: &Dataset, size: usize) -> impl Iterator<Item = Vec<usize>> {
    let units = set.units.len();
    let starts = (0..units).step_by(size);
    starts.map(move |start| (start..units.min(start + size)).collect())
}
