//! One decoder for all families, its weights, and Hugging Face folders.

mod adapted;
pub mod config;
pub mod decoder;
pub mod family;
pub mod forest;
pub mod gguf;
pub mod hf;
pub mod linear;
pub mod lora;
mod precision;
pub mod score;
pub mod views;
pub mod weights;

pub use config::DecoderConfig;
pub use decoder::Decoder;

/// Raised when the same folder begins to give other logits, or the same model another folder, so that old artifacts are left.
// 2: a model's card begins with what a hub reads.
pub const VERSION: u32 = 2;
