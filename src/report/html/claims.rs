//! The claims: statement, verdict, interval, and the interval drawn.

use maud::{Markup, html};

use super::super::claim::ClaimResult;
use super::super::format;
use super::super::paper::Direction;

pub fn section(claims: &[ClaimResult]) -> Markup {
    let measured = claims.iter().filter(|c| c.measured.is_some()).count();
    let held = claims.iter().filter(|c| c.holds).count();
    html! {
        @if !claims.is_empty() {
            section {
                h2 { "Claims" }
                p.lead {
                    (held) " of " (measured) " measured " (plural(measured)) " " (hold(held)) "."
                    @if measured < claims.len() { " " (claims.len() - measured) " not measured." }
                    @if claims.iter().any(|c| c.ci95.is_some()) {
                        " The bar is the 95% interval of the difference, the solid line zero, the \
                         dashed line what the claim asks for, and each tick a seed."
                    }
                }
                @for claim in claims { (article(claim)) }
            }
        }
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "claim" } else { "claims" }
}

fn hold(count: usize) -> &'static str {
    if count == 1 { "holds" } else { "hold" }
}

fn article(claim: &ClaimResult) -> Markup {
    html! {
        article.claim id=(claim.id) {
            p.statement { (claim.statement) }
            p.verdict { (claim.verdict()) }
            div.evidence {
                @if let Some(measured) = claim.measured {
                    p.measured {
                        strong { (format::difference(measured, claim.unit)) }
                        @if let Some(ci95) = claim.ci95 {
                            " " span.interval { (format::interval(ci95, claim.unit)) }
                        }
                    }
                    @if let Some(ci95) = claim.ci95 { (drawing(claim, measured, ci95)) }
                }
                dl.detail {
                    @if claim.measured.is_some() {
                        dt { "Needed" } dd { (needed(claim)) }
                    }
                    @if let Some(reason) = &claim.reason { dt { "Why not" } dd { (reason) } }
                    @if claim.per_seed.len() > 1 {
                        dt { "Each seed" }
                        dd {
                            @for (index, seed) in claim.per_seed.iter().enumerate() {
                                @if index > 0 { ", " }
                                (format::value(*seed, claim.unit))
                            }
                        }
                    }
                    @if !claim.paper.is_empty() { dt { "Paper" } dd { (claim.paper) } }
                    @if !claim.against.is_empty() { (against(claim)) }
                }
            }
        }
    }
}

/// The paper's own findings, by its models, and ours beside each.
fn against(claim: &ClaimResult) -> Markup {
    html! {
        @if !claim.model.is_empty() { dt { "Here" } dd { (claim.model) } }
        dt { "Against the paper" }
        dd {
            @for one in &claim.against {
                p {
                    @if !one.finding.model.is_empty() { (one.finding.model) ": " }
                    (format::found(one, claim.unit)) "; " strong { (one.words()) }
                }
            }
        }
    }
}

/// What it takes for the claim to hold.
pub fn needed(claim: &ClaimResult) -> String {
    let (sign, side, more) = match claim.direction {
        Direction::Higher => (1.0, "above", "more"),
        Direction::Lower => (-1.0, "below", "less"),
        Direction::Same => {
            let by = format::difference(claim.by, claim.unit);
            return format!("interval within {by} of zero");
        }
    };
    let side = format!("interval {side} zero");
    match claim.by > 0.0 {
        true => {
            let by = format::difference(sign * claim.by, claim.unit);
            format!("{by} or {more}, {side}")
        }
        false => side,
    }
}

/// The interval as a bar over a zero line, seeds as ticks. What it shows is also in the text.
fn drawing(claim: &ClaimResult, measured: f64, [low, high]: [f64; 2]) -> Markup {
    let thresholds = match claim.direction {
        _ if claim.by == 0.0 => Vec::new(),
        Direction::Higher => vec![claim.by],
        Direction::Lower => vec![-claim.by],
        Direction::Same => vec![-claim.by, claim.by],
    };
    let shown = claim.per_seed.iter().copied();
    let values = || {
        let marks = [measured, low, high, 0.0].into_iter();
        shown.clone().chain(marks).chain(thresholds.iter().copied())
    };
    if values().any(|v| !v.is_finite()) {
        return html! {};
    }
    let least = values().fold(0.0, f64::min);
    let most = values().fold(0.0, f64::max);
    let width = if most > least { most - least } else { 1.0 };
    let x = |v: f64| format!("{:.1}", 12.0 + 296.0 * (v - least) / width);
    html! {
        svg.whisker viewBox="0 0 320 34" aria-hidden="true" {
            line.axis x1="4" x2="316" y1="17" y2="17" {}
            line.zero x1=(x(0.0)) x2=(x(0.0)) y1="3" y2="31" {}
            @for &threshold in &thresholds {
                line.needed x1=(x(threshold)) x2=(x(threshold)) y1="6" y2="28" {}
            }
            line.bar x1=(x(low)) x2=(x(high)) y1="17" y2="17" {}
            @for seed in shown.clone() {
                line.seed x1=(x(seed)) x2=(x(seed)) y1="11" y2="23" {}
            }
            circle.dot cx=(x(measured)) cy="17" r="5" {}
        }
    }
}
