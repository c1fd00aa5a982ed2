//! Persona consistency by candidate ranking: which candidate reply does the model find likeliest?
//!
//! The measure of Dialogue NLI (Welleck et al., 2019, arXiv 1811.00671, section 4): every item
//! offers the gold reply and entailing, random and contradicting candidates; `hits`, `entail`,
//! `random` and `contradict` are the shares of items whose likeliest candidate carries that label.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::statistics::wilson;

/// The labels every report shows, in the order of the paper's tables.
pub const LABELS: [&str; 4] = ["hits", "entail", "random", "contradict"];
/// The share of items won by the gold or by an entailing candidate.
pub const HITS_ENTAIL: &str = "hits_entail";

/// One candidate as the model scored it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    pub label: String,
    /// Sum of the log-probs of its tokens, in nats.
    pub logp: f64,
    /// Tokens scored (the end-of-sequence token included, if it was).
    pub tokens: usize,
}

/// The outcome of one item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ranked {
    /// Label of the candidate with the highest summed log-prob.
    pub winner_sum: String,
    /// Label of the candidate with the highest log-prob per token.
    pub winner_mean: String,
    /// Whether another candidate had the same highest sum; the first one then wins.
    pub tied_sum: bool,
    /// The same for the per-token mean.
    pub tied_mean: bool,
    pub candidates: usize,
}

/// Which score decides an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Sum,
    Mean,
}

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RankingError {
    #[error("an item has no candidates")]
    NoCandidates,
    #[error("candidate {0} (counted from 0) has no scored tokens")]
    NoTokens(usize),
    #[error("candidate {0} (counted from 0) has the log-prob {1}, which cannot be ranked")]
    NotANumber(usize, f64),
}

/// Ranks one item's candidates by summed and by per-token log-prob.
///
/// A log-prob of minus infinity is a legitimate loser; NaN or plus infinity is an error.
pub fn rank(candidates: &[Scored]) -> Result<Ranked, RankingError> {
    for (index, candidate) in candidates.iter().enumerate() {
        if candidate.tokens == 0 {
            return Err(RankingError::NoTokens(index));
        }
        if candidate.logp.is_nan() || candidate.logp == f64::INFINITY {
            return Err(RankingError::NotANumber(index, candidate.logp));
        }
    }
    let by_sum = first_highest(candidates.iter().map(|c| c.logp));
    let by_mean = first_highest(candidates.iter().map(|c| c.logp / c.tokens as f64));
    let ((sum, tied_sum), (mean, tied_mean)) =
        by_sum.zip(by_mean).ok_or(RankingError::NoCandidates)?;
    Ok(Ranked {
        winner_sum: candidates[sum].label.clone(),
        winner_mean: candidates[mean].label.clone(),
        tied_sum,
        tied_mean,
        candidates: candidates.len(),
    })
}

fn first_highest(scores: impl Iterator<Item = f64>) -> Option<(usize, bool)> {
    let mut best: Option<(usize, f64, bool)> = None;
    for (index, score) in scores.enumerate() {
        best = match best {
            Some((first, top, _)) if score == top => Some((first, top, true)),
            Some(kept) if score < kept.1 => Some(kept),
            _ => Some((index, score, false)),
        };
    }
    best.map(|(index, _, tied)| (index, tied))
}

/// A share with its count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    pub count: u64,
    pub total: u64,
    /// `count / total`; zero when there were no items.
    pub share: f64,
    /// 95% Wilson interval; absent when there were no items.
    pub ci95: Option<[f64; 2]>,
}

impl Rate {
    pub fn new(count: u64, total: u64) -> Self {
        Self {
            count,
            total,
            share: count as f64 / total.max(1) as f64,
            ci95: wilson(count, total),
        }
    }
}

/// Shares of won items by label, under both scores.
///
/// The four [`LABELS`] and [`HITS_ENTAIL`] are always present; other labels if they won an item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    pub items: u64,
    pub by_sum: BTreeMap<String, Rate>,
    pub by_mean: BTreeMap<String, Rate>,
    pub ties_sum: u64,
    pub ties_mean: u64,
}

impl Rates {
    pub fn of(items: &[Ranked]) -> Self {
        let count = |test: fn(&Ranked) -> bool| items.iter().filter(|r| test(r)).count() as u64;
        Self {
            items: items.len() as u64,
            by_sum: rates(items, By::Sum),
            by_mean: rates(items, By::Mean),
            ties_sum: count(|r| r.tied_sum),
            ties_mean: count(|r| r.tied_mean),
        }
    }
}

fn rates(items: &[Ranked], by: By) -> BTreeMap<String, Rate> {
    let names = LABELS.into_iter().chain([HITS_ENTAIL]);
    let mut counts: BTreeMap<&str, u64> = names.map(|name| (name, 0)).collect();
    for item in items {
        let label = item.winner(by);
        *counts.entry(label).or_default() += 1;
        if won(label, HITS_ENTAIL) {
            *counts.entry(HITS_ENTAIL).or_default() += 1;
        }
    }
    let total = items.len() as u64;
    counts
        .into_iter()
        .map(|(name, count)| (name.to_owned(), Rate::new(count, total)))
        .collect()
}

impl Ranked {
    pub fn winner(&self, by: By) -> &str {
        match by {
            By::Sum => &self.winner_sum,
            By::Mean => &self.winner_mean,
        }
    }
}

/// One 1.0 or 0.0 an item: whether a candidate of this label won it. `label` may be
/// [`HITS_ENTAIL`]. The form that [`super::paired_difference`] takes for one seed.
pub fn indicators(items: &[Ranked], label: &str, by: By) -> Vec<f64> {
    items
        .iter()
        .map(|item| f64::from(u8::from(won(item.winner(by), label))))
        .collect()
}

fn won(winner: &str, label: &str) -> bool {
    match label {
        HITS_ENTAIL => winner == "hits" || winner == "entail",
        _ => winner == label,
    }
}

/// `exp(nll / tokens)`, for a negative log-likelihood in nats; `None` without tokens.
pub fn perplexity(nll: f64, tokens: u64) -> Option<f64> {
    (tokens > 0).then(|| (nll / tokens as f64).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(candidates: &[(&str, f64, usize)]) -> Vec<Scored> {
        let one = |&(label, logp, tokens): &(&str, f64, usize)| Scored {
            label: label.into(),
            logp,
            tokens,
        };
        candidates.iter().map(one).collect()
    }

    #[test]
    fn sum_favours_short_and_mean_does_not() {
        // -6/2 = -3 a token against -8/8 = -1 a token.
        let got = rank(&scored(&[("contradict", -6.0, 2), ("hits", -8.0, 8)])).unwrap();
        assert_eq!(got.winner_sum, "contradict");
        assert_eq!(got.winner_mean, "hits");
        assert!(!got.tied_sum && !got.tied_mean);
    }

    #[test]
    fn ties_go_to_the_first_and_are_seen() {
        let got = rank(&scored(&[
            ("random", -9.0, 3),
            ("entail", -4.0, 2),
            ("hits", -4.0, 4),
            ("contradict", -5.0, 5),
        ]))
        .unwrap();
        assert_eq!((got.winner_sum.as_str(), got.tied_sum), ("entail", true));
        assert_eq!((got.winner_mean.as_str(), got.tied_mean), ("hits", true));
        // A tie that a later candidate beats is no tie.
        let got = rank(&scored(&[
            ("random", -9.0, 1),
            ("entail", -9.0, 1),
            ("hits", -1.0, 1),
        ]));
        assert!(!got.unwrap().tied_sum);
    }

    #[test]
    fn minus_infinity_loses_and_nan_is_an_error() {
        let got = rank(&scored(&[
            ("hits", f64::NEG_INFINITY, 1),
            ("random", -50.0, 1),
        ]));
        assert_eq!(got.unwrap().winner_sum, "random");
        assert!(matches!(
            rank(&scored(&[("hits", -1.0, 1), ("random", f64::NAN, 1)])),
            Err(RankingError::NotANumber(1, _))
        ));
        assert_eq!(
            rank(&scored(&[("hits", 0.0, 0)])),
            Err(RankingError::NoTokens(0))
        );
        assert_eq!(rank(&[]), Err(RankingError::NoCandidates));
    }

    #[test]
    fn rates_by_hand() {
        let winners = ["hits", "entail", "hits", "contradict"];
        let items: Vec<Ranked> = winners
            .iter()
            .map(|w| rank(&scored(&[(w, -1.0, 2), ("random", -1.0, 1)])).unwrap())
            .collect();
        let rates = Rates::of(&items);
        assert_eq!(rates.items, 4);
        assert_eq!(rates.by_sum["hits"], Rate::new(2, 4));
        assert_eq!(rates.by_sum["hits"].share, 0.5);
        assert_eq!(rates.by_sum["hits_entail"].count, 3);
        assert_eq!(rates.by_sum["random"].count, 0);
        assert_eq!((rates.ties_sum, rates.ties_mean), (4, 0));
        assert_eq!(
            indicators(&items, HITS_ENTAIL, By::Sum),
            [1.0, 1.0, 1.0, 0.0]
        );
        assert_eq!(
            indicators(&items, "contradict", By::Mean),
            [0.0, 0.0, 0.0, 1.0]
        );
        assert_eq!(Rates::of(&[]).by_sum["hits"].ci95, None);
    }

    #[test]
    fn perplexity_of_a_uniform_model_is_its_vocabulary() {
        let nll = 7.0 * 50f64.ln();
        assert!((perplexity(nll, 7).unwrap() - 50.0).abs() < 1e-9);
        assert_eq!(perplexity(0.0, 0), None);
    }
}
