//! The ledger: every quantitative statement of the papers, beside what kept runs found of it.
//!
//! `ledger.toml` lists the statements, each with the claim or the metrics of a recipe that it is held against;
//! `runs/RECIPE-PROFILE.json` are what is kept of runs; `ledger.md` is written from both.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context as _, Result};
use jiff::Timestamp;

use crate::backend;
use crate::recipe::{self, Listed, Plan, Request, Shelf};
use crate::report::ledger::{Entry, Kept, page};
use crate::report::{self, Against, Finding, Unit};
use crate::stage::KINDS;
use crate::stage::settings::keys::{Keys, Node, Problems, Reading, Scope};
use crate::store::{BadInput, read_json, read_text, write_atomic};

const STATEMENTS: &str = "ledger.toml";
const PAGE: &str = "ledger.md";
const RUNS: &str = "runs";

/// The columns and the profiles that fill them.
const PROFILES: [(&str, &str); 3] = [("world", "sandbox"), ("real", "real"), ("people", "people")];

/// A folder with a ledger.
pub struct Ledger<'a> {
    pub folder: PathBuf,
    /// Where the recipes are that its statements name.
    pub shelf: Shelf<'a>,
}

/// A statement as it is declared.
struct Statement {
    part: String,
    says: String,
    /// The paper's number, where no claim has it, and its model.
    figure: String,
    model: String,
    recipe: String,
    claim: String,
    metrics: Vec<String>,
    /// People were asked, or are to be.
    people: bool,
    /// The page that tells of it.
    page: String,
}

impl Ledger<'_> {
    /// Keeps a finished run: its folder holds `summary.json`. Returns the file that it is kept in.
    ///
    /// # Errors
    /// When there is no summary there, or the file cannot be written.
    pub fn add(&self, run: &Path) -> Result<PathBuf> {
        let summary = run.join(report::FILES[0]);
        let written = summary.metadata().and_then(|file| file.modified());
        let written = written.map_err(|_| {
            BadInput(format!(
                "{} holds no finished run; expected summary.json there",
                run.display()
            ))
        })?;
        let since = written.duration_since(UNIX_EPOCH)?.as_secs();
        let day = Timestamp::from_second(since.try_into()?)?.to_string();
        let day = day.split('T').next().unwrap_or_default().to_owned();
        let kept = Kept::of(&report::read(run)?, day);
        let file = self.folder.join(RUNS).join(kept.file());
        std::fs::create_dir_all(self.folder.join(RUNS))?;
        write_atomic(&file, kept.to_text()?.as_bytes())?;
        Ok(file)
    }

    /// Writes the page, or only says whether it is current.
    ///
    /// # Errors
    /// Statements that name what is not there, each by its line; a file that cannot be read or written.
    pub fn write(&self, only_check: bool) -> Result<(PathBuf, bool)> {
        let text = self.page()?;
        let file = self.folder.join(PAGE);
        let current = read_text(&file).is_ok_and(|there| there == text);
        if !current && !only_check {
            write_atomic(&file, text.as_bytes())?;
        }
        Ok((file, current))
    }

    fn page(&self) -> Result<String> {
        let runs = self.runs()?;
        let listed = recipe::list(&self.shelf)?;
        let file = self.folder.join(STATEMENTS);
        let root =
            Node::parse(&file, &read_text(&file)?).map_err(|problem| Problems(vec![problem]))?;
        let (scope, mut found) = (Scope::default(), Reading::default());
        let mut keys = Keys::new(&scope, &root, &[], &mut found);
        let mut titles: Vec<(String, String)> = Vec::new();
        keys.each_table("part", |keys| {
            titles.push((keys.string("id", None), keys.string("title", None)));
        });
        let mut plans = BTreeMap::new();
        let mut parts: Vec<(String, Vec<Entry>)> = Vec::new();
        for (_, title) in &titles {
            parts.push((title.clone(), Vec::new()));
        }
        keys.each_table("statement", |keys| {
            let statement = read(keys);
            let part = titles.iter().position(|(id, _)| *id == statement.part);
            if part.is_none() && keys.has("part") {
                keys.problem("part", "expected the id of a [[part]]");
            }
            let kept = PROFILES.map(|(_, profile)| {
                let mut runs = runs.iter();
                runs.find(|run| run.recipe == statement.recipe && run.profile == profile)
            });
            let findings = match statement.recipe.as_str() {
                "" => vec![None],
                name => {
                    let plan = plans
                        .entry(name.to_owned())
                        .or_insert_with(|| self.plan(name));
                    match plan {
                        Ok(plan) => named(keys, &statement, plan, &kept),
                        Err(why) => {
                            keys.problem("recipe", why.clone());
                            vec![None]
                        }
                    }
                }
            };
            let profiles = listed.iter().find(|it| it.name == statement.recipe);
            let entries = findings
                .iter()
                .map(|finding| entry(&statement, *finding, &kept, profiles));
            parts[part.unwrap_or(0)].1.extend(entries);
        });
        drop(keys);
        match found.problems.is_empty() {
            true => Ok(page(&parts, &runs)),
            false => Err(Problems::in_order(found.problems).into()),
        }
    }

    /// The kept runs by file name.
    fn runs(&self) -> Result<Vec<Kept>> {
        let folder = self.folder.join(RUNS);
        if !folder.is_dir() {
            return Ok(Vec::new());
        }
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.extension().is_some_and(|it| it == "json") {
                files.push(path);
            }
        }
        files.sort();
        files.iter().map(|file| read_json(file)).collect()
    }

    fn plan(&self, name: &str) -> Result<Plan, String> {
        let request = Request::plain(self.shelf, name, backend::default_backend(), KINDS);
        recipe::plan(&request).map_err(|problems| format!("cannot be planned: {problems}"))
    }
}

fn read(keys: &mut Keys<'_>) -> Statement {
    let statement = Statement {
        part: keys.string("part", None),
        says: keys.string("says", None),
        figure: keys.string("figure", ""),
        model: keys.string("model", ""),
        recipe: keys.string("recipe", ""),
        claim: keys.string("claim", ""),
        metrics: keys.strings("metrics", Some(&[])),
        people: keys.bool("people", false),
        page: keys.string("page", ""),
    };
    if statement.claim.is_empty() && statement.figure.is_empty() {
        keys.problem(
            "figure",
            "required: the paper's number, \"not published\", or a claim that has it",
        );
    }
    if !statement.recipe.is_empty() && statement.claim.is_empty() == statement.metrics.is_empty() {
        keys.problem("recipe", "expected a claim or metrics of it, and not both");
    }
    statement
}

/// What the statement's claim has of the paper's findings, each a row of its own. Notes a claim or metric that the recipe
/// or a kept run lacks.
fn named<'a>(
    keys: &mut Keys<'_>,
    statement: &Statement,
    plan: &'a Plan,
    kept: &[Option<&Kept>; 3],
) -> Vec<Option<&'a Finding>> {
    let stale = kept.iter().flatten().find(|run| {
        let known = |name: &String| run.metrics.contains_key(name);
        match statement.claim.is_empty() {
            true => !statement.metrics.iter().any(known),
            false => !run.claims.iter().any(|claim| claim.id == statement.claim),
        }
    });
    let key = if statement.claim.is_empty() {
        "metrics"
    } else {
        "claim"
    };
    if let Some(run) = stale {
        keys.problem(
            key,
            format!("runs/{} has nothing of it; add that run anew", run.file()),
        );
    }
    if statement.claim.is_empty() {
        let shown = |name: &String| {
            let kept_has = kept
                .iter()
                .flatten()
                .any(|run| run.metrics.contains_key(name));
            kept_has || declared(plan, name)
        };
        if let Some(name) = statement.metrics.iter().find(|name| !shown(name)) {
            let message = format!("{} shows no {name} in a table or a claim", statement.recipe);
            keys.problem("metrics", message);
        }
        return vec![None];
    }
    match plan.claims.iter().find(|claim| claim.id == statement.claim) {
        Some(claim) if claim.findings.is_empty() => vec![None],
        Some(claim) => claim.findings.iter().map(Some).collect(),
        None => {
            keys.problem("claim", format!("{} has no such claim", statement.recipe));
            vec![None]
        }
    }
}

/// Whether a recipe shows `STAGE.METRIC` in a table or a claim.
fn declared(plan: &Plan, name: &str) -> bool {
    let Some((stage, metric)) = name.split_once('.') else {
        return false;
    };
    let in_tables = plan.tables.iter().any(|table| {
        let fits = |column: &recipe::Column| match column.prefix() {
            Some(prefix) => metric.starts_with(prefix),
            None => column.metric == metric,
        };
        table.rows.iter().any(|row| row.stage == stage) && table.columns.iter().any(fits)
    });
    let sides = plan
        .claims
        .iter()
        .flat_map(|claim| [&claim.better, &claim.than]);
    in_tables
        || sides
            .into_iter()
            .any(|side| side.stage == stage && side.metric == metric)
}

fn entry(
    statement: &Statement,
    finding: Option<&Finding>,
    kept: &[Option<&Kept>; 3],
    listed: Option<&Listed>,
) -> Entry {
    let found = [0, 1, 2].map(|at| {
        let (column, profile) = PROFILES[at];
        let planned = listed.is_some_and(|it| it.profiles.iter().any(|name| name == profile));
        match kept[at] {
            Some(run) => match statement.claim.is_empty() {
                true => run.numbers(&statement.metrics),
                false => run.difference(&statement.claim),
            }
            .unwrap_or_else(|| "not measured".into()),
            None if planned => "not run".into(),
            None if column == "people" && !statement.people => "–".into(),
            None => "not measured".into(),
        }
    });
    let verdicts = PROFILES.iter().zip(kept).filter_map(|((column, _), run)| {
        let verdict = (*run)?.verdicts(&statement.claim, finding)?;
        Some(format!("{column}: {verdict}"))
    });
    let verdicts: Vec<String> = verdicts.collect();
    let unit = kept.iter().flatten().find_map(|run| {
        let claim = run.claims.iter().find(|claim| claim.id == statement.claim);
        claim.map(|claim| claim.unit)
    });
    let figure = match (statement.figure.as_str(), finding) {
        ("", Some(finding)) => {
            let alone = Against {
                finding: finding.clone(),
                ours: None,
            };
            report::found(&alone, unit.unwrap_or(Unit::Share))
        }
        ("", None) => "not published".into(),
        (figure, _) => figure.to_owned(),
    };
    let page = match statement.page.as_str() {
        "" => Vec::new(),
        page => vec![format!("[{}]({page})", page.trim_end_matches(".md"))],
    };
    let files = kept.iter().flatten();
    let files = files.map(|run| format!("[{}](runs/{})", run.profile, run.file()));
    let links: Vec<String> = page.into_iter().chain(files).collect();
    Entry {
        statement: statement.says.clone(),
        figure,
        model: match (statement.model.as_str(), finding) {
            ("", Some(finding)) => finding.model.clone(),
            (model, _) => model.to_owned(),
        },
        found,
        verdict: match verdicts.is_empty() {
            true => "–".into(),
            false => verdicts.join("<br>"),
        },
        run: match links.is_empty() {
            true => "–".into(),
            false => links.join(", "),
        },
    }
}
