//! Methods of Python's texts, lists and dicts, and the fields of a loop. Those that change a list or dict are refused,
//! as the sandbox of transformers does.

use std::rc::Rc;

use super::error::{Error, Result};
use super::eval::Run;
use super::given::{Given, int_or, text_of};
use super::lexer::python_space;
use super::meter::Meter;
use super::number::format_fields;
use super::ops::{attribute, item};
use super::value::{Loop, Value};

const TEXT: [&str; 47] = [
    "capitalize",
    "casefold",
    "center",
    "count",
    "encode",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "format_map",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "maketrans",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "translate",
    "upper",
    "zfill",
];

const LIST: [&str; 11] = [
    "append", "clear", "copy", "count", "extend", "index", "insert", "pop", "remove", "reverse",
    "sort",
];

const DICT: [&str; 11] = [
    "clear",
    "copy",
    "fromkeys",
    "get",
    "items",
    "keys",
    "pop",
    "popitem",
    "setdefault",
    "update",
    "values",
];

/// Those of lists and dicts that change them.
const CHANGING: [&str; 12] = [
    "append",
    "clear",
    "extend",
    "insert",
    "pop",
    "remove",
    "reverse",
    "sort",
    "popitem",
    "setdefault",
    "update",
    "fromkeys",
];

/// The methods that a value has.
pub(super) fn names(value: &Value) -> &'static [&'static str] {
    match value {
        Value::Text(_) | Value::Safe(_) => &TEXT,
        Value::List(_) => &LIST,
        Value::Tuple(_) | Value::View("range", _) => &["count", "index"],
        Value::Dict(_) => &DICT,
        Value::Float(_) => &["is_integer"],
        Value::Int(_) | Value::Bool(_) => &["bit_length", "is_integer"],
        Value::Cycler(_) => &["next", "reset"],
        _ => &[],
    }
}

/// A field of `loop`.
pub(super) fn loop_field(state: &Rc<Loop>, name: &Rc<str>) -> Option<Value> {
    let (index, length) = (state.index.get(), state.items.len());
    let number = |number: usize| Some(Value::Int(number as i128));
    let neighbour = |found: Option<&Value>, which: &str| {
        Some(
            found
                .cloned()
                .unwrap_or_else(|| Value::Undefined(format!("there is no {which} item").into())),
        )
    };
    match &**name {
        "index" => number(index + 1),
        "index0" => number(index),
        "revindex" => number(length - index),
        "revindex0" => number(length - index - 1),
        "first" => Some(Value::Bool(index == 0)),
        "last" => Some(Value::Bool(index + 1 == length)),
        "length" => number(length),
        "depth" => number(state.level + 1),
        "depth0" => number(state.level),
        "previtem" => neighbour(
            index.checked_sub(1).and_then(|at| state.items.get(at)),
            "previous",
        ),
        "nextitem" => neighbour(state.items.get(index + 1), "next"),
        "cycle" | "changed" => Some(Value::Method(Rc::new((
            Value::Loop(state.clone()),
            name.clone(),
        )))),
        _ => None,
    }
}

/// Calls a method.
pub(super) fn call(run: &mut Run<'_>, value: &Value, name: &str, given: Given) -> Result<Value> {
    let meter = run.meter;
    match value {
        Value::Text(text) => text_method(text, name, given, meter),
        Value::Safe(text) => Ok(match text_method(text, name, given, meter)? {
            Value::Text(text) => Value::Safe(text),
            other => other,
        }),
        Value::List(_) | Value::Dict(_) if CHANGING.contains(&name) => {
            Err(Error::operation(format!(
                "the sandbox of chat templates allows no method that changes a {}: .{name}()",
                value.type_name()
            )))
        }
        Value::Dict(dict) => match name {
            "get" => {
                let [key, default] = given.bind("get", ["key", "default"], 1)?;
                let key = key.unwrap_or(Value::None).key(meter)?;
                let found = dict.entries.get(&key).map(|(_, value)| value.clone());
                Ok(found.or(default).unwrap_or(Value::None))
            }
            "items" => pairs(value, meter).and_then(|items| meter.view("dict_items", items)),
            "keys" => meter.view("dict_keys", value.items(meter)?),
            "values" => meter.view(
                "dict_values",
                dict.entries
                    .values()
                    .map(|(_, value)| value.clone())
                    .collect(),
            ),
            _ => Ok(value.clone()),
        },
        Value::List(list) | Value::Tuple(list) | Value::View(_, list) => match name {
            "count" | "index" => {
                let [item] = given.bind(name, ["value"], 1)?;
                let item = item.unwrap_or(Value::None);
                let mut count = 0;
                for (index, found) in list.items.iter().enumerate() {
                    if found.equals(&item, meter)? {
                        if name == "index" {
                            return Ok(Value::Int(index as i128));
                        }
                        count += 1;
                    }
                }
                match name {
                    "index" => Err(Error::operation("the list does not hold that value")),
                    _ => Ok(Value::Int(count)),
                }
            }
            _ => Ok(value.clone()),
        },
        Value::Loop(state) => match name {
            "cycle" => {
                let count = given.positional.len();
                let at = state.index.get().checked_rem(count);
                let at = at.ok_or_else(|| Error::operation("no items for cycling given"))?;
                Ok(given.positional[at].clone())
            }
            _ => {
                let now = meter.tuple(given.positional)?;
                let mut last = state.last.borrow_mut();
                let same = match &*last {
                    Some(last) => last.equals(&now, meter)?,
                    None => false,
                };
                *last = Some(now);
                Ok(Value::Bool(!same))
            }
        },
        Value::Cycler(cycler) => {
            let at = match name {
                "reset" => {
                    cycler.at.set(0);
                    return Ok(Value::None);
                }
                _ => cycler.at.get(),
            };
            cycler.at.set((at + 1) % cycler.items.len().max(1));
            cycler
                .items
                .get(at)
                .cloned()
                .ok_or_else(|| Error::operation("at least one item has to be provided"))
        }
        Value::Float(number) => Ok(Value::Bool(number.fract() == 0.0)),
        Value::Int(number) if name == "bit_length" => Ok(Value::Int(i128::from(
            128 - number.unsigned_abs().leading_zeros(),
        ))),
        _ => Ok(Value::Bool(true)),
    }
}

/// A dict's keys and values as tuples.
pub(super) fn pairs(value: &Value, meter: &Meter) -> Result<Vec<Value>> {
    match value {
        Value::Dict(dict) => {
            let entries = dict.entries.values();
            entries
                .map(|(key, value)| meter.tuple(vec![key.clone(), value.clone()]))
                .collect()
        }
        Value::Undefined(_) => Ok(Vec::new()),
        _ => Err(Error::operation("Can only get item pairs from a mapping.")),
    }
}

/// The first letter large where `upper`, the others small.
pub(super) fn capitalize(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(titled).unwrap_or_default();
    first + &lower(letters.as_str())
}

/// A letter as the first of a word: `ǆ` becomes `ǅ`, `ß` becomes `Ss`.
fn titled(letter: char) -> String {
    match letter {
        'Ǆ' | 'ǅ' | 'ǆ' => "ǅ".into(),
        'Ǉ' | 'ǈ' | 'ǉ' => "ǈ".into(),
        'Ǌ' | 'ǋ' | 'ǌ' => "ǋ".into(),
        'Ǳ' | 'ǲ' | 'ǳ' => "ǲ".into(),
        'ŉ' => "ʼN".into(),
        letter => {
            let mut upper = letter.to_uppercase();
            let first = upper.next().into_iter().collect::<String>();
            first + &upper.flat_map(char::to_lowercase).collect::<String>()
        }
    }
}

fn lower(text: &str) -> String {
    text.to_lowercase()
}

/// `str.title`: every letter behind one that is none is large.
fn title(text: &str) -> String {
    let mut titled_text = String::new();
    let mut inside = false;
    for letter in text.chars() {
        match inside {
            true => titled_text.extend(letter.to_lowercase()),
            false => titled_text.push_str(&titled(letter)),
        }
        inside = letter.is_lowercase()
            || letter.is_uppercase()
            || letter.is_alphabetic() && cased(letter);
    }
    titled_text
}

fn cased(letter: char) -> bool {
    letter.to_lowercase().next() != Some(letter) || letter.to_uppercase().next() != Some(letter)
}

/// Removes white space, or the letters given, at the ends that are asked for.
fn strip<'t>(
    text: &'t str,
    letters: Option<&Value>,
    (start, end): (bool, bool),
) -> Result<&'t str> {
    let set = match letters {
        None | Some(Value::None) => None,
        Some(letters) => Some(text_of(letters, "strip")?),
    };
    let fits = |letter: char| match &set {
        None => python_space(letter),
        Some(set) => set.contains(letter),
    };
    let text = if start {
        text.trim_start_matches(fits)
    } else {
        text
    };
    Ok(if end {
        text.trim_end_matches(fits)
    } else {
        text
    })
}

/// `text.strip(letters)`
pub(super) fn trim(text: &str, letters: Option<&Value>) -> Result<String> {
    strip(text, letters, (true, true)).map(str::to_owned)
}

/// The lines of a text, by any of Python's line breaks, with the breaks if asked for.
pub(super) fn split_lines(text: &str, keep: bool) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    let breaks = |letter: char| {
        matches!(
            letter,
            '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    while let Some(at) = rest.find(breaks) {
        let width = match rest[at..].starts_with("\r\n") {
            true => 2,
            false => rest[at..].chars().next().map_or(1, char::len_utf8),
        };
        lines.push(&rest[..if keep { at + width } else { at }]);
        rest = &rest[at + width..];
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

fn split<'t>(
    text: &'t str,
    separator: Option<&str>,
    most: usize,
    from_end: bool,
) -> Result<Vec<&'t str>> {
    let Some(separator) = separator else {
        let mut parts = Vec::new();
        let mut rest = strip(text, None, (!from_end, from_end))?;
        while !rest.is_empty() {
            let at = match from_end {
                _ if parts.len() == most => None,
                true => rest.rfind(python_space),
                false => rest.find(python_space),
            };
            let Some(at) = at else {
                parts.push(strip(
                    rest,
                    None,
                    (from_end, !from_end).into_kept(parts.len() == most),
                )?);
                break;
            };
            let (before, after) = rest.split_at(at);
            let width = after.chars().next().map_or(0, char::len_utf8);
            match from_end {
                true => {
                    parts.push(&after[width..]);
                    rest = strip(before, None, (false, true))?;
                }
                false => {
                    parts.push(before);
                    rest = strip(&after[width..], None, (true, false))?;
                }
            }
        }
        if from_end {
            parts.reverse();
        }
        return Ok(parts);
    };
    if separator.is_empty() {
        return Err(Error::operation("empty separator"));
    }
    let most = most.saturating_add(1);
    Ok(match from_end {
        true => {
            let mut parts: Vec<&str> = text.rsplitn(most, separator).collect();
            parts.reverse();
            parts
        }
        false => text.splitn(most, separator).collect(),
    })
}

/// What is left over of a text that is split at white space is kept as it is at its far end.
trait Kept {
    fn into_kept(self, left_over: bool) -> (bool, bool);
}

impl Kept for (bool, bool) {
    fn into_kept(self, left_over: bool) -> (bool, bool) {
        if left_over { (false, false) } else { self }
    }
}

/// Slices a text by letters, as `count`, `find` and the like may be told to.
fn within(text: &str, start: Option<Value>, end: Option<Value>) -> Result<(usize, String)> {
    let length = text.chars().count() as i128;
    let place = |value: Option<Value>, default: i128| -> Result<i128> {
        let number = match value {
            None | Some(Value::None) => default,
            value => int_or(value, default, "index")?,
        };
        let number = if number < 0 { number + length } else { number };
        Ok(number.clamp(0, length))
    };
    let (start, end) = (place(start, 0)?, place(end, length)?);
    let taken = text
        .chars()
        .skip(start as usize)
        .take((end - start).max(0) as usize);
    Ok((start as usize, taken.collect()))
}

fn text_method(text: &Rc<str>, name: &str, given: Given, meter: &Meter) -> Result<Value> {
    meter.charge(4 * text.len())?;
    let none_given = |given: Given| given.bind(name, [], 0);
    let every = |given: Given, fits: &dyn Fn(char) -> bool, empty: bool| {
        none_given(given)?;
        Ok(Value::Bool(if text.is_empty() {
            empty
        } else {
            text.chars().all(fits)
        }))
    };
    let cases = |given: Given, wanted: fn(char) -> bool, other: fn(char) -> bool| {
        none_given(given)?;
        Ok(Value::Bool(
            text.chars().any(wanted) && !text.chars().any(other),
        ))
    };
    let texts = |parts: Vec<&str>| {
        meter.charge(text.len() + parts.len() * 16)?;
        Ok(parts.into_iter().map(Value::text).collect::<Vec<_>>())
    };
    match name {
        "upper" => none_given(given).and_then(|_| meter.text(text.to_uppercase())),
        "lower" => none_given(given).and_then(|_| meter.text(lower(text))),
        "casefold" => none_given(given).and_then(|_| meter.text(lower(text).replace('ß', "ss"))),
        "capitalize" => none_given(given).and_then(|_| meter.text(capitalize(text))),
        "title" => none_given(given).and_then(|_| meter.text(title(text))),
        "swapcase" => {
            none_given(given)?;
            let mut swapped = String::new();
            for letter in text.chars() {
                match letter.is_uppercase() {
                    true => swapped.extend(letter.to_lowercase()),
                    false => swapped.extend(letter.to_uppercase()),
                }
            }
            meter.text(swapped)
        }
        "strip" | "lstrip" | "rstrip" => {
            let [letters] = given.bind(name, ["chars"], 0)?;
            meter.text(strip(
                text,
                letters.as_ref(),
                (name != "rstrip", name != "lstrip"),
            )?)
        }
        "split" | "rsplit" => {
            let [separator, most] = given.bind(name, ["sep", "maxsplit"], 0)?;
            let separator = match &separator {
                None | Some(Value::None) => None,
                Some(separator) => Some(text_of(separator, name)?),
            };
            let most = usize::try_from(int_or(most, -1, name)?).unwrap_or(usize::MAX);
            meter.list(texts(split(
                text,
                separator.as_deref(),
                most,
                name == "rsplit",
            )?)?)
        }
        "splitlines" => {
            let [keep] = given.bind(name, ["keepends"], 0)?;
            meter.list(texts(split_lines(
                text,
                keep.is_some_and(|keep| keep.truth()),
            ))?)
        }
        "partition" | "rpartition" => {
            let [separator] = given.bind(name, ["sep"], 1)?;
            let separator = text_of(&separator.unwrap_or(Value::None), name)?;
            if separator.is_empty() {
                return Err(Error::operation("empty separator"));
            }
            let parts = match name {
                "partition" => text.split_once(&*separator),
                _ => text.rsplit_once(&*separator),
            };
            let parts = match (parts, name) {
                (Some((before, after)), _) => vec![before, &separator, after],
                (None, "partition") => vec![text, "", ""],
                (None, _) => vec!["", "", text],
            };
            meter.tuple(texts(parts)?)
        }
        "startswith" | "endswith" => {
            let [affix, start, end] = given.bind(name, ["prefix", "start", "end"], 1)?;
            let (_, text) = within(text, start, end)?;
            let affixes = match affix.unwrap_or(Value::None) {
                Value::Tuple(list) => list.items.clone(),
                one => vec![one],
            };
            for affix in affixes {
                let affix = text_of(&affix, name)?;
                if name == "startswith" && text.starts_with(&*affix)
                    || name == "endswith" && text.ends_with(&*affix)
                {
                    return Ok(Value::Bool(true));
                }
            }
            Ok(Value::Bool(false))
        }
        "removeprefix" | "removesuffix" => {
            let [affix] = given.bind(name, ["prefix"], 1)?;
            let affix = text_of(&affix.unwrap_or(Value::None), name)?;
            let rest = match name {
                "removeprefix" => text.strip_prefix(&*affix),
                _ => text.strip_suffix(&*affix),
            };
            meter.text(rest.unwrap_or(text))
        }
        "find" | "rfind" | "index" | "rindex" | "count" => {
            let [part, start, end] = given.bind(name, ["sub", "start", "end"], 1)?;
            let part = text_of(&part.unwrap_or(Value::None), name)?;
            let (offset, text) = within(text, start, end)?;
            if name == "count" {
                return Ok(Value::Int(match part.is_empty() {
                    true => text.chars().count() as i128 + 1,
                    false => text.matches(&*part).count() as i128,
                }));
            }
            let found = match name.starts_with('r') {
                true => text.rfind(&*part),
                false => text.find(&*part),
            };
            match found {
                Some(at) => Ok(Value::Int((offset + text[..at].chars().count()) as i128)),
                None if name.ends_with("find") => Ok(Value::Int(-1)),
                None => Err(Error::operation("substring not found")),
            }
        }
        "replace" => {
            let [old, new, count] = given.bind(name, ["old", "new", "count"], 2)?;
            let (old, new) = (
                text_of(&old.unwrap_or(Value::None), name)?,
                text_of(&new.unwrap_or(Value::None), name)?,
            );
            let count = usize::try_from(int_or(count, -1, name)?).unwrap_or(usize::MAX);
            replace(text, &old, &new, count, meter)
        }
        "join" => {
            let [items] = given.bind(name, ["iterable"], 1)?;
            let mut joined = String::new();
            for (index, item) in items
                .unwrap_or(Value::None)
                .items(meter)?
                .iter()
                .enumerate()
            {
                let part = text_of(item, "join")?;
                meter.charge(text.len() + part.len())?;
                joined.push_str(if index > 0 { text } else { "" });
                joined.push_str(&part);
            }
            Ok(Value::text(joined))
        }
        "center" | "ljust" | "rjust" | "zfill" => {
            let [width, fill] = given.bind(name, ["width", "fillchar"], 1)?;
            let fill = match fill {
                None if name == "zfill" => "0".into(),
                None => " ".into(),
                Some(fill) => text_of(&fill, name)?,
            };
            if fill.chars().count() != 1 {
                return Err(Error::operation(
                    "The fill character must be exactly one character long",
                ));
            }
            let width = usize::try_from(int_or(width, 0, name)?).unwrap_or(0);
            let missing = width.saturating_sub(text.chars().count());
            meter.charge_times(fill.len(), missing)?;
            let fill = |count: usize| fill.repeat(count);
            meter.text(match name {
                "center" => {
                    // As CPython divides what is odd.
                    let left = missing / 2 + (missing & width & 1);
                    format!("{}{text}{}", fill(left), fill(missing - left))
                }
                "ljust" => format!("{text}{}", fill(missing)),
                "rjust" => format!("{}{text}", fill(missing)),
                _ => {
                    let (sign, digits) = text.split_at(usize::from(text.starts_with(['-', '+'])));
                    format!("{sign}{}{digits}", fill(missing))
                }
            })
        }
        "expandtabs" => {
            let [size] = given.bind(name, ["tabsize"], 0)?;
            let size = usize::try_from(int_or(size, 8, name)?).unwrap_or(0);
            meter.charge_times(size, text.matches('\t').count())?;
            let (mut expanded, mut column) = (String::new(), 0);
            for letter in text.chars() {
                match letter {
                    '\t' => {
                        let missing = column_gap(column, size);
                        expanded.extend(std::iter::repeat_n(' ', missing));
                        column += missing;
                    }
                    letter => {
                        expanded.push(letter);
                        column = if letter == '\n' || letter == '\r' {
                            0
                        } else {
                            column + 1
                        };
                    }
                }
            }
            meter.text(expanded)
        }
        "format" => {
            let mut next = 0;
            let mut field = |path: &str| field(path, &given, &mut next, meter);
            meter.text(format_fields(text, &mut field, meter)?)
        }
        "format_map" => {
            let [map] = given.bind(name, ["mapping"], 1)?;
            let map = map.unwrap_or(Value::None);
            let named = match &map {
                Value::Dict(dict) => dict.entries.values(),
                _ => return Err(Error::operation("format_map requires a mapping")),
            };
            let named =
                named.filter_map(|(key, value)| Some((key.as_text()?.clone(), value.clone())));
            let given = Given {
                positional: Vec::new(),
                named: named.collect(),
            };
            let mut field = |path: &str| field(path, &given, &mut 0, meter);
            meter.text(format_fields(text, &mut field, meter)?)
        }
        "isspace" => every(given, &python_space, false),
        "isalpha" => every(
            given,
            &|letter| letter.is_alphabetic() && !is_mark_or_number(letter),
            false,
        ),
        "isdigit" => every(
            given,
            &|letter| letter.is_ascii_digit() || digit_value(letter),
            false,
        ),
        "isdecimal" => every(given, &|letter| decimal(letter), false),
        "isnumeric" => every(given, &char::is_numeric, false),
        "isalnum" => every(
            given,
            &|letter| letter.is_alphanumeric() && !combining(letter),
            false,
        ),
        "isascii" => every(given, &|letter| letter.is_ascii(), true),
        "isprintable" => every(given, &super::value::printable, true),
        "islower" => cases(given, char::is_lowercase, char::is_uppercase),
        "isupper" => cases(given, char::is_uppercase, char::is_lowercase),
        "istitle" => {
            none_given(given).map(|_| Value::Bool(text.chars().any(cased) && title(text) == **text))
        }
        "isidentifier" => {
            none_given(given)?;
            let starts = text.starts_with(|letter: char| letter == '_' || letter.is_alphabetic());
            Ok(Value::Bool(
                starts
                    && text
                        .chars()
                        .all(|letter| letter == '_' || letter.is_alphanumeric()),
            ))
        }
        _ => Err(Error::operation(format!(
            "str.{name} is not supported in chat templates"
        ))),
    }
}

fn column_gap(column: usize, size: usize) -> usize {
    if size == 0 { 0 } else { size - column % size }
}

/// Rust counts letters that stand for numbers, and marks that join letters, as alphabetic; Python does not.
fn is_mark_or_number(letter: char) -> bool {
    letter.is_numeric() || combining(letter)
}

fn combining(letter: char) -> bool {
    // Alphabetic marks: what joins the letter before it is escaped only where it stands alone.
    !letter.is_ascii() && letter.escape_debug().count() > 1 && super::value::printable(letter)
}

/// Digits of any script.
fn decimal(letter: char) -> bool {
    letter.is_ascii_digit()
        || [
            0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66,
            0xde6, 0xe50, 0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0xff10,
        ]
        .iter()
        .any(|zero| (*zero..zero + 10).contains(&u32::from(letter)))
}

/// Digits of any script, raised ones and those in circles among them.
fn digit_value(letter: char) -> bool {
    decimal(letter)
        || matches!(letter, '²' | '³' | '¹' | '\u{2070}' | '\u{2074}'..='\u{2079}' | '\u{2080}'..='\u{2089}' | '\u{2460}'..='\u{2468}')
}

/// `text.replace(old, new, count)`
pub(super) fn replace(
    text: &str,
    old: &str,
    new: &str,
    count: usize,
    meter: &Meter,
) -> Result<Value> {
    let found = match old.is_empty() {
        true => text.chars().count() + 1,
        false => text.matches(old).count(),
    };
    meter.charge(text.len())?;
    meter.charge_times(new.len(), found.min(count))?;
    Ok(Value::text(text.replacen(old, new, count)))
}

/// A field of `str.format`: a name or place, and what is asked of it.
fn field(path: &str, given: &Given, next: &mut usize, meter: &Meter) -> Result<Value> {
    let end = path.find(['.', '[']).unwrap_or(path.len());
    let (first, mut rest) = path.split_at(end);
    let place = match first.is_empty() {
        true => {
            *next += 1;
            Some(*next - 1)
        }
        false => first.parse().ok(),
    };
    let mut value = match place {
        Some(place) => given.positional.get(place).cloned().ok_or_else(|| {
            Error::operation(format!(
                "Replacement index {place} out of range for positional args tuple"
            ))
        })?,
        None => {
            let named = given.named.iter().find(|(name, _)| **name == *first);
            named
                .map(|(_, value)| value.clone())
                .ok_or_else(|| Error::operation(format!("KeyError: '{first}'")))?
        }
    };
    while !rest.is_empty() {
        let malformed = || Error::operation("a field of the format string is malformed");
        value = if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let (name, left) = after.split_at(end);
            rest = left;
            attribute(&value, &name.into(), meter)?
        } else {
            let after = rest.strip_prefix('[').ok_or_else(malformed)?;
            let (key, left) = after.split_once(']').ok_or_else(malformed)?;
            rest = left;
            let key = match key.parse() {
                Ok(number) => Value::Int(number),
                Err(_) => Value::text(key),
            };
            item(&value, &key, meter)?
        };
    }
    Ok(value)
}
