//! How a value is put into a text: what stands behind `%`, or behind `:` in `{}`.

use crate::jinja::error::{Error, Result};
use crate::jinja::meter::Meter;
use crate::jinja::value::Value;
use crate::jinja::value::float::{exponent, float_text};

/// What is asked of the form.
#[derive(Default)]
pub struct Spec {
    pub fill: Option<char>,
    pub align: Option<char>,
    pub sign: Option<char>,
    pub alternate: bool,
    pub zero: bool,
    pub width: usize,
    /// `,` or `_` between groups of digits.
    pub group: Option<char>,
    pub precision: Option<usize>,
    pub kind: Option<char>,
}

/// Widths and precisions above this are mistakes; Rust's own formatting ends at 65,535.
pub const MAX_WIDTH: usize = 60_000;

pub fn number_in(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Option<usize>> {
    let mut number = None;
    while let Some(digit) = letters.peek().and_then(|letter| letter.to_digit(10)) {
        let so_far = number.unwrap_or(0) * 10 + digit as usize;
        if so_far > MAX_WIDTH {
            return Err(Error::bound(format!(
                "a width or precision is above {MAX_WIDTH}"
            )));
        }
        number = Some(so_far);
        letters.next();
    }
    Ok(number)
}

impl Spec {
    /// Reads what stands behind `:`.
    pub fn read(text: &str) -> Result<Self> {
        let mut spec = Self::default();
        let all: Vec<char> = text.chars().take(2).collect();
        let aligns =
            |letter: Option<&char>| letter.copied().filter(|letter| "<>=^".contains(*letter));
        let mut letters = text.chars().peekable();
        if let Some(align) = aligns(all.get(1)) {
            (spec.fill, spec.align) = (all.first().copied(), Some(align));
            letters.next();
            letters.next();
        } else if let Some(align) = aligns(all.first()) {
            spec.align = Some(align);
            letters.next();
        }
        spec.sign = letters.next_if(|letter| "+- ".contains(*letter));
        spec.alternate = letters.next_if_eq(&'#').is_some();
        spec.zero = letters.next_if_eq(&'0').is_some();
        spec.width = number_in(&mut letters)?.unwrap_or(0);
        spec.group = letters.next_if(|letter| ",_".contains(*letter));
        if letters.next_if_eq(&'.').is_some() {
            spec.precision = Some(
                number_in(&mut letters)?
                    .ok_or_else(|| Error::operation("Format specifier missing precision"))?,
            );
        }
        spec.kind = letters.next();
        match letters.next() {
            None => Ok(spec),
            Some(_) => Err(Error::operation(format!(
                "Invalid format specifier '{text}'"
            ))),
        }
    }

    /// A number's digits, without its sign.
    pub fn float_digits(&self, number: f64, kind: char) -> Result<String> {
        let number = number.abs();
        if !number.is_finite() {
            let text = if number.is_nan() { "nan" } else { "inf" };
            return Ok(if kind.is_uppercase() {
                text.to_uppercase()
            } else {
                text.into()
            });
        }
        let precision = self.precision.unwrap_or(6);
        Ok(match kind {
            'f' | 'F' => format!("{number:.precision$}"),
            '%' => format!("{:.precision$}%", number * 100.0),
            'e' => exponent(&format!("{number:.precision$e}")),
            'E' => exponent(&format!("{number:.precision$e}")).to_uppercase(),
            'g' | 'G' => {
                let digits = precision.max(1);
                let scientific = format!("{number:.*e}", digits - 1);
                let power: i32 = scientific
                    .split_once('e')
                    .and_then(|(_, power)| power.parse().ok())
                    .unwrap_or(0);
                let trim = |text: &str| match text.contains('.') && !self.alternate {
                    true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
                    false => text.to_owned(),
                };
                let text = match power < -4 || power >= digits as i32 {
                    true => {
                        let (head, power) =
                            scientific.split_once('e').unwrap_or((&scientific, "0"));
                        exponent(&format!("{}e{power}", trim(head)))
                    }
                    false => trim(&format!(
                        "{number:.*}",
                        (digits as i32 - 1 - power).max(0) as usize
                    )),
                };
                if kind == 'G' {
                    text.to_uppercase()
                } else {
                    text
                }
            }
            other => {
                return Err(Error::operation(format!(
                    "Unknown format code '{other}' for object of type 'float'"
                )));
            }
        })
    }

    pub fn int_digits(&self, number: i128, kind: char) -> Result<String> {
        let number = number.unsigned_abs();
        let (prefix, digits) = match kind {
            'd' => ("", number.to_string()),
            'x' => ("0x", format!("{number:x}")),
            'X' => ("0X", format!("{number:X}")),
            'o' => ("0o", format!("{number:o}")),
            'b' => ("0b", format!("{number:b}")),
            other => {
                return Err(Error::operation(format!(
                    "Unknown format code '{other}' for object of type 'int'"
                )));
            }
        };
        Ok(match self.alternate {
            true => format!("{prefix}{digits}"),
            false => digits,
        })
    }

    pub fn grouped(&self, digits: String) -> String {
        let Some(separator) = self.group else {
            return digits;
        };
        let end = digits
            .find(|letter: char| !letter.is_ascii_digit())
            .unwrap_or(digits.len());
        let mut text = String::new();
        for (index, digit) in digits[..end].chars().enumerate() {
            if index > 0 && (end - index) % 3 == 0 {
                text.push(separator);
            }
            text.push(digit);
        }
        text + &digits[end..]
    }

    pub fn sign_of(&self, negative: bool) -> &'static str {
        match (negative, self.sign) {
            (true, _) => "-",
            (false, Some('+')) => "+",
            (false, Some(' ')) => " ",
            _ => "",
        }
    }

    /// Fills a text up to the width.
    pub fn pad(&self, sign: &str, body: &str, default: char) -> String {
        let length = sign.chars().count() + body.chars().count();
        let missing = self.width.saturating_sub(length);
        let zero = self.zero && self.align.is_none();
        let fill = self.fill.unwrap_or(if self.zero { '0' } else { ' ' });
        let fill = |count: usize| std::iter::repeat_n(fill, count).collect::<String>();
        match self
            .align
            .unwrap_or(if zero && default == '>' { '=' } else { default })
        {
            '<' => format!("{sign}{body}{}", fill(missing)),
            '=' => format!("{sign}{}{body}", fill(missing)),
            '^' => format!(
                "{}{sign}{body}{}",
                fill(missing / 2),
                fill(missing - missing / 2)
            ),
            _ => format!("{}{sign}{body}", fill(missing)),
        }
    }
}

/// `format(value, spec)`
pub fn format_value(value: &Value, spec: &str, meter: &Meter) -> Result<String> {
    if spec.is_empty() {
        return Ok(value.to_text(meter)?.to_string());
    }
    let spec = Spec::read(spec)?;
    meter.charge_times(4, spec.width + spec.precision.unwrap_or(0))?;
    if let Value::Bool(_) | Value::Int(_) = value
        && !matches!(spec.kind, Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%'))
    {
        let number = value.as_int().unwrap_or(0);
        if let Value::Bool(_) = value
            && spec.kind.is_none()
        {
            return Ok(spec.pad("", if number == 1 { "True" } else { "False" }, '<'));
        }
        let kind = spec.kind.filter(|kind| *kind != 'n').unwrap_or('d');
        if kind == 'c' {
            return Ok(spec.pad("", &letter(number)?, '<'));
        }
        let digits = spec.grouped(spec.int_digits(number, kind)?);
        return Ok(spec.pad(spec.sign_of(number < 0), &digits, '>'));
    }
    if let Some(number) = value.as_float() {
        let digits = match (spec.kind, spec.precision) {
            (Some(kind), _) => spec.float_digits(number, kind)?,
            (None, None) => float_text(number.abs()),
            (None, Some(_)) => {
                let text = spec.float_digits(number, 'g')?;
                match text.contains(['.', 'e', 'n']) {
                    true => text,
                    false => text + ".0",
                }
            }
        };
        return Ok(spec.pad(
            spec.sign_of(number.is_sign_negative() && !number.is_nan()),
            &spec.grouped(digits),
            '>',
        ));
    }
    let Some(text) = value
        .as_text()
        .filter(|_| matches!(spec.kind, None | Some('s')))
    else {
        return Err(Error::operation(format!(
            "unsupported format string passed to {}.__format__",
            value.type_name()
        )));
    };
    let cut: String = text
        .chars()
        .take(spec.precision.unwrap_or(usize::MAX))
        .collect();
    Ok(spec.pad("", &cut, '<'))
}

pub fn letter(number: i128) -> Result<String> {
    let letter = u32::try_from(number).ok().and_then(char::from_u32);
    letter
        .map(String::from)
        .ok_or_else(|| Error::operation("%c arg not in range(0x110000)"))
}
