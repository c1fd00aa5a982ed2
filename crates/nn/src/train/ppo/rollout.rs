//! Sampling of a step's replies, and what the models say of them before the first update.

use burn::tensor::Tensor;

use crate::generate::{Request, generate};
use crate::model::forest::{Branch, Forest};
use crate::model::{Decoder, weights};
use crate::ops::Ops;
use crate::train::batches::ROW_WIDTH;
use crate::train::ppo::actor_critic::{ActorCritic, token_logps};
use crate::train::ppo::draw;
use crate::train::ppo::settings::PpoSettings;
use crate::train::ppo::targets::ScoredEpisodes;

/// One sampled reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Episode {
    /// Index of its prompt among those of the run.
    pub prompt: usize,
    /// Prompt and reply, with the EOS where that was drawn.
    pub tokens: Vec<u32>,
    /// Where the reply begins.
    pub scored_from: usize,
    /// Whether it ends in EOS.
    pub finished: bool,
}

impl Episode {
    /// The reply without its EOS.
    pub fn reply(&self) -> &[u32] {
        let end = self.tokens.len() - usize::from(self.finished);
        &self.tokens[self.scored_from..end]
    }

    /// Tokens that were drawn, the EOS among them.
    pub fn drawn(&self) -> usize {
        self.tokens.len() - self.scored_from
    }

    fn branch(&self) -> Branch<'_> {
        Branch::new(&self.tokens, self.scored_from)
    }
}

/// Samples a step's replies, `num_generations` to each of its prompts, one prompt's after another's.
pub fn sample<B: Ops>(
    policy: &Decoder<B>,
    prompts: &[Vec<u32>],
    settings: &PpoSettings,
    (seed, step): (u64, usize),
    device: &B::Device,
) -> Vec<Episode> {
    let drawn = draw::prompts(prompts.len(), settings.prompts_per_step(), seed, step);
    let generations = settings.num_generations;
    let asked: Vec<usize> = drawn
        .into_iter()
        .flat_map(|prompt| std::iter::repeat_n(prompt, generations))
        .collect();
    let requests: Vec<Request> = (0..asked.len())
        .map(|reply| Request {
            prompt: prompts[asked[reply]].clone(),
            stream: draw::stream(step, asked.len(), reply),
        })
        .collect();
    let batch = settings.generation_batch_size;
    let replies = generate(
        policy,
        &requests,
        &settings.sampling,
        seed,
        batch,
        device,
        |_| true,
    );
    let replies = replies.expect("nothing ends generation early");
    let episodes = requests.into_iter().zip(replies).zip(asked);
    episodes
        .map(|((request, reply), prompt)| {
            let mut tokens = request.prompt;
            let scored_from = tokens.len();
            let finished = reply.finished();
            tokens.extend(reply.into_drawn());
            Episode {
                prompt,
                tokens,
                scored_from,
                finished,
            }
        })
        .collect()
}

/// The replies of some groups in order, `generations` a group.
pub fn replies(groups: &[usize], generations: usize) -> impl Iterator<Item = usize> {
    let of = move |&group: &usize| group * generations..(group + 1) * generations;
    groups.iter().flat_map(of)
}

/// Groups of replies as trees: a prompt is computed once for all its replies.
pub fn forest(episodes: &[Episode], groups: &[usize], generations: usize) -> Forest {
    let trees: Vec<Vec<Branch<'_>>> = groups
        .iter()
        .map(|&group| {
            let replies = group * generations..(group + 1) * generations;
            replies
                .map(|reply| episodes[reply].branch())
                .collect::<Vec<_>>()
        })
        .collect();
    Forest::pack(&trees, ROW_WIDTH)
}

/// Log-probs and values of a step's replies, computed in the `batches` of groups that the first epoch's updates
/// have, so that its first ratios are exactly 1. Scores are left to the caller.
pub fn score_episodes<B: Ops>(
    model: &ActorCritic<B>,
    reference: &Decoder<B>,
    episodes: &[Episode],
    batches: &[Vec<usize>],
    settings: &PpoSettings,
) -> ScoredEpisodes {
    let (generations, temperature) = (settings.num_generations, settings.sampling.temperature);
    let mut known = ScoredEpisodes {
        scores: Vec::new(),
        logps: vec![Vec::new(); episodes.len()],
        reference: vec![Vec::new(); episodes.len()],
        values: vec![Vec::new(); model.value.as_ref().map_or(0, |_| episodes.len())],
    };
    for groups in batches {
        let forest = forest(episodes, groups, generations);
        let fill = |places: &mut [Vec<f64>], values: Tensor<B, 1>| {
            let mut values = weights::host(values).into_iter().map(f64::from);
            for reply in replies(groups, generations) {
                places[reply] = values.by_ref().take(episodes[reply].drawn()).collect();
            }
        };
        let states = model.read(&forest, temperature);
        fill(&mut known.logps, states.logps);
        fill(
            &mut known.reference,
            token_logps(reference, &forest, temperature),
        );
        if let Some(values) = states.values {
            fill(&mut known.values, values);
        }
    }
    known
}
