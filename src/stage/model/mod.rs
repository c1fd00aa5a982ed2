//! Kinds that make or bring a model or its tokenizer.

pub mod pretrained;
pub mod scratch;
pub mod tokenizer;
