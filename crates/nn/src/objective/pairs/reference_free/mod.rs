//! Losses of pairs that read the policy's log-probs alone.

mod cpo;
mod orpo;
mod simpo;

pub use cpo::Cpo;
pub use orpo::Orpo;
pub use simpo::SimPo;
