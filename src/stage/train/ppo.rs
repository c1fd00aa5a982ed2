//! `ppo`: reinforcement learning from a reward, by PPO, RLOO or GRPO.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};

use crate::data::{Example, Tokenizer};
use crate::engine::{self, LoraSettings, PpoModels, Trained, Values};
use crate::generate::Sampling;
use crate::model::{DecoderConfig, hf};
use crate::stage::artifact::examples::prompts;
use crate::stage::artifact::folder::{self, LanguageModel, model_dir, same_tokenizer};
use crate::stage::artifact::generation;
use crate::stage::artifact::measures::Measures;
use crate::stage::kind::{Context, Kind, Stage};
use crate::stage::modules;
use crate::stage::settings::keys::{COUNT, Keys, StageRef};
use crate::stage::settings::lora;
use crate::stage::settings::ppo::{self, Trunk};
use crate::stage::settings::precision::{Bf16, SavedAs};
use crate::stage::settings::produces::{EXAMPLES, Produces};
use crate::stage::settings::reward::RewardSource;
use crate::stage::settings::sampling::PromptKept;
use crate::stage::settings::splits::{Group, Split};
use crate::stage::settings::trainer::read_checkpointing;
use crate::stage::work::training::{memory, preview};
use crate::store::read_metrics;
use crate::train::checkpoint;
use crate::train::ppo::{PpoJob, PpoOutcome, PpoSettings};

pub const KIND: Kind = Kind {
    name: "ppo",
    about: "reinforcement learning from a reward model: PPO, RLOO or GRPO",
    produces: Produces::Model,
    // 2: a reward model reads a reply as it follows its prompt; the saved folder keeps its source's type of weights and
    // generation_config.json, and names the EOS trained with.
    version: 2,
    uses_backend: true,
    modules: modules::REINFORCING,
    read,
};

struct Reinforce {
    model: StageRef,
    reference: Option<StageRef>,
    data: StageRef,
    split: Split,
    skip: usize,
    examples: usize,
    reward_source: RewardSource,
    settings: PpoSettings,
    dtype: SavedAs,
    kept: PromptKept,
    bf16: Bf16,
    gradient_checkpointing: bool,
    trunk: Trunk,
    lora: Option<LoraSettings>,
}

fn read(keys: &mut Keys<'_>) -> Box<dyn Stage> {
    let model = keys.stage("model", &[Produces::Model]);
    let data = keys.stage("data", EXAMPLES);
    let reward_source = RewardSource::read(keys);
    let (settings, trunk) = ppo::read(keys);
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
        reward_source,
        settings,
        dtype: SavedAs::read(keys),
        kept: PromptKept::read(keys),
        bf16: Bf16::read(keys),
        gradient_checkpointing: read_checkpointing(keys),
        trunk,
        lora: lora::read(keys),
    })
}

impl Stage for Reinforce {
    fn run(&self, context: &Context) -> Result<()> {
        for other in self.reference.iter().chain(self.trunk.iter().flatten()) {
            same_tokenizer(context, &self.model, other)?;
        }
        self.reward_source.guard(context)?;
        let mut measures = Measures::default();
        let LanguageModel {
            dir,
            config,
            tokenizer,
        } = LanguageModel::read(context.input(&self.model))?;
        let examples = self.examples(context)?;
        let prompts = self.encoded(context, &tokenizer, &examples, &mut measures)?;
        let settings = PpoSettings {
            sampling: Sampling {
                stop: generation::stops(&dir, (&tokenizer, &config))?,
                ..self.settings.sampling.clone()
            },
            ..self.settings.clone()
        };
        let scored = (&*examples, &*prompts, &tokenizer);
        let reward_source = &self.reward_source;
        let mut reward = reward_source.open(context, &self.data, scored, self.bf16)?;
        let job = PpoJob {
            label: &context.label,
            settings: &settings,
            prompts: &prompts,
            dir: &context.dir,
            seed: context.seed,
            stop: &context.stop,
        };
        let reference = self.reference.as_ref();
        let reference = reference.map(|it| LanguageModel::read(context.input(it)));
        let reference = reference.transpose()?;
        let trunk = self.trunk.as_ref().map(|start| match start {
            Some(start) => model_dir(context.input(start)),
            None => dir.clone(),
        });
        let models = PpoModels {
            policy: &dir,
            reference: reference.as_ref().map(|it| &*it.dir),
            values: match (&trunk, settings.algorithm.has_values()) {
                (_, false) => Values::Nothing,
                (None, true) => Values::Policy,
                (Some(start), true) => Values::Own(start),
            },
            lora: self.lora.as_ref(),
        };
        let mut device = self.bf16.device(&context.backend);
        device.compute.recompute = self.gradient_checkpointing;
        let outcome = engine::ppo(device, models, &job, &mut reward)?;
        reward.note(&mut measures);
        measure(context, &outcome, &mut measures)?;
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
        if let Some(adapted) = &policy.adapted {
            let trained = adapted.lora.parameters(&policy.config)?;
            folder::note_adapter(&mut measures, adapted, trained);
        }
        folder::write_trained(&context.dir, &policy, &tokenizer, (&dir, self.dtype), &card)?;
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
        if let Some(lora) = &self.lora {
            text.push_str(&preview::adapters(
                &model_dir(context.input(&self.model)),
                lora,
                false,
            )?);
        }
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
        let mut all = prompts(context.input(&self.data), self.split, wanted, Group::None)?;
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

/// What a run came to; of time, the seconds that a thousand replies took.
fn measure(
    context: &Context,
    outcome: &PpoOutcome<Trained>,
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
    memory::note_peak(measures);
    Ok(())
}
