//! The ledger of the papers' statements, against its statements, the recipes and the kept runs.

use std::fs;

use crate::cli::{root, run};

#[test]
fn the_committed_ledger_is_what_its_statements_and_runs_say() {
    let (code, stdout, stderr) = run(root(), &["ledger", "--check"]);
    assert_eq!(code, 0, "{stdout}{stderr}");
}

/// A folder with a small ledger and a recipe, and what came of writing it.
fn written(statements: &str, kept: Option<&str>) -> (i32, String, String) {
    let work = tempfile::tempdir().unwrap();
    let folder = work.path().join("docs/papers");
    fs::create_dir_all(folder.join("runs")).unwrap();
    let part = "[[part]]\nid = \"p\"\ntitle = \"P\"\n";
    fs::write(folder.join("ledger.toml"), part.to_owned() + statements).unwrap();
    if let Some(kept) = kept {
        fs::write(folder.join("runs/persona-dpo-sandbox.json"), kept).unwrap();
    }
    let (code, _, stderr) = run(work.path(), &["ledger"]);
    let page = fs::read_to_string(folder.join("ledger.md")).unwrap_or_default();
    (code, page, stderr)
}

const KEPT: &str = r#"{
  "recipe": "persona-dpo", "profile": "sandbox", "backend": "flex", "seeds": [1], "overrides": [],
  "machine": "a machine", "version": "0.1.0", "date": "2026-11-27",
  "metrics": {"rank-sft.hits": {"mean": 0.175, "per_seed": [0.175], "ci95": [0.14, 0.21], "unit": "share"}},
  "claims": [{"id": "dpo-consistent", "statement": "", "paper": "", "measured": 0.12, "ci95": [0.09, 0.16],
              "holds": true, "per_seed": [0.12], "by": 0.05, "direction": "higher", "unit": "share", "model": "ours (1M)"}]
}"#;

#[test]
fn each_of_the_papers_models_has_a_row_and_what_was_not_run_says_so() {
    let statements = "[[statement]]\npart = \"p\"\nsays = \"gain\"\nrecipe = \"persona-dpo\"\nclaim = \"dpo-consistent\"\n\
         [[statement]]\npart = \"p\"\nsays = \"hits\"\nfigure = \"14.8%\"\nmodel = \"m\"\nrecipe = \"persona-dpo\"\n\
         metrics = [\"rank-sft.hits\", \"rank-dpo.hits\"]\n\
         [[statement]]\npart = \"p\"\nsays = \"asked\"\nfigure = \"78%\"\npeople = true\n";
    let (code, page, stderr) = written(statements, Some(KEPT));
    assert_eq!(code, 0, "{stderr}");
    let gains: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("| gain |"))
        .collect();
    assert_eq!(gains.len(), 6, "{page}");
    for (line, figure, verdict) in [
        (
            gains[0],
            "| −1.7 points | gpt2-medium (355M) |",
            "other direction, 7.1 times the paper's size",
        ),
        (
            gains[1],
            "| +15.2 points | qwen2-1.5b (1.5B) |",
            "same direction, 0.8 times the paper's",
        ),
    ] {
        assert!(line.contains(figure) && line.contains(verdict), "{line}");
        assert!(
            line.contains("| +12.0 points \\[9.0, 16.0\\] | not run | – |"),
            "{line}"
        );
        assert!(line.contains("world: **holds**"), "{line}");
    }
    for line in [
        "| hits | 14.8% | m | 17.5% / – | not run | – | – |",
        "| asked | 78% |  | not measured | not measured | not measured | – | – |",
    ] {
        assert!(page.contains(line), "{line}\nnot in\n{page}");
    }
    let (_, page, _) = written(statements, None);
    assert!(page.contains("| not run | not run | – | – |"), "{page}");
}

#[test]
fn a_statement_that_names_what_is_not_there_is_an_error_by_its_line() {
    let statement =
        |rest: &str| format!("[[statement]]\npart = \"p\"\nsays = \"s\"\nfigure = \"1\"\n{rest}");
    for (rest, expected) in [
        (
            "recipe = \"persona-dop\"\nclaim = \"c\"\n",
            "ledger.toml:8: statement[0].recipe: cannot be planned",
        ),
        (
            "recipe = \"persona-dpo\"\nclaim = \"c\"\n",
            "ledger.toml:9: statement[0].claim: persona-dpo has no such claim",
        ),
        (
            "recipe = \"persona-dpo\"\nmetrics = [\"rank-sft.hist\"]\n",
            "ledger.toml:9: statement[0].metrics: persona-dpo shows no rank-sft.hist in a table or a claim",
        ),
        (
            "recipe = \"persona-dpo\"\n",
            "statement[0].recipe: expected a claim or metrics of it, and not both",
        ),
    ] {
        let (code, page, stderr) = written(&statement(rest), None);
        assert_eq!((code, page.as_str()), (2, ""), "{stderr}");
        assert!(stderr.contains(expected), "{expected}\nnot in\n{stderr}");
    }
    let hits = statement("recipe = \"persona-dpo\"\nclaim = \"dpo-hits\"\n");
    let (code, _, stderr) = written(&hits, Some(KEPT));
    let expected = "runs/persona-dpo-sandbox.json has nothing of it; add that run anew";
    assert!(code == 2 && stderr.contains(expected), "{stderr}");
}
