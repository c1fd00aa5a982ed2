//! Which filters there are.

use super::{list, number, text};

/// Those that put each item through another filter, or through a test.
const EACH: [&str; 5] = ["map", "reject", "rejectattr", "select", "selectattr"];

/// Whether there is a filter of that name.
pub fn known(name: &str) -> bool {
    let names: [&[&str]; 4] = [&EACH, &list::NAMES, &number::NAMES, &text::NAMES];
    names.iter().any(|names| names.contains(&name))
}
