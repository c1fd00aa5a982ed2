//! `tournament`: models against one another, reply by reply.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::data::{Example, Prompt};
use crate::eval::{Game, LengthControlled, Standing, length_scale, longer_won, standings};
use crate::judge::{self, Choice, Compared, Judge, Pair};
use crate::stage::artifact::examples::prompts;
use crate::stage::artifact::measures::Measures;
use crate::stage::kind::{Context, Kind, Stage};
use crate::stage::modules;
use crate::stage::settings::judge::{self as judge_settings, JudgeSettings};
use crate::stage::settings::keys::{BATCH, COUNT, Keys, StageRef};
use crate::stage::settings::produces::Produces;
use crate::stage::settings::reward::weighed;
use crate::stage::settings::sampling::SamplingSettings;
use crate::stage::settings::splits::{Group, Split};
use crate::stage::work::judge::oracle::Oracle;
use crate::store::write_jsonl;

pub const KIND: Kind = Kind {
    name: "tournament",
    about: "models against one another, reply by reply: win rates, at equal length too, and Bradley-Terry strengths",
    produces: Produces::Measure,
    // 2: a reply's text is what it reads after its prompt.
    // 3: win rates at equal length, and how often the longer reply won.
    version: 3,
    uses_backend: true,
    modules: modules::JUDGING,
    read,
};

const RESAMPLES: usize = 1000;

struct Tournament {
    models: Vec<StageRef>,
    data: StageRef,
    split: Split,
    examples: usize,
    games: usize,
    sampling: SamplingSettings,
    judge: JudgeSettings,
    weighed: Vec<(String, f64)>,
}

fn read(keys: &mut Keys<'_>) -> Box<dyn Stage> {
    let models = keys
        .doc("two or more; a model of all seeds plays in each seed's tournament")
        .stages("models", &[Produces::Model]);
    let mut names: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    if names.len() != models.len() || models.len() == 1 {
        keys.problem("models", "expected two models or more, each once");
    }
    let tournament = Tournament {
        data: keys.stage(
            "data",
            &[Produces::Pairs, Produces::Dialogues, Produces::Rated],
        ),
        split: Split::read(keys, "test"),
        examples: keys
            .doc("prompts replied to; 0: all")
            .usize("examples", 400, 0..=COUNT),
        games: keys
            .doc("pairs of models drawn for each prompt, the same ones for every seed; 0: all")
            .usize("games", 2, 0..=BATCH),
        sampling: SamplingSettings::read(keys),
        judge: judge_settings::read(keys),
        weighed: weighed(
            keys,
            "what an impression world's oracle compares; none named: all",
        ),
        models,
    };
    Box::new(tournament)
}

/// A meeting of two models at a prompt.
#[derive(Clone, Copy)]
struct Meeting {
    prompt: usize,
    first: usize,
    second: usize,
}

/// A line of `games.jsonl`.
#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    first: &'a str,
    second: &'a str,
    first_reply: &'a str,
    second_reply: &'a str,
    /// Who won, or why nobody knows.
    verdict: String,
}

impl Stage for Tournament {
    fn run(&self, context: &Context) -> Result<()> {
        let examples = prompts(
            context.input(&self.data),
            self.split,
            self.examples,
            Group::None,
        )?;
        let meetings = self.draw(examples.len());
        let mut measures = Measures::default();
        let replies = self.replies(context, &examples, &meetings, &mut measures)?;
        let reply = |model: usize, prompt: usize| replies[model][&prompt].as_str();
        // Who says the same has tied.
        let (alike, apart): (Vec<Meeting>, Vec<Meeting>) = meetings
            .iter()
            .partition(|it| reply(it.first, it.prompt) == reply(it.second, it.prompt));
        let pairs: Vec<Pair<'_>> = apart
            .iter()
            .map(|it| Pair {
                id: &examples[it.prompt].id,
                prompt: &examples[it.prompt].prompt,
                first: reply(it.first, it.prompt),
                second: reply(it.second, it.prompt),
                meta: &examples[it.prompt].meta,
            })
            .collect();
        let Compared {
            choices,
            counts,
            order,
        } = self.compare(context, &pairs)?;

        let mut rounds = vec![Vec::new(); examples.len()];
        let mut lines = Vec::new();
        let ties = alike.iter().map(|it| (it, Ok(Choice::Tie)));
        for (meeting, choice) in apart.iter().zip(choices).chain(ties) {
            let Meeting {
                prompt,
                first,
                second,
            } = *meeting;
            if let Ok(choice) = &choice {
                let score = match choice {
                    Choice::First => 1.0,
                    Choice::Tie => 0.5,
                    Choice::Second => 0.0,
                };
                rounds[prompt].push(Game {
                    first,
                    second,
                    score,
                    longer: length(reply(first, prompt)) - length(reply(second, prompt)),
                });
            }
            lines.push(Line {
                id: &examples[prompt].id,
                first: &self.models[first].name,
                second: &self.models[second].name,
                first_reply: reply(first, prompt),
                second_reply: reply(second, prompt),
                verdict: match choice {
                    Ok(Choice::First) => "first".into(),
                    Ok(Choice::Second) => "second".into(),
                    Ok(Choice::Tie) => "tie".into(),
                    Err(missing) => missing.to_string(),
                },
            });
        }
        let judged: usize = rounds.iter().map(Vec::len).sum();
        ensure!(
            judged > 0,
            "none of {} games was decided: {}",
            meetings.len(),
            counts
        );
        let standings = standings(self.models.len(), &rounds, RESAMPLES, 0)?;
        write_jsonl(&context.dir.join("games.jsonl"), lines)?;
        self.measure(&rounds, &standings, judged == meetings.len(), &mut measures);
        measures.note(format!(
            "{} games on {} prompts, {} of them tied by equal replies; {}",
            meetings.len(),
            examples.len(),
            alike.len(),
            counts
        ));
        self.lengths(&rounds, &mut measures);
        if let Some(rate) = order.first_rate() {
            measures.numbers.insert("first_rate".into(), rate);
            measures.note(format!(
                "order bias: the reply shown first won {:.1}% of the decided answers; {} of {} pairs were answered \
                 otherwise in the other order and count as ties",
                100.0 * rate,
                order.disagreements,
                order.pairs
            ));
        }
        measures.write(&context.dir)
    }
}

impl Tournament {
    /// The meetings at each prompt, in an order of models that favours none.
    fn draw(&self, prompts: usize) -> Vec<Meeting> {
        let count = self.models.len();
        let mut pairs: Vec<(usize, usize)> = (0..count)
            .flat_map(|first| (0..count).map(move |second| (first, second)))
            .filter(|(first, second)| first < second)
            .collect();
        let games = match self.games {
            0 => pairs.len(),
            games => games.min(pairs.len()),
        };
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut meetings = Vec::new();
        for prompt in 0..prompts {
            pairs.shuffle(&mut rng);
            meetings.extend(pairs[..games].iter().map(|&(first, second)| {
                let mut order = [first, second];
                order.shuffle(&mut rng);
                Meeting {
                    prompt,
                    first: order[0],
                    second: order[1],
                }
            }));
        }
        meetings
    }

    /// Each model's replies to the prompts at which it plays, by prompt.
    fn replies(
        &self,
        context: &Context,
        examples: &[Example],
        meetings: &[Meeting],
        measures: &mut Measures,
    ) -> Result<Vec<BTreeMap<usize, String>>> {
        let mut replies = Vec::new();
        for (player, model) in self.models.iter().enumerate() {
            let plays = |it: &&Meeting| it.first == player || it.second == player;
            let mut at: Vec<usize> = meetings.iter().filter(plays).map(|it| it.prompt).collect();
            at.dedup();
            let requests: Vec<(u64, Prompt)> = at
                .iter()
                .map(|&prompt| (prompt as u64, examples[prompt].prompt.clone()))
                .collect();
            let sampled = self
                .sampling
                .run(context, (model, &[]), &requests, measures)?;
            let texts = sampled.into_iter().map(|it| it.text.trim().to_owned());
            replies.push(at.into_iter().zip(texts).collect());
        }
        Ok(replies)
    }

    fn compare(&self, context: &Context, pairs: &[Pair<'_>]) -> Result<Compared> {
        if let Some(endpoint) = self.judge.endpoint(context)? {
            return endpoint.compare(pairs);
        }
        let oracle = Oracle::of(context.input(&self.data))?;
        let find = |meta: &_, prompt: &Prompt, reply: &str| {
            oracle.find(meta, prompt, reply, &self.weighed)
        };
        judge::Oracle::new(find).compare(pairs)
    }

    /// `comparable`: every game was decided, so that all seeds have the same ones.
    fn measure(
        &self,
        rounds: &[Vec<Game>],
        standings: &[Standing],
        comparable: bool,
        measures: &mut Measures,
    ) {
        for (player, (model, standing)) in self.models.iter().zip(standings).enumerate() {
            let games = rounds.iter().flatten();
            let scores: Vec<f64> = games.filter_map(|game| game.score_of(player)).collect();
            let name = format!("win_rate.{}", model.name);
            if comparable {
                measures.mean(&name, scores);
            } else if standing.games > 0 {
                measures.numbers.insert(name, standing.win_rate);
            }
            if standing.games > 0 {
                let name = format!("length_controlled_win_rate.{}", model.name);
                measures.share(&name, standing.length_controlled);
            }
            let name = format!("strength.{}", model.name);
            measures.numbers.insert(name, standing.strength);
            let [low, high] = standing.strength_ci95;
            let percent = |value: f64, [low, high]: [f64; 2]| {
                let [value, low, high] = [value, low, high].map(|it| 100.0 * it);
                format!("{value:.1}% [{low:.1}, {high:.1}]")
            };
            measures.note(format!(
                "{}: strength {:.2} [{low:.2}, {high:.2}], won {} of {} games, {} at equal length",
                model.name,
                standing.strength,
                percent(standing.win_rate, standing.win_rate_ci95),
                standing.games,
                percent(standing.length_controlled, standing.length_controlled_ci95)
            ));
        }
    }

    /// What the replies' lengths had to do with it.
    fn lengths(&self, rounds: &[Vec<Game>], measures: &mut Measures) {
        let games: Vec<Game> = rounds.iter().flatten().copied().collect();
        let Some((won, count)) = longer_won(&games) else {
            return;
        };
        let scale = length_scale(&games);
        let effect = LengthControlled::fit(self.models.len(), &games, scale, None).effect();
        measures.share("longer_won", won);
        measures.numbers.insert("length_effect".into(), effect);
        measures.note(format!(
            "the longer reply won {:.1}% of the {count} decided games between replies of unlike length; being longer \
             by far gains {effect:+.2} in log-odds (the usual difference: {scale:.0} characters)",
            100.0 * won
        ));
    }
}

/// Characters of a reply.
fn length(reply: &str) -> f64 {
    reply.chars().count() as f64
}
