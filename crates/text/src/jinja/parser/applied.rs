//! Filters and tests that a value goes through, and what they and calls are given.

use super::Parser;
use crate::jinja::ast::{Args, Expr, Node};
use crate::jinja::error::{Error, Result};
use crate::jinja::filters::names;
use crate::jinja::lexer::Kind;
use crate::jinja::predicates;

impl Parser {
    /// `|filter`, `is test` and calls of what they give.
    pub(super) fn filtered(&mut self, mut value: Node) -> Result<Node> {
        loop {
            if self.skip_if("|") {
                value = self.filter(Some(value))?;
            } else if self.skip_if_name("is") {
                value = self.test(value)?;
            } else if self.is("(") {
                let args = self.arguments()?;
                value = self.node(Expr::Call(Box::new(value), args))?;
            } else {
                return Ok(value);
            }
        }
    }

    /// One filter, from its name on.
    pub(super) fn filter(&mut self, value: Option<Node>) -> Result<Node> {
        let name = self.name()?;
        if self.soft == 0 && !names::known(&name) {
            let message = format!("the filter `{name}` is not known here");
            self.unknown.push(Error::syntax(message).at(self.line()));
        }
        let args = match self.is("(") {
            true => self.arguments()?,
            false => Args::default(),
        };
        self.node(Expr::Filter(value.map(Box::new), name, args))
    }

    fn test(&mut self, value: Node) -> Result<Node> {
        let negated = self.skip_if_name("not");
        let name = self.name()?;
        if self.soft == 0 && !predicates::known(&name) {
            let message = format!("the test `{name}` is not known here");
            self.unknown.push(Error::syntax(message).at(self.line()));
        }
        let mut args = Args::default();
        let starts_argument = match self.peek() {
            Kind::Name(name) if name == "is" => {
                return self.error("tests cannot be chained with `is`");
            }
            Kind::Name(name) => !["else", "or", "and"].contains(&name.as_str()),
            Kind::Text(_) | Kind::Int(_) | Kind::Float(_) => true,
            Kind::Operator(operator) => ["[", "{"].contains(operator),
            _ => false,
        };
        if self.is("(") {
            args = self.arguments()?;
        } else if starts_argument {
            let argument = self.nested(Self::primary)?;
            args.positional.push(self.postfix(argument)?);
        }
        let test = self.node(Expr::Test(Box::new(value), name, args))?;
        match negated {
            true => self.node(Expr::Not(Box::new(test))),
            false => Ok(test),
        }
    }

    /// Filters from a `|`, or from a first name, on.
    pub(super) fn filters(&mut self, value: Option<Node>) -> Result<Node> {
        let mut value = value;
        loop {
            if value.is_some() || self.is("|") {
                match self.skip_if("|") {
                    true => {}
                    false => break,
                }
            }
            value = Some(self.filter(value)?);
        }
        match value {
            Some(value) => Ok(value),
            None => self.unexpected("a filter"),
        }
    }

    /// What a call is given, from its opening bracket on.
    pub(super) fn arguments(&mut self) -> Result<Args> {
        let mut args = Args::default();
        self.expect("(")?;
        let mut first = true;
        while !self.is(")") {
            if !first {
                self.expect(",")?;
                if self.is(")") {
                    break;
                }
            }
            first = false;
            if self.skip_if("**") {
                args.rest_named = Some(Box::new(self.expression()?));
            } else if self.skip_if("*") {
                args.rest = Some(Box::new(self.expression()?));
            } else if matches!(self.peek(), Kind::Name(_))
                && matches!(&self.tokens[self.at + 1].kind, Kind::Operator("="))
            {
                let name = self.name()?;
                self.next();
                args.named.push((name, self.expression()?));
            } else if args.named.is_empty() && args.rest_named.is_none() {
                args.positional.push(self.expression()?);
            } else {
                return self.error("an argument without a name follows one with a name");
            }
        }
        self.expect(")")?;
        Ok(args)
    }
}
