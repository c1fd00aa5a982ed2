use super::*;
use crate::judge::Language;

fn criteria(names: &[&str]) -> Vec<Criterion> {
    let parse = |name: &&str| Criterion::parse(name, Language::English).unwrap();
    names.iter().map(parse).collect()
}

fn both(text: &str) -> Result<(f64, f64), String> {
    let scores = scores(text, &criteria(&["adherence", "good-tone"]), false)?;
    Ok((scores["adherence"], scores["good-tone"]))
}

#[test]
fn the_last_mark_counts_and_nothing_is_made_of_none() {
    use Choice::{First, Second, Tie};
    for (text, expected) in [
        ("[[1]]", Ok(First)),
        ("**[[ 2 ]]**.", Ok(Second)),
        ("[[[3]]]", Ok(Tie)),
        (
            "[[1]] means the first, [[3]] a tie. Mine: [[2]]",
            Ok(Second),
        ),
        ("Answer［［１］］", Ok(First)),
        ("<think>maybe [[1]]</think>\n[[2]]", Ok(Second)),
        ("[[1]] <think>no, [[2]]", Err("thoughts")),
        ("[1] 2 [[one]] [[]] [[ ]] [[-1]]", Err("no [[1]]")),
        ("[[1]] or rather [[4]]", Err("[[4]]")),
        ("[[01]]", Err("[[01]]")),
        ("[[1]", Err("no [[1]]")),
        ("", Err("no [[1]]")),
    ] {
        match (choice(text, false), expected) {
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{text}: {found}"),
            (found, expected) => assert_eq!(found, expected.map_err(str::to_owned), "{text}"),
        }
    }
    assert_eq!(choice("I pick [[1]].\n", true), Ok(First));
    assert!(choice("Say [[1]] if the first is", true).is_err());
    assert!(choice(&"[[1]]".repeat(20_000), false).is_err());
}

#[test]
fn scores_are_read_from_json_and_from_words() {
    for text in [
        r#"{"adherence": 7, "good-tone": 3}"#,
        r#"{"Adherence": "7", "good_tone": "3/10", "why": "{odd"}"#,
        r#"{"scores": {"adherence": 7.0, "good-tone": 3}}"#,
        r#"{"adherence": {"score": 7, "why": "x"}, "good-tone": {"score": 3}}"#,
        "Here {you} are:\n```json\n{\"adherence\": 7,\n \"good-tone\": 3}\n```\nAdherence: 9",
        "{\"adherence\": 7}\n{\"good-tone\": 3}\n{\"adherence\": 7}",
        "<think>{\"adherence\": 1}</think>{\"adherence\": 7, \"good-tone\": 3}",
        "- **Adherence**: 7/10, it keeps to it\n- `good tone` = 3",
        "adherence: 7, good-tone: 3.",
        "| adherence | 7 |\n| good-tone | 3 |",
        "Adherence (1-10): 7 out of 10\nGood-Tone：３／１０",
        "adherence：7点\ngood-tone：3点。",
        "The adherence is fine.\nAdherence: 7\nGood tone: 3",
    ] {
        assert_eq!(both(text), Ok((7.0, 3.0)), "{text}");
    }
    let one = |text| scores(text, &criteria(&["fit"]), false).map(|scores| scores["fit"]);
    for (text, expected) in [("7", 7.0), (" 7/10. ", 7.0), ("fit: 6.5", 6.5)] {
        assert_eq!(one(text), Ok(expected), "{text}");
    }
    for text in [
        "7 or 8",
        "70/100",
        "7 8",
        "-7",
        "0",
        "about 7",
        "fitness: 7",
    ] {
        assert!(one(text).is_err(), "{text}");
    }
}

#[test]
fn what_can_be_doubted_is_not_read() {
    for (text, expected) in [
        ("", "no score for adherence"),
        ("Both are good.", "no score"),
        (r#"{"adherence": 7}"#, "no score for good-tone"),
        (r#"{"adherence": 11, "good-tone": 3}"#, "not within"),
        (r#"{"adherence": 0, "good-tone": 3}"#, "not within"),
        (r#"{"adherence": -7, "good-tone": 3}"#, "not within"),
        (r#"{"adherence": 1e99, "good-tone": 3}"#, "not within"),
        (r#"{"adherence": null, "good-tone": 3}"#, "no number"),
        (r#"{"adherence": [7], "good-tone": 3}"#, "no number"),
        (r#"{"adherence": true, "good-tone": 3}"#, "no number"),
        (r#"{"adherence": "high", "good-tone": 3}"#, "no number"),
        (r#"{"adherence": "7-8", "good-tone": 3}"#, "no number"),
        (r#"{"adherence": "70/100", "good-tone": 3}"#, "no number"),
        (
            r#"{"adherence": {"score": 7, "score": 8}, "good-tone": 3}"#,
            "no number",
        ),
        (
            r#"{"adherence": 7, "adherence": 3, "good-tone": 3}"#,
            "both 7 and 3",
        ),
        (
            r#"{"adherence": 1, "good-tone": 3} no: {"adherence": 2, "good-tone": 3}"#,
            "both",
        ),
        (r#"{"adherence": 7, "good-tone": 1"#, "no whole JSON"),
        ("{'adherence': 7, 'good-tone': 3}", "no whole JSON"),
        ("adherence: 7-8\ngood-tone: 3", "followed by"),
        ("adherence: 7 or 8\ngood-tone: 3", "followed by"),
        ("adherence: 7/5\ngood-tone: 3", "followed by"),
        ("adherence: 70%\ngood-tone: 3", "followed by"),
        ("adherence: 7th\ngood-tone: 3", "followed by"),
        ("adherence: 7,5\ngood-tone: 3", "followed by"),
        ("adherence: 12\ngood-tone: 3", "not within"),
        ("adherence: -7\ngood-tone: 3", "no score for adherence"),
        ("adherence: 7\nadherence: 6\ngood-tone: 3", "both 7 and 6"),
        ("nonadherence: 7\ngood-tone: 3", "no score for adherence"),
        ("<think>adherence: 7, good-tone: 3", "thoughts"),
    ] {
        let reason = both(text).unwrap_err();
        assert!(reason.contains(expected), "{text}: {reason}");
    }
    let names = criteria(&["adherence"]);
    assert!(scores("adherence: 1", &names, true).is_err());
    assert!(scores(r#"{"adherence": 1} and so"#, &names, true).is_ok());
}

#[test]
fn the_longer_of_two_names_is_meant() {
    let names = criteria(&["tone", "tone of voice"]);
    let found = scores("tone of voice: 4\ntone: 9", &names, false).unwrap();
    assert_eq!((found["tone"], found["tone of voice"]), (9.0, 4.0));
}

#[test]
fn hostile_texts_are_searched_in_no_time() {
    let start = std::time::Instant::now();
    for text in [
        "{".repeat(LONGEST),
        "{\"".repeat(LONGEST / 2),
        "{\"a\":".repeat(LONGEST / 5),
        "[[".repeat(LONGEST / 2),
        "[[1".repeat(LONGEST / 3),
        "adherence ".repeat(LONGEST / 10),
        "adherence: ".repeat(LONGEST / 11),
    ] {
        assert!(both(&text).is_err());
        assert!(choice(&text, false).is_err());
    }
    // The digits of "[[111..." are passed over for one "[[" only.
    assert!(choice(&format!("[[{}", "1".repeat(LONGEST - 2)), false).is_err());
    assert!(start.elapsed().as_secs() < 2);
}

proptest::proptest! {
    /// No text makes it panic, and whatever is read is within the scale.
    #[test]
    fn any_text_is_survived(text in r#"([\[\]{}:,"/ 0-9１点]|adherence|good-tone|out of|\PC){0,40}"#) {
        let _ = choice(&text, false);
        if let Ok((a, b)) = both(&text) {
            proptest::prop_assert!((1.0..=10.0).contains(&a) && (1.0..=10.0).contains(&b));
        }
    }
}
