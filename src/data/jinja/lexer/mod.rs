//! Source to tokens, with Jinja2's control of white space: `trim_blocks`, `lstrip_blocks`, and the signs in tags.

mod literals;

use super::error::{Error, Result};

/// A token and the line that it stands on, counted from 1.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub line: usize,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// Text outside of tags.
    Data(String),
    BlockBegin,
    BlockEnd,
    VariableBegin,
    VariableEnd,
    Name(String),
    Text(String),
    Int(i128),
    Float(f64),
    Operator(&'static str),
    End,
}

/// The longest first.
const OPERATORS: [&str; 26] = [
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}",
    ">", "<", "=", ".", ":", "|", ",", ";",
];

/// Cuts a template into tokens.
pub(super) fn tokens(source: &str) -> Result<Vec<Token>> {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let source = source.strip_suffix('\n').unwrap_or(&source);
    Lexer {
        source,
        at: 0,
        line: 1,
        starts_line: true,
        tokens: Vec::new(),
    }
    .run()
}

struct Lexer<'s> {
    source: &'s str,
    at: usize,
    line: usize,
    /// Whether what was read last ended in a line break.
    starts_line: bool,
    tokens: Vec<Token>,
}

/// What opens a tag.
#[derive(Clone, Copy, PartialEq)]
enum Tag {
    Block,
    Variable,
    Comment,
}

impl Lexer<'_> {
    fn run(mut self) -> Result<Vec<Token>> {
        while let Some((start, tag)) = self.next_tag() {
            let sign = self.source[start + 2..]
                .chars()
                .next()
                .filter(|sign| "-+".contains(*sign));
            self.data(start, sign, tag != Tag::Variable);
            self.skip(2 + sign.map_or(0, char::len_utf8));
            match tag {
                Tag::Comment => self.comment()?,
                Tag::Block if self.raw()? => {}
                Tag::Block => self.inside(Kind::BlockBegin, "%}")?,
                Tag::Variable => self.inside(Kind::VariableBegin, "}}")?,
            }
        }
        let rest = self.source[self.at..].to_owned();
        self.push_data(rest);
        self.push(Kind::End);
        Ok(self.tokens)
    }

    fn rest(&self) -> &str {
        &self.source[self.at..]
    }

    fn push(&mut self, kind: Kind) {
        self.tokens.push(Token {
            line: self.line,
            kind,
        });
    }

    fn push_data(&mut self, text: String) {
        if !text.is_empty() {
            self.push(Kind::Data(text));
        }
    }

    fn error<T>(&self, message: impl Into<String>) -> Result<T> {
        Err(Error::syntax(message).at(self.line))
    }

    /// Goes on by so many bytes.
    fn skip(&mut self, bytes: usize) {
        let passed = &self.source[self.at..self.at + bytes];
        self.line += passed.matches('\n').count();
        self.starts_line = passed.ends_with('\n');
        self.at += bytes;
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.skip(rest.len() - rest.trim_start_matches(python_space).len());
    }

    fn next_tag(&self) -> Option<(usize, Tag)> {
        let mut from = self.at;
        loop {
            let start = from + self.source[from..].find('{')?;
            let tag = match self.source.as_bytes().get(start + 1) {
                Some(b'%') => Tag::Block,
                Some(b'{') => Tag::Variable,
                Some(b'#') => Tag::Comment,
                _ => {
                    from = start + 1;
                    continue;
                }
            };
            return Some((start, tag));
        }
    }

    /// The text up to a tag that starts at `start`.
    fn data(&mut self, start: usize, sign: Option<char>, lstrip: bool) {
        let text = &self.source[self.at..start];
        let kept = match sign {
            Some('-') => text.trim_end_matches(python_space),
            Some(_) => text,
            None if lstrip => {
                let line = text.rfind('\n').map_or(0, |at| at + 1);
                let own_line = line > 0 || self.starts_line;
                match own_line && text[line..].chars().all(python_space) {
                    true => &text[..line],
                    false => text,
                }
            }
            None => text,
        };
        let (kept, passed) = (kept.to_owned(), text.len());
        self.push_data(kept);
        self.skip(passed);
    }

    /// What ends a tag: nothing, or a sign, the end itself, and the white space that goes with it.
    fn end_of(&self, end: &str) -> Option<usize> {
        let rest = self.rest();
        let (sign, after) = match rest.as_bytes().first() {
            Some(b'-') => ('-', &rest[1..]),
            Some(b'+') if end != "}}" => ('+', &rest[1..]),
            _ => (' ', rest),
        };
        let after = after.strip_prefix(end)?;
        let left = match sign {
            '-' => after.trim_start_matches(python_space),
            '+' => after,
            _ if end == "}}" => after,
            _ => after.strip_prefix('\n').unwrap_or(after),
        };
        Some(rest.len() - left.len())
    }

    fn comment(&mut self) -> Result<()> {
        loop {
            if let Some(bytes) = self.end_of("#}") {
                self.skip(bytes);
                return Ok(());
            }
            match self.rest().chars().next() {
                Some(letter) => self.skip(letter.len_utf8()),
                None => return self.error("a comment has no end: #}"),
            }
        }
    }

    /// Reads `{% raw %}` up to its end, after the opening of a tag; false where the tag is another.
    fn raw(&mut self) -> Result<bool> {
        let rest = self.rest();
        let after = rest.trim_start_matches(python_space);
        let Some(after) = after.strip_prefix("raw") else {
            return Ok(false);
        };
        let after = after.trim_start_matches(python_space);
        let left = match after.strip_prefix("-%}") {
            Some(after) => after.trim_start_matches(python_space),
            None => match after.strip_prefix("%}") {
                Some(after) => after,
                None => return Ok(false),
            },
        };
        self.skip(rest.len() - left.len());
        let mut from = self.at;
        while let Some(found) = self.source[from..].find("{%") {
            let start = from + found;
            let tag = &self.source[start + 2..];
            let sign = tag.chars().next().filter(|sign| "-+".contains(*sign));
            let inner = tag[sign.map_or(0, char::len_utf8)..].trim_start_matches(python_space);
            if let Some(after) = inner.strip_prefix("endraw") {
                let after = after.trim_start_matches(python_space);
                if ["%}", "-%}", "+%}"]
                    .iter()
                    .any(|end| after.starts_with(end))
                {
                    self.data(start, sign, true);
                    self.skip(self.source.len() - after.len() - start);
                    let bytes = self.end_of("%}").unwrap_or(0);
                    self.skip(bytes);
                    return Ok(true);
                }
            }
            from = start + 2;
        }
        self.error("{% raw %} has no end: {% endraw %}")
    }

    /// The tokens of an expression or a statement.
    fn inside(&mut self, begin: Kind, end: &'static str) -> Result<()> {
        let first = self.tokens.len();
        self.push(begin.clone());
        let mut open: Vec<char> = Vec::new();
        loop {
            if open.is_empty()
                && let Some(bytes) = self.end_of(end)
            {
                self.push(match begin {
                    Kind::BlockBegin => Kind::BlockEnd,
                    _ => Kind::VariableEnd,
                });
                self.skip(bytes);
                return Ok(());
            }
            let Some(letter) = self.rest().chars().next() else {
                let line = self.tokens[first].line;
                return Err(Error::syntax(format!("a tag has no end: {end}")).at(line));
            };
            if python_space(letter) {
                self.skip_blanks();
            } else if letter.is_ascii_digit() {
                self.number()?;
            } else if letter == '_' || letter.is_alphabetic() {
                let rest = self.rest();
                let bytes = rest
                    .find(|c: char| c != '_' && !c.is_alphanumeric())
                    .unwrap_or(rest.len());
                let name = rest[..bytes].to_owned();
                self.push(Kind::Name(name));
                self.skip(bytes);
            } else if letter == '"' || letter == '\'' {
                self.text(letter)?;
            } else {
                let found = OPERATORS
                    .iter()
                    .find(|operator| self.rest().starts_with(**operator));
                let Some(operator) = found else {
                    return self.error(format!("unexpected {letter:?}"));
                };
                match *operator {
                    "(" => open.push(')'),
                    "[" => open.push(']'),
                    "{" => open.push('}'),
                    ")" | "]" | "}" => match open.pop() {
                        Some(expected) if operator.starts_with(expected) => {}
                        Some(expected) => {
                            return self
                                .error(format!("unexpected {operator}, expected {expected}"));
                        }
                        None => return self.error(format!("unexpected {operator}")),
                    },
                    _ => {}
                }
                self.push(Kind::Operator(operator));
                self.skip(operator.len());
            }
        }
    }
}

/// What `\s` and `str.isspace` of Python take for white space.
pub fn python_space(letter: char) -> bool {
    letter.is_whitespace() || ('\x1c'..='\x1f').contains(&letter)
}
