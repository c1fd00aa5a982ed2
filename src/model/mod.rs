//! One decoder for four families, its weights, and Hugging Face folders.

pub mod config;
pub mod decoder;
pub mod forest;
pub mod hf;
pub mod score;
pub mod weights;

pub use config::DecoderConfig;
pub use decoder::Decoder;
