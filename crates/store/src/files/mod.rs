//! Files as they are read, written whole and told apart by content.

pub(crate) mod atomic;
pub(crate) mod hash;
pub(crate) mod regular;
