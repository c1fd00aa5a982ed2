//! Systems and their bots: how likely each sign is, and what a bot replies.

use std::collections::HashSet;

use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};

use super::grammar::{Act, Does, Grammar};
use super::oracle::Scene;
use super::score::Impression;
use crate::world::any;
use crate::world::wording::sentences;

/// The deviation of a bot from its system, in each propensity.
const SPREAD: f64 = 0.22;
/// Propensities of systems lie between these.
const MEANS: std::ops::RangeInclusive<f64> = 0.15..=0.85;
/// A bot that does not answer comes back to a fact that it has told at this rate.
const COMES_BACK: f64 = 0.3;
/// A dull reply has two sentences at this rate.
const DULL_TWICE: f64 = 0.3;
/// Sentences of a reply at most, a repeated one aside.
const SENTENCES: usize = 6;
/// A sentence that the last reply has is drawn again at most this often.
const TRIES: usize = 30;

/// How often a sentence is said by a bot that is all good in its impression (or all bad, for the sentences
/// that are bad signs). A bot of propensity p says it at p (or 1 - p) times that.
const GOOD: [(Does, Impression, f64); 9] = [
    (Does::Stay, Impression::Topic, 0.3),
    (Does::Propose, Impression::Agency, 0.45),
    (Does::Ask, Impression::Agency, 0.45),
    (Does::Feel, Impression::Emotion, 0.45),
    (Does::Joke, Impression::Enjoyability, 0.5),
    (Does::Praise, Impression::Enjoyability, 0.5),
    (Does::Interject, Impression::Humanness, 0.25),
    (Does::Tell, Impression::Personality, 0.5),
    (Does::Admit, Impression::Trust, 0.25),
];
const BAD: [(Does, Impression, f64); 4] = [
    (Does::Change, Impression::Topic, 0.4),
    (Does::Involved, Impression::Ease, 0.45),
    (Does::Machine, Impression::Humanness, 0.45),
    (Does::Claim, Impression::Trust, 0.4),
];
/// The same for what depends on the scene: to answer a question, to name the user's feeling, to name another,
/// and to repeat a sentence of the last reply.
const ANSWERS: f64 = 0.95;
const ACKNOWLEDGES: f64 = 0.9;
const MISREADS: f64 = 0.6;
const REPEATS: f64 = 0.2;

/// A standard normal draw (Box and Muller, 1958).
pub fn normal<R: Rng>(rng: &mut R) -> f64 {
    // In (0, 1], whose logarithm is finite.
    let radius = 1.0 - rng.random::<f64>();
    let angle = std::f64::consts::TAU * rng.random::<f64>();
    (-2.0 * radius.ln()).sqrt() * angle.cos()
}

/// A bot, or the mean of a system's bots: a propensity from 0 to 1 for each impression.
#[derive(Clone, Debug, PartialEq)]
pub struct Bot {
    propensity: [f64; Impression::COUNT],
    /// Rate of dull replies.
    dull: f64,
}

impl Bot {
    /// The mean of a new system.
    pub fn system<R: Rng>(rng: &mut R) -> Self {
        Self {
            propensity: std::array::from_fn(|_| rng.random_range(MEANS)),
            dull: 0.0,
        }
    }

    /// A bot of the system, with dull replies at the rate `dull`.
    pub fn of_system<R: Rng>(&self, rng: &mut R, dull: f64) -> Self {
        let near = |mean: f64| (mean + SPREAD * normal(rng)).clamp(0.0, 1.0);
        Self {
            propensity: self.propensity.map(near),
            dull,
        }
    }

    fn good<R: Rng>(&self, rng: &mut R, impression: Impression, rate: f64) -> bool {
        rng.random_bool(rate * self.propensity[impression as usize])
    }

    fn bad<R: Rng>(&self, rng: &mut R, impression: Impression, rate: f64) -> bool {
        rng.random_bool(rate * (1.0 - self.propensity[impression as usize]))
    }

    /// A reply in `scene`, before which the bot has said `last`.
    pub fn reply<R: Rng>(&self, rng: &mut R, scene: &Scene, last: &str) -> String {
        if rng.random_bool(self.dull) {
            return dull(rng);
        }
        let mut acts = self.looked_up(rng, scene);
        for (does, impression, rate) in GOOD {
            if self.good(rng, impression, rate) {
                acts.push(match does {
                    Does::Stay => does.about_word(&scene.topic),
                    _ => does.draw(rng),
                });
            }
        }
        for (does, impression, rate) in BAD {
            if self.bad(rng, impression, rate) {
                acts.push(match does {
                    Does::Change => {
                        does.about_word(&other(rng, &Grammar::get().words.topics, &scene.topic))
                    }
                    _ => does.draw(rng),
                });
            }
        }
        acts.shuffle(rng);
        acts.truncate(SENTENCES);
        let last = sentences(last);
        let mut said = say(rng, &acts, &last);
        if self.bad(rng, Impression::Humanness, REPEATS)
            && let Some(again) = repeatable(&last).choose(rng)
        {
            let at = rng.random_range(0..=said.len());
            said.insert(at, (*again).to_owned());
        }
        if said.is_empty() {
            return dull(rng);
        }
        said.join(" ")
    }

    /// What the bot says that can be right or wrong: a fact, the user's feeling.
    fn looked_up<R: Rng>(&self, rng: &mut R, scene: &Scene) -> Vec<Act> {
        let mut acts = Vec::new();
        let told: Vec<String> = scene.told.keys().cloned().collect();
        let asked = scene.asked.as_ref();
        if let Some(subject) = asked.filter(|_| self.good(rng, Impression::Attentiveness, ANSWERS))
        {
            acts.push(self.fact(rng, scene, subject));
        } else if !told.is_empty() && rng.random_bool(COMES_BACK) {
            let subject = any(rng, &told);
            if asked != Some(&subject) {
                acts.push(self.fact(rng, scene, &subject));
            }
        }
        if let Some(feeling) = &scene.feeling {
            if self.good(rng, Impression::Empathetic, ACKNOWLEDGES) {
                acts.push(Does::Acknowledge.about_word(feeling));
            } else if self.bad(rng, Impression::Empathetic, MISREADS) {
                let feelings = &Grammar::get().words.feelings;
                acts.push(Does::Acknowledge.about_word(&other(rng, feelings, feeling)));
            }
        }
        acts
    }

    fn fact<R: Rng>(&self, rng: &mut R, scene: &Scene, subject: &str) -> Act {
        let values = &Grammar::get().words.subjects[subject];
        let value = match scene.told.get(subject) {
            Some(first) if self.good(rng, Impression::Consistency, 1.0) => first.clone(),
            Some(first) => other(rng, values, first),
            None => any(rng, values),
        };
        Act {
            does: Does::Fact,
            v: subject.to_owned(),
            w: value,
        }
    }
}

/// A reply with good signs alone: the answer, the feeling, and others up to five sentences.
pub fn reference<R: Rng>(rng: &mut R, scene: &Scene, last: &str) -> String {
    let perfect = Bot {
        propensity: [1.0; Impression::COUNT],
        dull: 0.0,
    };
    let mut acts = Vec::new();
    if let Some(subject) = &scene.asked {
        acts.push(perfect.fact(rng, scene, subject));
    }
    if let Some(feeling) = &scene.feeling {
        acts.push(Does::Acknowledge.about_word(feeling));
    }
    let mut more: Vec<Act> = [
        Does::Propose,
        Does::Ask,
        Does::Feel,
        Does::Joke,
        Does::Praise,
        Does::Tell,
    ]
    .map(|does| does.draw(rng))
    .into();
    more.push(Does::Stay.about_word(&scene.topic));
    more.shuffle(rng);
    more.truncate(super::score::LONG - acts.len());
    acts.extend(more);
    let last = sentences(last);
    let mut said = say(rng, &acts, &last);
    // A reply that has repeated itself may have left no other wording.
    said.retain(|sentence| !last.contains(&sentence.as_str()));
    said.join(" ")
}

/// The acts as sentences, of which none is among `last` where that can be helped.
fn say<R: Rng>(rng: &mut R, acts: &[Act], last: &[&str]) -> Vec<String> {
    let mut used: HashSet<String> = last.iter().map(|it| (*it).to_owned()).collect();
    let mut said = Vec::new();
    for act in acts {
        let mut sentence = act.say(rng);
        for _ in 0..TRIES {
            if !used.contains(&sentence) {
                break;
            }
            sentence = act.say(rng);
        }
        used.insert(sentence.clone());
        said.push(sentence);
    }
    said
}

/// The sentences of `last` that mean the same in every scene.
fn repeatable<'a>(last: &[&'a str]) -> Vec<&'a str> {
    let grammar = Grammar::get();
    let fixed = |sentence: &&&str| {
        grammar.meaning(sentence).is_some_and(|act| {
            !matches!(
                act.does,
                Does::Dull | Does::Acknowledge | Does::Change | Does::Fact
            )
        })
    };
    last.iter().filter(fixed).copied().collect()
}

fn dull<R: Rng>(rng: &mut R) -> String {
    let first = Does::Dull.draw(rng).say(rng);
    let second = Does::Dull.draw(rng).say(rng);
    match rng.random_bool(DULL_TWICE) && first != second {
        true => format!("{first} {second}"),
        false => first,
    }
}

/// One of `words` that is not `word`.
pub fn other<R: Rng>(rng: &mut R, words: &[String], word: &str) -> String {
    let others: Vec<String> = words.iter().filter(|it| *it != word).cloned().collect();
    any(rng, &others)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::impression::score::{SCALE, Scores, Sign};
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
    use std::collections::BTreeMap;

    fn scene() -> Scene {
        Scene {
            topic: "chess".into(),
            told: BTreeMap::from([("drink".into(), "tea".into())]),
            asked: Some("drink".into()),
            feeling: Some("sad".into()),
        }
    }

    /// The mean score of a bot that is middling but for one propensity, on that impression.
    fn mean(impression: Impression, propensity: f64) -> f64 {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let mut bot = Bot {
            propensity: [0.5; Impression::COUNT],
            dull: 0.0,
        };
        bot.propensity[impression as usize] = propensity;
        let scores: Vec<Scores> = (0..800)
            .map(|_| scene().scores("", &bot.reply(&mut rng, &scene(), "")))
            .collect();
        Scores::mean(&scores).get(impression)
    }

    #[test]
    fn a_higher_propensity_scores_higher_on_its_impression() {
        let own = Impression::ALL.into_iter();
        for impression in own.filter(|it| *it != Impression::Respeak) {
            let scores = [0.0, 0.5, 1.0].map(|propensity| mean(impression, propensity));
            assert!(
                scores[0] + 0.5 < scores[1] && scores[1] + 0.5 < scores[2],
                "{impression:?} {scores:?}"
            );
        }
    }

    #[test]
    fn a_reference_reply_has_no_bad_sign_and_all_that_the_scene_asks_for() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        for _ in 0..200 {
            let reply = reference(&mut rng, &scene(), "");
            let signs = scene().signs("", &reply);
            assert!(signs.iter().all(|sign| sign.points().1 > 0.0), "{reply}");
            for sign in [Sign::Answers, Sign::Keeps, Sign::Acknowledges] {
                assert!(signs.contains(&sign), "{reply}");
            }
            assert_eq!(scene().scores("", &reply).get(Impression::Ease), SCALE.high);
        }
    }

    #[test]
    fn normal_draws_have_mean_zero_and_deviation_one() {
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        let draws: Vec<f64> = (0..20_000).map(|_| normal(&mut rng)).collect();
        let mean = draws.iter().sum::<f64>() / 20_000.0;
        let square = draws.iter().map(|x| x * x).sum::<f64>() / 20_000.0;
        // Four standard errors.
        assert!(
            mean.abs() < 0.03 && (square - 1.0).abs() < 0.04,
            "{mean} {square}"
        );
    }
}
