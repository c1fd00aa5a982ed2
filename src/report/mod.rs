//! What a run leaves for its reader: `summary.json`, `report.md`, `report.html`, and the table
//! that ends it on the terminal. All four show one [`RunSummary`].

mod claim;
mod format;
mod html;
pub mod ledger;
mod machine;
mod markdown;
mod paper;
mod plot;
mod summary;
mod terminal;
mod unit;

#[cfg(test)]
mod fixture;

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::store::{self, Owned};

pub use claim::ClaimResult;
pub use format::found;
pub use html::render as html;
pub use markdown::render as markdown;
pub use paper::{Against, Beside, Direction, Finding, Reported};
pub use summary::{
    Cell, Column, Curve, Machine, MetricSummary, Reply, Row, RunSummary, SampleBlock, Series,
    StageSummary, Table, Utterance,
};
pub use terminal::render as terminal;
pub use unit::Unit;

/// The files of a written report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    pub summary: PathBuf,
    pub markdown: PathBuf,
    pub html: PathBuf,
}

/// The names of the files of a report.
pub const FILES: [&str; 3] = ["summary.json", "report.md", "report.html"];

/// Writes the three files into a folder, each atomically.
///
/// Curves are thinned first: `metrics.jsonl` keeps every step, a report needs only their shape.
pub fn write(out: &Owned, run: &RunSummary) -> Result<Written> {
    let mut run = run.clone();
    for series in run.curves.iter_mut().flat_map(|curve| &mut curve.series) {
        series.points = plot::thin(&series.points);
    }
    let summary = serde_json::to_string_pretty(&run)? + "\n";
    for (name, text) in FILES.into_iter().zip([summary, markdown(&run), html(&run)]) {
        out.write(name, text.as_bytes())?;
    }
    let [summary, markdown, html] = FILES.map(|name| out.dir().join(name));
    Ok(Written {
        summary,
        markdown,
        html,
    })
}

/// Reads back `dir/summary.json`.
///
/// # Errors
/// When the file is missing or is not a summary; the message names the file.
pub fn read(dir: &Path) -> Result<RunSummary> {
    store::read_json(&dir.join("summary.json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Foreign;

    fn owned(dir: &Path) -> Owned {
        Owned::check(dir, &FILES, &[], Foreign::Refuse).unwrap()
    }

    #[test]
    fn summary_has_the_agreed_shape_and_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut run = fixture::example();
        run.curves[0].series[0].points = (0..10_000).map(|i| (f64::from(i), 1.0)).collect();
        let written = write(&owned(dir.path()), &run).unwrap();
        let json: serde_json::Value = store::read_json(&written.summary).unwrap();
        for key in ["recipe", "profile", "backend"] {
            assert!(json[key].is_string(), "{key}");
        }
        assert!(json["seeds"].is_array() && json["stages"].is_array());
        assert!(json["metrics"]["rank-dpo.hits"]["mean"].is_f64());
        let claim = json["claims"][0].as_object().unwrap();
        for key in ["id", "statement", "paper", "measured", "ci95", "holds"] {
            assert!(claim.contains_key(key), "{key}");
        }

        let read = read(dir.path()).unwrap();
        assert!(read.curves[0].series[0].points.len() <= 401);
        // A metric that is not a number survives the way through JSON, which has no NaN.
        assert!(read.metrics["perplexity-weak.perplexity"].mean.is_nan());
        assert_eq!(read.claims, run.claims);
        assert_eq!(read.samples, run.samples);
        assert!(written.html.is_file() && written.markdown.is_file());
    }
}
