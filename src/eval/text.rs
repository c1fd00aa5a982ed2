//! Surface measures of sampled replies: length, variety, repetition.
//!
//! They notice what a likelihood does not: a model that answers everything alike, or loops. Words
//! are runs of letters, digits and apostrophes, lower-cased.

pub mod bleu;
pub mod chrf;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use bleu::self_bleu;

/// Measures over a set of replies. A measure is absent where no reply is long enough for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextMeasures {
    pub samples: usize,
    /// Replies without a single word.
    pub empty: usize,
    /// Mean words a reply.
    pub mean_length: Option<f64>,
    /// Distinct words over all words, pooled over replies (Li et al., 2016, arXiv 1510.03055).
    pub distinct_1: Option<f64>,
    /// Distinct bigrams over all bigrams.
    pub distinct_2: Option<f64>,
    /// Mean share of a reply's bigrams that it has used before (seq-rep-n of Welleck et al., 2020,
    /// arXiv 1908.04319, with n = 2 since replies are short).
    pub repetition: Option<f64>,
    /// Mean share of a reply's bigrams that some other reply also has.
    pub self_overlap: Option<f64>,
    /// Mean BLEU-4 of each reply against all the others; grows with their number (see [`bleu`]).
    pub self_bleu: Option<f64>,
    /// Share of replies whose words equal those of another reply.
    pub duplicates: Option<f64>,
}

impl TextMeasures {
    /// Measures `replies`; the time is linear in their length.
    pub fn of<S: AsRef<str>>(replies: &[S]) -> Self {
        let replies: Vec<Vec<String>> = replies.iter().map(|r| words(r.as_ref())).collect();
        let samples = replies.len();
        let lengths = replies.iter().map(|r| r.len() as f64);
        Self {
            samples,
            empty: replies.iter().filter(|r| r.is_empty()).count(),
            mean_length: average(lengths),
            distinct_1: distinct(&replies, 1),
            distinct_2: distinct(&replies, 2),
            repetition: average(replies.iter().filter_map(|r| repetition(r, 2))),
            self_overlap: self_overlap(&replies),
            self_bleu: self_bleu(&replies),
            duplicates: duplicates(&replies),
        }
    }
}

/// The words of a text.
pub(super) fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '\'' || c == '’'))
        .filter(|word| word.chars().any(char::is_alphanumeric))
        .map(str::to_lowercase)
        .collect()
}

pub(super) fn average(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), v| (sum + v, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

fn distinct(replies: &[Vec<String>], n: usize) -> Option<f64> {
    let total: usize = replies.iter().map(|r| r.windows(n).count()).sum();
    let set: BTreeSet<&[String]> = replies.iter().flat_map(|r| r.windows(n)).collect();
    (total > 0).then(|| set.len() as f64 / total as f64)
}

fn repetition(reply: &[String], n: usize) -> Option<f64> {
    let total = reply.windows(n).count();
    let set: BTreeSet<&[String]> = reply.windows(n).collect();
    (total > 0).then(|| 1.0 - set.len() as f64 / total as f64)
}

fn self_overlap(replies: &[Vec<String>]) -> Option<f64> {
    let mut replies_with: BTreeMap<&[String], usize> = BTreeMap::new();
    for reply in replies {
        for pair in reply.windows(2).collect::<BTreeSet<_>>() {
            *replies_with.entry(pair).or_default() += 1;
        }
    }
    average(replies.iter().filter(|r| r.len() > 1).map(|reply| {
        let total = reply.windows(2).count() as f64;
        let shared = reply.windows(2).filter(|pair| replies_with[pair] > 1);
        shared.count() as f64 / total
    }))
}

fn duplicates(replies: &[Vec<String>]) -> Option<f64> {
    let mut times: BTreeMap<&[String], usize> = BTreeMap::new();
    for reply in replies {
        *times.entry(reply).or_default() += 1;
    }
    average(replies.iter().map(|r| match times[r.as_slice()] {
        1 => 0.0,
        _ => 1.0,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_ignore_case_and_punctuation() {
        assert_eq!(
            words("I don't KNOW -- really!"),
            ["i", "don't", "know", "really"]
        );
        assert!(words(" ... ' ").is_empty());
    }

    #[test]
    fn measures_by_hand() {
        let got = TextMeasures::of(&["I like tea.", "i like tea", "go go go go", ""]);
        assert_eq!((got.samples, got.empty), (4, 1));
        assert_eq!(got.mean_length, Some(10.0 / 4.0));
        // {i, like, tea, go} of 10 words; {i like, like tea, go go} of 2 + 2 + 3 bigrams.
        assert_eq!(got.distinct_1, Some(0.4));
        assert_eq!(got.distinct_2, Some(3.0 / 7.0));
        // 0, 0 and 1 - 1/3 over the three replies that have bigrams.
        assert!((got.repetition.unwrap() - 2.0 / 9.0).abs() < 1e-12);
        // 1, 1 and 0: "go go" repeats within one reply but is in no other.
        assert!((got.self_overlap.unwrap() - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(got.duplicates, Some(0.5));
        // "i like tea" is found whole, but has no four words in a row; "go" is found nowhere.
        assert!((got.self_bleu.unwrap() - 2.0 / 3.0 * 0.1f64.powf(0.25)).abs() < 1e-12);
    }

    #[test]
    fn nothing_gives_nothing() {
        let none = TextMeasures::of::<&str>(&[]);
        assert_eq!((none.samples, none.mean_length), (0, None));
        let one_word = TextMeasures::of(&["hello"]);
        assert_eq!(one_word.distinct_1, Some(1.0));
        assert_eq!((one_word.distinct_2, one_word.repetition), (None, None));
    }
}
