use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use super::*;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/rows")
}

fn read(path: &Path) -> Result<Vec<Row>> {
    let Opened { format, items } = open(path, Columns::All)?;
    let mut rows = Vec::new();
    for item in items {
        let Item { number, raw, .. } = item?;
        let row = raw.and_then(|raw| format.row(raw));
        let mut row = row.map_err(|error| BadInput(format!("{number}: {error}")))?;
        row.retain(|_, value| !value.is_null());
        rows.push(row);
    }
    Ok(rows)
}

fn written(name: &str, bytes: impl AsRef<[u8]>) -> Result<Vec<Row>> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    read(&path)
}

/// Files of pyarrow, pandas and datasets, by `scripts/make_row_fixtures.py`.
#[test]
fn every_file_gives_the_rows_that_were_written() {
    let packed = fs::read(fixtures().join("expected.json.gz")).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(&packed[..])
        .read_to_string(&mut text)
        .unwrap();
    let expected: BTreeMap<String, Vec<Row>> = serde_json::from_str(&text).unwrap();
    assert!(expected.len() > 20);
    for (name, rows) in expected {
        if !cfg!(feature = "parquet") && (name.ends_with("parquet") || name.ends_with("zst")) {
            continue;
        }
        let found =
            read(&fixtures().join(&name)).unwrap_or_else(|error| panic!("{name}: {error:#}"));
        assert_eq!(found.len(), rows.len(), "{name}");
        for (number, (found, mut row)) in found.into_iter().zip(rows).enumerate() {
            row.retain(|_, value| !value.is_null());
            for (column, value) in &row {
                assert_eq!(
                    found.get(column),
                    Some(value),
                    "{name}: row {number}: {column}"
                );
            }
            assert_eq!(found.len(), row.len(), "{name}: row {number}");
        }
    }
}

#[cfg(feature = "parquet")]
#[test]
fn columns_that_are_not_wanted_are_there_and_not_read() {
    let opened = open(&fixtures().join("types.parquet"), Columns::Named(&["text"])).unwrap();
    assert_eq!(opened.format, Format::Parquet);
    for item in opened.items {
        let row = opened.format.row(item.unwrap().raw.unwrap()).unwrap();
        assert!(row["text"].is_string());
        assert!(row.len() > 20 && row.iter().all(|(name, it)| name == "text" || *it == true));
    }
}

#[test]
fn a_format_is_known_by_what_the_file_holds() {
    let rows = |name, bytes: &[u8]| written(name, bytes).unwrap().len();
    assert_eq!(rows("rows.txt", b"{\"a\": 1}\n\n{\"a\": 2}"), 2);
    assert_eq!(
        rows("rows", b" [{\"a\": \"]},[\\\"\"}, {\"a\": [1, {}]}]\n"),
        2
    );
    assert_eq!(rows("rows.jsonl", b"[]"), 0);
    assert_eq!(rows("rows.txt", b"a;b\n1;2\n3;4\n"), 2);
    assert_eq!(rows("rows.jsonl", b""), 0);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), Default::default());
    packed.write_all(b"[{}]").unwrap();
    assert_eq!(rows("rows.csv", &packed.finish().unwrap()), 1);
}

#[test]
fn what_cannot_be_read_is_named_with_its_place_and_remedy() {
    let gz = {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), Default::default());
        packed
            .write_all("{\"text\": \"t\"}\n".repeat(9999).as_bytes())
            .unwrap();
        packed.finish().unwrap()
    };
    let long = format!("[{{\"a\": \"{}", "x".repeat(bounds::LARGEST_ROW + 1));
    let cases: &[(&str, &[u8], &str)] = &[
        ("a.parquet", b"{}", "a.parquet: "),
        (
            "a.arrow",
            b"ARROW1\0\0",
            "a.arrow: an Arrow file, which is not read; write it as Parquet",
        ),
        (
            "a.jsonl.xz",
            b"\xfd7zXZ\0",
            "a.jsonl.xz: compressed in a way that is not read",
        ),
        ("a.jsonl.gz", &gz[..gz.len() / 2], "a.jsonl.gz"),
        (
            "a.json",
            b"[{}",
            "a.json: item 1: the list ends early, within an item",
        ),
        ("a.json", b"[{}, ", "a.json: item 2: the list ends early"),
        ("a.json", b"[{} {}]", "1: expected a JSON object"),
        (
            "a.json",
            b"[{},]",
            "a.json: item 2: expected an item after the comma",
        ),
        ("a.json", b"[{}] {}", "a.json: item 2: text after the end"),
        (
            "a.json",
            b"[3]",
            "1: expected a JSON object, found a number",
        ),
        (
            "a.json",
            long.as_bytes(),
            "a.json: item 1: an item of more than",
        ),
        (
            "a.jsonl",
            &long.as_bytes()[1..],
            "a.jsonl:1: a line of more than",
        ),
        (
            "a.jsonl",
            b"{\"a\": 1, \"a\": 2}",
            "1: expected one JSON object a line: the key \"a\" is given twice",
        ),
        ("a.csv", b"a,b\n1,2,3\n", "2: expected 2 cells, found 3"),
        ("a.csv", b"a,a\n1,2\n", "1: two columns are named \"a\""),
        ("a.csv", b"a,b\n1,\"2\n", "2: a quoted cell is never closed"),
    ];
    for (name, bytes, expected) in cases {
        let error = written(name, bytes).unwrap_err().to_string();
        assert!(
            error.contains(expected),
            "{name}: {expected}\nnot in\n{error}"
        );
    }
}

#[test]
fn what_becomes_out_of_all_proportion_is_stopped() {
    bounds::in_proportion(1, 1 << 29).unwrap();
    bounds::in_proportion(2 << 20, 1 << 30).unwrap();
    let error = bounds::in_proportion(1 << 20, 1 << 31).unwrap_err();
    assert!(error.contains("more than 1000 times as many"), "{error}");
}
