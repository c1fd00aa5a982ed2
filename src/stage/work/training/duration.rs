//! How long training takes: estimated before, from the rate of the machine's matrix products.

use crate::model::DecoderConfig;
use crate::model::forest::Forest;

/// What a step reaches of the rate at which one product runs alone: docs/performance.md says where from.
const REACHED: f64 = 0.9;

/// What of a model is computed in a training step.
#[derive(Clone, Copy, Debug)]
pub struct Passes {
    /// Whether the forward pass is computed again in the backward one.
    pub recompute: bool,
    /// Whether no gradient of the weights is taken, but of adapters beside them.
    pub adapted: bool,
    /// Whether a reference model is computed too.
    pub reference: bool,
}

/// Floating-point operations of a micro-batch: of the matrix products, an addition and a multiplication counted as two.
/// Attention is counted over whole rows, half of which no token sees.
pub fn operations(config: &DecoderConfig, forest: &Forest, passes: Passes) -> f64 {
    let forward = 1.0;
    let backward = if passes.adapted { 1.0 } else { 2.0 };
    let reference = f64::from(u8::from(passes.reference));
    let again = f64::from(u8::from(passes.recompute));
    let head = (config.vocab_size * config.hidden_size) as f64;
    let tables = if config.tied { head } else { 2.0 * head };
    let blocks = (config.parameters() as f64 - tables).max(0.0);
    let tokens = forest.tokens.len() as f64;
    let attended = (config.layers * config.heads * config.head_dim) as f64;
    let pairs = tokens * forest.width as f64 / 2.0;
    // Attention has two products a pass, and four in the backward one, adapters or not.
    let attention = 4.0 * pairs * attended * (forward + 2.0 + reference + again);
    let maps = 2.0 * tokens * blocks * (forward + backward + reference + again);
    let scored = forest.scored.len() as f64;
    maps + attention + 2.0 * scored * head * (forward + backward + reference)
}

/// Seconds of so many operations at a rate of products, in operations a second.
pub fn seconds(operations: f64, rate: f64) -> f64 {
    operations / (REACHED * rate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::family::Family;

    #[test]
    fn operations_are_six_a_parameter_and_token_and_fewer_beside_adapters() {
        let config = DecoderConfig {
            tied: true,
            ..DecoderConfig::new(Family::Llama, 100, 16, 2, 2)
        };
        let forest = Forest::path(&[1; 8]);
        let passes = Passes {
            recompute: false,
            adapted: false,
            reference: false,
        };
        let of = |passes| operations(&config, &forest, passes);
        let head = config.vocab_size * config.hidden_size;
        let blocks = (config.parameters() - head) as f64;
        let attention = (config.layers * config.heads * config.head_dim * 8 * 8) as f64;
        assert_eq!(of(passes), 6.0 * 8.0 * blocks + 6.0 * attention);
        let adapted = of(Passes {
            adapted: true,
            ..passes
        });
        assert_eq!(of(passes) - adapted, 2.0 * 8.0 * blocks);
        let forward = 2.0 * 8.0 * blocks + 2.0 * attention;
        for more in [
            Passes {
                reference: true,
                ..passes
            },
            Passes {
                recompute: true,
                ..passes
            },
        ] {
            assert_eq!(of(more) - of(passes), forward, "{more:?}");
        }
    }
}
