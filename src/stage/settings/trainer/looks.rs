//! When a run is looked at, and what comes of it: validation, the best weights, early stopping, by transformers' names.

use crate::stage::settings::keys::{COUNT, Keys};
use crate::train::{Keep, Watching};

/// Defaults that differ between objectives; they are TRL's.
pub struct Defaults {
    pub learning_rate: f64,
    pub best: &'static str,
    pub choices: &'static [(&'static str, Keep)],
}

/// When to look, and what for.
pub struct Looks {
    /// Steps between looks; 0 looks after each epoch.
    pub steps: usize,
    /// Whether the validation split is looked at.
    pub validates: bool,
    pub keep: Keep,
    pub watch: Watching,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Strategy {
    No,
    Steps,
    Epoch,
}

impl Looks {
    /// Reads the keys.
    pub fn read(keys: &mut Keys<'_>, defaults: &Defaults) -> Self {
        let strategy = keys
            .doc("when to validate; left out, eval_steps says it")
            .optional_one_of(
                "eval_strategy",
                &[
                    ("no", Strategy::No),
                    ("steps", Strategy::Steps),
                    ("epoch", Strategy::Epoch),
                ],
            );
        let steps = keys
            .doc("steps between validations; 0: after each epoch")
            .usize("eval_steps", 0, 0..=COUNT);
        match strategy {
            Some(Strategy::Steps) if steps == 0 => keys.problem(
                "eval_steps",
                "eval_strategy = \"steps\" needs it: how many steps lie between validations",
            ),
            Some(Strategy::No | Strategy::Epoch) if steps > 0 => keys.problem(
                "eval_steps",
                "goes with eval_strategy = \"steps\" alone; set that or remove the key",
            ),
            _ => {}
        }
        let validates = strategy != Some(Strategy::No);
        let chosen = keys.has("metric_for_best_model");
        let mut keep = keys.one_of("metric_for_best_model", defaults.best, defaults.choices);
        if !validates && matches!(keep, Keep::BestLoss | Keep::BestAccuracy) {
            if chosen {
                let message = "needs a validation, and eval_strategy is \"no\"";
                keys.problem("metric_for_best_model", message);
            }
            keep = Keep::Last;
        }
        Self {
            steps,
            validates,
            keep,
            watch: watching(keys, keep),
        }
    }
}

fn watching(keys: &mut Keys<'_>, keep: Keep) -> Watching {
    let greater = keys
        .doc("whether the best metric is the greatest; left out, it is that of an accuracy and not that of a loss")
        .optional_bool("greater_is_better");
    let load = keys
        .doc("end with the weights of the best look (left out: true), or with the last ones")
        .optional_bool("load_best_model_at_end");
    let patience = keys
        .doc("end after this many looks in a row at which metric_for_best_model is not better")
        .optional_usize("early_stopping_patience", 1..=COUNT);
    let threshold = keys
        .doc("by more than this a look has to be better than the best before (left out: 0)")
        .optional_float("early_stopping_threshold", 0.0..=1e9);
    // Never more than the newest and the best are kept.
    keys.doc(
        "most saved states that are kept; the newest and the best weights are, whatever it is",
    )
    .optional_usize("save_total_limit", 1..=COUNT);
    if keep == Keep::Last {
        let given = [
            ("greater_is_better", greater.is_some()),
            ("load_best_model_at_end", load == Some(true)),
            ("early_stopping_patience", patience.is_some()),
        ];
        for (key, _) in given.into_iter().filter(|(_, given)| *given) {
            keys.problem(
                key,
                "needs a metric_for_best_model, and here no look decides",
            );
        }
    }
    if threshold.is_some() && patience.is_none() {
        let message = "goes with early_stopping_patience alone; set that or remove the key";
        keys.problem("early_stopping_threshold", message);
    }
    Watching {
        greater_is_better: greater.unwrap_or(keep == Keep::BestAccuracy),
        load_best_model_at_end: load.unwrap_or(true),
        early_stopping_patience: patience.unwrap_or(0),
        early_stopping_threshold: threshold.unwrap_or(0.0),
    }
}
