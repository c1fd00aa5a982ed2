//! Tokens to statements, by Jinja2's grammar (`jinja2/parser.py`): its tags, its precedence, its tuples.

use std::sync::Arc;

use super::ast::{Args, Body, Expr, For, Macro, Node, Statement, StatementKind, Target};
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

    fn statement(&mut self) -> Result<StatementKind> {
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
                if self.nesting > super::expression::MAX_DEPTH {
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

    /// Filters from a `|`, or from a first name, on.
    fn filters(&mut self, value: Option<Node>) -> Result<Node> {
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
