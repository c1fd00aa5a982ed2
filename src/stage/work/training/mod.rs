//! What training stages share.

pub mod memory;
pub mod prefer;
pub mod preview;
pub mod trainer;
