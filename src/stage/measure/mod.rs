//! Kinds that measure.

pub mod agreement;
pub mod aif;
pub mod judged;
pub mod perplexity;
pub mod prompted_ratings;
pub mod rank;
pub mod replies;
pub mod tournament;
