//! A made-up run, with every feature and every trap of the reports in it.

use std::collections::BTreeMap;

use super::claim::ClaimResult;
use super::paper::{Direction, Finding};
use super::summary::*;
use super::unit::Unit;
use crate::eval::Interval;

pub fn example() -> RunSummary {
    let share = |per_seed: [f64; 3], spread: f64| {
        let mean = per_seed.iter().sum::<f64>() / 3.0;
        MetricSummary {
            ci95: Some([mean - spread, mean + spread]),
            ..MetricSummary::of_seeds(per_seed.to_vec(), Unit::Share)
        }
    };
    let metrics = [
        ("rank-sft.hits", share([0.381, 0.365, 0.402], 0.031)),
        ("rank-sft.entail", share([0.041, 0.037, 0.039], 0.012)),
        ("rank-sft.random", share([0.0, 0.002, 0.0], 0.002)),
        ("rank-sft.contradict", share([0.578, 0.596, 0.559], 0.033)),
        ("rank-dpo.hits", share([0.731, 0.702, 0.748], 0.029)),
        ("rank-dpo.entail", share([0.024, 0.03, 0.021], 0.010)),
        ("rank-dpo.random", share([0.0, 0.0, 0.001], 0.001)),
        ("rank-dpo.contradict", share([0.245, 0.268, 0.230], 0.030)),
        (
            "perplexity-weak.perplexity",
            MetricSummary::of_seeds(vec![f64::NAN], Unit::Plain),
        ),
        (
            "pairs.pairs",
            MetricSummary::of_seeds(vec![1488.0, 1491.0, 1479.0], Unit::Count),
        ),
    ];
    let metrics: std::collections::BTreeMap<String, MetricSummary> =
        metrics.map(|(name, m)| (name.to_owned(), m)).into();
    let labels = ["hits", "entail", "random", "contradict"];
    let row = |name: &str, stage: &str, paper: [Option<f64>; 4]| Row {
        name: name.into(),
        cells: labels
            .map(|l| metrics.get(&format!("{stage}.{l}")).map(Cell::from))
            .into(),
        paper: paper.map(|number| number.map(Into::into)).into(),
        model: "llama from random weights (0.4M)".into(),
        paper_model: "gpt2-large (774M)".into(),
    };
    let table = Table {
        title: "Persona consistency".into(),
        note: "Share of 400 items whose likeliest candidate carries the label; 95% intervals over seeds and items.".into(),
        columns: ["Hits", "Entail", "Random", "Contradict"]
            .map(|n| Column { name: n.into(), unit: Unit::Share })
            .into(),
        rows: vec![
            row("SFT", "rank-sft", [Some(41.2), Some(6.5), None, Some(52.3)]),
            row("SFT + DPO", "rank-dpo", [Some(63.7), Some(7.1), None, Some(29.2)]),
            row("DPO | no shuffle", "rank-none", [None; 4]),
        ],
    };
    let claims = vec![
        claim(
            "dpo-hits",
            "DPO on pairs from shuffled personas raises Hits and Entail over SFT.",
            "every model above 1B gains",
            [0.3245, 0.281, 0.37],
            Direction::Higher,
        )
        .beside(
            "llama from random weights (0.4M)".into(),
            &[
                Finding::of("gpt2-large (774M)".into(), 0.225),
                Finding::of("gpt2 (124M)".into(), -0.03),
            ],
        ),
        claim(
            "dpo-contradict",
            "DPO lowers the share of items won by a contradicting candidate.",
            "falls by 23.1 for the largest",
            [-0.33, -0.376, -0.286],
            Direction::Lower,
        ),
        claim(
            "shuffle",
            "Without the shuffle the gain disappears <entirely> & for good.",
            "no gain",
            [0.021, -0.018, 0.06],
            Direction::Higher,
        ),
        ClaimResult::unmeasured(
            "cross",
            "A larger model's pairs serve a small model better than its own.",
            "holds for four of five pairs",
        ),
    ];
    RunSummary {
        recipe: "persona-dpo".into(),
        profile: "sandbox".into(),
        backend: "flex".into(),
        seeds: vec![1, 2, 3],
        title: "Persona consistency from pseudo preferences".into(),
        paper: "An Author and Another, A paper about personas, 2025".into(),
        about: "A model fine-tuned on persona dialogue answers under a persona taken from another dialogue; that answer is rejected, the reference reply chosen, and DPO learns the difference.".into(),
        stages: stages(),
        tables: vec![table],
        metrics,
        claims,
        curves: curves(),
        samples: samples(),
        machine: Machine {
            cpu: "A processor at 3.1 GHz".into(),
            cores: 2,
            memory_gb: Some(15.6),
            os: "Debian GNU/Linux 12".into(),
            version: "0.1.0".into(),
        },
        parameters: Some(421_376),
        wall_seconds: 503.0,
        costs: vec!["Well-formed samples fell from 96% to 80%.".into()],
        notes: vec!["The base model is trained from scratch in the world and stands for a pre-trained one.".into()],
        overrides: vec!["dpo.beta=0.1".into()],
        given: BTreeMap::new(),
    }
}

fn claim(id: &str, statement: &str, paper: &str, d: [f64; 3], direction: Direction) -> ClaimResult {
    let [estimate, low, high] = d;
    let per_seed = vec![estimate - 0.02, estimate, estimate + 0.02];
    let difference = Interval {
        estimate,
        low,
        high,
        per_seed,
    };
    ClaimResult::unmeasured(id, statement, paper).judged(&difference, 0.05, direction, Unit::Share)
}

fn stages() -> Vec<StageSummary> {
    let names = [
        ("world", "persona-world"),
        ("base", "pretrain"),
        ("sft", "sft"),
        ("pairs", "pairs"),
        ("dpo", "prefer"),
        ("rank-sft", "rank"),
        ("rank-dpo", "rank"),
    ];
    let mut stages = Vec::new();
    for (at, (name, kind)) in names.into_iter().enumerate() {
        for seed in 1..=if at == 0 { 1 } else { 3u64 } {
            stages.push(StageSummary {
                name: name.into(),
                kind: kind.into(),
                seed: (at > 0).then_some(seed),
                hash: format!("{:016x}", 0x9e37_79b9_7f4a_7c15 ^ (at as u64 * 8 + seed)),
                seconds: 0.4 + 21.7 * at as f64 + seed as f64,
                reused: at < 2,
                artifact: format!("runs/.artifacts/{kind}-0123456789abcdef"),
                notes: if name == "pairs" {
                    vec![format!("{} identical pairs dropped", 8 + 2 * seed)]
                } else {
                    vec![]
                },
            });
        }
    }
    stages
}

fn curves() -> Vec<Curve> {
    let series = |name: &str, from: f64, to: f64, steps: u32| Series {
        name: name.into(),
        points: (0..steps)
            .map(|i| {
                let t = f64::from(i) / f64::from(steps);
                let noise = (f64::from(i) * 12.9898).sin() * 0.03 * (from - to).abs();
                (1500.0 * t, to + (from - to) * (-4.0 * t).exp() + noise)
            })
            .collect(),
    };
    vec![
        Curve {
            title: "DPO loss".into(),
            x_label: "step".into(),
            y_label: "nats a pair".into(),
            series: vec![
                series("seed 1", 0.693, 0.31, 1500),
                series("seed 2", 0.693, 0.35, 1500),
                series("seed 3", 0.693, 0.28, 1500),
            ],
        },
        Curve {
            title: "Reward accuracy".into(),
            x_label: "step".into(),
            y_label: "share of pairs".into(),
            series: vec![
                series("training", 0.5, 0.87, 1500),
                series("validation", 0.49, 0.82, 40),
            ],
        },
    ]
}

fn samples() -> Vec<SampleBlock> {
    let say = |speaker: &str, text: &str| Utterance {
        speaker: speaker.into(),
        text: text.into(),
    };
    let reply = |model: &str, text: &str, verdict: Option<&str>| Reply {
        model: model.into(),
        text: text.into(),
        verdict: verdict.map(str::to_owned),
    };
    vec![
        SampleBlock {
            head: vec![
                "I work as a baker .".into(),
                "I have two cats .".into(),
                "My favourite colour is <b>green</b> .".into(),
            ],
            history: vec![
                say("User", "Hi there, how was your day?"),
                say("Bot", "Long, but good. I am finally sitting down."),
                say("User", "What do you do for a living?"),
            ],
            replies: vec![
                reply("Reference", "I am a baker, I start at four.", None),
                reply("SFT", "I am a teacher at a school.", Some("contradicting")),
                reply(
                    "SFT + DPO",
                    "I work as a baker, it is warm work.",
                    Some("grounded"),
                ),
            ],
        },
        SampleBlock {
            head: vec!["I am allergic to nuts .".into()],
            history: vec![say("User", "Shall we have lunch?\nOr tea | coffee?")],
            replies: vec![
                reply("SFT", "", Some("neither")),
                reply(
                    "SFT + DPO",
                    "Yes, but no nuts for me, please.",
                    Some("grounded"),
                ),
            ],
        },
    ]
}
