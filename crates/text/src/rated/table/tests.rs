use serde_json::json;

use super::*;
use crate::rated::utterances::Sides;

const SCALE: Scale = Scale {
    low: 0.0,
    high: 10.0,
};

fn form() -> TableForm {
    TableForm {
        columns: Columns::default(),
        scores: Scores::Found,
        sides: Sides::default(),
        scale: SCALE,
        scales: BTreeMap::new(),
        settable: true,
    }
}

fn read(name: &str, text: &str, form: &TableForm) -> Result<Found, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    table(&path, form).map_err(|error| error.to_string())
}

fn named(impression: &str, columns: &[&str]) -> ScoreColumns {
    ScoreColumns {
        impression: impression.to_owned(),
        columns: columns.iter().map(ToString::to_string).collect(),
    }
}

/// Dialogues and their ratings.
fn shape(found: Found) -> Vec<(String, Vec<Rating>)> {
    let rows = found.rows.into_iter();
    rows.map(|row| (row.dialogue, row.ratings)).collect()
}

fn expected() -> Vec<(String, Vec<Rating>)> {
    let rating = |rater: &str, scores: &[(&str, f64)]| {
        let scores = scores
            .iter()
            .map(|(name, score)| ((*name).to_owned(), *score));
        Rating {
            rater: rater.to_owned(),
            scores: scores.collect(),
        }
    };
    vec![
        (
            "d1".into(),
            vec![
                rating("ann", &[("ease", 3.0), ("trust", 7.5)]),
                rating("bob", &[("trust", 2.0)]),
            ],
        ),
        (
            "d2".into(),
            vec![rating("ann", &[("ease", 0.0), ("trust", 10.0)])],
        ),
    ]
}

#[test]
fn every_form_of_a_table_gives_the_same_rows() {
    let long = "dialogue_id;text;rater;trust;ease;comment\n\
                d1;\"User: hi\nBot: ho\";ann;7.5;3;good\n\
                d2;\"User: a\nBot: b\";ann;10;0;\n\
                d1;\"User: hi\nBot: ho\";bob;2;NaN;\"so; so\"\n";
    let found = read("long.csv", long, &form()).unwrap();
    assert_eq!(found.missing, 1);
    assert_eq!(found.rows[1].id, "long:4");
    assert!(
        found.notes[0].contains("rater \"rater\"") && found.notes[0].contains("trust [\"trust\"]"),
        "{:?}",
        found.notes
    );
    assert_eq!(shape(found), expected());

    let turns = |a: &str, b: &str| json!([{"role": "user", "content": a}, {"role": "assistant", "content": b}]);
    let nested = [
        json!({"id": "d1", "messages": turns("hi", "ho"), "votes": [
            {"who": "ann", "scores": {"trust": 7.5, "ease": 3}}, {"who": "bob", "scores": {"trust": "2", "ease": null}}]}),
        json!({"id": "d2", "messages": turns("a", "b"), "votes": [
            {"who": "ann", "scores": {"trust": 10, "ease": 0}}]}),
    ];
    let lines = nested
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n");
    let votes = TableForm {
        columns: Columns {
            rater: Some("votes.who".into()),
            ratings: Some("votes".into()),
            ..Default::default()
        },
        ..form()
    };
    for (name, text) in [
        ("nested.jsonl", lines),
        ("nested.json", json!(nested).to_string()),
    ] {
        assert_eq!(
            shape(read(name, &text, &votes).unwrap()),
            expected(),
            "{name}"
        );
    }

    let turns = "dialogue\ttext\twho\trater\tease\ttrust\n\
                 d1\thi\tUser\tann\t\t1\nd1\tho\tBot\tann\t3\t7.5\n\
                 d2\ta\tUser\tann\t0\t10\nd1\thi\tUser\tbob\t\t2\nd2\tb\tBot\tann\t\t\n\
                 d1\tho\tBot\tbob\t\t\n";
    let by_turn = TableForm {
        columns: Columns {
            role: Some("who".into()),
            ..Default::default()
        },
        ..form()
    };
    let found = read("turns.tsv", turns, &by_turn).unwrap();
    assert_eq!(found.rows[0].turns.len(), 2);
    assert_eq!(shape(found), expected());
    // Its common name does not make it the person who speaks with the bot.
    let speaker = TableForm {
        columns: Columns {
            role: Some("speaker".into()),
            ..Default::default()
        },
        ..form()
    };
    let found = read("turns.tsv", &turns.replace("who", "speaker"), &speaker).unwrap();
    assert_eq!(shape(found), expected());
    let error = read("turns.tsv", &turns.replace("dialogue", "talk"), &by_turn).unwrap_err();
    assert!(
        error.contains("name the column that tells dialogues apart"),
        "{error}"
    );

    let tidy = "conv\ttalk\tby\tquality\tpoints\n\
                d1\t[\"hi\", \"ho\"]\tann\ttrust\t7.5\nd1\t[\"hi\", \"ho\"]\tann\tease\t3\n\
                d2\t[\"a\", \"b\"]\tann\ttrust\t10\nd1\t[\"hi\", \"ho\"]\tbob\ttrust\t2\n\
                d2\t[\"a\", \"b\"]\tann\tease\t0\n";
    let tidy_form = TableForm {
        columns: Columns {
            text: Some("talk".into()),
            dialogue: Some("conv".into()),
            rater: Some("by".into()),
            impression: Some("quality".into()),
            score: Some("points".into()),
            ..Default::default()
        },
        ..form()
    };
    assert_eq!(
        shape(read("tidy.tsv", tidy, &tidy_form).unwrap()),
        expected()
    );
}

#[test]
fn several_raters_in_one_row_and_scales_of_their_own() {
    let wide = "text,t1,t2,e1,sys\n\"hi\nho\",1,5,0,x\n\"a\nb\",3,,1,y\n";
    let form = TableForm {
        columns: Columns {
            system: Some("sys".into()),
            ..Default::default()
        },
        scores: Scores::Named(vec![named("trust", &["t1", "t2"]), named("ease", &["e1"])]),
        scale: Scale {
            low: 1.0,
            high: 5.0,
        },
        scales: [(
            "ease".to_owned(),
            Scale {
                low: 0.0,
                high: 1.0,
            },
        )]
        .into(),
        ..form()
    };
    let found = read("wide.csv", wide, &form).unwrap();
    let rows = &found.rows;
    assert_eq!((rows[0].ratings.len(), rows[1].ratings.len()), (2, 1));
    assert_eq!(
        (rows[0].mean("trust"), rows[0].mean("ease")),
        (Some(3.0), Some(1.0))
    );
    assert_eq!(
        (rows[1].mean("trust"), rows[1].mean("ease")),
        (Some(3.0), Some(5.0))
    );
    assert_eq!((&*rows[1].system, found.missing), ("y", 1));
    // Nobody is named, so that no two ratings are of one rater.
    assert_ne!(rows[0].ratings[0].rater, rows[1].ratings[0].rater);
}

#[test]
fn every_bad_row_is_named_with_its_column_and_remedy() {
    let rows = "text,rater,trust\n\"hi\nho\",ann,11\n\"hi\nho\",ann,4\n\"hi\nho\",ann,5\nhi,bob,1\na,b\n,bob,1\n";
    let named_scores = TableForm {
        scores: Scores::Named(vec![named("trust", &["trust"])]),
        ..form()
    };
    let error = read("bad.csv", rows, &named_scores).unwrap_err();
    for expected in [
        ":2: trust: expected a number from 0 to 10 or an empty cell, found \"11\"; low and high",
        ":6: \"ann\" has scored trust of this dialogue already; name the column",
        ":8: text: expected a turn of the bot, found none in 1 turns",
        ":9: expected 3 cells, found 2",
        ":10: text: expected a turn of the bot, found none in 0 turns",
    ] {
        assert!(
            error.contains(&format!("bad.csv{expected}")),
            "{expected}\nnot in\n{error}"
        );
    }
    assert_eq!(error.lines().count(), 5, "{error}");

    for (text, form, expected) in [
        (
            "a,b\n1,2\n",
            form(),
            "name it with columns.text; the columns are [\"a\", \"b\"]",
        ),
        (
            "text,b\n\"hi\nho\",x\n",
            form(),
            "no column holds numbers alone; name those with scores with scores, or a list of ratings within a row with columns.ratings; the columns",
        ),
        (
            "text,b\n\"hi\nho\",x\n",
            TableForm {
                scores: Scores::Named(vec![named("c", &["c"])]),
                ..form()
            },
            "scores: there is no column \"c\"",
        ),
        (
            "[1, {\"text\": \"hi\"}]",
            form(),
            "item 1: expected a JSON object, found a number",
        ),
        (
            "{\"text\": \"hi\\nho\", \"a\": 1}\n{",
            form(),
            ":2: expected one JSON object a line",
        ),
        ("", form(), "expected rated dialogues, found none"),
    ] {
        let error = read("bad.txt", text, &form).unwrap_err();
        assert!(error.contains(expected), "{expected}\nnot in\n{error}");
    }
}
