//! A key that is told to one server, and kept out of everything that comes back.
//!
//! A server may repeat it in any spelling: escaped once or more (JSON, URL, HTML), in hexadecimal digits or
//! base64, in another case, backwards, with spaces between, or cut off. So a text is looked at as it is and as
//! each round of unescaping leaves it, whole and by its letters and digits alone, for any piece of any such form.

use std::collections::HashMap;

/// What is left of a key.
const HIDDEN: &[u8] = b"[api key]";

/// Bytes by which a piece is first looked for.
const PROBE: usize = 4;

/// The shortest key; a shorter one cannot be told from other text.
pub const SHORTEST: usize = 4;

/// The shortest key of which pieces are looked for. A shorter one, such as the "EMPTY" that some local servers
/// want, is hidden where it stands as a word.
const PIECES: usize = 8;

/// Rounds of unescaping.
const ROUNDS: usize = 4;

/// A key, as far as it takes to find it.
pub struct Secret {
    key: Vec<u8>,
    /// Pieces of its forms in lower case, by their first bytes.
    pieces: HashMap<[u8; PROBE], Vec<Vec<u8>>>,
}

/// A text after some rounds of unescaping.
struct View {
    bytes: Vec<u8>,
    /// Where in the text each byte was written: from, to.
    written: Vec<(u32, u32)>,
}

impl Secret {
    /// A key of at least [`SHORTEST`] bytes.
    pub fn new(key: &str) -> Self {
        let key = key.as_bytes().to_vec();
        let mut secret = Self {
            key: key.clone(),
            pieces: HashMap::new(),
        };
        if key.len() < PIECES {
            return secret;
        }
        let piece = (key.len() / 2).clamp(PROBE, 8);
        let mut reversed = key.clone();
        reversed.reverse();
        let hex = |before: &str| -> Vec<u8> {
            let digits = key.iter().map(|byte| format!("{before}{byte:02x}"));
            digits.collect::<String>().into_bytes()
        };
        let decimal: String = key.iter().map(u8::to_string).collect();
        let mut forms = vec![
            (key.clone(), piece),
            (reversed, piece),
            (hex(""), 2 * piece),
            (hex("0x"), 4 * piece),
            (decimal.into_bytes(), 2 * piece),
        ];
        // Whatever stands before the key in what was encoded, it begins at one of three places of a group.
        for before in 0..3 {
            for alphabet in [*b"+/", *b"-_"] {
                forms.push((base64(&key, before, alphabet), (4 * piece).div_ceil(3)));
            }
        }
        let letters = forms
            .iter()
            .map(|(form, piece)| {
                let letters = form.iter().copied().filter(u8::is_ascii_alphanumeric);
                (letters.collect::<Vec<u8>>(), *piece)
            })
            .collect::<Vec<_>>();
        for (form, piece) in forms.into_iter().chain(letters) {
            secret.add(&form.to_ascii_lowercase(), piece);
        }
        // What unescaping makes of a key that has escapes in it.
        let mut view = View::of(&key);
        for _ in 0..ROUNDS {
            view = view.unescaped();
            secret.add(&view.bytes.to_ascii_lowercase(), piece);
        }
        secret
    }

    fn add(&mut self, form: &[u8], piece: usize) {
        if form.len() < PIECES {
            return;
        }
        for window in form.windows(piece.min(form.len())) {
            let mut probe = [0; PROBE];
            probe.copy_from_slice(&window[..PROBE]);
            let pieces = self.pieces.entry(probe).or_default();
            if !pieces.iter().any(|piece| piece == window) {
                pieces.push(window.to_vec());
            }
        }
    }

    /// The text with [`HIDDEN`] in the place of what gives the key away.
    pub fn hide(&self, text: Vec<u8>) -> Vec<u8> {
        let mut found = Vec::new();
        let mut view = View::of(&text);
        for _ in 0..=ROUNDS {
            if self.key.len() < PIECES {
                self.words(&view, &mut found);
            } else {
                self.search(&view, &mut found);
                self.search(&view.letters(), &mut found);
            }
            self.end(&view, text.len(), &mut found);
            let next = view.unescaped();
            if next.bytes.len() == view.bytes.len() {
                break;
            }
            view = next;
        }
        if found.is_empty() {
            return text;
        }
        found.sort_unstable();
        let mut hidden = Vec::with_capacity(text.len());
        let (mut at, mut found) = (0, found.into_iter().peekable());
        while let Some((from, mut to)) = found.next() {
            while let Some((_, next)) = found.next_if(|(next, _)| *next <= to) {
                to = to.max(next);
            }
            hidden.extend_from_slice(&text[at..from]);
            hidden.extend_from_slice(HIDDEN);
            at = to;
        }
        hidden.extend_from_slice(&text[at..]);
        hidden
    }

    /// Any piece of any form, in any case.
    fn search(&self, view: &View, found: &mut Vec<(usize, usize)>) {
        let lower = view.bytes.to_ascii_lowercase();
        for (at, probe) in lower.windows(PROBE).enumerate() {
            let probe = <[u8; PROBE]>::try_from(probe);
            let Some(pieces) = probe.ok().and_then(|probe| self.pieces.get(&probe)) else {
                continue;
            };
            for piece in pieces.iter().filter(|piece| lower[at..].starts_with(piece)) {
                found.push(view.place(at, at + piece.len()));
            }
        }
    }

    /// A short key where no letter or digit stands beside it.
    fn words(&self, view: &View, found: &mut Vec<(usize, usize)>) {
        let bytes = &view.bytes;
        let letter = |at: Option<usize>| {
            at.and_then(|at| bytes.get(at))
                .is_some_and(u8::is_ascii_alphanumeric)
        };
        for (at, window) in bytes.windows(self.key.len()).enumerate() {
            let end = at + window.len();
            if window == self.key && !letter(at.checked_sub(1)) && !letter(Some(end)) {
                found.push(view.place(at, end));
            }
        }
    }

    /// The beginning of the key where the text ends in it, be it within an escape.
    fn end(&self, view: &View, text: usize, found: &mut Vec<(usize, usize)>) {
        const LEAST: usize = 3;
        let tail = &view.bytes[view.bytes.len().saturating_sub(8)..];
        let escape = tail.iter().rposition(|byte| b"\\%&".contains(byte));
        let cuts = [0, escape.map_or(0, |at| tail.len() - at)];
        for cut in cuts {
            let end = view.bytes.len() - cut;
            let mut longest = (LEAST..=self.key.len().min(end)).rev();
            let ends = longest.find(|&length| {
                view.bytes[end - length..end].eq_ignore_ascii_case(&self.key[..length])
            });
            if let Some(length) = ends {
                found.push((view.place(end - length, end).0, text));
            }
        }
    }
}

impl View {
    fn of(text: &[u8]) -> Self {
        let places = 0..text.len() as u32;
        Self {
            bytes: text.to_vec(),
            written: places.map(|at| (at, at + 1)).collect(),
        }
    }

    /// Where the bytes from `from` to before `to`, at least one, are written.
    fn place(&self, from: usize, to: usize) -> (usize, usize) {
        (
            self.written[from].0 as usize,
            self.written[to - 1].1 as usize,
        )
    }

    /// Letters and digits alone.
    fn letters(&self) -> Self {
        let pairs = self.bytes.iter().copied().zip(self.written.iter().copied());
        let (bytes, written) = pairs
            .filter(|(byte, _)| byte.is_ascii_alphanumeric())
            .unzip();
        Self { bytes, written }
    }

    /// The text with every escape replaced by what it stands for.
    fn unescaped(&self) -> Self {
        let mut next = Self {
            bytes: Vec::with_capacity(self.bytes.len()),
            written: Vec::with_capacity(self.bytes.len()),
        };
        let mut at = 0;
        while at < self.bytes.len() {
            let (byte, length) = unescape(&self.bytes[at..]);
            let (from, to) = (self.written[at].0, self.written[at + length - 1].1);
            next.bytes.push(byte);
            next.written.push((from, to));
            at += length;
        }
        next
    }
}

/// What the escape at the beginning of `text` stands for, or the first byte, and how many bytes that takes.
/// A key is ASCII, so what stands for another character is no byte of it.
fn unescape(text: &[u8]) -> (u8, usize) {
    let plain = (text[0], 1);
    let number = |from: usize, digits: std::ops::RangeInclusive<usize>, radix: u32| {
        let rest = &text[from.min(text.len())..];
        let is_digit = |byte: &&u8| char::from(**byte).is_digit(radix);
        let count = rest.iter().take(*digits.end()).take_while(is_digit).count();
        let digits = (count >= *digits.start()).then(|| std::str::from_utf8(&rest[..count]).ok());
        let code = u32::from_str_radix(digits??, radix).ok()?;
        Some((u8::try_from(code).unwrap_or(0xff), from + count))
    };
    let closed = |found: Option<(u8, usize)>, end: u8| {
        found.map(|(byte, length)| (byte, length + usize::from(text.get(length) == Some(&end))))
    };
    let found = match (text[0], text.get(1)) {
        (b'%', _) => number(1, 2..=2, 16),
        (b'&', Some(b'#')) => match text.get(2) {
            Some(b'x' | b'X') => closed(number(3, 1..=6, 16), b';'),
            _ => closed(number(2, 1..=7, 10), b';'),
        },
        (b'&', _) => [
            ("&amp;", b'&'),
            ("&lt;", b'<'),
            ("&gt;", b'>'),
            ("&quot;", b'"'),
            ("&apos;", b'\''),
        ]
        .into_iter()
        .find(|(name, _)| text.starts_with(name.as_bytes()))
        .map(|(name, byte)| (byte, name.len())),
        (b'\\', Some(b'u')) if text.get(2) == Some(&b'{') => closed(number(3, 1..=6, 16), b'}'),
        (b'\\', Some(b'u')) => number(2, 4..=4, 16),
        (b'\\', Some(b'U')) => number(2, 8..=8, 16),
        (b'\\', Some(b'x')) => number(2, 2..=2, 16),
        (b'\\', Some(b'0'..=b'7')) => number(1, 3..=3, 8),
        (b'\\', Some(b'n' | b't' | b'r')) => Some((b' ', 2)),
        (b'\\', Some(&byte)) if !byte.is_ascii_alphanumeric() => Some((byte, 2)),
        _ => None,
    };
    found.unwrap_or(plain)
}

/// The digits in base64 that depend on `key` alone, where `before` bytes of something else stand in its first
/// group.
fn base64(key: &[u8], before: usize, last: [u8; 2]) -> Vec<u8> {
    let digits = (b'A'..=b'Z')
        .chain(b'a'..=b'z')
        .chain(b'0'..=b'9')
        .chain(last);
    let digits: Vec<u8> = digits.collect();
    let bits: Vec<u8> = key
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1))
        .collect();
    // A digit is six bits; those that share bits with what stands before begin within the key's first byte.
    let skip = (6 - 8 * before % 6) % 6;
    let groups = bits[skip..].chunks_exact(6);
    groups
        .map(|group| {
            digits[group
                .iter()
                .fold(0, |value, bit| 2 * value + usize::from(*bit))]
        })
        .collect()
}

#[cfg(test)]
mod tests;
