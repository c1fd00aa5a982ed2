//! Which objective a training stage has, by TRL's keys: `loss_type`, and the parameters of the losses it
//! names. A parameter that none of them takes is a problem, as every key never asked for is.

use crate::objective::{
    Aot, AotUnpaired, ApoDown, ApoZero, Bco, BcoPair, Cpo, DiscoPop, Divergence, ExoPair, Hinge,
    Ipo, Kto, Margin, NcaPair, Objective, Orpo, PairLoss, Reward, Robust, Sigmoid, SimPo, SppoHard,
    Sum, Unpaired,
};
use crate::stage::settings::keys::{Keys, LARGE, POSITIVE, Within};

/// A `loss_type` of pairs: the defaults of the parameters that it shares with others, nothing where it
/// does not take one, and how it is made.
struct Choice {
    name: &'static str,
    beta: Option<f64>,
    label_smoothing: Option<f64>,
    length_average: Option<bool>,
    make: Make,
}

/// How a loss is made of its parameters.
enum Make {
    /// Of a margin, which an f-divergence may shape.
    Margin(fn(Margin, &Given) -> PairLoss),
    /// Of rewards against a reference.
    Reward(fn(Reward, &Given) -> PairLoss),
    /// Of the policy's log-probs alone.
    Free(fn(&Given) -> PairLoss),
}

/// One loss's parameters, as given or by its defaults.
struct Given {
    beta: f64,
    label_smoothing: f64,
    discopop_tau: f64,
    simpo_gamma: f64,
    cpo_alpha: f64,
}

/// What most losses take: TRL's `beta`, and summed log-probs.
const PLAIN: Choice = Choice {
    name: "sft",
    beta: Some(0.1),
    label_smoothing: None,
    length_average: Some(false),
    make: Make::Free(|_| PairLoss::Sft),
};

const PAIRS: &[Choice] = &[
    Choice {
        name: "sigmoid",
        label_smoothing: Some(0.0),
        make: Make::Margin(sigmoid),
        ..PLAIN
    },
    Choice {
        name: "sigmoid_norm",
        label_smoothing: Some(0.0),
        length_average: None,
        make: Make::Margin(|mut margin, given| {
            margin.reward.length_average = true;
            sigmoid(margin, given)
        }),
        ..PLAIN
    },
    Choice {
        name: "robust",
        label_smoothing: Some(0.0),
        make: Make::Margin(|margin, given| {
            let label_smoothing = given.label_smoothing;
            PairLoss::Robust(Robust {
                margin,
                label_smoothing,
            })
        }),
        ..PLAIN
    },
    Choice {
        name: "ipo",
        length_average: Some(true),
        make: Make::Margin(|margin, _| PairLoss::Ipo(Ipo { margin })),
        ..PLAIN
    },
    Choice {
        name: "hinge",
        make: Make::Margin(|margin, _| PairLoss::Hinge(Hinge { margin })),
        ..PLAIN
    },
    Choice {
        name: "exo_pair",
        // The paper's; the loss is infinite at 0.
        label_smoothing: Some(1e-3),
        make: Make::Margin(|margin, given| {
            let label_smoothing = given.label_smoothing;
            PairLoss::ExoPair(ExoPair {
                margin,
                label_smoothing,
            })
        }),
        ..PLAIN
    },
    Choice {
        name: "discopop",
        make: Make::Margin(|margin, given| {
            let tau = given.discopop_tau;
            PairLoss::DiscoPop(DiscoPop { margin, tau })
        }),
        ..PLAIN
    },
    Choice {
        name: "nca_pair",
        make: Make::Reward(|reward, _| PairLoss::NcaPair(NcaPair { reward })),
        ..PLAIN
    },
    Choice {
        name: "bco_pair",
        make: Make::Reward(|reward, _| PairLoss::BcoPair(BcoPair { reward })),
        ..PLAIN
    },
    Choice {
        name: "sppo_hard",
        make: Make::Reward(|reward, _| PairLoss::SppoHard(SppoHard { reward })),
        ..PLAIN
    },
    Choice {
        name: "aot",
        label_smoothing: Some(0.0),
        make: Make::Reward(|reward, given| {
            let label_smoothing = given.label_smoothing;
            PairLoss::Aot(Aot {
                reward,
                label_smoothing,
            })
        }),
        ..PLAIN
    },
    Choice {
        name: "aot_unpaired",
        label_smoothing: Some(0.0),
        make: Make::Reward(|reward, given| {
            let label_smoothing = given.label_smoothing;
            PairLoss::AotUnpaired(AotUnpaired {
                reward,
                label_smoothing,
            })
        }),
        ..PLAIN
    },
    Choice {
        name: "apo_zero",
        make: Make::Reward(|reward, _| PairLoss::ApoZero(ApoZero { reward })),
        ..PLAIN
    },
    Choice {
        name: "apo_down",
        make: Make::Reward(|reward, _| PairLoss::ApoDown(ApoDown { reward })),
        ..PLAIN
    },
    Choice {
        name: "simpo",
        // The authors'; a mean log-prob is far smaller than a sum.
        beta: Some(2.0),
        label_smoothing: Some(0.0),
        length_average: None,
        make: Make::Free(|given| {
            PairLoss::SimPo(SimPo {
                beta: given.beta,
                gamma: given.simpo_gamma,
                label_smoothing: given.label_smoothing,
            })
        }),
    },
    Choice {
        name: "cpo",
        label_smoothing: Some(0.0),
        length_average: None,
        make: Make::Free(|given| {
            PairLoss::Cpo(Cpo {
                beta: given.beta,
                alpha: given.cpo_alpha,
                label_smoothing: given.label_smoothing,
            })
        }),
        ..PLAIN
    },
    Choice {
        name: "orpo",
        length_average: None,
        make: Make::Free(|given| PairLoss::Orpo(Orpo { beta: given.beta })),
        ..PLAIN
    },
    Choice {
        beta: None,
        length_average: None,
        ..PLAIN
    },
];

fn sigmoid(margin: Margin, given: &Given) -> PairLoss {
    PairLoss::Sigmoid(Sigmoid {
        margin,
        label_smoothing: given.label_smoothing,
    })
}

/// Reads an objective of pairs: `loss_type`, one or a list of them with `loss_weights`, and their
/// parameters. A parameter that is given is that of every loss that takes it; one left out has each
/// loss's own default.
pub fn read_pairs(keys: &mut Keys<'_>) -> Objective {
    let names: Vec<&'static str> = PAIRS.iter().map(|choice| choice.name).collect();
    let names = keys
        .doc("the loss, or a list of losses to be summed")
        .one_or_more("loss_type", "sigmoid", &names);
    let named = |name: &&str| PAIRS.iter().find(|choice| choice.name == *name);
    let chosen: Vec<&Choice> = names.iter().filter_map(named).collect();
    let ones = vec![1.0; chosen.len()];
    let mut weights = keys.doc("what each loss of the list weighs").floats(
        "loss_weights",
        Some(&ones),
        0.0..=LARGE,
    );
    if weights.len() != chosen.len() {
        let (given, losses) = (weights.len(), chosen.len());
        let message =
            format!("expected as many weights as loss_type names, {losses}, found {given}");
        keys.problem("loss_weights", message);
        weights = ones;
    }

    let beta = shared(&chosen, |choice| choice.beta).and_then(|default| {
        keys.doc("how strongly the policy is held to the reference; ipo's tau, orpo's lambda");
        float(keys, "beta", default, POSITIVE)
    });
    // At 0 exo_pair is infinite.
    let range: Within<f64> = match names.contains(&"exo_pair") {
        true => Within::between(0.0, 0.5),
        false => (0.0..0.5).into(),
    };
    let smoothing = shared(&chosen, |choice| choice.label_smoothing).and_then(|default| {
        keys.doc("probability that a pair's labels are swapped");
        float(keys, "label_smoothing", default, range)
    });
    let average = shared(&chosen, |choice| choice.length_average).and_then(|default| {
        keys.doc("whether log-ratios are a token's mean instead of a completion's sum");
        match default {
            Some(default) => Some(keys.bool("length_average", default)),
            None => keys.optional_bool("length_average"),
        }
    });
    let mut only = |name: &str, key: &str, default: f64, range: Within<f64>| {
        let taken = names.contains(&name);
        if taken {
            keys.float(key, default, range)
        } else {
            default
        }
    };
    let at_most_one = Within::above(0.0, 1.0);
    let not_negative = Within::from(0.0..=LARGE);
    let discopop_tau = only("discopop", "discopop_tau", 0.05, at_most_one);
    let simpo_gamma = only("simpo", "simpo_gamma", 0.5, not_negative);
    let cpo_alpha = only("cpo", "cpo_alpha", 1.0, not_negative);
    let f_divergence = divergence(keys, &chosen);
    let ld_alpha = keys
        .doc("what tokens beyond the shorter completion's length weigh; 1 where left out")
        .optional_float("ld_alpha", 0.0..=1.0);

    let make = |choice: &&Choice| {
        let given = Given {
            beta: beta.or(choice.beta).unwrap_or_default(),
            label_smoothing: smoothing.or(choice.label_smoothing).unwrap_or_default(),
            discopop_tau,
            simpo_gamma,
            cpo_alpha,
        };
        let reward = Reward {
            beta: given.beta,
            length_average: average.or(choice.length_average).unwrap_or_default(),
        };
        let margin = Margin {
            reward,
            f_divergence,
        };
        match choice.make {
            Make::Margin(make) => make(margin, &given),
            Make::Reward(make) => make(reward, &given),
            Make::Free(make) => make(&given),
        }
    };
    let losses: Vec<PairLoss> = chosen.iter().map(make).collect();
    let objective = Objective::Pairs(Sum {
        terms: weights.into_iter().zip(losses).collect(),
        ld_alpha,
    });
    check(keys, &objective);
    objective
}

/// Reads an objective of labelled completions: `loss_type`, and its parameters. KTO's weights that are not
/// given wait for the class counts ([`Objective::with_counts`]).
pub fn read_unpaired(keys: &mut Keys<'_>) -> Objective {
    let loss = keys.choice("loss_type", "kto", &["kto", "bco"]);
    let beta = keys
        .doc("how strongly the policy is held to the reference")
        .float("beta", 0.1, POSITIVE);
    let unpaired = match loss {
        "bco" => Unpaired::Bco(Bco { beta }),
        _ => Unpaired::Kto(Kto {
            beta,
            desirable_weight: keys
                .doc("what desirable completions weigh; where left out, from the class counts")
                .optional_float("desirable_weight", POSITIVE),
            undesirable_weight: keys
                .doc("what undesirable completions weigh; where left out, from the class counts")
                .optional_float("undesirable_weight", POSITIVE),
        }),
    };
    let objective = Objective::Unpaired(unpaired);
    check(keys, &objective);
    objective
}

/// What the parameters are together.
fn check(keys: &mut Keys<'_>, objective: &Objective) {
    if let Err(message) = objective.check() {
        keys.problem("loss_type", message);
    }
}

/// The default of a parameter, if any of the losses takes it; within, nothing where their defaults differ.
fn shared<T: PartialEq>(
    chosen: &[&Choice],
    default: impl Fn(&Choice) -> Option<T>,
) -> Option<Option<T>> {
    let mut defaults = chosen.iter().filter_map(|choice| default(choice));
    let first = defaults.next()?;
    Some(defaults.all(|default| default == first).then_some(first))
}

/// A number with a default that all losses have, or, where theirs differ, none.
fn float(
    keys: &mut Keys<'_>,
    key: &str,
    default: Option<f64>,
    range: impl Into<Within<f64>>,
) -> Option<f64> {
    match default {
        Some(default) => Some(keys.float(key, default, range)),
        None => keys.optional_float(key, range),
    }
}

/// The f-divergence of margins, for losses that all have one.
fn divergence(keys: &mut Keys<'_>, chosen: &[&Choice]) -> Divergence {
    const KEY: &str = "f_divergence_type";
    let without = chosen
        .iter()
        .find(|choice| choice.name != "sft" && !matches!(choice.make, Make::Margin(_)));
    if let Some(without) = without {
        for key in [KEY, "f_alpha_divergence_coef"] {
            if keys.raw(key).is_some() {
                let message = format!(
                    "an f-divergence shapes a margin of rewards, which {} is not made of; leave it out",
                    without.name
                );
                keys.problem(key, message);
            }
        }
        return Divergence::ReverseKl;
    }
    let types = [
        "reverse_kl",
        "forward_kl",
        "js_divergence",
        "alpha_divergence",
    ];
    match keys.choice(KEY, types[0], &types) {
        "forward_kl" => Divergence::ForwardKl,
        "js_divergence" => Divergence::JensenShannon,
        "alpha_divergence" => Divergence::Alpha(
            keys.doc("1 minus the paper's alpha: 0 is the forward KL, 1 the reverse one")
                .float("f_alpha_divergence_coef", 0.5, 0.0..=1.0),
        ),
        _ => Divergence::ReverseKl,
    }
}

#[cfg(test)]
mod tests;
