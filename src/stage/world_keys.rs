//! Settings of worlds, which say themselves what is out of range.

use crate::stage::keys::Keys;
use crate::world::SettingError;

/// Reports each problem at the key that has it.
pub fn refuse(keys: &mut Keys<'_>, problems: Vec<SettingError>) {
    for error in problems {
        keys.problem(
            error.key,
            format!("expected {}, found {}", error.expected, error.value),
        );
    }
}
