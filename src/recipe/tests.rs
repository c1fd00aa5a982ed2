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

mod claims;
mod identity;
mod layers;

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
}
