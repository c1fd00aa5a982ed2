//! Expressions of Jinja2's grammar.

use super::Parser;
use crate::jinja::ast::{Binary, Compare, Expr, Node};
use crate::jinja::error::{Error, Result};
use crate::jinja::lexer::Kind;

/// How deep expressions may be nested; Python's own stack ends a little above.
pub(super) const MAX_DEPTH: usize = 250;

impl Parser {
    /// Any expression but a tuple without brackets.
    pub(super) fn expression(&mut self) -> Result<Node> {
        self.nested(Self::condition)
    }

    pub(super) fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.nesting += 1;
        if self.nesting > MAX_DEPTH {
            return self.too_deep();
        }
        let read = read(self)?;
        self.nesting -= 1;
        Ok(read)
    }

    fn too_deep<T>(&self) -> Result<T> {
        Err(
            Error::bound(format!("an expression is nested deeper than {MAX_DEPTH}"))
                .at(self.line()),
        )
    }

    pub(super) fn node(&self, expr: Expr) -> Result<Node> {
        let depth = 1 + expr
            .children()
            .iter()
            .map(|node| node.depth)
            .max()
            .unwrap_or(0);
        match usize::from(depth) > MAX_DEPTH {
            true => self.too_deep(),
            false => Ok(Node { expr, depth }),
        }
    }

    fn condition(&mut self) -> Result<Node> {
        let unknown = self.unknown.len();
        let mut then = self.or()?;
        while self.skip_if_name("if") {
            self.unknown.truncate(unknown);
            self.soft += 1;
            let test = self.or()?;
            let other = match self.skip_if_name("else") {
                true => Some(Box::new(self.expression()?)),
                false => None,
            };
            self.soft -= 1;
            then = self.node(Expr::Condition {
                test: Box::new(test),
                then: Box::new(then),
                other,
            })?;
        }
        Ok(then)
    }

    fn or(&mut self) -> Result<Node> {
        let mut left = self.and()?;
        while self.skip_if_name("or") {
            let right = self.and()?;
            left = self.node(Expr::Or(Box::new(left), Box::new(right)))?;
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Node> {
        let mut left = self.not()?;
        while self.skip_if_name("and") {
            let right = self.not()?;
            left = self.node(Expr::And(Box::new(left), Box::new(right)))?;
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Node> {
        if self.skip_if_name("not") {
            let value = self.nested(Self::not)?;
            return self.node(Expr::Not(Box::new(value)));
        }
        self.compare()
    }

    fn compare(&mut self) -> Result<Node> {
        let first = self.sum()?;
        let mut rest = Vec::new();
        loop {
            let compare = match self.peek() {
                Kind::Operator("==") => Compare::Equal,
                Kind::Operator("!=") => Compare::Unequal,
                Kind::Operator("<") => Compare::Less,
                Kind::Operator("<=") => Compare::LessEqual,
                Kind::Operator(">") => Compare::Greater,
                Kind::Operator(">=") => Compare::GreaterEqual,
                Kind::Name(name) if name == "in" => Compare::In,
                Kind::Name(name) if name == "not" => {
                    let in_next =
                        matches!(&self.tokens[self.at + 1].kind, Kind::Name(name) if name == "in");
                    if !in_next {
                        break;
                    }
                    self.next();
                    Compare::NotIn
                }
                _ => break,
            };
            self.next();
            rest.push((compare, self.sum()?));
        }
        match rest.is_empty() {
            true => Ok(first),
            false => self.node(Expr::Compare(Box::new(first), rest)),
        }
    }

    fn binary(
        &mut self,
        operand: fn(&mut Self) -> Result<Node>,
        operators: &[(&str, Binary)],
    ) -> Result<Node> {
        let mut left = operand(self)?;
        while let Some((_, operator)) = operators.iter().find(|(operator, _)| self.is(operator)) {
            self.next();
            let right = operand(self)?;
            left = self.node(Expr::Binary(*operator, Box::new(left), Box::new(right)))?;
        }
        Ok(left)
    }

    fn sum(&mut self) -> Result<Node> {
        self.binary(Self::concat, &[("+", Binary::Add), ("-", Binary::Subtract)])
    }

    fn concat(&mut self) -> Result<Node> {
        let first = self.product()?;
        if !self.is("~") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.skip_if("~") {
            items.push(self.product()?);
        }
        self.node(Expr::Concat(items))
    }

    fn product(&mut self) -> Result<Node> {
        let operators = [
            ("*", Binary::Multiply),
            ("/", Binary::Divide),
            ("//", Binary::FloorDivide),
            ("%", Binary::Modulo),
        ];
        self.binary(Self::power, &operators)
    }

    fn power(&mut self) -> Result<Node> {
        self.binary(|parser| parser.unary(true), &[("**", Binary::Power)])
    }

    fn unary(&mut self, with_filters: bool) -> Result<Node> {
        let mut value = if self.skip_if("-") {
            let value = self.nested(|parser| parser.unary(false))?;
            self.node(Expr::Negative(Box::new(value)))?
        } else if self.skip_if("+") {
            let value = self.nested(|parser| parser.unary(false))?;
            self.node(Expr::Positive(Box::new(value)))?
        } else {
            self.primary()?
        };
        value = self.postfix(value)?;
        match with_filters {
            true => self.filtered(value),
            false => Ok(value),
        }
    }

    pub(super) fn primary(&mut self) -> Result<Node> {
        let expr = match self.next() {
            Kind::Name(name) => match name.as_str() {
                "true" | "True" => Expr::Bool(true),
                "false" | "False" => Expr::Bool(false),
                "none" | "None" => Expr::None,
                name => Expr::Name(name.into()),
            },
            Kind::Text(mut text) => {
                while let Kind::Text(more) = self.peek() {
                    text.push_str(more);
                    self.next();
                }
                Expr::Text(text.as_str().into())
            }
            Kind::Int(number) => Expr::Int(number),
            Kind::Float(number) => Expr::Float(number),
            Kind::Operator("(") => {
                if self.skip_if(")") {
                    return self.node(Expr::Tuple(Vec::new()));
                }
                let value = self.nested(|parser| parser.tuple(true))?;
                self.expect(")")?;
                return Ok(value);
            }
            Kind::Operator("[") => {
                let mut items = Vec::new();
                while !self.is("]") {
                    if !items.is_empty() {
                        self.expect(",")?;
                        if self.is("]") {
                            break;
                        }
                    }
                    items.push(self.expression()?);
                }
                self.expect("]")?;
                Expr::List(items)
            }
            Kind::Operator("{") => {
                let mut entries = Vec::new();
                while !self.is("}") {
                    if !entries.is_empty() {
                        self.expect(",")?;
                        if self.is("}") {
                            break;
                        }
                    }
                    let key = self.expression()?;
                    self.expect(":")?;
                    entries.push((key, self.expression()?));
                }
                self.expect("}")?;
                Expr::Dict(entries)
            }
            _ => {
                self.at = self.at.saturating_sub(1);
                return self.unexpected("an expression");
            }
        };
        self.node(expr)
    }

    /// One expression, or several with commas between them as a tuple.
    pub(super) fn tuple(&mut self, with_condition: bool) -> Result<Node> {
        let read = |parser: &mut Self| match with_condition {
            true => parser.expression(),
            false => parser.nested(Self::or),
        };
        let first = read(self)?;
        if !self.is(",") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.skip_if(",") {
            let ends = match self.peek() {
                Kind::VariableEnd | Kind::BlockEnd | Kind::Operator(")") => true,
                Kind::Name(name) => !with_condition && (name == "if" || name == "recursive"),
                _ => false,
            };
            if ends {
                break;
            }
            items.push(read(self)?);
        }
        self.node(Expr::Tuple(items))
    }

    /// `.name`, `[key]` and calls.
    pub(super) fn postfix(&mut self, mut value: Node) -> Result<Node> {
        loop {
            if self.skip_if(".") {
                let expr = match self.next() {
                    Kind::Name(name) => Expr::Attribute(Box::new(value), name.as_str().into()),
                    Kind::Int(number) => {
                        let number = self.node(Expr::Int(number))?;
                        Expr::Item(Box::new(value), Box::new(number))
                    }
                    _ => return self.unexpected("a name or a number"),
                };
                value = self.node(expr)?;
            } else if self.skip_if("[") {
                let expr = self.subscript(value)?;
                value = self.node(expr)?;
            } else if self.is("(") {
                let args = self.arguments()?;
                value = self.node(Expr::Call(Box::new(value), args))?;
            } else {
                return Ok(value);
            }
        }
    }

    fn subscript(&mut self, value: Node) -> Result<Expr> {
        let mut ends = [None, None, None];
        let mut place = 0;
        let mut is_slice = false;
        while !self.is("]") {
            if self.skip_if(":") {
                is_slice = true;
                place += 1;
                if place > 2 {
                    return self.unexpected("]");
                }
            } else if ends[place].is_none() {
                ends[place] = Some(Box::new(self.expression()?));
            } else {
                return self.unexpected("]");
            }
        }
        self.expect("]")?;
        match (is_slice, ends) {
            (true, ends) => Ok(Expr::Slice(Box::new(value), ends)),
            (false, [Some(key), ..]) => Ok(Expr::Item(Box::new(value), key)),
            _ => self.error("expected a key between [ and ]"),
        }
    }
}
