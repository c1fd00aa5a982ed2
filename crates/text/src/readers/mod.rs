//! The formats that papers' data comes in, one a file.

pub mod convai2;
pub mod dialogue_nli;
pub mod dstc9;
pub mod nli;
pub mod real_persona_chat;
pub mod real_persona_chat_personas;
pub mod synthetic_persona_chat;
