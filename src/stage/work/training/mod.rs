//! What training stages share.

pub mod duration;
pub mod head_data;
pub mod memory;
pub mod prefer;
pub mod preview;
pub mod trainer;
