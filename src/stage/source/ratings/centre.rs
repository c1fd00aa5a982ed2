//! Taking each rater's own mean out of the scores.

use std::collections::HashMap;

use crate::data::Rated;

/// Scores of other dialogues that a rater's mean is taken over, at the least: its standard error is then at most half
/// the spread of the rater's scores.
pub const LEAST: usize = 4;

/// Sum and count.
type Sum = (f64, usize);

/// Sums of scores by rater and impression, and by dialogue beside these.
#[derive(Default)]
struct Given {
    all: HashMap<(String, String), Sum>,
    own: HashMap<(String, String, String), Sum>,
}

impl Given {
    fn of(rows: &[Rated]) -> Self {
        let mut given = Self::default();
        for row in rows {
            for rating in &row.ratings {
                for (impression, score) in &rating.scores {
                    let key = (rating.rater.clone(), impression.clone());
                    let own = (row.dialogue().to_owned(), key.0.clone(), key.1.clone());
                    add(given.own.entry(own).or_default(), *score);
                    add(given.all.entry(key).or_default(), *score);
                }
            }
        }
        given
    }

    /// The mean of the rater's scores of other dialogues, where there are enough.
    fn others(&self, dialogue: &str, rater: &str, impression: &str) -> Option<f64> {
        let key = (rater.to_owned(), impression.to_owned());
        let (sum, count) = *self.all.get(&key)?;
        let own = (dialogue.to_owned(), key.0, key.1);
        let (own, same) = self.own.get(&own).copied().unwrap_or_default();
        let others = count - same;
        (others >= LEAST).then(|| (sum - own) / others as f64)
    }
}

fn add(sum: &mut Sum, score: f64) {
    sum.0 += score;
    sum.1 += 1;
}

/// Replaces every score by `score - mean of the rater's others + mean of all scores for training`, both means of the
/// same impression. The rater's others are those of other dialogues for training; where these are fewer than
/// [`LEAST`], those of other dialogues of the row's own split. A rater with too few in both loses the score.
///
/// `splits` begins with the one for training. Gives the number of scores that were lost back.
pub fn centre(splits: &mut [Vec<Rated>; 3]) -> usize {
    let given = splits.each_ref().map(|rows| Given::of(rows));
    let mut overall: HashMap<String, Sum> = HashMap::new();
    for ((_, impression), (sum, count)) in &given[0].all {
        let all = overall.entry(impression.clone()).or_default();
        all.0 += sum;
        all.1 += count;
    }
    let mut lost = 0;
    for (rows, own) in splits.iter_mut().zip(&given) {
        for row in rows {
            let dialogue = row.dialogue().to_owned();
            for rating in &mut row.ratings {
                let before = rating.scores.len();
                let mut centred = std::mem::take(&mut rating.scores);
                centred.retain(|impression, score| {
                    let mean = given[0]
                        .others(&dialogue, &rating.rater, impression)
                        .or_else(|| own.others(&dialogue, &rating.rater, impression));
                    let all = overall.get(impression);
                    let (Some(mean), Some((sum, count))) = (mean, all) else {
                        return false;
                    };
                    *score += sum / *count as f64 - mean;
                    true
                });
                lost += before - centred.len();
                rating.scores = centred;
            }
            row.ratings.retain(|rating| !rating.scores.is_empty());
        }
    }
    lost
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Rating;

    fn row(id: &str, scores: &[(&str, f64)]) -> Rated {
        let rating = |(rater, score): &(&str, f64)| Rating {
            rater: (*rater).to_owned(),
            scores: [("ease".to_owned(), *score)].into(),
        };
        Rated {
            id: id.to_owned(),
            dialogue: String::new(),
            system: String::new(),
            speaker: String::new(),
            turns: Vec::new(),
            ratings: scores.iter().map(rating).collect(),
            truth: None,
        }
    }

    #[test]
    fn a_raters_other_scores_are_taken_out_and_the_mean_of_all_put_back() {
        let train: Vec<Rated> = [[1.0, 9.0], [2.0, 8.0], [3.0, 9.0], [2.0, 8.0], [2.0, 6.0]]
            .iter()
            .enumerate()
            .map(|(index, [low, high])| {
                row(&format!("t{index}"), &[("low", *low), ("high", *high)])
            })
            .collect();
        // The new rater of validation has four other scores there, the last one of test has none.
        let valid = (0..5)
            .map(|at| row(&format!("v{at}"), &[("new", at as f64)]))
            .collect();
        let test = vec![row("x", &[("low", 4.0), ("once", 5.0)])];
        let mut splits = [train, valid, test];
        assert_eq!(centre(&mut splits), 1);
        let score = |row: &Rated| row.ratings[0].scores["ease"];
        // All of training: mean 5; the others of the first: 9 / 4.
        assert_eq!(score(&splits[0][0]), 1.0 - 2.25 + 5.0);
        assert_eq!(splits[0][4].ratings[1].scores["ease"], 6.0 - 8.5 + 5.0);
        assert_eq!(score(&splits[1][0]), 0.0 - 2.5 + 5.0);
        // A rater known from training: 4 less 2.
        assert_eq!(score(&splits[2][0]), 4.0 - 2.0 + 5.0);
        assert_eq!(splits[2][0].ratings.len(), 1);
    }

    #[test]
    fn constant_offsets_of_raters_make_no_difference() {
        let offset = |by: f64| {
            let rows: Vec<Rated> = (0..6)
                .map(|at| row(&at.to_string(), &[("a", at as f64 + by), ("b", 3.0 - by)]))
                .collect();
            let mut splits = [rows, Vec::new(), Vec::new()];
            assert_eq!(centre(&mut splits), 0);
            splits[0]
                .iter()
                .map(|row| row.mean("ease").unwrap())
                .collect::<Vec<_>>()
        };
        for (one, other) in offset(0.0).iter().zip(offset(2.0)) {
            assert!((one - other).abs() < 1e-12, "{one} {other}");
        }
    }
}
