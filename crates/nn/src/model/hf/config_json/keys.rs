//! The typed reading of `config.json`'s keys; what is wrong is gathered, not thrown.

mod layers;
mod rotary;

use serde_json::{Map, Value};

use crate::model::config::{Activation, DecoderConfig, Problem, ScoreHead};

pub(crate) use self::rotary::RotaryKeys;

/// Reads keys and gathers what is wrong with them.
pub(crate) struct Keys<'a> {
    pub(crate) map: &'a Map<String, Value>,
    pub(crate) problems: Vec<String>,
    /// Remarks on keys that do not do what they say, in transformers either.
    pub(crate) notes: Vec<String>,
}

impl<'a> Keys<'a> {
    pub(crate) fn problem(&mut self, key: &str, message: String) {
        self.problems.push(format!("{key}: {message}"));
    }

    /// A value of the expected type, `default` if absent or (after a report) of another type.
    fn typed<T>(
        &mut self,
        key: &str,
        default: T,
        expected: &str,
        convert: impl Fn(&Value) -> Option<T>,
    ) -> T {
        match self.map.get(key) {
            None => default,
            Some(value) => convert(value).unwrap_or_else(|| {
                self.problem(key, format!("expected {expected}, not {value}"));
                default
            }),
        }
    }

    pub(crate) fn size(&mut self, key: &str, default: usize) -> usize {
        self.typed(key, default, "a whole number of at least 1", as_size)
    }

    /// As [`size`](Self::size), where JSON's `null` says "derive it from the others".
    pub(crate) fn optional_size(&mut self, key: &str, default: Option<usize>) -> Option<usize> {
        self.typed(
            key,
            default,
            "a whole number of at least 1 or null",
            |value| {
                if value.is_null() {
                    Some(None)
                } else {
                    as_size(value).map(Some)
                }
            },
        )
    }

    pub(crate) fn number(&mut self, key: &str, default: f64) -> f64 {
        self.typed(key, default, "a number", Value::as_f64)
    }

    pub(crate) fn text(&mut self, key: &str, default: &str) -> String {
        self.typed(key, default.to_string(), "a string", |value| {
            value.as_str().map(String::from)
        })
    }

    pub(crate) fn flag(&mut self, key: &str, default: bool) -> bool {
        self.typed(key, default, "true or false", Value::as_bool)
    }

    /// A switch of which we support one setting only.
    pub(crate) fn only_bool(&mut self, key: &str, supported: bool) {
        if self.flag(key, supported) != supported {
            self.problem(
                key,
                format!("{} is not supported; only {supported} is", !supported),
            );
        }
    }

    /// As [`only_bool`](Self::only_bool), where `null` says nothing.
    pub(crate) fn only_bool_or_null(&mut self, key: &str, supported: bool) {
        if self.map.get(key) != Some(&Value::Null) {
            self.only_bool(key, supported);
        }
    }

    /// A key that must be absent or null.
    pub(crate) fn refuse(&mut self, key: &str, why: &str) {
        if self.map.get(key).is_some_and(|value| !value.is_null()) {
            self.problem(key, format!("not supported ({why})"));
        }
    }

    pub(crate) fn special_tokens(
        &mut self,
        config: &mut DecoderConfig,
        [bos, eos, pad]: [Option<u32>; 3],
    ) {
        // A small model may leave the family's own ids, which lie outside its vocabulary, unsaid.
        let known = |id: &u32| (*id as usize) < config.vocab_size;
        let [bos, eos, pad] = [bos, eos, pad].map(|id| id.filter(known));
        let expected = "a token id or null";
        config.bos = self.typed("bos_token_id", bos, expected, as_optional_id);
        config.pad = self.typed("pad_token_id", pad, expected, as_optional_id);
        let ends = self.typed(
            "eos_token_id",
            Vec::from_iter(eos),
            "a token id, a list of them, or null",
            |value| match value {
                Value::Array(ids) => ids.iter().map(as_id).collect(),
                _ => as_optional_id(value).map(Vec::from_iter),
            },
        );
        let mut ends = ends.into_iter();
        config.eos = ends.next();
        config.other_eos = ends.collect();
        // Some folders (old Llama conversions) mark "no padding token" with -1 or an id one past the
        // vocabulary. Padding is never computed here, so such an id is dropped, not refused.
        config.pad = config.pad.filter(|pad| (*pad as usize) < config.vocab_size);
    }

    /// The scoring head of a `ForSequenceClassification` folder. Without `id2label` it has two outputs, as
    /// in transformers.
    pub(crate) fn score(&mut self) -> Option<ScoreHead> {
        let classes = self.map.get("architectures").and_then(Value::as_array);
        let named = |class: &Value| {
            let class = class.as_str();
            class.is_some_and(|class| class.ends_with("ForSequenceClassification"))
        };
        if !classes.is_some_and(|classes| classes.iter().any(named)) {
            return None;
        }
        let default = ["LABEL_0", "LABEL_1"].map(String::from).to_vec();
        let labels = self.typed(
            "id2label",
            default,
            "a name for each id from 0 on",
            |value| {
                let names = value.as_object()?;
                let name = |id: usize| names.get(&id.to_string())?.as_str().map(String::from);
                (0..names.len()).map(name).collect()
            },
        );
        let problem = if labels.len() > 1 {
            "single_label_classification"
        } else {
            "regression"
        };
        let problem = self.typed(
            "problem_type",
            problem.to_owned(),
            "a string or null",
            |value| match value {
                Value::Null => Some(problem.to_owned()),
                value => value.as_str().map(String::from),
            },
        );
        let problem = match problem.as_str() {
            "regression" => Problem::Regression,
            "single_label_classification" => Problem::SingleLabelClassification,
            other => {
                self.problem(
                    "problem_type",
                    format!("{other:?} is not supported; expected regression or single_label_classification"),
                );
                Problem::Regression
            }
        };
        let mut numbers = |key: &str, default: f64| {
            let expected = format!("{} numbers, one a label", labels.len());
            let all = |value: &Value| -> Option<Vec<f64>> {
                let values = value.as_array()?.iter().map(Value::as_f64);
                values
                    .collect::<Option<Vec<_>>>()
                    .filter(|it| it.len() == labels.len())
            };
            self.typed(key, vec![default; labels.len()], &expected, all)
        };
        let (centre, scale) = (numbers("score_centre", 0.0), numbers("score_scale", 1.0));
        Some(ScoreHead {
            labels,
            problem,
            centre,
            scale,
        })
    }

    /// A number, or nothing where the key is absent or null.
    pub(crate) fn optional_number(&mut self, key: &str) -> Option<f64> {
        self.typed(key, None, "a number or null", |value| match value {
            Value::Null => Some(None),
            value => value.as_f64().map(Some),
        })
    }

    fn required(&mut self, key: &str) -> f64 {
        if !self.map.contains_key(key) {
            self.problem(key, "missing; expected a number".into());
        }
        self.number(key, 1.0)
    }

    /// A list of numbers that must be there.
    fn numbers(&mut self, key: &str, length: usize) -> Vec<f64> {
        if !self.map.contains_key(key) {
            let message = format!("missing; expected {length} numbers, one a frequency");
            self.problem(key, message);
        }
        let expected = format!("{length} numbers, one a frequency");
        self.typed(key, vec![1.0; length], &expected, |value| {
            let values = value.as_array()?.iter().map(Value::as_f64);
            let values = values.collect::<Option<Vec<_>>>()?;
            (values.len() == length).then_some(values)
        })
    }

    /// `cap` of a soft cap, `default` where it is absent.
    pub(crate) fn soft_cap(&mut self, key: &str, default: Option<f64>) -> Option<f64> {
        let expected = "a positive number or null";
        self.typed(key, default, expected, |value| match value {
            Value::Null => Some(None),
            value => value.as_f64().filter(|cap| *cap > 0.0).map(Some),
        })
    }

    /// The nonlinearity of a feed-forward layer by transformers' names, where `gated` of one half of it.
    pub(crate) fn activation(&mut self, key: &str, default: &str, gated: bool) -> Activation {
        let given = self.text(key, default);
        match (given.as_str(), gated) {
            ("silu" | "swish", true) => Activation::SwiGlu,
            ("gelu", true) => Activation::GeGlu,
            ("gelu_new" | "gelu_pytorch_tanh" | "gelu_fast", true) => Activation::GeGluTanh,
            ("gelu", false) => Activation::Gelu,
            ("gelu_new" | "gelu_pytorch_tanh" | "gelu_fast", false) => Activation::GeluTanh,
            (other, _) => {
                let silu = if gated { "silu, " } else { "" };
                let message = format!(
                    "{other:?} is not supported; expected {silu}gelu, gelu_new, gelu_pytorch_tanh or gelu_fast"
                );
                self.problem(key, message);
                Activation::GeluTanh
            }
        }
    }

    /// Biases on queries, keys, values and the attention's output, by one key.
    pub(crate) fn attention_bias(&mut self, config: &mut DecoderConfig) {
        let bias = self.flag("attention_bias", config.qkv_bias);
        (config.qkv_bias, config.out_bias) = (bias, bias);
    }

    /// Refuses mixtures of experts.
    pub(crate) fn no_experts(&mut self) {
        for key in ["num_experts", "num_local_experts"] {
            if self
                .optional_size(key, None)
                .is_some_and(|experts| experts > 1)
            {
                self.problem(key, "mixtures of experts are not supported".into());
            }
        }
    }

    /// A nested table; `null` and `{}` count as absent.
    fn table(&mut self, key: &str) -> Option<&'a Map<String, Value>> {
        match self.map.get(key) {
            None | Some(Value::Null) => None,
            Some(Value::Object(table)) => Some(table).filter(|table| !table.is_empty()),
            Some(other) => {
                self.problem(key, format!("expected a table or null, not {other}"));
                None
            }
        }
    }
}

/// Within 32 bits, so that no sum or product of a few sizes overflows before it is checked.
fn as_size(value: &Value) -> Option<usize> {
    as_id(value)
        .filter(|size| *size > 0)
        .map(|size| size as usize)
}

fn as_id(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|id| u32::try_from(id).ok())
}

fn as_optional_id(value: &Value) -> Option<Option<u32>> {
    if value.is_null() || value.as_i64() == Some(-1) {
        return Some(None);
    }
    as_id(value).map(Some)
}
