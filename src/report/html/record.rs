//! Sample dialogues, stages, and how to make the run again.

use maud::{Markup, html};

use super::super::format;
use super::super::summary::{RunSummary, SampleBlock, StageSummary};
use super::parts::scrolling;

pub fn samples(samples: &[SampleBlock]) -> Markup {
    html! {
        @if !samples.is_empty() {
            section {
                h2 { "Sample dialogues" }
                @for sample in samples { (dialogue(sample)) }
            }
        }
    }
}

fn dialogue(sample: &SampleBlock) -> Markup {
    html! {
        article.sample {
            div.setting {
                @if !sample.head.is_empty() {
                    div.given {
                        h3 { "Given" }
                        ul { @for line in &sample.head { li { (line) } } }
                    }
                }
                div.history {
                    h3 { "Dialogue" }
                    @for turn in &sample.history {
                        p { span.speaker { (turn.speaker) } " " (turn.text) }
                    }
                }
            }
            div.replies {
                @for reply in &sample.replies {
                    div.reply {
                        h3 { (reply.model) }
                        @if reply.text.trim().is_empty() {
                            p.nothing { "(empty reply)" }
                        } @else {
                            p.text { (reply.text) }
                        }
                        @if let Some(verdict) = &reply.verdict { p.word { (verdict) } }
                    }
                }
            }
        }
    }
}

pub fn stages(stages: &[StageSummary]) -> Markup {
    html! {
        @if !stages.is_empty() {
            section {
                h2 { "Stages" }
                (scrolling("Stages", grouped(stages)))
                details {
                    summary { "Every run of every stage" }
                    (scrolling("Every run of every stage", every(stages)))
                }
            }
        }
    }
}

/// One row a stage, its seeds together, in order of first appearance.
fn grouped(stages: &[StageSummary]) -> Markup {
    let mut groups: Vec<(&str, Vec<&StageSummary>)> = Vec::new();
    for stage in stages {
        match groups.iter_mut().find(|(name, _)| *name == stage.name) {
            Some((_, runs)) => runs.push(stage),
            None => groups.push((&stage.name, vec![stage])),
        }
    }
    html! {
        table.stages {
            caption {
                "Time is that of all seeds together. A reused stage had been finished before and \
                 was not run again; its time is what it took then."
            }
            thead {
                tr {
                    th scope="col" { "Stage" }
                    th scope="col" { "Runs" }
                    th scope="col" { "Time" }
                    th.note scope="col" { "Remarks" }
                }
            }
            tbody {
                @for (name, runs) in &groups {
                    tr {
                        th scope="row" { (name) " " span.kind { (runs[0].kind) } }
                        td { (runs.len()) }
                        td { (format::duration(runs.iter().map(|r| r.seconds).sum())) }
                        td.note { (remarks(runs)) }
                    }
                }
            }
        }
    }
}

fn remarks(runs: &[&StageSummary]) -> Markup {
    let reused = runs.iter().filter(|run| run.reused).count();
    html! {
        @if reused == runs.len() {
            span.reused { "reused" } " "
        } @else if reused > 0 {
            span.reused { (reused) " of " (runs.len()) " reused" } " "
        }
        @for run in runs {
            @for note in &run.notes {
                span.remark {
                    @if let Some(seed) = run.seed { "seed " (seed) ": " }
                    (note)
                }
            }
        }
    }
}

fn every(stages: &[StageSummary]) -> Markup {
    html! {
        table.stages {
            caption { "Artifacts are named by the hash of all that determines them." }
            thead {
                tr {
                    th scope="col" { "Stage" }
                    th scope="col" { "Seed" }
                    th scope="col" { "Time" }
                    th scope="col" { "Reused" }
                    th.note scope="col" { "Artifact" }
                }
            }
            tbody {
                @for stage in stages {
                    tr {
                        th scope="row" { (stage.name) }
                        td { (stage.seed.map_or("all".to_owned(), |seed| seed.to_string())) }
                        td { (format::duration(stage.seconds)) }
                        td { @if stage.reused { "yes" } @else { "no" } }
                        td.note {
                            code {
                                @if stage.artifact.is_empty() { (stage.hash) }
                                @else { (stage.artifact) }
                            }
                        }
                    }
                }
            }
        }
    }
}

pub fn reproduce(run: &RunSummary) -> Markup {
    let machine = format::machine(&run.machine);
    html! {
        section {
            h2 { "Make it again" }
            pre tabindex="0" { code { (format::command(run)) } }
            p.small {
                "With " (format::seeds(&run.seeds)) " of the recipe. "
                code { "recipe.toml" } " beside this page holds every value after profile and \
                overrides; " code { "summary.json" } " holds every number shown here."
                @if !machine.is_empty() { " Made on: " (machine) "." }
            }
        }
    }
}
