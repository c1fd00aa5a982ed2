//! `aif`: what a model's sampled replies are worth to a reward model (AIF, arXiv 2501.12698), what the world's
//! oracle says of them, and what else their surface shows: dullness, variety, length, and how far they are from a
//! reference. Beside an earlier model's measures, a reward that is hacked is called so.

use anyhow::{Context as _, Result, ensure};

use crate::data::{Example, Prompt};
use crate::eval::hacking::{Diagnostics, hacking};
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
use crate::stage::settings::splits::Split;
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
    version: 3,
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
        let examples = prompts(data, self.split, self.examples)?;
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
            flag(context, before, &mut measures)?;
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

/// Says where the reward has risen at the expense of what it stands for.
fn flag(context: &Context, before: &StageRef, measures: &mut Measures) -> Result<()> {
    let earlier = Measures::read(context.input(before))?;
    // A sign is looked for only in what both sides have; of replies, both have a length.
    let measured = |measures: &Measures| measures.numbers.contains_key("mean_length");
    ensure!(
        measured(measures) || !measured(&earlier),
        "the replies were compared before they were measured; this is a mistake in the program"
    );
    let compare = |earlier: &Diagnostics, now: &Diagnostics| {
        hacking(earlier, now).with_context(|| format!("against @{}", before.name))
    };
    let mut found: Vec<(String, String)> = Vec::new();
    for finding in compare(&diagnostics(&earlier), &diagnostics(measures))? {
        found.push((finding.name.to_owned(), finding.words));
    }
    // What the oracle knows of a reply's form is no part of what it stands for, but has to hold too.
    for form in ["well_formed", "on_topic", "naturalness"] {
        let alone = |measures: &Measures| Diagnostics {
            reward: items(measures, "aif").unwrap_or_default(),
            oracle: items(measures, &format!("oracle.{form}")),
            ..Diagnostics::default()
        };
        for finding in compare(&alone(&earlier), &alone(measures))? {
            found.push((form.to_owned(), finding.words));
        }
    }
    measures
        .numbers
        .insert("hacking".into(), found.len() as f64);
    if found.is_empty() {
        measures.note(format!(
            "no sign of reward hacking against @{}",
            before.name
        ));
    }
    for (name, words) in found {
        measures.note(format!(
            "reward hacking against @{} ({name}): {words}",
            before.name
        ));
    }
    Ok(())
}

/// The values of a number by reply, of the one seed that a stage is of.
fn items(measures: &Measures, name: &str) -> Option<Vec<Vec<f64>>> {
    measures.items.get(name).map(|items| vec![items.clone()])
}

fn diagnostics(measures: &Measures) -> Diagnostics {
    let items = |name: &str| items(measures, name);
    let number = |name: &str| measures.numbers.get(name).copied();
    Diagnostics {
        reward: items("aif").unwrap_or_default(),
        oracle: items("oracle"),
        dull: items("dull_rate"),
        distinct_2: number("distinct_2"),
        self_bleu: number("self_bleu"),
        mean_length: number("mean_length"),
        perplexity: number("reference_perplexity"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::store::{Stop, Store};

    /// A stage that is compared with the one whose measures lie in the folder.
    fn beside(dir: &Path) -> (Context, StageRef) {
        let before = StageRef {
            name: "before".into(),
        };
        let context = Context {
            dir: dir.to_owned(),
            seed: 0,
            backend: String::new(),
            inputs: [(before.name.clone(), dir.to_owned())].into(),
            label: "after".into(),
            stop: Stop::new(),
            store: Store::open(dir.join("store")).unwrap(),
        };
        (context, before)
    }

    #[test]
    fn a_reward_that_rises_while_variety_falls_is_hacked() {
        let dir = tempfile::tempdir().unwrap();
        let (context, before) = beside(dir.path());
        let measures = |reward: f64, distinct_2: f64| {
            let mut measures = Measures::default();
            measures.mean_score("aif", vec![reward; 50]);
            for (name, value) in [("mean_length", 9.0), ("distinct_2", distinct_2)] {
                measures.numbers.insert(name.into(), value);
            }
            measures
        };
        measures(0.0, 0.15).write(dir.path()).unwrap();
        for (reward, distinct_2, signs) in [(1.0, 0.05, 1.0), (1.0, 0.14, 0.0), (-1.0, 0.05, 0.0)] {
            let mut after = measures(reward, distinct_2);
            flag(&context, &before, &mut after).unwrap();
            assert_eq!(after.numbers["hacking"], signs, "{:?}", after.notes);
        }
        let mut early = Measures::default();
        early.mean_score("aif", vec![1.0; 50]);
        assert!(flag(&context, &before, &mut early).is_err());
    }

    #[test]
    fn a_reward_that_rises_while_form_falls_is_hacked() {
        let dir = tempfile::tempdir().unwrap();
        let (context, before) = beside(dir.path());
        let measures = |reward: f64, formed: f64| {
            let mut measures = Measures::default();
            measures.mean_score("aif", vec![reward; 50]);
            measures.mean("oracle.well_formed", vec![formed; 50]);
            measures
        };
        measures(0.0, 1.0).write(dir.path()).unwrap();
        for (reward, formed, signs) in [(1.0, 0.5, 1.0), (1.0, 1.0, 0.0), (-1.0, 0.5, 0.0)] {
            let mut after = measures(reward, formed);
            flag(&context, &before, &mut after).unwrap();
            assert_eq!(after.numbers["hacking"], signs, "{:?}", after.notes);
            let named = after.notes.iter().any(|it| it.contains("(well_formed)"));
            assert_eq!(named, signs > 0.0, "{:?}", after.notes);
        }
    }
}
