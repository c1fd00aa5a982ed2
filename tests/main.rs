//! One binary for every integration test.

mod imports;
mod packing;
mod parity;
mod resume;
mod support;
mod trl;
