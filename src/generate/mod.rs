//! The generation engine: token ids in, token ids out, with a key-value cache.

mod sampler;

use burn::tensor::{Tensor, backend::Backend};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::model::Decoder;
use crate::model::decoder::{KeyValues, int_tensor};
use crate::ops::{Ops, visibility_bias};
pub use sampler::Sampling;

/// A prompt to go on from.
#[derive(Clone, Debug)]
pub struct Request {
    /// At least one token.
    pub prompt: Vec<u32>,
    /// Which stream of the seed this prompt draws from. The draw depends on seed, stream and prompt,
    /// never on what else is in the batch.
    pub stream: u64,
}

/// What came after a prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// New tokens, without the one that ended the reply.
    pub tokens: Vec<u32>,
    /// True if a stop token ended it, false if `max_new_tokens` or the model's context did.
    pub finished: bool,
}

/// Draws one reply for each request, `batch` at a time; `done` is told how many are complete.
/// `keep_going` is asked between batches: once it says no, nothing more is drawn.
///
/// # Panics
///
/// If a prompt is empty.
pub fn generate<B: Ops>(
    model: &Decoder<B>,
    requests: &[Request],
    sampling: &Sampling,
    seed: u64,
    batch: usize,
    device: &B::Device,
    mut done: impl FnMut(usize) -> bool,
) -> Option<Vec<Reply>> {
    // Prompts of like length share a batch, so little is spent on filling.
    let mut order: Vec<usize> = (0..requests.len()).collect();
    order.sort_by_key(|&i| requests[i].prompt.len());
    let mut replies = vec![None; requests.len()];
    let mut complete = 0;
    for indices in order.chunks(batch.max(1)) {
        let mut running = Running::start(model, requests, indices, seed, device);
        running.finish(model, sampling, device);
        complete += indices.len();
        for sequence in running.sequences.into_iter().chain(running.ended) {
            replies[sequence.index] = Some(Reply {
                tokens: sequence.tokens[sequence.prompt..].to_vec(),
                finished: sequence.finished,
            });
        }
        if !done(complete) {
            return None;
        }
    }
    replies.into_iter().collect()
}

struct Sequence {
    index: usize,
    tokens: Vec<u32>,
    prompt: usize,
    /// Columns of filling before the first token.
    filling: usize,
    rng: ChaCha8Rng,
    finished: bool,
}

/// A batch under way. All sequences end in the same column; shorter prompts have filling in front,
/// which no token sees.
struct Running<B: Backend> {
    sequences: Vec<Sequence>,
    ended: Vec<Sequence>,
    cache: Vec<Option<KeyValues<B>>>,
    /// Logits of the next token, `[sequences, vocabulary]`.
    logits: Tensor<B, 2>,
}

impl<B: Ops> Running<B> {
    fn start(
        model: &Decoder<B>,
        requests: &[Request],
        indices: &[usize],
        seed: u64,
        device: &B::Device,
    ) -> Self {
        let width = indices
            .iter()
            .map(|&i| requests[i].prompt.len())
            .max()
            .unwrap_or(0);
        let sequences: Vec<Sequence> = indices
            .iter()
            .map(|&index| {
                let request = &requests[index];
                assert!(
                    !request.prompt.is_empty(),
                    "a prompt has at least one token"
                );
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                rng.set_stream(request.stream);
                Sequence {
                    index,
                    tokens: request.prompt.clone(),
                    prompt: request.prompt.len(),
                    filling: width - request.prompt.len(),
                    rng,
                    finished: false,
                }
            })
            .collect();
        let rows = sequences.len();
        let mut tokens = Vec::with_capacity(rows * width);
        let mut positions = Vec::with_capacity(rows * width);
        let mut visible = vec![false; rows * width * width];
        let window = model.config.sliding_window.unwrap_or(usize::MAX);
        for (row, sequence) in sequences.iter().enumerate() {
            let filling = sequence.filling;
            tokens.extend(std::iter::repeat_n(0, filling));
            tokens.extend(&sequence.tokens);
            positions.extend((0..width).map(|column| column.saturating_sub(filling) as u32));
            for query in 0..width {
                let base = (row * width + query) * width;
                visible[base + query] = true;
                for key in filling..query {
                    visible[base + key] = query - key < window;
                }
            }
        }
        let mut cache = vec![None; model.config.layers];
        let hidden = model.cached_hidden(
            &tokens,
            &positions,
            &visibility_bias(&visible, [rows, width, width], device),
            &mut cache,
        );
        let last = hidden.narrow(1, width - 1, 1);
        Self {
            sequences,
            ended: Vec::new(),
            logits: logits(model, last),
            cache,
        }
    }

    fn finish(&mut self, model: &Decoder<B>, sampling: &Sampling, device: &B::Device) {
        let vocabulary = model.config.vocab_size;
        let window = model.config.sliding_window.unwrap_or(usize::MAX);
        loop {
            let data = self.logits.to_data().convert::<f32>();
            let mut values = data.into_vec::<f32>().expect("converted to f32");
            let mut live = Vec::new();
            for (row, sequence) in self.sequences.iter_mut().enumerate() {
                let new = sequence.tokens.len() - sequence.prompt;
                let full = sequence.tokens.len() >= model.config.max_positions;
                if new >= sampling.max_new_tokens || full {
                    continue;
                }
                let row_logits = &mut values[row * vocabulary..(row + 1) * vocabulary];
                let token = sampling.next(row_logits, &sequence.tokens, new, &mut sequence.rng);
                if sampling.stop.contains(&token) {
                    sequence.finished = true;
                    continue;
                }
                sequence.tokens.push(token);
                if new + 1 < sampling.max_new_tokens {
                    live.push(row);
                }
            }
            if live.is_empty() {
                return;
            }
            if live.len() < self.sequences.len() {
                self.keep(&live, device);
            }
            let rows = self.sequences.len();
            let keys = self.sequences[0].filling + self.sequences[0].tokens.len();
            let mut visible = vec![false; rows * keys];
            let mut positions = Vec::with_capacity(rows);
            let mut tokens = Vec::with_capacity(rows);
            for (row, sequence) in self.sequences.iter().enumerate() {
                for key in sequence.filling..keys {
                    visible[row * keys + key] = keys - 1 - key < window;
                }
                positions.push(sequence.tokens.len() as u32 - 1);
                tokens.push(sequence.tokens[sequence.tokens.len() - 1]);
            }
            let hidden = model.cached_hidden(
                &tokens,
                &positions,
                &visibility_bias(&visible, [rows, 1, keys], device),
                &mut self.cache,
            );
            self.logits = logits(model, hidden);
        }
    }

    /// Drops the sequences that have ended, and their cache.
    fn keep(&mut self, live: &[usize], device: &B::Device) {
        let rows = int_tensor::<B>(live.iter().map(|&row| row as i32).collect(), device);
        for entry in self.cache.iter_mut().flatten() {
            entry.key = entry.key.clone().select(0, rows.clone());
            entry.value = entry.value.clone().select(0, rows.clone());
        }
        let mut row = 0;
        let (kept, ended): (Vec<_>, Vec<_>) = std::mem::take(&mut self.sequences)
            .into_iter()
            .partition(|_| {
                row += 1;
                live.contains(&(row - 1))
            });
        self.sequences = kept;
        self.ended.extend(ended);
    }
}

/// Logits after a single column, `[rows, 1, hidden]` to `[rows, vocabulary]`.
fn logits<B: Ops>(model: &Decoder<B>, hidden: Tensor<B, 3>) -> Tensor<B, 2> {
    let [rows, _, size] = hidden.dims();
    hidden
        .reshape([rows, size])
        .matmul(model.head().transpose())
}
