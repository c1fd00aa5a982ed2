use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::*;
use crate::report::{Direction, Finding, Reported};
use crate::stage::kind::{Context, Kind, Stage};
use crate::stage::settings::keys::{COUNT, Keys, POSITIVE};
use crate::stage::settings::produces::Produces;
use crate::store::{Hash, hash_bytes};

struct Nothing;

impl Stage for Nothing {
    fn run(&self, _: &Context) -> anyhow::Result<()> {
        Ok(())
    }
}

fn read_world(keys: &mut Keys<'_>) -> Box<dyn Stage> {
    keys.usize("dialogues", 100, 1..=COUNT);
    keys.optional_path("names");
    Box::new(Nothing)
}

fn read_train(keys: &mut Keys<'_>) -> Box<dyn Stage> {
    keys.optional_stage("model", &[Produces::Model]);
    keys.stage("data", &[Produces::Dialogues]);
    keys.doc("Peak learning rate.")
        .float("learning_rate", 1e-3, POSITIVE);
    keys.optional_usize("max_steps", 1..=COUNT);
    keys.table("init").float("std", 0.02, POSITIVE);
    Box::new(Nothing)
}

fn read_rank(keys: &mut Keys<'_>) -> Box<dyn Stage> {
    keys.stages("models", &[Produces::Model]);
    Box::new(Nothing)
}

const KINDS: [Kind; 3] = [
    Kind {
        name: "world",
        about: "",
        produces: Produces::Dialogues,
        version: 1,
        uses_backend: false,
        modules: &[],
        read: read_world,
    },
    Kind {
        name: "train",
        about: "",
        produces: Produces::Model,
        version: 1,
        uses_backend: true,
        modules: &[],
        read: read_train,
    },
    Kind {
        name: "rank",
        about: "",
        produces: Produces::Measure,
        version: 1,
        uses_backend: true,
        modules: &[],
        read: read_rank,
    },
];

const GOOD: &str = r#"title = "T"
paper = "P"
seeds = [1, 2]
outputs = ["rank"]
[stage.world]
kind = "world"
per_seed = false
[stage.sft]
kind = "train"
data = "@world"
learning_rate = 1e-3
[stage.sft.init]
std = 0.1
[stage.rank]
kind = "rank"
models = ["@sft"]
[profile.sandbox]
[profile.paper.stage.sft]
learning_rate = 1e-5
max_steps = 7
[[claim]]
id = "c"
statement = "S"
better = "rank.hits"
than = "rank.random"
by = 5
paper_findings = [{model = "m (1B)", difference = 0.25}, {model = "l (7B)", direction = "lower"}]
[[table]]
title = "Results"
paper_model = "m (1B)"
rows = [{name = "SFT", stage = "rank"}]
columns = [{name = "Hits", metric = "hits"}, {name = "Ppl", metric = "ppl"}]
paper = [[38.5, "-"]]
paper_rows = [{name = "SFT", model = "l (7B)", values = ["-", [0.5, 1]]}]
"#;

struct Recipes(TempDir);

impl Recipes {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(format!("{name}.toml")), text).unwrap();
        }
        Self(folder)
    }

    fn plan(&self, name: &str, profile: Option<&str>, sets: &[&str]) -> Result<Plan, Vec<String>> {
        let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
        plan(&self.request(name, profile, &sets)).map_err(|problems| self.shown(&problems))
    }

    fn request<'a>(
        &'a self,
        name: &'a str,
        profile: Option<&'a str>,
        sets: &'a [String],
    ) -> Request<'a> {
        Request {
            shelf: Shelf::new(Some(self.0.path())),
            name,
            profile,
            sets,
            given: Given::default(),
            backend: "flex",
            kinds: &KINDS,
            pinned: false,
        }
    }

    fn shown(&self, problems: &Problems) -> Vec<String> {
        let folder = format!("{}/", self.0.path().display());
        problems
            .to_string()
            .lines()
            .map(|line| line.replace(&folder, ""))
            .collect()
    }
}

/// The problems of one recipe's text, its file being `r.toml`.
fn problems(text: &str) -> Vec<String> {
    match Recipes::new(&[("r", text)]).plan("r", None, &[]) {
        Ok(_) => Vec::new(),
        Err(problems) => problems,
    }
}

fn setting(plan: &Plan, stage: &str, pointer: &str) -> Json {
    let stage = plan
        .stages
        .iter()
        .find(|planned| planned.name == stage)
        .unwrap();
    stage.settings.pointer(pointer).cloned().unwrap_or_default()
}

/// Every stage's identity for one seed.
fn identities(plan: &Plan, seed: u64, backend: &str) -> BTreeMap<String, Hash> {
    let mut known = BTreeMap::new();
    for stage in &plan.stages {
        let hash = identity(stage, stage.seed(seed), backend, &known).unwrap();
        known.insert(stage.name.clone(), hash);
    }
    known
}

fn identity_of(text: &str, stage: &str) -> Hash {
    let plan = Recipes::new(&[("r", text)])
        .plan("r", None, &[])
        .map_err(|p| p.join("\n"))
        .unwrap();
    identities(&plan, 1, "flex").remove(stage).unwrap()
}

#[test]
fn a_good_recipe_becomes_stages_in_order() {
    let plan = Recipes::new(&[("r", GOOD)])
        .plan("r", None, &[])
        .map_err(|p| p.join("\n"))
        .unwrap();
    let names: Vec<&str> = plan
        .stages
        .iter()
        .map(|stage| stage.name.as_str())
        .collect();
    assert_eq!(names, ["world", "sft", "rank"]);
    assert_eq!(
        (plan.title.as_str(), plan.profile.as_str()),
        ("T", "sandbox")
    );
    assert_eq!(plan.seeds, [1, 2]);
    let sft = &plan.stages[1];
    assert_eq!(
        sft.settings,
        json!({"data": "@world", "learning_rate": 1e-3, "init": {"std": 0.1}})
    );
    assert_eq!(
        (sft.inputs(), sft.per_seed, plan.stages[0].per_seed),
        (vec!["world"], true, false)
    );
    assert_eq!(plan.claims[0].better.metric, "hits");
    assert_eq!(plan.tables[0].paper, [[Some(38.5.into()), None]]);
}

#[test]
fn the_papers_numbers_are_of_a_model_and_a_claim_has_its_finding() {
    let recipes = Recipes::new(&[("r", GOOD)]);
    let plan = recipes
        .plan("r", None, &[])
        .map_err(|p| p.join("\n"))
        .unwrap();
    let table = &plan.tables[0];
    assert_eq!(table.rows[0].paper_model, "m (1B)");
    assert_eq!(
        table.paper_rows[0].values,
        [None, Some(Reported::Range([0.5, 1.0]))]
    );
    let lower = Finding {
        model: "l (7B)".into(),
        difference: None,
        direction: Direction::Lower,
    };
    assert_eq!(
        plan.claims[0].findings,
        [Finding::of("m (1B)".into(), 0.25), lower]
    );
    let one = r#"paper_model = "m (1B)"
paper_difference = -0.1"#;
    let list = GOOD
        .lines()
        .find(|line| line.starts_with("paper_findings"))
        .unwrap();
    let recipes = Recipes::new(&[("r", &GOOD.replace(list, one))]);
    let plan = recipes
        .plan("r", None, &[])
        .map_err(|p| p.join("\n"))
        .unwrap();
    assert_eq!(
        plan.claims[0].findings,
        [Finding::of("m (1B)".into(), -0.1)]
    );
    for (given, expected) in [
        (
            "paper_model = \"m\"",
            "r.toml:21: claim[0].paper_difference: required: a number in the metric's unit, or paper_direction",
        ),
        (
            "paper_difference = 1\npaper_direction = \"higher\"",
            "r.toml:28: claim[0].paper_direction: paper_difference says it; leave this out",
        ),
        (
            "paper_difference = 1\npaper_findings = []",
            "r.toml:28: claim[0].paper_findings: one finding by paper_difference, or a list by paper_findings",
        ),
        (
            "paper_findings = [{model = \"m\", direction = \"up\"}]",
            "r.toml:27: claim[0].paper_findings[0].direction: expected one of \"higher\", \"lower\", \"same\", found \"up\"",
        ),
    ] {
        assert_eq!(problems(&GOOD.replace(list, given)), [expected]);
    }
    let text = GOOD.replace("values = [\"-\", [0.5, 1]]", "values = [\"-\", [1, 0.5]]");
    assert_eq!(
        problems(&text),
        [
            "r.toml:34: table[0].paper_rows[0].values: expected 2 numbers, [LOW, HIGH] or \"-\" (one a column)"
        ]
    );
}

#[test]
fn every_kind_of_error_is_reported_at_once_with_its_line() {
    let text = r#"titel = "T"
seeds = [1, 1]
outputs = ["rank", "rnak"]
[stage.world]
kind = "world"
dialogues = 0
names = "no/such/file"
[stage.sft]
kind = "train"
data = "@wrld"
learning_rate = "fast"
[stage.sft.init]
sdt = 0.1
[stage.dpo]
kind = "trian"
[stage.rank]
kind = "rank"
per_seed = 1
models = ["@world",
  "@sft", "@dpo"]
[[claim]]
id = "c"
better = "rank.hits"
than = "sft2.hits"
[[table]]
title = "Results"
rows = [{name = "SFT", stage = "rank"}]
columns = [{name = "Hits", metric = "hits"}]
paper = [[1, 2]]
"#;
    assert_eq!(
        problems(text),
        [
            "r.toml:1: title: required: expected a string",
            "r.toml:1: titel: unknown key, did you mean title? known keys: \
             title, about, paper, seeds, outputs, claim, table, stage",
            "r.toml:2: seeds: seed 1 is given twice",
            "r.toml:3: outputs: unknown stage rnak, did you mean rank? known stages: world, sft, dpo, rank",
            "r.toml:6: stage.world.dialogues: expected a whole number in [1, 100000000], found 0",
            "r.toml:7: stage.world.names: expected an existing file or folder, found none at no/such/file",
            "r.toml:10: stage.sft.data: unknown stage @wrld, did you mean world? known stages: dpo, rank, sft, world",
            "r.toml:11: stage.sft.learning_rate: expected a number in (0.0, 1000000000.0], found \"fast\"",
            "r.toml:13: stage.sft.init.sdt: unknown key, did you mean std? known keys: std",
            "r.toml:15: stage.dpo.kind: unknown kind trian, did you mean train? known kinds: world, train, rank",
            "r.toml:18: stage.rank.per_seed: expected true or false, found 1",
            "r.toml:19: stage.rank.models[0]: expected a reference \"@NAME\" to a stage that makes a model, \
             found @world, whose kind world makes dialogues",
            "r.toml:21: claim[0].statement: required: expected a string",
            "r.toml:24: claim[0].than: unknown stage sft2, did you mean sft? known stages: world, sft, dpo, rank",
            "r.toml:29: table[0].paper: expected 1 lists (one a row), each of 1 numbers, [LOW, HIGH] or \"-\" (one a column)",
        ]
    );
}

#[test]
fn rows_of_stages_of_another_profile_are_left_out_with_their_numbers() {
    let text = GOOD
        .replace(
            "[stage.rank]",
            "[stage.other]\nlike = \"rank\"\n[stage.rank]",
        )
        .replace(
            "[profile.sandbox]",
            "[profile.sandbox]\noutputs = [\"rank\", \"other\"]",
        )
        .replace(
            "\nrows = [",
            "\nrows = [{name = \"Other\", stage = \"other\"}, ",
        )
        .replace("paper = [[", "paper = [[1, 2], [");
    let text = format!(
        "{text}[[table]]\ntitle = \"Other\"\nrows = [{{name = \"Other\", stage = \"other\"}}]\n\
         columns = [{{name = \"Hits\", metric = \"hits\"}}]\n"
    );
    let recipes = Recipes::new(&[("r", &text)]);
    let tables = |profile| recipes.plan("r", profile, &[]).unwrap().tables;
    let whole = tables(None);
    assert_eq!(whole.len(), 2);
    assert_eq!(whole[0].rows.len(), 2);
    let part = tables(Some("paper"));
    assert_eq!(part.len(), 1);
    assert_eq!(part[0].rows, whole[0].rows[1..]);
    assert_eq!(part[0].paper, [[Some(38.5.into()), None]]);
    // A claim needs both its sides in every profile.
    let text = text.replace("than = \"rank.random\"", "than = \"other.hits\"");
    let recipes = Recipes::new(&[("r", &text)]);
    let told = recipes.plan("r", Some("paper"), &[]).err().unwrap();
    assert!(
        told[0].ends_with("stage other is not in the plan of this profile; add it to outputs"),
        "{told:?}"
    );
}

#[test]
fn a_column_for_several_numbers_says_so_in_name_and_metric() {
    let told = |column: &str, more: &str| {
        let text = GOOD.replace("{name = \"Hits\", metric = \"hits\"}", column);
        problems(&text.replace("paper = [[38.5, \"-\"]]\n", more))
    };
    assert!(told("{name = \"by *\", metric = \"hits.*\"}", "").is_empty());
    let shape = "r.toml:32: table[0].columns[0].metric: expected one * at the end, after a dot, \
                 and one in name for what it stands for";
    for column in [
        "{name = \"Hits\", metric = \"hits.*\"}",
        "{name = \"*\", metric = \"hits\"}",
        "{name = \"*\", metric = \"*\"}",
        "{name = \"*\", metric = \"*.hits\"}",
    ] {
        assert_eq!(told(column, ""), [shape], "{column}");
    }
    assert_eq!(
        told("{name = \"*\", metric = \"hits.*\"}", "paper = [[1, 2]]\n"),
        ["r.toml:33: table[0].paper: columns with * have no numbers of a paper; write \"-\""]
    );
}

#[test]
fn the_shape_of_a_recipe_is_checked() {
    for (from, to, expected) in [
        (
            "seeds = [1, 2]",
            "seeds = []",
            "r.toml:3: seeds: expected at least one seed, found none",
        ),
        (
            "seeds = [1, 2]",
            "seeds = [1, -2]",
            "r.toml:3: seeds[1]: expected a whole number in [0, 9223372036854775807], found -2",
        ),
        (
            "seeds = [1, 2]\n",
            "",
            "r.toml:1: seeds: required: expected a list, each item a whole number in [0, 9223372036854775807]",
        ),
        (
            "outputs = [\"rank\"]",
            "outputs = []",
            "r.toml:4: outputs: expected at least one stage, found none",
        ),
        (
            "outputs = [\"rank\"]\n",
            "",
            "r.toml:1: outputs: required: expected a list, each item a string",
        ),
        (
            "[profile.sandbox]",
            "[profile.sandbox]\nseed = [1]",
            "r.toml:18: profile.sandbox.seed: unknown key, did you mean seeds? known keys: like, title, about, paper, seeds, outputs, stage, claim, table",
        ),
        (
            "data = \"@world\"",
            "data = \"@world\"\nmodel = \"@sft\"",
            "r.toml:11: stage.sft.model: a cycle: sft refers to sft",
        ),
        (
            "[stage.rank]",
            "[stage.spare]\nkind = \"world\"\n[stage.rank]",
            "r.toml:14: stage.spare: no profile's outputs lead to this stage; add it to outputs or remove it",
        ),
        (
            "models = [\"@sft\"]",
            "models = [\"@sft\"]\nper_seed = false",
            "r.toml:16: stage.rank.models.0: rank runs once for all seeds (per_seed = false) but @sft runs once per seed; give both the same per_seed",
        ),
        (
            "[stage.world]",
            "[stage.\"a.b\"]\nkind = \"world\"\n[stage.world]",
            "r.toml:5: stage.a.b: no profile's outputs lead to this stage; add it to outputs or remove it",
        ),
        (
            "title = \"T\"",
            "title = ",
            "r.toml:1: not valid TOML: string values must be quoted, expected literal string",
        ),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let told = problems(&GOOD.replacen(from, to, 1));
        assert!(told.contains(&expected.to_string()), "{to}: {told:#?}");
    }
}

#[test]
fn a_cycle_of_stages_is_told_as_a_path() {
    let text = GOOD
        .replace(
            "[stage.rank]",
            "[stage.dpo]\nkind = \"train\"\ndata = \"@world\"\nmodel = \"@sft\"\n[stage.rank]",
        )
        .replace("learning_rate = 1e-3", "model = \"@dpo\"");
    assert_eq!(
        problems(&text),
        ["r.toml:17: stage.dpo.model: a cycle: sft refers to dpo refers to sft"]
    );
}

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
fn wrong_arguments_are_named_as_they_were_typed() {
    let recipes = Recipes::new(&[("r", GOOD)]);
    let sets = [
        "sft.learning_rate=fast",
        "sfft.x=1",
        "sft.init.std=-1",
        "sft.bogus.deep=1",
        "beta",
        "sft=3",
        "sft.data=@rank",
    ];
    let told = recipes.plan("r", None, &sets).err().unwrap();
    assert_eq!(
        told,
        [
            "--set sfft.x=1: sfft.x: unknown stage sfft, did you mean sft? known stages: world, sft, rank",
            "--set beta: expected STAGE.KEY=VALUE, or seeds=[...] or outputs=[...]",
            "--set sft=3: sft: expected STAGE.KEY=VALUE, or seeds=[...] or outputs=[...]",
            "--set sft.data=@rank: stage.sft.data: expected a reference \"@NAME\" to a stage that makes dialogues, found @rank, whose kind rank makes measures",
            "--set sft.learning_rate=fast: stage.sft.learning_rate: expected a number in (0.0, 1000000000.0], found \"fast\"",
            "--set sft.init.std=-1: stage.sft.init.std: expected a number in (0.0, 1000000000.0], found -1",
            "--set sft.bogus.deep=1: stage.sft.bogus: unknown key; known keys: kind, per_seed, model, data, learning_rate, max_steps, init",
            "--set sft.data=@rank: stage.sft.data: a cycle: rank refers to sft refers to rank",
        ]
    );
    assert_eq!(
        recipes.plan("r", Some("papr"), &[]).err().unwrap(),
        [
            "--profile papr: unknown profile of r, did you mean paper? known profiles: sandbox, paper"
        ]
    );
    assert_eq!(
        recipes.plan("q", None, &[]).err().unwrap(),
        ["recipe q: no such recipe (q.toml); known recipes: r"]
    );
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

#[test]
fn a_kind_documents_its_keys() {
    let docs = KINDS[1].document();
    let shown: Vec<String> = docs
        .iter()
        .map(|key| {
            format!(
                "{} | {} | {:?} | {} | {}",
                key.key, key.expected, key.default, key.required, key.doc
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            "model | a reference \"@NAME\" to a stage that makes a model | None | false | ",
            "data | a reference \"@NAME\" to a stage that makes dialogues | None | true | ",
            "learning_rate | a number in (0.0, 1000000000.0] | Some(Number(0.001)) | false | Peak learning rate.",
            "max_steps | a whole number in [1, 100000000] | None | false | ",
            "init.std | a number in (0.0, 1000000000.0] | Some(Number(0.02)) | false | ",
        ]
    );
}

#[test]
fn recipes_are_listed_even_when_one_is_broken() {
    let recipes = Recipes::new(&[("b", GOOD), ("a", "title = ")]);
    let listed = list(&Shelf::new(Some(recipes.0.path()))).unwrap();
    assert_eq!(listed[0].name, "a");
    assert!(listed[0].title.contains("not valid TOML"));
    assert_eq!(
        (listed[1].title.as_str(), listed[1].profiles.len()),
        ("T", 2)
    );
}

proptest! {
    #[test]
    fn any_text_is_a_plan_or_problems_and_never_a_panic(text in "[a-z\\[\\]{}=.\"@\n #,0-9-]{0,80}", cut in 0..GOOD.len()) {
        let recipes = Recipes::new(&[("r", &text), ("cut", &GOOD[..cut])]);
        prop_assert!(recipes.plan("r", None, &[&text]).is_err());
        if let Err(told) = recipes.plan("cut", None, &[]) {
            prop_assert!(!told.is_empty());
        }
    }

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
