use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;

fn fixtures() -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/rows");
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "parquet") {
            let bytes = fs::read(&path).unwrap();
            found.push((path, bytes));
        }
    }
    found.sort();
    found
}

/// All rows of a file, or the first error.
fn read(bytes: &[u8]) -> Result<usize> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    fs::write(&path, bytes).unwrap();
    let mut count = 0;
    for row in Rows::open(&path, Wanted::All)? {
        row?;
        count += 1;
    }
    Ok(count)
}

/// A footer of `bytes`, with nothing before it.
fn footer(bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u32).to_le_bytes();
    [&b"PAR1"[..], bytes, &length, b"PAR1"].concat()
}

#[test]
fn a_file_that_ends_early_is_named() {
    let (_, whole) = fixtures().remove(0);
    for cut in [0, 3, 4, 11, 12, 100, whole.len() - 1] {
        let error = read(&whole[..cut]).unwrap_err().to_string();
        assert!(error.contains("not a whole Parquet file"), "{cut}: {error}");
    }
}

#[test]
fn a_footer_that_says_what_cannot_be_is_an_error_and_nothing_is_allocated_for_it() {
    // A list of structs (field 2) that is said to have 2^35 items.
    let many = [0x29, 0xfc, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01];
    // Structs within structs, and lists within lists, without end.
    let deep = [0x3c_u8].repeat(100_000);
    let lists = [0x39]
        .into_iter()
        .chain([0x19].repeat(100_000))
        .collect::<Vec<u8>>();
    // Its root, called "", has 2^31 - 1 columns, and each column one.
    let root = [
        0x29, 0x1c, 0x48, 0x00, 0x15, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0x00, 0x00,
    ];
    let nested: Vec<u8> = [0x29, 0xfc, 0x90, 0x4e]
        .into_iter()
        .chain([0x35, 0x00, 0x18, 0x00, 0x15, 0x02, 0x00].repeat(10_000))
        .chain([0])
        .collect();
    let cases: [(&[u8], &str); 5] = [
        (&many, "it ends early"),
        (&deep, "nested more than"),
        (&lists, "nested more than"),
        (&root, "counts more columns than it has"),
        (&nested, "nested more than"),
    ];
    for (bytes, expected) in cases {
        let error = read(&footer(bytes)).unwrap_err().to_string();
        assert!(error.contains("the Parquet footer: "), "{error}");
        assert!(error.contains(expected), "{expected}\nnot in\n{error}");
    }
    let mut long = footer(&[0]);
    let at = long.len() - 8;
    long[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    let error = read(&long).unwrap_err().to_string();
    assert!(
        error.contains("says that it has 4294967295 bytes"),
        "{error}"
    );
}

#[test]
fn damage_in_a_page_is_named_by_row_and_column() {
    let all = fixtures();
    let (_, bytes) = all
        .iter()
        .find(|(path, _)| path.ends_with("statistics.parquet"))
        .unwrap();
    let mut bytes = bytes.clone();
    bytes[40..400].fill(0xff);
    let error = read(&bytes).unwrap_err().to_string();
    assert!(
        error.contains("a.parquet: row 1: column `prompt`: "),
        "{error}"
    );
    assert!(
        error.ends_with("; fetch or write the file again"),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever bytes are changed, there are rows or an error, soon.
    #[test]
    fn damaged_files_are_rows_or_an_error(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 1..9_usize), 1..6),
        at_end in any::<bool>(),
    ) {
        let all = fixtures();
        let (_, bytes) = which.get(&all);
        let mut bytes = bytes.clone();
        let half = bytes.len() / 2;
        for (place, byte, count) in changes {
            let at = match at_end {
                true => half + place.index(half),
                false => place.index(bytes.len()),
            };
            let end = bytes.len().min(at + count);
            bytes[at..end].fill(byte);
        }
        if let Ok(rows) = read(&bytes) {
            prop_assert!(rows < 1_000_000);
        }
    }

    /// Numbers by their differences are those that were written, whatever the widths.
    #[test]
    fn levels_in_runs_and_packed_are_read_alike(levels in prop::collection::vec(0..6_u32, 1..200)) {
        let mut equal = Vec::new();
        for level in &levels {
            equal.extend([2, *level as u8]);
        }
        let groups = levels.len().div_ceil(8);
        let mut packed = vec![(groups as u8) << 1 | 1];
        let mut bits = vec![false; groups * 24];
        for (at, level) in levels.iter().enumerate() {
            for bit in 0..3 {
                bits[at * 3 + bit] = level >> bit & 1 == 1;
            }
        }
        for byte in bits.chunks(8) {
            packed.push(byte.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit)));
        }
        for bytes in [equal, packed] {
            let mut runs = bits::Runs::new(3, 0, bytes.len()).unwrap();
            for level in &levels {
                prop_assert_eq!(runs.next(&bytes).unwrap(), *level);
            }
        }
    }
}
