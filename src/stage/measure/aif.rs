//! `aif`: what a model's sampled replies are worth to a reward model (AIF, arXiv 2501.12698), what the world's
//! oracle says of them, and what else their surface shows: dullness, variety, length, and how far they are from a
//! reference. Beside an earlier model's measures, [what it has gained](before), and at what expense.

mod before;

use anyhow::{Context as _, Result};

use crate::data::{Example, Prompt};
use crate::judge::Scores;
use crate::stage::artifact::examples::prompts;
use crate::stage::artifact::measures::Measures;
use crate::stage::artifact::replied::Replied;
use crate::stage::artifact::sampled::Sampled;
use crate::stage::kind::{Context, Kind, Stage};
use crate::stage::modules;
use crate::stage::settings::keys::{COUNT, Keys, SIZE, StageRef};
use crate::stage::settings::produces::{EXAMPLES, Produces};
use crate::stage::settings::reward::RewardSettings;
use crate::stage::settings::sampling::SamplingSettings;
use crate::stage::settings::splits::{Group, Split};
use crate::stage::work::judge::oracle::Oracle;
use crate::stage::work::kl::{LogRatio, log_ratios};
use crate::stage::work::samples::Samples;
use crate::stage::work::scores::reply_reward::{ReplyReward, scorable};

pub const KIND: Kind = Kind {
    name: "aif",
    about: "sampled replies by a reward model, by the world's oracle, and by diagnostics",
    produces: Produces::Measure,
    // 2: kl and reference_perplexity are of the tokens that were drawn, after the prompt as it was read.
    // 3: signs of hacking are looked for in variety and length too, which 2 compared before it had measured them.
    // 4: what was gained, beside the measures before training.
    version: 4,
    uses_backend: true,
    modules: modules::JUDGING,
    read,
};

struct Aif {
    model: StageRef,
    data: StageRef,
    reward: RewardSettings,
    reference: Option<StageRef>,
    before: Option<StageRef>,
    split: Split,
    examples: usize,
    max_length: usize,
    sampling: SamplingSettings,
}

fn read(keys: &mut Keys<'_>) -> Box<dyn Stage> {
    Box::new(Aif {
        model: keys.stage("model", &[Produces::Model]),
        data: keys.stage("data", EXAMPLES),
        reward: RewardSettings::read(keys),
        reference: keys
            .doc("the model it was trained from: perplexity of the replies under it, and kl")
            .optional_stage("reference", &[Produces::Model]),
        before: keys
            .doc("the same measures of the model before training: says where the reward was hacked")
            .optional_stage("before", &[Produces::Measure]),
        split: Split::read(keys, "prompts"),
        examples: keys
            .doc("prompts replied to, the same for every model and seed; 0: all")
            .usize("examples", 300, 0..=COUNT),
        max_length: keys
            .doc("most tokens that a reply and its prompt have where kl counts them")
            .usize("max_length", 1024, 2..=SIZE),
        sampling: SamplingSettings::read(keys),
    })
}

impl Stage for Aif {
    fn run(&self, context: &Context) -> Result<()> {
        let data = context.input(&self.data);
        let examples = prompts(data, self.split, self.examples, Group::None)?;
        let mut measures = Measures::default();
        let models = (&self.model, self.reference.as_ref());
        let mut samples = Samples::draw(&self.sampling, context, models, examples, &mut measures)?;

        let both = samples.examples.iter().zip(&samples.sampled);
        let asked: Vec<(Prompt, Vec<String>)> = both
            .map(|(example, reply)| (example.prompt.clone(), vec![scorable(&reply.text)]))
            .collect();
        let (labels, worth) =
            self.reward
                .rewards_of(context, self.sampling.bf16, &asked, &mut measures)?;
        let worth: Vec<ReplyReward> = worth.into_iter().flatten().collect();
        measures.mean_score("aif", worth.iter().map(|it| it.reward).collect());
        for (place, label) in labels.iter().enumerate() {
            let scores = worth.iter().map(|it| it.scores[place]).collect();
            measures.mean_score(&format!("aif.{label}"), scores);
        }

        for (replied, worth) in samples.replied.iter_mut().zip(&worth) {
            replied.verdict = Some(format!("reward {:.2}", worth.reward));
        }
        if let Some(oracle) = Oracle::known(data)? {
            let (examples, replied) = (&samples.examples, &mut samples.replied);
            self.by_oracle(oracle, examples, replied, &mut measures)?;
        }
        if let Some(dullness) = &self.reward.dullness {
            let generic = dullness.learn(context)?;
            let replied = samples.replied.iter();
            let dull = replied.map(|it| f64::from(u8::from(generic.dull(&it.reply))));
            measures.mean("dull_rate", dull.collect());
            let replied = samples.replied.iter();
            let specificity: Vec<f64> = replied
                .map(|it| generic.specificity(&it.reply).unwrap_or(0.0))
                .collect();
            measures.mean("specificity", specificity);
        }
        if let Some(reference) = &self.reference {
            let sampled = samples.sampled.iter();
            let replies: Vec<&Sampled> = sampled
                .filter(|reply| reply.finished && !reply.text.trim().is_empty())
                .collect();
            self.by_reference(context, reference, &replies, &mut measures)?;
        }
        samples.measure(&mut measures);
        if let Some(before) = &self.before {
            let trusted = context.input(&self.reward.model);
            before::compare(
                context,
                (before, trusted),
                (&labels, self.reward.weights()),
                &mut measures,
            )?;
        }
        samples.finish(context, &measures)
    }
}

impl Aif {
    /// Adds `oracle.NAME` and, where the reward is a sum of impressions that the world knows, `oracle`, the sum of
    /// their true scores.
    fn by_oracle(
        &self,
        oracle: Oracle,
        examples: &[Example],
        replied: &mut [Replied],
        measures: &mut Measures,
    ) -> Result<()> {
        let mut all: Vec<Scores> = Vec::with_capacity(examples.len());
        for (example, replied) in examples.iter().zip(&*replied) {
            let scores = oracle
                .scores(example, &replied.reply)
                .with_context(|| format!("example {}", example.id))?;
            all.push(scores);
        }
        let names: Vec<String> = all
            .first()
            .into_iter()
            .flat_map(Scores::keys)
            .cloned()
            .collect();
        for name in names {
            // Only what is known of each reply can be compared reply by reply.
            let values: Option<Vec<f64>> = all.iter().map(|it| it.get(&name).copied()).collect();
            let Some(values) = values else { continue };
            let name_of = format!("oracle.{name}");
            match oracle == Oracle::ImpressionWorld && name != "dull" {
                true => measures.mean_score(&name_of, values),
                false => measures.mean(&name_of, values),
            }
        }
        let total = all
            .iter()
            .map(|scores| oracle.rewards(scores, self.reward.weights()))
            .collect::<Result<Option<Vec<f64>>>>();
        let Some(total) = total? else {
            return Ok(());
        };
        for (replied, total) in replied.iter_mut().zip(&total) {
            let verdict = replied.verdict.take().unwrap_or_default();
            replied.verdict = Some(format!("{verdict}, in truth {total:.2}"));
        }
        measures.mean_score("oracle", total);
        Ok(())
    }

    fn by_reference(
        &self,
        context: &Context,
        reference: &StageRef,
        replies: &[&Sampled],
        measures: &mut Measures,
    ) -> Result<()> {
        measures.note(format!(
            "kl and reference_perplexity: over the {} replies that are finished and not empty",
            replies.len()
        ));
        let models = [&self.model, reference];
        let how = (self.max_length, self.sampling.bf16);
        let moved = log_ratios(context, models, replies, how, measures)?;
        if moved.is_empty() {
            return Ok(());
        }
        let kl = moved.iter().map(LogRatio::log_ratio).sum::<f64>() / moved.len() as f64;
        let logp: f64 = moved.iter().map(|it| it.reference).sum();
        let tokens: usize = moved.iter().map(|it| it.tokens).sum();
        measures.numbers.insert("kl".into(), kl);
        let perplexity = (-logp / tokens as f64).exp();
        measures
            .numbers
            .insert("reference_perplexity".into(), perplexity);
        Ok(())
    }
}
