use crate::data::{Example, Prompt, Said, Speaker, Tokenizer};
use crate::engine::{Device, Frozen};
use crate::model::decoder::Precision;
use crate::model::weights;
use crate::stage::artifact::examples::read_examples;
use crate::stage::artifact::replied::Replied;
use crate::stage::bench::{Bench, config};
use crate::stage::settings::splits::Split;

const TOLD: &str =
    "model = \"@model\"\ndata = \"@pairs\"\nfluency = \"@other\"\nmax_new_tokens = 3";

/// Log-prob a token of `reply` and an EOS after the turns of the example, by the logits of one sequence.
fn by_hand(model: &Frozen, tokenizer: &Tokenizer, example: &Example, reply: &str) -> f64 {
    let mut text = String::new();
    for said in &example.prompt.history().unwrap().turns {
        match said {
            Said::Turn(turn) if turn.speaker == Speaker::User => {
                text += &format!("User: {}\n", turn.text);
            }
            Said::Turn(turn) => text += &format!("Bot: {}\n", turn.text),
            Said::Note(note) => text += &format!("{note}\n"),
        }
    }
    let mut tokens = tokenizer.ids(&format!("{text}Bot:"), false).unwrap();
    let begins = tokens.len();
    tokens.extend(tokenizer.ids(&format!(" {reply}"), true).unwrap());
    tokens.push(tokenizer.eos());
    let logits = model.logits(&tokens);
    let row = logits.len() / tokens.len();
    let logps = (begins..tokens.len()).map(|at| {
        let before = &logits[(at - 1) * row..at * row];
        let sum: f64 = before.iter().map(|it| f64::from(*it).exp()).sum();
        f64::from(before[tokens[at] as usize]) - sum.ln()
    });
    logps.sum::<f64>() / (tokens.len() - begins) as f64
}

#[test]
fn fluency_is_the_log_prob_of_a_reply_after_what_was_said_and_not_after_what_was_told() {
    let texts = vec!["User: hello there, how are you?\nBot: i am fine.\n".to_owned(); 4];
    let tokenizer = Tokenizer::train_bpe(texts, 300).unwrap();
    let bench = Bench::new();
    let world = "pretrain = 4\ntrain = 6\nvalid = 2\ntest = 4\nfeedback = 4\ndrills = 0";
    bench.run("pairs", "guardrail-world", world).unwrap();
    bench.model("model", &tokenizer, tokenizer.ids("e", true).unwrap()[0]);
    let other = config(&tokenizer);
    bench.write("other", &other, &tokenizer, weights::random(&other, 0.1, 3));
    let found = bench.run("out", "judge", TOLD).unwrap();

    let model = Frozen::open(
        Device::new(crate::backend::default_backend(), Precision::F32),
        &bench.at("other").join("model"),
    )
    .unwrap();
    let examples = read_examples(&bench.at("pairs"), Split::Test);
    let examples: Vec<Example> = examples.unwrap().map(Result::unwrap).collect();
    let replied = Replied::read(&bench.at("out")).unwrap();
    assert!(
        replied
            .iter()
            .all(|it| !it.head.is_empty() && it.reply == "eee")
    );
    for (name, reply) in [
        ("fluency.reply", (|it| &it.reply) as fn(&Replied) -> &String),
        ("fluency.reference", |it| &it.reference),
    ] {
        let values = &found.items[name];
        assert_eq!(values.len(), replied.len());
        assert!(values.iter().any(|it| *it != values[0]), "prompts differ");
        for (value, replied) in values.iter().zip(&replied) {
            let example = examples.iter().find(|it| {
                it.prompt.history().unwrap().turns == replied.history
                    && it.completions[0].text.trim() == replied.reference
            });
            let expected = by_hand(&model, &tokenizer, example.unwrap(), reply(replied));
            assert!(
                (value - expected).abs() < 1e-5,
                "{name}: {value} {expected}"
            );
        }
    }
}

#[test]
fn prompts_of_plain_text_are_refused_by_their_example() {
    let example = Example {
        id: "row 3".into(),
        group: String::new(),
        prompt: Prompt::Text("Keep to the rules.\nUser: hi\nBot:".into()),
        completions: Vec::new(),
        meta: Default::default(),
    };
    let error = super::check(&[example]).unwrap_err();
    assert!(error.is::<crate::store::BadInput>());
    assert!(error.to_string().contains("row 3 is plain text"), "{error}");
}
