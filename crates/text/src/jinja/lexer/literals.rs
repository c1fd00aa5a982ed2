//! Numbers and texts as a template writes them.

use super::{Kind, Lexer};
use crate::jinja::error::Result;

impl Lexer<'_> {
    pub(super) fn number(&mut self) -> Result<()> {
        let rest = self.rest();
        let digits = |text: &str, fits: fn(&char) -> bool| {
            let mut end = 0;
            let mut last = ' ';
            for letter in text.chars() {
                let joins = letter == '_' && last != '_' && last != ' ';
                if !(joins || fits(&letter)) {
                    break;
                }
                last = letter;
                end += letter.len_utf8();
            }
            end - usize::from(last == '_')
        };
        let decimal = |text: &str| digits(text, char::is_ascii_digit);
        let radix = match rest.get(..2).map(str::to_ascii_lowercase).as_deref() {
            Some("0x") => Some((16, digits(&rest[2..], char::is_ascii_hexdigit))),
            Some("0o") => Some((8, digits(&rest[2..], |c| ('0'..='7').contains(c)))),
            Some("0b") => Some((2, digits(&rest[2..], |c| "01".contains(*c)))),
            _ => None,
        };
        let too_large = "an integer is too large";
        if let Some((radix, length)) = radix.filter(|(_, length)| *length > 0) {
            let digits = rest[2..2 + length].replace('_', "");
            let number = i128::from_str_radix(&digits, radix);
            let number = number.or_else(|_| self.error(too_large))?;
            self.push(Kind::Int(number));
            self.skip(2 + length);
            return Ok(());
        }
        let whole = decimal(rest);
        let mut end = whole;
        let mut float = false;
        if rest[end..].starts_with('.') {
            let fraction = decimal(&rest[end + 1..]);
            if fraction > 0 {
                end += 1 + fraction;
                float = true;
            }
        }
        if rest[end..].starts_with(['e', 'E']) {
            let sign = usize::from(rest[end + 1..].starts_with(['+', '-']));
            let exponent = decimal(&rest[end + 1 + sign..]);
            if exponent > 0 {
                end += 1 + sign + exponent;
                float = true;
            }
        }
        let digits = rest[..end].replace('_', "");
        let kind = match float {
            true => digits.parse().map(Kind::Float).ok(),
            false => digits.parse().map(Kind::Int).ok(),
        };
        let Some(kind) = kind else {
            return self.error(too_large);
        };
        self.push(kind);
        self.skip(end);
        Ok(())
    }

    /// A string literal, with Python's escapes.
    pub(super) fn text(&mut self, quote: char) -> Result<()> {
        let rest = self.rest();
        let mut text = String::new();
        let mut letters = rest.char_indices().skip(1).peekable();
        while let Some((at, letter)) = letters.next() {
            if letter == quote {
                let bytes = at + 1;
                self.push(Kind::Text(text));
                self.skip(bytes);
                return Ok(());
            }
            if letter != '\\' {
                text.push(letter);
                continue;
            }
            let Some((_, escape)) = letters.next() else {
                break;
            };
            let simple = match escape {
                '\n' => continue,
                '\\' | '\'' | '"' => Some(escape),
                'a' => Some('\x07'),
                'b' => Some('\x08'),
                'f' => Some('\x0c'),
                'n' => Some('\n'),
                'r' => Some('\r'),
                't' => Some('\t'),
                'v' => Some('\x0b'),
                _ => None,
            };
            if let Some(simple) = simple {
                text.push(simple);
                continue;
            }
            let (radix, least, most) = match escape {
                'x' => (16, 2, 2),
                'u' => (16, 4, 4),
                'U' => (16, 8, 8),
                '0'..='7' => (8, 0, 2),
                'N' => {
                    return self
                        .error("the escape \\N{...} is not supported; write \\u and its number");
                }
                other => {
                    text.extend(['\\', other]);
                    continue;
                }
            };
            let mut code = if radix == 8 {
                escape.to_digit(8).unwrap_or(0)
            } else {
                0
            };
            let mut count = 0;
            while count < most
                && let Some(digit) = letters
                    .peek()
                    .and_then(|(_, letter)| letter.to_digit(radix))
            {
                code = code.wrapping_mul(radix).wrapping_add(digit);
                letters.next();
                count += 1;
            }
            match char::from_u32(code).filter(|_| count >= least) {
                Some(letter) => text.push(letter),
                None => return self.error(format!("the escape \\{escape} names no character")),
            }
        }
        self.error("a text has no closing quote")
    }
}
