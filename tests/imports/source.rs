//! What a Rust file names, read from its text alone.

use std::collections::HashSet;

/// A path of code such as `super::keys::Node`.
#[derive(Debug, PartialEq)]
pub struct Named {
    pub segments: Vec<String>,
    /// How many modules written out in the file stand around it: as many `super`s stay in the file.
    pub inline: usize,
}

/// One name that a `use` brings in.
#[derive(Debug)]
pub struct Use {
    pub path: Named,
    /// The name it has here; `*` for all that a module has.
    pub name: String,
    /// Whether it is handed on.
    pub public: bool,
}

/// What a file names.
#[derive(Debug, Default)]
pub struct Source {
    /// Modules in files of their own.
    pub modules: Vec<String>,
    pub uses: Vec<Use>,
    /// Paths outside `use`.
    pub paths: Vec<Named>,
    /// Single names outside `use`.
    pub words: HashSet<String>,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    /// `::`
    Then,
    Mark(char),
}

impl Source {
    /// Reads a file, with what stands under `#[cfg(test)]` or without.
    pub fn read(text: &str, tests: bool) -> Self {
        let mut tokens = tokens(text);
        if !tests {
            tokens = product(&tokens);
        }
        let mut source = Self::default();
        let (mut depth, mut inline) = (0_usize, Vec::new());
        let mut at = 0;
        while at < tokens.len() {
            let next = tokens.get(at + 1);
            match &tokens[at] {
                Token::Mark('{') => depth += 1,
                Token::Mark('}') => {
                    depth = depth.saturating_sub(1);
                    inline.retain(|around| *around < depth + 1);
                }
                Token::Word(word) if word == "mod" => {
                    if let (Some(Token::Word(name)), Some(after)) = (next, tokens.get(at + 2)) {
                        match after {
                            Token::Mark(';') => source.modules.push(name.clone()),
                            Token::Mark('{') => inline.push(depth + 1),
                            _ => {}
                        }
                        at += 1;
                    }
                }
                Token::Word(word) if word == "use" && next != Some(&Token::Mark('<')) => {
                    let public = is_public(&tokens[..at]);
                    at += 1;
                    let before = source.uses.len();
                    tree(&tokens, &mut at, &[], &mut source.uses);
                    for brought in &mut source.uses[before..] {
                        (brought.public, brought.path.inline) = (public, inline.len());
                    }
                }
                Token::Word(word) => {
                    let before = at.checked_sub(1).map(|before| &tokens[before]);
                    if next == Some(&Token::Then) {
                        let mut segments = vec![word.clone()];
                        while let (Some(Token::Then), Some(Token::Word(segment))) =
                            (tokens.get(at + 1), tokens.get(at + 2))
                        {
                            segments.push(segment.clone());
                            at += 2;
                        }
                        let inline = inline.len();
                        source.paths.push(Named { segments, inline });
                    } else if before != Some(&Token::Mark('.')) && next != Some(&Token::Mark(':')) {
                        source.words.insert(word.clone());
                    }
                }
                _ => {}
            }
            at += 1;
        }
        source
    }
}

/// Whether what follows these tokens is `pub` or `pub(...)`.
fn is_public(before: &[Token]) -> bool {
    let visible = |token: &Token| *token == Token::Word("pub".into());
    match before {
        [.., last] if visible(last) => true,
        [.., Token::Mark(')')] => {
            let opened = before.iter().rposition(|token| *token == Token::Mark('('));
            opened.is_some_and(|at| at > 0 && visible(&before[at - 1]))
        }
        _ => false,
    }
}

/// Reads one tree of a `use`, up to what ends it.
fn tree(tokens: &[Token], at: &mut usize, prefix: &[String], found: &mut Vec<Use>) {
    let mut segments = prefix.to_vec();
    let mut alias = None;
    let mut add = |segments: Vec<String>, name: String| {
        let path = Named {
            segments,
            inline: 0,
        };
        let public = false;
        found.push(Use { path, name, public });
    };
    while let Some(token) = tokens.get(*at) {
        match token {
            Token::Word(word) if word == "as" => {
                *at += 1;
                if let Some(Token::Word(name)) = tokens.get(*at) {
                    alias = Some(name.clone());
                }
            }
            // `{self}` is what stands before the braces.
            Token::Word(word) if word == "self" && !prefix.is_empty() => {}
            Token::Word(word) => segments.push(word.clone()),
            Token::Then => {}
            Token::Mark('*') => {
                *at += 1;
                return add(segments, "*".into());
            }
            Token::Mark('{') => {
                *at += 1;
                while !matches!(tokens.get(*at), None | Some(Token::Mark('}'))) {
                    tree(tokens, at, &segments, found);
                    if tokens.get(*at) == Some(&Token::Mark(',')) {
                        *at += 1;
                    }
                }
                *at += 1;
                return;
            }
            Token::Mark(_) => break,
        }
        *at += 1;
    }
    if let Some(last) = segments.last().cloned() {
        add(segments, alias.unwrap_or(last));
    }
}

/// The tokens without items under `#[cfg(test)]`.
fn product(tokens: &[Token]) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let attribute = attribute(&tokens[at..]);
        if !is_test(attribute) {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        at += attribute.len();
        let mut depth = 0;
        while at < tokens.len() {
            let token = &tokens[at];
            at += 1;
            match token {
                Token::Mark('(' | '[' | '{') => depth += 1,
                Token::Mark(')' | ']') => depth -= 1,
                Token::Mark('}') => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                }
                Token::Mark(';') if depth == 0 => break,
                _ => {}
            }
        }
    }
    kept
}

/// The attribute that the tokens begin with; nothing where they begin with none.
fn attribute(tokens: &[Token]) -> &[Token] {
    let [Token::Mark('#'), Token::Mark('['), ..] = tokens else {
        return &[];
    };
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Mark('[') => depth += 1,
            Token::Mark(']') if depth == 1 => return &tokens[..=at],
            Token::Mark(']') => depth -= 1,
            _ => {}
        }
    }
    &[]
}

fn is_test(attribute: &[Token]) -> bool {
    let has = |name: &str| attribute.contains(&Token::Word(name.into()));
    has("cfg") && has("test") && !has("not")
}

/// The words and marks of code, without comments and without what stands in quotes.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let is_word = |letter: char| letter == '_' || letter.is_alphanumeric();
        if let Some(comment) = rest.strip_prefix("//") {
            rest = comment.find('\n').map_or("", |end| &comment[end..]);
        } else if rest.starts_with("/*") {
            rest = behind_comment(rest);
        } else if letter == '"' {
            rest = behind_quote(&rest[1..]);
        } else if letter == '\'' {
            rest = behind_letter(&rest[1..]);
        } else if is_word(letter) {
            let end = rest.find(|letter| !is_word(letter)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            rest = match (word, behind_raw(after)) {
                ("r" | "br" | "cr", Some(behind)) => behind,
                _ => {
                    tokens.push(Token::Word(word.into()));
                    after
                }
            };
        } else if let Some(after) = rest.strip_prefix("::") {
            tokens.push(Token::Then);
            rest = after;
        } else {
            if !letter.is_whitespace() {
                tokens.push(Token::Mark(letter));
            }
            rest = &rest[letter.len_utf8()..];
        }
    }
    tokens
}

/// What follows a comment in `/*`, which may hold others.
fn behind_comment(text: &str) -> &str {
    let (mut depth, mut rest) = (0, text);
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("/*") {
            (depth, rest) = (depth + 1, after);
        } else if let Some(after) = rest.strip_prefix("*/") {
            (depth, rest) = (depth - 1, after);
            if depth == 0 {
                break;
            }
        } else {
            rest = &rest[rest.chars().next().map_or(1, char::len_utf8)..];
        }
    }
    rest
}

/// What follows a text whose first quote was read.
fn behind_quote(text: &str) -> &str {
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => _ = letters.next(),
            '"' => return &text[at + 1..],
            _ => {}
        }
    }
    ""
}

/// What follows a letter in quotes, or a lifetime, whose quote was read.
fn behind_letter(text: &str) -> &str {
    let mut letters = text.char_indices();
    match (letters.next(), letters.next()) {
        (Some((_, '\\')), Some(_)) => text[2..].find('\'').map_or("", |end| &text[2 + end + 1..]),
        (Some(_), Some((at, '\''))) => &text[at + 1..],
        _ => text.trim_start_matches(|letter: char| letter == '_' || letter.is_alphanumeric()),
    }
}

/// What follows a text in raw quotes behind its `r`.
fn behind_raw(text: &str) -> Option<&str> {
    let quoted = text.trim_start_matches('#');
    let end = format!("\"{}", "#".repeat(text.len() - quoted.len()));
    let inside = quoted.strip_prefix('"')?;
    inside.find(&end).map(|at| &inside[at + end.len()..])
}
