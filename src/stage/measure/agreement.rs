//! `agreement`: a reward model against the ratings of data that it was not trained for.

use anyhow::Result;

use crate::stage::artifact::measures::Measures;
use crate::stage::artifact::rated_set::RatedSet;
use crate::stage::kind::{Context, Kind, Stage};
use crate::stage::modules;
use crate::stage::settings::keys::{Keys, StageRef};
use crate::stage::settings::precision::Bf16;
use crate::stage::settings::produces::Produces;
use crate::stage::settings::splits::Split;
use crate::stage::work::scores::held_out;
use crate::stage::work::scores::rating_errors::Cluster;

pub const KIND: Kind = Kind {
    name: "agreement",
    about: "a reward model's scores against the ratings of other dialogues",
    produces: Produces::Measure,
    version: 1,
    uses_backend: true,
    modules: modules::SCORING,
    read,
};

struct Agrees {
    reward: StageRef,
    data: StageRef,
    split: Split,
    cluster: Cluster,
    bf16: Bf16,
}

fn read(keys: &mut Keys<'_>) -> Box<dyn Stage> {
    Box::new(Agrees {
        reward: keys.stage("reward", &[Produces::RewardModel]),
        data: keys.stage("data", &[Produces::Rated]),
        split: Split::read(keys, "test"),
        cluster: Cluster::read(keys),
        bf16: Bf16::read(keys),
    })
}

impl Stage for Agrees {
    fn run(&self, context: &Context) -> Result<()> {
        let rows = RatedSet::open(context.input(&self.data), self.split)?.rows;
        let mut measures = Measures::default();
        let model = (context.input(&self.reward), self.bf16);
        held_out::ratings(context, model, &rows, self.cluster, &mut measures)?;
        measures.write(&context.dir)
    }
}
