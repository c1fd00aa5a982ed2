//! What a model with a scoring head says of texts, and how good that is.

pub mod held_out;
pub mod rating_errors;
pub mod reply_reward;
pub mod reward;
pub mod reward_source;
pub mod score_file;
pub mod scored;
pub mod scorer;
