//! The judge behind an OpenAI-compatible endpoint.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::ask::{Asker, Outcome, Question};
use super::cache::Cache;
use super::client::{Client, check_base_url};
use super::limits::Limits;
use super::prompts::Prompts;
use super::{
    Choice, Compared, Counts, Criterion, Item, Judge, Language, Missing, OrderBias, Pair, SCALE,
    Scored, parse,
};
use crate::store::Stop;

/// Whom to ask, and what.
#[derive(Clone, Debug)]
pub struct EndpointSettings {
    /// The address to which `/chat/completions` is appended.
    pub base_url: String,
    /// The model's name at the server.
    pub model: String,
    /// The environment variable that holds the key; nothing for a server that needs none.
    pub api_key_env: Option<String>,
    /// What replies are judged on; at least one, no two of one name.
    pub criteria: Vec<Criterion>,
    pub language: Language,
    /// Files that take the place of the program's prompts.
    pub score_prompt: Option<PathBuf>,
    pub pair_prompt: Option<PathBuf>,
    pub temperature: f64,
    /// How many tokens an answer may have.
    pub max_answer_tokens: u64,
    /// The name under which the server takes that number.
    pub max_tokens_key: &'static str,
    pub limits: Limits,
}

/// Where an endpoint keeps what it hears.
#[derive(Clone, Debug)]
pub struct Place {
    /// The file of raw answers, JSON Lines, to which is appended.
    pub answers: PathBuf,
    /// The folder of answers by content, which several runs may share.
    pub cache: PathBuf,
    /// Name for progress lines.
    pub label: String,
    /// Asked before each request. Requests under way are waited for, so that their answers are kept.
    pub stop: Stop,
}

/// A model that judges over HTTP.
///
/// Scores are asked for as structured output, and without it once the server has refused that. Pairs
/// are asked for in both orders; where the two answers disagree, the pair is a tie.
pub struct Endpoint {
    settings: EndpointSettings,
    prompts: Prompts,
    asker: Asker,
    label: String,
}

impl Endpoint {
    /// Prepares to ask; nothing is sent yet.
    ///
    /// # Errors
    /// An address, key or prompt that cannot work, by its setting; files that cannot be opened.
    pub fn open(settings: EndpointSettings, place: Place) -> Result<Self> {
        // The address itself is not told: it may hold a password.
        let base_url = check_base_url(&settings.base_url).context("base_url")?;
        anyhow::ensure!(
            !settings.criteria.is_empty(),
            "criteria: expected at least one"
        );
        let prompts = Prompts::new(
            &settings.criteria,
            settings.language,
            settings.score_prompt.as_ref(),
            settings.pair_prompt.as_ref(),
        )?;
        let limits = settings.limits;
        let client = Client::new(
            &base_url,
            settings.api_key_env.as_deref(),
            limits.connect_timeout,
            limits.timeout,
            limits.max_response_bytes,
        )
        .context("api_key_env")?;
        let asker = Asker::new(
            client,
            Cache::open(&place.cache, &base_url, &settings.model)?,
            &place.answers,
            limits,
            settings.max_answer_tokens,
            place.stop,
        )?;
        Ok(Self {
            settings,
            prompts,
            asker,
            label: place.label,
        })
    }

    fn body(&self, text: &str) -> Value {
        let mut body = json!({
            "model": self.settings.model,
            "messages": [{"role": "user", "content": text}],
            "temperature": self.settings.temperature,
            "stream": false,
        });
        body[self.settings.max_tokens_key] = self.settings.max_answer_tokens.into();
        body
    }

    fn score_question(&self, item: &Item<'_>) -> Result<Question> {
        let plain = self.body(&self.prompts.score(item)?);
        let mut structured = plain.clone();
        structured["response_format"] = score_format(&self.settings.criteria);
        Ok(Question {
            id: item.id.to_owned(),
            ask: "score",
            forms: vec![structured.to_string(), plain.to_string()],
        })
    }

    fn pair_question(&self, pair: &Pair<'_>, swapped: bool) -> Result<Question> {
        let (shown, ask) = match swapped {
            false => (*pair, "compare"),
            true => {
                let (first, second) = (pair.second, pair.first);
                let shown = Pair {
                    first,
                    second,
                    ..*pair
                };
                (shown, "compare swapped")
            }
        };
        Ok(Question {
            id: pair.id.to_owned(),
            ask,
            forms: vec![self.body(&self.prompts.pair(&shown)?).to_string()],
        })
    }

    /// Asks all questions and reads each answer, counting what becomes of it.
    fn verdicts<T>(
        &self,
        count: usize,
        question: impl Fn(usize) -> Result<Question> + Sync,
        read: impl Fn(&str, bool) -> Result<T, String>,
    ) -> Result<(Vec<Result<T, Missing>>, Counts)> {
        let before = self.asker.budget.used();
        let outcomes = self.asker.ask_all(&self.label, count, question)?;
        let after = self.asker.budget.used();
        let mut counts = Counts {
            requests: after.0 - before.0,
            tokens: after.1 - before.1,
            ..Counts::default()
        };
        let mut verdicts = Vec::with_capacity(count);
        for outcome in outcomes {
            let verdict = match outcome {
                Outcome::Answer(answer) => {
                    counts.from_cache += usize::from(answer.free);
                    let completion = &answer.completion;
                    let text = completion.text.clone();
                    text.and_then(|text| read(&text, completion.cut))
                        .map_err(Missing::Unparsable)
                }
                Outcome::Failed(reason) => Err(Missing::Failed(reason)),
                Outcome::OverBudget => Err(Missing::OverBudget),
            };
            counts.add(&verdict);
            verdicts.push(verdict);
        }
        Ok((verdicts, counts))
    }
}

impl Judge for Endpoint {
    fn score(&self, items: &[Item<'_>]) -> Result<Scored> {
        let criteria = &self.settings.criteria;
        let (scores, counts) = self.verdicts(
            items.len(),
            |index| self.score_question(&items[index]),
            |text, cut| parse::scores(text, criteria, cut),
        )?;
        Ok(Scored { scores, counts })
    }

    fn compare(&self, pairs: &[Pair<'_>]) -> Result<Compared> {
        let (shown, counts) = self.verdicts(
            2 * pairs.len(),
            |index| self.pair_question(&pairs[index / 2], index % 2 == 1),
            parse::choice,
        )?;
        let mut order = OrderBias::default();
        for choice in shown.iter().flatten() {
            *match choice {
                Choice::First => &mut order.first,
                Choice::Second => &mut order.second,
                Choice::Tie => &mut order.tie,
            } += 1;
        }
        let mut shown = shown.into_iter();
        let mut choices = Vec::with_capacity(pairs.len());
        while let (Some(straight), Some(swapped)) = (shown.next(), shown.next()) {
            choices.push(straight.and_then(|straight| {
                let swapped = swapped?.swapped();
                order.pairs += 1;
                if straight == swapped {
                    return Ok(straight);
                }
                order.disagreements += 1;
                Ok(Choice::Tie)
            }));
        }
        Ok(Compared {
            choices,
            counts,
            order,
        })
    }
}

/// The structure that scores are asked for in: an object with one of the scale's numbers for each criterion.
fn score_format(criteria: &[Criterion]) -> Value {
    let scale: Vec<i64> = (SCALE.0 as i64..=SCALE.1 as i64).collect();
    let names: Vec<&str> = criteria
        .iter()
        .map(|criterion| criterion.name.as_str())
        .collect();
    let property = |name: &&str| {
        (
            (*name).to_owned(),
            json!({"type": "integer", "enum": scale}),
        )
    };
    let properties: serde_json::Map<String, Value> = names.iter().map(property).collect();
    json!({
        "type": "json_schema",
        "json_schema": {
            "name": "scores",
            "strict": true,
            "schema": {
                "type": "object",
                "properties": properties,
                "required": names,
                "additionalProperties": false,
            },
        },
    })
}
