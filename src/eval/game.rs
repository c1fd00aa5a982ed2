//! Games between pairs of players.

/// A game between two players.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Game {
    pub first: usize,
    pub second: usize,
    /// The first player's: 1 for a win, 0.5 for a tie, 0 for a loss.
    pub score: f64,
    /// By how many characters the first player's reply is longer than the second's.
    pub longer: f64,
}

impl Game {
    /// A player's score, if it played.
    pub fn score_of(&self, player: usize) -> Option<f64> {
        if self.first == player {
            Some(self.score)
        } else if self.second == player {
            Some(1.0 - self.score)
        } else {
            None
        }
    }
}

/// Mean score and number of a player's games; NaN without games.
pub fn win_rate(player: usize, games: &[Game]) -> (f64, usize) {
    let scores = games.iter().filter_map(|game| game.score_of(player));
    let (sum, count) = scores.fold((0.0, 0), |(sum, count), score| (sum + score, count + 1));
    (sum / count as f64, count)
}

/// The share of decided games between replies of unlike length that the longer reply won, and how many of
/// these there are; nothing without any.
pub fn longer_won(games: &[Game]) -> Option<(f64, usize)> {
    let apart = games
        .iter()
        .filter(|game| game.longer != 0.0 && game.score != 0.5);
    let (won, count) = apart.fold((0, 0), |(won, count), game| {
        let longer = (game.longer > 0.0) == (game.score > 0.5);
        (won + usize::from(longer), count + 1)
    });
    (count > 0).then(|| (won as f64 / count as f64, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_reply_is_counted_in_either_place_and_ties_are_not() {
        let game = |score, longer| Game {
            first: 0,
            second: 1,
            score,
            longer,
        };
        let games = [
            game(1.0, 5.0),
            game(0.0, -5.0),
            game(1.0, -1.0),
            game(0.5, 9.0),
            game(1.0, 0.0),
        ];
        assert_eq!(longer_won(&games), Some((2.0 / 3.0, 3)));
        assert_eq!(longer_won(&games[3..]), None);
        assert_eq!(win_rate(1, &games), (1.5 / 5.0, 5));
        assert!(win_rate(2, &games).0.is_nan());
    }
}
