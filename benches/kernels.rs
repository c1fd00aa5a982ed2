//! Each kernel of the CPU backend against the default body it replaces, on the shapes of the
//! side-by-side's 30M-parameter model; and matrix products, the yardstick of what the machine can do.
//!
//!     make bench                            # all
//!     make bench KERNEL="attention norm"    # lines whose name contains one of the words
//!
//! Every time is a median. A further kernel is one more call of [`Lines::compare`].

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Distribution, Tensor};

use rapport::backend::DefaultBackend as Flex;
use rapport::model::forest::{Branch, Forest};
use rapport::ops::{
    Activation, AdamWStep, Angles, CacheView, LayerCache, Moved, Ops, TreeView, defaults,
};

type Ad = Autodiff<Flex>;

const HIDDEN: usize = 384;
const INNER: usize = 1024;
const HEADS: usize = 6;
const VOCABULARY: usize = 50_257;
/// Tokens of a batch, and those of them that are scored.
const TOKENS: usize = 800;
const SCORED: usize = 112;

fn main() {
    let words = std::env::args().skip(1).filter(|word| word != "--bench");
    let lines = Lines(words.collect());
    products(&lines);
    projection(&lines);
    attention(&lines);
    cache(&lines);
    logps(&lines);
    norms(&lines);
    activations(&lines);
    embedding(&lines);
    adamw(&lines);
}

/// Prints a line for each measurement whose name contains one of the words.
struct Lines(Vec<String>);

impl Lines {
    fn wanted(&self, name: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|word| name.contains(word.as_str()))
    }

    /// A kernel against its default body.
    fn compare<K, D>(&self, name: &str, kernel: impl FnMut() -> K, default: impl FnMut() -> D) {
        if self.wanted(name) {
            let (kernel, default) = (median(kernel), median(default));
            println!(
                "{name:44} {:9.3} ms   default body {:9.3} ms   {:5.1}x",
                1e3 * kernel,
                1e3 * default,
                default / kernel
            );
        }
    }

    /// What there is only one of, by its floating-point operations.
    fn rate<K>(&self, name: &str, operations: usize, run: impl FnMut() -> K) {
        if self.wanted(name) {
            let seconds = median(run);
            println!(
                "{name:44} {:9.3} ms   {:7.1} GFLOP/s",
                1e3 * seconds,
                operations as f64 / seconds / 1e9
            );
        }
    }
}

/// Median seconds of a run, over at least 5 runs and about half a second.
fn median<K>(mut run: impl FnMut() -> K) -> f64 {
    black_box(run());
    let mut seconds = Vec::new();
    let began = Instant::now();
    while seconds.len() < 5 || (began.elapsed().as_secs_f64() < 0.5 && seconds.len() < 200) {
        let started = Instant::now();
        black_box(run());
        seconds.push(started.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

fn random<B: Backend, const D: usize>(shape: [usize; D]) -> Tensor<B, D> {
    Tensor::random(shape, Distribution::Uniform(-1.0, 1.0), &Default::default())
}

fn tracked<const D: usize>(shape: [usize; D]) -> Tensor<Ad, D> {
    random::<Ad, D>(shape).require_grad()
}

/// Backward from the sum of an operation's output.
fn backward<const D: usize>(out: Tensor<Ad, D>) -> <Ad as AutodiffBackend>::Gradients {
    out.sum().backward()
}

fn products(lines: &Lines) {
    for (what, [m, k, n]) in [
        ("queries, keys, values", [TOKENS, HIDDEN, 3 * HIDDEN]),
        ("gate and up", [TOKENS, HIDDEN, 2 * INNER]),
        ("down", [TOKENS, INNER, HIDDEN]),
        ("head", [SCORED, HIDDEN, VOCABULARY]),
        ("one step of generation, head", [64, HIDDEN, VOCABULARY]),
        ("87M model, head", [1020, 768, 32_000]),
    ] {
        let (a, b) = (random::<Flex, 2>([m, k]), random::<Flex, 2>([k, n]));
        lines.rate(&format!("product: {what}"), 2 * m * k * n, || {
            a.clone().matmul(b.clone())
        });
    }
}

fn projection(lines: &Lines) {
    for (what, [k, n]) in [
        ("gate and up", [HIDDEN, 2 * INNER]),
        ("down", [INNER, HIDDEN]),
    ] {
        let (x, weight) = (random::<Flex, 2>([TOKENS, k]), random([k, n]));
        lines.compare(
            &format!("projection: {what}"),
            || Flex::project(x.clone(), weight.clone()),
            || x.clone().matmul(weight.clone()),
        );
        let (x, weight) = (tracked([TOKENS, k]), tracked([k, n]));
        lines.compare(
            &format!("projection: {what}, with gradient"),
            || backward(Ad::project(x.clone(), weight.clone())),
            || backward(x.clone().matmul(weight.clone())),
        );
    }
}

fn attention(lines: &Lines) {
    // Pairs that share a prompt, a row each; one dialogue whose eight pairs share it turn by turn; a
    // row of the same width with nothing to share.
    let pair = |first: u32| branches(first, &[(170, 15), (170, 15)]);
    let pairs: Vec<_> = (0..4).map(|i| pair(1000 * i)).collect();
    let turns: Vec<_> = (0..8)
        .flat_map(|turn| [(70 + 30 * turn, 15), (70 + 30 * turn, 16)])
        .collect();
    for (what, trees) in [
        ("4 pairs", pairs),
        ("a dialogue of 8 pairs", vec![branches(0, &turns)]),
        ("256 tokens, causal", vec![branches(0, &[(240, 17)])]),
        ("1024 tokens, causal", vec![branches(0, &[(1000, 25)])]),
    ] {
        let view = Arc::new(view(&trees));
        let shape = [view.rows, view.width, 3 * HIDDEN];
        let x = random::<Flex, 3>(shape);
        lines.compare(
            &format!("attention: {what}"),
            || Flex::tree_attention(x.clone(), &view),
            || defaults::tree_attention(x.clone(), &view),
        );
        let x = tracked(shape);
        lines.compare(
            &format!("attention: {what}, with gradient"),
            || backward(Ad::tree_attention(x.clone(), &view)),
            || backward(defaults::tree_attention(x.clone(), &view)),
        );
    }
}

/// Sequences by length of prompt and reply. Prompts go on from one another; replies share nothing.
fn branches(first: u32, lengths: &[(usize, usize)]) -> Vec<(Vec<u32>, usize)> {
    let branch = |(index, &(prompt, reply)): (usize, &(usize, usize))| {
        let reply_first = 10_000 + 100 * index as u32;
        let prompt_tokens = (0..prompt as u32).map(|i| first + i);
        let reply_tokens = (0..reply as u32).map(|i| reply_first + i);
        (prompt_tokens.chain(reply_tokens).collect(), prompt)
    };
    lengths.iter().enumerate().map(branch).collect()
}

fn view(trees: &[Vec<(Vec<u32>, usize)>]) -> TreeView {
    let trees: Vec<Vec<Branch<'_>>> = trees
        .iter()
        .map(|tree| {
            let branches = tree
                .iter()
                .map(|(tokens, scored_from)| Branch::new(tokens, *scored_from));
            branches.collect()
        })
        .collect();
    let forest = Forest::pack(&trees, 0);
    let frequencies: Vec<f32> = (0..HIDDEN / HEADS / 2)
        .map(|i| 10_000f32.powf(-2.0 * i as f32 / (HIDDEN / HEADS) as f32))
        .collect();
    let positions = forest.position.iter().max().map_or(0, |&p| p as usize + 1);
    TreeView {
        rows: forest.rows,
        width: forest.width,
        heads: HEADS,
        kv_heads: HEADS,
        head_dim: HIDDEN / HEADS,
        position: forest.position,
        end: forest.end,
        window: None,
        scale: 1.0 / ((HIDDEN / HEADS) as f32).sqrt(),
        cap: None,
        angles: Some(Angles::new(&frequencies, 1.0, positions)),
        turns: None,
    }
}

/// A step of generation: 64 sequences of 220 tokens each.
fn cache(lines: &Lines) {
    const SEQUENCES: u32 = 64;
    const LENGTH: u32 = 220;
    let head_dim = HIDDEN / HEADS;
    let side = || random::<Flex, 3>([HEADS, (SEQUENCES * LENGTH) as usize, head_dim]);
    let layer = LayerCache {
        key: side(),
        value: side(),
    };
    let qkv = random::<Flex, 3>([1, SEQUENCES as usize, 3 * HIDDEN]);
    let starts = (0..SEQUENCES).map(|sequence| sequence * LENGTH);
    let slots: Vec<u32> = starts.clone().map(|start| start + LENGTH - 1).collect();
    let visible: Vec<Vec<_>> = starts
        .map(|start| std::iter::once(start..start + LENGTH).collect())
        .collect();
    let view = CacheView {
        heads: HEADS,
        kv_heads: HEADS,
        head_dim,
        slots: &slots,
        position: &[LENGTH - 1; SEQUENCES as usize],
        visible: &visible,
        scale: 1.0 / (head_dim as f32).sqrt(),
        cap: None,
        angles: None,
    };
    lines.compare(
        "cached attention: 64 sequences of 220 tokens",
        || Flex::cache_attention(&layer, qkv.clone(), &view),
        || defaults::cache_attention(&layer, qkv.clone(), &view),
    );
    let (hidden, head) = (random([64, HIDDEN]), random([VOCABULARY, HIDDEN]));
    let (mut kernel, mut default) = (Vec::new(), Vec::new());
    lines.compare(
        "logits: 64 of 50257",
        || Flex::logits(hidden.clone(), head.clone(), None, &mut kernel),
        || defaults::all_logits::<Flex>(hidden.clone(), head.clone(), None, &mut default),
    );
}

fn logps(lines: &Lines) {
    for (scored, hidden, vocabulary) in [(SCORED, HIDDEN, VOCABULARY), (1020, 768, 32_000)] {
        let targets: Vec<u32> = (0..scored as u32).map(|i| i * 97 % 30_000).collect();
        let what = format!("log-probs: {scored} of {vocabulary}");
        let (x, head) = (random([scored, hidden]), random([vocabulary, hidden]));
        lines.compare(
            &what,
            || Flex::token_logps(x.clone(), head.clone(), &targets, None),
            || defaults::token_logps::<Flex>(x.clone(), head.clone(), &targets, None),
        );
        let (x, head) = (tracked([scored, hidden]), tracked([vocabulary, hidden]));
        lines.compare(
            &format!("{what}, with gradient"),
            || backward(Ad::token_logps(x.clone(), head.clone(), &targets, None)),
            || {
                backward(defaults::tracked_token_logps::<Flex, NoCheckpointing>(
                    x.clone(),
                    head.clone(),
                    &targets,
                    None,
                ))
            },
        );
    }
}

fn norms(lines: &Lines) {
    for (what, centred) in [("RMSNorm", false), ("LayerNorm", true)] {
        let (x, weight) = (random::<Flex, 3>([1, TOKENS, HIDDEN]), random([HIDDEN]));
        let bias = centred.then(|| weight.clone());
        lines.compare(
            &format!("norm: {what}"),
            || Flex::norm(x.clone(), weight.clone(), bias.clone(), 1e-6),
            || defaults::norm(x.clone(), weight.clone(), bias.clone(), 1e-6),
        );
        let (x, weight) = (tracked([1, TOKENS, HIDDEN]), tracked([HIDDEN]));
        let bias = centred.then(|| tracked([HIDDEN]));
        lines.compare(
            &format!("norm: {what}, with gradient"),
            || backward(Ad::norm(x.clone(), weight.clone(), bias.clone(), 1e-6)),
            || {
                backward(defaults::norm(
                    x.clone(),
                    weight.clone(),
                    bias.clone(),
                    1e-6,
                ))
            },
        );
    }
}

fn activations(lines: &Lines) {
    for (what, kind, width) in [
        ("SwiGLU", Activation::SwiGlu, 2 * INNER),
        ("GELU", Activation::Gelu, INNER),
        ("GELU by tanh", Activation::GeluTanh, INNER),
    ] {
        let x = random::<Flex, 3>([1, TOKENS, width]);
        lines.compare(
            &format!("activation: {what}"),
            || Flex::activate(x.clone(), kind),
            || defaults::activate(x.clone(), kind),
        );
        let x = tracked([1, TOKENS, width]);
        lines.compare(
            &format!("activation: {what}, with gradient"),
            || backward(Ad::activate(x.clone(), kind)),
            || backward(defaults::activate(x.clone(), kind)),
        );
    }
}

fn embedding(lines: &Lines) {
    let ids: Vec<u32> = (0..TOKENS as u32).map(|i| i * 61 % 700).collect();
    let table = random::<Flex, 2>([VOCABULARY, HIDDEN]);
    lines.compare(
        "embedding",
        || Flex::embed(table.clone(), &ids),
        || defaults::embed(table.clone(), &ids),
    );
    let table = tracked([VOCABULARY, HIDDEN]);
    lines.compare(
        "embedding, with gradient",
        || backward(Ad::embed(table.clone(), &ids)),
        || backward(defaults::embed(table.clone(), &ids)),
    );
}

fn adamw(lines: &Lines) {
    const SIZE: usize = 10_000_000;
    let step = AdamWStep {
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        clip: 0.5,
        keep: 1.0 - 1e-6,
        rate: 1e-5,
        second_scale: 0.03,
    };
    let gradient = random::<Flex, 1>([SIZE]);
    // Each step takes what the last one left, as in training: nothing else holds on to it.
    let run = |op: fn(Moved<Flex>, Tensor<Flex, 1>, &AdamWStep) -> Moved<Flex>| {
        let zeros = || Tensor::zeros([SIZE], &Default::default());
        let mut state = Some(Moved {
            value: random([SIZE]),
            first: zeros(),
            second: zeros(),
        });
        let gradient = gradient.clone();
        move || state = state.take().map(|moved| op(moved, gradient.clone(), &step))
    };
    lines.compare(
        "AdamW: 10M parameters",
        run(Flex::adamw),
        run(defaults::adamw),
    );
    lines.compare(
        "gradient norm: 10M parameters",
        || Flex::square_sum(gradient.clone()),
        || gradient.clone().square().sum(),
    );
}
