//! Chains of names: a recipe that extends another, a stage that is like another or refers to it.

/// Stages that may be like one another in a row.
pub(super) const LONGEST: usize = 100;

/// Names joined by a word, those in the middle of a long list left out.
pub(super) fn path_of(names: &[String], word: &str) -> String {
    const ENDS: usize = 5;
    let mut shown: Vec<&str> = names.iter().map(String::as_str).collect();
    if shown.len() > 2 * ENDS {
        shown.splice(ENDS..shown.len() - ENDS, ["..."]);
    }
    shown.join(word)
}
