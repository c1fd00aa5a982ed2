//! Values in texts, in Python's two ways: `%` and `str.format`.

mod blanks;
mod spec;

pub(super) use blanks::{format_fields, percent};
