use std::fs;

use super::stream::CHUNK;
use super::*;

use crate::chat::ChatTemplate;

type Reader = for<'a> fn(&Path, &'a Reading<'a>) -> Result<Examples<'a>>;

fn template() -> ChatTemplate {
    let source = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}\
                  {% if add_generation_prompt %}assistant:{% endif %}";
    ChatTemplate::new(source.into(), Default::default()).unwrap()
}

fn read(reader: Reader, bytes: impl AsRef<[u8]>) -> Result<Vec<Example>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rows.jsonl");
    fs::write(&path, bytes).unwrap();
    reader(&path, &Reading::by(Some(&template()), true))?.collect()
}

/// Prompt and completions of each example.
fn texts(examples: &[Example]) -> Vec<Vec<String>> {
    let texts = |example: &Example| {
        let completions = example.completions.iter().map(|c| c.text.clone());
        std::iter::once(example.prompt.text())
            .chain(completions)
            .collect()
    };
    examples.iter().map(texts).collect()
}

#[test]
fn plain_pairs_are_used_as_they_stand() {
    let rows = "\u{feff}{\"prompt\": \"Q: \", \"chosen\": \" a\", \"rejected\": \"b\\n\", \"score\": 1}\r\n\
                {\"prompt\": \"\", \"chosen\": \"a\", \"rejected\": \"a\"}\r\n\
                {\"chosen\": \"Hum: hi Bot: yes\", \"rejected\": \"Hum: hi Bot: no\", \"prompt\": null}\r\n\r\n\
                {\"chosen\": \"so é\", \"rejected\": \"so é!\"}";
    let examples = read(preference_rows, rows).unwrap();
    assert_eq!(
        texts(&examples),
        [
            ["Q: ", " a", "b\n"],
            ["", "a", "a"],
            ["Hum: hi Bot:", " yes", " no"],
            // One that begins the other keeps its last letter, as in TRL.
            ["so ", "é", "é!"],
        ]
    );
    assert_eq!(examples[3].id, "row 5");
    let roles: Vec<_> = examples[0].completions.iter().map(|c| &c.role).collect();
    assert_eq!(roles, [&Role::Chosen, &Role::Rejected]);
}

#[test]
fn conversational_pairs_are_rendered_whether_their_prompt_is_a_column_or_not() {
    let user = r#"{"role": "user", "content": "hi"}"#;
    let reply = |text: &str| format!(r#"{{"role": "assistant", "content": "{text}"}}"#);
    let (yes, no) = (reply("yes"), reply("no"));
    let explicit = format!(r#"{{"prompt": [{user}], "chosen": [{yes}], "rejected": [{no}]}}"#);
    let implicit = format!(r#"{{"chosen": [{user}, {yes}], "rejected": [{user}, {no}]}}"#);
    let repeated =
        format!(r#"{{"prompt": "hi", "chosen": [{user}, {yes}], "rejected": [{user}, {no}]}}"#);
    let examples = read(preference_rows, [explicit, implicit, repeated].join("\n")).unwrap();
    let expected = ["user: hi\nassistant:", " yes\n", " no\n"];
    assert_eq!(texts(&examples), [expected; 3]);
}

#[test]
fn each_assistant_message_is_an_example() {
    let rows = r#"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}]}
{"prompt": "p", "completion": "q"}
{"prompt": [{"role": "user", "content": "p"}], "completion": [{"role": "assistant", "content": "q"}]}
{"text": "t"}"#;
    let examples = read(sft_rows, rows).unwrap();
    assert_eq!(
        texts(&examples),
        [
            ["user: a\nassistant:", " b\n"],
            ["user: a\nassistant: b\nuser: c\nassistant:", " d\n"],
            ["p", "q"],
            ["user: p\nassistant:", " q\n"],
            ["", "t"],
        ]
    );
    assert_eq!(
        (examples[1].id.as_str(), examples[1].group.as_str()),
        ("row 1:3", "row 1")
    );
    assert_eq!(examples[1].prompt.droppable(), 2);
}

#[test]
fn labelled_rows_are_desirable_or_not() {
    let rows = r#"{"prompt": "p", "completion": " q", "label": true, "score": 2}
{"prompt": [{"role": "user", "content": "p"}], "completion": [{"role": "assistant", "content": "q"}], "label": false}
{"prompt": "p q r", "completion": "s", "label": false}"#;
    let examples = read(labelled_rows, rows).unwrap();
    assert_eq!(
        texts(&examples),
        [["p", " q"], ["user: p\nassistant:", " q\n"], ["p q r", "s"]]
    );
    let roles: Vec<_> = examples.iter().map(|e| &e.completions[0].role).collect();
    assert_eq!(
        roles,
        [&Role::Desirable, &Role::Undesirable, &Role::Undesirable]
    );
    assert_eq!(
        groups(&examples),
        [0, 1, 0],
        "one prompt goes on from another"
    );
}

#[test]
fn bad_rows_are_named_together_by_line_key_and_what_was_expected() {
    let cases: &[(Reader, &str, &str)] = &[
        (
            preference_rows,
            r#"{"prompt": "p", "chosen": "c"}"#,
            "rejected: expected this key beside the others; found prompt, chosen",
        ),
        (
            preference_rows,
            r#"{"prompt": 3, "chosen": "c", "rejected": "r"}"#,
            "prompt: expected text or a list of messages, found a number",
        ),
        (
            preference_rows,
            r#"{"prompt": "p", "chosen": "", "rejected": "r"}"#,
            "chosen: expected a completion, found none",
        ),
        (
            preference_rows,
            r#"{"prompt": "p", "chosen": " ", "rejected": "r"}"#,
            "chosen: expected a completion, found only white space",
        ),
        (
            preference_rows,
            r#"{"prompt": "p", "chosen": "c", "rejected": "r", "chosen": "d"}"#,
            "the key \"chosen\" is given twice",
        ),
        (
            preference_rows,
            r#"{"prompt": "p", "chosen": NaN, "rejected": "r"}"#,
            "chosen: expected text or a list of messages, found NaN or Infinity",
        ),
        (
            sft_rows,
            r#"{"messages": [{"role": "user", "content": "a"}, {"role": "tnatsissa", "content": "b"}, {"role": "assistant", "content": "c"}]}"#,
            "messages[1].role: expected system, developer, user, assistant or tool",
        ),
        (
            sft_rows,
            r#"{"prompt": [{"role": "user", "content": "a"}], "completion": [{"role": "user", "content": "b"}]}"#,
            "completion[0].role: expected a reply of the assistant",
        ),
        (
            sft_rows,
            r#"{"tools": 3, "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#,
            "tools: expected a list of objects, found a number",
        ),
        (
            sft_rows,
            r#"{"chat_template_kwargs": {"a": [NaN]}, "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#,
            "chat_template_kwargs: found NaN or Infinity",
        ),
        (
            preference_rows,
            r#"{"chosen": "", "rejected": "r"}"#,
            "chosen: expected a completion, found none",
        ),
        (
            preference_rows,
            r#"{"prompt": "p", "chosen": [{"role": "assistant"}], "rejected": "r"}"#,
            "chosen[0].content: expected text, found nothing",
        ),
        (
            preference_rows,
            r#"{"prompt": "p", "chosen": "c", "rejected": []}"#,
            "expected either text in all or lists of messages in all",
        ),
        (
            preference_rows,
            r#"{"prompt": "p""#,
            "expected one JSON object a line: EOF",
        ),
        (
            sft_rows,
            r#"{"words": "t"}"#,
            "expected the keys messages, or prompt and completion, or text; found words",
        ),
        (
            sft_rows,
            r#"{"completion": "t"}"#,
            "prompt: expected this key",
        ),
        (
            sft_rows,
            r#"{"messages": [{"role": "user", "content": "a"}]}"#,
            "messages: expected a message whose role is \"assistant\"",
        ),
        (
            sft_rows,
            r#"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": " "}]}"#,
            "messages[1]: expected a completion",
        ),
        (sft_rows, "", "expected rows, found none"),
        (
            labelled_rows,
            r#"{"prompt": "p", "completion": "c"}"#,
            "label: expected this key beside the others; found prompt, completion",
        ),
        (
            labelled_rows,
            r#"{"prompt": "p", "completion": "c", "label": "true"}"#,
            "label: expected true or false, found text",
        ),
        (
            labelled_rows,
            r#"{"prompt": "p", "completion": "c", "label": 1}"#,
            "label: expected true or false, found a number",
        ),
        (
            labelled_rows,
            r#"{"prompt": "p", "completion": "", "label": true}"#,
            "completion: expected a completion, found none",
        ),
        (
            labelled_rows,
            r#"{"prompt": [{"role": "user", "content": "p"}], "completion": [{"role": "assistant", "content": ""}], "label": true}"#,
            "completion: expected a completion, found none",
        ),
        (
            labelled_rows,
            r#"{"completion": "c", "label": false}"#,
            "prompt: expected this key",
        ),
    ];
    for (reader, row, expected) in cases {
        let error = read(*reader, row).unwrap_err().to_string();
        assert!(
            error.contains("rows.jsonl:1: ") && error.contains(expected),
            "{row}\n{error}"
        );
    }
    let error = read(sft_rows, "{\"text\": \"t\"}\n{}\n{\"text\": 1}\n")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("rows.jsonl:2: ") && error.contains("rows.jsonl:3: text"),
        "{error}"
    );
    let error = read(sft_rows, b"{\"text\": \"t\"}\n{\"text\": \"\xff\"}\n").unwrap_err();
    assert!(
        error.to_string().contains("rows.jsonl:2: not valid UTF-8"),
        "{error}"
    );
}

#[test]
fn what_cannot_be_read_names_its_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rows.parquet");
    fs::write(&path, "{}").unwrap();
    let error = sft_rows(&path, &Reading::default()).err().unwrap();
    let expected = match cfg!(feature = "parquet") {
        true => "rows.parquet: not a whole Parquet file",
        false => "rows.parquet: this build reads no Parquet; build with",
    };
    assert!(error.to_string().contains(expected), "{error}");
    let path = dir.path().join("rows.jsonl");
    let row = r#"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#;
    fs::write(&path, [row; 3].join("\n")).unwrap();
    let error = sft_rows(&path, &Reading::default())
        .err()
        .unwrap()
        .to_string();
    assert!(!error.contains("rows.jsonl:2"), "{error}");
    assert!(
        error.contains("rows.jsonl:1: ") && error.contains("chat_template.jinja"),
        "{error}"
    );
}

/// Each example's group, numbered by first appearance.
fn groups(examples: &[Example]) -> Vec<usize> {
    let mut known: Vec<&str> = Vec::new();
    let mut numbers = Vec::new();
    for example in examples {
        let number = known.iter().position(|name| *name == example.group);
        numbers.push(number.unwrap_or(known.len()));
        if number.is_none() {
            known.push(&example.group);
        }
    }
    numbers
}

#[test]
fn rows_of_one_dialogue_are_a_group_wherever_they_stand() {
    let rows = r#"{"prompt": "A: hi B:", "chosen": " ho", "rejected": " no"}
{"prompt": "A: he B:", "chosen": " ho", "rejected": " no"}
{"prompt": "A: hi B: ho A: so B:", "chosen": " go", "rejected": " no"}
{"prompt": "A: hi B: hm A: so B:", "chosen": " go", "rejected": " no"}
{"prompt": "", "chosen": "a", "rejected": "b"}
{"prompt": "", "chosen": "a", "rejected": "c"}
{"prompt": "A: he B:", "chosen": " ho", "rejected": " no", "dialogue": 7}
{"prompt": "A: or B:", "chosen": " ho", "rejected": " no", "dialogue": 7}
{"prompt": "A: he B:", "chosen": " ho", "rejected": " no", "dialogue": "7"}
{"prompt": "A: he B:", "chosen": " ho", "rejected": " no", "dialogue": null}
{"prompt": "A: he B:", "chosen": " ho", "rejected": " no", "dialogue": ["A: he"]}"#;
    let examples = read(preference_rows, rows).unwrap();
    assert_eq!(groups(&examples), [0, 1, 0, 0, 2, 3, 4, 4, 5, 1, 1]);

    let rows = r#"{"prompt": [{"role": "user", "content": "a"}], "completion": [{"role": "assistant", "content": "b"}]}
{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
{"prompt": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}], "completion": [{"role": "assistant", "content": "d"}]}
{"text": "user: a"}"#;
    let examples = read(sft_rows, rows).unwrap();
    assert_eq!(groups(&examples), [0, 1, 1, 0, 2]);
}

#[test]
fn a_long_file_keeps_its_order_and_names_bad_rows_of_every_part() {
    let row = |i: usize| format!("{{\"prompt\": \"{i}\", \"completion\": \"{}\"}}\n", i % 7);
    let rows: String = (1..=3 * CHUNK).map(row).collect();
    let examples = read(sft_rows, &rows).unwrap();
    let ids: Vec<_> = examples.iter().map(|e| e.id.clone()).collect();
    let expected: Vec<_> = (1..=3 * CHUNK).map(|i| format!("row {i}")).collect();
    assert_eq!(ids, expected);
    let error = read(
        sft_rows,
        rows.replace("\"completion\": \"6\"", "\"completion\": 6"),
    );
    let error = error.unwrap_err().to_string();
    let more = 3 * CHUNK / 7 - 20;
    assert!(
        error.contains("rows.jsonl:6: ") && error.contains(&format!("and {more} more")),
        "{error}"
    );
}

#[test]
fn what_nothing_reads_is_remarked_with_its_count() {
    let rows = r#"{"prompt": "p", "chosen": "a", "rejected": "b", "score": NaN, "margin": "wide"}
{"prompt": "p", "chosen": "a", "rejected": "b", "score": 1, "tools": []}
{"prompt": [{"role": "user", "content": "p", "weight": 1}], "chosen": [{"role": "assistant", "content": "a"}], "rejected": [{"role": "assistant", "content": "b"}], "tools": "[{}]", "chat_template_kwargs": {"deep": true}}"#;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rows.jsonl");
    fs::write(&path, rows).unwrap();
    let template = template();
    let reading = Reading::by(Some(&template), false);
    let examples = preference_rows(&path, &reading).unwrap();
    let remarks = reading.take_remarks();
    let counted: Vec<(&str, usize)> = remarks
        .iter()
        .map(|(remark, count)| (remark.as_str(), *count))
        .collect();
    for (part, count) in [
        ("column `score`, which nothing reads", 2),
        ("column `margin` without a number", 1),
        ("column `tools` beside plain text", 1),
        ("column `tools`, which the chat template does not read", 1),
        ("`chat_template_kwargs.deep`", 1),
        ("key `weight`, which the chat template does not name", 1),
    ] {
        let found = counted.iter().find(|(remark, _)| remark.contains(part));
        assert_eq!(
            found.map(|(_, count)| *count),
            Some(count),
            "{part}: {counted:?}"
        );
    }
    assert_eq!(counted.len(), 6);
    assert_eq!(examples.count(), 3);
}

#[test]
fn a_reply_is_scored_where_the_template_marks_it() {
    let source = "{% for m in messages %}{% if m.role == 'assistant' and m.content != 'no' %}{% generation %}\
                  {{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}\n{% endfor %}";
    let template = ChatTemplate::new(source.into(), Default::default()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rows.jsonl");
    let row = |reply: &str| {
        format!(
            r#"{{"messages": [{{"role": "user", "content": "a"}}, {{"role": "assistant", "content": "{reply}"}}]}}"#
        )
    };
    fs::write(&path, row("yes")).unwrap();
    let reading = Reading::by(Some(&template), true);
    let examples: Vec<Example> = sft_rows(&path, &reading)
        .unwrap()
        .collect::<Result<_>>()
        .unwrap();
    assert_eq!(examples[0].completions[0].scored, Some(vec![(0, 3)]));
    let reading = Reading::by(Some(&template), false);
    let examples: Vec<Example> = sft_rows(&path, &reading)
        .unwrap()
        .collect::<Result<_>>()
        .unwrap();
    assert_eq!(examples[0].completions[0].scored, None);
    fs::write(&path, row("no")).unwrap();
    let reading = Reading::by(Some(&template), true);
    let error = sft_rows(&path, &reading).err().unwrap().to_string();
    assert!(
        error.contains("rows.jsonl:1: messages[1]: the chat template marks nothing"),
        "{error}"
    );
}

#[test]
fn persona_and_turns_of_a_conversation_are_known_whatever_the_template_makes_of_them() {
    let source = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
                  {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
    let template = ChatTemplate::new(source.into(), Default::default()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rows.jsonl");
    let row = |system: &str| {
        format!(
            r#"{{"prompt": [{{"role": "system", "content": "{system}"}}, {{"role": "user", "content": "who?"}}], "completion": [{{"role": "assistant", "content": "me"}}]}}"#
        )
    };
    let rows = [
        row(r"Persona:\n- i sail.\n- i bake."),
        row("Persona: be kind."),
    ];
    std::fs::write(&path, rows.join("\n")).unwrap();
    let reading = Reading::by(Some(&template), false);
    let examples: Result<Vec<Example>> = sft_rows(&path, &reading).unwrap().collect();
    let prompts: Vec<Prompt> = examples.unwrap().into_iter().map(|it| it.prompt).collect();
    assert!(prompts[0].text().contains("<|im_start|>"));
    assert_eq!(prompts[0].persona(), ["i sail.", "i bake."]);
    assert_eq!(
        prompts[0].shown(),
        "Persona:\n- i sail.\n- i bake.\nUser: who?\nBot:"
    );
    assert!(prompts[1].persona().is_empty());
    assert_eq!(prompts[1].shown(), "Persona: be kind.\nUser: who?\nBot:");
    let asked: Vec<&str> = prompts[1].turns().map(|turn| &*turn.text).collect();
    assert_eq!(asked, ["who?"]);
}

/// What each example has after its prompt.
fn replies(reader: Reader, rows: &str) -> Vec<String> {
    let examples = read(reader, rows).unwrap();
    let completions = examples.iter().flat_map(|it| &it.completions);
    completions.map(|it| it.text.clone()).collect()
}

#[test]
fn messages_of_the_assistant_in_a_row_are_one_reply() {
    let row = r#"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "assistant", "content": "c"}, {"role": "user", "content": "d"}, {"role": "assistant", "content": "e"}]}"#;
    assert_eq!(replies(sft_rows, row), [" b\nassistant: c\n", " e\n"]);
}

#[test]
fn a_list_of_messages_may_stand_as_text() {
    let rows = r#"{"messages": "[{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"}]"}"#;
    assert_eq!(replies(sft_rows, rows), [" b\n"]);
}

#[test]
fn rows_are_read_alike_whatever_they_are_written_in() {
    let dir = tempfile::tempdir().unwrap();
    let template = template();
    let examples = |name: &str, text: &str| -> Result<Vec<Example>> {
        let path = dir.path().join(name);
        fs::write(&path, text)?;
        let reading = Reading::by(Some(&template), false);
        labelled_rows(&path, &reading)?.collect()
    };
    let row = r#"{"prompt": "p", "completion": "q \"r\"", "label": true}"#;
    let expected = examples("a.jsonl", row).unwrap();
    assert_eq!(examples("a.json", &format!("[{row}]")).unwrap(), expected);
    let csv = "prompt,completion,label,note\np,\"q \"\"r\"\"\",True,\n";
    let mut found = examples("a.csv", csv).unwrap();
    assert_eq!(found[0].id, "row 2");
    found[0].id = "row 1".into();
    assert_eq!(found, expected);
    let messages = "prompt,completion,label\n\"[{\"\"role\"\": \"\"user\"\", \"\"content\"\": \"\"p\"\"}]\",\
                    \"[{\"\"role\"\": \"\"assistant\"\", \"\"content\"\": \"\"q\"\"}]\",false\n";
    assert_eq!(
        examples("b.csv", messages).unwrap()[0].completions[0].text,
        " q\n"
    );
    let python = "prompt,completion,label\n\"[{'role': 'user'}]\",a,1\n";
    let error = examples("c.csv", python).unwrap_err().to_string();
    assert!(
        error.contains("c.csv:2: prompt: expected a list of messages as JSON"),
        "{error}"
    );
    // Bad rows of all shards are named together.
    let folder = dir.path().join("shards");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("train-0.jsonl"), row).unwrap();
    fs::write(folder.join("train-1.json"), format!("[{row}, {row}]")).unwrap();
    let read = || -> Result<Vec<Example>> {
        let reading = Reading::by(None, false).of("train");
        labelled_rows(&folder, &reading)?.collect()
    };
    let ids: Vec<String> = read().unwrap().into_iter().map(|it| it.id).collect();
    assert_eq!(ids, ["row train-0:1", "row train-1:1", "row train-1:2"]);
    fs::write(folder.join("train-0.jsonl"), "{}").unwrap();
    fs::write(folder.join("train-1.json"), "[{}, {}]").unwrap();
    let error = read().unwrap_err().to_string();
    let places = [
        "train-0.jsonl:1: prompt",
        "train-1.json: item 1: prompt",
        "train-1.json: item 2: prompt",
    ];
    assert!(places.iter().all(|place| error.contains(place)), "{error}");
}

#[test]
fn tools_and_variables_of_the_template_may_be_text() {
    let source =
        "{{ tools | length }} {{ deep }}{% for m in messages %}{{ m.content }}{% endfor %}";
    let template = ChatTemplate::new(source.into(), Default::default()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rows.jsonl");
    let row = |more: &str| {
        format!(
            r#"{{"prompt": [{{"role": "user", "content": "p"}}], "completion": [{{"role": "assistant", "content": "q"}}], {more}}}"#
        )
    };
    let given = r#""tools": "[{\"name\": \"f\"}]", "chat_template_kwargs": "{\"deep\": 3}""#;
    fs::write(&path, row(given)).unwrap();
    let reading = Reading::by(Some(&template), false);
    let examples: Result<Vec<Example>> = sft_rows(&path, &reading).unwrap().collect();
    assert_eq!(examples.unwrap()[0].prompt.text(), "1 3p");
    fs::write(&path, row(r#""chat_template_kwargs": "deep""#)).unwrap();
    let error = sft_rows(&path, &reading).err().unwrap().to_string();
    assert!(
        error.contains("chat_template_kwargs: expected an object, found text that is no JSON"),
        "{error}"
    );
}
