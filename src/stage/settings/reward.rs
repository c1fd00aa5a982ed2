//! Settings of a reward: what scores replies, and what of its scores.

use crate::stage::settings::keys::{Keys, LARGE, StageRef};
use crate::stage::settings::produces::{EXAMPLES, Produces};
use crate::stage::settings::splits::Split;

/// Who rewards.
pub enum RewardSource {
    Model(RewardSettings),
    /// The truth, a control that no real data has: the weighed sum of what the world knows.
    Oracle(Vec<(String, f64)>),
}

impl RewardSource {
    /// Reads the keys.
    pub fn read(keys: &mut Keys<'_>) -> Self {
        keys.doc(
            "who scores replies: a reward model, or, as a control, the oracle of the data's world",
        )
        .variant(
            "rewarded_by",
            "model",
            &[
                ("model", |keys| Self::Model(RewardSettings::read(keys))),
                ("oracle", |keys| {
                    Self::Oracle(weighed(
                        keys,
                        "impressions whose true scores are summed; none in a persona world",
                    ))
                }),
            ],
        )
    }
}

/// Settings of a reward.
pub struct RewardSettings {
    pub model: StageRef,
    /// Outputs of the reward model and what each weighs; none named: its only one.
    pub weights: Vec<(String, f64)>,
    pub deviations: bool,
    pub min_correlation: f64,
    /// What a dull reply loses of its reward.
    pub dull_penalty: f64,
    /// Whose replies say what is dull.
    pub dullness: Option<Dullness>,
}

/// Reads which impressions are summed, and what each weighs.
pub fn weighed(keys: &mut Keys<'_>, doc: &'static str) -> Vec<(String, f64)> {
    let names = keys.doc(doc).strings("impressions", Some(&[]));
    let weights = keys
        .doc("what each of them weighs in the sum; none: 1 each")
        .floats("impression_weights", Some(&[]), -LARGE..=LARGE);
    if !weights.is_empty() && weights.len() != names.len() {
        keys.problem(
            "impression_weights",
            format!(
                "expected one for each of the {} impressions named, found {}",
                names.len(),
                weights.len()
            ),
        );
    }
    let weights = weights.into_iter().chain(std::iter::repeat(1.0));
    names.into_iter().zip(weights).collect()
}

impl RewardSettings {
    /// What a reward model says as it says it, whatever it is worth.
    pub fn of(model: StageRef) -> Self {
        Self {
            model,
            weights: Vec::new(),
            deviations: false,
            min_correlation: 0.0,
            dull_penalty: 0.0,
            dullness: None,
        }
    }

    /// The outputs that are summed, and their weights.
    pub fn weights(&self) -> &[(String, f64)] {
        &self.weights
    }

    /// Reads the keys.
    pub fn read(keys: &mut Keys<'_>) -> Self {
        let model = keys.stage("reward", &[Produces::RewardModel]);
        let weights = weighed(
            keys,
            "what the reward model scores and the reward is made of; may be left out where it scores one thing",
        );
        let dull_penalty = keys
            .doc("what a dull reply loses of its reward; 0: nothing")
            .float("dull_penalty", 0.0, 0.0..=LARGE);
        let dullness = Dullness::read(keys);
        if dull_penalty > 0.0 && dullness.is_none() {
            keys.problem(
                "dull_penalty",
                "needs a corpus that says which replies are dull",
            );
        }
        Self {
            dull_penalty,
            dullness,
            model,
            weights,
            deviations: keys
                .doc(
                    "points of the scale as raters give them, or standard deviations from the mean rating that the \
                     reward model was trained on",
                )
                .one_of(
                    "reward_units",
                    "points",
                    &[("points", false), ("deviations", true)],
                ),
            min_correlation: keys
                .doc("refuse an impression whose held-out correlation with its raters is lower; 0: refuse none")
                .float("min_correlation", 0.6, 0.0..=1.0),
        }
    }
}

/// Whose replies say what is dull.
pub struct Dullness {
    pub data: StageRef,
    pub split: Split,
}

impl Dullness {
    /// Reads the keys; nothing where no corpus is named.
    pub fn read(keys: &mut Keys<'_>) -> Option<Self> {
        let data = keys
            .doc(
                "dialogues whose replies say which are generic; measures dull_rate and specificity",
            )
            .optional_stage("corpus", EXAMPLES);
        let split = Split::read_as(keys, "corpus_split", "train");
        data.map(|data| Self { data, split })
    }
}
