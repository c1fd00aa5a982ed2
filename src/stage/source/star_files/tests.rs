use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::json;

use super::*;
use crate::data::Role;
use crate::data::star::adherence::Situation;
use crate::stage::artifact::examples::read_examples;
use crate::stage::artifact::measures::Measures;
use crate::stage::settings::keys::{Node, Reading, Scope};
use crate::store::{Stop, Store};
use fixture::{dialogue, lookup, order, pack, pick, user, write};

// The reader's own, which is no part of its crate outside its tests.
#[path = "../../../../crates/text/src/star/fixture.rs"]
#[expect(dead_code, reason = "the reader's tests use more of it")]
mod fixture;

fn lore(id: usize) -> serde_json::Value {
    let [query, found] = lookup("tea_lore", "", json!({"Fact": "Tea came by sea."}));
    let tell = pick(
        "lore_inform_fact",
        "Tea came by sea.",
        &["lore_inform_fact", "hello"],
    );
    dialogue(id, &["tea_lore"], vec![user("tell me"), query, found, tell])
}

fn stage(settings: &str) -> Result<Box<dyn Stage>, String> {
    let node = Node::parse(Path::new("r.toml"), settings).unwrap();
    let (scope, mut found) = (Scope::default(), Reading::default());
    let mut keys = Keys::new(&scope, &node, &[], &mut found);
    let stage = read(&mut keys);
    drop(keys);
    match found.problems.first() {
        Some(problem) => Err(problem.to_string()),
        None => Ok(stage),
    }
}

fn run(archive: &Path, dir: &Path, settings: &str) -> Result<Measures, String> {
    let stage = stage(&format!(
        "archive = {:?}\n{settings}",
        archive.display().to_string()
    ))?;
    fs::create_dir_all(dir).unwrap();
    let context = Context {
        dir: dir.to_owned(),
        seed: 0,
        backend: "flex".into(),
        inputs: BTreeMap::new(),
        label: "star".into(),
        stop: Stop::new(),
        store: Store::open(dir).unwrap(),
    };
    stage.run(&context).map_err(|error| format!("{error:#}"))?;
    Ok(Measures::read(dir).unwrap())
}

fn groups(dir: &Path, split: Split) -> BTreeSet<String> {
    let examples = read_examples(dir, split).unwrap();
    examples.map(|example| example.unwrap().group).collect()
}

#[test]
fn every_dialogue_is_in_one_split_and_held_out_tasks_are_in_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, archive) = (dir.path().join("in"), dir.path().join("star.tar.gz"));
    let mut dialogues: Vec<_> = (0..60).map(order).collect();
    dialogues.extend((60..70).map(lore));
    write(&folder, &dialogues);
    pack(&folder, &archive);
    let out = dir.path().join("out");
    let settings = "valid = 0.2\ntest = 0.3\nfeedback = 0.2\nheld_out_tasks = [\"tea_lore\"]";
    let measures = run(&archive, &out, settings).unwrap();
    let parts = SPLITS.map(|split| groups(&out, split));
    let sizes = parts.each_ref().map(BTreeSet::len);
    let all: BTreeSet<&String> = parts.iter().flatten().collect();
    assert_eq!((all.len(), sizes.iter().sum::<usize>()), (70, 70));
    let lore: BTreeSet<String> = (60..70).map(|id| id.to_string()).collect();
    assert_eq!(parts[4], lore);
    // Of 60, 18, 12 and 12 are expected; five standard deviations of 3.5 and 3.1.
    let expected = [1..=35, 1..=28, 1..=28];
    let within = expected
        .iter()
        .zip(sizes)
        .all(|(range, size)| range.contains(&size));
    assert!(within, "{sizes:?}");
    for (name, value) in [
        ("dialogues", 70.0),
        ("picks", 190.0),
        ("off_graph_picks", 0.0),
        // The tea ordered: 4 + 2 + 2 options; the lore: 1.
        ("options", 490.0),
        ("allowed_options", 120.0),
        ("pairs", 370.0),
        ("train_pairs", 6.0 * sizes[3] as f64),
        ("test_tasks_pairs", 10.0),
        ("tasks", 2.0),
        ("misread_picks", 0.0),
        ("on_graph", 1.0),
    ] {
        assert_eq!(measures.numbers[name], value, "{name}");
    }
    assert!(RowsSettings::find(&out).unwrap().is_some());

    // The same from the folder, and with the count instead of the name; other seeds draw otherwise.
    let again = dir.path().join("again");
    run(&folder, &again, settings).unwrap();
    assert_eq!(groups(&again, Split::Test), parts[0]);
    run(&folder, &again, &format!("{settings}\nseed = 2")).unwrap();
    assert_ne!(groups(&again, Split::Test), parts[0]);
    run(&folder, &again, "held_out_count = 0\nrejected = \"first\"").unwrap();
    assert!(groups(&again, Split::TestTasks).is_empty());
}

#[test]
fn fewer_training_dialogues_are_among_more_and_leave_the_held_out_ones_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("in");
    write(&archive, &(0..40).map(order).collect::<Vec<_>>());
    let shares = "valid = 0.2\ntest = 0.2\nheld_out_count = 0";
    let read = |name: &str, more: &str| {
        let out = dir.path().join(name);
        let measures = run(&archive, &out, &format!("{shares}\n{more}"))?;
        let [test, valid, _, train, _] = SPLITS.map(|split| groups(&out, split));
        Ok::<_, String>((measures.numbers["left_out_dialogues"], train, (test, valid)))
    };
    let (left_out, all, held_out) = read("all", "").unwrap();
    assert_eq!(left_out, 0.0);
    let (left_out, ten, same) = read("ten", "train = 10").unwrap();
    assert_eq!((left_out, ten.len()), (all.len() as f64 - 10.0, 10));
    assert_eq!(same, held_out);
    let (_, five, _) = read("five", "train = 5").unwrap();
    assert!(five.len() == 5 && five.is_subset(&ten) && ten.is_subset(&all));
    assert_eq!(
        read("more", &format!("train = {}", all.len() + 1)).unwrap_err(),
        format!(
            "train: expected at most the {} dialogues that are left for training, found {}",
            all.len(),
            all.len() + 1
        )
    );
}

#[test]
fn settings_that_leave_nothing_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("in");
    write(&folder, &[order(1)]);
    let out = dir.path().join("out");
    for (settings, expected) in [
        (
            "held_out_tasks = [\"tea_ordre\"]",
            "did you mean tea_order?",
        ),
        ("held_out_count = 2", "expected less than the 2 tasks"),
        ("held_out_tasks = [\"tea_order\"]", "no pairs for training"),
        (
            "valid = 0.5\ntest = 0.5",
            "expected valid + test + feedback below 1",
        ),
        ("valid = 1.0", "valid"),
    ] {
        let error = run(&folder, &out, settings).unwrap_err();
        assert!(error.contains(expected), "{expected} not in {error}");
    }
    fs::remove_file(folder.join("tasks/tea_lore/responses.json")).unwrap();
    let error = run(&folder, &out, "held_out_count = 0").unwrap_err();
    assert!(
        error.contains("tasks/tea_lore: expected tea_lore.json and responses.json"),
        "{error}"
    );
}

/// The published archive, given by `STAR_ARCHIVE`; the artifact stays in `STAR_OUT` if that is given.
#[test]
#[ignore = "needs STAR's archive"]
fn the_published_archive() {
    let dir = tempfile::tempdir().unwrap();
    let archive = std::env::var("STAR_ARCHIVE").expect("STAR_ARCHIVE names the archive");
    let out = std::env::var("STAR_OUT").map_or(dir.path().to_owned(), Into::into);
    let start = std::time::Instant::now();
    let measures = run(Path::new(&archive), &out, "").unwrap();
    println!("{:.1?}\n{:#?}", start.elapsed(), measures);
    let [picks, custom, lost] =
        ["picks", "custom_picks", "picks_without_task"].map(|name| measures.numbers[name]);
    assert_eq!(picks + custom + lost, 46_640.0);
    assert_eq!((measures.numbers["dialogues"], custom), (6_652.0, 668.0));
    let mut confused: BTreeMap<String, usize> = BTreeMap::new();
    let mut verdicts: BTreeMap<String, usize> = BTreeMap::new();
    let mut last = String::new();
    for split in SPLITS {
        for example in read_examples(&out, split).unwrap() {
            let example = example.unwrap();
            let situation = Situation::read(&example.meta).unwrap();
            let (id, option) = example.id.rsplit_once(':').unwrap();
            for (completion, label) in example.completions.iter().zip([&*situation.chosen, option])
            {
                if completion.role == Role::Chosen && last == id {
                    continue;
                }
                let verdict = situation.judge(&completion.text);
                let found = [
                    ("all", true),
                    ("adherent", verdict.adherent == Some(true)),
                    ("hallucinated", verdict.hallucinated == Some(true)),
                    ("hallucination undecided", verdict.hallucinated.is_none()),
                    ("over-conservative", verdict.over_conservative),
                    ("repetitive", verdict.repetitive),
                ];
                for (name, _) in found.into_iter().filter(|(_, is)| *is) {
                    *verdicts
                        .entry(format!("{:?} {name}", completion.role))
                        .or_default() += 1;
                }
                let read = situation
                    .classify(&completion.text)
                    .map_or("none", |(label, _)| label);
                if completion.role == Role::Chosen && !situation.alike(read, label) {
                    *confused
                        .entry(format!("{} {label} -> {read}", situation.task))
                        .or_default() += 1;
                }
            }
            last = id.to_owned();
        }
    }
    let mut confused: Vec<_> = confused.into_iter().collect();
    confused.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    confused.truncate(40);
    println!("{verdicts:#?}\n{confused:?}");
}
