//! Self-BLEU: how much replies are put together of the same pieces.
//!
//! Each reply is scored by BLEU-4 (Papineni et al., 2002) against all the others as references, and the scores are
//! averaged (Zhu et al., 2018, arXiv 1802.01886): 1 where every reply is found among the others, 0 where no two share
//! a word. An order of n-grams without a match counts as 0.1 matches, and one without n-grams as 0.1 of 1 (method 1 of
//! Chen and Cherry, 2014, with the epsilon of NLTK, whose `sentence_bleu` this equals).
//!
//! It grows with the number of replies, so only sets of one size are to be compared.

use std::collections::BTreeMap;

/// The longest n-grams.
const ORDER: usize = 4;

/// Matches that an order without any counts as.
const EPSILON: f64 = 0.1;

/// How often an n-gram comes in the reply that has it most, in which that is, and how often in any other at most.
#[derive(Clone, Copy, Default)]
struct Most {
    first: usize,
    owner: usize,
    second: usize,
}

/// Mean BLEU-4 of each reply, given as words, against all the others; replies without words are left out. Nothing for
/// fewer than two replies.
///
/// What a reply's n-grams are clipped at is their highest count among the others, which the two highest counts of all
/// tell: time grows with the length of the replies, not with the pairs of them.
pub fn self_bleu(replies: &[Vec<String>]) -> Option<f64> {
    let replies: Vec<&[String]> = replies
        .iter()
        .filter(|words| !words.is_empty())
        .map(Vec::as_slice)
        .collect();
    if replies.len() < 2 {
        return None;
    }
    let mut logs = vec![0.0; replies.len()];
    for n in 1..=ORDER {
        let counts: Vec<_> = replies.iter().map(|words| count(words, n)).collect();
        let mut most: BTreeMap<&[String], Most> = BTreeMap::new();
        for (owner, counts) in counts.iter().enumerate() {
            for (&gram, &times) in counts {
                let most = most.entry(gram).or_default();
                if times > most.first {
                    *most = Most {
                        first: times,
                        owner,
                        second: most.first,
                    };
                } else {
                    most.second = most.second.max(times);
                }
            }
        }
        for (reply, (log, counts)) in logs.iter_mut().zip(&counts).enumerate() {
            let matched = counts.iter().map(|(gram, &times)| {
                let most = most[gram];
                times.min(if most.owner == reply {
                    most.second
                } else {
                    most.first
                })
            });
            let (matched, all) = (matched.sum::<usize>(), counts.values().sum::<usize>());
            // Without a single word in common the score is 0, not smoothed.
            *log += match (matched, n) {
                (0, 1) => f64::NEG_INFINITY,
                (0, _) => (EPSILON / all.max(1) as f64).ln(),
                (matched, _) => (matched as f64 / all as f64).ln(),
            };
        }
    }
    let lengths = lengths(&replies);
    let scores = replies.iter().zip(&logs).map(|(words, log)| {
        let brevity = 1.0 - closest(&lengths, words.len()) as f64 / words.len() as f64;
        (brevity.min(0.0) + log / ORDER as f64).exp()
    });
    Some(scores.sum::<f64>() / replies.len() as f64)
}

fn count(words: &[String], n: usize) -> BTreeMap<&[String], usize> {
    let mut counts = BTreeMap::new();
    for gram in words.windows(n) {
        *counts.entry(gram).or_default() += 1;
    }
    counts
}

/// How many replies have each length.
fn lengths(replies: &[&[String]]) -> BTreeMap<usize, usize> {
    let mut lengths = BTreeMap::new();
    for words in replies {
        *lengths.entry(words.len()).or_default() += 1;
    }
    lengths
}

/// The length nearest to `own` among the other replies, the shorter of two as near.
fn closest(lengths: &BTreeMap<usize, usize>, own: usize) -> usize {
    if lengths.get(&own).is_some_and(|&replies| replies > 1) {
        return own;
    }
    let shorter = lengths.range(..own).next_back().map(|it| *it.0);
    let longer = lengths.range(own + 1..).next().map(|it| *it.0);
    match (shorter, longer) {
        (Some(shorter), Some(longer)) if longer - own < own - shorter => longer,
        (Some(shorter), _) => shorter,
        (None, longer) => longer.unwrap_or(own),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(replies: &[&str]) -> Vec<Vec<String>> {
        let words = |reply: &&str| reply.split_whitespace().map(str::to_owned).collect();
        replies.iter().map(words).collect()
    }

    #[test]
    fn it_is_the_mean_of_nltks_sentence_bleu() {
        // NLTK 3.10: sentence_bleu(others, reply, smoothing_function=SmoothingFunction().method1), averaged.
        let found = self_bleu(&split(&[
            "i like green tea and black tea",
            "i like black tea",
            "tea and coffee and tea and milk",
            "do you like green tea and black tea too",
            "no",
            "i see",
        ]));
        assert!(
            (found.unwrap() - 0.322_438_030_561_384_5).abs() < 1e-12,
            "{found:?}"
        );
        let found = self_bleu(&split(&[
            "that sounds nice",
            "i see that sounds nice",
            "all right",
            "that sounds nice",
            "i see",
            "okay then i see",
            "the the the cat",
            "the cat the cat the",
        ]));
        assert!(
            (found.unwrap() - 0.285_294_569_914_853_2).abs() < 1e-12,
            "{found:?}"
        );
    }

    #[test]
    fn one_reply_alone_has_none_and_empty_ones_do_not_count() {
        assert_eq!(self_bleu(&split(&["i like tea", "", " "])), None);
        let both = ["i like tea a lot", "i like tea a lot", ""];
        assert!((self_bleu(&split(&both)).unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(self_bleu(&split(&["a b c d", "e f g h"])), Some(0.0));
    }
}
