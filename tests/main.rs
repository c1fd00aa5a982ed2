//! One binary for every integration test.

mod backends;
mod cli;
mod compute;
mod generate;
mod imports;
mod objective;
mod packing;
mod parity;
mod resume;
mod support;
mod trl;
