//! Settings of judging: by the oracle of a world, or by a model behind an endpoint.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use crate::judge::{
    Criterion, Endpoint, EndpointSettings, Language, Limits, Place, check_base_url, check_prompts,
};
use crate::stage::kind::Context;
use crate::stage::settings::keys::{COUNT, Keys, SIZE, Within};

/// The judge that a recipe chose.
#[derive(Clone, Debug)]
pub enum JudgeSettings {
    /// The oracle of the world that the prompts come from.
    Oracle,
    /// A model.
    Endpoint(Box<EndpointSettings>),
}

/// Reads the keys.
pub fn read(keys: &mut Keys<'_>) -> JudgeSettings {
    keys.doc("who judges: the world's oracle, or a model behind an OpenAI-compatible endpoint")
        .variant(
            "judge",
            "oracle",
            &[
                ("oracle", |_| JudgeSettings::Oracle),
                ("endpoint", |keys| {
                    JudgeSettings::Endpoint(Box::new(read_endpoint(keys)))
                }),
            ],
        )
}

fn read_endpoint(keys: &mut Keys<'_>) -> EndpointSettings {
    let base_url = keys
        .doc("address to which /chat/completions is appended")
        .string("base_url", None);
    if keys.has("base_url")
        && let Err(error) = check_base_url(&base_url)
    {
        keys.problem("base_url", format!("{error:#}"));
    }
    let model = keys
        .doc("the model's name at the server")
        .string("model_name", None);
    let api_key_env = keys
        .doc("environment variable that holds the key; empty if the server needs none")
        .secret_variable("api_key_env");
    let language = keys.doc("of the prompts").one_of(
        "language",
        "en",
        &[("en", Language::English), ("ja", Language::Japanese)],
    );
    let criteria = read_criteria(keys, language);
    EndpointSettings {
        base_url,
        model,
        api_key_env,
        score_prompt: read_prompt(
            keys,
            "score_prompt",
            "file that takes the place of assets/judge/score.*.jinja",
            |file| check_prompts(&criteria, language, Some(file), None),
        ),
        pair_prompt: read_prompt(
            keys,
            "pair_prompt",
            "file that takes the place of assets/judge/pair.*.jinja",
            |file| check_prompts(&criteria, language, None, Some(file)),
        ),
        criteria,
        language,
        temperature: keys.float("judge_temperature", 0.0, 0.0..=2.0),
        max_answer_tokens: keys
            .doc("longest answer, a model's thoughts included")
            .usize("max_answer_tokens", 512, 1..=SIZE) as u64,
        max_tokens_key: keys
            .doc("the name under which the server takes max_answer_tokens")
            .choice(
                "max_tokens_key",
                "max_tokens",
                &["max_tokens", "max_completion_tokens"],
            ),
        limits: read_limits(keys),
    }
}

/// Reads the name of a template's file, which is tried out.
fn read_prompt(
    keys: &mut Keys<'_>,
    key: &str,
    doc: &'static str,
    check: impl Fn(&PathBuf) -> Result<()>,
) -> Option<PathBuf> {
    let file = keys.doc(doc).optional_file(key)?;
    if file.is_file()
        && let Err(error) = check(&file)
    {
        keys.problem(key, format!("{error:#}"));
    }
    Some(file)
}

fn read_criteria(keys: &mut Keys<'_>, language: Language) -> Vec<Criterion> {
    let texts = keys.doc("\"name\" or \"name: what it means\"").strings(
        "criteria",
        Some(&["adherence", "hallucination", "naturalness"]),
    );
    if texts.is_empty() {
        keys.problem("criteria", "expected at least one");
    }
    let mut criteria: Vec<Criterion> = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        match Criterion::parse(text, language) {
            Ok(new) => {
                let (name, fold) = (&new.name, |name: &str| {
                    name.to_lowercase().replace(['_', '-'], " ")
                });
                if criteria.iter().any(|old| fold(&old.name) == fold(name)) {
                    keys.problem("criteria", format!("{name} is there twice"));
                }
                criteria.push(new);
            }
            Err(error) => keys.problem("criteria", format!("item {index}: {error}")),
        }
    }
    criteria
}

/// In seconds, with which any wait ends.
const YEAR: f64 = 365.0 * 24.0 * 3600.0;

/// Bytes of a response: far more than any verdict, and few enough that all that are under way fit into memory.
const LARGEST_RESPONSE: usize = 16 << 20;

/// Tokens of a budget.
const MOST_TOKENS: usize = 1_000_000_000_000;

/// Bytes of all responses under way.
const LARGEST_RESPONSES: usize = 1 << 30;

fn read_limits(keys: &mut Keys<'_>) -> Limits {
    let defaults = Limits::default();
    let mut seconds = |key: &str, doc: &'static str, default: Duration| {
        let range = Within::above(0.0, YEAR);
        Duration::from_secs_f64(keys.doc(doc).float(key, default.as_secs_f64(), range))
    };
    let timeout = seconds(
        "timeout_s",
        "for one request, from the connection to the last byte",
        defaults.timeout,
    );
    let connect_timeout = seconds(
        "connect_timeout_s",
        "for finding and connecting to the server",
        defaults.connect_timeout,
    );
    let first_wait = seconds(
        "first_wait_s",
        "before a request is sent again; doubles each time",
        defaults.first_wait,
    );
    let longest_wait = seconds(
        "longest_wait_s",
        "longest such wait, and longest Retry-After that is obeyed",
        defaults.longest_wait,
    );
    let limits = Limits {
        concurrency: keys.doc("requests under way at once").usize(
            "concurrency",
            defaults.concurrency,
            1..=256,
        ),
        timeout,
        connect_timeout,
        max_retries: keys.doc("how often a request is sent again").usize(
            "max_retries",
            defaults.max_retries as usize,
            0..=100,
        ) as u32,
        first_wait,
        longest_wait,
        max_response_bytes: keys.doc("largest response that is read").usize(
            "max_response_bytes",
            defaults.max_response_bytes,
            1024..=LARGEST_RESPONSE,
        ),
        max_failures: keys
            .doc("failed questions in a row after which the server is given up")
            .usize("max_failures", defaults.max_failures, 1..=COUNT),
        max_requests: keys
            .doc("budget; requests sent again count")
            .optional_usize("max_requests", 1..=COUNT)
            .map(|count| count as u64),
        max_tokens_total: keys
            .doc("budget of prompt and answer tokens")
            .optional_usize("max_tokens_total", 1..=MOST_TOKENS)
            .map(|count| count as u64),
    };
    if limits.concurrency * limits.max_response_bytes > LARGEST_RESPONSES {
        keys.problem(
            "max_response_bytes",
            format!(
                "expected at most {LARGEST_RESPONSES} bytes in all {} requests under way; lower it or concurrency",
                limits.concurrency
            ),
        );
    }
    limits
}

impl JudgeSettings {
    /// The endpoint, ready for a stage to ask; nothing where the oracle judges. Raw answers are kept in
    /// `answers.jsonl` in the stage's folder, and answers by content in a folder that all stages share.
    ///
    /// # Errors
    /// As [`Endpoint::open`].
    pub fn endpoint(&self, context: &Context) -> Result<Option<Endpoint>> {
        let Self::Endpoint(settings) = self else {
            return Ok(None);
        };
        let place = Place {
            answers: context.dir.join("answers.jsonl"),
            cache: context.store.root().join(".judge"),
            label: context.label.clone(),
            stop: context.stop.clone(),
        };
        Endpoint::open((**settings).clone(), place).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::stage::settings::keys::{Node, Reading, Scope};

    fn read_text(text: &str) -> (JudgeSettings, Vec<String>) {
        let node = Node::parse(Path::new("r.toml"), text).unwrap();
        let scope = Scope::default();
        let mut found = Reading::default();
        let mut keys = Keys::new(&scope, &node, &[], &mut found);
        let settings = read(&mut keys);
        drop(keys);
        let problems = found.problems.iter().map(ToString::to_string);
        (settings, problems.collect())
    }

    #[test]
    fn an_endpoint_is_read_with_its_defaults() {
        let text = "judge = \"endpoint\"\nbase_url = \"http://localhost:8000/v1\"\nmodel_name = \"m\"\n\
                    criteria = [\"adherence\", \"tact: is it kind\"]\nlanguage = \"ja\"\ntimeout_s = 2.5\n\
                    max_requests = 9\n";
        let (settings, problems) = read_text(text);
        assert_eq!(problems, [""; 0]);
        let JudgeSettings::Endpoint(settings) = settings else {
            panic!("an endpoint was asked for");
        };
        assert_eq!(settings.limits.timeout, Duration::from_millis(2500));
        assert_eq!(settings.limits.max_requests, Some(9));
        assert_eq!(settings.limits.max_tokens_total, None);
        assert_eq!(settings.api_key_env, None);
        assert_eq!(settings.criteria[1].about, "is it kind");
        assert!(settings.criteria[0].about.contains("規則"));
    }

    #[test]
    fn keys_of_an_endpoint_beside_the_oracle_are_errors_each() {
        let (settings, problems) = read_text("judge = \"oracle\"\n");
        assert!(matches!(settings, JudgeSettings::Oracle) && problems.is_empty());
        let endpoint = [
            "base_url",
            "model_name",
            "api_key_env",
            "criteria",
            "language",
            "score_prompt",
            "pair_prompt",
            "judge_temperature",
            "max_answer_tokens",
            "max_tokens_key",
            "concurrency",
            "timeout_s",
            "connect_timeout_s",
            "max_retries",
            "first_wait_s",
            "longest_wait_s",
            "max_response_bytes",
            "max_failures",
            "max_requests",
            "max_tokens_total",
        ];
        let node = Node::parse(Path::new("r.toml"), "").unwrap();
        let (scope, mut found) = (Scope::default(), Reading::default());
        read(&mut Keys::new(&scope, &node, &[], &mut found));
        let others = found.docs.iter().filter(|doc| {
            let with = doc.goes_with.as_deref();
            with == Some("judge = \"endpoint\"")
        });
        let mut others: Vec<&str> = others.map(|doc| doc.key.as_str()).collect();
        let mut expected = endpoint.to_vec();
        others.sort_unstable();
        expected.sort_unstable();
        assert_eq!(others, expected);
        for key in endpoint {
            let (_, problems) = read_text(&format!("{key} = 1\n"));
            assert_eq!(
                problems,
                [format!(
                    "r.toml:1: {key}: goes with judge = \"endpoint\" alone; set that or remove the key"
                )]
            );
        }
    }

    #[test]
    fn what_cannot_work_is_reported_at_its_line() {
        let text = "judge = \"endpoint\"\nbase_url = \"localhost\"\nmodel_name = \"m\"\n\
                    criteria = [\"a_b\", \"A-B\", \"[[1]]\"]\ntimeout_s = 0\nconcurrency = 0\nmodel = 1\n";
        let (_, problems) = read_text(text);
        for expected in [
            "r.toml:2: base_url: expected an address that begins with",
            "r.toml:4: criteria: A-B is there twice",
            "r.toml:4: criteria: item 2: expected \"name\"",
            "r.toml:5: timeout_s: expected a number in (0.0, 31536000.0]",
            "r.toml:6: concurrency: expected a whole number in [1, 256]",
            "r.toml:7: model: unknown key",
        ] {
            let found = problems.iter().any(|problem| problem.starts_with(expected));
            assert!(found, "{expected}\n{problems:#?}");
        }
        let (_, problems) = read_text("judge = \"endpoint\"\ncriteria = []\n");
        assert_eq!(problems.len(), 3, "{problems:#?}");
    }
}
