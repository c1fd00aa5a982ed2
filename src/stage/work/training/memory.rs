//! How much memory training takes: estimated before, measured after.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::model::DecoderConfig;
use crate::model::decoder::{Compute, Precision};
use crate::model::forest::Forest;
use crate::model::hf::BaseDtype;
use crate::stage::artifact::measures::Measures;

/// Bytes of a process that has read a tokenizer and not yet a model; measured.
const PROCESS: f64 = 60e6;

/// Estimated bytes at the peak of a training step.
#[derive(Clone, Copy, Debug)]
pub struct Estimate {
    /// Weights, gradients and two moments.
    pub state: f64,
    /// What backward reads: of each block's tokens, and of the scored tokens' logits.
    pub activations: f64,
}

impl Estimate {
    /// For a step whose largest micro-batch is `forest`, on a backend that computes `chunk` logits at a time.
    /// `widened` says that it keeps bf16 values in f32 too, for kernels that read nothing else; `adapted`, how many values
    /// are trained beside a base that is not, and what that is held in.
    pub fn new(
        config: &DecoderConfig,
        forest: &Forest,
        compute: Compute,
        (widened, chunk): (bool, usize),
        adapted: Option<(usize, BaseDtype)>,
    ) -> Self {
        let low = compute.precision == Precision::Bf16;
        let parameters = config.parameters() as f64;
        // Under bf16 a step holds a copy of the weights in two bytes.
        let state = match adapted {
            None => parameters * if low { 18.0 } else { 16.0 },
            Some((trained, dtype)) => 16.0 * trained as f64 + held(config, dtype, low),
        };
        // In f32 a block keeps its input and the residual after attention; what lies between them is
        // in the precision of the matrix products.
        let inner_bytes = match (low, widened) {
            (false, _) => 4.0,
            (true, false) => 2.0,
            (true, true) => 6.0,
        };
        let hidden = config.hidden_size as f64;
        let attended = (config.heads * config.head_dim) as f64;
        // Normalised queries and keys are kept apart, and put together again with the values.
        let projected = match config.qk_norm {
            Some(_) => 3.0 * config.qkv_size() as f64,
            None => config.qkv_size() as f64,
        };
        // A norm behind attention or the feed-forward layer keeps what it reads.
        let behind = if config.norms.after() {
            4.0 * hidden
        } else {
            0.0
        };
        let attention = 4.0 * (hidden + config.heads as f64)
            + inner_bytes * (hidden + projected + attended)
            + behind;
        let inner = (config.up_size() + config.intermediate_size) as f64;
        let feed_forward = 4.0 * hidden + inner_bytes * (hidden + inner) + behind;
        let (tokens, scored) = (forest.tokens.len() as f64, forest.scored.len() as f64);
        let block = tokens * (attention + feed_forward);
        let before_last = (config.layers - 1) as f64;
        let blocks = if compute.recompute {
            tokens * 4.0 * hidden * before_last + block.min(block * before_last)
        } else {
            block * before_last
        };
        let last = tokens * attention + scored * (feed_forward + 4.0 * (2.0 * hidden + attended));
        let logits = (forest.scored.len() * config.vocab_size).min(chunk) as f64;
        // A row's weights beside its slopes, on each thread: seldom as much as a chunk.
        let logits = logits
            * if config.final_soft_cap.is_some() {
                2.0
            } else {
                1.0
            };
        Self {
            state,
            activations: blocks + last + 4.0 * logits,
        }
    }

    /// All of it, the process included.
    pub fn total(&self) -> f64 {
        self.state + self.activations + PROCESS
    }
}

/// Bytes of a base that is not trained, with the copies that passes over it make.
fn held(config: &DecoderConfig, dtype: BaseDtype, low: bool) -> f64 {
    let head = (config.vocab_size * config.hidden_size) as f64;
    let embed = if config.tied { 0.0 } else { head };
    let tables = head + embed;
    let blocks = config.parameters() as f64 - tables;
    let widest = (config.hidden_size * config.up_size()) as f64;
    match dtype {
        BaseDtype::F32 if low => (tables + blocks) * 6.0,
        BaseDtype::F32 => (tables + blocks) * 4.0,
        BaseDtype::Bf16 if low => (tables + blocks) * 2.0,
        // The head is f32, and one linear map at a time is widened.
        BaseDtype::Bf16 => blocks * 2.0 + embed * 2.0 + 4.0 * (head + widest),
        BaseDtype::Int8 => blocks * 1.0625 + embed * 2.0 + 4.0 * (head + widest),
        BaseDtype::Nf4 => blocks * 0.5625 + embed * 2.0 + 4.0 * (head + widest),
    }
}

/// Whether stages have run side by side in this process.
static SHARED: AtomicBool = AtomicBool::new(false);

/// Says that stages run side by side: what the process has held from now on is no stage's own.
pub fn share() {
    SHARED.store(true, Ordering::SeqCst);
}

/// Adds the peak of memory, where it is known.
pub fn note_peak(measures: &mut Measures) {
    if let Some(bytes) = peak() {
        let varying = &mut measures.varying;
        varying.insert("peak_memory_gb".into(), bytes / 1e9);
    }
}

/// The most memory that this process has held so far, in bytes, where the system says so and stages have run
/// one at a time.
fn peak() -> Option<f64> {
    if SHARED.load(Ordering::SeqCst) {
        return None;
    }
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}
