//! One binary for every integration test.

mod packing;
mod support;
