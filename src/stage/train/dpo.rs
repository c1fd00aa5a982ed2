//! `dpo`: preference optimization on pairs (DPO, IPO, ...).

use crate::stage::kind::{Kind, Stage};
use crate::stage::modules;
use crate::stage::settings::keys::Keys;
use crate::stage::settings::loss;
use crate::stage::settings::produces::Produces;
use crate::stage::work::training::prefer::Prefer;
use crate::train::Keep;

pub const KIND: Kind = Kind {
    name: "dpo",
    about: "preference optimization (DPO, IPO, ...) on chosen and rejected completions",
    produces: Produces::Model,
    // 2: the saved folder keeps its source's type of weights and generation_config.json, and names the EOS trained with;
    // both sides see the same prompt, and what a chat template has rendered gets no other special tokens.
    version: 2,
    uses_backend: true,
    modules: modules::TRAINING,
    read,
};

fn read(keys: &mut Keys<'_>) -> Box<dyn Stage> {
    let best = &[
        ("accuracy", Keep::BestAccuracy),
        ("loss", Keep::BestLoss),
        ("train_loss", Keep::BestTrainLoss),
        ("none", Keep::Last),
    ];
    let data = &[Produces::Pairs];
    Box::new(Prefer::read(keys, data, best, loss::read_pairs))
}
