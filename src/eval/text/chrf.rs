//! chrF: how like a text is to a reference, by the pieces of up to six characters that they share.
//!
//! The F-score of character n-grams of Popović (2015) with what sacreBLEU has as its defaults: white space left out,
//! orders 1 to 6, recall weighs twice what precision does, and only orders of which both texts have n-grams count. It
//! knows no words, so it serves languages that write none apart.

use std::collections::BTreeMap;

/// The longest n-grams, in characters.
const ORDER: usize = 6;

/// How much more recall weighs than precision.
const BETA: f64 = 2.0;

/// The likeness of `text` to `reference`, from 0 to 1: 1 where they are the same but for white space, 0 where they share
/// no character or either has none.
pub fn chrf(text: &str, reference: &str) -> f64 {
    let [text, reference] = [text, reference].map(|it| {
        let letters = it.chars().filter(|c| !c.is_whitespace());
        letters.collect::<Vec<char>>()
    });
    let orders = ORDER.min(text.len()).min(reference.len());
    if orders == 0 {
        return 0.0;
    }
    let (mut precision, mut recall) = (0.0, 0.0);
    for n in 1..=orders {
        let (own, others) = (counts(&text, n), counts(&reference, n));
        let shared = own
            .iter()
            .map(|(gram, &times)| times.min(others.get(gram).copied().unwrap_or(0)));
        let shared = shared.sum::<usize>() as f64;
        precision += shared / (text.len() + 1 - n) as f64;
        recall += shared / (reference.len() + 1 - n) as f64;
    }
    let (precision, recall) = (precision / orders as f64, recall / orders as f64);
    match precision + recall > 0.0 {
        true => {
            let factor = BETA * BETA;
            (1.0 + factor) * precision * recall / (factor * precision + recall)
        }
        false => 0.0,
    }
}

fn counts(letters: &[char], n: usize) -> BTreeMap<&[char], usize> {
    let mut counts = BTreeMap::new();
    for gram in letters.windows(n) {
        *counts.entry(gram).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_sacrebleus_sentence_chrf() {
        // sacreBLEU 2.6.0: CHRF().sentence_score(text, [reference]).score / 100.
        for (text, reference, expected) in [
            (
                "i like black tea .",
                "i like green tea and black coffee .",
                0.257_574_318_532_193_16,
            ),
            (
                "私は兵庫県の出身です。",
                "兵庫県出身だ。",
                0.230_571_117_126_725_94,
            ),
            ("ok", "okay then", 0.234_042_553_191_489_36),
            ("no", "yes", 0.0),
            ("i like tea", "i like  tea", 1.0),
        ] {
            let found = chrf(text, reference);
            assert!((found - expected).abs() < 1e-12, "{text}: {found}");
        }
        assert_eq!(chrf("", "no"), 0.0);
        assert_eq!(chrf(" ", " "), 0.0);
    }
}
