//! Floats as Python writes them.

/// The whole number that a float is.
pub fn whole(number: f64) -> Option<i128> {
    (number.fract() == 0.0 && number.abs() < 1e37).then_some(number as i128)
}

/// `repr` of a float: the fewest digits that give it back.
pub fn float_text(number: f64) -> String {
    if number.is_nan() {
        return "nan".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.into();
    }
    if number == 0.0 || (1e-4..1e16).contains(&number.abs()) {
        let text = format!("{number}");
        return match text.contains('.') {
            true => text,
            false => text + ".0",
        };
    }
    exponent(&format!("{number:e}"))
}

/// Python writes a sign and at least two digits behind the `e`.
pub fn exponent(text: &str) -> String {
    let (digits, power) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, power) = match power.strip_prefix('-') {
        Some(power) => ('-', power),
        None => ('+', power),
    };
    format!("{digits}e{sign}{power:0>2}")
}
