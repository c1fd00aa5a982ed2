//! Numbers, durations and commands as text, the same in every report.

use super::paper::{Against, Direction, Reported};
use super::summary::{Cell, Machine, RunSummary};
use super::unit::Unit;

/// Stands where there is no value.
pub const MISSING: &str = "–";

/// A value in its unit, without the unit's name.
pub fn value(value: f64, unit: Unit) -> String {
    if !value.is_finite() {
        let name = match value {
            nan if nan.is_nan() => "NaN",
            low if low < 0.0 => "−∞",
            _ => "∞",
        };
        return name.to_owned();
    }
    match unit {
        Unit::Share => fixed(100.0 * value, 1),
        Unit::Count => grouped(value.round()),
        Unit::Seconds => duration(value),
        Unit::Plain => plain(value),
    }
}

/// A number of the paper's, as the paper prints it.
pub fn paper(reported: Option<Reported>) -> String {
    match reported {
        Some(Reported::Number(value)) => minus(value.to_string()),
        Some(Reported::Range([low, high])) => minus(format!("{low} to {high}")),
        None => MISSING.to_owned(),
    }
}

/// What the paper found, in the metric's unit.
pub fn found(against: &Against, unit: Unit) -> String {
    match (against.finding.difference, against.finding.direction) {
        (Some(found), _) => difference(found, unit),
        (None, Direction::Higher) => "higher".to_owned(),
        (None, Direction::Lower) => "lower".to_owned(),
        (None, Direction::Same) => "about the same".to_owned(),
    }
}

/// `[low, high]` in the unit.
pub fn interval([low, high]: [f64; 2], unit: Unit) -> String {
    format!("[{}, {}]", value(low, unit), value(high, unit))
}

/// A measured cell with its interval, on one line.
pub fn cell(cell: Option<Cell>, unit: Unit) -> String {
    match cell {
        None => MISSING.to_owned(),
        Some(Cell { value: v, ci95 }) => match ci95 {
            Some(ci95) if v.is_finite() => format!("{} {}", value(v, unit), interval(ci95, unit)),
            _ => value(v, unit),
        },
    }
}

/// A difference with its sign, and "points" for shares.
pub fn difference(difference: f64, unit: Unit) -> String {
    let sign = if difference > 0.0 { "+" } else { "" };
    let name = if unit == Unit::Share { " points" } else { "" };
    format!("{sign}{}{name}", value(difference, unit))
}

/// The unit's mark after a column's name.
pub fn unit_mark(unit: Unit) -> &'static str {
    match unit {
        Unit::Share => " %",
        _ => "",
    }
}

/// `8 s`, `3 min 05 s`, `1 h 04 min`; tenths below ten seconds.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return MISSING.to_owned();
    }
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s:02} s"),
        (h, m, _) => format!("{h} h {m:02} min"),
    }
}

/// `1,234,567`.
pub fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 {
        text.insert(0, '−');
    }
    text
}

/// `seed 1`, `seeds 1, 2 and 3`.
pub fn seeds(seeds: &[u64]) -> String {
    let words: Vec<String> = seeds.iter().map(u64::to_string).collect();
    match words.as_slice() {
        [] => "no seed".to_owned(),
        [one] => format!("seed {one}"),
        [most @ .., last] => format!("seeds {} and {last}", most.join(", ")),
    }
}

/// The machine in one line.
pub fn machine(machine: &Machine) -> String {
    let cores = match machine.cores {
        0 => String::new(),
        1 => "1 core".to_owned(),
        n => format!("{n} cores"),
    };
    let memory = machine.memory_gb.map(|gb| format!("{} GB", fixed(gb, 1)));
    let parts = [
        machine.cpu.clone(),
        cores,
        memory.unwrap_or_default(),
        machine.os.clone(),
    ];
    let known: Vec<String> = parts.into_iter().filter(|p| !p.is_empty()).collect();
    known.join(", ")
}

/// The command that makes this run again.
pub fn command(run: &RunSummary) -> String {
    let mut words = vec![format!("make {}", shell(&format!("exp-{}", run.recipe)))];
    let mut variable = |name: &str, value: &str| {
        if !value.is_empty() {
            // Make reads a single dollar as its own.
            words.push(format!("{name}={}", shell(&value.replace('$', "$$"))));
        }
    };
    variable("PROFILE", &run.profile);
    variable("BACKEND", &run.backend);
    for (name, value) in &run.given {
        variable(name, value);
    }
    variable("SET", &run.overrides.join(" "));
    words.join(" ")
}

fn shell(word: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(safe) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Four significant digits, or an exponent where those would be a long row of zeros.
fn plain(value: f64) -> String {
    let size = value.abs();
    match size {
        0.0 => "0".to_owned(),
        s if !(1e-4..1e9).contains(&s) => minus(format!("{value:.2e}")),
        s if s >= 1e4 => grouped(value),
        s => fixed(value, (3 - s.log10().floor() as i32).clamp(0, 6) as usize),
    }
}

fn fixed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    // What rounds to zero has no sign.
    match text.strip_prefix('-') {
        Some(zero) if zero.chars().all(|c| c == '0' || c == '.') => zero.to_owned(),
        _ => minus(text),
    }
}

fn minus(text: String) -> String {
    text.replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_by_unit() {
        assert_eq!(value(0.3814, Unit::Share), "38.1");
        assert_eq!(value(-0.00001, Unit::Share), "0.0");
        assert_eq!(value(1234567.0, Unit::Count), "1,234,567");
        assert_eq!(value(12.3456, Unit::Plain), "12.35");
        assert_eq!(value(-0.012345, Unit::Plain), "−0.01235");
        assert_eq!(value(3e-6, Unit::Plain), "3.00e−6");
        assert_eq!(value(0.0, Unit::Plain), "0");
        assert_eq!(value(f64::NAN, Unit::Share), "NaN");
        assert_eq!(value(f64::INFINITY, Unit::Plain), "∞");
        assert_eq!(value(f64::NEG_INFINITY, Unit::Count), "−∞");
        assert_eq!(paper(Some(38.0.into())), "38");
        assert_eq!(paper(Some(Reported::Range([0.32, 0.55]))), "0.32 to 0.55");
        assert_eq!(paper(None), MISSING);
    }

    #[test]
    fn differences_show_their_sign() {
        assert_eq!(difference(0.123, Unit::Share), "+12.3 points");
        assert_eq!(difference(-0.5, Unit::Plain), "−0.5000");
        assert_eq!(interval([-0.1, 0.2], Unit::Share), "[−10.0, 20.0]");
    }

    #[test]
    fn durations_read_naturally() {
        assert_eq!(duration(0.04), "0.0 s");
        assert_eq!(duration(9.96), "10 s");
        assert_eq!(duration(185.0), "3 min 05 s");
        assert_eq!(duration(3599.7), "1 h 00 min");
        assert_eq!(duration(-1.0), MISSING);
    }

    #[test]
    fn the_command_survives_shell_and_make() {
        let run = RunSummary {
            recipe: "persona-dpo".into(),
            profile: "sandbox".into(),
            overrides: vec!["dpo.beta=0.1".into(), "x.y=it's $1".into()],
            ..RunSummary::default()
        };
        assert_eq!(
            command(&run),
            r"make exp-persona-dpo PROFILE=sandbox SET='dpo.beta=0.1 x.y=it'\''s $$1'"
        );
        assert_eq!(seeds(&[1, 2, 3]), "seeds 1, 2 and 3");
    }
}
