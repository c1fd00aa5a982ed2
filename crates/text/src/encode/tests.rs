use proptest::prelude::*;

use super::*;
use crate::Role;

fn tokenizer() -> &'static Tokenizer {
    static ONCE: std::sync::OnceLock<Tokenizer> = std::sync::OnceLock::new();
    ONCE.get_or_init(|| {
        let texts = (0..300).map(|i| format!("User: hello {i}\nBot: i have {} cats.\n", i % 7));
        Tokenizer::train_bpe(texts.collect(), 400).unwrap()
    })
}

fn parts(turns: usize) -> Prompt {
    Prompt::parts(
        "Persona:\n- i have 3 cats.\n".into(),
        (0..turns).map(|i| format!("User: hello {i}\n")).collect(),
        "User: cats?\nBot:".into(),
    )
}

fn rendered(text: &str) -> Prompt {
    Prompt::Parts {
        head: String::new(),
        turns: Vec::new(),
        tail: text.into(),
        rendered: true,
        says: None,
    }
}

fn replies(texts: &[&str]) -> Vec<Completion> {
    let reply = |text: &&str| Completion::new(*text, Role::Reply);
    texts.iter().map(reply).collect()
}

fn limits(max_length: usize) -> Limits {
    Limits {
        max_length,
        append_eos: true,
    }
}

fn encode(prompt: &Prompt, texts: &[&str], max_length: usize) -> EncodedExample {
    encode_example(tokenizer(), prompt, &replies(texts), limits(max_length)).unwrap()
}

fn decode(tokens: &[u32]) -> String {
    tokenizer().decode(tokens).unwrap()
}

fn ids(text: &str) -> Vec<u32> {
    tokenizer().ids(text, false).unwrap()
}

fn eos_count(encoded: &EncodedExample) -> usize {
    let tokens = &encoded.completions[0].tokens;
    tokens.iter().filter(|&&t| t == tokenizer().eos()).count()
}

#[test]
fn what_fits_is_whole_and_ends_with_one_eos() {
    let encoded = encode(&parts(3), &[" i have 3 cats."], 1000);
    assert_eq!(decode(&encoded.prompt), parts(3).text());
    assert_eq!(decode(&encoded.completions[0].tokens), " i have 3 cats.");
    assert_eq!(eos_count(&encoded), 1);
    assert_eq!(encoded.cuts.cut_prompt_tokens, 0);
    assert_eq!(encoded.cuts.prompt_tokens, encoded.prompt.len());
}

#[test]
fn the_oldest_turns_go_first_and_the_persona_stays() {
    let whole = encode(&parts(6), &[" yes."], 1000);
    let limit = whole.prompt.len() + whole.completions[0].tokens.len() - 8;
    let cut = encode(&parts(6), &[" yes."], limit);
    assert!(cut.prompt.len() + cut.completions[0].tokens.len() <= limit);
    let cuts = cut.cuts;
    assert!(cuts.dropped_turns >= 1 && cuts.dropped_turns < 6);
    let text = decode(&cut.prompt);
    assert!(text.starts_with("Persona:\n- i have 3 cats.\n"), "{text}");
    assert!(
        !text.contains("hello 0") && text.contains("hello 5"),
        "{text}"
    );
    let left = whole.prompt.len() - cut.prompt.len();
    assert_eq!(cuts.cut_prompt_tokens, left);
    assert_eq!((cuts.cut_within, cuts.kept()), (0, 1.0));
    let (prompt, prompt_cuts) = encode_prompt(tokenizer(), &parts(6), 20).unwrap();
    assert!(prompt.len() <= 20 && 2 * prompt.len() < prompt_cuts.prompt_tokens);
    assert_eq!(prompt_cuts.left(), prompt.len());
    // Of what is left without the turns, less was cut.
    assert!(prompt_cuts.cut_within > 0 && prompt_cuts.kept() > 0.5);
}

#[test]
fn a_longer_reply_hides_no_turn_from_its_prompt_alone() {
    let texts = [" yes.", " i have 3 cats. i have 4 cats. i have 5 cats."];
    let whole = encode(&parts(8), &texts, 1000);
    let limit = whole.prompt.len() + whole.completions[1].tokens.len() - 2;
    let pair = encode(&parts(8), &texts, limit);
    assert_eq!(pair.cuts.dropped_turns, 1);
    let longest = encode(&parts(8), &texts[1..], limit);
    assert_eq!(pair.prompt, longest.prompt);
    assert_eq!(pair.completions[1], longest.completions[0]);
    assert_eq!(decode(&pair.completions[0].tokens), " yes.");
    // By itself, the short one would have kept the turn.
    assert_eq!(encode(&parts(8), &texts[..1], limit).cuts.dropped_turns, 0);
}

#[test]
fn a_completion_that_is_too_long_leaves_half_to_the_prompt() {
    let prompt = Prompt::Text("User: cats? Bot: no cats. User: hello? Bot:".into());
    let long = " i have 3 cats.".repeat(40);
    let encoded = encode(&prompt, &[" yes.", &long], 40);
    let whole = ids(&prompt.text()).len();
    assert_eq!(encoded.prompt.len(), whole.min(20));
    assert_eq!(decode(&encoded.completions[0].tokens), " yes.");
    assert_eq!(
        encoded.completions[1].tokens.len(),
        40 - encoded.prompt.len()
    );
    assert_eq!(encoded.cuts.cut_completions, 1);
    let lost = ids(&format!("{}{long}", prompt.text())).len() + 1 - whole;
    assert_eq!(
        encoded.cuts.cut_completion_tokens + encoded.completions[1].tokens.len(),
        lost
    );
}

#[test]
fn plain_text_is_ended_as_trl_ends_it() {
    let prompt = Prompt::Text("User: hello\nBot:".into());
    for (text, count) in [
        (" hi.", 1),
        (" hi.<|endoftext|>", 1),
        // Only a text that ends in it has ended.
        (" hi.<|endoftext|>\n", 2),
    ] {
        assert_eq!(eos_count(&encode(&prompt, &[text], 100)), count, "{text:?}");
    }
    let empty = encode_example(tokenizer(), &prompt, &replies(&[""]), limits(100));
    assert!(empty.is_err());
}

#[test]
fn what_a_template_has_rendered_ends_as_it_does() {
    let encoded = encode(&rendered("User: hello\nBot:"), &[" hi.\n"], 100);
    assert_eq!(eos_count(&encoded), 0);
    let both = [encoded.prompt, encoded.completions[0].tokens.clone()].concat();
    assert_eq!(both, ids("User: hello\nBot: hi.\n"));
}

#[test]
fn a_token_across_the_border_on_one_side_moves_it_for_both() {
    let prompt = Prompt::Text("User: ".into());
    let alone = ids("User: ");
    // The space goes with the word, but stays before a line's end.
    let pair = encode(&prompt, &["hello 3", "\n"], 100);
    assert_eq!(pair.prompt, alone[..alone.len() - 1]);
    assert_eq!(decode(&pair.completions[0].tokens), " hello 3");
    assert_eq!(decode(&pair.completions[1].tokens), " \n");
    let alone = encode(&prompt, &["\n"], 100);
    assert_eq!(decode(&alone.completions[0].tokens), "\n");
}

#[test]
fn drawn_tokens_follow_the_prompt_as_they_are() {
    let text = "User: hello\nBot:";
    // Not how the text would be tokenised, and without an EOS.
    let drawn: Vec<u32> = [" ", "y", "e", "s"].iter().flat_map(|it| ids(it)).collect();
    let completion = Completion {
        tokens: Some(drawn.clone()),
        ..Completion::new(" yes", Role::Reply)
    };
    for prompt in [Prompt::Text(text.into()), rendered(text)] {
        let completions = [completion.clone(), Completion::new(" hi.", Role::Reply)];
        let encoded = encode_example(tokenizer(), &prompt, &completions, limits(100)).unwrap();
        assert_eq!(encoded.prompt, ids(text));
        assert_eq!(encoded.completions[0].tokens, drawn);
        assert_eq!(decode(&encoded.completions[1].tokens), " hi.");
    }
    let none = Completion {
        tokens: Some(Vec::new()),
        ..completion
    };
    let prompt = Prompt::Text(text.into());
    assert!(encode_example(tokenizer(), &prompt, &[none], limits(100)).is_err());
}

#[test]
fn only_what_is_marked_is_scored_and_what_stands_between_is_read() {
    let text = " i have 3 cats.\nUser: hello 1\nBot: yes.\n";
    let from = |part: &str| {
        let at = text.find(part).unwrap();
        (at, at + part.len())
    };
    let marks = vec![from(" i have 3 cats."), from(" yes.")];
    let completion = Completion {
        scored: Some(marks),
        ..Completion::new(text, Role::Reply)
    };
    let encode = |completion: &Completion, max_length| {
        let prompt = rendered("User: cats?\nBot:");
        let completions = std::slice::from_ref(completion);
        encode_example(tokenizer(), &prompt, completions, limits(max_length))
    };
    let encoded = encode(&completion, 100).unwrap();
    let EncodedCompletion { tokens, unscored } = &encoded.completions[0];
    assert_eq!(decode(tokens), text);
    let gaps: Vec<String> = unscored
        .iter()
        .map(|[from, to]| decode(&tokens[*from as usize..*to as usize]))
        .collect();
    assert_eq!(gaps, ["\nUser: hello 1\nBot:", "\n"]);
    // A cut goes through the ranges too.
    let short = encode(&completion, encoded.prompt.len() + tokens.len() - 4).unwrap();
    let cut = &short.completions[0];
    assert_eq!(cut.unscored.len(), 1);
    assert!(cut.unscored[0][1] as usize <= cut.tokens.len());
    let unmarked = Completion {
        scored: Some(Vec::new()),
        ..completion
    };
    let error = encode(&unmarked, 100).unwrap_err().to_string();
    assert!(
        error.contains("nothing of a completion is scored"),
        "{error}"
    );
}

#[test]
fn a_control_token_of_the_prompt_is_never_scored() {
    // One that swallows the blanks behind it, as some templates' do, and reaches over the border.
    let dir = tempfile::tempdir().unwrap();
    tokenizer().save(dir.path()).unwrap();
    let path = dir.path().join("tokenizer.json");
    let mut file: serde_json::Value = rapport_store::read_json(&path).unwrap();
    let id = tokenizer().vocab_size();
    let added = file["added_tokens"].as_array_mut().unwrap();
    let mut token = added[0].clone();
    token["id"] = id.into();
    token["content"] = "<|bot|>".into();
    token["rstrip"] = true.into();
    token["special"] = true.into();
    added.push(token);
    rapport_store::write_json(&path, &file).unwrap();
    let tokenizer = Tokenizer::open(dir.path()).unwrap();
    for text in ["hi <|bot|>", "hi <|bot|> "] {
        let completions = replies(&["\n yes."]);
        let encoded =
            encode_example(&tokenizer, &rendered(text), &completions, limits(100)).unwrap();
        assert_eq!(encoded.prompt.last(), Some(&(id as u32)), "{text:?}");
        assert_eq!(
            tokenizer.decode(&encoded.completions[0].tokens).unwrap(),
            "yes."
        );
    }
}

#[test]
fn all_are_encoded_in_order_and_a_bad_one_is_named() {
    let example = |id: usize, text: &str| Example {
        id: id.to_string(),
        group: id.to_string(),
        prompt: parts(id),
        completions: replies(&[text]),
        meta: Default::default(),
    };
    let examples: Vec<_> = (0..20).map(|id| example(id, " yes.")).collect();
    let all = encode_all(tokenizer(), &examples, limits(50)).unwrap();
    for (turns, encoded) in all.iter().enumerate() {
        assert_eq!(encoded, &encode(&parts(turns), &[" yes."], 50));
    }
    let error = encode_all(tokenizer(), &[example(7, "")], limits(50)).unwrap_err();
    assert_eq!(format!("{error:#}"), "example 7: the completion is empty");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_completion_is_emptied_and_no_limit_is_passed(
        turns in 0usize..8, texts in prop::collection::vec("[a-z .é]{1,60}", 1..4), limit in 2usize..120,
    ) {
        let prompt = parts(turns);
        let texts: Vec<&str> = texts.iter().map(|it| &**it).collect();
        let whole = encode(&prompt, &texts, 10_000);
        let cut = encode(&prompt, &texts, limit);
        let longest = |it: &EncodedExample| it.longest();
        for ((cut, whole_one), text) in cut.completions.iter().zip(&whole.completions).zip(&texts) {
            prop_assert!(!cut.tokens.is_empty());
            let all = [&whole.prompt[..], &whole_one.tokens].concat();
            prop_assert_eq!(decode(&all), prompt.text() + text);
        }
        prop_assert!(cut.prompt.len() + longest(&cut) <= limit);
        // No more turns go than must.
        if let (Prompt::Parts { head, turns, tail, .. }, 1..) = (&prompt, cut.cuts.dropped_turns) {
            let turns = turns[cut.cuts.dropped_turns - 1..].to_vec();
            let one_more = Prompt::parts(head.clone(), turns, tail.clone());
            let one_more = encode(&one_more, &texts, 10_000);
            prop_assert!(one_more.prompt.len() > limits(limit).prompt_room(longest(&one_more)));
        }
        if whole.prompt.len() + longest(&whole) <= limit {
            prop_assert_eq!(&cut, &whole);
        }
        // A completion is cut only where the prompt has no more than its half.
        if cut.cuts.cut_completions > 0 {
            prop_assert!(cut.prompt.len() <= limit / 2);
        }
        prop_assert!(cut.prompt.len() + longest(&whole) <= limit || cut.prompt.len() <= limit / 2);
    }
}

#[test]
fn a_dialogue_is_written_by_the_template_beside_the_tokenizer() {
    let dir = tempfile::tempdir().unwrap();
    let plain = Tokenizer::train_bpe(vec!["Persona: User: hello Bot: hi".into()], 300).unwrap();
    plain.save(dir.path()).unwrap();
    let opened = |template: &str| {
        std::fs::write(dir.path().join("chat_template.jinja"), template).unwrap();
        Tokenizer::open(dir.path()).unwrap()
    };
    let said = |speaker, text: &str| crate::Turn {
        speaker,
        text: text.into(),
    };
    let turns = [said(crate::Speaker::User, "hello")];
    let prompt = crate::template::persona_prompt(&["i sail.".into()], &turns);
    let reply = [Completion::new(" hi", Role::Reply)];
    let whole = |tokenizer: &Tokenizer| {
        let encoded = encode_example(tokenizer, &prompt, &reply, limits(200)).unwrap();
        [encoded.prompt, encoded.completions[0].tokens.clone()]
    };
    let text = |tokenizer: &Tokenizer| {
        whole(tokenizer).map(|ids| tokenizer.decode_after(&[], &ids).unwrap())
    };
    let chatml = opened(
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}</>{% endfor %}\
         {% if add_generation_prompt %}<assistant>{% endif %}",
    );
    assert_eq!(
        text(&chatml),
        [
            "<system>Persona:\n- i sail.</><user>hello</><assistant>",
            "hi</>"
        ]
    );
    assert_eq!(whole(&opened(crate::template::OWN)), whole(&plain));
    let ours = ["Persona:\n- i sail.\nUser: hello\nBot:", " hi<|endoftext|>"];
    assert_eq!(text(&plain), ours);
    assert_eq!(text(&chatml.with_template(None)), ours);
    let broken = opened("{% if %}");
    assert!(encode_example(&broken, &prompt, &reply, limits(200)).is_err());
    assert!(encode_prompt(&broken, &Prompt::Text("hello".into()), 9).is_ok());
}
