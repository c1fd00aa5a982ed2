//! A column's values as JSON: what has no form there is text, as in Python's `str`.

use jiff::{SignedDuration, Timestamp, civil};
use serde_json::{Number, Value};

use super::schema::{Meaning, Physical};
use super::values::Scalar;
use crate::formats::json::{binary, not_finite};

/// A stored value as JSON, or what is wrong with it; and the bytes that it takes.
pub fn json(
    scalar: Scalar<'_>,
    physical: Physical,
    meaning: Meaning,
) -> (Result<Value, String>, usize) {
    match scalar {
        Scalar::Bool(it) => (Ok(it.into()), 0),
        Scalar::Float(it) => (Ok(number(it.into())), 0),
        Scalar::Double(it) => (Ok(number(it)), 0),
        Scalar::Int(it) => (Ok(whole(it, physical, meaning)), 32),
        Scalar::Bytes(bytes) => of_bytes(bytes, physical, meaning),
    }
}

/// A map's key as text.
pub fn key(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn number(value: f64) -> Value {
    Number::from_f64(value).map_or_else(not_finite, Value::Number)
}

fn whole(value: i64, physical: Physical, meaning: Meaning) -> Value {
    match meaning {
        Meaning::Unsigned if physical == Physical::Int32 => (value as i32 as u32).into(),
        Meaning::Unsigned => (value as u64).into(),
        Meaning::Decimal(scale) => decimal(value.into(), scale).into(),
        Meaning::Date => {
            let date = civil::date(1970, 1, 1)
                .checked_add(SignedDuration::from_secs(value.saturating_mul(86_400)));
            date.map_or_else(|_| value.into(), |date| date.to_string().into())
        }
        Meaning::Time(unit) => {
            let time = civil::Time::midnight().checked_add(SignedDuration::from_nanos(
                value.saturating_mul(10_i64.pow(9 - unit.min(9))),
            ));
            time.map_or_else(|_| value.into(), |time| time.to_string().into())
        }
        Meaning::Timestamp(unit, utc) => {
            timestamp(i128::from(value) * 10_i128.pow(9 - unit.min(9)), utc)
                .unwrap_or_else(|| value.into())
        }
        _ => value.into(),
    }
}

/// A moment as text: with a `Z` where it is by UTC, without where nobody says by which clock.
fn timestamp(nanoseconds: i128, utc: bool) -> Option<Value> {
    let moment = Timestamp::from_nanosecond(nanoseconds).ok()?.to_string();
    Some(match utc {
        true => moment.into(),
        false => moment.trim_end_matches('Z').into(),
    })
}

/// A number of so many digits after its point.
fn decimal(value: i128, scale: u32) -> String {
    let digits = value.unsigned_abs().to_string();
    let scale = scale as usize;
    let sign = if value < 0 { "-" } else { "" };
    if scale == 0 {
        return format!("{sign}{digits}");
    }
    let digits = format!("{digits:0>width$}", width = scale + 1);
    let (whole, rest) = digits.split_at(digits.len() - scale);
    format!("{sign}{whole}.{rest}")
}

fn of_bytes(bytes: &[u8], physical: Physical, meaning: Meaning) -> (Result<Value, String>, usize) {
    let text = || std::str::from_utf8(bytes);
    let not_text = || "not valid UTF-8".to_owned();
    let size = bytes.len();
    let value = match meaning {
        Meaning::Text => text().map(Value::from).map_err(|_| not_text()),
        Meaning::Json => text()
            .map_err(|_| not_text())
            .and_then(|text| crate::formats::json::value(text)),
        Meaning::Decimal(scale) if size <= 16 => Ok(decimal(big_endian(bytes), scale).into()),
        Meaning::Half => {
            let half = bytes.try_into().map_or(0, u16::from_le_bytes);
            Ok(number(half_float(half)))
        }
        Meaning::Uuid => Ok(uuid(bytes).into()),
        Meaning::Timestamp(..) if physical == Physical::Int96 => Ok(julian(bytes)),
        // Some writers do not say that it is text.
        Meaning::Plain if physical == Physical::Bytes => match text() {
            Ok(text) => Ok(text.into()),
            Err(_) => return (Ok(binary()), 0),
        },
        _ => return (Ok(binary()), 0),
    };
    (value, size)
}

/// A whole number in two's complement, its highest byte first.
fn big_endian(bytes: &[u8]) -> i128 {
    let negative = bytes.first().is_some_and(|byte| *byte > 127);
    let mut all = [if negative { 255 } else { 0 }; 16];
    all[16 - bytes.len()..].copy_from_slice(bytes);
    i128::from_be_bytes(all)
}

fn uuid(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (at, byte) in bytes.iter().enumerate() {
        if [4, 6, 8, 10].contains(&at) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// Nanoseconds of the day, and the day from noon of January 1st, 4713 BC, on.
fn julian(bytes: &[u8]) -> Value {
    let (Some(Ok(nanoseconds)), Some(Ok(day))) = (
        bytes
            .get(..8)
            .map(|it| it.try_into().map(i64::from_le_bytes)),
        bytes
            .get(8..12)
            .map(|it| it.try_into().map(i32::from_le_bytes)),
    ) else {
        return binary();
    };
    let of_day = i128::from(day) - 2_440_588;
    timestamp(of_day * 86_400_000_000_000 + i128::from(nanoseconds), false).unwrap_or_else(binary)
}

/// A number of 16 bits (IEEE 754 binary16).
fn half_float(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    sign * match exponent {
        0 => fraction * 2_f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction / 1024.0) * 2_f64.powi(exponent - 15),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_without_a_form_in_json_are_text() {
        let int = |value, meaning| whole(value, Physical::Int64, meaning);
        assert_eq!(int(-1234, Meaning::Decimal(2)), "-12.34");
        assert_eq!(int(5, Meaning::Decimal(3)), "0.005");
        assert_eq!(int(19_930, Meaning::Date), "2024-07-26");
        assert_eq!(int(i64::MIN, Meaning::Date), i64::MIN);
        assert_eq!(int(1_500, Meaning::Time(3)), "00:00:01.5");
        let day = int(1_721_952_000_500, Meaning::Timestamp(3, true));
        assert_eq!(day, "2024-07-26T00:00:00.5Z");
        assert_eq!(int(i64::MAX, Meaning::Timestamp(3, true)), i64::MAX);
        assert_eq!(int(-1, Meaning::Unsigned), u64::MAX);
        assert_eq!(big_endian(&[255, 254]), -2);
        assert_eq!(half_float(0x3555), 0.333_251_953_125);
        assert_eq!(half_float(0xC000), -2.0);
        assert_eq!(half_float(1), 2_f64.powi(-24));
    }
}
