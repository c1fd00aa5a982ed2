//! The hot operations, as functions over `B: Backend` made of Burn primitives.

mod attention;
mod logps;
mod norm;
mod rotary;

pub use attention::{forest_attention, visibility_bias};
pub use logps::{branch_sums, token_logps};
pub use norm::{layer_norm, rms_norm};
pub use rotary::{RotaryTable, rotate};
