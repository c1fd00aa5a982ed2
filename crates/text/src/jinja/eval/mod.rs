//! Runs a template.

mod calls;
mod expression;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use super::ast::{Expr, For, Node, Statement, StatementKind, Target};
use super::dates::Day;
use super::error::{Error, Result};
use super::functions::{self, Today};
use super::meter::{MAX_OUTPUT, Meter};
use super::value::{Loop, Scope, Value, within};

/// What comes after a statement.
#[derive(Clone, Copy, PartialEq)]
enum Flow {
    On,
    Break,
    Continue,
}

/// One rendering.
pub struct Run<'t> {
    pub(super) meter: &'t Meter,
    /// Whether what is missing is an error wherever it is printed, looped over or asked for its truth.
    pub(super) strict: bool,
    pub(super) today: Today,
    pub(super) out: String,
    /// How many texts are being made that are not the output.
    captures: usize,
    /// Ranges of bytes of the output that stand between `{% generation %}` and its end.
    pub(super) marked: Vec<(usize, usize)>,
    /// Whether such a part stood in a macro or another text that is not the output, whose place is not known.
    pub(super) marked_elsewhere: bool,
    /// What filter blocks go through, the innermost last.
    filtered: Vec<Value>,
    /// Scopes that a macro keeps, which would keep one another for ever.
    kept: Vec<Scope>,
}

impl<'t> Run<'t> {
    pub(super) fn new(meter: &'t Meter, strict: bool, day: Day) -> Self {
        Self {
            meter,
            strict,
            today: Today {
                day,
                asked: Cell::new(false),
            },
            out: String::new(),
            captures: 0,
            marked: Vec::new(),
            marked_elsewhere: false,
            filtered: Vec::new(),
            kept: Vec::new(),
        }
    }

    /// Runs a whole template.
    pub(super) fn template(&mut self, body: &[Statement], given: Scope) -> Result<()> {
        let done = self.body(body, &within(&given));
        for scope in self.kept.drain(..) {
            scope.own.take();
        }
        done.map(|_| ())
    }

    fn deeper<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.meter.enter()?;
        let done = run(self);
        self.meter.leave();
        done
    }

    fn body(&mut self, body: &[Statement], scope: &Scope) -> Result<Flow> {
        for statement in body {
            let flow = self.deeper(|run| run.statement(&statement.kind, scope));
            match flow.map_err(|error| error.at(statement.line))? {
                Flow::On => {}
                flow => return Ok(flow),
            }
        }
        Ok(Flow::On)
    }

    fn print(&mut self, text: &str) -> Result<()> {
        self.meter.charge(text.len())?;
        self.out.push_str(text);
        self.printed()
    }

    fn printed(&self) -> Result<()> {
        match self.out.len() > MAX_OUTPUT {
            true => Err(Error::bound(format!(
                "it writes more than {} MB",
                MAX_OUTPUT >> 20
            ))),
            false => Ok(()),
        }
    }

    /// The text that `run` prints, with what it gives.
    fn captured<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T>) -> Result<(T, Value)> {
        let around = std::mem::take(&mut self.out);
        self.captures += 1;
        let done = run(self);
        self.captures -= 1;
        let text = std::mem::replace(&mut self.out, around);
        Ok((done?, self.meter.text(text)?))
    }

    fn given(&self, value: Value) -> Result<Value> {
        match &value {
            Value::Undefined(what) if self.strict => Err(Error::operation(&**what)),
            _ => Ok(value),
        }
    }

    fn holds(&mut self, node: &Node, scope: &Scope) -> Result<bool> {
        let value = self.eval(node, scope)?;
        Ok(self.given(value)?.truth())
    }

    fn statement(&mut self, statement: &StatementKind, scope: &Scope) -> Result<Flow> {
        match statement {
            StatementKind::Data(text) => self.print(text)?,
            StatementKind::Output(values) => {
                for value in values {
                    let value = self.eval(value, scope)?;
                    let value = self.given(value)?;
                    value.write(&mut self.out, self.meter)?;
                    self.printed()?;
                }
            }
            StatementKind::If(branches, otherwise) => {
                for (test, body) in branches {
                    if self.holds(test, scope)? {
                        return self.body(body, scope);
                    }
                }
                return self.body(otherwise, scope);
            }
            StatementKind::For(it) => {
                let items = self.eval(&it.over, scope)?;
                return self.for_loop(it, items, scope, 0);
            }
            StatementKind::Set(target, value) => {
                let value = self.eval(value, scope)?;
                self.set(target, value, scope)?;
            }
            StatementKind::SetBlock(target, filter, body) => {
                let (flow, mut value) = self.captured(|run| run.body(body, &within(scope)))?;
                if flow != Flow::On {
                    return Ok(flow);
                }
                if let Some(filter) = filter {
                    value = self.through(filter, value, scope)?;
                }
                self.set(target, value, scope)?;
            }
            StatementKind::With(values, body) => {
                let inner = within(scope);
                for (target, value) in values {
                    let value = self.eval(value, scope)?;
                    self.set(target, value, &inner)?;
                }
                return self.body(body, &inner);
            }
            StatementKind::Macro(it) => {
                let value = self.make_macro(it, scope)?;
                scope.own.borrow_mut().insert(it.name.clone(), value);
            }
            StatementKind::CallBlock(call, caller) => {
                let caller = self.make_macro(caller, scope)?;
                let Expr::Call(callee, args) = &call.expr else {
                    return Err(Error::operation("{% call %} expects a call"));
                };
                let callee = self.eval(callee, scope)?;
                let mut given = self.arguments(args, scope)?;
                given.named.push(("caller".into(), caller));
                let value = self.call(&callee, given)?;
                value.write(&mut self.out, self.meter)?;
                self.printed()?;
            }
            StatementKind::FilterBlock(filter, body) => {
                let (flow, value) = self.captured(|run| run.body(body, &within(scope)))?;
                if flow != Flow::On {
                    return Ok(flow);
                }
                let value = self.through(filter, value, scope)?;
                value.write(&mut self.out, self.meter)?;
                self.printed()?;
            }
            StatementKind::Generation(body) => {
                let start = self.out.len();
                let flow = self.body(body, &within(scope))?;
                match self.captures {
                    0 => self.marked.push((start, self.out.len())),
                    _ => self.marked_elsewhere = true,
                }
                return Ok(flow);
            }
            StatementKind::Block(body) => return self.body(body, &within(scope)),
            StatementKind::Break => return Ok(Flow::Break),
            StatementKind::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    /// A value through the filters of a block.
    fn through(&mut self, filter: &Node, value: Value, scope: &Scope) -> Result<Value> {
        self.filtered.push(value);
        let value = self.eval(filter, scope);
        self.filtered.pop();
        value
    }

    fn set(&mut self, target: &Target, value: Value, scope: &Scope) -> Result<()> {
        match target {
            Target::Name(name) => {
                scope.own.borrow_mut().insert(name.clone(), value);
            }
            Target::Field(name, field) => match self.name(name, scope)? {
                Value::Namespace(namespace) => functions::set_field(&namespace, field, value)?,
                _ => {
                    return Err(Error::operation(
                        "cannot assign attribute on non-namespace object",
                    ));
                }
            },
            Target::Tuple(targets) => {
                let values = value.items(self.meter)?;
                if values.len() != targets.len() {
                    return Err(Error::operation(format!(
                        "{} values are given to {} names",
                        values.len(),
                        targets.len()
                    )));
                }
                for (target, value) in targets.iter().zip(values) {
                    self.set(target, value, scope)?;
                }
            }
        }
        Ok(())
    }

    /// Runs a loop; a `break` where it has no items is one of the loop around it.
    fn for_loop(
        &mut self,
        it: &Arc<For>,
        items: Value,
        scope: &Scope,
        level: usize,
    ) -> Result<Flow> {
        let mut items = self.given(items)?.items(self.meter)?;
        if let Some(test) = &it.test {
            let mut kept = Vec::new();
            for item in items {
                let inner = within(scope);
                self.set(&it.target, item.clone(), &inner)?;
                if self.holds(test, &inner)? {
                    kept.push(item);
                }
            }
            items = kept;
        }
        if items.is_empty() {
            return self.body(&it.otherwise, &within(scope));
        }
        let state = Rc::new(Loop {
            items,
            index: Default::default(),
            level,
            last: RefCell::default(),
            recursive: it.recursive.then(|| (it.clone(), scope.clone())),
        });
        let done = self.each(it, &state, scope);
        // It may be the loop itself.
        state.last.take();
        done.map(|()| Flow::On)
    }

    fn each(&mut self, it: &For, state: &Rc<Loop>, scope: &Scope) -> Result<()> {
        for (index, item) in state.items.iter().enumerate() {
            state.index.set(index);
            let inner = within(scope);
            inner
                .own
                .borrow_mut()
                .insert("loop".into(), Value::Loop(state.clone()));
            self.set(&it.target, item.clone(), &inner)?;
            if self.deeper(|run| run.body(&it.body, &inner))? == Flow::Break {
                break;
            }
        }
        Ok(())
    }

    fn name(&self, name: &Arc<str>, scope: &Scope) -> Result<Value> {
        self.meter.scan(name.len())?;
        let mut scope = Some(scope);
        while let Some(here) = scope {
            if let Some(value) = here.own.borrow().get(name) {
                return Ok(value.clone());
            }
            scope = here.around.as_ref();
        }
        match functions::NAMES.iter().find(|known| ***known == **name) {
            Some(known) => Ok(Value::Function(known)),
            None => {
                self.meter.charge(name.len())?;
                Ok(Value::Undefined(format!("'{name}' is undefined").into()))
            }
        }
    }
}
