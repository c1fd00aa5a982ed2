//! What a recipe says of a stage, read and checked.

pub mod judge;
pub mod keys;
pub mod loss;
pub mod ppo;
pub mod precision;
pub mod world;
