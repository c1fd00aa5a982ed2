//! Keys of one value: numbers, truth values, texts, and choices among words.

use serde_json::{Value as Json, json};

use super::words::{NUMBER, WHOLE, as_float, as_whole};
use super::{Keys, Need, Node, Value, Within};

impl Keys<'_> {
    /// A number within `range`; whole numbers are taken too, infinities and NaN never.
    pub fn float(
        &mut self,
        key: &str,
        default: impl Into<Option<f64>>,
        range: impl Into<Within<f64>>,
    ) -> f64 {
        let range = range.into();
        self.number(key, default.into().into(), &range)
            .unwrap_or(range.low())
    }

    /// A number within `range`, or nothing.
    pub fn optional_float(&mut self, key: &str, range: impl Into<Within<f64>>) -> Option<f64> {
        self.number(key, Need::Optional, &range.into())
    }

    fn number(&mut self, key: &str, need: Need<f64>, range: &Within<f64>) -> Option<f64> {
        self.ends = Some(range.ends());
        self.read(key, need, &range.words(NUMBER), |node| {
            as_float(node, range)
        })
    }

    /// A count within `range`.
    pub fn usize(
        &mut self,
        key: &str,
        default: impl Into<Option<usize>>,
        range: impl Into<Within<usize>>,
    ) -> usize {
        let range = range.into();
        self.whole(key, default.into().into(), &range)
            .unwrap_or(range.low())
    }

    /// A count within `range`, or nothing.
    pub fn optional_usize(&mut self, key: &str, range: impl Into<Within<usize>>) -> Option<usize> {
        self.whole(key, Need::Optional, &range.into())
    }

    fn whole(&mut self, key: &str, need: Need<usize>, range: &Within<usize>) -> Option<usize> {
        self.ends = Some(range.ends());
        self.read(key, need, &range.words(WHOLE), |node| as_whole(node, range))
    }

    /// `true` or `false`.
    pub fn bool(&mut self, key: &str, default: impl Into<Option<bool>>) -> bool {
        self.flag(key, default.into().into()).unwrap_or_default()
    }

    /// `true`, `false` or nothing.
    pub fn optional_bool(&mut self, key: &str) -> Option<bool> {
        self.flag(key, Need::Optional)
    }

    fn flag(&mut self, key: &str, need: Need<bool>) -> Option<bool> {
        self.read(key, need, "true or false", |node| match node.value {
            Value::Bool(value) => Some(value),
            _ => None,
        })
    }

    /// A string; `None` as the default makes it required.
    pub fn string<'d>(&mut self, key: &str, default: impl Into<Option<&'d str>>) -> String {
        let need = default.into().map(str::to_string).into();
        self.text(key, need).unwrap_or_default()
    }

    fn text(&mut self, key: &str, need: Need<String>) -> Option<String> {
        self.read(key, need, "a string", |node| {
            node.as_str().map(str::to_string)
        })
    }

    /// One of a few words.
    pub fn choice(
        &mut self,
        key: &str,
        default: impl Into<Option<&'static str>>,
        options: &[&'static str],
    ) -> &'static str {
        let pairs: Vec<_> = options.iter().map(|name| (*name, *name)).collect();
        self.one_of(key, default, &pairs)
    }

    /// One of a few words, each standing for a value of `T`. There must be at least one.
    pub fn one_of<T: Copy>(
        &mut self,
        key: &str,
        default: impl Into<Option<&'static str>>,
        options: &[(&'static str, T)],
    ) -> T {
        let need = default.into().map(str::to_string).into();
        self.word(key, need, options).unwrap_or(options[0].1)
    }

    /// One of a few words, each standing for a value of `T`, or nothing.
    pub fn optional_one_of<T: Copy>(
        &mut self,
        key: &str,
        options: &[(&'static str, T)],
    ) -> Option<T> {
        self.word(key, Need::Optional, options)
    }

    fn word<T: Copy>(
        &mut self,
        key: &str,
        need: Need<String>,
        options: &[(&'static str, T)],
    ) -> Option<T> {
        let words: Vec<String> = options
            .iter()
            .map(|(name, _)| format!("\"{name}\""))
            .collect();
        let expected = match words.as_slice() {
            [only] => only.clone(),
            words => format!("one of {}", words.join(", ")),
        };
        let index = |name: &str| options.iter().position(|option| option.0 == name);
        let chosen = self.read(key, need, &expected, |node| {
            node.as_str()
                .filter(|text| index(text).is_some())
                .map(str::to_string)
        });
        Some(options[index(&chosen?)?].1)
    }

    /// One of a few words, or a list of some of them that is not empty.
    pub fn one_or_more(
        &mut self,
        key: &str,
        default: &'static str,
        options: &[&'static str],
    ) -> Vec<&'static str> {
        let word = |node: &Node| {
            let text = node.as_str()?;
            options.iter().copied().find(|&option| option == text)
        };
        let words: Vec<String> = options.iter().map(|name| format!("\"{name}\"")).collect();
        let expected = format!("one of {}, or a list of them", words.join(", "));
        let mut chosen = vec![default];
        self.read(
            key,
            Need::Default(Json::from(default)),
            &expected,
            |node| match &node.value {
                Value::Array(items) => {
                    chosen = items.iter().map(word).collect::<Option<Vec<_>>>()?;
                    (!chosen.is_empty()).then(|| json!(chosen))
                }
                _ => {
                    chosen = vec![word(node)?];
                    Some(json!(chosen[0]))
                }
            },
        );
        if chosen.is_empty() {
            chosen.push(default);
        }
        chosen
    }
}
