//! `scratch`: a decoder of given shape with seeded random weights.

use anyhow::{Result, bail};

use crate::data::Tokenizer;
use crate::model::config::Family;
use crate::model::{DecoderConfig, weights};
use crate::stage::folder;
use crate::stage::keys::{Keys, StageRef};
use crate::stage::kind::{Context, Kind, Produces, Stage};
use crate::store::BadInput;

pub const KIND: Kind = Kind {
    name: "scratch",
    about: "a decoder of given shape with seeded random weights",
    produces: Produces::Model,
    version: 1,
    uses_backend: false,
    read,
};

/// Far above what is trained from scratch, and low enough that no product of two overflows.
const WIDEST: usize = 1 << 16;
const MOST_LAYERS: usize = 1 << 10;
const LONGEST: usize = 1 << 20;

/// Weights that are drawn on the host, in f32, with their copy on the device: 8 GB.
const MOST_PARAMETERS: usize = 1 << 30;

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
    let hidden_size = keys.usize("hidden_size", 128, 2..=WIDEST);
    let heads = keys.usize("num_attention_heads", 4, 1..=WIDEST);
    let kv_heads = keys.usize("num_key_value_heads", heads, 1..=WIDEST);
    let family = keys.one_of(
        "model_type",
        "llama",
        &[
            ("llama", Family::Llama),
            ("gpt2", Family::Gpt2),
            ("mistral", Family::Mistral),
            ("qwen2", Family::Qwen2),
        ],
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
    if family == Family::Gpt2 && kv_heads != heads {
        keys.problem(
            "num_key_value_heads",
            "GPT-2 has no grouped-query attention",
        );
    }
    Box::new(Scratch {
        tokenizer: keys.stage("tokenizer", &[Produces::Tokenizer]),
        family,
        hidden_size,
        layers: keys.usize("num_hidden_layers", 2, 1..=MOST_LAYERS),
        heads,
        kv_heads,
        intermediate_size: keys.usize("intermediate_size", 4 * hidden_size, 1..=4 * WIDEST),
        max_positions: keys.usize("max_position_embeddings", 1024, 2..=LONGEST),
        tied: keys.bool("tie_word_embeddings", true),
        initializer_range: keys.float("initializer_range", 0.02, 1e-6..=1.0),
    })
}

impl Stage for Scratch {
    fn run(&self, context: &Context) -> Result<()> {
        let tokenizer = Tokenizer::open(context.input(&self.tokenizer))?;
        let config = DecoderConfig {
            kv_heads: self.kv_heads,
            intermediate_size: self.intermediate_size,
            max_positions: self.max_positions,
            norm_eps: 1e-5,
            tied: self.tied,
            bos: tokenizer.bos(),
            eos: Some(tokenizer.eos()),
            ..DecoderConfig::new(
                self.family,
                tokenizer.vocab_size(),
                self.hidden_size,
                self.layers,
                self.heads,
            )
        };
        let problems = config.validate();
        if !problems.is_empty() {
            bail!(BadInput(format!(
                "{}: {}",
                context.label,
                problems.join("; ")
            )));
        }
        if config.parameters() > MOST_PARAMETERS {
            bail!(BadInput(format!(
                "{}: {} parameters, where {MOST_PARAMETERS} are the most that a model from scratch may have; lower \
                 hidden_size ({}), intermediate_size ({}), num_hidden_layers ({}), or the tokenizer's vocab_size ({})",
                context.label,
                config.parameters(),
                config.hidden_size,
                config.intermediate_size,
                config.layers,
                config.vocab_size
            )));
        }
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
