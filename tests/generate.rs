//! The generation engine against a decoder that computes the whole sequence again for every token.

use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rapport::generate::{Reply, Request, Sampling, generate};
use rapport::model::Decoder;
use rapport::model::config::{DecoderConfig, Family, Positions, Rotary, RotaryScaling};
use rapport::model::forest::Forest;

use crate::support::{Inner, config, model};

/// Logits of the token after `tokens`, alone and without a cache.
fn logits(model: &Decoder<Inner>, tokens: &[u32]) -> Vec<f32> {
    let length = tokens.len();
    let hidden = model
        .forest_hidden(&Forest::path(tokens))
        .narrow(1, length - 1, 1);
    let mut logits = Vec::new();
    model.logits(hidden.reshape([1, model.config.hidden_size]), &mut logits);
    logits
}

/// The same logits, each off by at most its last bits: a few parts in a million of the largest.
fn rounded(logits: &[f32]) -> impl Iterator<Item = Vec<f32>> {
    let largest = logits.iter().fold(0.0f32, |most, it| most.max(it.abs()));
    (0..100usize).map(move |turn| {
        let noise = |at: usize| ((at * 7919 + turn * 104_729) % 2001) as f32 / 1000.0 - 1.0;
        let moved = logits.iter().enumerate();
        moved
            .map(|(at, it)| it + 2e-6 * largest * noise(at))
            .collect()
    })
}

/// What a pass over the whole sequence replies. Where rounding decides between its token and that of `cached`, whose sums
/// have another order, it goes on with the latter.
fn uncached(
    model: &Decoder<Inner>,
    request: &Request,
    sampling: &Sampling,
    seed: u64,
    cached: &Reply,
) -> Reply {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(request.stream);
    let mut tokens = request.prompt.clone();
    let mut reply = Reply::default();
    while reply.tokens.len() < sampling.max_new_tokens && tokens.len() < model.config.max_positions
    {
        let place = reply.tokens.len();
        let logits = logits(model, &tokens);
        let before = rng.clone();
        let token = sampling.next(&mut logits.clone(), &tokens, place, &mut rng);
        let theirs = cached.tokens.get(place).copied().or(cached.end);
        let drawn =
            |logits: &mut Vec<f32>| sampling.next(logits, &tokens, place, &mut before.clone());
        let token = match theirs {
            Some(theirs) if rounded(&logits).any(|mut it| drawn(&mut it) == theirs) => theirs,
            _ => token,
        };
        if sampling.stop.contains(&token) {
            reply.end = Some(token);
            break;
        }
        tokens.push(token);
        reply.tokens.push(token);
    }
    reply
}

fn cached(
    model: &Decoder<Inner>,
    requests: &[Request],
    sampling: &Sampling,
    seed: u64,
    batch: usize,
) -> Vec<Reply> {
    let mut last = 0;
    let replies = generate(
        model,
        requests,
        sampling,
        seed,
        batch,
        &Default::default(),
        |complete| {
            assert!(last <= complete && complete <= requests.len());
            last = complete;
            true
        },
    );
    assert_eq!(last, requests.len());
    replies.unwrap()
}

fn small(family: Family, window: Option<usize>, kv_heads: usize) -> DecoderConfig {
    let config = config(family);
    let one_by_one = config.kv_heads == config.heads;
    let whole = [Family::Gpt2, Family::GptNeoX, Family::Llama, Family::Olmo2];
    let config = DecoderConfig {
        max_positions: 24,
        // Gemma has one, whether it is used or not.
        sliding_window: window
            .or(config.sliding_window)
            .filter(|_| !whole.contains(&family)),
        kv_heads: if one_by_one { 4 } else { kv_heads },
        ..config
    };
    match family {
        Family::Phi3 => DecoderConfig {
            positions: Positions::Rotary(long()),
            ..config
        },
        _ => config,
    }
}

/// Of texts longer than 12 tokens all are turned otherwise.
fn long() -> Rotary {
    Rotary {
        scaling: Some(RotaryScaling::LongRope {
            short_factor: vec![1.0, 1.2, 1.4, 1.6],
            long_factor: vec![3.0, 0.5, 2.0, 8.0],
            factor: 2.0,
            original_max_position_embeddings: 12,
            attention_factor: None,
        }),
        ..Rotary::plain(100.0)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn replies_are_those_of_a_decoder_without_a_cache(
        family in prop::sample::select(Family::ALL.to_vec()),
        window in prop::option::of(1usize..9),
        kv_heads in prop::sample::select(vec![1usize, 2, 4]),
        // Prompts of few tokens share prefixes, and some fill the model's context.
        prompts in prop::collection::vec(
            (prop::collection::vec(0u32..3, 1..25), 1usize..5), 1..7),
        batch in 1usize..12,
        max_new_tokens in 0usize..12,
        temperature in prop::sample::select(vec![0.0, 1.0]),
        seed in 0u64..1000,
    ) {
        let model = model::<Inner>(&small(family, window, kv_heads), seed, &Default::default());
        let requests: Vec<Request> = prompts
            .iter()
            .flat_map(|(prompt, samples)| (0..*samples).map(|_| prompt.clone()))
            .enumerate()
            .map(|(i, prompt)| Request { prompt, stream: i as u64 })
            .collect();
        let sampling = Sampling {
            temperature,
            max_new_tokens,
            min_new_tokens: 2.min(max_new_tokens),
            stop: vec![1, 7, 13, 22],
            repetition_penalty: 1.1,
            top_k: 20,
            ..Sampling::default()
        };
        let replies = cached(&model, &requests, &sampling, seed, batch);
        for (request, reply) in requests.iter().zip(&replies) {
            let expected = uncached(&model, request, &sampling, seed, reply);
            prop_assert_eq!(reply, &expected, "{:?}", request);
        }
    }
}

#[test]
fn samples_of_one_prompt_share_its_computation_over_several_turns() {
    // More samples than places: later ones begin from the prompt that is kept for them.
    let model = model::<Inner>(&small(Family::Llama, None, 2), 3, &Default::default());
    let requests: Vec<Request> = (0..40)
        .map(|i| Request {
            prompt: vec![5 + (i % 2) as u32, 6, 7, 8, 9, 10],
            stream: i,
        })
        .collect();
    let sampling = Sampling {
        max_new_tokens: 9,
        stop: vec![1, 2, 3, 4, 5, 6, 7, 8],
        ..Sampling::default()
    };
    let replies = cached(&model, &requests, &sampling, 1, 3);
    for (request, reply) in requests.iter().zip(&replies) {
        assert_eq!(*reply, uncached(&model, request, &sampling, 1, reply));
    }
    let lengths: std::collections::HashSet<usize> =
        replies.iter().map(|r| r.tokens.len()).collect();
    assert!(lengths.len() > 3, "replies end at different times");
}

#[test]
fn a_no_stops_the_drawing() {
    let model = model::<Inner>(&small(Family::Llama, None, 2), 3, &Default::default());
    let requests = vec![
        Request {
            prompt: vec![1, 2],
            stream: 0
        };
        5
    ];
    let mut asked = 0;
    let replies = generate(
        &model,
        &requests,
        &Sampling::default(),
        0,
        2,
        &Default::default(),
        |_| {
            asked += 1;
            asked < 4
        },
    );
    assert!(replies.is_none());
    assert_eq!(
        asked, 4,
        "asked before every step, and not again after a no"
    );
}
