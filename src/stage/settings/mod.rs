//! What a recipe says of a stage, read and checked.

pub mod judge;
pub mod keys;
pub mod lengths;
pub mod lora;
pub mod loss;
pub mod ppo;
pub mod precision;
pub mod produces;
pub mod reward;
pub mod sampling;
pub mod splits;
pub mod trainer;
pub mod world;
