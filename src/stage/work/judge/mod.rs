//! What is true or wrong of replies.

pub mod dullness;
pub mod judging;
pub mod oracle;
pub mod verdicts;
