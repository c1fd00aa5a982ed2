//! Tags of Jinja2's grammar, each with what it goes on to.

use std::sync::Arc;

use super::Parser;
use super::expression::MAX_DEPTH;
use crate::jinja::ast::{Body, Expr, For, Macro, Node, StatementKind, Target};
use crate::jinja::error::Result;
use crate::jinja::lexer::{Kind, Token};

impl Parser {
    pub(super) fn statement(&mut self) -> Result<StatementKind> {
        let tag = self.name()?;
        Ok(match &*tag {
            "if" => self.conditions()?,
            "for" => self.for_loop()?,
            "set" => self.set()?,
            "with" => self.with()?,
            "macro" => StatementKind::Macro(self.macro_definition()?),
            "call" => self.call_block()?,
            "filter" => {
                let filter = self.filters(None)?;
                let body = self.closed("endfilter")?;
                self.block_end()?;
                StatementKind::FilterBlock(filter, body)
            }
            "generation" => {
                self.generation = true;
                let body = self.closed("endgeneration")?;
                self.block_end()?;
                StatementKind::Generation(body)
            }
            "block" => {
                self.name()?;
                while matches!(self.peek(), Kind::Name(_)) {
                    self.next();
                }
                let body = self.closed("endblock")?;
                if matches!(self.peek(), Kind::Name(_)) {
                    self.next();
                }
                self.block_end()?;
                StatementKind::Block(body)
            }
            "print" => {
                let mut values = Vec::new();
                while !matches!(self.peek(), Kind::BlockEnd) {
                    if !values.is_empty() {
                        self.expect(",")?;
                    }
                    values.push(self.expression()?);
                }
                self.block_end()?;
                StatementKind::Output(values)
            }
            "break" | "continue" => {
                if self.loops == 0 {
                    return self.error(format!("{tag} stands outside of a loop"));
                }
                self.block_end()?;
                match &*tag {
                    "break" => StatementKind::Break,
                    _ => StatementKind::Continue,
                }
            }
            "include" | "import" | "from" | "extends" => {
                return self.error(format!(
                    "{{% {tag} %}}: a chat template stands alone; no other is read"
                ));
            }
            other => {
                return self.error(format!(
                    "{{% {other} %}} is not a tag, or not one that is open here"
                ));
            }
        })
    }

    fn conditions(&mut self) -> Result<StatementKind> {
        self.soft += 1;
        let mut branches = Vec::new();
        let mut otherwise = Body::new();
        loop {
            let test = self.tuple(false)?;
            self.block_end()?;
            branches.push((test, self.body(&["elif", "else", "endif"])?));
            match &*self.name()? {
                "elif" => continue,
                "else" => {
                    otherwise = self.closed("endif")?;
                    break;
                }
                _ => break,
            }
        }
        self.block_end()?;
        self.soft -= 1;
        Ok(StatementKind::If(branches, otherwise))
    }

    fn for_loop(&mut self) -> Result<StatementKind> {
        let target = self.target(false)?;
        if target.names("loop") {
            return self.error("a loop cannot name its items `loop`");
        }
        if !self.skip_if_name("in") {
            return self.unexpected("in");
        }
        let over = self.tuple(false)?;
        let test = match self.skip_if_name("if") {
            true => Some(self.expression()?),
            false => None,
        };
        let recursive = self.skip_if_name("recursive");
        self.block_end()?;
        self.loops += 1;
        let body = self.body(&["else", "endfor"])?;
        self.loops -= 1;
        let otherwise = match &*self.name()? {
            "else" => self.closed("endfor")?,
            _ => Body::new(),
        };
        self.block_end()?;
        Ok(StatementKind::For(Arc::new(For {
            target,
            over,
            test,
            recursive,
            body,
            otherwise,
        })))
    }

    fn set(&mut self) -> Result<StatementKind> {
        let target = self.target(true)?;
        if self.skip_if("=") {
            let value = self.tuple(true)?;
            self.block_end()?;
            return Ok(StatementKind::Set(target, value));
        }
        let filter = match self.is("|") {
            true => Some(self.filters(None)?),
            false => None,
        };
        let body = self.closed("endset")?;
        self.block_end()?;
        Ok(StatementKind::SetBlock(target, filter, body))
    }

    fn with(&mut self) -> Result<StatementKind> {
        let mut values = Vec::new();
        while !matches!(self.peek(), Kind::BlockEnd) {
            if !values.is_empty() {
                self.expect(",")?;
            }
            let target = self.target_name()?;
            self.expect("=")?;
            values.push((target, self.expression()?));
        }
        let body = self.closed("endwith")?;
        self.block_end()?;
        Ok(StatementKind::With(values, body))
    }

    fn macro_definition(&mut self) -> Result<Arc<Macro>> {
        let name = self.name()?;
        let parameters = self.parameters()?;
        self.macro_body(name, parameters, "endmacro")
    }

    fn macro_body(
        &mut self,
        name: Arc<str>,
        parameters: Vec<(Arc<str>, Option<Node>)>,
        end: &str,
    ) -> Result<Arc<Macro>> {
        let start = self.at;
        let loops = std::mem::take(&mut self.loops);
        let body = self.closed(end)?;
        self.loops = loops;
        let inside = &self.tokens[start..self.at];
        let uses = |name: &str| {
            let named = |token: &Token| matches!(&token.kind, Kind::Name(found) if found == name);
            inside.iter().any(named) && parameters.iter().all(|(parameter, _)| **parameter != *name)
        };
        let (uses_caller, uses_varargs, uses_kwargs) =
            (uses("caller"), uses("varargs"), uses("kwargs"));
        self.block_end()?;
        Ok(Arc::new(Macro {
            name,
            parameters,
            body,
            uses_caller,
            uses_varargs,
            uses_kwargs,
        }))
    }

    fn parameters(&mut self) -> Result<Vec<(Arc<str>, Option<Node>)>> {
        let mut parameters: Vec<(Arc<str>, Option<Node>)> = Vec::new();
        self.expect("(")?;
        while !self.is(")") {
            if !parameters.is_empty() {
                self.expect(",")?;
            }
            let name = self.name()?;
            let default = match self.skip_if("=") {
                true => Some(self.expression()?),
                false
                    if parameters
                        .last()
                        .is_some_and(|(_, default)| default.is_some()) =>
                {
                    return self.error("a parameter without a default follows one with a default");
                }
                false => None,
            };
            parameters.push((name, default));
        }
        self.expect(")")?;
        Ok(parameters)
    }

    fn call_block(&mut self) -> Result<StatementKind> {
        let parameters = match self.is("(") {
            true => self.parameters()?,
            false => Vec::new(),
        };
        let call = self.expression()?;
        if !matches!(call.expr, Expr::Call(..)) {
            return self.error("{% call %} expects a call");
        }
        let caller = self.macro_body("caller".into(), parameters, "endcall")?;
        Ok(StatementKind::CallBlock(call, caller))
    }

    fn target_name(&mut self) -> Result<Target> {
        let name = self.name()?;
        match &*name {
            "true" | "false" | "none" | "True" | "False" | "None" => {
                self.error(format!("{name} cannot be given a value"))
            }
            _ => Ok(Target::Name(name)),
        }
    }

    /// What a loop or `set` gives values to; `set` may name fields of a namespace.
    fn target(&mut self, fields: bool) -> Result<Target> {
        let mut targets = Vec::new();
        let mut is_tuple = false;
        loop {
            if self.skip_if("(") {
                self.nesting += 1;
                if self.nesting > MAX_DEPTH {
                    return self.error("a target is nested too deep");
                }
                let inner = self.target(fields)?;
                self.nesting -= 1;
                self.expect(")")?;
                targets.push(inner);
            } else if matches!(self.peek(), Kind::Name(name) if name != "in") {
                let target = self.target_name()?;
                targets.push(match (target, fields && self.skip_if(".")) {
                    (Target::Name(name), true) => Target::Field(name, self.name()?),
                    (target, _) => target,
                });
            } else {
                break;
            }
            if !self.skip_if(",") {
                break;
            }
            is_tuple = true;
        }
        match (targets.pop(), is_tuple) {
            (None, _) => self.unexpected("a name"),
            (Some(target), false) => Ok(target),
            (Some(last), true) => {
                targets.push(last);
                Ok(Target::Tuple(targets))
            }
        }
    }
}
