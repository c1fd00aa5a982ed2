use std::path::Path;

use super::*;
use crate::objective::{Ipo, Margin, Reward, Sigmoid, SimPo};
use crate::stage::settings::keys::{Node, Reading, Scope};

fn read(text: &str, read: fn(&mut Keys<'_>) -> Objective) -> (Objective, Vec<String>, String) {
    let node = Node::parse(Path::new("r.toml"), text).unwrap();
    let (scope, mut found) = (Scope::default(), Reading::default());
    let mut keys = Keys::new(&scope, &node, &[], &mut found);
    let objective = read(&mut keys);
    drop(keys);
    let problems = found.problems.iter().map(ToString::to_string).collect();
    let settings = serde_json::to_string(&found.settings).unwrap();
    (objective, problems, settings)
}

fn pairs(text: &str) -> Objective {
    let (objective, problems, _) = read(text, read_pairs);
    assert_eq!(problems, [""; 0], "{text}");
    objective
}

#[test]
fn each_loss_has_its_own_defaults() {
    assert_eq!(pairs(""), Objective::pairs(Sigmoid::new(0.1, 0.0)));
    for name in names().into_iter().filter(|name| *name != "sft") {
        let objective = pairs(&format!("loss_type = \"{name}\""));
        let Objective::Pairs(sum) = &objective else {
            unreachable!()
        };
        assert!(name.starts_with(sum.terms[0].1.name()));
        let free = ["simpo", "cpo", "orpo"].contains(&name);
        assert_eq!(objective.needs_reference(), !free, "{name}");
    }
    let averaged = |length_average| Reward {
        beta: 0.1,
        length_average,
    };
    let ipo = |length_average| {
        Objective::pairs(Ipo {
            margin: Margin {
                reward: averaged(length_average),
                f_divergence: Divergence::ReverseKl,
            },
        })
    };
    assert_eq!(pairs("loss_type = \"ipo\""), ipo(true));
    assert_eq!(
        pairs("loss_type = \"ipo\"\nlength_average = false"),
        ipo(false)
    );
    // Every number that a loss has alone has its range.
    for mut loss in PairLoss::NAMES
        .iter()
        .filter_map(|name| PairLoss::named(name))
    {
        if let Some((key, _)) = loss.parameters().own {
            assert!(OWN.iter().any(|own| own.key == key), "{key}");
        }
    }
    let simpo = SimPo {
        beta: 2.0,
        gamma: 0.5,
        label_smoothing: 0.0,
    };
    assert_eq!(pairs("loss_type = \"simpo\""), Objective::pairs(simpo));
    let norm = pairs("loss_type = \"sigmoid_norm\"");
    assert_eq!(norm, pairs("length_average = true"));
}

#[test]
fn each_loss_has_the_defaults_that_its_page_tells() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/objectives.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut told = 0;
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_start_matches("| `").split(" | ").collect();
        let name = cells[0].trim_end_matches('`');
        let pairs = names().contains(&name);
        if cells.len() < 5 || name == "sft" || !pairs && !["kto", "bco"].contains(&name) {
            continue;
        }
        let reader = if pairs { read_pairs } else { read_unpaired };
        let (_, _, settings) = read(&format!("loss_type = {name:?}"), reader);
        let settings: serde_json::Value = serde_json::from_str(&settings).unwrap();
        // "`beta` 0.1, `label_smoothing` 0 (the paper: 0.1)"
        for default in cells[3].split(", `").map(|it| it.trim_start_matches('`')) {
            let Some((key, value)) = default.split_once("` ") else {
                continue;
            };
            let value = value.split([' ', ',']).next().unwrap();
            let value: serde_json::Value = serde_json::from_str(value).unwrap();
            let same = match (value.as_f64(), settings[key].as_f64()) {
                (Some(told), Some(read)) => told == read,
                _ => value == settings[key],
            };
            assert!(same, "{name}: {default}, found {}", settings[key]);
            told += 1;
        }
    }
    assert!(told > 25, "{told}");
}

#[test]
fn a_list_shares_what_is_given_and_keeps_its_own_defaults_else() {
    let text = "loss_type = [\"sigmoid\", \"ipo\", \"exo_pair\", \"sft\"]\nloss_weights = [1, 0.5, 2, 0.1]";
    let (objective, problems, settings) = read(text, read_pairs);
    assert_eq!(problems, [""; 0]);
    let Objective::Pairs(sum) = objective else {
        unreachable!()
    };
    let weights: Vec<f64> = sum.terms.iter().map(|term| term.0).collect();
    assert_eq!(weights, [1.0, 0.5, 2.0, 0.1]);
    let PairLoss::Ipo(ipo) = sum.terms[1].1 else {
        unreachable!()
    };
    assert!(ipo.margin.reward.length_average);
    let PairLoss::ExoPair(exo) = sum.terms[2].1 else {
        unreachable!()
    };
    assert_eq!(
        (exo.label_smoothing, exo.margin.reward.length_average),
        (1e-3, false)
    );
    assert_eq!(sum.terms[3].1, PairLoss::Sft);
    // Shared defaults are recorded, differing ones are not.
    assert!(settings.contains("\"beta\":0.1") && !settings.contains("label_smoothing"));

    let given = pairs(&format!(
        "{text}\nlength_average = true\nlabel_smoothing = 0.2\nbeta = 3"
    ));
    let Objective::Pairs(sum) = given else {
        unreachable!()
    };
    let PairLoss::ExoPair(exo) = sum.terms[2].1 else {
        unreachable!()
    };
    assert_eq!(exo.label_smoothing, 0.2);
    assert_eq!(
        (exo.margin.reward.beta, exo.margin.reward.length_average),
        (3.0, true)
    );
}

#[test]
fn a_parameter_that_no_loss_takes_is_a_problem() {
    let cases = [
        (
            "loss_type = \"ipo\"\nlabel_smoothing = 0.1",
            "r.toml:2: label_smoothing: goes with loss_type = \"sigmoid\" or \"sigmoid_norm\" or \"robust\" or ",
        ),
        (
            "simpo_gamma = 1",
            "r.toml:1: simpo_gamma: goes with loss_type = \"simpo\" alone; set that or remove the key",
        ),
        (
            "loss_type = \"orpo\"\nlength_average = true",
            "r.toml:2: length_average: goes with loss_type = \"sigmoid\" or \"robust\" or ",
        ),
        (
            "f_alpha_divergence_coef = 0.5",
            "r.toml:1: f_alpha_divergence_coef: goes with f_divergence_type = \"alpha_divergence\" alone",
        ),
        (
            "loss_type = [\"sigmoid\", \"nca_pair\"]\nf_divergence_type = \"forward_kl\"",
            "r.toml:2: f_divergence_type: an f-divergence shapes a margin of rewards, which nca_pair",
        ),
        (
            "loss_type = \"exo_pair\"\nlabel_smoothing = 0",
            "r.toml:2: label_smoothing: expected a number in (0.0, 0.5), found 0",
        ),
        (
            "label_smoothing = 0.5",
            "r.toml:1: label_smoothing: expected a number in [0.0, 0.5), found 0.5",
        ),
        (
            "beta = 0",
            "r.toml:1: beta: expected a number in (0.0, 1000000000.0], found 0",
        ),
        (
            "loss_type = \"dpo\"",
            "r.toml:1: loss_type: expected one of \"sigmoid\", ",
        ),
        (
            "loss_type = []",
            "r.toml:1: loss_type: expected one of \"sigmoid\", ",
        ),
        (
            "loss_type = \"sft\"",
            "r.toml:1: loss_type: at least one loss must compare",
        ),
        (
            "loss_type = [\"sigmoid\", \"sft\"]\nld_alpha = 0.5",
            "r.toml:1: loss_type: ld_alpha does not apply to sft",
        ),
        (
            "loss_type = \"simpo\"\nld_alpha = 0.5",
            "r.toml:1: loss_type: ld_alpha does not apply to simpo",
        ),
        (
            "loss_weights = [1, 2]",
            "r.toml:1: loss_weights: expected as many weights as loss_type names, 1, found 2",
        ),
        (
            "discopop_tau = 0.1\nloss_type = \"hinge\"",
            "r.toml:1: discopop_tau: goes with loss_type = \"discopop\" alone",
        ),
    ];
    for (text, start) in cases {
        let (_, problems, _) = read(text, read_pairs);
        let [problem] = problems.as_slice() else {
            panic!("{text}: {problems:?}")
        };
        assert!(problem.starts_with(start), "{problem}");
    }
}

#[test]
fn unpaired_losses_read_their_own_keys() {
    let kto = |desirable_weight, undesirable_weight| {
        Objective::Unpaired(Unpaired::Kto(Kto {
            beta: 0.1,
            desirable_weight,
            undesirable_weight,
        }))
    };
    let (objective, problems, _) = read("desirable_weight = 1.5", read_unpaired);
    assert_eq!((objective, problems.len()), (kto(Some(1.5), None), 0));
    let (objective, _, _) = read("", read_unpaired);
    assert_eq!(objective.with_counts(10, 20), kto(Some(2.0), Some(1.0)));
    let (objective, problems, _) = read("loss_type = \"bco\"\nbeta = 0.3", read_unpaired);
    assert_eq!(
        objective,
        Objective::Unpaired(Unpaired::Bco(Bco { beta: 0.3 }))
    );
    assert_eq!(problems, [""; 0]);
    let (_, problems, _) = read("loss_type = \"bco\"\ndesirable_weight = 2", read_unpaired);
    assert!(
        problems[0].starts_with("r.toml:2: desirable_weight: goes with loss_type = \"kto\" alone")
    );
}

#[test]
fn an_f_divergence_shapes_the_margin_of_every_loss_that_has_one() {
    let text = "loss_type = [\"hinge\", \"sft\"]\nf_divergence_type = \"alpha_divergence\"\nf_alpha_divergence_coef = 0.25";
    let Objective::Pairs(sum) = pairs(text) else {
        unreachable!()
    };
    let PairLoss::Hinge(hinge) = sum.terms[0].1 else {
        unreachable!()
    };
    assert_eq!(hinge.margin.f_divergence, Divergence::Alpha(0.25));
}
