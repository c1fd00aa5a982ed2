//! The result as it ends a run on the terminal: aligned plain text, no colours.

use super::format;
use super::markdown::{against, cells};
use super::summary::RunSummary;

/// Wider tables leave their intervals to the report: a wrapped table cannot be read.
const WIDEST: usize = 100;

/// Tables, then claims with verdict and interval and beside the paper's, then notes and costs. Ends with a newline unless empty.
pub fn render(run: &RunSummary) -> String {
    let mut blocks = Vec::new();
    for table in &run.tables {
        let mut text = aligned(&cells(table, true, one_line));
        if text.lines().any(|line| line.chars().count() > WIDEST) {
            text = aligned(&cells(table, false, one_line)) + "The report has the intervals.\n";
        }
        if let Some(models) = table.models() {
            text += &(one_line(&models) + "\n");
        }
        blocks.push(format!("{}\n{text}", one_line(&table.title)));
    }
    if !run.claims.is_empty() {
        let lines: Vec<Vec<String>> = run
            .claims
            .iter()
            .map(|claim| {
                vec![
                    one_line(&claim.id),
                    claim.measured.map_or(format::MISSING.to_owned(), |m| {
                        format::difference(m, claim.unit)
                    }),
                    claim
                        .ci95
                        .map_or(String::new(), |ci95| format::interval(ci95, claim.unit)),
                    one_line(&claim.verdict_and_reason()),
                ]
            })
            .collect();
        let head = ["Claim", "measured", "95% interval", "verdict"];
        let mut all = vec![head.map(str::to_owned).to_vec()];
        all.extend(lines);
        blocks.push(aligned(&all));
        let against = against(run, |claim| one_line(&claim.id), one_line);
        if !against.is_empty() {
            blocks.push(aligned(&against));
        }
    }
    let notes: Vec<String> = run
        .notes
        .iter()
        .map(|note| format!("Note: {}\n", one_line(note)))
        .collect();
    if !notes.is_empty() {
        blocks.push(notes.concat());
    }
    let costs: Vec<String> = run
        .costs
        .iter()
        .map(|c| format!("Cost: {}\n", one_line(c)))
        .collect();
    if !costs.is_empty() {
        blocks.push(costs.concat());
    }
    blocks.join("\n")
}

fn one_line(text: &str) -> String {
    // Control characters could move the cursor or colour the terminal.
    let visible: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    visible.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Two spaces between columns, the first to the left, the others to the right; the first line is
/// the header.
fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| {
        let cells = lines.iter().filter_map(|line| line.get(at));
        cells.map(|c| c.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let rule: usize = widths.iter().sum::<usize>() + 2 * columns.saturating_sub(1);
    let mut out = String::new();
    for (index, line) in lines.iter().enumerate() {
        let mut text = String::new();
        for (at, cell) in line.iter().enumerate() {
            let width = widths[at];
            text += &match at {
                0 => format!("{cell:<width$}"),
                _ => format!("  {cell:>width$}"),
            };
        }
        out += text.trim_end();
        out.push('\n');
        if index == 0 {
            out += &"─".repeat(rule);
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn columns_line_up() {
        let lines = [["Model", "Hits %"], ["SFT", "38.1"], ["a longer name", "–"]];
        let lines: Vec<Vec<String>> = lines
            .iter()
            .map(|l| l.map(str::to_owned).to_vec())
            .collect();
        assert_eq!(
            aligned(&lines),
            "Model          Hits %\n─────────────────────\nSFT              38.1\na longer name       –\n"
        );
    }

    #[test]
    fn the_result_is_all_there() {
        let mut run = fixture::example();
        run.costs.push("last".into());
        run.tables[0].rows[0].name = "S\u{1b}[31mFT\n".into();
        let text = render(&run);
        assert!(!text.contains('\u{1b}'));
        for part in [
            "Persona consistency",
            "63.7",
            "dpo-hits",
            "+32.5 points",
            "The paper: gpt2-large (774M).",
            "other direction, 11 times the paper's size",
            "Note: The base model is trained from scratch",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(
            text.contains("72.7") && !text.contains("72.7 ["),
            "too wide"
        );
        run.tables[0].columns.truncate(2);
        assert!(
            super::render(&run).contains("72.7 [69.8, 75.6]"),
            "now it fits"
        );
        assert!(text.contains("does not hold") && text.ends_with("Cost: last\n"));
        assert_eq!(render(&RunSummary::default()), "");
    }
}
