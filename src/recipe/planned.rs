//! What is asked to be planned, and what a plan holds.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value as Json;

use super::Shelf;
use super::claims::{Claim, Table};
use crate::stage::kind::{Kind, Stage};
use crate::stage::modules::Module;
use crate::stage::settings::keys::{Link, OnHub, StageRef};
use crate::stage::settings::produces::Produces;

/// The profile of a plan when none is asked for.
pub const DEFAULT_PROFILE: &str = "sandbox";

/// What a command line names, for recipes to lead to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Given<'a> {
    /// `${DATA}`: a folder.
    pub data: Option<&'a str>,
    /// `${MODEL}`: a pre-trained model's folder, or its name on a hub.
    pub model: Option<&'a str>,
    /// `${LARGER}`: that of a larger one.
    pub larger: Option<&'a str>,
}

impl Given<'_> {
    /// What is named, by the variable's name.
    pub fn variables(self) -> BTreeMap<&'static str, String> {
        let all = [
            ("DATA", self.data),
            ("MODEL", self.model),
            ("LARGER", self.larger),
        ];
        let named = all.into_iter();
        named
            .filter_map(|(name, value)| Some((name, value?.to_owned())))
            .collect()
    }
}

/// What to plan.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Where recipes are looked for.
    pub shelf: Shelf<'a>,
    /// A recipe's name there, or the path of a TOML file.
    pub name: &'a str,
    /// The profile; [`DEFAULT_PROFILE`] if none.
    pub profile: Option<&'a str>,
    /// The values of `--set` arguments, `a.b=c` each.
    pub sets: &'a [String],
    /// What the command line names.
    pub given: Given<'a>,
    /// Name of the compute backend.
    pub backend: &'a str,
    /// The registry of stage kinds.
    pub kinds: &'a [Kind],
    /// Whether it is asked what names of a hub are. Without, such stages can be looked at, and not run.
    pub pinned: bool,
}

impl<'a> Request<'a> {
    /// A recipe as it stands: nothing laid over it, nothing named, no hub asked.
    pub fn plain(shelf: Shelf<'a>, name: &'a str, backend: &'a str, kinds: &'a [Kind]) -> Self {
        Self {
            shelf,
            name,
            profile: None,
            sets: &[],
            given: Given::default(),
            backend,
            kinds,
            pinned: false,
        }
    }
}

/// A checked experiment, ready to run.
pub struct Plan {
    /// Name of the recipe: its file's, without the ending.
    pub name: String,
    /// Its file, or that the program carries it.
    pub from: String,
    /// Title, for people.
    pub title: String,
    /// What the experiment is about; may be empty.
    pub about: String,
    /// The paper it follows; may be empty.
    pub paper: String,
    /// The profile.
    pub profile: String,
    /// Name of the compute backend.
    pub backend: String,
    /// What the command line named, by the variable's name, and its overrides.
    pub given: BTreeMap<&'static str, String>,
    pub sets: Vec<String>,
    /// Seeds, without repetition.
    pub seeds: Vec<u64>,
    /// The stages that the recipe asks for.
    pub outputs: Vec<String>,
    /// The outputs and all they refer to, each after what it refers to.
    pub stages: Vec<PlannedStage>,
    /// The paper's claims to check.
    pub claims: Vec<Claim>,
    /// Result tables to show.
    pub tables: Vec<Table>,
    /// The recipe with every layer and default filled in; it plans to the same stages.
    pub resolved_toml: String,
}

/// One stage of a plan.
pub struct PlannedStage {
    /// Name in the recipe.
    pub name: String,
    /// Its kind.
    pub kind: &'static str,
    /// The kind's version.
    pub version: u32,
    /// The shared modules that the kind computes with, and their versions.
    pub modules: &'static [Module],
    /// The type of its artifact.
    pub produces: Produces,
    /// Whether its result depends on the compute backend.
    pub uses_backend: bool,
    /// Whether it runs once per seed, or once for all.
    pub per_seed: bool,
    /// Every setting, defaults included; references as `"@name"`.
    pub settings: Json,
    /// The references among the settings.
    pub refs: Vec<Link<StageRef>>,
    /// The files and folders among the settings.
    pub paths: Vec<Link<PathBuf>>,
    /// What lies on a hub among them.
    pub on_hub: Vec<Link<OnHub>>,
    /// What runs.
    pub stage: Box<dyn Stage>,
}

impl PlannedStage {
    /// The seed that the stage is given in the run of `seed`: 0 where it runs once for all.
    pub fn seed(&self, seed: u64) -> u64 {
        if self.per_seed { seed } else { 0 }
    }

    /// The names of the stages it refers to, each once.
    pub fn inputs(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.refs.iter().map(|link| link.to.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}
