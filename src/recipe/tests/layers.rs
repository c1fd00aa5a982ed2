//! Recipes that extend one another, profiles, and what arguments lay over them.

use super::*;

#[test]
fn layers_override_in_order() {
    let child = "extends = \"base\"\ntitle = \"Child\"\n[stage.sft]\nlearning_rate = 2e-3\n[stage.sft.init]\nstd = 0.2\n";
    let recipes = Recipes::new(&[("base", GOOD), ("child", child)]);
    let rate = |profile, sets: &[&str]| {
        let plan = recipes
            .plan("child", profile, sets)
            .map_err(|p| p.join("\n"))
            .unwrap();
        assert_eq!(plan.title, "Child");
        assert_eq!(setting(&plan, "sft", "/init/std"), json!(0.2));
        setting(&plan, "sft", "/learning_rate")
    };
    assert_eq!(rate(None, &[]), json!(2e-3));
    assert_eq!(rate(Some("paper"), &[]), json!(1e-5));
    assert_eq!(
        rate(
            Some("paper"),
            &["sft.learning_rate=3", "stage.sft.learning_rate=4e0"]
        ),
        json!(4.0)
    );
    let told = recipes.plan(
        "child",
        None,
        &["outputs=[\"world\", \"sft\"]", "rank.models=[\"@sft\"]"],
    );
    assert!(told.err().unwrap().contains(
        &"--set rank.models=[\"@sft\"]: stage.rank: this stage is not in the plan, so the setting would do nothing"
            .to_string()
    ));
    let plan = recipes.plan("child", None, &["outputs=[\"world\"]", "seeds=[9]"]);
    // The claim still names `rank`, on both its sides.
    assert_eq!(plan.err().unwrap().len(), 2);
}

#[test]
fn a_profile_is_laid_over_the_one_that_it_is_like() {
    let more = "[profile.short]\nlike = \"paper\"\nseeds = [7]\n[profile.short.stage.sft]\nmax_steps = 1\n\
                [profile.none]\nlike = \"short\"\n[profile.none.stage.sft]\nkind = \"rank\"\nmodels = []\n";
    let text = GOOD.replacen("[[claim]]", &format!("{more}[[claim]]"), 1);
    let recipes = Recipes::new(&[("r", &text)]);
    let plan = recipes.plan("r", Some("short"), &[]).unwrap();
    assert_eq!((plan.seeds.as_slice(), &*plan.profile), (&[7][..], "short"));
    assert_eq!(setting(&plan, "sft", "/learning_rate"), json!(1e-5));
    assert_eq!(setting(&plan, "sft", "/max_steps"), json!(1));
    // Another kind begins anew here too: no learning rate is left of the profiles below.
    let told = recipes.plan("r", Some("none"), &[]).err().unwrap();
    assert!(!told.join("\n").contains("learning_rate"), "{told:?}");

    for (from, to, expected) in [
        (
            "like = \"paper\"",
            "like = \"none\"",
            "profile.short.like: a cycle: none is like short is like none",
        ),
        (
            "like = \"paper\"",
            "like = \"papr\"",
            "profile.short.like: unknown profile papr, did you mean paper? known profiles: sandbox, paper, short, none",
        ),
        (
            "like = \"paper\"",
            "like = 1",
            "profile.short.like: expected the name of a profile, found 1",
        ),
    ] {
        let told = problems(&text.replacen(from, to, 1));
        assert!(told.iter().any(|line| line.ends_with(expected)), "{told:?}");
    }
}

#[test]
fn a_recipe_without_profiles_has_the_default_one_only() {
    let text = GOOD
        .replace("[profile.sandbox]\n", "")
        .replace("[profile.paper.stage.sft]", "[stage.sft.unused]");
    let text = text.replace(
        "[stage.sft.unused]\nlearning_rate = 1e-5\nmax_steps = 7\n",
        "",
    );
    let recipes = Recipes::new(&[("r", &text)]);
    assert!(recipes.plan("r", Some("sandbox"), &[]).is_ok());
    assert_eq!(
        recipes.plan("r", Some("real"), &[]).err().unwrap(),
        ["--profile real: unknown profile of r; known profiles: sandbox"]
    );
}

#[test]
fn extending_in_a_circle_or_into_nothing_is_an_error() {
    let recipes = Recipes::new(&[
        ("a", "extends = \"b\""),
        ("b", "\nextends = \"a\""),
        ("c", "extends = \"d\""),
    ]);
    assert_eq!(
        recipes.plan("a", None, &[]).err().unwrap(),
        ["b.toml:2: extends: a cycle: a extends b extends a"]
    );
    assert_eq!(
        recipes.plan("c", None, &[]).err().unwrap(),
        ["c.toml:1: extends: no such recipe d; known recipes: a, b, c"]
    );
}

#[test]
fn problems_of_an_extended_recipe_name_its_own_file() {
    let base = GOOD.replace("std = 0.1", "std = -0.1");
    let recipes = Recipes::new(&[
        ("base", &base),
        ("r", "extends = \"base\"\n[stage.sft]\nmax_steps = 0\n"),
    ]);
    assert_eq!(
        recipes.plan("r", None, &[]).err().unwrap(),
        [
            "base.toml:13: stage.sft.init.std: expected a number in (0.0, 1000000000.0], found -0.1",
            "r.toml:3: stage.sft.max_steps: expected a whole number in [1, 100000000], found 0",
        ]
    );
}

#[test]
fn validation_covers_all_profiles_but_excuses_data_that_is_not_there() {
    let text = GOOD.replace(
        "max_steps = 7",
        "max_steps = 0\n[profile.real.stage.world]\nnames = \"${DATA}/names\"",
    );
    let recipes = Recipes::new(&[("r", &text)]);
    assert!(recipes.plan("r", None, &[]).is_ok());
    let told = recipes.shown(&validate(&recipes.request("r", None, &[])).unwrap_err());
    assert_eq!(
        told,
        ["r.toml:20: stage.sft.max_steps: expected a whole number in [1, 100000000], found 0"]
    );

    let recipes = Recipes::new(&[("r", &text.replace("max_steps = 0", "max_steps = 1"))]);
    let absent = validate(&recipes.request("r", None, &[])).unwrap();
    assert_eq!(absent.len(), 1);
    let told = recipes.shown(&validate(&recipes.request("r", Some("real"), &[])).unwrap_err());
    assert_eq!(
        told,
        [
            "r.toml:22: stage.world.names: ${DATA}/names needs the data folder: give --data DIR (make ... DATA=DIR)"
        ]
    );
}

#[test]
fn the_resolved_recipe_plans_to_the_same_stages() {
    let recipes = Recipes::new(&[("r", GOOD)]);
    let plan = recipes
        .plan("r", Some("paper"), &["sft.init.std=0.5"])
        .map_err(|p| p.join("\n"))
        .unwrap();
    let again = Recipes::new(&[("r", &plan.resolved_toml)]);
    let again = again
        .plan("r", None, &[])
        .map_err(|p| p.join("\n"))
        .unwrap();
    assert_eq!(identities(&plan, 1, "flex"), identities(&again, 1, "flex"));
    assert_eq!((plan.claims, plan.tables), (again.claims, again.tables));
    assert!(
        plan.resolved_toml.contains("dialogues = 100"),
        "{}",
        plan.resolved_toml
    );
}
