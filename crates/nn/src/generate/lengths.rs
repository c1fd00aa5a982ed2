//! Models that turn long texts by other angles than short ones (LongRoPE): what is cached of a text that grows from the one
//! to the other would be turned wrongly.

use crate::generate::engine::{computed, limit};
use crate::generate::growing::Growing;
use crate::generate::{Reply, Request, Sampling};
use crate::model::Decoder;
use crate::model::views::TreeViews;
use crate::ops::Ops;

/// Requests by what their texts can become, each by its place in the call.
#[derive(Default)]
pub(super) struct Lengths {
    /// Those whose every text is short, and those whose every text is long: each may share a cache.
    pub(super) alike: [Vec<usize>; 2],
    /// Those whose texts may grow from short to long.
    pub(super) crossing: Vec<usize>,
}

/// The requests by their lengths; nothing where lengths make no difference.
pub(super) fn lengths<B: Ops>(
    model: &Decoder<B>,
    requests: &[Request],
    sampling: &Sampling,
) -> Option<Lengths> {
    let (sorts, _) = model.config.sorts_of_attention();
    let rotary = sorts.iter().filter_map(|sort| sort.rotary);
    let short = rotary.filter_map(|rotary| rotary.longest_short()).min()?;
    let mut lengths = Lengths::default();
    for (index, request) in requests.iter().enumerate() {
        let most = computed(limit(model, sampling, &request.prompt));
        let kind = match (request.prompt.len() > short, most > short) {
            (true, _) => &mut lengths.alike[1],
            (false, false) => &mut lengths.alike[0],
            (false, true) => &mut lengths.crossing,
        };
        kind.push(index);
    }
    Some(lengths)
}

/// Replies without a cache, all tokens computed again for each new one; nothing once `keep_going`, told how many are
/// complete, says no.
pub(super) fn uncached<B: Ops>(
    model: &Decoder<B>,
    requests: &[&Request],
    sampling: &Sampling,
    (seed, batch): (u64, usize),
    mut keep_going: impl FnMut(usize) -> bool,
) -> Option<Vec<Reply>> {
    let begin = |request: &&Request| {
        let limit = limit(model, sampling, &request.prompt);
        Growing::begin(request, limit, seed)
    };
    let mut texts: Vec<Growing> = requests.iter().map(begin).collect();
    let vocabulary = model.config.vocab_size;
    let mut logits = Vec::new();
    loop {
        let mut live: Vec<&mut Growing> = texts.iter_mut().filter(|text| !text.ended()).collect();
        if !keep_going(requests.len() - live.len()) {
            return None;
        }
        if live.is_empty() {
            break;
        }
        for texts in live.chunks_mut(batch) {
            let (mut tokens, mut position, mut end, mut last) =
                <(Vec<_>, Vec<_>, Vec<_>, Vec<_>)>::default();
            for text in texts.iter() {
                tokens.extend_from_slice(&text.tokens);
                position.extend(0..text.tokens.len() as u32);
                end.resize(tokens.len(), tokens.len() as u32);
                last.push(tokens.len() as u32 - 1);
            }
            let views = TreeViews::of_trees(&model.config, (&position, &end), &[], 1);
            let attend = |layer, qkv| B::tree_attention(qkv, views.of(layer));
            let hidden = model.hidden(&tokens, &position, 1, Some(&last), attend);
            model.logits(hidden.squeeze_dim(0), &mut logits);
            for (text, logits) in texts.iter_mut().zip(logits.chunks_mut(vocabulary)) {
                text.draw(logits, sampling);
            }
        }
    }
    Some(texts.into_iter().map(Growing::into_reply).collect())
}
