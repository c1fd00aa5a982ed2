//! How much of a text must be left.

use crate::stage::settings::keys::Keys;

/// Reads how much of a prompt must be left where it is cut.
pub fn read_kept(keys: &mut Keys<'_>) -> f64 {
    keys.doc(
        "share that must be left of a prompt whose text is cut, its oldest turns dropped whole before, and of all \
         prompts together; less is an error",
    )
        .float(KEPT, KEPT_DEFAULT, 0.0..=1.0)
}

/// The key.
pub const KEPT: &str = "min_prompt_kept";

/// The share that must be left where nothing else is said.
pub const KEPT_DEFAULT: f64 = 0.5;
