//! How many tokens a model reads, checked before anything is computed.

use anyhow::Result;

use crate::model::DecoderConfig;
use crate::store::BadInput;

/// Refuses sequences of `longest` tokens, cut to `max_length`, where the model of the stage named `model` has
/// fewer positions.
///
/// # Errors
/// [`BadInput`] that names model and key.
pub fn check(model: &str, config: &DecoderConfig, longest: usize, max_length: usize) -> Result<()> {
    let positions = config.max_positions;
    if longest <= positions {
        return Ok(());
    }
    let message = format!(
        "an example has {longest} tokens, but @{model} reads at most {positions} \
         (max_position_embeddings); lower max_length ({max_length}) to {positions}"
    );
    Err(BadInput(message).into())
}
