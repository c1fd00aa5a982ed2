//! What the paper reports, and how ours stands beside it.

use serde::{Deserialize, Serialize};

/// What a claim says of a difference.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// It is above zero.
    #[default]
    Higher,
    /// It is below zero.
    Lower,
    /// It is too small to matter.
    Same,
}

/// A number of a table, or the range that it is told as, as the paper prints it (percent, not shares).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Reported {
    Number(f64),
    Range([f64; 2]),
}

impl From<f64> for Reported {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

/// What the paper found of a claim's difference with one of its models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The paper's model with its size; may be empty.
    pub model: String,
    /// The difference in the metric's unit (a share of one, not percent), where the paper has a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<f64>,
    pub direction: Direction,
}

impl Finding {
    /// A difference, which says its direction.
    pub fn of(model: String, difference: f64) -> Self {
        let direction = match difference {
            up if up > 0.0 => Direction::Higher,
            down if down < 0.0 => Direction::Lower,
            _ => Direction::Same,
        };
        Self {
            model,
            difference: Some(difference),
            direction,
        }
    }

    /// How a measured difference stands beside this one.
    pub fn beside(&self, measured: f64, [low, high]: [f64; 2]) -> Beside {
        let told = low > 0.0 || high < 0.0;
        let up = match self.direction {
            Direction::Same if told => return Beside::Ours,
            Direction::Same => return Beside::Neither,
            _ if !told => return Beside::NotTold,
            direction => direction == Direction::Higher,
        };
        let times = self.difference.map(|paper| (measured / paper).abs());
        match up == (low > 0.0) {
            true => Beside::Same { times },
            false => Beside::Other { times },
        }
    }
}

/// How a measured difference stands beside the paper's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Beside {
    /// In the same direction, and so many times as large.
    Same { times: Option<f64> },
    /// In the other direction, and so many times as large.
    Other { times: Option<f64> },
    /// The interval includes zero.
    NotTold,
    /// The paper has no difference, and the interval includes zero.
    Neither,
    /// The paper has no difference, and the interval does not include zero.
    Ours,
}

impl Beside {
    /// The verdict in words.
    pub fn words(self) -> String {
        match self {
            Self::Same { times: None } => "same direction".into(),
            Self::Same { times: Some(times) } => {
                format!("same direction, {} times the paper's", short(times))
            }
            Self::Other { times: None } => "other direction".into(),
            Self::Other { times: Some(times) } => {
                format!("other direction, {} times the paper's size", short(times))
            }
            Self::NotTold => "no difference to be told".into(),
            Self::Neither => "no difference to be told, nor in the paper".into(),
            Self::Ours => "a difference where the paper has none".into(),
        }
    }
}

fn short(times: f64) -> String {
    match times {
        small if small < 0.095 => format!("{small:.2}"),
        large if large >= 9.95 => format!("{large:.0}"),
        times => format!("{times:.1}"),
    }
}

/// A finding of the paper's, with ours beside it where there is one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Against {
    #[serde(flatten)]
    pub finding: Finding,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ours: Option<Beside>,
}

impl Against {
    /// The verdict in words.
    pub fn words(&self) -> String {
        self.ours
            .map_or_else(|| "not measured".to_owned(), Beside::words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_stands_beside_the_papers_by_direction_and_size() {
        let words = |paper: f64, measured: f64, spread: f64| {
            let ci95 = [measured - spread, measured + spread];
            let finding = Finding::of("m".into(), paper);
            finding.beside(measured, ci95).words()
        };
        for (paper, measured, spread, expected) in [
            (0.15, 0.06, 0.03, "same direction, 0.4 times the paper's"),
            (-0.1, -0.12, 0.03, "same direction, 1.2 times the paper's"),
            (-0.2, -0.01, 0.005, "same direction, 0.05 times the paper's"),
            (0.01, 0.2, 0.1, "same direction, 20 times the paper's"),
            (
                -0.017,
                0.06,
                0.03,
                "other direction, 3.5 times the paper's size",
            ),
            (0.15, 0.06, 0.08, "no difference to be told"),
            (
                0.0,
                0.06,
                0.08,
                "no difference to be told, nor in the paper",
            ),
            (0.0, 0.06, 0.03, "a difference where the paper has none"),
        ] {
            assert_eq!(
                words(paper, measured, spread),
                expected,
                "{paper} {measured}"
            );
        }
        let alone = Finding {
            model: String::new(),
            difference: None,
            direction: Direction::Lower,
        };
        assert_eq!(alone.beside(-0.1, [-0.2, -0.05]).words(), "same direction");
        assert_eq!(alone.beside(0.1, [0.05, 0.2]).words(), "other direction");
    }

    #[test]
    fn what_is_written_reads_back() {
        for ours in [
            None,
            Some(Beside::NotTold),
            Some(Beside::Same { times: None }),
        ] {
            let against = Against {
                finding: Finding::of("m".into(), -0.5),
                ours,
            };
            let text = serde_json::to_string(&against).unwrap();
            assert_eq!(serde_json::from_str::<Against>(&text).unwrap(), against);
        }
        let cells = [Some(Reported::Range([0.3, 0.5])), Some(1.0.into()), None];
        let text = serde_json::to_string(&cells).unwrap();
        assert_eq!(text, "[[0.3,0.5],1.0,null]");
        assert_eq!(
            serde_json::from_str::<[Option<Reported>; 3]>(&text).unwrap(),
            cells
        );
    }
}
