//! `scratch`: a decoder of given shape with seeded random weights.

use anyhow::{Result, bail};

use crate::data::Tokenizer;
use crate::model::family::Family;
use crate::model::{DecoderConfig, weights};
use crate::report::Machine;
use crate::stage::artifact::folder;
use crate::stage::kind::{Context, Kind, Stage};
use crate::stage::modules;
use crate::stage::settings::keys::{Keys, SIZE, StageRef};
use crate::stage::settings::produces::Produces;
use crate::store::BadInput;

pub const KIND: Kind = Kind {
    name: "scratch",
    about: "a decoder of given shape with seeded random weights",
    produces: Produces::Model,
    version: 1,
    uses_backend: false,
    modules: modules::MODELS,
    read,
};

struct Scratch {
    tokenizer: StageRef,
    family: Family,
    hidden_size: usize,
    layers: usize,
    heads: usize,
    kv_heads: usize,
    intermediate_size: usize,
    max_positions: usize,
    tied: bool,
    initializer_range: f64,
}

fn read(keys: &mut Keys<'_>) -> Box<dyn Stage> {
    let hidden_size = keys.usize("hidden_size", 128, 2..=SIZE);
    let heads = keys.usize("num_attention_heads", 4, 1..=SIZE);
    let kv_heads = keys.usize("num_key_value_heads", heads, 1..=SIZE);
    let family = keys.one_of(
        "model_type",
        "llama",
        &Family::ALL.map(|family| (family.name(), family)),
    );
    if !hidden_size.is_multiple_of(2 * heads) {
        keys.problem(
            "hidden_size",
            format!(
                "expected a multiple of twice num_attention_heads ({heads}), found {hidden_size}"
            ),
        );
    }
    if !heads.is_multiple_of(kv_heads) {
        keys.problem(
            "num_key_value_heads",
            format!("expected a divisor of num_attention_heads ({heads}), found {kv_heads}"),
        );
    }
    if family.traits().spelling.kv_heads.is_none() && kv_heads != heads {
        keys.problem(
            "num_key_value_heads",
            format!("{} has no grouped-query attention", family.name()),
        );
    }
    let scratch = Scratch {
        tokenizer: keys.stage("tokenizer", &[Produces::Tokenizer]),
        family,
        hidden_size,
        layers: keys.usize("num_hidden_layers", 2, 1..=MOST_LAYERS),
        heads,
        kv_heads,
        intermediate_size: keys.usize("intermediate_size", 4 * hidden_size, 1..=SIZE),
        max_positions: keys.usize("max_position_embeddings", 1024, 2..=SIZE),
        tied: keys.bool("tie_word_embeddings", true),
        initializer_range: keys.float("initializer_range", 0.02, 1e-6..=1.0),
    };
    if scratch.intermediate_size > SIZE {
        keys.problem(
            "intermediate_size",
            format!(
                "expected at most {SIZE}, found 4 times hidden_size ({}), its default",
                scratch.intermediate_size
            ),
        );
    }
    // How many tokens the tokenizer will have is not known yet.
    let least = scratch.config(1).parameters();
    if least > MOST_PARAMETERS {
        keys.problem(
            "hidden_size",
            format!(
                "expected a model of at most {MOST_PARAMETERS} parameters, found at least {least}; lower \
                 hidden_size, intermediate_size or num_hidden_layers"
            ),
        );
    }
    Box::new(scratch)
}

/// Far above any published model, and low enough that counting parameters cannot overflow.
const MOST_LAYERS: usize = 4096;

/// A terabyte of weights in f32, which are drawn in one process.
const MOST_PARAMETERS: usize = 1 << 38;

impl Scratch {
    /// The decoder over a vocabulary of that size.
    fn config(&self, vocab_size: usize) -> DecoderConfig {
        DecoderConfig {
            kv_heads: self.kv_heads,
            intermediate_size: self.intermediate_size,
            max_positions: self.max_positions,
            norm_eps: 1e-5,
            tied: self.tied,
            ..DecoderConfig::new(
                self.family,
                vocab_size,
                self.hidden_size,
                self.layers,
                self.heads,
            )
        }
    }
}

/// Asks for room for the weights and their copy on the way to the file.
fn check_memory(parameters: usize) -> Result<()> {
    let need = 2 * size_of::<f32>() * parameters;
    let need = need as f64 / f64::from(1 << 30);
    if let Some(have) = Machine::this().memory_gb
        && need > have
    {
        bail!(BadInput(format!(
            "a model of {parameters} parameters needs {need:.1} GB of memory to be drawn, this machine has {have}; \
             lower hidden_size, intermediate_size or num_hidden_layers"
        )));
    }
    Ok(())
}

impl Stage for Scratch {
    fn run(&self, context: &Context) -> Result<()> {
        let tokenizer = Tokenizer::open(context.input(&self.tokenizer))?;
        let config = DecoderConfig {
            bos: tokenizer.bos(),
            eos: Some(tokenizer.eos()),
            ..self.config(tokenizer.vocab_size())
        };
        let problems = config.validate();
        if !problems.is_empty() {
            bail!(BadInput(problems.join("; ")));
        }
        check_memory(config.parameters())?;
        let mut arrays = weights::random(&config, self.initializer_range, context.seed);
        let card = format!(
            "# An untrained {} of {} parameters\n\nRandom weights (seed {}), written by Rapport as the \
             start of a training run.\n",
            self.family.name(),
            config.parameters(),
            context.seed
        );
        let values = |name: &str| arrays.remove(name).map(|(_, values)| values);
        folder::write(&context.dir, &config, values, &tokenizer, None, &card)
    }
}
