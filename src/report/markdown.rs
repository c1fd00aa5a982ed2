//! `report.md`: the same claims and tables for a terminal, a pull request or a paper's appendix.

use std::fmt::Write;

use super::claim::ClaimResult;
use super::format;
use super::summary::{RunSummary, SampleBlock, StageSummary, Table};
use crate::store::clean;

/// The report in GitHub's Markdown. All text of the run is escaped.
pub fn render(run: &RunSummary) -> String {
    let mut out = String::new();
    let title = [&run.title, &run.recipe][usize::from(run.title.is_empty())];
    paragraph(&mut out, &format!("# {}", escape(title)));
    paragraph(&mut out, &escape(&run.about));
    if !run.paper.is_empty() {
        paragraph(&mut out, &format!("After *{}*", escape(&run.paper)));
    }
    let mut facts = vec![
        format!("recipe {}", escape(&run.recipe)),
        format!("profile {}", escape(&run.profile)),
        format!("backend {}", escape(&run.backend)),
        format::seeds(&run.seeds),
    ];
    if let Some(count) = run.parameters {
        facts.push(format!("{} parameters", format::grouped(count as f64)));
    }
    facts.push(format::duration(run.wall_seconds));
    paragraph(&mut out, &facts.join(" · "));

    claims(&mut out, run);
    for table in &run.tables {
        paragraph(&mut out, &format!("## {}", escape(&table.title)));
        grid(&mut out, &cells(table, true, escape));
        paragraph(&mut out, &escape(&table.models().unwrap_or_default()));
        paragraph(&mut out, &escape(&table.note));
    }
    list(&mut out, "What it costs", &run.costs);
    list(&mut out, "Notes", &run.notes);
    samples(&mut out, &run.samples);
    stages(&mut out, &run.stages);
    metrics(&mut out, run);
    paragraph(&mut out, "## Make it again");
    paragraph(&mut out, &fenced(&format::command(run)));
    let machine = format::machine(&run.machine);
    if !machine.is_empty() {
        paragraph(&mut out, &format!("Made on: {}.", escape(&machine)));
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

/// A table as text, header first; the paper's numbers in a column of their own beside each
/// measured one that has any. Measured values carry their intervals if `intervals`.
pub fn cells(table: &Table, intervals: bool, text: impl Fn(&str) -> String) -> Vec<Vec<String>> {
    let mut head = vec!["Model".to_owned()];
    for (at, column) in table.columns.iter().enumerate() {
        head.push(text(&column.name) + format::unit_mark(column.unit));
        if table.has_paper(at) {
            head.push("paper".to_owned());
        }
    }
    let mut lines = vec![head];
    for row in &table.rows {
        let mut line = vec![text(&row.name)];
        for (at, column) in table.columns.iter().enumerate() {
            let mut measured = row.cells.get(at).copied().flatten();
            if let (false, Some(cell)) = (intervals, &mut measured) {
                cell.ci95 = None;
            }
            line.push(format::cell(measured, column.unit));
            if table.has_paper(at) {
                line.push(format::paper(row.paper.get(at).copied().flatten()));
            }
        }
        lines.push(line);
    }
    lines
}

fn claims(out: &mut String, run: &RunSummary) {
    if run.claims.is_empty() {
        return;
    }
    paragraph(out, "## Claims");
    let head = ["Claim", "Verdict", "Measured", "95% interval", "Paper"];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for claim in &run.claims {
        let missing = || format::MISSING.to_owned();
        lines.push(vec![
            escape(&claim.statement),
            match &claim.reason {
                Some(reason) => format!("**{}**: {}", claim.verdict(), escape(reason)),
                None => format!("**{}**", claim.verdict()),
            },
            claim
                .measured
                .map_or_else(missing, |m| format::difference(m, claim.unit)),
            claim
                .ci95
                .map_or_else(missing, |ci| format::interval(ci, claim.unit)),
            escape(&claim.paper),
        ]);
    }
    grid(out, &lines);
    let against = against(run, |claim| escape(&claim.statement), escape);
    if !against.is_empty() {
        paragraph(out, "### Against the paper");
        grid(out, &against);
    }
}

/// The claims beside what the paper found, a line for each of its models, header first; nothing where it has no finding.
pub fn against(
    run: &RunSummary,
    name: impl Fn(&ClaimResult) -> String,
    text: impl Fn(&str) -> String,
) -> Vec<Vec<String>> {
    let missing = || format::MISSING.to_owned();
    let or_missing = |model: &str| match model.is_empty() {
        true => missing(),
        false => text(model),
    };
    let mut lines = Vec::new();
    for claim in &run.claims {
        for (at, against) in claim.against.iter().enumerate() {
            let ours = match at {
                0 => [
                    name(claim),
                    or_missing(&claim.model),
                    claim
                        .measured
                        .map_or_else(missing, |m| format::difference(m, claim.unit)),
                ],
                _ => Default::default(),
            };
            let theirs = [
                or_missing(&against.finding.model),
                format::found(against, claim.unit),
                against.words(),
            ];
            lines.push(ours.into_iter().chain(theirs).collect());
        }
    }
    if !lines.is_empty() {
        let head = [
            "Claim",
            "here",
            "measured",
            "the paper's model",
            "the paper's",
            "ours beside it",
        ];
        lines.insert(0, head.map(str::to_owned).to_vec());
    }
    lines
}

fn samples(out: &mut String, samples: &[SampleBlock]) {
    if samples.is_empty() {
        return;
    }
    paragraph(out, "## Sample dialogues");
    for (index, sample) in samples.iter().enumerate() {
        paragraph(out, &format!("### Dialogue {}", index + 1));
        let head: Vec<String> = sample.head.iter().map(|line| escape(line)).collect();
        if !head.is_empty() {
            paragraph(out, &format!("Given: {}", head.join(" / ")));
        }
        let turns: Vec<String> = sample
            .history
            .iter()
            .map(|turn| format!("- **{}:** {}", escape(&turn.speaker), escape(&turn.text)))
            .collect();
        paragraph(out, &turns.join("\n"));
        let mut lines = vec![["Model", "Reply", "Verdict"].map(str::to_owned).to_vec()];
        for reply in &sample.replies {
            let verdict = reply.verdict.as_deref().map(escape);
            let text = escape(&reply.text);
            lines.push(vec![
                escape(&reply.model),
                if text.trim().is_empty() {
                    "(empty reply)".to_owned()
                } else {
                    text
                },
                verdict.unwrap_or_else(|| format::MISSING.to_owned()),
            ]);
        }
        grid(out, &lines);
    }
}

fn stages(out: &mut String, stages: &[StageSummary]) {
    if stages.is_empty() {
        return;
    }
    paragraph(out, "## Stages");
    let head = ["Stage", "Kind", "Seed", "Time", "Reused", "Remarks"];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for stage in stages {
        let notes: Vec<String> = stage.notes.iter().map(|note| escape(note)).collect();
        lines.push(vec![
            escape(&stage.name),
            escape(&stage.kind),
            stage.seed.map_or("all".to_owned(), |seed| seed.to_string()),
            format::duration(stage.seconds),
            if stage.reused { "yes" } else { "no" }.to_owned(),
            notes.join("; "),
        ]);
    }
    grid(out, &lines);
}

fn metrics(out: &mut String, run: &RunSummary) {
    if run.metrics.is_empty() {
        return;
    }
    paragraph(out, "## All metrics");
    let head = ["Metric", "Mean", "95% interval", "Each seed"];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for (name, metric) in &run.metrics {
        let seeds = metric.per_seed.iter();
        let seeds: Vec<String> = seeds.map(|v| format::value(*v, metric.unit)).collect();
        lines.push(vec![
            escape(name),
            format::value(metric.mean, metric.unit),
            metric.ci95.map_or(format::MISSING.to_owned(), |ci95| {
                format::interval(ci95, metric.unit)
            }),
            seeds.join(" · "),
        ]);
    }
    grid(out, &lines);
}

fn list(out: &mut String, title: &str, sentences: &[String]) {
    if !sentences.is_empty() {
        paragraph(out, &format!("## {title}"));
        let items: Vec<String> = sentences
            .iter()
            .map(|s| format!("- {}", escape(s)))
            .collect();
        paragraph(out, &items.join("\n"));
    }
}

/// A table, its first line the header; cells are Markdown.
pub fn grid(out: &mut String, lines: &[Vec<String>]) {
    for (index, line) in lines.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "| {} |", line.join(" | "));
        if index == 0 {
            let _ = writeln!(out, "|{}", " --- |".repeat(line.len()));
        }
    }
    out.push('\n');
}

/// A paragraph, if there is any text.
pub fn paragraph(out: &mut String, text: &str) {
    if !text.is_empty() {
        out.push_str(text);
        out.push_str("\n\n");
    }
}

/// A code block whose fence is longer than any run of backticks inside.
fn fenced(code: &str) -> String {
    let runs = code.split(|c| c != '`').map(str::len);
    let fence = "`".repeat(runs.max().unwrap_or(0).max(2) + 1);
    format!("{fence}sh\n{code}\n{fence}")
}

/// Text on one line, with all that Markdown or HTML would take for its own escaped.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in clean(text)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
    {
        if r"\`*_[]<>|#&~$".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn tables_stay_tables_whatever_the_text() {
        let text = render(&fixture::example());
        let mut width = None;
        for line in text.lines() {
            let bars = line.replace(r"\|", "").matches('|').count();
            match width {
                Some(width) if line.starts_with('|') => assert_eq!(bars, width, "{line}"),
                _ => width = line.starts_with('|').then_some(bars),
            }
        }
        assert!(text.contains(r"| DPO \| no shuffle | – | – | – | – | – | – | – |"));
        for part in [
            "| SFT | 38.3 [35.2, 41.4] | 41.2 |",
            "Here: llama from random weights (0.4M). The paper: gpt2-large (774M).",
            "| gpt2-large (774M) | +22.5 points | same direction, 1.4 times the paper's |",
            "| gpt2 (124M) | −3.0 points | other direction, 11 times the paper's size |",
        ] {
            assert!(text.contains(part), "{part}\nnot in\n{text}");
        }
    }

    #[test]
    fn user_text_cannot_become_markup() {
        assert_eq!(escape("a\n# b <i> |*_"), r"a \# b \<i\> \|\*\_");
        assert_eq!(escape("\u{1b}[2J"), r"\\u{1b}\[2J");
        assert_eq!(fenced("a ```` b").lines().next(), Some("`````sh"));
        let text = render(&fixture::example());
        assert!(text.contains("**does not hold**") && !text.contains("<entirely>"));
    }

    #[test]
    fn an_empty_run_has_no_empty_headings() {
        let text = render(&RunSummary::default());
        assert!(!text.contains("Claims") && !text.contains("Stages"));
    }
}
