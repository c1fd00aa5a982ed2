//! Losses of the implicit reward of each of a pair's completions.

mod aot;
mod aot_unpaired;
mod apo_down;
mod apo_zero;
mod bco_pair;
mod nca_pair;
mod sppo_hard;

pub use aot::Aot;
pub use aot_unpaired::AotUnpaired;
pub use apo_down::ApoDown;
pub use apo_zero::ApoZero;
pub use bco_pair::BcoPair;
pub use nca_pair::NcaPair;
pub use sppo_hard::SppoHard;
