//! Each kernel against the default body it replaces, and against finite differences.

mod lora;
mod record;
mod torch;

use std::sync::Arc;

use burn::backend::Autodiff;
use burn::tensor::{Tensor, TensorData};
use burn_flex::Flex;
use proptest::prelude::*;

use crate::ops::{
    Activation, AdamWStep, Angles, CacheView, LayerCache, Moved, Ops, TreeView, activation, adamw,
    attention, cache, embed, logps, norm,
};

type Ad = Autodiff<Flex>;

/// Values that differ from each other and do not repeat soon.
fn noise(length: usize, seed: usize) -> Vec<f32> {
    (0..length)
        .map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0)
        .collect()
}

fn tensor(values: &[f32], shape: [usize; 3]) -> Tensor<Ad, 3> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), &Default::default())
}

/// The output of `op`, and the gradient of its sum weighted by noise.
fn run(
    values: &[f32],
    shape: [usize; 3],
    op: impl Fn(Tensor<Ad, 3>) -> Tensor<Ad, 3>,
) -> (Vec<f32>, Vec<f32>) {
    let input = tensor(values, shape).require_grad();
    let out = op(input.clone());
    let weights = tensor(&noise(out.shape().num_elements(), 5), out.dims());
    let grads = out.clone().mul(weights).sum().backward();
    let grad = input.grad(&grads).expect("the input is tracked");
    let values = |data: TensorData| data.iter::<f32>().collect();
    (values(out.into_data()), values(grad.into_data()))
}

/// Equal to 1e-5 of the largest value.
fn close(fused: &[f32], plain: &[f32]) -> Result<(), TestCaseError> {
    close_above(fused, plain, 1e-3)
}

/// As [`close`], where no value's error is measured against less than `floor`.
fn close_above(fused: &[f32], plain: &[f32], floor: f32) -> Result<(), TestCaseError> {
    prop_assert_eq!(fused.len(), plain.len());
    let largest = plain.iter().fold(floor, |m, v| m.max(v.abs()));
    for (a, b) in fused.iter().zip(plain) {
        prop_assert!(
            (a - b).abs() <= 1e-5 * largest,
            "{} {} of {}",
            a,
            b,
            largest
        );
    }
    Ok(())
}

/// Compares the derivative along a direction with the gradient.
fn finite_differences(
    shape: [usize; 3],
    op: impl Fn(Tensor<Ad, 3>) -> Tensor<Ad, 3> + Copy,
) -> Result<(), TestCaseError> {
    let values = noise(shape.iter().product(), 1);
    let direction = noise(values.len(), 2);
    let loss = |step: f32| -> f64 {
        let moved: Vec<f32> = values
            .iter()
            .zip(&direction)
            .map(|(v, d)| v + step * d)
            .collect();
        let (out, _) = run(&moved, shape, op);
        let weights = noise(out.len(), 5);
        out.iter()
            .zip(weights)
            .map(|(o, w)| *o as f64 * w as f64)
            .sum()
    };
    let step = 1e-3;
    let measured = (loss(step) - loss(-step)) / (2.0 * step as f64);
    let (out, gradient) = run(&values, shape, op);
    let derived: f64 = gradient
        .iter()
        .zip(&direction)
        .map(|(g, d)| (g * d) as f64)
        .sum();
    // What f32 outputs lose, divided by the step: an op's own rounding grows with its input, and the
    // sum's with its output.
    let norm = out.iter().map(|&o| f64::from(o * o)).sum::<f64>().sqrt();
    let rounding =
        1e-4 * (values.len() as f64).sqrt() + 2.0 * f64::from(f32::EPSILON) * norm / step as f64;
    prop_assert!(
        (measured - derived).abs() <= 2e-3 * (derived.abs() + 1.0) + rounding,
        "{} {}",
        measured,
        derived
    );
    Ok(())
}

/// Rows of random trees: each depth is at most one more than the last.
fn trees(
    rows: usize,
    depths: &[u32],
    [kv_heads, share, half]: [usize; 3],
    window: Option<usize>,
    rotary: bool,
) -> TreeView {
    let width = depths.len() / rows;
    let (mut position, mut end) = (Vec::new(), Vec::new());
    for row in depths.chunks_exact(width) {
        let mut depth = 0;
        let row: Vec<u32> = row
            .iter()
            .enumerate()
            .map(|(i, &d)| {
                depth = if i == 0 { 0 } else { d.min(depth + 1) };
                depth
            })
            .collect();
        end.extend((0..width).map(|i| {
            let rest = row[i + 1..].iter().position(|&d| d <= row[i]);
            rest.map_or(width, |rest| i + 1 + rest) as u32
        }));
        position.extend(row);
    }
    let frequencies: Vec<f32> = (0..half).map(|i| 0.7f32.powi(i as i32)).collect();
    let positions = position.iter().max().map_or(0, |&p| p as usize + 1);
    TreeView {
        rows,
        width,
        heads: kv_heads * share,
        kv_heads,
        head_dim: 2 * half,
        position,
        end,
        window,
        scale: 1.0 / (2.0 * half as f32).sqrt(),
        cap: None,
        angles: rotary.then(|| Angles::new(&frequencies, 1.0, positions)),
        turns: None,
    }
}

/// How scores are made, beyond what most models have: a scale of their own, a cap, heads turned in part and stretched,
/// and some tokens by other angles than their positions'.
#[derive(Clone, Copy, Debug)]
struct Scores {
    scale: f32,
    cap: Option<f32>,
    partial: usize,
    stretch: f32,
    turned: bool,
}

fn scores() -> impl Strategy<Value = Scores> {
    let cap = prop::option::of(0.3f32..4.0);
    (0.05f32..0.7, cap, 1usize..4, 0.5f32..1.5, any::<bool>()).prop_map(
        |(scale, cap, partial, stretch, turned)| Scores {
            scale,
            cap,
            partial,
            stretch,
            turned,
        },
    )
}

impl Scores {
    /// Rotary angles of heads of `2 * half` features.
    fn angles(self, half: usize, positions: usize) -> Angles {
        let turned = half.div_ceil(self.partial);
        let frequencies: Vec<f32> = (0..turned).map(|i| 0.6f32.powi(i as i32)).collect();
        Angles::new(&frequencies, self.stretch, positions)
    }

    fn of(self, view: TreeView) -> TreeView {
        let angles = view.angles.is_some();
        let turns = view.position.iter().map(|at| (at * 7 + 3) % 120).collect();
        TreeView {
            scale: self.scale,
            cap: self.cap,
            angles: angles.then(|| self.angles(view.head_dim / 2, 120)),
            turns: self.turned.then_some(turns),
            ..view
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn tree_attention_equals_its_default_body(
        rows in 1usize..4,
        depths in prop::collection::vec(0u32..120, 3..400),
        heads in (1usize..3, 1usize..4, 1usize..36),
        window in prop::option::of(1usize..40),
        rotary: bool,
        own in prop::option::of(scores()),
    ) {
        let depths = &depths[..depths.len() / rows * rows];
        let heads = [heads.0, heads.1, heads.2];
        let view = trees(rows, depths, heads, window, rotary);
        let view = Arc::new(own.map_or(view.clone(), |own| own.of(view)));
        let shape = [rows, view.width, (view.heads + 2 * view.kv_heads) * view.head_dim];
        let values = noise(shape.iter().product(), 3);
        let (fused, fused_grad) = run(&values, shape, |x| Ad::tree_attention(x, &view));
        let (plain, plain_grad) = run(&values, shape, |x| attention::tree_attention(x, &view));
        close(&fused, &plain)?;
        close(&fused_grad, &plain_grad)?;
        finite_differences(shape, |x| Ad::tree_attention(x, &view))?;
    }

    #[test]
    fn the_cache_equals_its_default_bodies(
        lengths in prop::collection::vec(1usize..40, 1..6),
        (kv_heads, share, half) in (1usize..4, 1usize..4, 1usize..72),
        cut in 1usize..12,
        rotary: bool,
        own in prop::option::of(scores()),
    ) {
        let (heads, head_dim, queries) = (kv_heads * share, 2 * half, lengths.len());
        let count: usize = lengths.iter().sum();
        // Each sequence's slots come in pieces, the later piece first.
        let mut start = 0;
        let visible: Vec<Vec<std::ops::Range<u32>>> = lengths
            .iter()
            .map(|&length| {
                let (from, cut) = (start, cut.min(length - 1) as u32);
                start += length as u32;
                let pieces = [from + cut..start, from..from + cut];
                pieces.into_iter().filter(|piece| !piece.is_empty()).collect()
            })
            .collect();
        let slots: Vec<u32> = visible.iter().map(|v| v[v.len() - 1].end - 1).collect();
        let position: Vec<u32> = lengths.iter().map(|&length| length as u32 - 1).collect();
        let frequencies: Vec<f32> = (0..half).map(|i| 0.7f32.powi(i as i32)).collect();
        let plain = || Angles::new(&frequencies, 1.0, 40);
        let angles = rotary.then(|| own.map_or_else(plain, |own| own.angles(half, 40)));
        let view = CacheView {
            heads,
            kv_heads,
            head_dim,
            slots: &slots,
            position: &position,
            visible: &visible,
            scale: own.map_or(1.0 / (head_dim as f32).sqrt(), |own| own.scale),
            cap: own.and_then(|own| own.cap),
            angles: angles.as_ref(),
        };
        let inner = |seed, shape: [usize; 3]| {
            Tensor::<Flex, 3>::from_data(
                TensorData::new(noise(shape.iter().product(), seed), shape), &Default::default())
        };
        let layer = || LayerCache {
            key: inner(3, [kv_heads, count, head_dim]),
            value: inner(4, [kv_heads, count, head_dim]),
        };
        let qkv = inner(5, [1, queries, (heads + 2 * kv_heads) * head_dim]);
        let held = layer();
        let storage = |layer: &LayerCache<Flex>| {
            layer.key.clone().into_primitive().tensor().storage::<f32>().as_ptr()
        };
        let before = storage(&held);
        let fused = Flex::cache_write(held, qkv.clone(), &view);
        prop_assert_eq!(before, storage(&fused), "written in place");
        let plain = cache::write(layer(), qkv.clone(), &view);
        let list = |x: Tensor<Flex, 3>| x.into_data().into_vec::<f32>().unwrap();
        close(&list(fused.key.clone()), &list(plain.key.clone()))?;
        prop_assert_eq!(list(fused.value.clone()), list(plain.value.clone()));
        let fused = Flex::cache_attention(&fused, qkv.clone(), &view);
        let plain = cache::attention(&plain, qkv, &view);
        prop_assert_eq!(fused.dims(), plain.dims());
        close(&list(fused), &list(plain))?;
    }

    #[test]
    fn norms_equal_their_default_bodies(
        rows in 1usize..150, size in 1usize..80, centred: bool, which in 0usize..3,
    ) {
        // One of x, weight and bias is varied; the others stay.
        let lengths = [rows * size, size, size];
        let shapes = [[1, rows, size], [1, 1, size], [1, 1, size]];
        let which = if centred { which } else { which.min(1) };
        type Norm = fn(Tensor<Ad, 3>, Tensor<Ad, 1>, Option<Tensor<Ad, 1>>, f64) -> Tensor<Ad, 3>;
        let apply = |op: Norm, varied: Tensor<Ad, 3>| {
            let input = |i: usize| if i == which {
                varied.clone()
            } else {
                tensor(&noise(lengths[i], 11 + i), shapes[i])
            };
            let bias = centred.then(|| input(2).reshape([size]));
            op(input(0), input(1).reshape([size]), bias, 1e-2)
        };
        let values = noise(lengths[which], 11 + which);
        let (fused, fused_grad) = run(&values, shapes[which], |x| apply(Ad::norm, x));
        let (plain, plain_grad) = run(&values, shapes[which], |x| apply(norm::norm, x));
        close(&fused, &plain)?;
        close(&fused_grad, &plain_grad)?;
        finite_differences(shapes[which], |x| apply(Ad::norm, x))?;
    }

    #[test]
    fn activations_equal_their_default_bodies(
        rows in 1usize..40, inner in 1usize..80, scale in 1f32..30.0, which in 0usize..5,
    ) {
        let kind = [
            Activation::SwiGlu,
            Activation::GeGlu,
            Activation::GeGluTanh,
            Activation::Gelu,
            Activation::GeluTanh,
        ][which];
        let shape = [1, rows, 2 * inner];
        let values: Vec<f32> = noise(2 * rows * inner, 3).iter().map(|v| v * scale).collect();
        let (fused, fused_grad) = run(&values, shape, |x| Ad::activate(x, kind));
        let (plain, plain_grad) = run(&values, shape, |x| activation::activate(x, kind));
        close(&fused, &plain)?;
        close(&fused_grad, &plain_grad)?;
        finite_differences(shape, |x| Ad::activate(x, kind))?;
    }

    #[test]
    fn project_equals_its_default_body(
        tokens in 1usize..200, size in 1usize..90, out in 1usize..90, vary_weight: bool,
    ) {
        let shapes = [[1, tokens, size], [1, size, out]];
        let other = tensor(&noise(shapes[usize::from(!vary_weight)].iter().product(), 8), shapes[usize::from(!vary_weight)]);
        let shape = shapes[usize::from(vary_weight)];
        let apply = |op: fn(Tensor<Ad, 2>, Tensor<Ad, 2>) -> Tensor<Ad, 2>, varied: Tensor<Ad, 3>| {
            let (x, weight) = if vary_weight { (other.clone(), varied) } else { (varied, other.clone()) };
            op(x.squeeze_dim(0), weight.squeeze_dim(0)).unsqueeze_dim(0)
        };
        let values = noise(shape.iter().product(), 4);
        let (fused, fused_grad) = run(&values, shape, |x| apply(Ad::project, x));
        let (plain, plain_grad) = run(&values, shape, |x| apply(Tensor::matmul, x));
        close(&fused, &plain)?;
        close(&fused_grad, &plain_grad)?;
        finite_differences(shape, |x| apply(Ad::project, x))?;
    }

    #[test]
    fn embed_equals_its_default_body_and_adds_to_a_tied_gradient(
        ids in prop::collection::vec(0u32..30, 1..50), size in 1usize..20, tied: bool,
    ) {
        type Embed = fn(Tensor<Ad, 2>, &[u32]) -> Tensor<Ad, 2>;
        let apply = |op: Embed, table: Tensor<Ad, 3>| {
            let table = table.squeeze_dim::<2>(0);
            let rows = op(table.clone(), &ids);
            let rows = if tied { rows.matmul(table.transpose()) } else { rows };
            rows.unsqueeze_dim(0)
        };
        let values = noise(30 * size, 6);
        let (fused, fused_grad) = run(&values, [1, 30, size], |x| apply(Ad::embed, x));
        let (plain, plain_grad) = run(&values, [1, 30, size], |x| apply(embed::embed, x));
        close(&fused, &plain)?;
        close(&fused_grad, &plain_grad)?;
    }

    #[test]
    fn adamw_equals_its_default_body(size in 1usize..70_000, clip in 0.1f64..1.0, seed in 0usize..9) {
        let step = AdamWStep {
            beta1: 0.9, beta2: 0.999, epsilon: 1e-8, clip, keep: 0.99, rate: 0.02, second_scale: 0.3,
        };
        let vector = |seed: usize| -> Tensor<Flex, 1> {
            Tensor::from_data(TensorData::new(noise(size, seed), [size]), &Default::default())
        };
        let moved = || Moved { value: vector(seed), first: vector(seed + 1), second: vector(seed + 2).abs() };
        let fused = Flex::adamw(moved(), vector(seed + 3), &step);
        let plain = adamw::adamw(moved(), vector(seed + 3), &step);
        let pairs = [(fused.value, plain.value), (fused.first, plain.first), (fused.second, plain.second)];
        for (fused, plain) in pairs {
            let list = |x: Tensor<Flex, 1>| x.into_data().iter::<f32>().collect::<Vec<_>>();
            close(&list(fused), &list(plain))?;
        }
        let squares = Flex::square_sum(vector(seed)).into_data().iter::<f64>().next().unwrap();
        let expected: f64 = noise(size, seed).iter().map(|&v| f64::from(v) * f64::from(v)).sum();
        prop_assert!((squares - expected).abs() <= 1e-6 * expected, "{} {}", squares, expected);
    }

    #[test]
    fn token_logps_equal_their_default_body(
        scored in 1usize..60, vocabulary in 1usize..300, size in 1usize..40, vary_head: bool,
        cap in prop::option::of(0.3f32..4.0),
    ) {
        let targets: Vec<u32> = (0..scored).map(|i| (i * 31 % vocabulary) as u32).collect();
        let rows = [vocabulary, scored];
        let shape = |head: bool| [1, rows[usize::from(!head)], size];
        let other = noise(shape(!vary_head).iter().product(), 9);
        type Logps = fn(Tensor<Ad, 2>, Tensor<Ad, 2>, &[u32], Option<f32>) -> Tensor<Ad, 1>;
        let apply = |op: Logps, varied: Tensor<Ad, 3>| {
            let other = tensor(&other, shape(!vary_head));
            let (hidden, head) = if vary_head { (other, varied) } else { (varied, other) };
            let out = op(hidden.squeeze_dim(0), head.squeeze_dim(0), &targets, cap);
            out.reshape([1, 1, scored])
        };
        let values = noise(shape(vary_head).iter().product(), 4);
        let (fused, fused_grad) = run(&values, shape(vary_head), |x| apply(Ad::token_logps, x));
        let (plain, plain_grad) = run(&values, shape(vary_head), |x| apply(logps::token_logps, x));
        // A log-prob near 0 is the difference of two logits of size 1 and more, and its gradient of two
        // probabilities near 1: in f32 neither body knows them better than that.
        close_above(&fused, &plain, 1.0)?;
        close_above(&fused_grad, &plain_grad, 1.0)?;
        let (by_hand, by_hand_grad) = run(&values, shape(vary_head), |x| {
            apply(logps::tracked_token_logps, x)
        });
        close_above(&by_hand, &plain, 1.0)?;
        close_above(&by_hand_grad, &plain_grad, 1.0)?;
        finite_differences(shape(vary_head), |x| apply(Ad::token_logps, x))?;
    }
}
