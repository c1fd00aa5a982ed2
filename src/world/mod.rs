//! Worlds: generators of dialogues whose truth is known, each with an exact oracle.
//!
//! A world stands in for a public data set where none can be downloaded: it is small enough for a model
//! trained from scratch on a CPU, and an oracle can say of any reply whether it is true.

pub mod persona;
