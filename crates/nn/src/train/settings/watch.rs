//! The best look so far, and early stopping: `EarlyStoppingCallback` and `_determine_best_metric` of transformers 5.24.

use serde::{Deserialize, Serialize};

/// How looks are compared, by the names of transformers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Watching {
    pub greater_is_better: bool,
    /// Whether the run ends with the weights of the best look; with its last ones otherwise.
    pub load_best_model_at_end: bool,
    /// Ends the run after this many looks in a row without an improvement; 0 never does.
    pub early_stopping_patience: usize,
    /// By how much more than this a look has to be better than the best before to be an improvement.
    pub early_stopping_threshold: f64,
}

impl Default for Watching {
    fn default() -> Self {
        Self {
            greater_is_better: false,
            load_best_model_at_end: true,
            early_stopping_patience: 0,
            early_stopping_threshold: 0.0,
        }
    }
}

/// What looks have shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    looks: usize,
    /// The best value so far.
    #[serde(with = "rapport_store::numbers")]
    best: Option<f64>,
    /// How many looks in a row were no improvement.
    without: usize,
}

impl Watch {
    /// Takes in the value of a look; whether it is the best so far. To be that, any difference is enough; to be an
    /// improvement, one above the threshold.
    pub fn look(&mut self, value: f64, watching: &Watching) -> bool {
        let better = match self.best {
            None => !value.is_nan(),
            Some(best) if watching.greater_is_better => value > best,
            Some(best) => value < best,
        };
        let by = self.best.map_or(f64::INFINITY, |best| (value - best).abs());
        let improved = better && by > watching.early_stopping_threshold;
        self.without = match improved || self.looks == 0 {
            true => 0,
            false => self.without + 1,
        };
        self.looks += 1;
        if better {
            self.best = Some(value);
        }
        better
    }

    /// Whether the patience is at its end.
    pub fn ends(&self, watching: &Watching) -> bool {
        let patience = watching.early_stopping_patience;
        patience > 0 && self.without >= patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Case {
        values: Vec<Option<f64>>,
        greater_is_better: bool,
        patience: usize,
        threshold: f64,
        /// After how many looks transformers stops; nothing where it goes on to the end.
        stops: Option<usize>,
        /// Which looks it takes for the best so far.
        best: Vec<usize>,
    }

    /// `scripts/make_stopping_references.py`; a null is a NaN.
    fn cases() -> Vec<Case> {
        let text = include_str!("../../../../../tests/fixtures/stopping.json");
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_run_stops_and_keeps_as_transformers_does() {
        let cases = cases();
        assert!(cases.iter().filter(|it| it.stops.is_some()).count() > 20);
        assert!(cases.iter().filter(|it| it.stops.is_none()).count() > 20);
        for case in cases {
            let watching = Watching {
                greater_is_better: case.greater_is_better,
                early_stopping_patience: case.patience,
                early_stopping_threshold: case.threshold,
                ..Watching::default()
            };
            let (mut watch, mut best, mut stops) = (Watch::default(), Vec::new(), None);
            for (look, value) in (1..).zip(&case.values) {
                // As a run that is killed after each look.
                let saved = serde_json::to_string(&watch).unwrap();
                watch = serde_json::from_str(&saved).unwrap();
                if watch.look(value.unwrap_or(f64::NAN), &watching) {
                    best.push(look);
                }
                if watch.ends(&watching) {
                    stops = Some(look);
                    break;
                }
            }
            let about = format!("{:?} {watching:?}", case.values);
            assert_eq!((stops, best), (case.stops, case.best), "{about}");
        }
    }
}
