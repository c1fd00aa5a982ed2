//! `rapport init`.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};

use crate::backend;
use crate::recipe::{self, FOLDER, Request, Shelf};
use crate::stage::KINDS;
use crate::store::{BadInput, print};

/// Writes a commented recipe to start from; an existing file is left alone.
#[derive(Args)]
pub struct Init {
    /// The recipe's name; it is written to ./experiments/NAME.toml.
    name: String,
    /// What it trains by.
    #[arg(long, value_enum, default_value_t = Kind::Dpo, conflicts_with = "extends")]
    kind: Kind,
    /// A recipe to lay it over, in place of a new one.
    #[arg(long, value_name = "RECIPE")]
    extends: Option<String>,
    /// The folder that it is written to; it is made where there is none.
    #[arg(long, value_name = "DIR")]
    experiments: Option<PathBuf>,
}

/// A kind of training stage.
#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Sft,
    Dpo,
    Kto,
    RewardModel,
}

impl Init {
    pub fn run(self) -> Result<()> {
        recipe::check_name(&self.name)
            .map_err(|expected| BadInput(format!("{}: {expected}", self.name)))?;
        let shelf = Shelf::new(self.experiments.as_deref());
        let text = match &self.extends {
            None => self.kind.recipe(&self.name),
            Some(base) => {
                let request = Request::plain(shelf, base, backend::default_backend(), KINDS);
                recipe::validate(&request)?;
                include_str!("../../assets/init/extends.toml")
                    .replace("BASE", base)
                    .replace("NAME", &self.name)
            }
        };
        let folder = self.experiments.unwrap_or_else(|| PathBuf::from(FOLDER));
        let path = folder.join(format!("{}.toml", self.name));
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let cannot = || format!("cannot write {}", path.display());
        let mut file = match fs::File::create_new(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let path = path.display();
                return Err(
                    BadInput(format!("{path} is there already; choose another name")).into(),
                );
            }
            file => file.with_context(cannot)?,
        };
        file.write_all(text.as_bytes()).with_context(cannot)?;
        print(&format!(
            "{}\nnext: rapport run {} --dry-run\n",
            path.display(),
            self.name
        ))
    }
}

impl Kind {
    /// A recipe that runs as it is, on a world, and has a profile for one's own model and rows.
    fn recipe(self, name: &str) -> String {
        let head = include_str!("../../assets/init/head.toml");
        let world = include_str!("../../assets/init/world.toml");
        let pairs = include_str!("../../assets/init/pairs.toml");
        let real = include_str!("../../assets/init/real.toml");
        let preferences = ("preferences", "columns prompt, chosen, rejected");
        let (own, pairs, (rows, columns)) = match self {
            Self::Sft => (
                include_str!("../../assets/init/sft.toml"),
                "",
                (
                    "completions",
                    "columns messages; or prompt, completion; or text",
                ),
            ),
            Self::Dpo => (
                include_str!("../../assets/init/dpo.toml"),
                pairs,
                preferences,
            ),
            Self::Kto => (
                include_str!("../../assets/init/kto.toml"),
                pairs,
                ("labels", "columns prompt, completion, label"),
            ),
            Self::RewardModel => (
                include_str!("../../assets/init/reward-model.toml"),
                pairs,
                preferences,
            ),
        };
        let head = head.replace("NAME", name);
        let real = real.replace("ROWS_KIND", rows).replace("COLUMNS", columns);
        [&head, own, world, pairs, &real].concat()
    }
}
