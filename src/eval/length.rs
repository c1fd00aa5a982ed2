//! Win rates at equal length: what would be left of a win rate if nobody's replies were the longer ones.
//!
//! As AlpacaEval 2's length-controlled win rate (Dubois et al., 2024, arXiv 2404.04475): a logistic regression of the
//! outcome on the two players and on by how many characters `d` the first one's reply is longer,
//!
//! ```text
//! P(i beats j) = 1 / (1 + exp(-(b_i - b_j + e tanh(d / D))))
//! ```
//!
//! and a player's win rate is then the mean of what this says of its games with `d` set to 0. `D` is the root mean
//! square of `d`, which does not hang on who is called first (theirs is the standard deviation). Their third term, how
//! hard an instruction is for a player, is left out: it is fitted over hundreds of models. A tie counts as half a win.

use super::game::Game;

/// Tied games that each player is taken to have played against an average one at equal length, and that two average
/// players have played with one reply the longer by far: without them who never lost, or a length that always won,
/// would have no finite estimate.
const PRIOR: f64 = 1.0;

const TOLERANCE: f64 = 1e-10;
const MOST_STEPS: usize = 100;
/// No step of Newton's method is longer than this, in log-odds.
const LONGEST_STEP: f64 = 2.0;

/// Players' strengths and what length does, estimated together.
#[derive(Clone, Debug, PartialEq)]
pub struct LengthControlled {
    /// Log-odds of each player, then the log-odds that a reply gains by being the longer one by far (`e`).
    weights: Vec<f64>,
}

/// The root mean square of the differences in length; 0 where all are 0.
pub fn length_scale(games: &[Game]) -> f64 {
    let squares: f64 = games.iter().map(|game| game.longer.powi(2)).sum();
    (squares / games.len().max(1) as f64).sqrt()
}

impl LengthControlled {
    /// The estimate from games, by Newton's method from `start`, with differences in length over `scale`.
    pub fn fit(players: usize, games: &[Game], scale: f64, start: Option<&Self>) -> Self {
        let size = players + 1;
        let mut weights = start.map_or_else(|| vec![0.0; size], |start| start.weights.clone());
        for _ in 0..MOST_STEPS {
            let mut gradient = vec![0.0; size];
            let mut curvature = vec![vec![0.0; size]; size];
            let mut add = |row: &[(usize, f64)], score: f64, weight: f64| {
                let log_odds: f64 = row.iter().map(|&(at, x)| x * weights[at]).sum();
                let chance = sigmoid(log_odds);
                for &(at, x) in row {
                    gradient[at] += weight * (score - chance) * x;
                    for &(other, y) in row {
                        curvature[at][other] += weight * chance * (1.0 - chance) * x * y;
                    }
                }
            };
            for game in games {
                let length = (players, squash(game.longer, scale));
                add(
                    &[(game.first, 1.0), (game.second, -1.0), length],
                    game.score,
                    1.0,
                );
            }
            for at in 0..size {
                add(&[(at, 1.0)], 0.5, PRIOR);
            }
            let step = solve(curvature, gradient);
            let longest = step.iter().fold(0.0f64, |most, it| most.max(it.abs()));
            let share = (LONGEST_STEP / longest).min(1.0);
            for (weight, step) in weights.iter_mut().zip(step) {
                *weight += share * step;
            }
            if longest < TOLERANCE {
                break;
            }
        }
        Self { weights }
    }

    /// Log-odds that a reply gains by being longer by the usual difference and more.
    pub fn effect(&self) -> f64 {
        self.weights[self.weights.len() - 1]
    }

    /// A player's mean chance over its games if all replies were of one length; NaN without games.
    pub fn win_rate(&self, player: usize, games: &[Game]) -> f64 {
        let others = games.iter().filter_map(|game| match player {
            first if first == game.first => Some(game.second),
            second if second == game.second => Some(game.first),
            _ => None,
        });
        let (sum, count) = others.fold((0.0, 0), |(sum, count), other| {
            let chance = sigmoid(self.weights[player] - self.weights[other]);
            (sum + chance, count + 1)
        });
        sum / f64::from(count)
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// A difference in length between -1 and 1.
fn squash(longer: f64, scale: f64) -> f64 {
    match scale > 0.0 {
        true => (longer / scale).tanh(),
        false => 0.0,
    }
}

/// `x` of `a x = b`, for `a` symmetric and positive definite, by Gaussian elimination.
fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
    let size = b.len();
    for at in 0..size {
        let pivot = a[at].clone();
        for below in at + 1..size {
            let factor = a[below][at] / pivot[at];
            for (value, above) in a[below][at..].iter_mut().zip(&pivot[at..]) {
                *value -= factor * above;
            }
            b[below] -= factor * b[at];
        }
    }
    for at in (0..size).rev() {
        let known: f64 = (at + 1..size).map(|after| a[at][after] * b[after]).sum();
        b[at] = (b[at] - known) / a[at][at];
    }
    b
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::game::win_rate;

    fn game((first, second, score, longer): (usize, usize, f64, f64)) -> Game {
        Game {
            first,
            second,
            score,
            longer,
        }
    }

    fn near(got: f64, expected: f64, within: f64) {
        assert!((got - expected).abs() < within, "{got} {expected}");
    }

    #[test]
    fn where_no_reply_is_longer_the_win_rate_stays_what_it_was() {
        // 30 wins of 40 and the priors' ties: 2 sigmoids that Newton's method has to meet.
        let games: Vec<Game> = (0..4000)
            .map(|at| game((at % 2, 1 - at % 2, f64::from(u8::from(at % 8 < 6)), 0.0)))
            .collect();
        let fit = LengthControlled::fit(2, &games, length_scale(&games), None);
        assert_eq!(fit.effect(), 0.0);
        for player in 0..2 {
            let (rate, count) = win_rate(player, &games);
            assert_eq!(count, 4000);
            near(fit.win_rate(player, &games), rate, 1e-3);
        }
        assert!(fit.win_rate(2, &games).is_nan());
    }

    #[test]
    fn a_player_who_wins_by_length_alone_is_as_good_as_the_other() {
        // Whoever is longer wins 3 of 4 games, and player 0 is the longer one in 3 of 4.
        let mut games = Vec::new();
        for at in 0..1600 {
            let longer = if at % 4 < 3 { 20.0 } else { -20.0 };
            let won = (at / 4) % 4 < 3;
            let score = f64::from(u8::from((longer > 0.0) == won));
            games.push(game((0, 1, score, longer)));
        }
        near(win_rate(0, &games).0, 0.625, 1e-9);
        let fit = LengthControlled::fit(2, &games, length_scale(&games), None);
        near(fit.win_rate(0, &games), 0.5, 2e-3);
        // In closed form, but for the priors: the log-odds of 3 to 1 at tanh(1).
        near(fit.effect(), 3f64.ln() / 1f64.tanh(), 0.02);
        // Who is called first changes nothing.
        let turned: Vec<Game> = games
            .iter()
            .map(|it| game((it.second, it.first, 1.0 - it.score, -it.longer)))
            .collect();
        let other = LengthControlled::fit(2, &turned, length_scale(&turned), Some(&fit));
        near(other.win_rate(0, &turned), fit.win_rate(0, &games), 1e-9);
    }

    #[test]
    fn three_players_are_as_strong_as_statsmodels_says() {
        // statsmodels 0.15, GLM(Binomial) on the same rows and the priors' four: tied, one weight each.
        let games = [
            (2, 0, 0.0, -20.0),
            (0, 1, 1.0, 18.0),
            (2, 1, 0.0, -28.0),
            (0, 1, 0.0, -4.0),
            (1, 2, 1.0, -14.0),
            (0, 2, 0.5, 14.0),
            (0, 1, 0.0, -3.0),
            (1, 0, 0.5, 1.0),
            (1, 2, 1.0, 10.0),
            (1, 2, 0.0, 15.0),
            (2, 1, 0.0, 17.0),
            (0, 1, 1.0, 9.0),
            (1, 0, 1.0, 23.0),
            (0, 2, 0.0, -30.0),
            (0, 2, 0.0, 27.0),
            (0, 1, 0.0, -11.0),
            (0, 2, 0.0, 10.0),
            (1, 2, 1.0, -2.0),
            (0, 2, 0.0, -2.0),
            (0, 1, 1.0, 13.0),
            (1, 2, 1.0, -15.0),
            (0, 2, 1.0, 10.0),
            (1, 0, 1.0, 26.0),
            (0, 2, 1.0, 8.0),
        ]
        .map(game);
        let fit = LengthControlled::fit(3, &games, length_scale(&games), None);
        let expected = [-0.315132795, 0.615030267, -0.28572735, 0.881039737];
        for (got, expected) in fit.weights.iter().zip(expected) {
            near(*got, expected, 1e-8);
        }
        for (player, expected) in [0.381601062, 0.714481967, 0.405404698]
            .into_iter()
            .enumerate()
        {
            near(fit.win_rate(player, &games), expected, 1e-8);
        }
    }

    #[test]
    fn what_always_wins_stays_finite() {
        let games = [game((0, 1, 1.0, 9.0)); 50];
        let fit = LengthControlled::fit(2, &games, length_scale(&games), None);
        assert!((0.5..1.0).contains(&fit.win_rate(0, &games)), "{fit:?}");
        assert!((0.0..10.0).contains(&fit.effect()), "{fit:?}");
    }
}
