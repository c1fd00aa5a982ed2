use std::path::Path;

use super::*;

fn read<T>(text: &str, scope: &Scope, read: impl FnOnce(&mut Keys<'_>) -> T) -> (T, Reading) {
    let node = Node::parse(Path::new("r.toml"), text).unwrap();
    let stage = node.as_table().unwrap().get("s").unwrap();
    let mut found = Reading::default();
    let mut keys = Keys::new(scope, stage, &["stage", "s"], &mut found);
    let value = read(&mut keys);
    drop(keys);
    (value, found)
}

fn problems(found: &Reading) -> Vec<String> {
    found.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn each_type_reads_and_defaults_are_recorded() {
    let text = "[s]\nlr = 1\nsteps = 5\non = true\nloss = \"ipo\"\nks = [1, 2]\nbetas = [0, 0.9]\n[s.init]\nstd = 0.1\n";
    let (values, found) = read(text, &Scope::default(), |keys| {
        let lr = keys.float("lr", None, POSITIVE);
        let decay = keys.float("decay", 0.5, 0.0..=1.0);
        let steps = keys.usize("steps", None, 1..=COUNT);
        let on = keys.bool("on", false);
        let loss = keys.one_of("loss", "sigmoid", &[("sigmoid", 0), ("ipo", 1)]);
        let ks = keys.ints("ks", None, 0..=9);
        let betas = keys.floats("betas", None, 0.0..1.0);
        let std = keys.table("init").float("std", 0.02, POSITIVE);
        let top = keys.optional_usize("top_k", 1..=SIZE);
        let name = keys.string("name", "x");
        ((lr, decay, steps, on, loss), (ks, betas, std, top, name))
    });
    assert_eq!(values.0, (1.0, 0.5, 5, true, 1));
    assert_eq!(
        values.1,
        (vec![1, 2], vec![0.0, 0.9], 0.1, None, "x".into())
    );
    assert_eq!(problems(&found), [""; 0]);
    let expected = json!({"lr": 1.0, "decay": 0.5, "steps": 5, "on": true, "loss": "ipo",
        "ks": [1, 2], "betas": [0.0, 0.9], "init": {"std": 0.1}, "name": "x"});
    assert_eq!(Json::Object(found.settings), expected);
}

#[test]
fn a_table_of_the_users_own_keys_is_read_whole() {
    let text = "[s]\nmine = { deep = true, list = [1, \"@a\"], more = { half = 0.5 } }\n";
    let (value, found) = read(text, &Scope::default(), |keys| keys.object("mine"));
    let expected = json!({"deep": true, "list": [1, "@a"], "more": {"half": 0.5}});
    assert_eq!(Json::Object(value), expected);
    assert_eq!(found.settings["mine"], expected);
    assert!(found.problems.is_empty() && found.refs.is_empty());
    let (value, found) = read("[s]\n", &Scope::default(), |keys| keys.object("mine"));
    assert!(value.is_empty() && found.settings.is_empty());
    for bad in ["3", "{ day = 2024-07-26 }", "{ list = [nan] }"] {
        let text = format!("[s]\nmine = {bad}\n");
        let (_, found) = read(&text, &Scope::default(), |keys| keys.object("mine"));
        let told = problems(&found).concat();
        assert!(
            told.contains("r.toml:2") && told.contains("expected a table"),
            "{told}"
        );
    }
}

#[test]
fn every_problem_is_reported_with_its_line_and_what_was_expected() {
    let text = "[s]\nlr = \"fast\"\nwarm = 1.5\nsteps = 2.0\nnan = nan\nloss = \"dpo\"\nks = [1,\n  \"b\"]\non = 1\nlearing_rate = 1\n[s.init]\nsdt = 1\n";
    let ((), found) = read(text, &Scope::default(), |keys| {
        keys.float("lr", 1e-3, Within::above(0.0, 1.0));
        keys.float("warm", 0.0, 0.0..1.0);
        keys.usize("steps", 1, 1..=COUNT);
        keys.float("nan", 1.0, -LARGE..=LARGE);
        keys.choice("loss", "sigmoid", &["sigmoid", "ipo"]);
        keys.ints("ks", None, 0..=9);
        keys.bool("on", true);
        keys.float("learning_rate", 1.0, POSITIVE);
        keys.table("init").float("std", 0.02, POSITIVE);
        keys.float("need", None, -1.0..=0.0);
        keys.problem("warm", "excludes steps");
    });
    assert_eq!(
        problems(&found),
        [
            "r.toml:2: stage.s.lr: expected a number in (0.0, 1.0], found \"fast\"",
            "r.toml:3: stage.s.warm: expected a number in [0.0, 1.0), found 1.5",
            "r.toml:4: stage.s.steps: expected a whole number in [1, 100000000], found 2.0",
            "r.toml:5: stage.s.nan: expected a number in [-1000000000.0, 1000000000.0], found NaN",
            "r.toml:6: stage.s.loss: expected one of \"sigmoid\", \"ipo\", found \"dpo\"",
            "r.toml:8: stage.s.ks[1]: expected a whole number in [0, 9], found \"b\"",
            "r.toml:9: stage.s.on: expected true or false, found 1",
            "r.toml:12: stage.s.init.sdt: unknown key, did you mean std? known keys: std",
            "r.toml:1: stage.s.need: required: expected a number in [-1.0, 0.0]",
            "r.toml:3: stage.s.warm: excludes steps",
            "r.toml:10: stage.s.learing_rate: unknown key, did you mean learning_rate? known keys: \
             lr, warm, steps, nan, loss, ks, on, learning_rate, init, need",
        ]
    );
}

#[test]
fn references_are_followed_and_checked() {
    let offer = |kind, produces| Some(Offer { kind, produces });
    let stages = [
        ("base", offer("pretrain", Produces::Model)),
        ("world", offer("persona-world", Produces::Dialogues)),
        ("odd", None),
    ];
    let scope = Scope {
        stages: stages.map(|(name, offer)| (name.to_string(), offer)).into(),
        given: BTreeMap::new(),
        pins: BTreeMap::new(),
    };
    let text = "[s]\nmodel = \"@base\"\nwrong = \"@world\"\nunknown = \"@bsae\"\nplain = \"base\"\nodd = \"@odd\"\nmany = [\"@base\", 3]\n";
    let (refs, found) = read(text, &scope, |keys| {
        for key in ["wrong", "unknown", "plain", "odd"] {
            keys.stage(key, &[Produces::Model]);
        }
        keys.stages("many", &[Produces::Model]);
        (
            keys.stage("model", &[Produces::Model]),
            keys.optional_stage("none", &[Produces::Model]),
        )
    });
    assert_eq!(
        refs,
        (
            StageRef {
                name: "base".into()
            },
            None
        )
    );
    let expected = "expected a reference \"@NAME\" to a stage that makes a model";
    assert_eq!(
        problems(&found),
        [
            format!("r.toml:3: stage.s.wrong: {expected}, found @world, whose kind persona-world makes dialogues"),
            "r.toml:4: stage.s.unknown: unknown stage @bsae, did you mean base? known stages: base, odd, world".into(),
            format!("r.toml:5: stage.s.plain: {expected}, found \"base\""),
            format!("r.toml:7: stage.s.many[1]: {expected}, found 3"),
        ]
    );
    assert!(found.lost_refs);
    let followed: Vec<String> = found
        .refs
        .iter()
        .map(|link| format!("{}={}", link.key.join("."), link.to.name))
        .collect();
    assert_eq!(
        followed,
        ["wrong=world", "odd=odd", "many.0=base", "model=base"]
    );
}

#[test]
fn paths_must_exist_and_data_is_expanded() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.txt"), "a").unwrap();
    let text = "[s]\na = \"${DATA}/a.txt\"\nb = \"${DATA}/b.txt\"\nc = 3\n";
    let read_all = |data: Option<&Path>| {
        let given = data.map(|data| ("DATA", data.display().to_string()));
        let scope = Scope {
            given: given.into_iter().collect(),
            ..Scope::default()
        };
        read(text, &scope, |keys| {
            (
                keys.path("a"),
                keys.path("b"),
                keys.path("c"),
                keys.path("d"),
            )
        })
    };
    let (paths, found) = read_all(Some(folder.path()));
    assert_eq!(paths.0, folder.path().join("a.txt"));
    let told = problems(&found);
    assert!(
        told[0].starts_with(
            "r.toml:3: stage.s.b: expected an existing file or folder, found none at "
        )
    );
    assert!(told[0].contains("b.txt"));
    assert_eq!(
        told[1],
        "r.toml:4: stage.s.c: expected a path of a file or folder, found 3"
    );
    assert_eq!(
        told[2],
        "r.toml:1: stage.s.d: required: expected a path of a file or folder; give it with --set s.d=PATH"
    );
    let missing: Vec<bool> = found
        .problems
        .iter()
        .map(|problem| problem.lacks == Lacks::Path)
        .collect();
    assert_eq!(missing, [true, false, true]);

    let (_, found) = read_all(None);
    assert_eq!(
        problems(&found)[0],
        "r.toml:2: stage.s.a: ${DATA}/a.txt needs the data folder: give --data DIR (make ... DATA=DIR)"
    );
    assert_eq!(found.problems[0].lacks, Lacks::Path);
}

#[test]
fn models_of_the_command_line_are_folders_or_lie_on_a_hub() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[s]\na = \"${MODEL}\"\nb = \"${LARGER}\"\nc = \"${MODELS}\"\n";
    let read_all = |given: &[(&'static str, &str)]| {
        let given = given
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        let scope = Scope {
            given: given.collect(),
            ..Scope::default()
        };
        read(text, &scope, |keys| {
            let paths = ["a", "b", "c"].map(|key| keys.model_path(key));
            (paths, keys.is_on_hub("a"))
        })
    };
    let here = folder.path().to_str().unwrap();
    let ((paths, on_hub), found) = read_all(&[("MODEL", here)]);
    assert_eq!((paths[0].as_path(), on_hub), (folder.path(), false));
    assert_eq!(
        problems(&found),
        [
            "r.toml:3: stage.s.b: ${LARGER} needs a larger pre-trained model: give --larger DIR (make ... LARGER=DIR)",
            "r.toml:4: stage.s.c: unknown variable ${MODELS}, did you mean MODEL? known variables: DATA, MODEL, LARGER",
        ]
    );
    let lacks: Vec<bool> = found
        .problems
        .iter()
        .map(|it| it.lacks == Lacks::Path)
        .collect();
    assert_eq!(
        lacks,
        [true, false],
        "what is misspelt is not a matter of what is given"
    );
    #[cfg(feature = "hub")]
    {
        let ((_, on_hub), found) = read_all(&[("MODEL", "hub:org/name"), ("LARGER", here)]);
        assert!(on_hub);
        assert_eq!(found.on_hub[0].to.name, "hub:org/name");
    }
}

/// One of three shapes, of which two share a key, one has a choice of its own, and one a table.
fn shape(keys: &mut Keys<'_>) -> Vec<f64> {
    fn square(keys: &mut Keys<'_>) -> Vec<f64> {
        let border = keys.variant_if("bordered", false, |keys| {
            keys.float("border", 2.0, POSITIVE)
        });
        let side = keys.float("side", 1.0, POSITIVE);
        [Some(side), border].into_iter().flatten().collect()
    }
    fn solid(keys: &mut Keys<'_>) -> Vec<f64> {
        let side = keys.float("side", 1.0, POSITIVE);
        vec![side, keys.table("depth").float("at_most", None, POSITIVE)]
    }
    let circle = |keys: &mut Keys<'_>| vec![keys.float("radius", 1.0, POSITIVE)];
    keys.variant(
        "shape",
        "circle",
        &[("circle", circle), ("square", square), ("solid", solid)],
    )
}

#[test]
fn what_another_variant_reads_is_refused_with_what_it_goes_with() {
    let (value, found) = read(
        "[s]\nshape = \"square\"\nside = 3\n",
        &Scope::default(),
        shape,
    );
    assert_eq!((value, problems(&found)), (vec![3.0], vec![]));
    // However deep the choice lies, and whatever the key is set to.
    let text = "[s]\nside = []\nborder = 1\ndepth = { at_most = 2 }\nbordered = true\nraduis = 1\n";
    let (value, found) = read(text, &Scope::default(), shape);
    assert_eq!(value, [1.0]);
    let goes = |line: usize, key: &str, with: &str| {
        format!(
            "r.toml:{line}: stage.s.{key}: goes with shape = {with} alone; set that or remove the key"
        )
    };
    assert_eq!(
        problems(&found),
        [
            goes(2, "side", "\"square\" or \"solid\""),
            goes(3, "border", "\"square\""),
            goes(4, "depth", "\"solid\""),
            goes(5, "bordered", "\"square\""),
            "r.toml:6: stage.s.raduis: unknown key, did you mean radius? known keys: shape, radius"
                .into(),
        ]
    );
    let text = "[s]\nshape = \"square\"\nborder = 1\n";
    let (_, found) = read(text, &Scope::default(), shape);
    assert_eq!(
        problems(&found),
        ["r.toml:3: stage.s.border: goes with bordered = true alone; set that or remove the key"]
    );
    // A key that is read elsewhere too is open, before or after.
    let (values, found) = read("[s]\nside = 3\n", &Scope::default(), |keys| {
        (shape(keys), keys.float("side", 1.0, POSITIVE))
    });
    assert_eq!((values, problems(&found)), ((vec![1.0], 3.0), vec![]));
}

#[test]
fn every_variant_is_documented_with_what_it_goes_with() {
    let (_, found) = read("[s]\n", &Scope::default(), shape);
    let documented = found.docs.iter();
    let documented: Vec<_> = documented
        .map(|doc| (&*doc.key, doc.goes_with.as_deref()))
        .collect();
    assert_eq!(
        documented,
        [
            ("shape", None),
            ("radius", None),
            ("bordered", Some("shape = \"square\"")),
            ("border", Some("shape = \"square\", bordered = true")),
            ("side", Some("shape = \"square\" or \"solid\"")),
            ("depth.at_most", Some("shape = \"solid\"")),
        ]
    );
    assert_eq!(
        Json::Object(found.settings),
        json!({"shape": "circle", "radius": 1.0})
    );
}

#[test]
fn a_key_may_choose_by_being_there() {
    let either = |keys: &mut Keys<'_>| {
        keys.variant_by_presence(
            "whole",
            |keys| keys.float("whole", None, POSITIVE),
            |keys| keys.float("half", 1.0, POSITIVE) * 2.0,
        )
    };
    let (value, found) = read("[s]\nhalf = 4\n", &Scope::default(), either);
    assert_eq!((value, problems(&found)), (8.0, vec![]));
    let documented = found.docs.iter().map(|doc| (&*doc.key, doc.required));
    assert_eq!(
        documented.collect::<Vec<_>>(),
        [("half", false), ("whole", false)]
    );
    let (value, found) = read("[s]\nhalf = 4\nwhole = 3\n", &Scope::default(), either);
    assert_eq!(value, 3.0);
    assert_eq!(
        problems(&found),
        ["r.toml:2: stage.s.half: goes without whole alone; remove one of the two"]
    );
}
