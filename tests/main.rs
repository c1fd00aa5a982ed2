//! One binary for every integration test.

mod backends;
#[cfg(target_os = "linux")]
mod campaign;
mod cli;
mod compute;
mod damaged;
mod data;
mod extending;
mod faults;
mod filter;
mod generate;
mod gguf;
#[cfg(feature = "flex")]
mod golden;
#[cfg(all(feature = "flex", target_os = "linux"))]
mod gpu_check;
mod guardrail;
#[cfg(feature = "hub")]
mod hub;
mod imports;
mod judge;
mod ledger;
mod lora;
#[cfg(all(feature = "flex", target_os = "linux"))]
mod memory;
mod nli;
mod objective;
mod packing;
mod parity;
mod ppo;
mod resume;
mod reward;
mod score;
mod side_by_side;
mod statistics;
mod support;
mod trl;
