//! What recipes and profiles may be called.

/// Whether a recipe or a profile may have the name.
pub fn is_name(name: &str) -> bool {
    check_name(name).is_ok()
}

/// What a recipe or profile may be called: a run's folder bears its name.
///
/// # Errors
/// What is expected of any other name.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    let plain = |letter: char| letter.is_alphanumeric() || "-_. ".contains(letter);
    if !name.is_empty() && name.len() <= 100 && name.chars().all(plain) && !name.starts_with('.') {
        return Ok(());
    }
    Err("expected a name of letters, digits, spaces, -, _ and dots that begins with no dot")
}
