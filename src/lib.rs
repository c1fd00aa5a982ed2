//! Rapport trains dialogue models from preferences, on Burn.
#![recursion_limit = "256"]
// What is printed goes through `store::print` and `store::say`: a closed pipe must end nothing.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod backend;
pub mod cli;
pub mod data;
pub mod engine;
pub mod eval;
pub mod generate;
pub mod judge;
pub mod model;
pub mod objective;
pub mod ops;
pub mod recipe;
pub mod report;
pub mod run;
pub mod stage;
pub mod store;
pub mod train;
pub mod world;
