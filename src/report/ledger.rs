//! The ledger's parts: what is kept of a run, small enough to lie beside the pages, and the page of all statements.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::claim::ClaimResult;
use super::format;
use super::markdown::{escape, grid, paragraph};
use super::paper::Finding;
use super::summary::{MetricSummary, RunSummary};

/// What is kept of a run's summary.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    pub recipe: String,
    pub profile: String,
    pub backend: String,
    pub seeds: Vec<u64>,
    /// The `--set` overrides.
    pub overrides: Vec<String>,
    /// Where it was made: processor, cores, memory, system.
    pub machine: String,
    /// Version of the program.
    pub version: String,
    /// Day on which the summary was written.
    pub date: String,
    pub metrics: BTreeMap<String, MetricSummary>,
    pub claims: Vec<ClaimResult>,
}

impl Kept {
    /// What is kept of a run whose summary was written that day, in six significant digits.
    pub fn of(run: &RunSummary, date: String) -> Self {
        let metrics = run.metrics.iter().map(|(name, metric)| {
            let metric = MetricSummary {
                mean: rounded(metric.mean),
                per_seed: metric.per_seed.iter().copied().map(rounded).collect(),
                ci95: metric.ci95.map(|ends| ends.map(rounded)),
                unit: metric.unit,
            };
            (name.clone(), metric)
        });
        // What the paper found is the recipe's to say.
        let claims = run.claims.iter().map(|claim| ClaimResult {
            measured: claim.measured.map(rounded),
            ci95: claim.ci95.map(|ends| ends.map(rounded)),
            per_seed: claim.per_seed.iter().copied().map(rounded).collect(),
            against: Vec::new(),
            ..claim.clone()
        });
        Self {
            recipe: run.recipe.clone(),
            profile: run.profile.clone(),
            backend: run.backend.clone(),
            seeds: run.seeds.clone(),
            overrides: run.overrides.clone(),
            machine: format::machine(&run.machine),
            version: run.machine.version.clone(),
            date,
            metrics: metrics.collect(),
            claims: claims.collect(),
        }
    }

    /// Its file's name.
    pub fn file(&self) -> String {
        format!("{}-{}.json", self.recipe, self.profile)
    }

    /// The file's text: a line for each metric and claim, so that a change can be read.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn to_text(&self) -> serde_json::Result<String> {
        let value = serde_json::to_value(self)?;
        let mut lines = Vec::new();
        for (key, entry) in value.as_object().into_iter().flatten() {
            let inner: Vec<String> = match entry {
                serde_json::Value::Object(map) => map
                    .iter()
                    .map(|(name, it)| format!("    {}: {it}", serde_json::Value::from(&**name)))
                    .collect(),
                serde_json::Value::Array(items) if items.iter().any(|it| it.is_object()) => {
                    items.iter().map(|it| format!("    {it}")).collect()
                }
                plain => {
                    lines.push(format!("  {key:?}: {plain}"));
                    continue;
                }
            };
            let [open, close] = [["[", "]"], ["{", "}"]][usize::from(entry.is_object())];
            lines.push(format!(
                "  {key:?}: {open}\n{}\n  {close}",
                inner.join(",\n")
            ));
        }
        Ok(format!("{{\n{}\n}}\n", lines.join(",\n")))
    }

    /// Numbers in their units, one beside another; nothing where the run has none of them.
    pub fn numbers(&self, names: &[String]) -> Option<String> {
        let known: Vec<_> = names.iter().map(|name| self.metrics.get(name)).collect();
        let shown = known.iter().map(|metric| {
            metric.map_or(format::MISSING.to_owned(), |metric| {
                format::value(metric.mean, metric.unit) + format::unit_mark(metric.unit).trim()
            })
        });
        let text = shown.collect::<Vec<_>>().join(" / ");
        known.iter().any(Option::is_some).then_some(text)
    }

    /// A claim's difference with its interval.
    pub fn difference(&self, id: &str) -> Option<String> {
        let claim = self.claim(id)?;
        let (measured, ci95) = claim.measured.zip(claim.ci95)?;
        let text = format::difference(measured, claim.unit);
        Some(format!("{text} {}", format::interval(ci95, claim.unit)))
    }

    /// A claim's verdicts: whether it holds, and how it stands beside a finding of the paper's.
    pub fn verdicts(&self, id: &str, finding: Option<&Finding>) -> Option<String> {
        let claim = self.claim(id)?;
        let (measured, ci95) = claim.measured.zip(claim.ci95)?;
        let beside = finding.map_or(String::new(), |finding| {
            format!("; {}", finding.beside(measured, ci95).words())
        });
        Some(format!("**{}**{}", claim.verdict(), escape(&beside)))
    }

    fn claim(&self, id: &str) -> Option<&ClaimResult> {
        self.claims.iter().find(|claim| claim.id == id)
    }

    /// The models of its claims, each once.
    fn models(&self) -> String {
        let mut models: Vec<&str> = self.claims.iter().map(|claim| &*claim.model).collect();
        models.retain(|model| !model.is_empty());
        models.sort_unstable();
        models.dedup();
        models.join(", ")
    }
}

fn rounded(value: f64) -> f64 {
    match value.is_finite() {
        true => format!("{value:.5e}").parse().unwrap_or(value),
        false => value,
    }
}

/// A statement of a paper with what was found of it, a row of the ledger. Texts are plain, but for `verdict` and `run`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    pub statement: String,
    /// The paper's number, and the model that it is of.
    pub figure: String,
    pub model: String,
    /// What was found in the world, on people's data and by people.
    pub found: [String; 3],
    pub verdict: String,
    /// Links to the page and the kept runs.
    pub run: String,
}

/// The page: each part's title and statements, then the runs.
pub fn page(parts: &[(String, Vec<Entry>)], runs: &[Kept]) -> String {
    let mut out = String::new();
    for text in [
        "# The ledger",
        "Every quantitative result of the three papers, one a row, beside what this program found of it. Written by `rapport \
         ledger` from `ledger.toml` and the summaries in `runs/`; change those and write it again. Settings (learning rates, \
         batches, sizes of data) are in the recipes' `paper` profiles.",
        "*In the world*: the `sandbox` profile, a generated world with an oracle and small models from random weights. *Real*: \
         the `real` profile, people's data. *By people*: people's own judgement. Shares are in percent, differences of shares in \
         points with their 95% intervals. A verdict says whether the recipe's own claim holds, and then how the difference \
         stands beside the paper's, which is of another and mostly larger model. *not run*: the recipe would measure it, and no \
         run of this version is kept. *not measured*: nothing here measures it. *not published*: the paper gives no number.",
    ] {
        paragraph(&mut out, text);
    }
    for (title, entries) in parts {
        paragraph(&mut out, &format!("## {}", escape(title)));
        let head = [
            "Statement",
            "The paper",
            "Its model",
            "In the world",
            "Real",
            "By people",
            "Holds?",
            "Run",
        ];
        let mut lines = vec![head.map(str::to_owned).to_vec()];
        for entry in entries {
            let [world, real, people] = &entry.found;
            let texts = [
                &entry.statement,
                &entry.figure,
                &entry.model,
                world,
                real,
                people,
            ];
            let mut line: Vec<String> = texts.iter().map(|text| escape(text)).collect();
            line.extend([entry.verdict.clone(), entry.run.clone()]);
            lines.push(line);
        }
        grid(&mut out, &lines);
    }
    if !runs.is_empty() {
        paragraph(&mut out, "## Runs");
        let head = ["Run", "Models", "Seeds", "Made on", "Version, day"];
        let mut lines = vec![head.map(str::to_owned).to_vec()];
        for run in runs {
            lines.push(vec![
                format!(
                    "[{}, {}](runs/{})",
                    escape(&run.recipe),
                    run.profile,
                    run.file()
                ),
                escape(&run.models()),
                run.seeds.len().to_string(),
                escape(&format!("{}, {}", run.machine, run.backend)),
                escape(&format!("{}, {}", run.version, run.date)),
            ]);
        }
        grid(&mut out, &lines);
    }
    out.truncate(out.trim_end().len());
    out + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn what_is_kept_reads_back_and_shows_numbers_and_verdicts() {
        let kept = Kept::of(&fixture::example(), "2026-11-27".into());
        assert_eq!(kept.file(), "persona-dpo-sandbox.json");
        let text = kept.to_text().unwrap();
        assert!(text.contains("\n    \"rank-dpo.hits\": {"), "{text}");
        let read: Kept = serde_json::from_str(&text).unwrap();
        assert_eq!(read.claims, kept.claims);
        assert_eq!(read.to_text().unwrap(), text);
        let names = ["rank-sft.hits", "rank-none.hits"].map(str::to_owned);
        assert_eq!(kept.numbers(&names).as_deref(), Some("38.3% / –"));
        assert_eq!(kept.numbers(&names[1..]), None);
        let found = kept.difference("dpo-hits").unwrap();
        assert_eq!(found, "+32.5 points [28.1, 37.0]");
        let finding = Finding::of("m".into(), -0.03);
        let verdicts = kept.verdicts("dpo-hits", Some(&finding)).unwrap();
        assert_eq!(
            verdicts,
            "**holds**; other direction, 11 times the paper's size"
        );
        assert_eq!(kept.verdicts("cross", None), None);
    }
}
