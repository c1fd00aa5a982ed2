//! Draws dialogues between a user and a bot.

use std::collections::HashSet;

use rand::Rng;
use rand::seq::IndexedRandom;

use super::bot::{Bot, reference};
use super::grammar::Grammar;
use super::oracle::Scene;
use super::score::Scores;
use crate::data::template::prompt;
use crate::data::{Completion, Example, Prompt, Rated, Role, Speaker, Turn};
use crate::world::{Phrase, any};

/// After the first turn, the user names the topic at this rate.
const NAMES_TOPIC: f64 = 0.3;
/// The user tells a feeling at this rate.
const FEELS: f64 = 0.6;
/// The user asks a question at this rate, and in every turn that would be empty otherwise.
const ASKS: f64 = 0.65;
/// A question is about something that the bot has told already at this rate, where there is such.
const ASKS_AGAIN: f64 = 0.65;
/// Users by number; they differ in name alone.
const SPEAKERS: usize = 40;

/// How the dialogues of a split are drawn.
#[derive(Clone, Debug)]
pub struct Manner {
    pub systems: Vec<Bot>,
    /// Rate of dull replies.
    pub dull: f64,
    /// The least and the most turns of each side.
    pub turns: [usize; 2],
}

/// A turn of the user, where the dialogue then stands, and the bot's reply.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub user: String,
    pub scene: Scene,
    pub bot: String,
}

/// A dialogue of known truth.
#[derive(Clone, Debug)]
pub struct Drawn {
    pub system: usize,
    pub speaker: usize,
    pub exchanges: Vec<Exchange>,
}

impl Drawn {
    /// Draws until the text is not in `seen`, and adds it there.
    pub fn unseen<R: Rng>(rng: &mut R, manner: &Manner, seen: &mut HashSet<String>) -> Self {
        loop {
            let drawn = Self::draw(rng, manner);
            if seen.insert(drawn.prompt(drawn.exchanges.len()).text()) {
                return drawn;
            }
        }
    }

    fn draw<R: Rng>(rng: &mut R, manner: &Manner) -> Self {
        let system = rng.random_range(0..manner.systems.len());
        let bot = manner.systems[system].of_system(rng, manner.dull);
        let speaker = rng.random_range(0..SPEAKERS);
        let [least, most] = manner.turns;
        let mut scene = Scene {
            topic: any(rng, &Grammar::get().words.topics),
            ..Default::default()
        };
        let mut exchanges: Vec<Exchange> = Vec::new();
        for turn in 0..rng.random_range(least..=most) {
            let user = speak(rng, &mut scene, turn == 0);
            let last = exchanges.last().map_or("", |it| &it.bot);
            let bot = bot.reply(rng, &scene, last);
            exchanges.push(Exchange {
                user,
                scene: scene.clone(),
                bot,
            });
            scene.hear(&exchanges[turn].bot);
        }
        Self {
            system,
            speaker,
            exchanges,
        }
    }

    fn last(&self, turn: usize) -> &str {
        match turn {
            0 => "",
            _ => &self.exchanges[turn - 1].bot,
        }
    }

    /// The scores of each reply.
    fn scores(&self) -> Vec<Scores> {
        let exchanges = self.exchanges.iter().enumerate();
        exchanges
            .map(|(turn, it)| it.scene.scores(self.last(turn), &it.bot))
            .collect()
    }

    fn turns(&self, exchanges: usize) -> Vec<Turn> {
        let turn = |speaker, text: &str| Turn {
            speaker,
            text: text.to_owned(),
        };
        let said = self.exchanges[..exchanges].iter();
        said.flat_map(|it| [turn(Speaker::User, &it.user), turn(Speaker::Bot, &it.bot)])
            .collect()
    }

    /// What comes before the reply of the given turn; of one past the last, the whole dialogue.
    fn prompt(&self, turn: usize) -> Prompt {
        let mut history = self.turns(turn);
        history.extend(self.exchanges.get(turn).map(|it| Turn {
            speaker: Speaker::User,
            text: it.user.clone(),
        }));
        prompt(String::new(), &history)
    }

    fn example(&self, id: &str, turn: usize, reply: &str, role: Role) -> Example {
        Example {
            id: format!("{id}:{turn}"),
            group: id.to_owned(),
            prompt: self.prompt(turn),
            completions: vec![Completion::new(format!(" {reply}"), role)],
            meta: self.exchanges[turn].scene.meta(),
        }
    }

    /// One example for each of the bot's turns, in order.
    pub fn examples(&self, id: &str) -> Vec<Example> {
        let exchanges = self.exchanges.iter().enumerate();
        exchanges
            .map(|(turn, it)| self.example(id, turn, &it.bot, Role::Reply))
            .collect()
    }

    /// The dialogue up to some turn of the user after the first, with a reply that has good signs alone.
    pub fn context<R: Rng>(&self, rng: &mut R, id: &str) -> Example {
        let turn = rng.random_range(1..self.exchanges.len());
        let good = reference(rng, &self.exchanges[turn].scene, self.last(turn));
        self.example(id, turn, &good, Role::Chosen)
    }

    /// The dialogue with its truth, the mean of its replies' scores; nobody has rated it yet.
    pub fn rated(&self, id: &str) -> (Rated, Scores) {
        let truth = Scores::mean(&self.scores());
        let rated = Rated {
            id: id.to_owned(),
            dialogue: id.to_owned(),
            system: format!("s{}", self.system),
            speaker: format!("u{}", self.speaker),
            turns: self.turns(self.exchanges.len()),
            ratings: Vec::new(),
            truth: Some(truth.by_name()),
        };
        (rated, truth)
    }
}

/// What the user says, of which the scene takes note.
fn speak<R: Rng>(rng: &mut R, scene: &mut Scene, opens: bool) -> String {
    let Grammar { words, user, .. } = Grammar::get();
    let mut said = Vec::new();
    if opens || rng.random_bool(NAMES_TOPIC) {
        said.push(Phrase::draw(rng, &user.topic).with(&scene.topic));
    }
    scene.feeling = rng.random_bool(FEELS).then(|| any(rng, &words.feelings));
    if let Some(feeling) = &scene.feeling {
        said.push(Phrase::draw(rng, &user.feeling).with(feeling));
    }
    let asks = rng.random_bool(ASKS) || said.is_empty();
    scene.asked = asks.then(|| {
        let told: Vec<&String> = scene.told.keys().collect();
        match told.choose(rng) {
            Some(subject) if rng.random_bool(ASKS_AGAIN) => (*subject).clone(),
            _ => any(rng, &words.subjects.keys().cloned().collect::<Vec<_>>()),
        }
    });
    if let Some(subject) = &scene.asked {
        said.push(Phrase::draw(rng, &user.question).with(subject));
    }
    said.join(" ")
}
