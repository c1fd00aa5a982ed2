//! Kinds that bring data: worlds, public files and the user's own.

pub mod guardrail_world;
pub mod impression_world;
pub mod nli;
pub mod persona_files;
pub mod persona_world;
pub mod ratings;
pub mod rows;
pub mod star_files;
