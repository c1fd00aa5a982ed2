//! Settings of worlds, which say themselves what is out of range.

use crate::stage::settings::keys::Keys;
use crate::world::SettingError;

/// Dialogues or items that a split may have: all are held in memory at once.
pub const MOST: usize = 100_000;

/// Turns that a side of a dialogue may have.
pub const TURNS: usize = 50;

/// Reports each problem at the key that has it.
pub fn refuse(keys: &mut Keys<'_>, problems: Vec<SettingError>) {
    for error in problems {
        keys.problem(
            error.key,
            format!("expected {}, found {}", error.expected, error.value),
        );
    }
}
