//! Continuous batching: sequences begin as others end, and take one step together.

use std::collections::VecDeque;
use std::ops::Range;

use burn::tensor::Tensor;
use rayon::prelude::*;

use crate::generate::growing::Growing;
use crate::generate::prompts::{Layout, common};
use crate::generate::slots::{Slots, Span, capacity};
use crate::generate::{Reply, Request, Sampling};
use crate::model::config::Attends;
use crate::model::views::{TreeViews, angles};
use crate::model::{Decoder, DecoderConfig};
use crate::ops::{Angles, CacheView, KvCache, Ops};

/// Prompt tokens computed at once, unless one prompt has more: enough to keep a processor busy, and
/// few enough for their activations to stay small.
const PREFILL: usize = 2048;

/// One reply under way.
struct Sequence {
    /// Which request this answers.
    index: usize,
    text: Growing,
    /// Slots of all tokens up to the limit, but the last: nothing comes after that one.
    span: Span,
}

/// A prompt that is computed already and that requests still wait for.
struct Held {
    span: Span,
    /// Logits of the token after it.
    logits: Vec<f32>,
}

/// What the attention of some layers reads besides the cache.
struct Sort {
    window: usize,
    /// Rotary angles of every position that may come.
    angles: Option<Angles>,
}

impl Sort {
    /// What such a layer reads of its cache, in a decoder of that description.
    fn view<'b>(
        &'b self,
        config: &DecoderConfig,
        (slots, position): (&'b [u32], &'b [u32]),
        visible: &'b [Vec<Range<u32>>],
    ) -> CacheView<'b> {
        CacheView {
            heads: config.heads,
            kv_heads: config.kv_heads,
            head_dim: config.head_dim,
            slots,
            position,
            visible,
            scale: config.attention_scale(),
            cap: config.attn_soft_cap.map(|cap| cap as f32),
            angles: self.angles.as_ref(),
        }
    }
}

/// The requests of one call, waiting, under way and complete.
pub(super) struct Engine<'a, B: Ops> {
    model: &'a Decoder<B>,
    requests: &'a [Request],
    sampling: &'a Sampling,
    seed: u64,
    /// At most this many sequences are under way.
    batch: usize,
    /// In lexicographic order of their prompts.
    waiting: VecDeque<usize>,
    /// Whether free places are being filled.
    filling: bool,
    /// The prompt of the first that waits, if that is computed.
    held: Option<Held>,
    live: Vec<Sequence>,
    replies: Vec<Reply>,
    complete: usize,
    cache: KvCache<B>,
    slots: Slots,
    /// What the attention of each sort of layers reads.
    sorts: Vec<Sort>,
    /// Of which sort each layer is.
    of_layer: Vec<usize>,
    /// Room for logits, kept from step to step.
    logits: Vec<f32>,
}

impl<'a, B: Ops> Engine<'a, B> {
    pub(super) fn new(
        model: &'a Decoder<B>,
        requests: &'a [Request],
        sampling: &'a Sampling,
        seed: u64,
        batch: usize,
        device: &'a B::Device,
    ) -> Self {
        let config = &model.config;
        let prompt = |i: usize| requests[i].prompt.as_slice();
        let mut order: Vec<usize> = (0..requests.len())
            .filter(|&i| limit(model, sampling, prompt(i)) > prompt(i).len())
            .collect();
        order.sort_by_key(|&i| prompt(i));
        let longest = order.iter().map(|&i| limit(model, sampling, prompt(i)));
        let longest = longest.max().unwrap_or(0);
        let capacity = capacity(&order, batch, prompt, |i| limit(model, sampling, prompt(i)));
        let complete = requests.len() - order.len();
        let (sorts, of_layer) = config.sorts_of_attention();
        let sort = |sort: Attends<'_>| {
            let long = sort.rotary.and_then(|rotary| rotary.longest_short());
            let long = long.is_some_and(|short| computed(longest) > short);
            Sort {
                window: sort.window.unwrap_or(usize::MAX),
                angles: angles(config, sort, longest, long),
            }
        };
        Self {
            sorts: sorts.into_iter().map(sort).collect(),
            of_layer,
            cache: KvCache::new(
                config.layers,
                [config.kv_heads, capacity, config.head_dim],
                model.compute.precision.cached(model.embed.val().dtype()),
                device,
            ),
            slots: Slots::new(capacity),
            logits: Vec::new(),
            waiting: order.into(),
            filling: false,
            held: None,
            live: Vec::new(),
            replies: vec![Reply::default(); requests.len()],
            complete,
            model,
            requests,
            sampling,
            seed,
            batch,
        }
    }

    /// Replies that are complete.
    pub(super) fn complete(&self) -> usize {
        self.complete
    }

    /// One reply for each request, once [`advance`](Self::advance) has nothing left to do.
    pub(super) fn into_replies(self) -> Vec<Reply> {
        self.replies
    }

    /// Lets some requests begin, or draws one token for each that has begun. False once all is done.
    pub(super) fn advance(&mut self) -> bool {
        if self.live.is_empty() && self.waiting.is_empty() {
            return false;
        }
        // Prompts are cheapest in groups, so places are filled once there are some.
        let places = self.batch - self.live.len();
        self.filling |= self.live.is_empty() || places > self.batch / 8;
        let begun = self.filling && (self.begin_held() | self.begin_next());
        if !begun {
            self.filling = false;
            self.step();
        }
        true
    }

    /// Lets requests begin whose prompt is computed; whether there were any.
    fn begin_held(&mut self) -> bool {
        let Some(held) = self.held.take() else {
            return false;
        };
        let first = self.waiting[0];
        let prompt = &self.requests[first].prompt;
        let room = self.limit(first) - prompt.len() - 1;
        let fit = self.slots.free().checked_div(room).unwrap_or(self.batch);
        let places = fit.min(self.batch - self.live.len());
        let twins = self.waiting.iter().take(places);
        let count = twins
            .take_while(|&&i| self.requests[i].prompt == *prompt)
            .count();
        let chosen: Vec<usize> = self.waiting.drain(..count).collect();
        self.begin(&[chosen], std::slice::from_ref(&held.span), &held.logits);
        if self.waits_for(prompt) {
            self.held = Some(held);
        } else {
            self.slots.release(&held.span);
        }
        count > 0
    }

    /// Computes the prompts of the requests that come next, as far as there is room; whether there
    /// was any.
    fn begin_next(&mut self) -> bool {
        if self.held.is_some() {
            return false;
        }
        let groups = self.next_groups();
        let Some(last) = groups.last().map(|group| group[0]) else {
            return false;
        };
        let prompts: Vec<&[u32]> = groups
            .iter()
            .map(|group| self.requests[group[0]].prompt.as_slice())
            .collect();
        let layout = Layout::new(&prompts);
        let taken = self.slots.take(layout.tokens.len());
        let slots: Vec<u32> = taken.iter().collect();
        self.prefill(&layout, &slots);
        let spans: Vec<Span> = layout
            .paths
            .iter()
            .map(|path| {
                let mut span = Span::default();
                for column in path.iter() {
                    let slot = slots[column as usize];
                    span.push(slot..slot + 1);
                }
                span
            })
            .collect();
        let logits = std::mem::take(&mut self.logits);
        self.begin(&groups, &spans, &logits);
        if self.waits_for(&self.requests[last].prompt)
            && let Some(span) = spans.into_iter().next_back()
        {
            self.slots.hold(&span);
            let logits = logits[logits.len() - self.model.config.vocab_size..].to_vec();
            self.held = Some(Held { span, logits });
        }
        self.logits = logits;
        // Those that began hold their own slots now.
        self.slots.release(&taken);
        true
    }

    /// Takes the requests that come next out of the queue, those of one prompt in one group.
    fn next_groups(&mut self) -> Vec<Vec<usize>> {
        let mut groups: Vec<Vec<usize>> = Vec::new();
        let (mut before, mut tokens, mut slots): (&[u32], _, _) = (&[], 0, 0);
        let free = self.slots.free();
        for place in self.live.len()..self.batch {
            let Some(&next) = self.waiting.front() else {
                break;
            };
            let prompt = &self.requests[next].prompt;
            let cost = prompt.len() - common(before, prompt);
            slots += cost + self.limit(next) - prompt.len() - 1;
            tokens += cost;
            let first = groups.is_empty();
            if slots > free || tokens > PREFILL && !first {
                assert!(
                    place > 0 || !first,
                    "the cache has room for any one request"
                );
                break;
            }
            match groups.last_mut() {
                Some(group) if before == prompt => group.push(next),
                _ => groups.push(vec![next]),
            }
            self.waiting.pop_front();
            before = prompt;
        }
        groups
    }

    /// Fills the cache with prompts, and computes the logits of the token after each.
    fn prefill(&mut self, layout: &Layout, slots: &[u32]) {
        let config = &self.model.config;
        let trees = (&*layout.position, &*layout.end);
        let trees = TreeViews::of_trees(config, trees, &[], 1);
        let views: Vec<_> = self
            .sorts
            .iter()
            .map(|sort| sort.view(config, (slots, &layout.position), &[]))
            .collect();
        let last: Vec<u32> = layout.paths.iter().flat_map(|p| p.iter().last()).collect();
        let hidden = self.model.hidden(
            &layout.tokens,
            &layout.position,
            1,
            Some(&last),
            |layer, qkv| {
                let view = &views[self.of_layer[layer]];
                self.cache.write(layer, qkv.clone(), view);
                B::tree_attention(qkv, trees.of(layer))
            },
        );
        self.read_logits(hidden);
    }

    /// Draws the first token of each group's requests; the group's prompt lies at its span.
    fn begin(&mut self, groups: &[Vec<usize>], spans: &[Span], logits: &[f32]) {
        let mut begun = Vec::new();
        for (row, (group, prompt)) in groups.iter().zip(spans).enumerate() {
            for &index in group {
                let request = &self.requests[index];
                let limit = self.limit(index);
                self.slots.hold(prompt);
                let mut span = prompt.clone();
                span.extend(&self.slots.take(limit - request.prompt.len() - 1));
                let text = Growing::begin(request, limit, self.seed);
                let sequence = Sequence { index, text, span };
                begun.push((row, sequence));
            }
        }
        let vocabulary = self.model.config.vocab_size;
        begun.par_iter_mut().for_each(|(row, sequence)| {
            let mut logits = logits[*row * vocabulary..(*row + 1) * vocabulary].to_vec();
            sequence.text.draw(&mut logits, self.sampling);
        });
        self.live
            .extend(begun.into_iter().map(|(_, sequence)| sequence));
        self.end();
    }

    /// Draws one token for each sequence under way.
    fn step(&mut self) {
        let (mut tokens, mut position, mut slots) = (Vec::new(), Vec::new(), Vec::new());
        let mut visible = vec![Vec::new(); self.sorts.len()];
        for sequence in &self.live {
            let length = sequence.text.tokens.len();
            tokens.push(sequence.text.tokens[length - 1]);
            position.push(length as u32 - 1);
            for (sort, visible) in self.sorts.iter().zip(&mut visible) {
                let first = length.saturating_sub(sort.window);
                visible.push(sequence.span.part(first, length));
            }
            let own = sequence.span.part(length - 1, length);
            slots.push(own.last().map_or(0, |range| range.end - 1));
        }
        let config = &self.model.config;
        let views: Vec<_> = self
            .sorts
            .iter()
            .zip(&visible)
            .map(|(sort, visible)| sort.view(config, (&slots, &position), visible))
            .collect();
        let hidden = self
            .model
            .hidden(&tokens, &position, 1, None, |layer, qkv| {
                let view = &views[self.of_layer[layer]];
                self.cache.write(layer, qkv.clone(), view);
                self.cache.attend(layer, qkv, view)
            });
        self.read_logits(hidden);
        self.logits
            .par_chunks_mut(self.model.config.vocab_size)
            .zip(&mut self.live)
            .for_each(|(logits, sequence)| sequence.text.draw(logits, self.sampling));
        self.end();
    }

    /// Logits of the token after each hidden state, `[1, tokens, hidden]`.
    fn read_logits(&mut self, hidden: Tensor<B, 3>) {
        let [_, tokens, size] = hidden.dims();
        let hidden = hidden.reshape([tokens, size]);
        self.model.logits(hidden, &mut self.logits);
    }

    /// Completes the sequences that have ended, and frees their slots.
    fn end(&mut self) {
        let (ended, live): (Vec<_>, Vec<_>) = std::mem::take(&mut self.live)
            .into_iter()
            .partition(|sequence| sequence.text.ended());
        self.live = live;
        self.complete += ended.len();
        for sequence in ended {
            self.slots.release(&sequence.span);
            self.replies[sequence.index] = sequence.text.into_reply();
        }
    }

    /// Whether the next request has this prompt.
    fn waits_for(&self, prompt: &[u32]) -> bool {
        let next = self.waiting.front();
        next.is_some_and(|&next| self.requests[next].prompt == prompt)
    }

    fn limit(&self, index: usize) -> usize {
        limit(self.model, self.sampling, &self.requests[index].prompt)
    }
}

/// Of a text of that many tokens all are computed but the last, which nothing comes after.
pub(super) fn computed(length: usize) -> usize {
    length.saturating_sub(1)
}

/// Tokens that a prompt and its reply may have in all.
pub(super) fn limit<B: Ops>(model: &Decoder<B>, sampling: &Sampling, prompt: &[u32]) -> usize {
    assert!(!prompt.is_empty(), "a prompt has at least one token");
    (prompt.len() + sampling.max_new_tokens).min(model.config.max_positions)
}
