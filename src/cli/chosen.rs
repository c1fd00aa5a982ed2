//! The arguments that say which recipe is meant, and how.

use std::path::PathBuf;

use clap::Args;

use crate::backend;
use crate::recipe::{Given, Request, Shelf};
use crate::stage::KINDS;

/// Which recipe, and how.
#[derive(Args)]
pub(super) struct Chosen {
    /// A recipe's name, or the path of a TOML file.
    pub recipe: String,
    /// sandbox, real or paper, where the recipe has them.
    #[arg(long)]
    pub profile: Option<String>,
    /// Override a value: STAGE.KEY=VALUE, or a top-level key such as seeds=[1].
    #[arg(long = "set", value_name = "A.B=C")]
    pub sets: Vec<String>,
    /// The folder that ${DATA} stands for in recipes.
    #[arg(long, value_name = "DIR")]
    pub data: Option<String>,
    /// The pre-trained model that ${MODEL} stands for: its folder, or hub:ORG/NAME.
    #[arg(long, value_name = "DIR")]
    pub model: Option<String>,
    /// The larger one that ${LARGER} stands for.
    #[arg(long, value_name = "DIR")]
    pub larger: Option<String>,
    /// flex, ndarray, wgpu or cuda; by default the first that this build has.
    #[arg(long)]
    pub backend: Option<String>,
    /// The folder of recipes, alone; by default ./experiments where it exists, then those that the program carries.
    #[arg(long, value_name = "DIR")]
    pub experiments: Option<PathBuf>,
}

impl Chosen {
    pub fn backend(&self) -> &str {
        self.backend
            .as_deref()
            .unwrap_or_else(|| backend::default_backend())
    }

    pub fn request(&self) -> Request<'_> {
        Request {
            shelf: Shelf::new(self.experiments.as_deref()),
            name: &self.recipe,
            profile: self.profile.as_deref(),
            sets: &self.sets,
            given: Given {
                data: self.data.as_deref(),
                model: self.model.as_deref(),
                larger: self.larger.as_deref(),
            },
            backend: self.backend(),
            kinds: KINDS,
            pinned: false,
        }
    }
}
