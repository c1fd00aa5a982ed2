//! What training stages share.

pub mod fit;
pub mod memory;
pub mod prefer;
pub mod preview;
pub mod rewarding;
