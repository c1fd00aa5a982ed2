//! Runs a template.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use indexmap::IndexMap;

use super::ast::{Args, Binary, Compare, Expr, For, Macro, Node, Statement, StatementKind, Target};
use super::dates::Day;
use super::error::{Error, Result};
use super::filters;
use super::functions;
use super::given::Given;
use super::meter::{MAX_OUTPUT, Meter};
use super::methods;
use super::ops::{attribute, binary, item, slice};
use super::tests;
use super::value::{Loop, MacroValue, Value};

/// How deep calls, statements and expressions may be nested while they run.
const MAX_DEPTH: usize = 2000;

/// Variables, and those around them.
pub type Scope = Rc<Variables>;

#[derive(Default)]
pub struct Variables {
    pub(super) own: RefCell<HashMap<Arc<str>, Value>>,
    pub(super) around: Option<Scope>,
}

fn within(scope: &Scope) -> Scope {
    Rc::new(Variables {
        own: RefCell::default(),
        around: Some(scope.clone()),
    })
}

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
    pub(super) day: Day,
    /// Whether the day was asked for.
    pub(super) asked_day: bool,
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
    depth: usize,
}

impl<'t> Run<'t> {
    pub(super) fn new(meter: &'t Meter, strict: bool, day: Day) -> Self {
        Self {
            meter,
            strict,
            day,
            asked_day: false,
            out: String::new(),
            captures: 0,
            marked: Vec::new(),
            marked_elsewhere: false,
            filtered: Vec::new(),
            kept: Vec::new(),
            depth: 0,
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
        self.meter.step(1)?;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Error::bound("it calls itself too often"));
        }
        let done = run(self);
        self.depth -= 1;
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

    /// The text that `run` prints.
    fn captured<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T>) -> Result<Value> {
        let around = std::mem::take(&mut self.out);
        self.captures += 1;
        let done = run(self);
        self.captures -= 1;
        let text = std::mem::replace(&mut self.out, around);
        done?;
        self.meter.text(text)
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
                self.for_loop(it, items, scope, 0)?;
            }
            StatementKind::Set(target, value) => {
                let value = self.eval(value, scope)?;
                self.set(target, value, scope)?;
            }
            StatementKind::SetBlock(target, filter, body) => {
                let mut value = self.captured(|run| run.body(body, &within(scope)))?;
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
                let value = self.make_macro(it, scope);
                scope.own.borrow_mut().insert(it.name.clone(), value);
            }
            StatementKind::CallBlock(call, caller) => {
                let caller = self.make_macro(caller, scope);
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
                let value = self.captured(|run| run.body(body, &within(scope)))?;
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

    fn make_macro(&mut self, definition: &Arc<Macro>, scope: &Scope) -> Value {
        self.kept.push(scope.clone());
        Value::Macro(Rc::new(MacroValue {
            definition: definition.clone(),
            scope: scope.clone(),
        }))
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
            Target::Field(name, field) => match self.name(name, scope) {
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

    pub(super) fn for_loop(
        &mut self,
        it: &Arc<For>,
        items: Value,
        scope: &Scope,
        level: usize,
    ) -> Result<()> {
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
            self.body(&it.otherwise, &within(scope))?;
            return Ok(());
        }
        let state = Rc::new(Loop {
            items,
            index: Default::default(),
            level,
            last: RefCell::default(),
            recursive: it.recursive.then(|| (it.clone(), scope.clone())),
        });
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

    fn name(&self, name: &Arc<str>, scope: &Scope) -> Value {
        let mut scope = Some(scope);
        while let Some(here) = scope {
            if let Some(value) = here.own.borrow().get(name) {
                return value.clone();
            }
            scope = here.around.as_ref();
        }
        match functions::NAMES.iter().find(|known| ***known == **name) {
            Some(known) => Value::Function(known),
            None => Value::Undefined(format!("'{name}' is undefined").into()),
        }
    }

    fn eval(&mut self, node: &Node, scope: &Scope) -> Result<Value> {
        self.deeper(|run| run.expression(&node.expr, scope))
    }

    fn all(&mut self, nodes: &[Node], scope: &Scope) -> Result<Vec<Value>> {
        nodes.iter().map(|node| self.eval(node, scope)).collect()
    }

    fn expression(&mut self, expr: &Expr, scope: &Scope) -> Result<Value> {
        let meter = self.meter;
        Ok(match expr {
            Expr::None => Value::None,
            Expr::Bool(value) => Value::Bool(*value),
            Expr::Int(number) => Value::Int(*number),
            Expr::Float(number) => Value::Float(*number),
            Expr::Text(text) => meter.text(text)?,
            Expr::Name(name) => self.name(name, scope),
            Expr::List(items) => meter.list(self.all(items, scope)?)?,
            Expr::Tuple(items) => meter.tuple(self.all(items, scope)?)?,
            Expr::Dict(entries) => {
                let mut dict = IndexMap::new();
                for (key, value) in entries {
                    let (key, value) = (self.eval(key, scope)?, self.eval(value, scope)?);
                    functions::insert(&mut dict, key, value, meter)?;
                }
                meter.dict(dict)?
            }
            Expr::Attribute(value, name) => {
                let value = self.eval(value, scope)?;
                attribute(&value, &(&**name).into(), meter)?
            }
            Expr::Item(value, key) => {
                let (value, key) = (self.eval(value, scope)?, self.eval(key, scope)?);
                item(&value, &key, meter)?
            }
            Expr::Slice(value, ends) => {
                let value = self.eval(value, scope)?;
                let mut given = [Value::None, Value::None, Value::None];
                for (given, end) in given.iter_mut().zip(ends) {
                    if let Some(end) = end {
                        *given = self.eval(end, scope)?;
                    }
                }
                let [start, stop, step] = &given;
                slice(&value, [start, stop, step], meter)?
            }
            Expr::Call(callee, args) => {
                let callee = self.eval(callee, scope)?;
                let given = self.arguments(args, scope)?;
                self.call(&callee, given)?
            }
            Expr::Filter(value, name, args) => {
                let value = match value {
                    Some(value) => self.eval(value, scope)?,
                    None => self.filtered.last().cloned().unwrap_or(Value::None),
                };
                let given = self.arguments(args, scope)?;
                filters::apply(self, name, value, given)?
            }
            Expr::Test(value, name, args) => {
                let value = self.eval(value, scope)?;
                let given = self.arguments(args, scope)?;
                Value::Bool(tests::apply(self, name, value, given)?)
            }
            Expr::Not(value) => Value::Bool(!self.holds(value, scope)?),
            Expr::Negative(value) => {
                let value = self.eval(value, scope)?;
                match (&value, value.as_int()) {
                    (Value::Float(number), _) => Value::Float(-number),
                    (_, Some(number)) => {
                        binary(Binary::Subtract, &Value::Int(0), &Value::Int(number), meter)?
                    }
                    _ => return Err(unary("-", &value)),
                }
            }
            Expr::Positive(value) => {
                let value = self.eval(value, scope)?;
                match (&value, value.as_int()) {
                    (Value::Float(_), _) => value,
                    (_, Some(number)) => Value::Int(number),
                    _ => return Err(unary("+", &value)),
                }
            }
            Expr::Binary(operator, left, right) => {
                let (left, right) = (self.eval(left, scope)?, self.eval(right, scope)?);
                binary(*operator, &left, &right, meter)?
            }
            Expr::And(left, right) => {
                let left = self.eval(left, scope)?;
                match self.given(left.clone())?.truth() {
                    true => self.eval(right, scope)?,
                    false => left,
                }
            }
            Expr::Or(left, right) => {
                let left = self.eval(left, scope)?;
                match self.given(left.clone())?.truth() {
                    true => left,
                    false => self.eval(right, scope)?,
                }
            }
            Expr::Compare(first, rest) => {
                let mut left = self.eval(first, scope)?;
                for (operator, right) in rest {
                    let right = self.eval(right, scope)?;
                    if !compare(*operator, &left, &right, meter)? {
                        return Ok(Value::Bool(false));
                    }
                    left = right;
                }
                Value::Bool(true)
            }
            Expr::Concat(items) => {
                let mut text = String::new();
                for item in items {
                    let item = self.eval(item, scope)?;
                    self.given(item)?.write(&mut text, meter)?;
                }
                meter.text(text)?
            }
            Expr::Condition { test, then, other } => match (self.holds(test, scope)?, other) {
                (true, _) => self.eval(then, scope)?,
                (false, Some(other)) => self.eval(other, scope)?,
                (false, None) => Value::Undefined(
                    "the inline if-expression evaluated to false and no else section was defined."
                        .into(),
                ),
            },
        })
    }

    fn arguments(&mut self, args: &Args, scope: &Scope) -> Result<Given> {
        let mut given = Given {
            positional: self.all(&args.positional, scope)?,
            named: Vec::new(),
        };
        if let Some(rest) = &args.rest {
            let rest = self.eval(rest, scope)?;
            given.positional.extend(rest.items(self.meter)?);
        }
        for (name, value) in &args.named {
            given
                .named
                .push(((&**name).into(), self.eval(value, scope)?));
        }
        if let Some(rest) = &args.rest_named {
            let rest = self.eval(rest, scope)?;
            for pair in methods::pairs(&rest, self.meter)? {
                let [name, value] = [0, 1].map(|at| item(&pair, &Value::Int(at), self.meter));
                let name = name?.as_text().cloned();
                let name = name.ok_or_else(|| Error::operation("keywords must be strings"))?;
                given.named.push((name, value?));
            }
        }
        Ok(given)
    }

    /// Calls a value.
    pub(super) fn call(&mut self, callee: &Value, given: Given) -> Result<Value> {
        match callee {
            Value::Macro(it) => self.call_macro(it, given),
            Value::Method(method) => methods::call(self, &method.0, &method.1, given),
            Value::Function(name) => functions::call(self, name, given),
            Value::Joiner(joiner) => Ok(match joiner.used.replace(true) {
                true => joiner.separator.clone(),
                false => Value::text(""),
            }),
            Value::Loop(state) => {
                let [items] = given.bind("loop", ["iterable"], 1)?;
                let Some((it, scope)) = &state.recursive else {
                    return Err(Error::operation(
                        "The loop must have the 'recursive' marker to be called recursively.",
                    ));
                };
                let items = items.unwrap_or(Value::None);
                self.captured(|run| {
                    run.deeper(|run| run.for_loop(it, items, scope, state.level + 1))
                })
            }
            Value::Undefined(what) => Err(Error::operation(&**what)),
            other => Err(Error::operation(format!(
                "'{}' object is not callable",
                other.type_name()
            ))),
        }
    }

    fn call_macro(&mut self, it: &MacroValue, given: Given) -> Result<Value> {
        let definition = &*it.definition;
        let what = format!("macro '{}'", definition.name);
        let scope = within(&it.scope);
        let mut named = given.named;
        let mut positional = given.positional.into_iter();
        for (name, default) in &definition.parameters {
            let place = named.iter().position(|(given, _)| **given == **name);
            let value = match (positional.next(), place) {
                (Some(_), Some(_)) => {
                    return Err(Error::operation(format!(
                        "{what} got multiple values for argument '{name}'"
                    )));
                }
                (Some(value), None) => value,
                (None, Some(place)) => named.remove(place).1,
                (None, None) => match default {
                    Some(default) => self.eval(default, &scope)?,
                    None => Value::Undefined(format!("parameter '{name}' was not provided").into()),
                },
            };
            scope.own.borrow_mut().insert(name.clone(), value);
        }
        if definition.uses_caller {
            let place = named.iter().position(|(name, _)| &**name == "caller");
            let caller = match place {
                Some(place) => named.remove(place).1,
                None => Value::Undefined("No caller defined".into()),
            };
            scope.own.borrow_mut().insert("caller".into(), caller);
        }
        let rest: Vec<Value> = positional.collect();
        if definition.uses_varargs {
            scope
                .own
                .borrow_mut()
                .insert("varargs".into(), self.meter.tuple(rest)?);
        } else if !rest.is_empty() {
            let count = definition.parameters.len();
            return Err(Error::operation(format!(
                "{what} takes not more than {count} argument(s)"
            )));
        }
        if definition.uses_kwargs {
            let dict = self.dict_of(named)?;
            scope.own.borrow_mut().insert("kwargs".into(), dict);
        } else if let Some((name, _)) = named.first() {
            return Err(Error::operation(format!(
                "{what} takes no keyword argument '{name}'"
            )));
        }
        self.captured(|run| run.deeper(|run| run.body(&definition.body, &scope)))
    }

    /// A dict of named values.
    pub(super) fn dict_of(&self, named: Vec<(Rc<str>, Value)>) -> Result<Value> {
        let mut dict = IndexMap::new();
        for (name, value) in named {
            functions::insert(&mut dict, Value::Text(name), value, self.meter)?;
        }
        self.meter.dict(dict)
    }
}

fn unary(sign: &str, value: &Value) -> Error {
    match value {
        Value::Undefined(what) => Error::operation(&**what),
        value => Error::operation(format!(
            "bad operand type for unary {sign}: '{}'",
            value.type_name()
        )),
    }
}

fn compare(operator: Compare, left: &Value, right: &Value, meter: &Meter) -> Result<bool> {
    Ok(match operator {
        Compare::Equal => left.equals(right, meter)?,
        Compare::Unequal => !left.equals(right, meter)?,
        Compare::Less => left.compare(right, meter)?.is_some_and(|it| it.is_lt()),
        Compare::LessEqual => left.compare(right, meter)?.is_some_and(|it| it.is_le()),
        Compare::Greater => left.compare(right, meter)?.is_some_and(|it| it.is_gt()),
        Compare::GreaterEqual => left.compare(right, meter)?.is_some_and(|it| it.is_ge()),
        Compare::In => right.contains(left, meter)?,
        Compare::NotIn => !right.contains(left, meter)?,
    })
}
