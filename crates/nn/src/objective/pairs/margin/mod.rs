//! Losses of the margin by which a pair's implicit rewards differ.

mod discopop;
mod exo_pair;
mod hinge;
mod ipo;
mod robust;
mod sigmoid;

pub use discopop::DiscoPop;
pub use exo_pair::ExoPair;
pub use hinge::Hinge;
pub use ipo::Ipo;
pub use robust::Robust;
pub use sigmoid::Sigmoid;
