use super::*;

fn read(lines: &[&str], classifier: bool) -> Result<(Vec<ToScore>, usize)> {
    read_by(lines, classifier, None)
}

fn read_by(
    lines: &[&str],
    classifier: bool,
    template: Option<&ChatTemplate>,
) -> Result<(Vec<ToScore>, usize)> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rows.jsonl");
    std::fs::write(&path, lines.join("\n")).unwrap();
    let reads = Reads {
        classifier,
        template,
    };
    to_score(&path, reads)
}

#[test]
fn every_form_is_read_and_rows_without_ids_have_their_line_s() {
    let (rows, system) = read(
        &[
            r#"{"id": "a", "turns": [{"speaker": "bot", "text": "hi."}], "ratings": [
                {"rater": "x", "scores": {"ease": 40}}, {"rater": "y", "scores": {"ease": 50, "trust": -1}}]}"#
                .replace('\n', " ")
                .as_str(),
            "",
            r#"{"messages": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hi."},
                {"role": "assistant", "content": "ho."}], "more": 1}"#
                .replace('\n', " ")
                .as_str(),
            r#"{"id": 7, "prompt": "a", "completion": " b"}"#,
            r#"{"completion": "b"}"#,
            r#"{"premise": "i sail.", "hypothesis": "i hate boats."}"#,
        ],
        true,
    )
    .unwrap();
    assert_eq!(system, 1);
    let ids: Vec<String> = rows.iter().map(|row| row.id.to_string()).collect();
    assert_eq!(ids, ["\"a\"", "3", "7", "5", "6"]);
    assert_eq!(
        rows[0].ratings,
        [("ease".into(), 45.0), ("trust".into(), -1.0)].into()
    );
    let Scorable::Dialogue(turns) = &rows[1].text else {
        panic!("{:?}", rows[1])
    };
    let speakers: Vec<Speaker> = turns.iter().map(|turn| turn.speaker).collect();
    assert_eq!(speakers, [Speaker::User, Speaker::Bot]);
    assert!(rows[1].ratings.is_empty());
}

#[test]
fn conversations_are_written_by_the_template_that_the_model_learned_from() {
    let source = "{%- for message in messages %}<{{ message.role }}>{{ message.content }}</>\n{% endfor %}\
                  {%- if add_generation_prompt %}<assistant>{% endif %}";
    let template = ChatTemplate::new(source.into(), Default::default()).unwrap();
    let system = r#"{"role": "system", "content": "be kind"}"#;
    let user = r#"{"role": "user", "content": "hi."}"#;
    let bot = r#"{"role": "assistant", "content": "ho."}"#;
    let rows = [
        format!(r#"{{"messages": [{system}, {user}, {bot}]}}"#),
        format!(r#"{{"prompt": [{system}, {user}], "completion": [{bot}]}}"#),
        format!(r#"{{"id": "p", "prompt": [{system}, {user}], "chosen": [{bot}], "rejected": [{bot}, {user}]}}"#),
        r#"{"id": "t", "turns": [{"speaker": "user", "text": "hi."}, {"speaker": "bot", "text": "ho."}]}"#.into(),
        r#"{"prompt": "as it", "completion": " stands"}"#.into(),
    ];
    let lines: Vec<&str> = rows.iter().map(String::as_str).collect();
    let (rows, left_out) = read_by(&lines, false, Some(&template)).unwrap();
    assert_eq!((rows.len(), left_out), (6, 0));
    let texts: Vec<(bool, String)> = rows
        .iter()
        .map(|row| match &row.text {
            Scorable::Text { prompt, completion } => {
                (prompt.rendered(), prompt.text() + completion)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let all = "<system>be kind</>\n<user>hi.</>\n<assistant>ho.</>\n";
    assert_eq!(texts[0], (true, all.to_owned()));
    assert_eq!(texts[1], texts[0]);
    assert_eq!(texts[2], texts[0]);
    assert_eq!(texts[3], (true, format!("{all}<user>hi.</>\n")));
    assert_eq!(texts[4].1, "<user>hi.</>\n<assistant>ho.</>\n");
    assert_eq!(texts[5], (false, "as it stands".to_owned()));
    let sides: Vec<_> = rows.iter().map(|row| row.side).collect();
    assert_eq!(sides[2..4], [Some("chosen"), Some("rejected")]);
    let (rows, left_out) = read(&lines[..3], false).unwrap();
    assert_eq!((rows.len(), left_out), (4, 4));
    assert!(
        rows.iter()
            .all(|row| matches!(&row.text, Scorable::Dialogue(turns) if turns[0].text == "hi."))
    );
}

#[test]
fn what_opens_a_reply_is_not_scored_where_the_reply_goes_on_otherwise() {
    let source = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}\
                  {% if add_generation_prompt %}[assistant]<think>{% endif %}";
    let template = ChatTemplate::new(source.into(), Default::default()).unwrap();
    let user = r#"{"role": "user", "content": "a"}"#;
    let bot = r#"{"role": "assistant", "content": "b"}"#;
    for (said, all) in [
        (format!("{user}, {bot}"), "[user]a[assistant]b"),
        (
            format!("{user}, {bot}, {bot}"),
            "[user]a[assistant]b[assistant]b",
        ),
    ] {
        let row = format!(r#"{{"messages": [{said}]}}"#);
        let (rows, _) = read_by(&[&row], false, Some(&template)).unwrap();
        let Scorable::Text { prompt, completion } = &rows[0].text else {
            panic!("{:?}", rows[0])
        };
        assert_eq!(prompt.text() + completion, all);
    }
}

#[test]
fn a_template_is_given_the_tools_and_variables_of_a_row() {
    let source =
        "{{ tools | length }}{{ tone }}{% for m in messages %}[{{ m.content }}]{% endfor %}";
    let template = ChatTemplate::new(source.into(), Default::default()).unwrap();
    let said = r#"[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]"#;
    let given = r#""tools": "[{\"name\": \"f\"}]", "chat_template_kwargs": {"tone": "dry"}"#;
    let rows = [
        format!(r#"{{"messages": {said}, {given}}}"#),
        format!(r#"{{"chosen": {said}, "rejected": {said}, {given}}}"#),
    ];
    let lines: Vec<&str> = rows.iter().map(String::as_str).collect();
    let (rows, _) = read_by(&lines, false, Some(&template)).unwrap();
    assert_eq!(rows.len(), 3);
    for row in rows {
        let Scorable::Text { prompt, completion } = &row.text else {
            panic!("{row:?}")
        };
        assert_eq!(prompt.text() + completion, "1dry[a][b]");
    }
}

#[test]
fn bad_rows_are_named_by_line() {
    let user = r#"{"messages": [{"role": "user", "content": "hi."}]}"#;
    let error = read(
        &[
            "3",
            user,
            r#"{"messages": [{"role": "tool", "content": "hi."}]}"#,
            r#"{"prompt": "a"}"#,
            r#"{"completion": " "}"#,
            r#"{"prompt": [], "completion": "b"}"#,
            r#"{"id": "a", "turns": []}"#,
            r#"{"premise": "a", "hypothesis": "b"}"#,
            r#"{"id": 3, "completion": "b"}"#,
            r#"{"id": 3, "completion": "c"}"#,
            r#"{"id": [3], "completion": "c"}"#,
        ],
        false,
    );
    let error = error.unwrap_err().to_string();
    for expected in [
        ":1: expected one JSON object a line",
        ":2: messages: expected one of the role assistant, found none",
        ":3: messages[0].role: expected user, assistant or system, found \"tool\"",
        ":4: expected the keys turns, or messages, or prompt and completion, or chosen and rejected, or premise and \
         hypothesis; found prompt",
        ":5: completion: expected text, found none",
        ":6: prompt: expected text, found a list",
        ":7: turns: expected at least one, found none",
        ":8: premise and hypothesis: the model is no classifier",
        ":10: id: line 9 has 3 too",
        ":11: id: expected text or a number, found a list",
    ] {
        assert!(error.contains(expected), "{expected}\nnot in\n{error}");
    }
    assert!(
        read(&[""], false)
            .unwrap_err()
            .to_string()
            .contains("found none")
    );
}
