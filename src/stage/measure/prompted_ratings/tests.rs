use std::collections::BTreeMap;

use super::*;
use crate::backend;
use crate::data::template::turn_text;
use crate::data::{Completion, Prompt, Role, Scale, Speaker, Turn};
use crate::model::config::Family;
use crate::model::{DecoderConfig, weights};
use crate::stage::artifact::folder;
use crate::stage::artifact::rated_set;
use crate::stage::kind::Stage;
use crate::store::{Stop, Store, read_jsonl};
use crate::world::impression::ImpressionWorld;
use crate::world::impression::score::SCALE;
use serde_json::Value;

fn wording() -> Wording {
    Wording::read(SCALE).unwrap()
}

fn row(id: &str, ratings: &[&[(&str, f64)]]) -> Rated {
    let turn = |speaker, text: &str| Turn {
        speaker,
        text: text.to_owned(),
    };
    let rating = |(rater, scores): (usize, &&[(&str, f64)])| crate::data::Rating {
        rater: rater.to_string(),
        scores: scores
            .iter()
            .map(|(name, score)| ((*name).to_owned(), *score))
            .collect(),
    };
    Rated {
        id: id.to_owned(),
        dialogue: String::new(),
        system: String::new(),
        speaker: String::new(),
        turns: vec![turn(Speaker::User, "hello."), turn(Speaker::Bot, "i see.")],
        ratings: ratings.iter().enumerate().map(rating).collect(),
        truth: None,
    }
}

#[test]
fn a_question_comes_after_the_dialogue_and_before_it_come_shots() {
    let wording = wording();
    let impressions = ["ease".to_owned(), "wit".to_owned()];
    let rated = row("r", &[&[("ease", 7.0), ("wit", 2.0)], &[("ease", 8.0)]]);
    let asking = |chat, shots| Asking::new(chat, &wording, &impressions, shots);
    let shots = std::slice::from_ref(&rated);
    let shot = &*asking(false, shots).shots[0].lines();
    assert_eq!(
        shot,
        "User: hello.\nBot: i see.\nRatings from 0 to 10:\nease: 8\nwit: 2\n\n"
    );
    let asked = asking(false, shots).about(&row("a", &[]), "wit");
    let text = asked.prompt.text();
    assert!(text.starts_with("Readers of talks"), "{text}");
    assert!(text.contains("numbers from 0 to 10, higher"), "{text}");
    assert!(text.contains("\n- ease: is clear\n- wit\n\n"), "{text}");
    let end = format!("\n\n{shot}User: hello.\nBot: i see.\nRatings from 0 to 10:\nwit:");
    assert!(text.ends_with(&end), "{text}");
    // What is too long loses its shots first.
    assert!(!asked.prompt.text_from(1).contains(shot));
    assert_eq!(asked.completions.len(), 11);
    assert_eq!(asked.completions[10].text, " 10\n");
    let zero = asking(false, &[]).about(&row("a", &[]), "wit");
    assert_eq!(zero.prompt.text(), text.replace(shot, ""));

    // In messages a shot is answered with all its ratings, and a number is a whole reply.
    let asked = asking(true, shots).about(&row("a", &[]), "wit");
    let shot = "User: hello.\nBot: i see.\nRatings from 0 to 10:";
    let question = format!("{shot}\nwit:");
    let said: Vec<_> = asked.prompt.turns().map(|it| &*it.text).collect();
    assert_eq!(said, [shot, "ease: 8\nwit: 2", &question]);
    assert_eq!(asked.prompt.history().unwrap().told, asking(true, &[]).head);
    assert_eq!(asked.completions[10].text, " 10");
}

#[test]
fn the_expected_score_by_hand() {
    let one = Wording::read(Scale {
        low: 0.5,
        high: 2.9,
    });
    let found = one.unwrap().answer(&[0.1f32.ln(), 0.3f32.ln()]);
    // (1 * 0.1 + 2 * 0.3) / 0.4.
    assert!((found.expected - 1.75).abs() < 1e-6, "{}", found.expected);
    assert!((found.mass - 0.4).abs() < 1e-6, "{}", found.mass);
    // Log-probs far below what a number in single precision can hold.
    let found = wording().answer(&[-500.0; 11]);
    assert_eq!((found.expected, found.mass < 1e-200), (5.0, true));
}

#[test]
fn a_scale_without_two_whole_numbers_or_with_too_many_is_refused() {
    for (low, high) in [(0.0, 0.5), (0.0, 1000.0), (-1e300, 1e300)] {
        let error = Wording::read(Scale { low, high })
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("rescale"), "{error}");
    }
    let below = Wording::read(Scale {
        low: -5.0,
        high: 5.0,
    });
    assert!(below.unwrap().head(&[]).contains("from -5 to 5"));
}

#[test]
fn shots_have_every_rating() {
    let mut rows: Vec<Rated> = (0..20)
        .map(|id| row(&id.to_string(), &[&[("ease", 5.0)], &[("wit", 5.0)]]))
        .collect();
    rows[3].ratings.pop();
    let impressions = ["ease".to_owned(), "wit".to_owned()];
    let drawn = |shots, seed| -> Vec<String> {
        let drawn = draw(rows.clone(), &impressions, shots, seed).unwrap();
        drawn.iter().map(|row| row.id.clone()).collect()
    };
    let all = drawn(19, 1);
    assert!(!all.contains(&"3".to_owned()) && all.len() == 19);
    assert_eq!(drawn(4, 1), all[..4]);
    assert_ne!(drawn(4, 1), drawn(4, 2));
    let error = draw(rows, &impressions, 20, 1).unwrap_err().to_string();
    assert!(error.contains("expected at most 19"), "{error}");
}

/// Scores by dialogue and impression.
type Predicted = BTreeMap<String, BTreeMap<String, f64>>;

/// A stage over a small impression world and a random model, and what it runs with.
struct Place {
    dir: tempfile::TempDir,
    names: Vec<String>,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let world = ImpressionWorld {
            pretrain: 40,
            train: 12,
            valid: 1,
            test: 7,
            prompts: 0,
            ..Default::default()
        };
        let data = world.generate().unwrap();
        let path = dir.path().join("data");
        std::fs::create_dir_all(&path).unwrap();
        rated_set::write_scale(&path, SCALE, false).unwrap();
        rated_set::write(&path, Split::Train, data.train).unwrap();
        rated_set::write(&path, Split::Test, data.test).unwrap();
        let texts = data.pretrain.iter().map(|it| it.prompt.text());
        let tokenizer = Tokenizer::train_bpe(texts.collect(), 400).unwrap();
        let config = DecoderConfig {
            max_positions: 2000,
            bos: tokenizer.bos(),
            eos: Some(tokenizer.eos()),
            ..DecoderConfig::new(Family::Llama, tokenizer.vocab_size(), 16, 1, 2)
        };
        let mut arrays = weights::random(&config, 0.5, 1);
        let values = |name: &str| arrays.remove(name).map(|(_, values)| values);
        folder::write(
            &dir.path().join("model"),
            &config,
            values,
            &tokenizer,
            None,
            "",
        )
        .unwrap();
        Self {
            dir,
            names: Vec::new(),
        }
    }

    /// What it predicts and measures.
    fn run(&mut self, change: impl FnOnce(&mut PromptedRatings)) -> Result<(Predicted, Measures)> {
        let reference = |name: &str| StageRef { name: name.into() };
        let mut stage = PromptedRatings {
            model: reference("model"),
            data: reference("data"),
            split: Split::Test,
            impressions: Vec::new(),
            shots: 0,
            examples: 0,
            max_length: 2000,
            batch_size: 3,
            bf16: Bf16::default(),
            cluster: Cluster::Dialogue,
        };
        change(&mut stage);
        self.names.push(format!("run {}", self.names.len()));
        let dir = self.dir.path().join(self.names.last().unwrap());
        std::fs::create_dir_all(&dir)?;
        let inputs = ["model", "data"].map(|name| (name.to_owned(), self.dir.path().join(name)));
        let context = Context {
            dir: dir.clone(),
            seed: 1,
            backend: backend::default_backend().to_owned(),
            inputs: inputs.into_iter().collect(),
            label: "test".into(),
            stop: Stop::new(),
            store: Store::open(self.dir.path().join("store"))?,
        };
        Stage::run(&stage, &context)?;
        let lines: Vec<Value> = read_jsonl(&dir.join("predicted.jsonl"))?;
        let row = |line: &Value| {
            let scores = serde_json::from_value(line["predicted"].clone()).unwrap();
            (line["id"].as_str().unwrap().to_owned(), scores)
        };
        Ok((lines.iter().map(row).collect(), Measures::read(&dir)?))
    }
}

#[test]
fn a_model_with_a_chat_template_answers_in_messages() {
    let mut place = Place::new();
    let model = folder::model_dir(&place.dir.path().join("model"));
    let template = "{% for m in messages %}[{{ m.role }}]{{ m.content }}[/]{% endfor %}\
                    {% if add_generation_prompt %}[assistant]{% endif %}";
    std::fs::write(model.join("chat_template.jinja"), template).unwrap();
    let (found, measures) = place
        .run(|it| it.impressions = vec!["trust".into()])
        .unwrap();

    // The same by hand, from the text that the template makes.
    let rows = RatedSet::open(&place.dir.path().join("data"), Split::Test).unwrap();
    let head = wording().head(&["trust".to_owned()]);
    let texts = rows.rows.iter().map(|row| Example {
        id: row.id.clone(),
        group: String::new(),
        prompt: Prompt::Parts {
            head: format!(
                "[system]{}[/][user]{}Ratings from 0 to 10:\ntrust:[/][assistant]",
                head.trim_end(),
                row.turns.iter().map(turn_text).collect::<String>()
            ),
            turns: Vec::new(),
            tail: String::new(),
            rendered: true,
            says: None,
        },
        completions: (0..=10)
            .map(|score| Completion::new(format!("{score}[/]"), Role::Reply))
            .collect(),
        meta: Default::default(),
    });
    let encoding = Encoding {
        max_length: 2000,
        min_prompt_kept: 0.0,
        group: Group::None,
        shuffle: false,
    };
    let by_hand = place.dir.path().join("by hand");
    std::fs::create_dir(&by_hand).unwrap();
    let set = dataset::tokenised(
        texts.map(Ok),
        &Tokenizer::open(&model).unwrap(),
        (encoding, false),
        "test",
        &by_hand,
        &mut Measures::default(),
    )
    .unwrap();
    let device = Bf16::default().device(backend::default_backend());
    let model = Frozen::open(device, &model).unwrap();
    let logps = model.logps(&set, 4, |_| true).unwrap();
    let answers: Vec<Answer> = logps.iter().map(|it| wording().answer(it)).collect();
    for (row, answer) in rows.rows.iter().zip(&answers) {
        let found = found[&row.id]["trust"];
        assert!((found - answer.expected).abs() < 1e-4, "{}", row.id);
    }
    let mass = answers.iter().map(|it| it.mass).sum::<f64>() / answers.len() as f64;
    assert!((measures.numbers["score_mass"] / mass - 1.0).abs() < 1e-4);
}

#[test]
fn an_answer_does_not_depend_on_what_else_is_asked() {
    let mut place = Place::new();
    let (all, measures) = place.run(|it| it.shots = 2).unwrap();
    assert_eq!(
        (all.len(), all.values().map(BTreeMap::len).sum::<usize>()),
        (7, 84)
    );
    let named = |name: &str| measures.numbers.contains_key(name);
    assert!(named("pearson.trust") && named("mae") && named("spearman"));
    assert_eq!(measures.numbers["shots_shown"], 2.0);
    let mass = measures.numbers["score_mass"];
    assert!(mass > 0.0 && mass < 1.0, "{mass}");
    let scores: Vec<f64> = all.values().flat_map(|it| it.values().copied()).collect();
    assert!(scores.iter().all(|it| (0.0..=10.0).contains(it)));
    assert!(scores.iter().any(|it| (it - scores[0]).abs() > 0.01));
    // Fewer dialogues and batches of another size leave each answer as it is.
    let (some, _) = place
        .run(|it| {
            it.shots = 2;
            it.examples = 4;
            it.batch_size = 1;
        })
        .unwrap();
    assert_eq!(some.len(), 4);
    for (id, scores) in &some {
        for (name, score) in scores {
            assert!((score - all[id][name]).abs() < 1e-4, "{id} {name}");
        }
    }
    // Shots do change it.
    let (zero, _) = place
        .run(|it| it.impressions = vec!["trust".into()])
        .unwrap();
    let (one, _) = place.run(|it| it.shots = 1).unwrap();
    let (alone, _) = place
        .run(|it| {
            it.shots = 1;
            it.impressions = vec!["trust".into()];
        })
        .unwrap();
    assert_eq!(alone["test-000000"].len(), 1);
    assert_ne!(zero["test-000000"]["trust"], alone["test-000000"]["trust"]);
    assert_ne!(one["test-000000"]["trust"], all["test-000000"]["trust"]);
}

#[test]
fn what_is_too_long_is_cut_and_counted_or_refused() {
    let mut place = Place::new();
    let (_, measures) = place
        .run(|it| {
            it.shots = 2;
            it.max_length = 500;
        })
        .unwrap();
    assert!(
        measures
            .notes
            .iter()
            .any(|it| it.contains("max_length 500 cut"))
    );
    assert!(measures.numbers["shots_shown"] < 1.0);
    let error = place
        .run(|it| {
            it.shots = 9;
            it.max_length = 5000;
        })
        .unwrap_err()
        .to_string();
    assert!(error.contains("lower max_length to 2000"), "{error}");
    let error = place.run(|it| it.impressions = vec!["wit".into()]);
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("nobody has rated \"wit\"; there are agency"),
        "{error}"
    );
}
