//! Which objective a training stage has, by TRL's keys: `loss_type`, and the parameters of the losses it
//! names, whose defaults stand with each loss. A parameter that none of them takes is a problem.

use crate::objective::{Bco, Divergence, Kto, Objective, PairLoss, Parameters, Sum, Unpaired};
use crate::stage::settings::keys::{Keys, LARGE, POSITIVE, Within};

/// The name under which TRL has the sigmoid loss of log-ratios that are a token's mean.
const SIGMOID_NORM: &str = "sigmoid_norm";

/// A parameter that one loss alone takes.
struct Own {
    key: &'static str,
    doc: &'static str,
    range: Within<f64>,
}

const OWN: [Own; 3] = [
    Own {
        key: "discopop_tau",
        doc: "how sharply the loss changes from logistic to exponential",
        range: Within::above(0.0, 1.0),
    },
    Own {
        key: "simpo_gamma",
        doc: "the margin of rewards to reach",
        range: Within::up_to(LARGE),
    },
    Own {
        key: "cpo_alpha",
        doc: "what the chosen completions' negative log-likelihood weighs",
        range: Within::up_to(LARGE),
    },
];

/// A loss that was named, to be told its parameters.
struct Term {
    loss: PairLoss,
    /// Whether its name says that log-ratios are averaged.
    averaged: bool,
}

impl Term {
    /// The loss of that `loss_type`, with its own defaults.
    fn named(name: &str) -> Option<Self> {
        let averaged = name == SIGMOID_NORM;
        let mut loss = PairLoss::named(if averaged { "sigmoid" } else { name })?;
        if let (true, Some(average)) = (averaged, loss.parameters().length_average) {
            *average = true;
        }
        Some(Self { loss, averaged })
    }

    fn parameters(&mut self) -> Parameters<'_> {
        let all = self.loss.parameters();
        Parameters {
            length_average: all.length_average.filter(|_| !self.averaged),
            ..all
        }
    }

    /// Whether a label smoothing of 0 is none of its own: `exo_pair` is infinite there.
    fn needs_smoothing(&self) -> bool {
        let mut loss = self.loss;
        match loss.parameters().label_smoothing {
            Some(smoothing) => *smoothing = 0.0,
            None => return false,
        }
        loss.check().is_err()
    }
}

/// Every `loss_type` of pairs.
fn names() -> Vec<&'static str> {
    let mut names = PairLoss::NAMES.to_vec();
    names.insert(1, SIGMOID_NORM);
    names
}

/// Reads an objective of pairs: `loss_type`, one or a list of them with `loss_weights`, and their
/// parameters. A parameter that is given is that of every loss that takes it; one left out has each
/// loss's own default.
pub fn read_pairs(keys: &mut Keys<'_>) -> Objective {
    let named = keys
        .doc("the loss, or a list of losses to be summed")
        .one_or_more("loss_type", "sigmoid", &names());
    let mut terms: Vec<Term> = named.iter().filter_map(|name| Term::named(name)).collect();
    let ones = vec![1.0; terms.len()];
    let mut weights = keys.doc("what each loss of the list weighs").floats(
        "loss_weights",
        Some(&ones),
        0.0..=LARGE,
    );
    if weights.len() != terms.len() {
        let (given, losses) = (weights.len(), terms.len());
        let message =
            format!("expected as many weights as loss_type names, {losses}, found {given}");
        keys.problem("loss_weights", message);
        weights = ones;
    }

    let smoothing: Within<f64> = match terms.iter().any(Term::needs_smoothing) {
        true => Within::between(0.0, 0.5),
        false => (0.0..0.5).into(),
    };
    tell(
        keys,
        &mut terms,
        |it| it.beta,
        |keys, default| {
            keys.doc("how strongly the policy is held to the reference; ipo's tau, orpo's lambda");
            float(keys, "beta", default, POSITIVE)
        },
    );
    tell(
        keys,
        &mut terms,
        |it| it.label_smoothing,
        |keys, default| {
            keys.doc("probability that a pair's labels are swapped");
            float(keys, "label_smoothing", default, smoothing)
        },
    );
    tell(
        keys,
        &mut terms,
        |it| it.length_average,
        |keys, default| {
            keys.doc("whether log-ratios are a token's mean instead of a completion's sum");
            match default {
                Some(default) => Some(keys.bool("length_average", default)),
                None => keys.optional_bool("length_average"),
            }
        },
    );
    for Own { key, doc, range } in &OWN {
        tell(
            keys,
            &mut terms,
            |it| it.own.filter(|own| own.0 == *key).map(|own| own.1),
            |keys, default| float(keys.doc(doc), key, default, *range),
        );
    }
    shape(keys, &mut terms);
    let ld_alpha = keys
        .doc("what tokens beyond the shorter completion's length weigh; 1 where left out")
        .optional_float("ld_alpha", 0.0..=1.0);

    let losses = terms.into_iter().map(|term| term.loss);
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
    let unpaired = keys.variant("loss_type", "kto", &[("kto", kto), ("bco", bco)]);
    let objective = Objective::Unpaired(unpaired);
    check(keys, &objective);
    objective
}

fn kto(keys: &mut Keys<'_>) -> Unpaired {
    Unpaired::Kto(Kto {
        beta: unpaired_beta(keys, Kto::default().beta),
        desirable_weight: keys
            .doc("what desirable completions weigh; where left out, from the class counts")
            .optional_float("desirable_weight", POSITIVE),
        undesirable_weight: keys
            .doc("what undesirable completions weigh; where left out, from the class counts")
            .optional_float("undesirable_weight", POSITIVE),
    })
}

fn bco(keys: &mut Keys<'_>) -> Unpaired {
    Unpaired::Bco(Bco {
        beta: unpaired_beta(keys, Bco::default().beta),
    })
}

fn unpaired_beta(keys: &mut Keys<'_>, default: f64) -> f64 {
    keys.doc("how strongly the policy is held to the reference")
        .float("beta", default, POSITIVE)
}

/// What the parameters are together.
fn check(keys: &mut Keys<'_>, objective: &Objective) {
    if let Err(message) = objective.check() {
        keys.problem("loss_type", message);
    }
}

/// Reads the parameter that `of` finds, and tells it to each loss that takes it. `read` is given the default that all of
/// them have, or nothing where theirs differ. Where none takes it, it is refused.
fn tell<T: Copy + PartialEq>(
    keys: &mut Keys<'_>,
    terms: &mut [Term],
    of: impl Fn(Parameters<'_>) -> Option<&mut T>,
    read: impl Fn(&mut Keys<'_>, Option<T>) -> Option<T>,
) {
    let default = |term: &mut Term| of(term.parameters()).map(|value| *value);
    let defaults: Vec<T> = terms.iter_mut().filter_map(default).collect();
    let Some(&first) = defaults.first() else {
        let all = names().into_iter();
        let takers = all.filter_map(|name| Some((name, default(&mut Term::named(name)?)?)));
        let (takers, defaults): (Vec<_>, Vec<T>) = takers
            .map(|(name, default)| (format!("{name:?}"), default))
            .unzip();
        keys.only_with("loss_type", &takers.join(" or "), |keys| {
            read(keys, defaults.first().copied())
        });
        return;
    };
    let alike = defaults.iter().all(|default| *default == first);
    if let Some(value) = read(keys, alike.then_some(first)) {
        for taken in terms.iter_mut().filter_map(|term| of(term.parameters())) {
            *taken = value;
        }
    }
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

/// Reads the f-divergence of margins, for losses that all have one.
fn shape(keys: &mut Keys<'_>, terms: &mut [Term]) {
    let without = terms.iter_mut().find_map(|term| {
        let none = term.loss != PairLoss::Sft && term.parameters().f_divergence.is_none();
        none.then(|| term.loss.name())
    });
    if let Some(name) = without {
        let why = format!(
            "an f-divergence shapes a margin of rewards, which {name} is not made of; leave it out"
        );
        keys.refuse(&why, divergence);
        return;
    }
    let divergence = divergence(keys);
    for shaped in terms
        .iter_mut()
        .filter_map(|term| term.parameters().f_divergence)
    {
        *shaped = divergence;
    }
}

fn divergence(keys: &mut Keys<'_>) -> Divergence {
    keys.variant(
        "f_divergence_type",
        "reverse_kl",
        &[
            ("reverse_kl", |_| Divergence::ReverseKl),
            ("forward_kl", |_| Divergence::ForwardKl),
            ("js_divergence", |_| Divergence::JensenShannon),
            ("alpha_divergence", |keys| {
                let doc = "1 minus the paper's alpha: 0 is the forward KL, 1 the reverse one";
                let coefficient =
                    keys.doc(doc)
                        .float("f_alpha_divergence_coef", Divergence::ALPHA, 0.0..=1.0);
                Divergence::Alpha(coefficient)
            }),
        ],
    )
}

#[cfg(test)]
mod tests;
