//! Models, objectives, training and generation on Burn.
//!
//! What is built on it goes through [`engine`], which is not generic over a backend.
#![recursion_limit = "256"]
// What is printed goes through `print` and `say` of the store: a closed pipe must end nothing.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod backend;
pub mod engine;
pub mod generate;
pub mod model;
pub mod objective;
pub mod ops;
pub mod train;
