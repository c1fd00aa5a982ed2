//! Kinds that train.

pub mod dpo;
pub mod kto;
pub mod ppo;
pub mod reward_model;
pub mod sft;
