//! `report.html`: one self-contained page, without scripts, that prints and reads well on a phone.

mod claims;
mod parts;
mod record;
mod results;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::format;
use super::summary::RunSummary;
use parts::list;

const STYLE: &str = include_str!("../../../assets/report/report.css");

/// The page. All text of the run is escaped.
pub fn render(run: &RunSummary) -> String {
    let title = heading(run);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " – Rapport" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (masthead(run, title))
                main {
                    (claims::section(&run.claims))
                    (results::tables(&run.tables))
                    (list("What it costs", &run.costs))
                    (list("Notes", &run.notes))
                    (results::curves(&run.curves))
                    (record::samples(&run.samples))
                    (record::stages(&run.stages))
                    (results::metrics(&run.metrics))
                    (record::reproduce(run))
                }
                footer { "Rapport " (run.machine.version) }
            }
        }
    }
    .into_string()
}

fn heading(run: &RunSummary) -> &str {
    if run.title.is_empty() {
        &run.recipe
    } else {
        &run.title
    }
}

fn masthead(run: &RunSummary, title: &str) -> Markup {
    let facts = [
        ("Profile", run.profile.clone()),
        ("Backend", run.backend.clone()),
        ("Seeds", run.seeds.len().to_string()),
        (
            "Parameters",
            run.parameters
                .map_or(format::MISSING.to_owned(), |n| format::grouped(n as f64)),
        ),
        ("This run", format::duration(run.wall_seconds)),
    ];
    html! {
        header {
            p.eyebrow { "Rapport · " (run.recipe) }
            h1 { (title) }
            @if !run.about.is_empty() { p.about { (run.about) } }
            @if !run.paper.is_empty() { p.paper { "After " cite { (run.paper) } } }
            dl.facts {
                @for (name, value) in facts {
                    div { dt { (name) } dd { (value) } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn everything_is_on_the_page_and_escaped() {
        let page = render(&fixture::example());
        for text in [
            "disappears &lt;entirely&gt; &amp; for good",
            "&lt;b&gt;green&lt;/b&gt;",
            "does not hold",
            "not measured",
            "72.7",
            "63.7",
            "12 identical pairs dropped",
            "make exp-persona-dpo",
            "The paper: gpt2-large (774M).",
            "<strong>other direction, 11 times the paper's size</strong>",
        ] {
            assert!(page.contains(text), "{text}");
        }
        assert!(!page.contains("<b>") && !page.contains("<entirely>"));
        // A measure that is not a number is shown as one, and drawn nowhere.
        assert_eq!(page.matches("NaN").count(), 2, "with its seed");
    }

    #[test]
    fn the_page_stands_alone() {
        let page = render(&fixture::example());
        for outside in ["<script", "<link", "<img", "url(", "@import", "src="] {
            assert!(!page.contains(outside), "{outside}");
        }
    }

    #[test]
    fn tables_are_accessible() {
        let page = render(&fixture::example());
        let count = |what: &str| page.matches(what).count();
        assert_eq!(count("<table"), count("<caption"));
        assert_eq!(count("<th"), count(" scope=\"") + count("<thead"));
    }

    #[test]
    fn an_empty_run_is_still_a_page() {
        let page = render(&RunSummary {
            recipe: "empty".into(),
            ..RunSummary::default()
        });
        assert!(page.contains("<h1>empty</h1>") && !page.contains("<h2>Claims"));
    }

    #[test]
    fn series_colours_are_those_of_the_style_sheet() {
        for colour in super::super::plot::COLOURS {
            assert!(STYLE.contains(colour), "{colour}");
        }
    }
}
