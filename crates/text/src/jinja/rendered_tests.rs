//! Texts against those of transformers (`scripts/make_template_references.py`), and what is bounded.

use std::time::Instant;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::*;

#[derive(Deserialize)]
struct Fixture {
    variables: Map<String, Value>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    template: String,
    /// Nothing where transformers refuses it.
    text: Option<String>,
}

#[test]
fn templates_render_as_in_transformers() {
    let fixture: Fixture =
        serde_json::from_str(include_str!("../../../../tests/fixtures/jinja.json")).unwrap();
    let mut variables = fixture.variables;
    variables.insert("documents".into(), Value::Null);
    variables.insert("add_generation_prompt".into(), false.into());
    assert!(fixture.cases.len() > 250);
    for Case { template, text } in fixture.cases {
        let rendered = Template::new(&template).and_then(|it| it.render(&variables, Day::DEFAULT));
        let found = rendered.map(|rendered| rendered.text);
        assert_eq!(
            found.as_ref().ok(),
            text.as_ref(),
            "{template:?}: {found:?}"
        );
    }
}

fn error(template: &str) -> Error {
    let variables = Map::from_iter([(
        "messages".to_owned(),
        json!([{"role": "user", "content": "hi"}]),
    )]);
    let rendered = Template::new(template).and_then(|it| it.render(&variables, Day::DEFAULT));
    rendered.expect_err(&template.chars().take(60).collect::<String>())
}

#[test]
fn no_template_runs_or_grows_for_ever() {
    let doubling = |step: &str| {
        format!(
            "{{% set ns = namespace(x=['ab']|first, y=[1]) %}}{{% for i in range(60) %}}{step}{{% endfor %}}"
        )
    };
    let templates = [
        "{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}".to_owned(),
        "{{ [1, 2, 3] | slice(99999999999) | list }}".into(),
        "{{ [1] | batch(99999999999, 0) | list }}".into(),
        doubling("{% set ns.x = ns.x ~ ns.x %}"),
        doubling("{% set ns.x = ns.x + ns.x %}"),
        doubling("{% set ns.x = [ns.x, ns.x] | join %}"),
        doubling("{% set ns.x = ns.x | replace('a', 'aaaa') %}"),
        doubling("{% set y %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = y %}"),
        doubling("{% set ns.y = ns.y + ns.y %}"),
        doubling("{% set ns.y = [ns.y, ns.y] %}") + "{{ ns.y | tojson }}",
        "{{ messages | tojson(indent=1000000000) }}".into(),
        "{{ 'a\nb' | indent(10000000000) }}{{ 'a'.center(10000000000) }}".into(),
        "{{ '%9999999999d' % 3 }}".into(),
        "{{ '{:9999999999}'.format(3) }}".into(),
        "{{ 'a' * 10000000000 }}".into(),
        "{{ range(1000000000) | list }}".into(),
        "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}".into(),
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}".into(),
        "{% set x = 'a' * 10000000 %}{% for i in range(100000) %}{% set y = x | trim | int %}{% endfor %}".into(),
        doubling("{% set ns.x = ns.x | safe %}{% set ns.x = ns.x + ns.x %}"),
        "{{ (['a' * 1000000] * 100000) | sort | length }}".into(),
        "{{ ([1] * 100000) | tojson(separators=['x' * 1000000, ':']) }}".into(),
        "{% set k = 'a' * 10000000 %}{% for i in range(100000) %}{% set y = [][k] %}{% endfor %}".into(),
        "{{ 'a' | map(*(['map'] * 2500)) | list }}".into(),
        "{{ 'a' | map(*(['map'] * 1000000)) | list }}".into(),
        format!("{{{{ {} 1 }}}}", "not ".repeat(20_000)),
        format!("{{{{ 1{} }}}}", "+1".repeat(20_000)),
        format!("{{{{ a{} }}}}", ".b".repeat(41_000)),
        format!("{{{{ a{} }}}}", "|string".repeat(41_000)),
        format!("{{{{ {}1{} }}}}", "(".repeat(20_000), ")".repeat(20_000)),
        format!("{{{{ {}1{} }}}}", "a[".repeat(20_000), "]".repeat(20_000)),
        "x".repeat(2_000_000),
    ];
    for template in templates {
        let start = Instant::now();
        let error = error(&template);
        assert_eq!(error.kind, ErrorKind::Bound, "{error}");
        assert!(start.elapsed().as_secs() < 20, "{error}");
    }
    for (template, expected) in [
        ("{% if 1 %}".repeat(20_000), "nested"),
        ("{% set h = namespace(t=1) %}{% for i in range(9) %}{% set n = namespace() %}{% set n.p = h %}{% endfor %}".into(), "hold"),
        ("\n{{ nothing.at.all }}".into(), "line 2: 'nothing' is undefined"),
        ("{% include 'x' %}".into(), "stands alone"),
        ("{{ ('{0:' * 100000 ~ '}' * 100000).format(1) }}".into(), "recursion"),
        ("{{ (-170141183460469231731687303715884105727 - 1) | abs }}".into(), "larger"),
        // Going through it would move the loop itself on.
        ("{% for x in [1, 2] %}{% for y in loop %}{% endfor %}{% endfor %}".into(), "not iterable"),
        ("{{ ('%(' ~ 'a' * 1000000 ~ ')s') % {} }}".into(), "KeyError"),
    ] {
        let error = error(&template).to_string();
        assert!(error.contains(expected) && error.len() < 3000, "{error}");
    }
}

#[test]
fn what_is_large_and_may_be_takes_no_longer_than_it_must() {
    let nan = "{% set ns = namespace(x=[]) %}{% for i in range(300) %}\
               {% set ns.x = ns.x + [('nan' | float) if i % 3 == 0 else i * 7919 % 101] %}{% endfor %}";
    for (template, expected) in [
        (
            "{{ ('a' * 5000000).strip('b' * 5000000 ~ 'a') }}".to_owned(),
            "",
        ),
        (format!("{nan}{{{{ ns.x | sort | length }}}}"), "300"),
        (
            "{% for x in [1] %}{{ loop.changed(loop) }}{% endfor %}".into(),
            "True",
        ),
    ] {
        let start = Instant::now();
        let rendered = Template::new(&template).unwrap();
        let rendered = rendered.render(&Map::new(), Day::DEFAULT).unwrap();
        assert_eq!(rendered.text, expected);
        assert!(start.elapsed().as_secs() < 20);
    }
}

#[test]
fn marked_parts_are_found_by_their_bytes() {
    let template =
        Template::new("é{% generation %}ab{% endgeneration %}c{% generation %}{% endgeneration %}")
            .unwrap();
    let rendered = template.render(&Map::new(), Day::DEFAULT).unwrap();
    assert_eq!(
        (rendered.text.as_str(), rendered.marked),
        ("éabc", vec![(2, 4), (5, 5)])
    );
    assert!(template.marks() && !rendered.marked_elsewhere);
}

#[test]
fn the_day_is_the_one_that_is_given() {
    let template = Template::new("{{ strftime_now('%A %-d %B %Y, week %V, day %j') }}").unwrap();
    let on = |day: &str| {
        template
            .render(&Map::new(), Day::parse(day).unwrap())
            .unwrap()
    };
    assert_eq!(
        on("2024-02-29").text,
        "Thursday 29 February 2024, week 09, day 060"
    );
    assert_eq!(
        on("2021-01-03").text,
        "Sunday 3 January 2021, week 53, day 003"
    );
    assert!(on("2021-01-03").asked_day);
    for odd in [
        "2023-02-29",
        "2024-13-01",
        "2024-1-1",
        "today",
        "0000-01-01",
    ] {
        assert!(Day::parse(odd).is_none(), "{odd}");
    }
    assert!(error("{{ strftime_now('%Q') }}").to_string().contains("%Q"));
}

#[test]
fn what_is_missing_is_an_error_where_that_is_asked_for() {
    for template in [
        "{{ no }}",
        "{% for x in no %}{% endfor %}",
        "{% if no %}{% endif %}",
        "{{ 'a' ~ no }}",
    ] {
        assert!(
            Template::new(template)
                .unwrap()
                .render(&Map::new(), Day::DEFAULT)
                .is_ok()
        );
        let error = Template::strict(template)
            .unwrap()
            .render(&Map::new(), Day::DEFAULT)
            .unwrap_err();
        assert!(error.to_string().contains("'no' is undefined"), "{error}");
    }
}
