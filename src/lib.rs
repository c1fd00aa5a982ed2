//! Rapport trains dialogue models from preferences, on Burn.
//!
//! The whole house, whatever crate a room lies in.
// What is printed goes through `store::print` and `store::say`: a closed pipe must end nothing.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub use rapport_http as http;
pub use rapport_nn::{backend, engine, generate, model, objective, ops, train};
pub use rapport_store as store;
pub use rapport_text as data;

pub mod cli;
pub mod eval;
pub mod hub;
pub mod judge;
pub mod recipe;
pub mod report;
pub mod run;
pub mod stage;
pub mod world;
