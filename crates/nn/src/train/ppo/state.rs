//! What a run keeps from step to step, and what it logs of each.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::train::checkpoint::Counters;
use crate::train::ppo::advantages::mean_and_deviation;
use crate::train::ppo::rollout::Episode;
use crate::train::ppo::settings::{Algorithm, PpoSettings};
use crate::train::ppo::targets::Objective;
use crate::train::ppo::update::Update;

/// The counters of a run; what is drawn is a function of seed and step, so it is not stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PpoState {
    /// Steps of sampling and updating.
    pub step: usize,
    /// Updates of the weights.
    pub updates: usize,
    /// Replies sampled.
    pub episodes: usize,
    /// Steps whose updates `target_kl` ended early.
    pub early_stops: usize,
    /// What a nat of KL costs at present.
    #[serde(with = "rapport_store::numbers")]
    pub kl_coef: f64,
    /// The step whose weights are kept as the best: those that its replies were sampled from.
    pub best: Option<usize>,
    /// What they scored.
    #[serde(with = "rapport_store::numbers")]
    pub best_scores: f64,
    /// What the last step's replies achieved.
    pub last: Objective,
}

impl Counters for PpoState {
    fn step(&self) -> usize {
        self.step
    }

    fn best(&self) -> Option<usize> {
        self.best
    }
}

impl PpoState {
    /// Before the first step.
    pub fn new(kl_coef: f64) -> Self {
        Self {
            step: 0,
            updates: 0,
            episodes: 0,
            early_stops: 0,
            kl_coef,
            best: None,
            best_scores: 0.0,
            last: Objective::default(),
        }
    }

    /// Whether this step's weights score above all before, and takes note of it.
    pub fn is_best(&mut self, objective: &Objective) -> bool {
        let better = self.best.is_none() || objective.scores > self.best_scores;
        if better {
            (self.best, self.best_scores) = (Some(self.step), objective.scores);
        }
        better
    }

    /// Goes on to the next step.
    pub fn after(&mut self, settings: &PpoSettings, objective: &Objective, updates: &Updates) {
        self.step += 1;
        self.updates += updates.all.len();
        self.episodes += settings.batch_size();
        self.early_stops += usize::from(updates.stopped);
        self.last = *objective;
        if let Algorithm::Ppo(ppo) = &settings.algorithm
            && let Some(control) = &ppo.adaptive
        {
            self.kl_coef = control.next(self.kl_coef, objective.kl, settings.batch_size());
        }
    }
}

/// A step's updates.
#[derive(Clone, Debug, Default)]
pub struct Updates {
    all: Vec<Update>,
    norms: Vec<f64>,
    /// Whether `target_kl` ended them early.
    pub stopped: bool,
}

impl Updates {
    /// Adds an update and its gradient's norm.
    pub fn add(&mut self, update: Update, norm: f64) {
        self.all.push(update);
        self.norms.push(norm);
    }

    fn of(&self, value: impl Fn(&Update) -> f64) -> (f64, f64) {
        mean_and_deviation(&self.all.iter().map(value).collect::<Vec<_>>())
    }
}

/// A step's line of metrics, by TRL's names: means over replies, and over updates.
pub fn line(
    settings: &PpoSettings,
    state: &PpoState,
    episodes: &[Episode],
    objective: &Objective,
    updates: &Updates,
) -> Map<String, Value> {
    let mut line = Map::new();
    let mut put = |name: &str, value: Value| line.insert(name.into(), value);
    put("step", json!(state.step + 1));
    put("episode", json!(state.episodes + episodes.len()));
    put("objective/kl", json!(objective.kl));
    put("objective/entropy", json!(objective.entropy));
    put(
        "objective/non_score_reward",
        json!(objective.non_score_reward),
    );
    put("objective/rlhf_reward", json!(objective.rlhf_reward));
    put("objective/scores", json!(objective.scores));
    put("objective/kl_coef", json!(state.kl_coef));
    if let Some(share) = objective.frac_reward_zero_std {
        put("frac_reward_zero_std", json!(share));
    }
    let lengths: usize = episodes.iter().map(Episode::drawn).sum();
    let finished = episodes.iter().filter(|episode| episode.finished).count();
    put(
        "completions/mean_length",
        json!(lengths as f64 / episodes.len() as f64),
    );
    put("val/num_eos_tokens", json!(finished));
    put("policy/approxkl_avg", json!(updates.of(|it| it.approxkl).0));
    put("policy/clipfrac_avg", json!(updates.of(|it| it.clipfrac).0));
    put("policy/entropy_avg", json!(updates.of(|it| it.entropy).0));
    put("loss/policy_avg", json!(updates.of(|it| it.policy_loss).0));
    if settings.algorithm.has_values() {
        put("loss/value_avg", json!(updates.of(|it| it.value_loss).0));
        put(
            "val/clipfrac_avg",
            json!(updates.of(|it| it.value_clipfrac).0),
        );
    }
    let (ratio, deviation) = updates.of(|it| it.ratio);
    put("val/ratio", json!(ratio));
    put("val/ratio_var", json!(deviation * deviation));
    put("grad_norm", json!(mean_and_deviation(&updates.norms).0));
    put("updates", json!(updates.all.len()));
    put("early_stop", json!(updates.stopped));
    line
}
