//! What is part of a stage's identity.

use super::*;

#[test]
fn seed_and_backend_count_only_where_they_matter() {
    let plan = Recipes::new(&[("r", GOOD)])
        .plan("r", None, &[])
        .map_err(|p| p.join("\n"))
        .unwrap();
    let base = identities(&plan, 1, "flex");
    for (other, alike) in [
        (
            identities(&plan, 1, "flex"),
            ["world", "sft", "rank"].as_slice(),
        ),
        (identities(&plan, 2, "flex"), &["world"]),
        (identities(&plan, 1, "ndarray"), &["world"]),
    ] {
        for (name, hash) in &base {
            assert_eq!(
                *hash == other[name],
                alike.contains(&name.as_str()),
                "{name}"
            );
        }
    }
    let error = identity(&plan.stages[1], 1, "flex", &BTreeMap::new()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "sft refers to world, whose identity is not known yet"
    );
}

#[test]
fn names_comments_and_key_order_do_not_count_but_every_value_does() {
    let base = identity_of(GOOD, "sft");
    let moved = GOOD.replace("learning_rate = 1e-3\n", "").replace(
        "data = \"@world\"",
        "learning_rate = 0.001 # c\ndata = '@world'",
    );
    assert_eq!(identity_of(&moved, "sft"), base);
    assert_eq!(
        identity_of(
            &GOOD.replace("world]", "town]").replace("@world", "@town"),
            "sft"
        ),
        base
    );
    assert_eq!(
        identity_of(
            &GOOD.replace("per_seed = false", "per_seed = false\ndialogues = 100"),
            "sft"
        ),
        base
    );
    for (from, to) in [
        ("learning_rate = 1e-3", "learning_rate = 1.1e-3"),
        ("learning_rate = 1e-3", "max_steps = 3"),
        ("std = 0.1", "std = 0.2"),
        ("per_seed = false", "per_seed = false\ndialogues = 101"),
        ("per_seed = false", ""),
    ] {
        assert_ne!(identity_of(&GOOD.replace(from, to), "sft"), base, "{to}");
    }
}

#[test]
fn a_file_counts_by_its_content_and_not_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let with = |name: &str, content: &str| {
        let path: PathBuf = folder.path().join(name);
        fs::write(&path, content).unwrap();
        let line = format!("per_seed = false\nnames = {:?}", path.display().to_string());
        identity_of(&GOOD.replace("per_seed = false", &line), "rank")
    };
    let base = with("a", "x");
    assert_eq!(with("b", "x"), base);
    assert_ne!(with("a", "y"), base);
    let stage = PlannedStage {
        paths: vec![Link {
            key: vec!["names".into()],
            origin: crate::stage::settings::keys::Origin::argument(""),
            to: Path::new("no/such/file").into(),
        }],
        ..Recipes::new(&[("r", GOOD)])
            .plan("r", None, &[])
            .map_err(|p| p.join("\n"))
            .unwrap()
            .stages
            .remove(0)
    };
    assert!(identity(&stage, 0, "flex", &BTreeMap::new()).is_err());
}

proptest! {
    #[test]
    fn two_settings_have_one_identity_only_if_they_are_equal(a in 1e-6..1.0f64, b in 1e-6..1.0f64, m in 1..9u32, n in 1..9u32) {
        let with = |rate: f64, steps: u32| {
            identity_of(&GOOD.replace("learning_rate = 1e-3", &format!("max_steps = {steps}\nlearning_rate = {rate}")), "sft")
        };
        prop_assert_eq!(with(a, m) == with(b, n), a == b && m == n);
        prop_assert_eq!(with(a, m), with(a, m));
        prop_assert_ne!(with(a, m), hash_bytes(b""));
    }
}
