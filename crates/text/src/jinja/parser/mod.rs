//! Tokens to statements, by Jinja2's grammar (`jinja2/parser.py`): its tags, its precedence, its tuples.

mod applied;
mod expression;
mod statements;

use std::sync::Arc;

use super::ast::{Body, Statement, StatementKind};
use super::error::{Error, Result};
use super::lexer::{Kind, Token};

/// How deep statements may be nested, one in another.
const MAX_BLOCKS: usize = 100;

pub(super) struct Parser {
    pub(super) tokens: Vec<Token>,
    pub(super) at: usize,
    /// How many brackets and operators are being read, one within another.
    pub(super) nesting: usize,
    blocks: usize,
    /// Whether what is read runs only under a condition, so that an unknown filter is no mistake yet.
    pub(super) soft: usize,
    /// Filters and tests that are not known and run under no condition.
    pub(super) unknown: Vec<Error>,
    loops: usize,
    pub(super) generation: bool,
}

impl Parser {
    pub(super) fn new(tokens: Vec<Token>) -> Self {
        Self {
            tokens,
            at: 0,
            nesting: 0,
            blocks: 0,
            soft: 0,
            unknown: Vec::new(),
            loops: 0,
            generation: false,
        }
    }

    /// The whole template.
    pub(super) fn template(&mut self) -> Result<Body> {
        let body = self.body(&[])?;
        match self.unknown.drain(..).next() {
            None => Ok(body),
            Some(error) => Err(error),
        }
    }

    pub(super) fn peek(&self) -> &Kind {
        &self.tokens[self.at].kind
    }

    pub(super) fn line(&self) -> usize {
        self.tokens[self.at].line
    }

    pub(super) fn next(&mut self) -> Kind {
        let kind = self.tokens[self.at].kind.clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        kind
    }

    pub(super) fn error<T>(&self, message: impl Into<String>) -> Result<T> {
        Err(Error::syntax(message).at(self.line()))
    }

    pub(super) fn unexpected<T>(&self, expected: &str) -> Result<T> {
        let found = match self.peek() {
            Kind::Data(_) => "text".to_owned(),
            Kind::BlockBegin => "{%".into(),
            Kind::BlockEnd => "%}".into(),
            Kind::VariableBegin => "{{".into(),
            Kind::VariableEnd => "}}".into(),
            Kind::Name(name) => name.chars().take(40).collect(),
            Kind::Text(_) => "a text".into(),
            Kind::Int(_) | Kind::Float(_) => "a number".into(),
            Kind::Operator(operator) => (*operator).into(),
            Kind::End => "the end of the template".into(),
        };
        self.error(format!("expected {expected}, found {found}"))
    }

    pub(super) fn is(&self, operator: &str) -> bool {
        matches!(self.peek(), Kind::Operator(found) if *found == operator)
    }

    pub(super) fn is_name(&self, name: &str) -> bool {
        matches!(self.peek(), Kind::Name(found) if found == name)
    }

    pub(super) fn skip_if(&mut self, operator: &str) -> bool {
        let found = self.is(operator);
        if found {
            self.next();
        }
        found
    }

    pub(super) fn skip_if_name(&mut self, name: &str) -> bool {
        let found = self.is_name(name);
        if found {
            self.next();
        }
        found
    }

    pub(super) fn expect(&mut self, operator: &str) -> Result<()> {
        match self.skip_if(operator) {
            true => Ok(()),
            false => self.unexpected(operator),
        }
    }

    pub(super) fn name(&mut self) -> Result<Arc<str>> {
        match self.peek() {
            Kind::Name(name) => {
                let name = name.as_str().into();
                self.next();
                Ok(name)
            }
            _ => self.unexpected("a name"),
        }
    }

    fn block_end(&mut self) -> Result<()> {
        match self.peek() {
            Kind::BlockEnd => {
                self.next();
                Ok(())
            }
            _ => self.unexpected("%}"),
        }
    }

    /// Statements up to one of the tags `ends`, whose name is left to be read; up to the end of the
    /// template where there are none.
    fn body(&mut self, ends: &[&str]) -> Result<Body> {
        self.blocks += 1;
        if self.blocks > MAX_BLOCKS {
            return self.error(format!("tags are nested deeper than {MAX_BLOCKS}"));
        }
        let mut body = Body::new();
        loop {
            let line = self.line();
            let kind = match self.next() {
                Kind::End if ends.is_empty() => break,
                Kind::End => {
                    return self.error(format!(
                        "the template ends before {{% {} %}}",
                        ends.join(" or ")
                    ));
                }
                Kind::Data(text) => StatementKind::Data(text),
                Kind::VariableBegin => {
                    let value = self.tuple(true)?;
                    match self.peek() {
                        Kind::VariableEnd => self.next(),
                        _ => return self.unexpected("}}"),
                    };
                    StatementKind::Output(vec![value])
                }
                _ => {
                    if matches!(self.peek(), Kind::Name(name) if ends.contains(&name.as_str())) {
                        break;
                    }
                    self.statement()?
                }
            };
            body.push(Statement { line, kind });
        }
        self.blocks -= 1;
        Ok(body)
    }

    /// A body up to its end tag, which is read with it.
    fn closed(&mut self, end: &str) -> Result<Body> {
        self.block_end()?;
        let body = self.body(&[end])?;
        self.next();
        Ok(body)
    }
}
