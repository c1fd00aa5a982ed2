//! The twelve impressions, the signs by which they show, and the one table between the two.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::data::Scale;

/// An impression that a bot leaves, of arXiv 2501.12698.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Impression {
    Agency,
    Attentiveness,
    Consistency,
    Ease,
    Empathetic,
    Emotion,
    Enjoyability,
    Humanness,
    Personality,
    Respeak,
    Topic,
    Trust,
}

impl Impression {
    pub const COUNT: usize = 12;

    /// All of them, in the paper's order.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Agency,
        Self::Attentiveness,
        Self::Consistency,
        Self::Ease,
        Self::Empathetic,
        Self::Emotion,
        Self::Enjoyability,
        Self::Humanness,
        Self::Personality,
        Self::Respeak,
        Self::Topic,
        Self::Trust,
    ];

    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Agency => "agency",
            Self::Attentiveness => "attentiveness",
            Self::Consistency => "consistency",
            Self::Ease => "ease",
            Self::Empathetic => "empathetic",
            Self::Emotion => "emotion",
            Self::Enjoyability => "enjoyability",
            Self::Humanness => "humanness",
            Self::Personality => "personality",
            Self::Respeak => "respeak",
            Self::Topic => "topic",
            Self::Trust => "trust",
        }
    }

    /// The score of a reply without any sign of it.
    fn start(self) -> f64 {
        match self {
            Self::Agency | Self::Personality => 0.0,
            Self::Emotion => 2.0,
            Self::Enjoyability => 3.0,
            Self::Attentiveness | Self::Empathetic => 5.0,
            Self::Humanness => 7.0,
            Self::Consistency | Self::Topic | Self::Trust => 8.0,
            Self::Ease => 10.0,
            // Has no sign of its own: see RESPEAK.
            Self::Respeak => 0.0,
        }
    }
}

/// The scale of every impression.
pub const SCALE: Scale = Scale {
    low: 0.0,
    high: 10.0,
};

/// What the wish to speak again is the weighted mean of.
const RESPEAK: [(Impression, f64); 3] = [
    (Impression::Enjoyability, 0.5),
    (Impression::Personality, 0.4),
    (Impression::Empathetic, 0.1),
];

/// Something that a reply shows or does not; how often within the reply makes no difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sign {
    /// Proposes to do something together.
    Proposes,
    /// Asks the user something.
    Asks,
    /// Tells the fact that the user asks for.
    Answers,
    /// Says other things while the user waits for an answer.
    Ignores,
    /// Tells a fact again as it was told first.
    Keeps,
    /// Tells a fact otherwise than it was told first.
    Contradicts,
    /// Has a sentence in long, formal words.
    Involved,
    /// Has more than [`LONG`] sentences.
    Long,
    /// Names the feeling that the user tells.
    Acknowledges,
    /// Names a feeling that the user does not tell.
    Misreads,
    /// Tells a feeling of its own.
    Feels,
    Jokes,
    Praises,
    /// Says "oh" and the like.
    Interjects,
    /// Speaks of itself as of a machine.
    Mechanical,
    /// Says word for word what it has said in this reply or in its last one.
    Repeats,
    /// Tells of itself unasked.
    Tells,
    /// Goes on with the user's topic.
    Stays,
    /// Turns to another topic.
    Changes,
    /// Says what it can not know.
    Admits,
    /// Promises or claims to know what it can not.
    Claims,
}

/// Sentences of the longest reply that is not [`Sign::Long`].
pub const LONG: usize = 5;

impl Sign {
    pub const COUNT: usize = 21;

    pub const ALL: [Self; Self::COUNT] = [
        Self::Proposes,
        Self::Asks,
        Self::Answers,
        Self::Ignores,
        Self::Keeps,
        Self::Contradicts,
        Self::Involved,
        Self::Long,
        Self::Acknowledges,
        Self::Misreads,
        Self::Feels,
        Self::Jokes,
        Self::Praises,
        Self::Interjects,
        Self::Mechanical,
        Self::Repeats,
        Self::Tells,
        Self::Stays,
        Self::Changes,
        Self::Admits,
        Self::Claims,
    ];

    /// The impression that it is a sign of, and what it adds there.
    pub fn points(self) -> (Impression, f64) {
        match self {
            Self::Proposes | Self::Asks => (Impression::Agency, 5.0),
            Self::Answers => (Impression::Attentiveness, 5.0),
            Self::Ignores => (Impression::Attentiveness, -5.0),
            Self::Keeps => (Impression::Consistency, 2.0),
            Self::Contradicts => (Impression::Consistency, -8.0),
            Self::Involved => (Impression::Ease, -7.0),
            Self::Long => (Impression::Ease, -3.0),
            Self::Acknowledges => (Impression::Empathetic, 5.0),
            Self::Misreads => (Impression::Empathetic, -5.0),
            Self::Feels => (Impression::Emotion, 8.0),
            Self::Jokes => (Impression::Enjoyability, 4.0),
            Self::Praises => (Impression::Enjoyability, 3.0),
            Self::Interjects => (Impression::Humanness, 3.0),
            Self::Mechanical => (Impression::Humanness, -4.0),
            Self::Repeats => (Impression::Humanness, -3.0),
            Self::Tells => (Impression::Personality, 10.0),
            Self::Stays => (Impression::Topic, 2.0),
            Self::Changes => (Impression::Topic, -8.0),
            Self::Admits => (Impression::Trust, 2.0),
            Self::Claims => (Impression::Trust, -8.0),
        }
    }
}

/// A score from 0 to 10 for each impression.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scores([f64; Impression::COUNT]);

impl Scores {
    /// What a reply with these signs scores. No sum of points leaves the scale.
    pub fn of(signs: &BTreeSet<Sign>) -> Self {
        let mut scores = Self(Impression::ALL.map(Impression::start));
        for sign in signs {
            let (impression, points) = sign.points();
            scores.0[impression as usize] += points;
        }
        scores.0[Impression::Respeak as usize] = RESPEAK
            .iter()
            .map(|(impression, weight)| weight * scores.get(*impression))
            .sum();
        scores
    }

    /// The mean of several, impression by impression; zeros for none.
    pub fn mean(all: &[Self]) -> Self {
        Self(std::array::from_fn(|index| {
            all.iter().map(|it| it.0[index]).sum::<f64>() / all.len().max(1) as f64
        }))
    }

    /// Every score times `factor`.
    pub(super) fn times(self, factor: f64) -> Self {
        Self(self.0.map(|score| score * factor))
    }

    pub fn get(&self, impression: Impression) -> f64 {
        self.0[impression as usize]
    }

    /// The scores by name, as files have them.
    pub fn by_name(&self) -> BTreeMap<String, f64> {
        let scores = Impression::ALL.into_iter();
        scores
            .map(|impression| (impression.name().to_owned(), self.get(impression)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impressions_and_signs_stand_in_their_places() {
        for (index, impression) in Impression::ALL.into_iter().enumerate() {
            assert_eq!(impression as usize, index);
            let name = serde_json::to_string(&impression).unwrap();
            assert_eq!(name, format!("{:?}", impression.name()));
        }
        for (index, sign) in Sign::ALL.into_iter().enumerate() {
            assert_eq!(sign as usize, index);
        }
    }

    #[test]
    fn no_signs_leave_the_scale_and_all_but_one_impression_have_one() {
        let weights: f64 = RESPEAK.iter().map(|(_, weight)| weight).sum();
        assert!((weights - 1.0).abs() < 1e-12);
        let without = |impression: &Impression| {
            let mut signs = Sign::ALL.iter();
            signs.all(|sign| sign.points().0 != *impression)
        };
        let derived: Vec<Impression> = Impression::ALL.into_iter().filter(without).collect();
        assert_eq!(derived, [Impression::Respeak]);
        // All bad ones and all good ones are the ends of what any set can reach.
        for good in [true, false] {
            let signs = Sign::ALL.into_iter();
            let signs: BTreeSet<Sign> = signs.filter(|it| (it.points().1 > 0.0) == good).collect();
            for impression in Impression::ALL {
                let score = Scores::of(&signs).get(impression);
                assert!((SCALE.low..=SCALE.high).contains(&score), "{impression:?}");
            }
        }
    }

    #[test]
    fn a_mean_is_taken_impression_by_impression() {
        let scores = [
            Scores::of(&BTreeSet::from([Sign::Tells, Sign::Jokes])),
            Scores::of(&BTreeSet::new()),
        ];
        let mean = Scores::mean(&scores);
        assert_eq!(mean.get(Impression::Personality), 5.0);
        assert_eq!(mean.get(Impression::Enjoyability), 5.0);
        // (0.5 * 7 + 0.4 * 10 + 0.1 * 5 + 0.5 * 3 + 0.1 * 5) / 2
        assert!((mean.get(Impression::Respeak) - 5.0).abs() < 1e-12);
        assert_eq!(mean.by_name().len(), Impression::COUNT);
    }
}
