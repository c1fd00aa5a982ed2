//! Result tables beside the paper's, curves, and the list of all metrics.

use std::collections::BTreeMap;

use maud::{Markup, PreEscaped, html};

use super::super::format;
use super::super::plot;
use super::super::summary::{Column, Curve, MetricSummary, Row, Table};
use super::super::unit::Unit;
use super::parts::scrolling;

pub fn tables(tables: &[Table]) -> Markup {
    html! {
        @if !tables.is_empty() {
            section {
                h2 { "Results" }
                @for one in tables { (scrolling(&one.title, table(one))) }
            }
        }
    }
}

fn table(table: &Table) -> Markup {
    let columns: Vec<(usize, &Column, bool)> = table
        .columns
        .iter()
        .enumerate()
        .map(|(at, column)| (at, column, table.has_paper(at)))
        .collect();
    let any_paper = columns.iter().any(|(.., paper)| *paper);
    html! {
        table.results {
            caption {
                strong { (table.title) }
                @if let Some(models) = table.models() { " " (models) }
                @if !table.note.is_empty() { " " (table.note) }
            }
            thead {
                tr {
                    th scope="col" rowspan=[any_paper.then_some(2)] { "Model" }
                    @for (_, column, paper) in &columns {
                        @let scope = if *paper { "colgroup" } else { "col" };
                        th scope=(scope) colspan=[paper.then_some(2)]
                            rowspan=[(any_paper && !paper).then_some(2)] {
                            (column.name) span.unit { (format::unit_mark(column.unit)) }
                        }
                    }
                }
                @if any_paper {
                    tr.sources {
                        @for (_, _, paper) in &columns {
                            @if *paper {
                                th scope="col" { "here" }
                                th.paper scope="col" { "paper" }
                            }
                        }
                    }
                }
            }
            tbody { @for one in &table.rows { (row(one, &columns)) } }
        }
    }
}

fn row(row: &Row, columns: &[(usize, &Column, bool)]) -> Markup {
    html! {
        tr {
            th scope="row" { (row.name) }
            @for &(at, column, paper) in columns {
                td { (cell(row, at, column.unit)) }
                @if paper {
                    td.paper { (format::paper(row.paper.get(at).copied().flatten())) }
                }
            }
        }
    }
}

fn cell(row: &Row, at: usize, unit: Unit) -> Markup {
    html! {
        @match row.cells.get(at).copied().flatten() {
            None => (format::MISSING),
            Some(cell) => {
                (format::value(cell.value, unit))
                @if let Some(ci95) = cell.ci95 {
                    " " span.interval { (format::interval(ci95, unit)) }
                }
            }
        }
    }
}

pub fn curves(curves: &[Curve]) -> Markup {
    html! {
        @if !curves.is_empty() {
            section {
                h2 { "Curves" }
                div.curves { @for curve in curves { (figure(curve)) } }
            }
        }
    }
}

fn figure(curve: &Curve) -> Markup {
    html! {
        figure {
            figcaption {
                strong { (curve.title) }
                @if !curve.y_label.is_empty() { span.unit { ", " (curve.y_label) } }
                @if curve.series.len() > 1 {
                    ul.legend {
                        @for (index, series) in curve.series.iter().enumerate() {
                            li { (swatch(index)) (series.name) }
                        }
                    }
                }
            }
            @match plot::svg(curve) {
                Some(svg) => (PreEscaped(svg)),
                None => p.nothing { "Nothing to draw." },
            }
        }
    }
}

fn swatch(index: usize) -> Markup {
    let colour = plot::COLOURS[index % plot::COLOURS.len()];
    html! {
        svg.swatch viewBox="0 0 28 8" aria-hidden="true" {
            line x1="0" x2="28" y1="4" y2="4" stroke-width="2.5" stroke=(colour) {}
        }
    }
}

pub fn metrics(metrics: &BTreeMap<String, MetricSummary>) -> Markup {
    html! {
        @if !metrics.is_empty() {
            section {
                details {
                    summary { "All " (metrics.len()) " metrics" }
                    (scrolling("All metrics", metric_table(metrics)))
                }
            }
        }
    }
}

fn metric_table(metrics: &BTreeMap<String, MetricSummary>) -> Markup {
    html! {
        table {
            caption { "Means over seeds; shares in percent, 95% intervals where there is one." }
            thead {
                tr {
                    th scope="col" { "Metric" }
                    th scope="col" { "Mean" }
                    th scope="col" { "95% interval" }
                    th scope="col" { "Each seed" }
                }
            }
            tbody {
                @for (name, metric) in metrics {
                    tr {
                        th scope="row" { code { (name) } }
                        td { (format::value(metric.mean, metric.unit)) }
                        td {
                            (metric.ci95.map_or(format::MISSING.to_owned(), |ci95| {
                                format::interval(ci95, metric.unit)
                            }))
                        }
                        td {
                            @for (index, seed) in metric.per_seed.iter().enumerate() {
                                @if index > 0 { " · " }
                                (format::value(*seed, metric.unit))
                            }
                        }
                    }
                }
            }
        }
    }
}
