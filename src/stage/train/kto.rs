//! `kto`: preference optimization on completions that are labelled one by one (KTO, BCO).

use crate::stage::kind::{Kind, Stage};
use crate::stage::modules;
use crate::stage::settings::keys::Keys;
use crate::stage::settings::loss;
use crate::stage::settings::produces::Produces;
use crate::stage::work::training::prefer::Prefer;
use crate::train::Keep;

pub const KIND: Kind = Kind {
    name: "kto",
    about: "preference optimization (KTO, BCO) on completions labelled as desirable or not",
    produces: Produces::Model,
    // 2: the saved folder keeps its source's type of weights and generation_config.json, and names the EOS trained with;
    // what a chat template has rendered gets no other special tokens.
    version: 2,
    uses_backend: true,
    modules: modules::TRAINING,
    read,
};

fn read(keys: &mut Keys<'_>) -> Box<dyn Stage> {
    let best = &[
        ("loss", Keep::BestLoss),
        ("train_loss", Keep::BestTrainLoss),
        ("none", Keep::Last),
    ];
    // A pair is one completion of each label.
    let data = &[Produces::Labels, Produces::Pairs];
    Box::new(Prefer::read(keys, data, best, loss::read_unpaired))
}
