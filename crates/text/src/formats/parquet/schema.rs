//! A Parquet schema as a tree, with what the values of each leaf mean.

use super::Read;
use super::footer::truth;
use super::thrift::Thrift;

/// Groups within groups.
const DEEPEST: usize = 24;

/// One node of the schema as it is written, depth first.
#[derive(Debug, Default)]
pub struct Element {
    physical: Option<i64>,
    width: i64,
    repetition: i64,
    name: String,
    children: u64,
    converted: Option<i64>,
    scale: i64,
    logical: Option<Logical>,
}

/// The logical type: its number in the union, and what it says further.
#[derive(Clone, Copy, Debug, Default)]
struct Logical {
    kind: i64,
    scale: i64,
    /// A timestamp's unit, 1 to 3 for milliseconds to nanoseconds.
    unit: i64,
    utc: bool,
    signed: bool,
}

/// How a leaf's values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Physical {
    Bool,
    Int32,
    Int64,
    Int96,
    Float,
    Double,
    Bytes,
    /// Of this many bytes, at least one.
    Fixed(usize),
}

/// What a leaf's values mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    Plain,
    Text,
    Json,
    /// Bytes that are no text.
    Binary,
    Unsigned,
    Decimal(u32),
    Date,
    /// Seconds since midnight, in units of a power of ten.
    Time(u32),
    /// Seconds since 1970, in units of a power of ten, and whether by UTC.
    Timestamp(u32, bool),
    Half,
    Uuid,
}

/// Whether a value may be absent, or there several times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repetition {
    Required,
    Optional,
    Repeated,
}

#[derive(Debug)]
pub struct Node {
    pub name: String,
    pub repetition: Repetition,
    /// The definition level of one that is there, and the repetition level of another one of it.
    pub defined: u32,
    pub repeated: u32,
    pub kind: Kind,
    /// The first of its leaves, and the one after its last.
    pub leaves: (usize, usize),
}

#[derive(Debug)]
pub enum Kind {
    Leaf(Physical, Meaning),
    Struct(Vec<Node>),
    /// A list, by the node that is repeated and whether its only child is the item.
    List(Box<Node>, bool),
    /// A map, by the repeated node of key and value.
    Map(Box<Node>),
}

#[derive(Debug)]
pub struct Schema {
    pub columns: Vec<Node>,
    pub leaves: usize,
}

impl Element {
    pub fn read(it: &mut Thrift<'_>) -> Read<Self> {
        let mut found = Self::default();
        it.fields(|it, field, kind| {
            match field {
                1 => found.physical = Some(it.int()?),
                2 => found.width = it.int()?,
                3 => found.repetition = it.int()?,
                4 => found.name = String::from_utf8_lossy(it.binary()?).into_owned(),
                5 => found.children = it.count()?,
                6 => found.converted = Some(it.int()?),
                7 => found.scale = it.int()?,
                10 => found.logical = Some(Logical::read(it)?),
                _ => it.skip(kind)?,
            }
            Ok(())
        })?;
        Ok(found)
    }

    fn physical(&self) -> Read<Physical> {
        Ok(match self.physical {
            Some(0) => Physical::Bool,
            Some(1) => Physical::Int32,
            Some(2) => Physical::Int64,
            Some(3) => Physical::Int96,
            Some(4) => Physical::Float,
            Some(5) => Physical::Double,
            Some(6) => Physical::Bytes,
            Some(7) if (1..=1 << 20).contains(&self.width) => Physical::Fixed(self.width as usize),
            Some(7) => {
                return Err(format!(
                    "column {:?}: values of {} bytes",
                    self.name, self.width
                ));
            }
            Some(other) => {
                return Err(format!(
                    "column {:?}: type {other}, which does not exist",
                    self.name
                ));
            }
            // An empty struct, which some write.
            None => {
                return Err(format!(
                    "column {:?} has neither type nor members",
                    self.name
                ));
            }
        })
    }

    /// The logical type, or else the older annotation of the same.
    fn meaning(&self, physical: Physical) -> Meaning {
        let logical = self.logical.unwrap_or_default();
        let bytes = matches!(physical, Physical::Bytes | Physical::Fixed(_));
        let whole = matches!(physical, Physical::Int32 | Physical::Int64);
        let scale = |scale: i64| Meaning::Decimal(u32::try_from(scale).unwrap_or(0).min(1000));
        let unit = |unit: i64| (unit.clamp(1, 3) * 3) as u32;
        let found = match (logical.kind, self.converted) {
            (1 | 4, _) => Meaning::Text,
            (5, _) => scale(logical.scale),
            (6, _) => Meaning::Date,
            (7, _) => Meaning::Time(unit(logical.unit)),
            (8, _) => Meaning::Timestamp(unit(logical.unit), logical.utc),
            (10, _) if !logical.signed => Meaning::Unsigned,
            (12, _) => Meaning::Json,
            (13, _) => Meaning::Binary,
            (14, _) => Meaning::Uuid,
            (15, _) => Meaning::Half,
            (0, Some(0 | 4)) => Meaning::Text,
            (0, Some(5)) => scale(self.scale),
            (0, Some(6)) => Meaning::Date,
            (0, Some(7)) => Meaning::Time(3),
            (0, Some(8)) => Meaning::Time(6),
            (0, Some(9)) => Meaning::Timestamp(3, true),
            (0, Some(10)) => Meaning::Timestamp(6, true),
            (0, Some(11..=14)) => Meaning::Unsigned,
            (0, Some(19)) => Meaning::Json,
            (0, Some(20 | 21)) => Meaning::Binary,
            _ if physical == Physical::Int96 => Meaning::Timestamp(9, false),
            _ => Meaning::Plain,
        };
        // An annotation of another type's says nothing.
        let fits = match found {
            Meaning::Plain => true,
            Meaning::Text | Meaning::Json | Meaning::Binary => bytes,
            Meaning::Half => physical == Physical::Fixed(2),
            Meaning::Uuid => physical == Physical::Fixed(16),
            Meaning::Decimal(_) => bytes || whole,
            Meaning::Timestamp(..) => whole || physical == Physical::Int96,
            Meaning::Unsigned | Meaning::Date | Meaning::Time(_) => whole,
        };
        match fits {
            true => found,
            false => Meaning::Plain,
        }
    }

    fn is_list(&self) -> bool {
        self.logical.is_some_and(|it| it.kind == 3) || self.converted == Some(3)
    }

    fn is_map(&self) -> bool {
        self.logical.is_some_and(|it| it.kind == 2) || matches!(self.converted, Some(1 | 2))
    }
}

impl Logical {
    fn read(it: &mut Thrift<'_>) -> Read<Self> {
        let mut found = Self {
            signed: true,
            ..Self::default()
        };
        it.fields(|it, number, _| {
            found.kind = number;
            it.fields(|it, field, kind| {
                match (number, field) {
                    (5, 1) => found.scale = it.int()?,
                    (7 | 8, 1) => found.utc = truth(kind),
                    (7 | 8, 2) => it.fields(|it, unit, kind| {
                        found.unit = unit;
                        it.skip(kind)
                    })?,
                    (10, 2) => found.signed = truth(kind),
                    _ => it.skip(kind)?,
                }
                Ok(())
            })
        })?;
        Ok(found)
    }
}

/// What is written of the tree, and how far it is read.
struct Walk<'a> {
    elements: &'a [Element],
    at: usize,
    leaves: usize,
}

impl Schema {
    /// The tree that was written depth first, its root before all.
    pub fn of(elements: &[Element]) -> Read<Self> {
        let mut walk = Walk {
            elements,
            at: 0,
            leaves: 0,
        };
        let columns = walk.next()?.children;
        let columns = walk.children(columns, (0, 0), 0)?;
        match walk.at == elements.len() {
            true => Ok(Self {
                columns,
                leaves: walk.leaves,
            }),
            false => Err("its schema has more columns than it counts".into()),
        }
    }
}

impl<'a> Walk<'a> {
    fn next(&mut self) -> Read<&'a Element> {
        let next = self.elements.get(self.at);
        self.at += 1;
        next.ok_or_else(|| "its schema counts more columns than it has".into())
    }

    fn children(&mut self, count: u64, levels: (u32, u32), depth: usize) -> Read<Vec<Node>> {
        if depth > DEEPEST {
            return Err(format!("its columns are nested more than {DEEPEST} deep"));
        }
        // One by one: the count may be anything.
        let mut children = Vec::new();
        for _ in 0..count {
            children.push(self.node(levels, depth)?);
        }
        Ok(children)
    }

    fn node(&mut self, (mut defined, mut repeated): (u32, u32), depth: usize) -> Read<Node> {
        let element = self.next()?;
        let repetition = match element.repetition {
            0 => Repetition::Required,
            1 => Repetition::Optional,
            2 => Repetition::Repeated,
            other => return Err(format!("repetition {other}, which does not exist")),
        };
        defined += u32::from(repetition != Repetition::Required);
        repeated += u32::from(repetition == Repetition::Repeated);
        let first = self.leaves;
        let kind = if element.children == 0 {
            let physical = element.physical()?;
            self.leaves += 1;
            Kind::Leaf(physical, element.meaning(physical))
        } else {
            let children = self.children(element.children, (defined, repeated), depth + 1)?;
            group(element, children)
        };
        Ok(Node {
            name: element.name.clone(),
            repetition,
            defined,
            repeated,
            kind,
            leaves: (first, self.leaves),
        })
    }
}

/// What a group of children is
/// (<https://github.com/apache/parquet-format/blob/master/LogicalTypes.md#nested-types>).
fn group(element: &Element, mut children: Vec<Node>) -> Kind {
    let single = children.len() == 1 && children[0].repetition == Repetition::Repeated;
    if !single || !element.is_list() && !element.is_map() {
        return Kind::Struct(children);
    }
    let repeated = Box::new(children.remove(0));
    let members = match &repeated.kind {
        Kind::Struct(members) => members.len(),
        _ => 0,
    };
    if element.is_map() {
        return match members {
            2 => Kind::Map(repeated),
            _ => Kind::List(repeated, members == 1),
        };
    }
    // Older writers have the item itself repeated.
    let itself = repeated.name == "array" || repeated.name == format!("{}_tuple", element.name);
    Kind::List(repeated, members == 1 && !itself)
}
