//! For tests: a folder of artifacts, in which stages are run.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::json;

use crate::data::Tokenizer;
use crate::model::config::{DecoderConfig, Family, Problem, ScoreHead};
use crate::model::weights;
use crate::stage::KINDS;
use crate::stage::artifact::folder;
use crate::stage::artifact::measures::Measures;
use crate::stage::kind::Context;
use crate::stage::settings::keys::{Keys, Node, Offer, Reading, Scope};
use crate::stage::settings::produces::Produces;
use crate::store::{Manifest, Stop, Store, hash_bytes, write_json};

/// A folder of artifacts by name.
pub struct Bench(tempfile::TempDir);

impl Bench {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs a stage of that kind as the artifact `name`; `@NAME` in its settings is the artifact of that name, which is
    /// taken for what the key wants.
    pub fn run(&self, name: &str, kind: &str, settings: &str) -> Result<Measures> {
        let kind = KINDS.iter().find(|it| it.name == kind).unwrap();
        let node = Node::parse(Path::new("r.toml"), settings).unwrap();
        let mut scope = Scope::default();
        let offers = [
            ("data", Produces::Dialogues),
            ("pairs", Produces::Pairs),
            ("rows", Produces::Rows),
            ("rated", Produces::Rated),
            ("labels", Produces::Labels),
            ("classes", Produces::Classes),
            ("model", Produces::Model),
            ("other", Produces::Model),
            ("reward", Produces::RewardModel),
        ];
        for (name, produces) in offers {
            let offer = Offer {
                kind: "x",
                produces,
            };
            scope.stages.insert(name.into(), Some(offer));
        }
        let mut found = Reading::default();
        let mut keys = Keys::new(&scope, &node, &[], &mut found);
        let stage = (kind.read)(&mut keys);
        drop(keys);
        let problems: Vec<String> = found.problems.iter().map(ToString::to_string).collect();
        assert_eq!(problems, [""; 0], "{}", kind.name);
        let dir = self.at(name);
        std::fs::create_dir_all(&dir).unwrap();
        let context = Context {
            dir: dir.clone(),
            seed: 1,
            backend: crate::backend::default_backend().into(),
            inputs: offers.map(|(name, _)| (name.into(), self.at(name))).into(),
            label: kind.name.into(),
            stop: Stop::new(),
            store: Store::open(self.at("store")).unwrap(),
        };
        stage.run(&context)?;
        manifest(&dir, kind.name);
        Measures::read(&dir)
    }

    /// A GPT-2 that gives nearly all its probability to the token `always`, whatever it reads.
    pub fn model(&self, name: &str, tokenizer: &Tokenizer, always: u32) {
        let config = config(tokenizer);
        let mut arrays = weights::random(&config, 0.02, 1);
        let fill = |values: &mut [f32], value: f32| values.iter_mut().for_each(|it| *it = value);
        let hidden = config.hidden_size;
        fill(&mut arrays.get_mut("norm.weight").unwrap().1, 0.0);
        fill(&mut arrays.get_mut("norm.bias").unwrap().1, 10.0);
        let table = &mut arrays.get_mut("embed").unwrap().1;
        fill(&mut table[always as usize * hidden..][..hidden], 10.0);
        self.write(name, &config, tokenizer, arrays);
    }

    pub fn reward(&self, tokenizer: &Tokenizer) {
        let head = ScoreHead::plain(vec!["trust".into()], Problem::Regression);
        let config = config(tokenizer).with_score(head);
        let arrays = weights::random(&config, 0.1, 2);
        self.write("reward", &config, tokenizer, arrays);
    }

    pub fn write(
        &self,
        name: &str,
        config: &DecoderConfig,
        tokenizer: &Tokenizer,
        mut arrays: std::collections::BTreeMap<String, weights::Array>,
    ) {
        let values = |name: &str| arrays.remove(name).map(|(_, values)| values);
        folder::write(&self.at(name), config, values, tokenizer, None, "").unwrap();
        manifest(&self.at(name), "scratch");
    }
}

/// More than any prompt of a world has.
pub const POSITIONS: usize = 4000;

pub fn config(tokenizer: &Tokenizer) -> DecoderConfig {
    DecoderConfig {
        max_positions: POSITIONS,
        bos: tokenizer.bos(),
        eos: Some(tokenizer.eos()),
        ..DecoderConfig::new(Family::Gpt2, tokenizer.vocab_size(), 16, 1, 2)
    }
}

pub fn manifest(dir: &Path, kind: &str) {
    let manifest = Manifest {
        kind: kind.into(),
        name: "made".into(),
        hash: hash_bytes(dir.to_string_lossy().as_bytes()),
        inputs: Default::default(),
        settings: json!({}),
        backend: String::new(),
        seconds: 0.0,
        created: 0,
    };
    write_json(&dir.join("artifact.json"), &manifest).unwrap();
}
