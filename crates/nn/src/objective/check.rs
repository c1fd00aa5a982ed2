//! Ranges of parameters.

/// A finite number above 0.
pub fn positive(name: &str, value: f64) -> Result<(), String> {
    holds(value > 0.0 && value.is_finite(), name, value, "above 0")
}

/// A finite number of at least 0.
pub fn not_negative(name: &str, value: f64) -> Result<(), String> {
    holds(
        value >= 0.0 && value.is_finite(),
        name,
        value,
        "of at least 0",
    )
}

/// A probability that a label is wrong: less often than not.
pub fn smoothing(value: f64) -> Result<(), String> {
    let within = (0.0..0.5).contains(&value);
    holds(within, "label_smoothing", value, "in [0, 0.5)")
}

/// An error unless `within`.
pub fn holds(within: bool, name: &str, value: f64, range: &str) -> Result<(), String> {
    match within {
        true => Ok(()),
        false => Err(format!("{name} must be a number {range}, found {value}")),
    }
}
