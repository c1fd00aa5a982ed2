//! Recipes of any content end in a plan or in problems, within a moment.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::Value as Json;
use tempfile::TempDir;

use super::*;
use crate::stage::KINDS;
use crate::stage::kind::Kind;
use crate::stage::settings::keys::{KeyDoc, Keys, Node, Reading, Scope, brief};

const MOMENT: Duration = Duration::from_secs(5);

fn experiments() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments")
}

fn request<'a>(folder: &'a Path, name: &'a str, sets: &'a [String]) -> Request<'a> {
    Request {
        shelf: Shelf::new(Some(folder)),
        name,
        profile: None,
        sets,
        given: Given::default(),
        backend: "flex",
        kinds: KINDS,
        pinned: false,
    }
}

/// Plans `r` among recipes of the given texts, in a moment.
fn told(files: &[(&str, &str)], sets: &[&str]) -> String {
    let folder = TempDir::new().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(format!("{name}.toml")), text).unwrap();
    }
    let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
    let start = Instant::now();
    let told = match plan(&request(folder.path(), "r", &sets)) {
        Ok(_) => String::new(),
        Err(problems) => problems.to_string(),
    };
    assert!(start.elapsed() < MOMENT, "{:?}", start.elapsed());
    let folder = format!("{}/", folder.path().display());
    told.replace(&folder, "")
}

/// A recipe of one stage, in whose table `keys` stand.
fn of_one(keys: &str) -> String {
    format!("title = \"T\"\nseeds = [1]\noutputs = [\"a\"]\n[stage.a]\n{keys}")
}

#[test]
fn a_kind_that_is_empty_missing_or_no_text_is_unknown() {
    for (kind, expected) in [
        (
            "kind = \"\"",
            "r.toml:5: stage.a.kind: unknown kind; known kinds: ",
        ),
        (
            "kind = \" \"",
            "r.toml:5: stage.a.kind: unknown kind; known kinds: ",
        ),
        (
            "kind = \"sftt\"",
            "r.toml:5: stage.a.kind: unknown kind sftt, did you mean sft? ",
        ),
        (
            "kind = 3",
            "r.toml:5: stage.a.kind: expected a string, found 3; known kinds: ",
        ),
        (
            "x = 3",
            "r.toml:4: stage.a.kind: required: expected a kind of stage; known kinds: ",
        ),
        (
            "",
            "r.toml:4: stage.a.kind: required: expected a kind of stage; known kinds: ",
        ),
    ] {
        let told = told(&[("r", &of_one(kind))], &[]);
        assert!(
            told.starts_with(expected) && told.contains("persona-world"),
            "{kind}: {told}"
        );
        assert_eq!(told.lines().count(), 1, "{told}");
    }
}

#[test]
fn a_stage_of_another_kind_begins_anew() {
    let base = "title = \"T\"\nseeds = [1]\noutputs = [\"tok\"]\n[stage.tok]\nkind = \"tokenizer\"\ndata = \"@d\"\n\
                split = \"pretrain\"\nvocab_size = 300\n[stage.d]\nkind = \"persona-world\"\nungrounded = 0.1\n\
                [profile.sandbox.stage.d]\nreuse = 0.2\n[profile.real.stage.d]\nkind = \"impression-world\"\ndull = 0.3\n";
    let settings = |text: &str, profile: &str, sets: &[&str]| {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("base.toml"), base).unwrap();
        fs::write(folder.path().join("r.toml"), text).unwrap();
        let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
        let request = Request {
            profile: Some(profile),
            ..request(folder.path(), "r", &sets)
        };
        let plan = plan(&request)
            .map_err(|problems| problems.to_string())
            .unwrap();
        let stage = plan.stages.iter().find(|stage| stage.name == "d").unwrap();
        (stage.kind, stage.settings.clone())
    };
    let child = "extends = \"base\"\n";
    let (kind, same) = settings(child, "sandbox", &[]);
    assert_eq!(
        (kind, &same["ungrounded"], &same["reuse"]),
        ("persona-world", &0.1.into(), &0.2.into())
    );
    // A profile, over the recipe's own stage.
    let (kind, real) = settings(child, "real", &[]);
    assert_eq!((kind, &real["dull"]), ("impression-world", &0.3.into()));
    // A recipe over the one that it extends, whose profile adds keys of the old kind.
    let guardrail = "extends = \"base\"\n[stage.d]\nkind = \"guardrail-world\"\nblunt = 0.4\n";
    let (kind, other) = settings(guardrail, "sandbox", &[]);
    assert_eq!((kind, &other["blunt"]), ("guardrail-world", &0.4.into()));
    // An argument, wherever it stands among the others.
    let sets = ["d.blunt=0.5", "d.kind=guardrail-world"];
    let (kind, set) = settings(child, "sandbox", &sets);
    assert_eq!((kind, &set["blunt"]), ("guardrail-world", &0.5.into()));
    // The same kind again changes nothing.
    let (_, again) = settings(child, "sandbox", &["d.kind=persona-world"]);
    assert_eq!(again, same);
    // Nor does a kind that was had from another stage.
    let like = "extends = \"base\"\noutputs = [\"tok\", \"e\"]\n[stage.e]\nlike = \"d\"\n\
                [profile.sandbox.stage.e]\nkind = \"persona-world\"\npopularity = 1.5\n";
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("base.toml"), base).unwrap();
    fs::write(folder.path().join("r.toml"), like).unwrap();
    let plan = plan(&request(folder.path(), "r", &[]))
        .map_err(|told| told.to_string())
        .unwrap();
    let stage = plan.stages.iter().find(|stage| stage.name == "e").unwrap();
    assert_eq!(stage.settings["ungrounded"], Json::from(0.1));
}

/// Whether a problem is of that key, or of an item of its list.
fn of(problem: &str, key: &str) -> bool {
    let own = problem.split(": ").nth(1);
    own.is_some_and(|own| own.split('[').next() == Some(key))
}

/// The keys that a kind reads beside those of `text`, and the problems.
fn read(kind: &Kind, text: &str) -> (Vec<KeyDoc>, Vec<String>) {
    let node = Node::parse(Path::new("r.toml"), text).unwrap();
    let (scope, mut found) = (Scope::default(), Reading::default());
    let mut keys = Keys::new(&scope, &node, &[], &mut found);
    (kind.read)(&mut keys);
    drop(keys);
    let problems = found.problems.iter().map(ToString::to_string).collect();
    (found.docs, problems)
}

#[test]
fn every_numeric_key_has_bounds_and_is_read_at_them_and_beyond() {
    const CHOICES: [&str; 8] = [
        "",
        "judge = \"endpoint\"\n",
        "algorithm = \"ppo\"\nadap_kl_ctrl = true\n",
        "algorithm = \"rloo\"\n",
        "algorithm = \"grpo\"\n",
        "loss_type = \"simpo\"\n",
        "loss_type = [\"discopop\", \"cpo\"]\n",
        "split = \"groups\"\n",
    ];
    let mut tried = 0;
    for kind in KINDS {
        for choice in CHOICES {
            for doc in read(kind, choice).0 {
                let Some([low, high]) = &doc.ends else {
                    continue;
                };
                let seed = doc.key.ends_with("seed");
                let most = high.as_f64().unwrap();
                assert!(
                    seed || most <= 1e12,
                    "{}.{}: up to {most}",
                    kind.name,
                    doc.key
                );
                let beyond = [
                    "9223372036854775807",
                    "-9223372036854775808",
                    "1e308",
                    "-1e308",
                    "nan",
                    "inf",
                ];
                let values = [low.to_string(), high.to_string()];
                for value in beyond.map(str::to_owned).iter().chain(&values) {
                    let list = read(kind, &format!("{choice}{} = {value}\n", doc.key)).1;
                    let list = list
                        .iter()
                        .any(|it| it.contains(&format!(" {}: expected a list", doc.key)));
                    let text = match list {
                        true => format!("{choice}{} = [{value}]\n", doc.key),
                        false => format!("{choice}{} = {value}\n", doc.key),
                    };
                    let problems = read(kind, &text).1;
                    tried += 1;
                    let refused = problems.iter().any(|it| of(it, &doc.key));
                    let within = values.contains(value) || seed && value == beyond[0];
                    assert!(refused || within, "{}: {text} {problems:?}", kind.name);
                }
            }
        }
    }
    assert!(tried > 1000, "{tried}");
}

#[test]
fn the_resolved_recipe_of_every_experiment_plans_to_the_same_stages() {
    let again_in = TempDir::new().unwrap();
    for listed in list(&Shelf::new(Some(&experiments()))).unwrap() {
        for profile in listed.profiles {
            let asked = [vec![], vec!["seeds=[7]".to_owned()]];
            for sets in &asked {
                let folder = experiments();
                let request = Request {
                    profile: Some(&profile),
                    ..request(&folder, &listed.name, sets)
                };
                // Some want data that is not here.
                let Ok(planned) = plan(&request) else {
                    continue;
                };
                let path = again_in.path().join("again.toml");
                fs::write(&path, &planned.resolved_toml).unwrap();
                let name = path.display().to_string();
                let again = plan(&Request {
                    name: &name,
                    profile: None,
                    sets: &[],
                    ..request
                });
                let again = again
                    .map_err(|told| format!("{}: {told}", listed.name))
                    .unwrap();
                let stages = |plan: &Plan| -> Vec<_> {
                    let stages = plan.stages.iter();
                    let stages = stages
                        .map(|it| (it.name.clone(), it.kind, it.per_seed, it.settings.clone()));
                    let mut stages: Vec<_> = stages.collect();
                    stages.sort_by(|a, b| a.0.cmp(&b.0));
                    stages
                };
                assert_eq!(stages(&planned), stages(&again), "{}", listed.name);
                assert_eq!(
                    (planned.claims, planned.tables),
                    (again.claims, again.tables)
                );
                assert_eq!(
                    (planned.seeds, planned.outputs),
                    (again.seeds, again.outputs)
                );
            }
        }
    }
}

#[test]
fn many_unknown_keys_and_long_names_are_told_in_a_moment() {
    let keys: String = (0..60_000).map(|key| format!("key{key} = 1\n")).collect();
    let told_keys = told(
        &[("r", &of_one(&format!("kind = \"persona-world\"\n{keys}")))],
        &[],
    );
    assert_eq!(told_keys.lines().count(), 21);
    assert!(told_keys.ends_with("... and 59980 more that begin with \"unknown key\""));
    let (a, b) = ("a".repeat(30_000), "b".repeat(30_000));
    let text =
        format!("title = \"T\"\nseeds = [1]\noutputs = [\"{a}\"]\n[stage.{b}]\nkind = \"{a}\"\n");
    let told_names = told(&[("r", &text)], &[]);
    assert!(
        !told_names.is_empty() && told_names.len() < 2_000,
        "{}",
        told_names.len()
    );
    let set = format!("{a}.{b}={a}");
    let told_set = told(&[("r", &of_one("kind = \"persona-world\"\n"))], &[&set]);
    assert!(told_set.len() < 2_000, "{}", told_set.len());
}

#[test]
fn long_chains_end_in_no_overflow() {
    let chain: String = (0..15_000)
        .map(|at| format!("[stage.s{at}]\nkind = \"sft\"\nmodel = \"@s{}\"\n", at + 1))
        .collect();
    let text = format!(
        "title = \"T\"\nseeds = [1]\noutputs = [\"s0\"]\n{chain}[stage.s15000]\nkind = \"sft\"\nmodel = \"@s0\"\n"
    );
    let told_refs = told(&[("r", &text)], &[]);
    assert!(
        told_refs.contains("a cycle: s0 refers to s1 refers to "),
        "{told_refs}"
    );
    let chain: String = (0..20_000)
        .map(|at| format!("[stage.s{at}]\nlike = \"s{}\"\n", at + 1))
        .collect();
    let text = format!(
        "title = \"T\"\nseeds = [1]\noutputs = [\"s0\"]\n{chain}[stage.s20000]\nlike = \"s0\"\n"
    );
    let told_likes = told(&[("r", &text)], &[]);
    assert!(
        told_likes.contains("expected at most 100 stages"),
        "{told_likes}"
    );
    let names: Vec<String> = (0..2_000).map(|at| format!("r{at}")).collect();
    let texts: Vec<String> = (0..2_000)
        .map(|at| format!("extends = \"r{}\"\n", (at + 1) % 2_000))
        .collect();
    let mut files: Vec<(&str, &str)> = vec![("r", "extends = \"r0\"\n")];
    files.extend(
        names
            .iter()
            .map(String::as_str)
            .zip(texts.iter().map(String::as_str)),
    );
    let told_extends = told(&files, &[]);
    assert!(
        told_extends.starts_with("r1999.toml:1: extends: a cycle: r extends r0 extends "),
        "{told_extends}"
    );
    assert!(told_extends.len() < 500);
}

#[test]
fn what_is_too_much_is_refused() {
    let seeds: Vec<String> = (0..9_000).map(|seed| seed.to_string()).collect();
    let stages = "[stage.a]\nkind = \"persona-world\"\n";
    let with_seeds = format!(
        "title = \"T\"\noutputs = [\"a\"]\nseeds = [{}]\n{stages}",
        seeds.join(", ")
    );
    for (text, expected) in [
        (with_seeds.clone(), "seeds: expected at most 1000 seeds, found 9000"),
        (
            with_seeds.replace("[0, ", &format!("[{}", "0, ".repeat(9_000))),
            "seeds: expected a list of at most 10000, found 17999",
        ),
        ("#".repeat(2 << 20), "r.toml:1: expected a recipe of at most 1048576 bytes"),
        (format!("a = {}", "[".repeat(100_000)), "not valid TOML"),
        (format!("{}b = 1", "a.".repeat(100_000)), "not valid TOML"),
        (format!("[{}b]", "a.".repeat(100_000)), "not valid TOML"),
        (
            (0..60).map(|at| format!("[profile.p{at}]\n")).collect(),
            "profile: expected at most 50 profiles, found 60",
        ),
        ("[profile.\"../../x\"]\n".into(), "letters, digits"),
        ("title = \"T\"\nseeds = [1]\noutputs = [\"\"]\n[stage.\"\"]\nkind = \"persona-world\"\n".into(), "a stage's name of letters"),
        ("title = \"T\"\nseeds = [1]\noutputs = [\"\\u001b\"]\n[stage.\"\\u001b\"]\nkind = \"persona-world\"\n".into(), "a stage's name of letters"),
        (
            format!("title = \"T\"\nseeds = [1]\noutputs = [\"a\"]\n[stage.a]\nx = [{}]\n{}",
                "1,".repeat(100_000),
                (0..5_000).map(|at| format!("[stage.b{at}]\nlike = \"a\"\n")).collect::<String>()),
            "come to more than 1000000 values",
        ),
    ] {
        let told = told(&[("r", &text)], &[]);
        assert!(told.contains(expected), "{expected}: {}", brief(&told));
    }
    for name in ["...toml", "..toml", ".artifacts.toml"] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, of_one("kind = \"persona-world\"\n")).unwrap();
        let told = plan(&request(folder.path(), &path.display().to_string(), &[]))
            .err()
            .unwrap();
        assert!(told.to_string().contains("begins with no dot"), "{told}");
    }
}

#[test]
fn a_path_that_leads_to_no_file_is_refused() {
    let rows = "kind = \"preferences\"\n";
    let judge = "kind = \"judge\"\njudge = \"endpoint\"\nbase_url = \"http://localhost/v1\"\nmodel_name = \"m\"\n";
    for (kind, set, expected) in [
        (
            rows,
            "a.train=/dev/zero",
            "expected a file or folder, found a pipe or device at /dev/zero",
        ),
        (
            judge,
            "a.score_prompt=/dev/zero",
            "expected a file, found a pipe or device at /dev/zero",
        ),
        (
            judge,
            "a.score_prompt=/dev",
            "expected a file, found a folder at /dev",
        ),
    ] {
        let told = told(&[("r", &of_one(kind))], &[set]);
        assert!(told.contains(expected), "{told}");
    }
    let told = told(
        &[("r", &of_one("kind = \"pretrained\"\npath = \"/dev\"\n"))],
        &[],
    );
    assert!(
        told.contains("expected a model folder, found no config.json in /dev"),
        "{told}"
    );
}

#[test]
fn a_secret_in_the_place_of_a_variable_is_not_told() {
    let judge = "kind = \"judge\"\njudge = \"endpoint\"\nbase_url = \"http://localhost/v1\"\nmodel_name = \"m\"\n";
    let secret = "sk-5ECRETabcdef";
    for written in [
        secret.to_owned(),
        secret.replace('-', ""),
        format!("[\"{secret}\"]"),
        format!("{{x = \"{secret}\"}}"),
    ] {
        let set = format!("a.api_key_env={written}");
        let quoted = match written.starts_with(['[', '{']) {
            true => written.clone(),
            false => format!("\"{written}\""),
        };
        let text = of_one(&format!("{judge}api_key_env = {quoted}\n"));
        for told in [
            told(&[("r", &of_one(judge))], &[&set]),
            told(&[("r", &text)], &[]),
        ] {
            assert!(told.contains("stage.a.api_key_env: "), "{told}");
            assert!(!told.contains("5ECRET"), "{told}");
        }
    }
    let address = "a.base_url=https://me:5ECRET@example.org/v1";
    let told_address = told(&[("r", &of_one(judge))], &[address]);
    assert!(
        told_address.contains("expected no user or password"),
        "{told_address}"
    );
    assert!(!told_address.contains("5ECRET"), "{told_address}");
}

#[test]
fn validate_sees_a_variable_that_is_not_set_and_a_template_that_is_none() {
    let folder = TempDir::new().unwrap();
    let prompt = folder.path().join("p.jinja");
    fs::write(&prompt, "{% if").unwrap();
    let judge = format!(
        "kind = \"judge\"\njudge = \"endpoint\"\nbase_url = \"http://localhost/v1\"\nmodel_name = \"m\"\n\
         api_key_env = \"RAPPORT_NO_SUCH_KEY\"\nscore_prompt = {:?}\n",
        prompt.display().to_string()
    );
    fs::write(folder.path().join("r.toml"), of_one(&judge)).unwrap();
    let told = validate(&request(folder.path(), "r", &[]))
        .unwrap_err()
        .to_string();
    assert!(
        told.contains("api_key_env: the environment variable of this name is not set"),
        "{told}"
    );
    assert!(told.contains("score_prompt: the score prompt "), "{told}");
}

/// A recipe with some of its lines dropped, doubled or exchanged, values replaced by extremes, and bytes flipped.
fn changed(text: &str, changes: &[(u8, u16, u16)]) -> Vec<u8> {
    const VALUES: [&str; 14] = [
        "\"\"",
        "0",
        "-1",
        "9223372036854775807",
        "1e308",
        "nan",
        "[]",
        "[[]]",
        "{}",
        "true",
        "\"@x\"",
        "\"\\u001b\\u0000\"",
        "[1, \"a\", {b = 1}]",
        "1979-05-27",
    ];
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut flips = Vec::new();
    for &(what, at, by) in changes {
        let (at, by) = (at as usize % lines.len(), by as usize);
        match what % 5 {
            0 if lines.len() > 1 => drop(lines.remove(at)),
            1 => lines.insert(by % lines.len(), lines[at].clone()),
            2 => {
                let other = by % lines.len();
                lines.swap(at, other);
            }
            3 => {
                if let Some((key, _)) = lines[at].clone().split_once('=') {
                    lines[at] = format!("{key}= {}", VALUES[by % VALUES.len()]);
                }
            }
            _ => flips.push((at, by)),
        }
    }
    let mut bytes = lines.join("\n").into_bytes();
    for (at, by) in flips {
        let at = (at * 37) % bytes.len().max(1);
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1 << (by % 8);
        }
    }
    bytes
}

proptest! {
    #[test]
    fn a_damaged_recipe_is_a_plan_or_problems(
        which in 0..1000usize,
        changes in prop::collection::vec((any::<u8>(), any::<u16>(), any::<u16>()), 1..8),
    ) {
        let listed = list(&Shelf::new(Some(&experiments()))).unwrap();
        let name = &listed[which % listed.len()].name;
        let text = fs::read_to_string(experiments().join(format!("{name}.toml"))).unwrap();
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("r.toml");
        fs::write(&path, changed(&text, &changes)).unwrap();
        let path = path.display().to_string();
        let start = Instant::now();
        let folder = experiments();
        for profile in [None, Some("paper")] {
            let request = Request { profile, ..request(&folder, &path, &[]) };
            match plan(&request) {
                Ok(plan) => prop_assert!(!plan.stages.is_empty()),
                Err(problems) => prop_assert!(!problems.to_string().is_empty()),
            }
        }
        prop_assert!(start.elapsed() < MOMENT);
    }
}
