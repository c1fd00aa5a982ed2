//! `rapport data` as its user calls it.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::cli::{root, run};

fn data(work: &Path, file: &str, more: &[&str]) -> (i32, String, String) {
    run(work, &[&["data", file], more].concat())
}

/// A folder with a tokenizer and a chat template.
fn tokenizer(work: &Path) {
    let folder = work.join("model");
    fs::create_dir(&folder).unwrap();
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        let from = root().join("tests/fixtures/trl_dpo/model").join(name);
        fs::copy(from, folder.join(name)).unwrap();
    }
    let source = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}\
                  {% if add_generation_prompt %}<assistant>{% endif %}";
    fs::write(folder.join("chat_template.jinja"), source).unwrap();
}

const ROWS: &str = r#"{"prompt": [{"role": "user", "content": "hi"}], "chosen": [{"role": "assistant", "content": "ho"}], "rejected": [{"role": "assistant", "content": "no way, not at all"}], "score": 3}
{"prompt": [{"role": "user", "content": "hi"}], "chosen": [{"role": "assistant", "content": "ho"}], "rejected": [{"role": "assistant", "content": "no way, not at all"}], "score": 3}
{"prompt": [{"role": "user", "content": "hi"}], "chosen": [{"role": "assistant", "content": "so"}], "rejected": [{"role": "assistant", "content": "no"}], "score": null}
"#;

#[test]
fn columns_lengths_and_rows_are_shown() {
    let work = tempfile::tempdir().unwrap();
    tokenizer(work.path());
    fs::write(work.path().join("rows.jsonl"), ROWS).unwrap();
    let (code, shown, said) = data(work.path(), "rows.jsonl", &[]);
    assert_eq!(code, 0, "{said}");
    for expected in [
        "rows.jsonl: JSON Lines, 3 rows, 1 of them equal to an earlier one\nread by stages of kind preferences\n",
        "\nprompt                          0  messages\n",
        "\nscore                           1  number; not read\n",
        "give --model DIR",
    ] {
        assert!(shown.contains(expected), "{expected}\nnot in\n{shown}");
    }
    let more = ["--model", "model", "--max-length", "20"];
    let (code, shown, said) = data(work.path(), "rows.jsonl", &more);
    assert_eq!(code, 0, "{said}");
    for expected in [
        "tokens, 3 examples            min      50%",
        "max_length 20 cut ",
        "2 with column `score`, which nothing reads",
        "\nrow 1, scored tokens in brackets:\n    \"assistant>\" [h] [o] [\\n]\n",
    ] {
        assert!(shown.contains(expected), "{expected}\nnot in\n{shown}");
    }
    let (_, whole, _) = data(work.path(), "rows.jsonl", &more[..2]);
    let row = "\nrow 3, scored tokens in brackets:\n    \"<user>hi\\n<assistant>\" [s] [o] [\\n]\n";
    assert!(whole.contains(row), "{row}\nnot in\n{whole}");
    let (_, json, _) = data(
        work.path(),
        "rows.jsonl",
        &[&more[..], &["--json"]].concat(),
    );
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["rows"], &json["duplicates"]), (&3.into(), &1.into()));
    assert_eq!(json["columns"]["score"]["nulls"], 1);
    let longest = |name: &str| json["tokens"][name]["max"].as_u64().unwrap();
    assert_eq!(longest("whole"), longest("prompt") + longest("completion"));
    assert!(longest("whole") > 20 && json["cut"]["cut_completions"] != Value::Null);
    assert_eq!(json["shown"].as_array().unwrap().len(), 3);
}

#[test]
fn what_cannot_be_read_is_bad_input() {
    let work = tempfile::tempdir().unwrap();
    fs::write(work.path().join("a.parquet"), "PAR1").unwrap();
    for (file, expected) in [
        ("none.jsonl", "none.jsonl: no such file"),
        ("a.parquet", "a.parquet: "),
        (".", "a.parquet: "),
    ] {
        let (code, shown, said) = data(work.path(), file, &[]);
        assert_eq!((code, shown.as_str()), (2, ""), "{said}");
        assert!(said.contains(expected), "{said}");
    }
    let (code, _, said) = data(work.path(), "a.parquet", &["--max-length", "5"]);
    assert!(code == 2 && said.contains("--tokenizer"), "{said}");
}

/// The same rows in every option of pyarrow's make the same examples.
#[cfg(feature = "parquet")]
#[test]
fn a_parquet_file_is_read_whatever_it_was_written_with() {
    let work = tempfile::tempdir().unwrap();
    let mut seen = Vec::new();
    for name in [
        "none",
        "zstd",
        "pages",
        "pages-of-1",
        "old",
        "names",
        "datasets",
    ] {
        let path = root().join(format!("tests/fixtures/rows/{name}.parquet"));
        let (code, shown, said) = data(work.path(), path.to_str().unwrap(), &["--json"]);
        assert_eq!(code, 0, "{name}: {said}");
        let json: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(
            (&json["format"], &json["rows"]),
            (&"Parquet".into(), &5.into()),
            "{name}"
        );
        seen.push(["prompt", "chosen", "tools"].map(|column| json["columns"][column].to_string()));
    }
    seen.dedup();
    assert_eq!(seen.len(), 1, "{seen:?}");
}
