use std::sync::Arc;

use super::*;
use crate::Role;
use crate::template::persona_prompt;

/// As of Qwen and others.
const CHATML: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
                      {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

fn template(source: &str) -> ChatTemplate {
    ChatTemplate::new(source.into(), Default::default()).unwrap()
}

fn turn(speaker: Speaker, text: &str) -> Turn {
    let text = text.into();
    Turn { speaker, text }
}

fn dialogue() -> Prompt {
    let turns = [
        turn(Speaker::User, "hi."),
        turn(Speaker::Bot, "ahoy."),
        turn(Speaker::User, "who?"),
    ];
    persona_prompt(&["i sail.".into(), "i bake.".into()], &turns)
}

fn reply(text: &str, tokens: Option<Vec<u32>>) -> Completion {
    Completion {
        tokens,
        ..Completion::new(text, Role::Reply)
    }
}

#[test]
fn a_dialogue_is_written_by_the_models_template_and_by_ours_where_it_has_none_or_that() {
    let prompt = dialogue();
    let replies = [reply(" a sailor.", None), reply(" me.", Some(vec![5]))];
    let chatml = template(CHATML);
    let (written, completions) = render(&prompt, &replies, Some(&chatml)).unwrap();
    assert!(written.rendered());
    assert_eq!(
        written.text(),
        "<|im_start|>system\nPersona:\n- i sail.\n- i bake.<|im_end|>\n<|im_start|>user\nhi.<|im_end|>\n\
         <|im_start|>assistant\nahoy.<|im_end|>\n<|im_start|>user\nwho?<|im_end|>\n<|im_start|>assistant\n"
    );
    assert_eq!(written.droppable(), 2);
    assert_eq!(completions[0].text, "a sailor.<|im_end|>\n");
    assert_eq!(
        completions[1], replies[1],
        "what was drawn stays its tokens"
    );
    assert_eq!(written.persona(), prompt.persona());
    assert_eq!(written.shown(), prompt.text());
    let own = template(OWN);
    for ours in [None, Some(&own)] {
        let (written, completions) = render(&prompt, &replies, ours).unwrap();
        assert!(!written.rendered());
        assert_eq!(written.text(), prompt.text());
        assert_eq!(completions.as_ref(), replies);
    }
    for (template, text) in [(Some(chatml), " me."), (Some(own), "me."), (None, "me.")] {
        let tokenizer = Tokenizer::train_bpe(vec!["me".into()], 270).unwrap();
        let tokenizer = tokenizer.with_template(template.map(Arc::new));
        assert_eq!(by_template(&prompt, &tokenizer).unwrap(), text == " me.");
        let drawn = drawn_text(&prompt, &tokenizer, "me.".into());
        assert_eq!(drawn.unwrap(), text);
    }
}

#[test]
fn a_template_without_a_systems_message_has_what_the_bot_is_told_before_the_first_turn() {
    let source = "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}\
                  {{ raise_exception('roles must alternate') }}{% endif %}[{{ m.role }}]{{ m.content }}\n{% endfor %}\
                  {% if add_generation_prompt %}[assistant]{% endif %}";
    let template = template(source);
    let prompt = dialogue();
    let (written, _) = render(&prompt, &[], Some(&template)).unwrap();
    let first = "[user]Persona:\n- i sail.\n- i bake.\n\nhi.\n";
    assert_eq!(
        written.text(),
        format!("{first}[assistant]ahoy.\n[user]who?\n[assistant]")
    );
    // It stays where older turns are dropped.
    assert_eq!(
        written.text_from(9),
        format!("{first}[user]who?\n[assistant]")
    );
    // The bot opens the dialogue.
    let prompt = persona_prompt(
        &["i sail.".into()],
        &[turn(Speaker::Bot, "ahoy."), turn(Speaker::User, "hi.")],
    );
    let (written, _) = render(&prompt, &[], Some(&template)).unwrap();
    assert_eq!(
        written.text(),
        "[user]Persona:\n- i sail.\n[assistant]ahoy.\n[user]hi.\n[assistant]"
    );
    let refuses = "{{ raise_exception('never') }}";
    let error = render(&prompt, &[], Some(&self::template(refuses))).unwrap_err();
    assert!(error.to_string().contains("never"), "{error:#}");
}

#[test]
fn what_neither_side_says_goes_with_the_user_s() {
    let said = vec![
        Said::Turn(turn(Speaker::User, "a room?")),
        Said::Note("Result: none".into()),
        Said::Turn(turn(Speaker::Bot, "none.")),
        Said::Note("Back to rooms.".into()),
        Said::Turn(turn(Speaker::User, "oh.")),
    ];
    let prompt = Prompt::Dialogue(History {
        told: "Help.\n".into(),
        turns: said,
        persona: None,
    });
    assert_eq!(
        prompt.text(),
        "Help.\nUser: a room?\nResult: none\nBot: none.\nBack to rooms.\nUser: oh.\nBot:"
    );
    let (written, _) = render(
        &prompt,
        &[],
        Some(&template(
            "{% for m in messages %}[{{ m.role }}]{{ m.content }}\n{% endfor %}",
        )),
    )
    .unwrap();
    assert_eq!(
        written.text(),
        "[system]Help.\n[user]a room?\nResult: none\n[assistant]none.\n[user]Back to rooms.\noh.\n"
    );
}

#[test]
fn a_drawn_reply_is_its_text_where_the_prompt_ends_otherwise_before_one_that_is_given() {
    let source = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</>{% endfor %}\
                  {% if add_generation_prompt %}<assistant><think>{% endif %}";
    let template = template(source);
    let prompt = dialogue();
    let drawn = reply(" me.", Some(vec![5]));
    let (written, alone) = render(&prompt, std::slice::from_ref(&drawn), Some(&template)).unwrap();
    assert!(written.text().ends_with("<assistant><think>"));
    assert_eq!(alone[0], drawn);
    let both = [reply(" a sailor.", None), drawn];
    let (written, both) = render(&prompt, &both, Some(&template)).unwrap();
    assert!(written.text().ends_with("<assistant>"));
    let texts: Vec<&str> = both.iter().map(|it| &*it.text).collect();
    assert_eq!(texts, ["a sailor.</>", "me.</>"]);
    assert!(both.iter().all(|it| it.tokens.is_none()));
}

#[test]
fn records_of_prompts_are_read_as_they_were_written() {
    let chatml = template(CHATML);
    let (written, _) = render(&dialogue(), &[], Some(&chatml))
        .map(|(prompt, _)| (prompt.into_owned(), ()))
        .unwrap();
    for prompt in [
        Prompt::Text("a".into()),
        Prompt::parts("a".into(), vec![], "b".into()),
        dialogue(),
        written,
    ] {
        let text = serde_json::to_string(&prompt).unwrap();
        assert_eq!(serde_json::from_str::<Prompt>(&text).unwrap(), prompt);
    }
}
