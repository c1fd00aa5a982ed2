//! How strong players are, from games between pairs of them: win rates and Bradley-Terry strengths.
//!
//! Bradley and Terry (1952, Biometrika 39): `i` beats `j` with probability `1 / (1 + exp(s_j - s_i))`. A tie
//! counts as half a win for both. The estimate is found by Hunter's (2004, Annals of Statistics 32)
//! minorisation-maximisation.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::game::{Game, win_rate};
use super::length::{LengthControlled, length_scale};
use super::statistics::{StatisticsError, percentile};

/// How a player did, with 95% intervals.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    pub games: usize,
    /// Mean score of its games; NaN without games.
    pub win_rate: f64,
    pub win_rate_ci95: [f64; 2],
    /// What it would be if no reply were longer than the other ([`LengthControlled`]).
    pub length_controlled: f64,
    pub length_controlled_ci95: [f64; 2],
    /// Log-odds against the average player.
    pub strength: f64,
    pub strength_ci95: [f64; 2],
}

/// Ties that each player is taken to have played against an average one. Without any, a player who
/// never won, or never lost, would be infinitely far from the others.
pub const PRIOR: f64 = 1.0;

const TOLERANCE: f64 = 1e-12;
const MOST_STEPS: usize = 10_000;

/// Bradley-Terry strengths on the log-odds scale, their mean 0.
///
/// `prior` is a number of tied games of each player against one of strength 0 that is no player. Where it is
/// 0, the estimate exists only if no set of players has won all its games against the others.
pub fn bradley_terry(players: usize, games: &[Game], prior: f64) -> Vec<f64> {
    let mut won = vec![prior / 2.0; players];
    let mut played = vec![vec![0.0; players]; players];
    for game in games {
        won[game.first] += game.score;
        won[game.second] += 1.0 - game.score;
        played[game.first][game.second] += 1.0;
        played[game.second][game.first] += 1.0;
    }
    let mut odds = vec![1.0f64; players];
    for _ in 0..MOST_STEPS {
        let mut moved = 0.0f64;
        for player in 0..players {
            let against = |(games, other): (&f64, &f64)| games / (odds[player] + other);
            let expected: f64 = played[player].iter().zip(&odds).map(against).sum();
            let next = won[player] / (expected + prior / (odds[player] + 1.0));
            // No games at all, and no prior: nothing is known.
            if next.is_finite() {
                moved = moved.max((next.ln() - odds[player].ln()).abs());
                odds[player] = next;
            }
        }
        if moved < TOLERANCE {
            break;
        }
    }
    let strengths: Vec<f64> = odds.into_iter().map(f64::ln).collect();
    let mean = strengths.iter().sum::<f64>() / players.max(1) as f64;
    strengths.into_iter().map(|it| it - mean).collect()
}

/// Each player's standing from rounds of games, a round being what was played on one item. Intervals are
/// from the 2.5th to the 97.5th percentile of `resamples` bootstrap replicates, which draw whole rounds.
///
/// # Errors
/// When there are no games or no resamples.
pub fn standings(
    players: usize,
    rounds: &[Vec<Game>],
    resamples: usize,
    rng_seed: u64,
) -> Result<Vec<Standing>, StatisticsError> {
    let games: Vec<Game> = rounds.iter().flatten().copied().collect();
    if games.is_empty() {
        return Err(StatisticsError::Empty("no games"));
    }
    if resamples == 0 {
        return Err(StatisticsError::NoResamples);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(rng_seed);
    let scale = length_scale(&games);
    let controlled = LengthControlled::fit(players, &games, scale, None);
    let mut rates = vec![Vec::new(); players];
    let mut controlled_rates = vec![Vec::new(); players];
    let mut strengths = vec![Vec::new(); players];
    for _ in 0..resamples {
        let drawn: Vec<Game> = (0..rounds.len())
            .flat_map(|_| &rounds[rng.random_range(0..rounds.len())])
            .copied()
            .collect();
        let at_equal_length = LengthControlled::fit(players, &drawn, scale, Some(&controlled));
        for (player, strength) in bradley_terry(players, &drawn, PRIOR)
            .into_iter()
            .enumerate()
        {
            strengths[player].push(strength);
            let (rate, games) = win_rate(player, &drawn);
            if games > 0 {
                rates[player].push(rate);
                controlled_rates[player].push(at_equal_length.win_rate(player, &drawn));
            }
        }
    }
    let interval = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        match values.is_empty() {
            true => [f64::NAN; 2],
            false => [percentile(values, 0.025), percentile(values, 0.975)],
        }
    };
    let whole = bradley_terry(players, &games, PRIOR);
    let standing = |player: usize| {
        let (win_rate, count) = win_rate(player, &games);
        Standing {
            games: count,
            win_rate,
            win_rate_ci95: interval(&mut rates[player]),
            length_controlled: controlled.win_rate(player, &games),
            length_controlled_ci95: interval(&mut controlled_rates[player]),
            strength: whole[player],
            strength_ci95: interval(&mut strengths[player]),
        }
    };
    Ok((0..players).map(standing).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn games(results: &[(usize, usize, usize)]) -> Vec<Game> {
        let one = |&(first, second, wins): &(usize, usize, usize)| {
            let game = Game {
                first,
                second,
                score: 1.0,
                longer: 0.0,
            };
            std::iter::repeat_n(game, wins)
        };
        results.iter().flat_map(one).collect()
    }

    fn near(got: &[f64], expected: &[f64], within: f64) {
        assert_eq!(got.len(), expected.len());
        for (a, b) in got.iter().zip(expected) {
            assert!((a - b).abs() < within, "{got:?} {expected:?}");
        }
    }

    #[test]
    fn two_players_differ_by_the_log_of_their_odds() {
        let got = bradley_terry(2, &games(&[(0, 1, 9), (1, 0, 3)]), 0.0);
        near(&got, &[3f64.ln() / 2.0, -(3f64.ln()) / 2.0], 1e-9);
        // A tie is half a win for both: 9 + 3 of 15 and 3 + 3 of 15.
        let mut some = games(&[(0, 1, 9), (1, 0, 3)]);
        some.extend((0..6).map(|k| Game {
            first: k % 2,
            second: 1 - k % 2,
            score: 0.5,
            longer: 0.0,
        }));
        let got = bradley_terry(2, &some, 0.0);
        near(&got, &[2f64.ln() / 2.0, -(2f64.ln()) / 2.0], 1e-9);
    }

    #[test]
    fn four_players_are_as_strong_as_choix_says() {
        // choix 0.4, mm_pairwise on the same games.
        let results = [
            (0, 1, 6),
            (1, 0, 3),
            (0, 2, 4),
            (2, 0, 4),
            (1, 2, 2),
            (2, 1, 5),
            (3, 0, 1),
            (0, 3, 7),
            (2, 3, 5),
            (3, 1, 2),
            (1, 3, 3),
        ];
        let got = bradley_terry(4, &games(&results), 0.0);
        near(
            &got,
            &[0.65234822, -0.25210825, 0.82594144, -1.22618141],
            1e-7,
        );
    }

    #[test]
    fn the_prior_keeps_a_player_who_won_all_within_reach() {
        // With s the strength of the first, -s of the second: 10 + 1/2 = 10 / (1 + e^-2s) + 1 / (1 + e^-s).
        let got = bradley_terry(2, &games(&[(0, 1, 10)]), 1.0);
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let s = got[0];
        assert!((10.0 * sigmoid(2.0 * s) + sigmoid(s) - 10.5).abs() < 1e-9 && got[1] == -s);
        assert!((1.0..3.0).contains(&s), "{s}");
        // Who never played is average.
        let got = bradley_terry(3, &games(&[(0, 1, 4), (1, 0, 4)]), 1.0);
        near(&got, &[0.0; 3], 1e-12);
    }

    #[test]
    fn strengths_of_a_known_field_are_found_and_covered() {
        let truth: [f64; 4] = [0.8, 0.1, -0.3, -0.6];
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let (trials, mut covered) = (40, 0);
        for trial in 0..trials {
            let rounds: Vec<Vec<Game>> = (0..300)
                .map(|_| {
                    let first = rng.random_range(0..4);
                    let second = (first + rng.random_range(1..4)) % 4;
                    let chance = 1.0 / (1.0 + (truth[second] - truth[first]).exp());
                    let score = f64::from(u8::from(rng.random_bool(chance)));
                    vec![Game {
                        first,
                        second,
                        score,
                        longer: rng.random_range(-20..=20).into(),
                    }]
                })
                .collect();
            let got = standings(4, &rounds, 200, trial).unwrap();
            for (standing, truth) in got.iter().zip(truth) {
                let [low, high] = standing.strength_ci95;
                covered += usize::from(low <= truth && truth <= high);
                assert!((standing.strength - truth).abs() < 0.8, "{standing:?}");
                let [low, high] = standing.win_rate_ci95;
                assert!(low < standing.win_rate && standing.win_rate < high);
                // Length decides nothing in these games, so that little changes without it.
                let controlled = standing.length_controlled;
                let [low, high] = standing.length_controlled_ci95;
                assert!(low < controlled && controlled < high);
                assert!(
                    (controlled - standing.win_rate).abs() < 0.03,
                    "{standing:?}"
                );
            }
            assert_eq!(got.iter().map(|it| it.games).sum::<usize>(), 600);
        }
        // 160 intervals of 95%, those of a trial depending on one another.
        assert!((140..160).contains(&covered), "{covered}");
    }

    #[test]
    fn nothing_played_is_an_error() {
        assert_eq!(
            standings(2, &[vec![]], 10, 0),
            Err(StatisticsError::Empty("no games"))
        );
        let one = vec![games(&[(0, 1, 1)])];
        assert_eq!(standings(2, &one, 0, 0), Err(StatisticsError::NoResamples));
    }
}
