//! What a judge is asked: templates filled in.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Item, Pair, SCALE};
use crate::data::Prompt;
use crate::data::jinja::{Day, Template};
use crate::store::read_text;

/// The language in which a judge is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    English,
    Japanese,
}

/// A point on which replies are judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Criterion {
    pub name: String,
    /// What it means, for the judge; may be empty.
    pub about: String,
}

impl Criterion {
    /// Reads `name` or `name: what it means`. `adherence`, `hallucination` and `naturalness` have a
    /// meaning where none is given.
    ///
    /// # Errors
    /// A name that is empty or has other characters than letters, digits, `_`, `-` and spaces.
    pub fn parse(text: &str, language: Language) -> Result<Self> {
        let (name, about) = text.split_once(':').unwrap_or((text, ""));
        let (name, about) = (name.trim(), about.trim());
        let fits = |c: char| c.is_alphanumeric() || "_- ".contains(c);
        if !name.chars().any(char::is_alphanumeric) || !name.chars().all(fits) {
            bail!(
                "expected \"name\" or \"name: what it means\", the name of letters, digits, _, - \
                 and spaces, found {text:?}"
            );
        }
        let about = match about {
            "" => known(name, language)?.unwrap_or_default(),
            about => about.to_owned(),
        };
        Ok(Self {
            name: name.to_owned(),
            about,
        })
    }
}

fn known(name: &str, language: Language) -> Result<Option<String>> {
    let known: BTreeMap<String, BTreeMap<String, String>> =
        serde_json::from_str(include_str!("../../assets/judge/criteria.json"))
            .context("assets/judge/criteria.json")?;
    let language = match language {
        Language::English => "en",
        Language::Japanese => "ja",
    };
    let about = known.get(language).and_then(|known| known.get(name));
    Ok(about.map(|about| about.replace("{low}", &SCALE.0.to_string())))
}

/// Tries out the templates that take the place of the program's.
///
/// # Errors
/// By file: one that cannot be read or rendered, or that leaves out what is to be judged.
pub fn check_prompts(
    criteria: &[Criterion],
    language: Language,
    score: Option<&PathBuf>,
    pair: Option<&PathBuf>,
) -> Result<()> {
    Prompts::new(criteria, language, score, pair).map(drop)
}

/// The two templates, compiled, and what does not change from question to question.
#[derive(Debug)]
pub(super) struct Prompts {
    score: Template,
    pair: Template,
    criteria: Value,
    form: String,
}

const SCORE: &str = "score prompt";
const PAIR: &str = "pair prompt";

impl Prompts {
    /// Takes each template from its file, or from the program where no file is named.
    ///
    /// # Errors
    /// By file: one that cannot be read or rendered, or that leaves out what is to be judged.
    pub(super) fn new(
        criteria: &[Criterion],
        language: Language,
        score: Option<&PathBuf>,
        pair: Option<&PathBuf>,
    ) -> Result<Self> {
        let (score_text, pair_text) = match language {
            Language::English => (
                include_str!("../../assets/judge/score.en.jinja"),
                include_str!("../../assets/judge/pair.en.jinja"),
            ),
            Language::Japanese => (
                include_str!("../../assets/judge/score.ja.jinja"),
                include_str!("../../assets/judge/pair.ja.jinja"),
            ),
        };
        let read = |name: &str, own: Option<&PathBuf>, text: &str| -> Result<Template> {
            let text = match own {
                Some(path) => read_text(path)?,
                None => text.to_owned(),
            };
            Template::strict(&text).with_context(|| format!("the {name} {}", place(own)))
        };
        let (score_template, pair_template) = (
            read(SCORE, score, score_text)?,
            read(PAIR, pair, pair_text)?,
        );
        let form: serde_json::Map<_, _> = criteria
            .iter()
            .map(|criterion| (criterion.name.clone(), json!("N")))
            .collect();
        let prompts = Self {
            score: score_template,
            pair: pair_template,
            criteria: serde_json::to_value(criteria)?,
            form: serde_json::to_string(&form)?.replace("\"N\"", "N"),
        };
        prompts.try_out(score, pair)?;
        Ok(prompts)
    }

    /// Renders both templates once, so that a mistake in them shows before anything is asked.
    fn try_out(&self, score: Option<&PathBuf>, pair: Option<&PathBuf>) -> Result<()> {
        let marks = ["{a prompt}", "{a reply}", "{another reply}"];
        let meta = serde_json::Map::new();
        let prompt = Prompt::Text(marks[0].to_owned());
        let item = Item {
            id: "",
            prompt: &prompt,
            reply: marks[1],
            meta: &meta,
        };
        let asked = Pair {
            id: "",
            prompt: &prompt,
            first: marks[1],
            second: marks[2],
            meta: &meta,
        };
        let checks = [
            (self.score(&item), SCORE, score, &["prompt", "reply"][..]),
            (
                self.pair(&asked),
                PAIR,
                pair,
                &["prompt", "first", "second"],
            ),
        ];
        for (text, name, own, needed) in checks {
            let text = text.with_context(|| format!("the {name} {}", place(own)))?;
            for (variable, mark) in needed.iter().zip(marks) {
                if !text.contains(mark) {
                    bail!(
                        "the {name} {} does not show {{{{ {variable} }}}}; put it in",
                        place(own)
                    );
                }
            }
        }
        Ok(())
    }

    /// The question that scores a reply.
    pub(super) fn score(&self, item: &Item<'_>) -> Result<String> {
        let variables = [
            ("prompt", item.prompt.shown().into()),
            ("reply", item.reply.into()),
            ("criteria", self.criteria.clone()),
            ("form", self.form.as_str().into()),
            ("low", json!(SCALE.0 as i64)),
            ("high", json!(SCALE.1 as i64)),
        ];
        render(&self.score, variables)
    }

    /// The question that compares two replies, in the order given.
    pub(super) fn pair(&self, pair: &Pair<'_>) -> Result<String> {
        let variables = [
            ("prompt", pair.prompt.shown().into()),
            ("first", pair.first.into()),
            ("second", pair.second.into()),
            ("criteria", self.criteria.clone()),
        ];
        render(&self.pair, variables)
    }
}

fn render<const N: usize>(template: &Template, variables: [(&str, Value); N]) -> Result<String> {
    let variables: Map<String, Value> = variables
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect();
    Ok(template.render(&variables, Day::DEFAULT)?.text)
}

fn place(own: Option<&PathBuf>) -> impl std::fmt::Display {
    own.map(PathBuf::as_path)
        .unwrap_or(Path::new("of the program"))
        .display()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn criteria(language: Language) -> Vec<Criterion> {
        ["adherence", "tact: whether it is kind"]
            .map(|text| Criterion::parse(text, language).unwrap())
            .into()
    }

    #[test]
    fn both_languages_show_all_that_is_asked() {
        let meta = serde_json::Map::new();
        for language in [Language::English, Language::Japanese] {
            let criteria = criteria(language);
            let prompts = Prompts::new(&criteria, language, None, None).unwrap();
            let item = Item {
                id: "i",
                prompt: &Prompt::Text("Say {{ no }} <b>.".into()),
                reply: "No.",
                meta: &meta,
            };
            let text = prompts.score(&item).unwrap();
            assert!(text.contains("Say {{ no }} <b>."), "{text}");
            assert!(text.contains(r#"{"adherence":N,"tact":N}"#), "{text}");
            assert!(text.contains(&criteria[0].about) && !criteria[0].about.is_empty());
            assert!(text.contains("kind\n\n"), "{text}");
            let pair = Pair {
                id: "p",
                prompt: &Prompt::Text("P".into()),
                first: "one",
                second: "two",
                meta: &meta,
            };
            let text = prompts.pair(&pair).unwrap();
            assert!(text.contains("one") && text.contains("[[3]]"), "{text}");
        }
    }

    #[test]
    fn a_template_that_cannot_work_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.jinja");
        for (text, expected) in [
            ("{{ prompt }}", "does not show {{ reply }}"),
            ("{{ prompt }}{{ replly }}", "undefined"),
            ("{{ prompt", "mine.jinja"),
        ] {
            std::fs::write(&path, text).unwrap();
            let criteria = criteria(Language::English);
            let made = Prompts::new(&criteria, Language::English, Some(&path), None);
            let error = format!("{:#}", made.unwrap_err());
            assert!(error.contains("mine.jinja"), "{error}");
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_criterion_has_a_name() {
        for text in ["", ": x", "a/b", "[[1]]", "__"] {
            assert!(Criterion::parse(text, Language::English).is_err(), "{text}");
        }
        let own = Criterion::parse("adherence: mine", Language::English).unwrap();
        assert_eq!(
            (own.name.as_str(), own.about.as_str()),
            ("adherence", "mine")
        );
    }
}
