//! Scores of whole texts, by the models of a reward-model artifact or of a folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};

use crate::data::chat::{ChatTemplate, Message};
use crate::data::encode::Limits;
use crate::data::{Example, Prompt, Rated, Tokenizer};
use crate::engine::{Device, Frozen};
use crate::model::config::{Problem, ScoreHead};
use crate::model::hf::config_json;
use crate::objective::{Objective, Score};
use crate::stage::artifact::folder::{self, model_dir};
use crate::stage::artifact::measures::Measures;
use crate::stage::artifact::scoring_format::{Format, Texts};
use crate::stage::work::scores::scored::{self, Reading};

/// Tokens scored at once.
const TOKENS: usize = 4096;

/// One model with all outputs, or several with some each.
pub struct Scorer {
    models: Vec<(Frozen, Tokenizer)>,
    labels: Vec<String>,
    /// Mean and standard deviation of the ratings that each score was trained on.
    units: Vec<(f64, f64)>,
    problem: Problem,
    format: Format,
    /// What writes conversations, where it learned from such.
    template: Option<Arc<ChatTemplate>>,
    /// What that puts after a reply.
    ending: String,
    /// The share of a prompt's tokens that must be left where the model's positions are too few.
    pub min_prompt_kept: f64,
}

/// Where a model with one output of several lies in a reward model's artifact.
pub fn one_of(artifact: &Path, label: &str) -> PathBuf {
    artifact.join("each").join(label)
}

/// The model folders of a reward model's artifact, or the folder itself where it is one.
fn folders(artifact: &Path) -> Result<Vec<PathBuf>> {
    for dir in [model_dir(artifact), artifact.to_owned()] {
        if dir.join("config.json").exists() {
            return Ok(vec![dir]);
        }
    }
    let each = artifact.join("each");
    ensure!(
        each.is_dir(),
        "{}: no model folder with a scoring head: neither config.json nor model/config.json is there",
        artifact.display()
    );
    let mut found = Vec::new();
    for entry in fs::read_dir(&each)? {
        found.push(model_dir(&entry?.path()));
    }
    found.sort();
    Ok(found)
}

/// The model folders of a reward model's artifact, or of a folder, and what their heads are trained for, by their
/// configurations alone.
///
/// # Errors
/// A folder that cannot be read, has no scoring head, or heads of different kinds.
pub fn heads(artifact: &Path) -> Result<(Vec<PathBuf>, Problem)> {
    let dirs = folders(artifact)?;
    let mut problems = Vec::new();
    for dir in &dirs {
        let Some(head) = config_json::read(dir)?.score else {
            bail!(
                "{}: a language model, where one with a scoring head (ForSequenceClassification) is wanted",
                dir.display()
            );
        };
        problems.push(head.problem);
    }
    problems.dedup();
    let [problem] = problems[..] else {
        bail!(
            "{}: no model, or models of different kinds",
            artifact.display()
        );
    };
    Ok((dirs, problem))
}

/// How the texts of a reward model's artifact, or of a folder, are written; with it the chat template that writes them,
/// where one does, and whether the folder itself says so.
///
/// # Errors
/// A folder that cannot be read; models of one artifact that read texts of different forms.
pub fn format(artifact: &Path) -> Result<(Format, Option<ChatTemplate>, bool)> {
    let mut found: Option<(Format, Option<ChatTemplate>, bool)> = None;
    for dir in folders(artifact)? {
        let template = ChatTemplate::find(&dir)?;
        let (format, stated) = Format::of(&dir, template.is_some())?;
        let given = Format::kwargs(&dir)?;
        let template = template.map(|template| template.given(given));
        let template = template.filter(|_| format.texts == Texts::Messages);
        match &found {
            Some((other, ..)) => ensure!(
                *other == format,
                "{}: its models read texts of different forms",
                artifact.display()
            ),
            None => found = Some((format, template, stated)),
        }
    }
    found.with_context(|| format!("{}: no model", artifact.display()))
}

/// What a chat template puts after a reply's words.
fn ending(template: &ChatTemplate) -> Option<String> {
    // No template writes this by itself.
    const WORDS: &str = "qzx reply qzx";
    let (asked, reply) = (
        [Message::new("user", "a")],
        [Message::new("assistant", WORDS)],
    );
    let completion = template.completion(&asked, &reply).ok()?;
    let (_, ending) = completion.rsplit_once(WORDS)?;
    Some(ending.to_owned())
}

impl Scorer {
    /// Opens a reward model's artifact, or any model folder with a scoring head.
    ///
    /// # Errors
    /// As [`heads`], and weights that do not fit.
    pub fn open(artifact: &Path, device: Device<'_>) -> Result<Self> {
        let (dirs, problem) = heads(artifact)?;
        let (format, template, _) = format(artifact)?;
        let template = template.map(Arc::new);
        let (mut models, mut labels) = (Vec::new(), Vec::new());
        let mut units = Vec::new();
        for dir in dirs {
            let (config, tokenizer) = folder::read(&dir)?;
            // Dialogues are written as those texts were that the model learned from.
            let tokenizer = tokenizer.with_template(template.clone());
            let model = Frozen::open(device, &dir)?;
            if let Some(head) = &config.score {
                labels.extend(head.labels.iter().cloned());
                units.extend(head.centre.iter().copied().zip(head.scale.iter().copied()));
            }
            models.push((model, tokenizer));
        }
        Ok(Self {
            models,
            labels,
            units,
            problem,
            format,
            ending: template.as_deref().and_then(ending).unwrap_or_default(),
            template,
            min_prompt_kept: 0.0,
        })
    }

    /// The name of each score.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Mean and standard deviation of the ratings that the score at a place was trained on; 0 and 1 where it was not
    /// trained on ratings.
    pub fn unit(&self, place: usize) -> (f64, f64) {
        self.units[place]
    }

    /// A rated dialogue, written as those texts were that the model learned from.
    ///
    /// # Errors
    /// What its chat template refuses.
    pub fn dialogue(&self, row: &Rated) -> Result<Example> {
        scored::of_dialogue(row, self.template.as_deref())
    }

    /// Drawn replies to a prompt, ended as those were that the model learned from.
    pub fn replies(&self, prompt: &Prompt, replies: &[String]) -> Example {
        let ended = |reply: &String| match prompt.rendered() && !reply.ends_with(&self.ending) {
            true => format!("{reply}{}", self.ending),
            false => reply.clone(),
        };
        let replies: Vec<String> = replies.iter().map(ended).collect();
        scored::of_replies(prompt, &replies)
    }

    /// Whether the scores are ratings or the probabilities of classes.
    pub fn problem(&self) -> Problem {
        self.problem
    }

    /// The scores of each completion of each example, example by example: on the scale of the ratings, or
    /// the probability of each class. Nothing once `done`, told how many examples each model has finished,
    /// says not to go on.
    ///
    /// # Errors
    /// A text that cannot be tokenised. What is cut to fit is noted in `measures`.
    pub fn scores(
        &self,
        examples: &[Example],
        what: &str,
        measures: &mut Measures,
        mut done: impl FnMut(usize) -> bool,
    ) -> Result<Option<Vec<Vec<f64>>>> {
        let completions: usize = examples.iter().map(|it| it.completions.len()).sum();
        let mut scores = vec![Vec::with_capacity(self.labels.len()); completions];
        for (model, tokenizer) in &self.models {
            let config = model.config();
            let (Some(head), limit) = (&config.score, config.max_positions) else {
                continue;
            };
            let name = format!("max_position_embeddings {limit}");
            let reading = Reading {
                limits: Limits {
                    max_length: limit,
                    append_eos: self.format.append_eos,
                },
                limit: &name,
                remedy: "take a reward model that reads more",
                min_prompt_kept: self.min_prompt_kept,
            };
            let set =
                scored::dataset(examples, tokenizer, config, (reading, what), None, measures)?;
            let units: Vec<usize> = (0..set.units.len()).collect();
            let batches: Vec<_> = set.by_tokens(&units, TOKENS).collect();
            // Which loss it would be trained with makes no difference to what it says.
            let objective = Objective::Score(Score::BradleyTerry { centre: 0.0 });
            let Some(values) = model.values(&set, &objective, &batches, &mut done) else {
                return Ok(None);
            };
            for (scores, outputs) in scores.iter_mut().zip(values.chunks(head.labels.len())) {
                scores.extend(readable(head, outputs));
            }
        }
        Ok(Some(scores))
    }
}

/// What a head's outputs for one text mean.
fn readable(head: &ScoreHead, outputs: &[f32]) -> Vec<f64> {
    let outputs = outputs.iter().map(|&output| f64::from(output));
    match head.problem {
        Problem::Regression => outputs
            .zip(head.centre.iter().zip(&head.scale))
            .map(|(output, (centre, scale))| centre + scale * output)
            .collect(),
        Problem::SingleLabelClassification => {
            let outputs: Vec<f64> = outputs.collect();
            let most = outputs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let shares: Vec<f64> = outputs.iter().map(|it| (it - most).exp()).collect();
            let total: f64 = shares.iter().sum();
            shares.iter().map(|it| it / total).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::chat::Beside;

    #[test]
    fn conversations_are_written_with_what_the_recipe_gave_the_template() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("config.json"), "{}").unwrap();
        let source = "{{ tone }}{% for m in messages %}[{{ m.content }}]{% endfor %}";
        fs::write(dir.path().join("chat_template.jinja"), source).unwrap();
        let given = [("tone".to_owned(), "dry".into())];
        Format::bare(Texts::Messages)
            .write(dir.path(), given.into_iter().collect())
            .unwrap();
        let (_, template, _) = format(dir.path()).unwrap();
        let text =
            template
                .unwrap()
                .render(&[Message::new("user", "a")], &Beside::default(), false);
        assert_eq!(text.unwrap(), "dry[a]");
    }

    #[test]
    fn outputs_become_ratings_or_probabilities() {
        let head = ScoreHead {
            labels: vec!["ease".into(), "trust".into()],
            problem: Problem::Regression,
            centre: vec![5.0, 6.0],
            scale: vec![2.0, 0.5],
        };
        assert_eq!(readable(&head, &[1.5, -2.0]), [8.0, 5.0]);
        let head = ScoreHead {
            problem: Problem::SingleLabelClassification,
            ..head
        };
        let found = readable(&head, &[1000.0, 1000.0 - f32::ln(3.0)]);
        assert!((found[0] - 0.75).abs() < 1e-4, "{found:?}");
        assert!((found.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }
}
