//! Rated dialogues in an artifact: `rated-SPLIT.jsonl` and the scale of their scores, `scale.json`.

use std::path::Path;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::data::{Rated, Scale, rated};
use crate::stage::settings::splits::Split;
use crate::store::{read_json, write_json, write_jsonl};

const SCALE_FILE: &str = "scale.json";

/// A split of rated dialogues.
#[derive(Clone, Debug)]
pub struct RatedSet {
    pub rows: Vec<Rated>,
    /// The lowest and the highest score that a rater could give.
    pub scale: Scale,
    /// Whether each rater's mean has been taken out of the scores, which then may lie outside `scale`.
    pub centred: bool,
}

/// The content of `scale.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScaleFile {
    low: f64,
    high: f64,
    #[serde(default)]
    centred: bool,
}

impl RatedSet {
    /// Reads an artifact's split.
    ///
    /// # Errors
    /// An artifact without such a split, and the bad rows of one (see [`rated::rated`]).
    pub fn open(artifact: &Path, split: Split) -> Result<Self> {
        let path = artifact.join(format!("rated-{}.jsonl", split.name()));
        ensure!(
            path.exists(),
            "{}: no rated dialogues in its {} split",
            artifact.display(),
            split.name()
        );
        let ScaleFile { low, high, centred } = read_json(&artifact.join(SCALE_FILE))?;
        // A centred score is a score less one mean plus another, all three on the scale.
        let beyond = if centred { high - low } else { 0.0 };
        let allowed = Scale {
            low: low - beyond,
            high: high + beyond,
        };
        Ok(Self {
            rows: rated::rated(&path, allowed)?,
            scale: Scale { low, high },
            centred,
        })
    }
}

/// Writes a split into an artifact's folder.
///
/// # Errors
/// When it cannot be written.
pub fn write(dir: &Path, split: Split, rows: impl IntoIterator<Item = Rated>) -> Result<()> {
    write_jsonl(&dir.join(format!("rated-{}.jsonl", split.name())), rows)
}

/// Writes the scale of an artifact's raw scores, and whether each rater's mean was taken out of them.
///
/// # Errors
/// When it cannot be written.
pub fn write_scale(dir: &Path, scale: Scale, centred: bool) -> Result<()> {
    let Scale { low, high } = scale;
    write_json(&dir.join(SCALE_FILE), &ScaleFile { low, high, centred })
}
