//! What a template is parsed into.

use std::sync::Arc;

/// An expression and how deep it is nested, itself counted.
#[derive(Debug)]
pub(super) struct Node {
    pub expr: Expr,
    pub depth: u16,
}

#[derive(Debug)]
pub(super) enum Expr {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Arc<str>),
    Name(Arc<str>),
    List(Vec<Node>),
    Tuple(Vec<Node>),
    Dict(Vec<(Node, Node)>),
    /// `value.name`
    Attribute(Box<Node>, Arc<str>),
    /// `value[key]`
    Item(Box<Node>, Box<Node>),
    /// `value[start:stop:step]`
    Slice(Box<Node>, [Option<Box<Node>>; 3]),
    Call(Box<Node>, Args),
    /// Without a value, that of the filter block around it.
    Filter(Option<Box<Node>>, Arc<str>, Args),
    Test(Box<Node>, Arc<str>, Args),
    Not(Box<Node>),
    Negative(Box<Node>),
    Positive(Box<Node>),
    Binary(Binary, Box<Node>, Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Compare(Box<Node>, Vec<(Compare, Node)>),
    /// `a ~ b ~ c`
    Concat(Vec<Node>),
    /// `then if test else other`
    Condition {
        test: Box<Node>,
        then: Box<Node>,
        other: Option<Box<Node>>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    FloorDivide,
    Modulo,
    Power,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Compare {
    Equal,
    Unequal,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
    NotIn,
}

/// What a call is given.
#[derive(Debug, Default)]
pub(super) struct Args {
    pub positional: Vec<Node>,
    pub named: Vec<(Arc<str>, Node)>,
    /// `*list`
    pub rest: Option<Box<Node>>,
    /// `**dict`
    pub rest_named: Option<Box<Node>>,
}

impl Args {
    fn nodes(&self) -> impl Iterator<Item = &Node> {
        let named = self.named.iter().map(|(_, node)| node);
        let rest = [&self.rest, &self.rest_named].into_iter().flatten();
        self.positional
            .iter()
            .chain(named)
            .chain(rest.map(|node| &**node))
    }
}

impl Expr {
    /// The expressions right within it.
    pub fn children(&self) -> Vec<&Node> {
        match self {
            Self::None
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Float(_)
            | Self::Text(_)
            | Self::Name(_) => Vec::new(),
            Self::List(items) | Self::Tuple(items) | Self::Concat(items) => items.iter().collect(),
            Self::Dict(entries) => entries
                .iter()
                .flat_map(|(key, value)| [key, value])
                .collect(),
            Self::Attribute(one, _)
            | Self::Not(one)
            | Self::Negative(one)
            | Self::Positive(one) => vec![one],
            Self::Item(one, other)
            | Self::Binary(_, one, other)
            | Self::And(one, other)
            | Self::Or(one, other) => vec![one, other],
            Self::Slice(value, ends) => {
                let ends = ends.iter().flatten().map(|node| &**node);
                std::iter::once(&**value).chain(ends).collect()
            }
            Self::Call(value, args) | Self::Test(value, _, args) => {
                std::iter::once(&**value).chain(args.nodes()).collect()
            }
            Self::Filter(value, _, args) => {
                let value = value.iter().map(|node| &**node);
                value.chain(args.nodes()).collect()
            }
            Self::Compare(first, rest) => {
                let rest = rest.iter().map(|(_, node)| node);
                std::iter::once(&**first).chain(rest).collect()
            }
            Self::Condition { test, then, other } => {
                let other = other.iter().map(|node| &**node);
                [&**test, &**then].into_iter().chain(other).collect()
            }
        }
    }
}

/// A statement and its line.
#[derive(Debug)]
pub(super) struct Statement {
    pub line: usize,
    pub kind: StatementKind,
}

pub(super) type Body = Vec<Statement>;

#[derive(Debug)]
pub(super) enum StatementKind {
    Data(String),
    Output(Vec<Node>),
    /// Conditions with their bodies, and what runs where none holds.
    If(Vec<(Node, Body)>, Body),
    For(Arc<For>),
    Set(Target, Node),
    /// `{% set x %}...{% endset %}`, with the filters that it goes through.
    SetBlock(Target, Option<Node>, Body),
    With(Vec<(Target, Node)>, Body),
    Macro(Arc<Macro>),
    /// `{% call(a) m() %}...{% endcall %}`: the call and what its `caller` runs.
    CallBlock(Node, Arc<Macro>),
    FilterBlock(Node, Body),
    /// A part that is scored where an assistant's words are.
    Generation(Body),
    Block(Body),
    Break,
    Continue,
}

#[derive(Debug)]
pub struct For {
    pub(super) target: Target,
    pub(super) over: Node,
    pub(super) test: Option<Node>,
    pub(super) recursive: bool,
    pub(super) body: Body,
    /// What runs where there is no item.
    pub(super) otherwise: Body,
}

/// What a value is given to.
#[derive(Debug)]
pub(super) enum Target {
    Name(Arc<str>),
    /// `namespace.name`
    Field(Arc<str>, Arc<str>),
    Tuple(Vec<Target>),
}

impl Target {
    /// Whether it gives a value to that name.
    pub fn names(&self, wanted: &str) -> bool {
        match self {
            Self::Name(name) => **name == *wanted,
            Self::Field(..) => false,
            Self::Tuple(targets) => targets.iter().any(|target| target.names(wanted)),
        }
    }
}

#[derive(Debug)]
pub struct Macro {
    pub(super) name: Arc<str>,
    pub(super) parameters: Vec<(Arc<str>, Option<Node>)>,
    pub(super) body: Body,
    /// Whether the body names `caller`, `varargs` and `kwargs`, which decides what it can be given.
    pub(super) uses_caller: bool,
    pub(super) uses_varargs: bool,
    pub(super) uses_kwargs: bool,
}
