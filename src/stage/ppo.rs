//! `ppo`: reinforcement learning from a reward, by PPO, RLOO or GRPO.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use burn::module::AutodiffModule;

use crate::backend::{self, Work};
use crate::data::{Example, Tokenizer};
use crate::generate::Sampling;
use crate::model::decoder::Compute;
use crate::model::hf;
use crate::model::{Decoder, DecoderConfig, weights};
use crate::ops::{Ops, TrainBackend};
use crate::stage::corpus::{self, Split};
use crate::stage::fit::read_checkpointing;
use crate::stage::folder::{self, SavedAs, model_dir, same_tokenizer};
use crate::stage::generation;
use crate::stage::judged::prompts;
use crate::stage::keys::{COUNT, Keys, StageRef};
use crate::stage::kind::{Context, Kind, Produces, Stage};
use crate::stage::measures::Measures;
use crate::stage::precision::Bf16;
use crate::stage::rewarding::Rewarding;
use crate::stage::sampling::PromptKept;
use crate::stage::{memory, ppo_keys};
use crate::store::read_metrics;
use crate::train::checkpoint;
use crate::train::ppo::{ActorCritic, PpoJob, PpoOutcome, PpoSettings, ValueHead, train};

pub const KIND: Kind = Kind {
    name: "ppo",
    about: "reinforcement learning from a reward model: PPO, RLOO or GRPO",
    produces: Produces::Model,
    // 2: a reward model reads a reply as it follows its prompt; the saved folder keeps its source's type of weights and
    // generation_config.json, and names the EOS trained with.
    version: 2,
    uses_backend: true,
    read,
};

struct Reinforce {
    model: StageRef,
    reference: Option<StageRef>,
    data: StageRef,
    split: Split,
    skip: usize,
    examples: usize,
    rewarding: Rewarding,
    settings: PpoSettings,
    dtype: SavedAs,
    kept: PromptKept,
    bf16: Bf16,
    gradient_checkpointing: bool,
    /// Whether the value head has a trunk of its own, and of whose weights.
    trunk: Option<Option<StageRef>>,
}

fn read(keys: &mut Keys<'_>) -> Box<dyn Stage> {
    let model = keys.stage("model", &[Produces::Model]);
    let data = keys.stage("data", corpus::EXAMPLES);
    let rewarding = Rewarding::read(keys);
    let settings = ppo_keys::read(keys);
    let trunk = match settings.algorithm.has_values() {
        true => read_trunk(keys),
        false => None,
    };
    Box::new(Reinforce {
        model,
        reference: keys
            .doc("the model that training is held to; where left out, the one it starts from")
            .optional_stage("reference", &[Produces::Model]),
        data,
        split: Split::read(keys, "prompts"),
        skip: keys
            .doc("prompts left out at the front, such as those that models are judged on")
            .usize("skip", 0, 0..=COUNT),
        examples: keys
            .doc(
                "prompts replied to, in an order that is the same for every model and seed; 0: all",
            )
            .usize("examples", 0, 0..=COUNT),
        rewarding,
        settings,
        dtype: SavedAs::read(keys),
        kept: PromptKept::read(keys),
        bf16: Bf16::read(keys),
        gradient_checkpointing: read_checkpointing(keys),
        trunk,
    })
}

fn read_trunk(keys: &mut Keys<'_>) -> Option<Option<StageRef>> {
    let separate = keys
        .doc("whether values are read from the policy's own hidden states or a second model's")
        .one_of(
            "value_head",
            "separate",
            &[("shared", false), ("separate", true)],
        );
    if !separate {
        ppo_keys::refuse(keys, "value_model", "value_head = \"separate\"");
        return None;
    }
    let start = keys
        .doc("whose weights that second model starts from; where left out, the policy's")
        .optional_stage("value_model", &[Produces::Model, Produces::RewardModel]);
    Some(start)
}

impl Stage for Reinforce {
    fn run(&self, context: &Context) -> Result<()> {
        for other in self.reference.iter().chain(self.trunk.iter().flatten()) {
            same_tokenizer(context, &self.model, other)?;
        }
        self.rewarding.guard(context)?;
        let mut measures = Measures::default();
        let (tokenizer, _) = self.source(context)?;
        let examples = self.examples(context)?;
        let prompts = self.encoded(context, &tokenizer, &examples, &mut measures)?;
        let work = Train {
            stage: self,
            context,
            tokenizer: &tokenizer,
            examples: &examples,
            prompts: &prompts,
            measures: &mut measures,
        };
        backend::dispatch(&context.backend, work)??;
        measures.write(&context.dir)?;
        checkpoint::discard(&context.dir)
    }

    fn preview(&self, context: &Context) -> Result<Option<String>> {
        let (tokenizer, config) = self.source(context)?;
        let examples = self.examples(context)?;
        let mut measures = Measures::default();
        let prompts = self.encoded(context, &tokenizer, &examples, &mut measures)?;
        let settings = &self.settings;
        let tokens: usize = prompts.iter().map(Vec::len).sum();
        let mut text = format!(
            "  {} parameters ({}), {} prompts of {:.0} tokens on average\n  {} steps of {} replies to {} prompts, {} \
             updates of {} replies each\n",
            config.parameters(),
            config.family.name(),
            prompts.len(),
            tokens as f64 / prompts.len() as f64,
            settings.steps(prompts.len()),
            settings.batch_size(),
            settings.prompts_per_step(),
            settings.num_mini_batches * settings.num_ppo_epochs,
            settings.minibatch_size(),
        );
        for note in &measures.notes {
            text.push_str(&format!("  {note}\n"));
        }
        Ok(Some(text))
    }
}

impl Reinforce {
    /// The tokenizer and shape of the model that is trained.
    fn source(&self, context: &Context) -> Result<(Tokenizer, DecoderConfig)> {
        let dir = model_dir(context.input(&self.model));
        Ok((Tokenizer::open(&dir)?, hf::open(&dir)?.0))
    }

    /// The examples whose prompts are replied to.
    fn examples(&self, context: &Context) -> Result<Vec<Example>> {
        let wanted = match self.examples {
            0 => 0,
            examples => self.skip.saturating_add(examples),
        };
        let mut all = prompts(context.input(&self.data), self.split, wanted)?;
        ensure!(
            self.skip < all.len(),
            "skip leaves out {} prompts, but there are {}",
            self.skip,
            all.len()
        );
        all.drain(..self.skip);
        Ok(all)
    }

    /// Their tokens, the oldest cut where a reply would not fit, and counted.
    fn encoded(
        &self,
        context: &Context,
        tokenizer: &Tokenizer,
        examples: &[Example],
        measures: &mut Measures,
    ) -> Result<Vec<Vec<u32>>> {
        let own = self.trunk.as_ref().and_then(Option::as_ref);
        let others: Vec<&StageRef> = self.reference.iter().chain(own).collect();
        self.kept.encode(
            context,
            (&self.model, &others),
            (tokenizer, self.settings.sampling.max_new_tokens),
            examples.iter().map(|example| &example.prompt),
            measures,
        )
    }
}

struct Train<'a> {
    stage: &'a Reinforce,
    context: &'a Context,
    tokenizer: &'a Tokenizer,
    examples: &'a [Example],
    prompts: &'a [Vec<u32>],
    measures: &'a mut Measures,
}

impl Work for Train<'_> {
    type Output = Result<()>;

    fn run<B: TrainBackend>(self, device: &B::Device) -> Result<()> {
        let Self { stage, context, .. } = self;
        let source = context.input(&stage.model);
        let precision = stage.bf16.on::<B::InnerBackend>(context, device)?;
        let compute = Compute {
            precision,
            recompute: stage.gradient_checkpointing,
        };
        let (mut policy, _) = folder::open::<B>(source, device)?;
        policy.compute = compute;
        let reference = match &stage.reference {
            Some(reference) => folder::open::<B::InnerBackend>(context.input(reference), device)?.0,
            None => policy.valid(),
        };
        let reference = reference.frozen(precision);
        let value = match (&stage.trunk, stage.settings.algorithm.has_values()) {
            (_, false) => None,
            (None, true) => Some(ValueHead::zeros(None, policy.config.hidden_size, device)),
            (Some(start), true) => {
                let start = start.as_ref().map_or(source, |start| context.input(start));
                // Read anew even where it starts as the policy: its parameters are others.
                let (mut trunk, _): (Decoder<B>, _) = folder::open_any(&model_dir(start), device)?;
                trunk.compute = compute;
                let hidden = trunk.config.hidden_size;
                Some(ValueHead::zeros(Some(trunk), hidden, device))
            }
        };
        let settings = PpoSettings {
            sampling: Sampling {
                stop: generation::stops(&model_dir(source), (self.tokenizer, &policy.config))?,
                ..stage.settings.sampling.clone()
            },
            ..stage.settings.clone()
        };
        let scored = (self.examples, self.prompts, self.tokenizer);
        let mut reward = stage.rewarding.open::<B::InnerBackend>(
            context,
            &stage.data,
            scored,
            stage.bf16,
            device,
        )?;
        let job = PpoJob {
            label: &context.label,
            settings: &settings,
            prompts: self.prompts,
            dir: &context.dir,
            seed: context.seed,
            stop: &context.stop,
        };
        let model = ActorCritic { policy, value };
        let outcome = train(model, &reference, &job, &mut reward, device)?;
        reward.note(self.measures);
        measure(context, &outcome, self.measures)?;
        let policy = outcome.policy;
        let card = format!(
            "# {}\n\nTrained with Rapport by reinforcement learning: {} steps, {} replies, weights of step {} kept, {} \
             parameters, seed {}. The settings are in `artifact.json` beside this folder.\n",
            context.label,
            outcome.steps,
            outcome.state.episodes,
            outcome.kept_step,
            policy.config.parameters(),
            context.seed
        );
        folder::write(
            &context.dir,
            &policy.config,
            |name| weights::read(&policy, name),
            self.tokenizer,
            Some((&model_dir(source), stage.dtype)),
            &card,
        )
    }
}

/// What a run came to; of time, the seconds that a thousand replies took.
fn measure<B: Ops>(
    context: &Context,
    outcome: &PpoOutcome<B>,
    measures: &mut Measures,
) -> Result<()> {
    let state = &outcome.state;
    let parameters = outcome.policy.config.parameters();
    let numbers = [
        ("parameters", parameters as f64),
        ("steps", outcome.steps as f64),
        ("kept_step", outcome.kept_step as f64),
        ("episodes", state.episodes as f64),
        ("updates", state.updates as f64),
        ("early_stops", state.early_stops as f64),
        ("kl_coef", state.kl_coef),
        ("scores", state.last.scores),
        ("objective_kl", state.last.kl),
    ];
    let numbers = numbers.map(|(name, number)| (name.to_owned(), number));
    measures.numbers.extend(BTreeMap::from(numbers));
    let lines = read_metrics(&context.dir.join("metrics.jsonl"))?;
    let seconds = lines
        .iter()
        .filter_map(|line| line.get("seconds")?.as_f64());
    let varying = &mut measures.varying;
    varying.insert(
        "seconds_per_1000_episodes".into(),
        1000.0 * seconds.sum::<f64>() / state.episodes as f64,
    );
    if let Some(bytes) = memory::peak() {
        varying.insert("peak_memory_gb".into(), bytes / 1e9);
    }
    Ok(())
}
