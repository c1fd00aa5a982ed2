//! What a stage kind is: how its settings are read, what it makes, and how it runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::stage::modules::Module;
use crate::stage::settings::keys::{
    KeyDoc, Keys, Node, Origin, Reading, Scope, StageRef, Table, Value,
};
use crate::stage::settings::produces::Produces;
use crate::store::{Stop, Store};

/// A kind of stage, as the registry lists it.
#[derive(Clone, Copy)]
pub struct Kind {
    /// The name that recipes write as `kind = "..."`.
    pub name: &'static str,
    /// One line on what it does.
    pub about: &'static str,
    /// The type of its artifact.
    pub produces: Produces,
    /// Raised when the same settings begin to give other results, so that old artifacts are left. What comes of a
    /// shared module raises that module's own version ([`crate::stage::modules`]).
    pub version: u32,
    /// Whether its result depends on the compute backend.
    pub uses_backend: bool,
    /// The shared modules that it computes with, whose versions are part of its stages' identity.
    pub modules: &'static [Module],
    /// Reads and checks its settings. Problems are left with the keys; what is returned beside
    /// problems is never run.
    pub read: fn(&mut Keys<'_>) -> Box<dyn Stage>,
}

impl Kind {
    /// The keys that it reads, with their defaults and ranges, and those that another choice than the default one opens.
    pub fn document(&self) -> Vec<KeyDoc> {
        let (scope, mut found) = (Scope::default(), Reading::default());
        let origin = Origin::argument(self.name);
        let empty = Node {
            value: Value::Table(Table::default()),
            origin,
        };
        let mut keys = Keys::new(&scope, &empty, &[], &mut found);
        (self.read)(&mut keys);
        drop(keys);
        found.docs
    }
}

/// A stage with its settings, ready to run.
pub trait Stage: Send + Sync {
    /// Does the work, leaving the artifact's files in `context.dir`.
    ///
    /// The folder may hold what an earlier, killed run of the same stage saved; go on from there.
    ///
    /// # Errors
    /// Whatever keeps the artifact from being whole, [`crate::store::Stopped`] among it.
    fn run(&self, context: &Context) -> anyhow::Result<()>;

    /// What a dry run shows of the stage once its inputs are there: size, memory, an example.
    ///
    /// # Errors
    /// When an input cannot be read.
    fn preview(&self, _context: &Context) -> anyhow::Result<Option<String>> {
        Ok(None)
    }
}

/// What a stage is given to run with.
#[derive(Clone, Debug)]
pub struct Context {
    /// Folder to work in; kept across kills.
    pub dir: PathBuf,
    /// The run's seed; 0 for a stage that runs once for all seeds.
    pub seed: u64,
    /// Name of the compute backend.
    pub backend: String,
    /// Finished artifacts by stage name: one for each reference in the settings.
    pub inputs: BTreeMap<String, PathBuf>,
    /// Name for progress lines, such as `sft seed 1`.
    pub label: String,
    /// Asked at each step.
    pub stop: Stop,
    /// For side products worth keeping by content, such as reference log-probabilities.
    pub store: Store,
}

impl Context {
    /// The artifact folder of a stage that the settings refer to.
    ///
    /// # Panics
    /// When the caller did not supply a reference of the plan: a mistake in the program.
    pub fn input(&self, reference: &StageRef) -> &Path {
        &self.inputs[&reference.name]
    }
}
