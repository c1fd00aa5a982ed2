use super::*;

const CHATML: &str = "\
    {%- if messages[0]['role'] == 'system' %}\n\
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}\n\
    {%- endif %}\n\
    {%- for message in messages %}\n\
        {%- if message.role not in ['system', 'user', 'assistant'] %}\n\
            {{- raise_exception('no role ' + message.role) }}\n\
        {%- elif not loop.first or message['role'] != 'system' %}\n\
            {{- '<|im_start|>' + message.role + '\\n' + message['content'].strip() + '<|im_end|>\\n' }}\n\
        {%- endif %}\n\
    {%- endfor %}\n\
    {%- if add_generation_prompt %}\n\
        {{- '<|im_start|>assistant\\n' }}\n\
    {%- endif %}";

fn messages(list: &[(&str, &str)]) -> Vec<Message> {
    list.iter()
        .map(|(role, content)| Message::new(role, content))
        .collect()
}

fn prompt_of(template: &ChatTemplate, history: &[Message]) -> Result<Prompt> {
    Ok(template
        .conversation(history, &[], &Beside::default())?
        .prompt)
}

#[test]
fn a_prompt_comes_in_parts_and_a_reply_goes_on_from_it() {
    let template = ChatTemplate::new(CHATML.into(), Map::new()).unwrap();
    let history = messages(&[
        ("system", "Be kind."),
        ("user", "hi "),
        ("assistant", "hello"),
        ("user", "bye"),
    ]);
    let prompt = prompt_of(&template, &history).unwrap();
    assert_eq!(prompt.droppable(), 2);
    assert_eq!(
        prompt.text_from(2),
        "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nbye<|im_end|>\n\
         <|im_start|>assistant\n"
    );
    assert_eq!(
        prompt.text(),
        template.render(&history, &Beside::default(), true).unwrap()
    );
    let reply = messages(&[("assistant", "see you")]);
    let completion = template.completion(&history, &reply).unwrap();
    assert_eq!(completion, "see you<|im_end|>\n");
    let error = prompt_of(&template, &messages(&[("robot", "x")])).unwrap_err();
    assert!(error.to_string().contains("no role robot"), "{error}");
}

#[test]
fn a_prompt_ends_where_its_rendering_with_a_reply_parts_from_it() {
    // As of models that think: the generation prompt opens a thought, which a reply without one has not.
    let source = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</>{% endfor %}\
                  {% if add_generation_prompt %}<assistant><think>{% endif %}";
    let template = ChatTemplate::new(source.into(), Map::new()).unwrap();
    let history = messages(&[("system", "s"), ("user", "a")]);
    let (yes, no) = (
        messages(&[("assistant", "<t")]),
        messages(&[("assistant", "no")]),
    );
    let found = template
        .conversation(
            &history,
            &[("chosen", &yes), ("rejected", &no)],
            &Beside::default(),
        )
        .unwrap();
    assert!(found.parted && found.prompt.rendered());
    assert_eq!(found.prompt.text(), "<system>s</><user>a</><assistant>");
    assert_eq!(found.prompt.droppable(), 0);
    let texts: Vec<&str> = found
        .replies
        .iter()
        .map(|reply| reply.text.as_str())
        .collect();
    assert_eq!(texts, ["<t</>", "no</>"]);
    // What counts its messages can be cut nowhere but at its beginning.
    let source = "{% for m in messages %}{{ messages|length }} {{ m.content }}{% endfor %}";
    let template = ChatTemplate::new(source.into(), Map::new()).unwrap();
    let prompt = prompt_of(
        &template,
        &messages(&[("user", "a"), ("assistant", "b"), ("user", "c")]),
    )
    .unwrap();
    assert_eq!(
        (prompt.text(), prompt.droppable(), prompt.rendered()),
        ("3 a3 b3 c".into(), 0, true)
    );
}

#[test]
fn all_that_a_row_says_reaches_the_template() {
    let source = "{% if enable_thinking is false %}plain {% endif %}{% if tools %}{{ tools | tojson }}{% endif %}\
                  {% for m in messages %}[{{ m.role }}{% if m.thinking %} ({{ m.reasoning_content }}){% endif %} \
                  {{ m.content or '' }}{% for call in m.tool_calls or [] %}{{ call.function.arguments | tojson }}\
                  {% endfor %}]{% endfor %}{% if add_generation_prompt %}[assistant {% endif %}";
    let template = ChatTemplate::new(source.into(), Map::new()).unwrap();
    let mut reply = Message::new("assistant", "");
    reply.all.remove("content");
    reply.all.insert(
        "tool_calls".into(),
        serde_json::json!([{"function": {"arguments": {"a": 1.0}}}]),
    );
    assert!(!reply.is_empty());
    let mut thought = Message::new("assistant", "hm");
    thought.all.insert("reasoning".into(), "think".into());
    let beside = Beside {
        tools: Some(serde_json::json!([{"name": "add"}])),
        kwargs: Map::from_iter([("enable_thinking".to_owned(), false.into())]),
    };
    let history = [
        Message::new("user", "a"),
        thought,
        Message::new("user", "b"),
    ];
    let found = template
        .conversation(&history, &[("completion", &[reply])], &beside)
        .unwrap();
    assert_eq!(
        found.prompt.text(),
        "plain [{\"name\": \"add\"}][user a][assistant (think) hm][user b][assistant "
    );
    assert_eq!(found.replies[0].text, "{\"a\": 1.0}]");
    let reserved = Beside {
        kwargs: Map::from_iter([("messages".to_owned(), false.into())]),
        ..Beside::default()
    };
    assert!(template.conversation(&history, &[], &reserved).is_err());
}

#[test]
fn what_the_recipe_gives_reaches_every_rendering_and_a_rows_own_comes_over_it() {
    let source =
        "{{ [tone, deep, tools] | tojson }}{% for m in messages %}[{{ m.content }}]{% endfor %}";
    let given = serde_json::json!({"tone": "dry", "deep": true, "tools": [1], "unknown": 3});
    let given = given.as_object().unwrap().clone();
    let template = ChatTemplate::new(source.into(), Map::new())
        .unwrap()
        .given(given);
    let rendered = |beside: &Beside| {
        let reply = messages(&[("assistant", "b")]);
        let history = messages(&[("user", "a")]);
        let found = template.conversation(&history, &[("completion", &reply)], beside);
        let found = found.unwrap();
        found.prompt.text() + &found.replies[0].text
    };
    assert_eq!(rendered(&Beside::default()), "[\"dry\", true, [1]][a][b]");
    let own = Beside {
        tools: Some(serde_json::json!([2])),
        kwargs: Map::from_iter([("deep".to_owned(), false.into())]),
    };
    assert_eq!(rendered(&own), "[\"dry\", false, [2]][a][b]");
}

#[test]
fn marks_of_a_reply_are_counted_from_its_beginning() {
    let source = "{% for m in messages %}{% if m.role == 'assistant' %}A:{% generation %}{{ m.content }}.\
                  {% endgeneration %}\n{% else %}U:{{ m.content }}\n{% endif %}{% endfor %}\
                  {% if add_generation_prompt %}A:{% endif %}";
    let template = ChatTemplate::new(source.into(), Map::new()).unwrap();
    let history = messages(&[("user", "é"), ("assistant", "b"), ("user", "c")]);
    let reply = messages(&[("assistant", "dé"), ("tool", "t"), ("assistant", "e")]);
    let found = template
        .conversation(&history, &[("completion", &reply)], &Beside::default())
        .unwrap();
    let reply = &found.replies[0];
    // The template environment drops a line break right behind a tag.
    assert_eq!(reply.text, "dé.U:t\nA:e.");
    let marked = reply.marked.as_ref().unwrap();
    let texts: Vec<&str> = marked
        .iter()
        .map(|&(start, end)| &reply.text[start..end])
        .collect();
    assert_eq!(texts, ["dé.", "e."]);
}

#[test]
fn marks_are_those_of_the_template_that_is_rendered() {
    let folder = tempfile::tempdir().unwrap();
    let source = |open: &str, close: &str| {
        format!("{{% for m in messages %}}[{open}{{{{ m.content }}}}{close}]{{% endfor %}}")
    };
    let config = serde_json::json!({"chat_template": [
        {"name": "default", "template": source("", "")},
        {"name": "tool_use", "template": source("{% generation %}", "{% endgeneration %}")},
    ]});
    let path = folder.path().join("tokenizer_config.json");
    fs::write(path, config.to_string()).unwrap();
    let template = ChatTemplate::find(folder.path()).unwrap().unwrap();
    let (history, reply) = (messages(&[("user", "a")]), messages(&[("assistant", "b")]));
    let marked = |tools: Option<Value>| {
        let kwargs = Map::new();
        let replies = [("completion", &*reply)];
        let found = template.conversation(&history, &replies, &Beside { tools, kwargs });
        found.unwrap().replies.remove(0).marked
    };
    assert_eq!(marked(None), None);
    let tools = serde_json::json!([{"name": "add"}]);
    assert_eq!(marked(Some(tools)), Some(vec![(1, 2)]));
}

#[test]
fn a_template_without_end_is_told_apart_from_one_that_refuses() {
    let source = "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}";
    let template = ChatTemplate::new(source.into(), Map::new()).unwrap();
    assert!(
        prompt_of(&template, &messages(&[("user", "a")]))
            .unwrap_err()
            .is::<Unbounded>()
    );
}

/// Checked against transformers.
#[test]
fn what_templates_call_works_as_in_python() {
    let source = r#"{% for m in messages %}
  {% if m.role == 'user' %}
{{ bos_token + '[INST] ' + m.content.strip() + ' [/INST]' }}
  {%- elif m.role == 'assistant' -%}
{%- generation -%}
{{ ' ' + m['content'] | trim + ' ' + eos_token }}
{%- endgeneration -%}
  {% else %}{{ raise_exception('no role ' + m.role) }}
  {% endif %}
{% endfor %}
{{ messages | tojson }}{{ {'k': [1, true, none, '<\'é">']} | tojson(indent=2) }}{{ tools is none }}"#;
    let tokens = [("bos_token", "<s>"), ("eos_token", "</s>")];
    let tokens = tokens.map(|(name, token)| (name.to_owned(), token.into()));
    let template = ChatTemplate::new(source.into(), tokens.into_iter().collect()).unwrap();
    let text = template.render(
        &messages(&[("user", " hi "), ("assistant", "<b>\n")]),
        &Beside::default(),
        false,
    );
    assert_eq!(
        text.unwrap(),
        "<s>[INST] hi [/INST] <b> </s>[{\"role\": \"user\", \"content\": \" hi \"}, \
         {\"role\": \"assistant\", \"content\": \"<b>\\n\"}]\
         {\n  \"k\": [\n    1,\n    true,\n    null,\n    \"<'é\\\">\"\n  ]\n}True"
    );
    let error = template
        .render(&messages(&[("robot", "x")]), &Beside::default(), false)
        .unwrap_err();
    assert!(error.to_string().contains("no role robot"), "{error}");
}

/// ChatML whose BOS opens every message, as SmolLM2's does, and Llama 2's form, where it opens the user's alone.
#[test]
fn a_bos_that_opens_messages_is_there_once_whichever_are_dropped() {
    let chatml = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}\
                  {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
    let llama = "{% for m in messages %}{% if m.role == 'user' %}{{ bos_token + '[INST] ' + m.content + ' [/INST]' }}\
                 {% else %}{{ ' ' + m.content + ' </s>' }}{% endif %}{% endfor %}";
    let said = [
        ("user", "a"),
        ("assistant", "b"),
        ("user", "c"),
        ("assistant", "d"),
        ("user", "e"),
    ];
    let ends = [
        [
            "<|im_start|>user\n",
            "<|im_start|>assistant\n",
            "<|im_start|>user\n",
            "<|im_start|>assistant\n",
            "<|im_start|>user\n",
        ],
        ["<s>[INST]", "<s> b", "<s>[INST]", "<s> d", "<s>[INST]"],
    ];
    for ((source, bos), begins) in [(chatml, "<|im_start|>"), (llama, "<s>")]
        .into_iter()
        .zip(ends)
    {
        let tokens = [("bos_token".to_owned(), Value::from(bos))];
        let template = ChatTemplate::new(source.into(), tokens.into_iter().collect()).unwrap();
        let whole = template
            .render(&messages(&said), &Beside::default(), true)
            .unwrap();
        let prompt = prompt_of(&template, &messages(&said)).unwrap();
        assert_eq!((prompt.text(), prompt.droppable()), (whole, 4));
        for (dropped, begin) in begins.iter().enumerate() {
            let text = prompt.text_from(dropped);
            assert!(text.starts_with(begin), "{dropped}: {text:?}");
        }
    }
}

#[test]
fn our_models_template_renders_the_persona_template() {
    let source = include_str!("../../../../assets/chat_template.jinja");
    let template = ChatTemplate::new(source.into(), Map::new()).unwrap();
    let turn = |speaker, text: &str| crate::Turn {
        speaker,
        text: text.into(),
    };
    use crate::Speaker::{Bot, User};
    let history = [turn(User, "hi."), turn(Bot, "ahoy."), turn(User, "who?")];
    let said = messages(&[
        ("system", "Persona:\n- i sail.\n- i bake."),
        ("user", "hi."),
        ("assistant", "ahoy."),
        ("user", "who?"),
    ]);
    let persona = ["i sail.".to_owned(), "i bake.".to_owned()];
    let prompt = crate::template::persona_prompt(&persona, &history);
    let rendered = prompt_of(&template, &said).unwrap();
    let turns = rendered.droppable();
    assert_eq!(
        (rendered.text(), turns),
        (prompt.text(), prompt.droppable())
    );
    assert_eq!(rendered.text_from(turns), prompt.text_from(turns));
    let reply = messages(&[("assistant", "me.")]);
    assert_eq!(template.completion(&said, &reply).unwrap(), " me.\n");
}

#[test]
fn a_folder_gives_its_template_and_special_tokens() {
    let dir = tempfile::tempdir().unwrap();
    assert!(ChatTemplate::find(dir.path()).unwrap().is_none());
    let config = r#"{"bos_token": {"content": "<s>"}, "chat_template": [
        {"name": "tools", "template": "no"},
        {"name": "default", "template": "{{ bos_token }}{% for m in messages %}[{{ m.content }}]{% endfor %}"}]}"#;
    fs::write(dir.path().join("tokenizer_config.json"), config).unwrap();
    let template = ChatTemplate::find(dir.path()).unwrap().unwrap();
    let history = messages(&[("user", "a"), ("user", "b")]);
    let prompt = prompt_of(&template, &history).unwrap();
    assert_eq!(
        (prompt.text(), prompt.text_from(1)),
        ("<s>[a][b]".into(), "<s>[b]".into())
    );
    fs::write(dir.path().join("chat_template.jinja"), "{% if %}").unwrap();
    let error = format!("{:#}", ChatTemplate::find(dir.path()).unwrap_err());
    assert!(
        error.contains("chat_template.jinja: the chat template"),
        "{error}"
    );
}
