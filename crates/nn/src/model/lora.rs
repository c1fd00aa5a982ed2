//! LoRA: which linear maps are given adapters, and how these begin. The names and rules are PEFT's (`LoraConfig`,
//! `check_target_module_exists`).

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::model::config::DecoderConfig;
use crate::model::hf::layout::slots;

/// What the adapters of a model are like, by PEFT's names.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraConfig {
    pub r: usize,
    pub lora_alpha: f64,
    pub lora_dropout: f64,
    /// Scales by `alpha / sqrt(r)` (arXiv 2312.03732) rather than `alpha / r`.
    pub use_rslora: bool,
    /// Adapts the direction of each output's weights and trains their length apart (arXiv 2402.09353).
    pub use_dora: bool,
    pub targets: Targets,
    /// Modules that are left out all the same.
    pub exclude_modules: Vec<String>,
    /// Other ranks of some modules; the first whose name fits.
    pub rank_pattern: Vec<(String, usize)>,
    pub alpha_pattern: Vec<(String, f64)>,
    /// The blocks whose modules are adapted; all where there is no list.
    pub layers_to_transform: Option<Vec<usize>>,
    /// Modules that are trained whole, of [`WHOLE`].
    pub modules_to_save: Vec<String>,
}

/// Which modules are given adapters.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// Every linear map of every block.
    AllLinear,
    /// Those whose name is one of these or ends with a dot and one of these.
    Named(Vec<String>),
    /// Those of a regular expression, which are the ones that the folder has adapters for.
    Pattern(String, BTreeSet<String>),
}

/// Modules that can be trained whole, by the names of all families, and which of our parameters they are.
pub const WHOLE: [(&str, &str); 7] = [
    ("embed_tokens", "embed"),
    ("wte", "embed"),
    ("embed_in", "embed"),
    ("lm_head", "head"),
    ("embed_out", "head"),
    ("score", "head"),
    ("classifier", "head"),
];

/// What a base's weights are held in while they are not trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BaseDtype {
    #[default]
    F32,
    Bf16,
    /// Linear maps of the blocks in 8 bits, the rest in bf16.
    Int8,
    /// Linear maps of the blocks in 4 bits, the rest in bf16.
    Nf4,
}

impl BaseDtype {
    /// All of them by the names of the key `base_dtype`.
    pub const ALL: [(&str, BaseDtype); 4] = [
        ("f32", BaseDtype::F32),
        ("bf16", BaseDtype::Bf16),
        ("int8", BaseDtype::Int8),
        ("nf4", BaseDtype::Nf4),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        let found = Self::ALL.iter().find(|(_, dtype)| *dtype == self);
        found.map_or("f32", |(name, _)| name)
    }
}

/// An adapter and what it is beside.
#[derive(Clone, Debug)]
pub struct Adapted {
    pub lora: LoraConfig,
    /// The base's folder.
    pub base: PathBuf,
    /// What the base is held in where the adapter is trained.
    pub base_dtype: BaseDtype,
}

/// One adapter's place.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// The adapted module's name, as `model.layers.0.self_attn.q_proj`.
    pub module: String,
    /// The linear map of ours that it is a part of, as `blocks.0.qkv`.
    pub linear: String,
    pub inputs: usize,
    /// The outputs of that map which are the module's.
    pub columns: Range<usize>,
    /// As [`Slot::by_head`](crate::model::hf::Slot::by_head).
    pub by_head: Option<[usize; 2]>,
    pub rank: usize,
    pub scale: f64,
}

/// An adapter's values: `a` is `[in, rank]`, `b` `[rank, outputs]`.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterValues {
    pub a: Vec<f32>,
    pub b: Vec<f32>,
    /// The lengths of the weights as they are, where there is none.
    pub magnitude: Option<Vec<f32>>,
}

impl LoraConfig {
    /// Of rank 16 with `alpha` 32, on every linear map of every block.
    pub fn all_linear() -> Self {
        Self {
            r: 16,
            lora_alpha: 32.0,
            lora_dropout: 0.0,
            use_rslora: false,
            use_dora: false,
            targets: Targets::AllLinear,
            exclude_modules: Vec::new(),
            rank_pattern: Vec::new(),
            alpha_pattern: Vec::new(),
            layers_to_transform: None,
            modules_to_save: Vec::new(),
        }
    }

    /// The adapters that a model is given, in the order of its parameters.
    ///
    /// # Errors
    /// A target that no linear map of the model has, or nothing to adapt.
    pub fn sites(&self, config: &DecoderConfig) -> Result<Vec<Site>> {
        let modules = modules(config);
        if let Targets::Named(names) = &self.targets {
            for name in names {
                ensure!(
                    modules.iter().any(|site| named(&site.module, name)),
                    "{}",
                    unknown(name, &modules)
                );
            }
        }
        let mut sites = Vec::new();
        for mut site in modules {
            let wanted = match &self.targets {
                Targets::AllLinear => true,
                Targets::Named(names) => names.iter().any(|name| named(&site.module, name)),
                Targets::Pattern(_, held) => held.contains(&site.module),
            };
            let excluded = self
                .exclude_modules
                .iter()
                .any(|name| named(&site.module, name));
            let block = block(&site.module);
            let layers = self.layers_to_transform.as_ref();
            let layer = layers.is_none_or(|layers| block.is_some_and(|it| layers.contains(&it)));
            if !wanted || excluded || !layer {
                continue;
            }
            site.rank = of(&self.rank_pattern, &site.module).unwrap_or(self.r);
            let alpha = of(&self.alpha_pattern, &site.module).unwrap_or(self.lora_alpha);
            site.scale = match self.use_rslora {
                true => alpha / (site.rank as f64).sqrt(),
                false => alpha / site.rank as f64,
            };
            sites.push(site);
        }
        ensure!(!sites.is_empty(), "no linear map of the model is a target");
        Ok(sites)
    }

    /// The last parts of the names of every linear map of the blocks, each once.
    pub fn kinds(config: &DecoderConfig) -> Vec<String> {
        let modules = modules(config).into_iter();
        let last = modules.filter_map(|site| Some(site.module.rsplit('.').next()?.to_owned()));
        last.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// How many values are trained.
    ///
    /// # Errors
    /// Those of [`sites`](Self::sites).
    pub fn parameters(&self, config: &DecoderConfig) -> Result<usize> {
        let adapters = self.sites(config)?.into_iter().map(|site| {
            let outputs = site.columns.len();
            let lengths = if self.use_dora { outputs } else { 0 };
            site.rank * (site.inputs + outputs) + lengths
        });
        let whole = self.whole().into_iter().map(|name| match name {
            "head" => config.head_rows() * config.hidden_size,
            _ => config.vocab_size * config.hidden_size,
        });
        Ok(adapters.chain(whole).sum())
    }

    /// The parameters of ours that are trained whole.
    pub fn whole(&self) -> BTreeSet<&'static str> {
        let saved = |name: &String| WHOLE.iter().find(|(module, _)| module == name);
        let saved = self.modules_to_save.iter().filter_map(saved);
        saved.map(|(_, ours)| *ours).collect()
    }

    /// What adapters begin as: `a` uniform within `1 / sqrt(in)`, as PEFT's (`kaiming_uniform_` with `a = sqrt(5)`),
    /// and `b` zero, so that nothing is changed yet. Drawn on the host, site by site.
    pub fn begin(seed: u64) -> impl FnMut(&Site) -> Result<AdapterValues> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // Batches are drawn from the streams of epochs.
        rng.set_stream(u64::MAX);
        move |site| {
            let bound = 1.0 / (site.inputs as f64).sqrt();
            let mut draw = |_| (bound * (2.0 * rng.random::<f64>() - 1.0)) as f32;
            Ok(AdapterValues {
                a: (0..site.inputs * site.rank).map(&mut draw).collect(),
                b: vec![0.0; site.rank * site.columns.len()],
                magnitude: None,
            })
        }
    }
}

/// Every linear map of a model's blocks, with no rank yet.
fn modules(config: &DecoderConfig) -> Vec<Site> {
    let slots = slots(config).into_iter();
    let matrices = slots.filter(|slot| slot.name.starts_with("blocks.") && slot.shape.len() == 2);
    let sites = matrices.flat_map(|slot| {
        let linear = slot.name.trim_end_matches(".weight").to_owned();
        let by_head = slot.by_head;
        slot.parts.into_iter().map(move |part| Site {
            module: part.hf_name.trim_end_matches(".weight").to_owned(),
            linear: linear.clone(),
            inputs: slot.shape[0],
            columns: part.columns,
            by_head,
            rank: 0,
            scale: 0.0,
        })
    });
    sites.collect()
}

fn unknown(name: &str, modules: &[Site]) -> String {
    if WHOLE.iter().any(|(module, _)| *module == name) {
        return format!(
            "target {name:?}: embeddings and heads are not given adapters; only the linear maps of the blocks are"
        );
    }
    let known: BTreeSet<&str> = modules
        .iter()
        .filter_map(|site| site.module.rsplit('.').next())
        .collect();
    let known: Vec<&str> = known.into_iter().collect();
    format!(
        "target {name:?} is no linear map of the model; expected \"all-linear\" or some of {}",
        known.join(", ")
    )
}

/// Whether a module is called `name`, or that within another.
pub fn named(module: &str, name: &str) -> bool {
    module
        .strip_suffix(name)
        .is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// The block that a module is in: the last number of its name.
fn block(module: &str) -> Option<usize> {
    let mut numbers = module.rsplit('.').skip(1);
    numbers.find_map(|part| part.parse().ok())
}

/// The value of the first name that fits; a name that begins with `^` is a whole one.
fn of<T: Copy>(patterns: &[(String, T)], module: &str) -> Option<T> {
    let fits = |name: &str| match name.strip_prefix('^') {
        Some(whole) => module == whole,
        None => named(module, name),
    };
    let found = patterns.iter().find(|(name, _)| fits(name));
    found.map(|(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::Family;

    fn lora(targets: Targets) -> LoraConfig {
        LoraConfig {
            r: 4,
            lora_alpha: 8.0,
            targets,
            ..LoraConfig::all_linear()
        }
    }

    #[test]
    fn sites_are_those_that_peft_would_adapt() {
        let config = DecoderConfig::new(Family::Llama, 50, 32, 2, 4);
        let all = lora(Targets::AllLinear).sites(&config).unwrap();
        assert_eq!(all.len(), 14);
        assert_eq!(all[1].module, "model.layers.0.self_attn.k_proj");
        assert_eq!(
            (all[1].linear.as_str(), all[1].columns.clone()),
            ("blocks.0.qkv", 32..64)
        );
        assert_eq!((all[1].rank, all[1].scale), (4, 2.0));
        let mut some = lora(Targets::Named(vec![
            "q_proj".into(),
            "layers.1.mlp.down_proj".into(),
        ]));
        let names = |lora: &LoraConfig| -> Vec<String> {
            let sites = lora.sites(&config).unwrap().into_iter();
            sites
                .map(|site| site.module.replace("model.layers.", ""))
                .collect()
        };
        assert_eq!(
            names(&some),
            [
                "0.self_attn.q_proj",
                "1.self_attn.q_proj",
                "1.mlp.down_proj"
            ]
        );
        some.layers_to_transform = Some(vec![1]);
        assert_eq!(names(&some), ["1.self_attn.q_proj", "1.mlp.down_proj"]);
        some.exclude_modules = vec!["mlp.down_proj".into()];
        assert_eq!(names(&some), ["1.self_attn.q_proj"]);
        some.rank_pattern = vec![("q_proj".into(), 16)];
        some.alpha_pattern = vec![("^model.layers.1.self_attn.q_proj".into(), 2.0)];
        some.use_rslora = true;
        let site = &some.sites(&config).unwrap()[0];
        assert_eq!((site.rank, site.scale), (16, 0.5));
        // "proj" is no module: names end at dots.
        let message = |name: &str| {
            let found = lora(Targets::Named(vec![name.into()])).sites(&config);
            found.unwrap_err().to_string()
        };
        assert!(message("proj").contains("some of down_proj, gate_proj, k_proj"));
        assert!(message("lm_head").contains("embeddings and heads are not given adapters"));
    }

    #[test]
    fn trained_values_are_counted() {
        // r 16 on all linear maps of SmolLM2-135M: PEFT prints 4,884,480.
        let mut config = DecoderConfig::new(Family::Llama, 49152, 576, 30, 9);
        (config.kv_heads, config.intermediate_size, config.tied) = (3, 1536, true);
        let mut lora = lora(Targets::AllLinear);
        lora.r = 16;
        assert_eq!(lora.parameters(&config).unwrap(), 4_884_480);
    }
}
