//! The typed reading of `config.json`'s keys; what is wrong is gathered, not thrown.

use serde_json::{Map, Value};

use crate::model::config::{DecoderConfig, Positions, Problem, RotaryScaling, ScoreHead};
use crate::model::family::Window;

/// Reads keys and gathers what is wrong with them.
pub(super) struct Keys<'a> {
    pub(super) map: &'a Map<String, Value>,
    pub(super) problems: Vec<String>,
    /// Remarks on keys that do not do what they say, in transformers either.
    pub(super) notes: Vec<String>,
}

impl<'a> Keys<'a> {
    pub(super) fn problem(&mut self, key: &str, message: String) {
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

    pub(super) fn size(&mut self, key: &str, default: usize) -> usize {
        self.typed(key, default, "a whole number of at least 1", as_size)
    }

    /// As [`size`](Self::size), where JSON's `null` says "derive it from the others".
    pub(super) fn optional_size(&mut self, key: &str, default: Option<usize>) -> Option<usize> {
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

    pub(super) fn number(&mut self, key: &str, default: f64) -> f64 {
        self.typed(key, default, "a number", Value::as_f64)
    }

    pub(super) fn text(&mut self, key: &str, default: &str) -> String {
        self.typed(key, default.to_string(), "a string", |value| {
            value.as_str().map(String::from)
        })
    }

    pub(super) fn flag(&mut self, key: &str, default: bool) -> bool {
        self.typed(key, default, "true or false", Value::as_bool)
    }

    /// A switch of which we support one setting only.
    pub(super) fn only_bool(&mut self, key: &str, supported: bool) {
        if self.flag(key, supported) != supported {
            self.problem(
                key,
                format!("{} is not supported; only {supported} is", !supported),
            );
        }
    }

    /// A key that must be absent or null.
    pub(super) fn refuse(&mut self, key: &str, why: &str) {
        if self.map.get(key).is_some_and(|value| !value.is_null()) {
            self.problem(key, format!("not supported ({why})"));
        }
    }

    pub(super) fn special_tokens(
        &mut self,
        config: &mut DecoderConfig,
        bos: Option<u32>,
        eos: Option<u32>,
    ) {
        // A small model may leave the family's own ids, which lie outside its vocabulary, unsaid.
        let known = |id: &u32| (*id as usize) < config.vocab_size;
        let (bos, eos) = (bos.filter(known), eos.filter(known));
        let expected = "a token id or null";
        config.bos = self.typed("bos_token_id", bos, expected, as_optional_id);
        config.pad = self.typed("pad_token_id", None, expected, as_optional_id);
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
    pub(super) fn score(&mut self) -> Option<ScoreHead> {
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

    /// Rotary settings from `rope_parameters`, else `rope_scaling`, with `rope_theta` beside or inside.
    pub(super) fn rotary(&mut self, max_positions: usize) -> Positions {
        let outer_theta = self.number("rope_theta", 10_000.0);
        let outer_original = self.optional_size("original_max_position_embeddings", None);
        let tables = ["rope_scaling", "rope_parameters"].map(|name| (name, self.table(name)));
        let ([(name, Some(table)), _] | [_, (name, Some(table))]) = tables else {
            self.whole_head(false);
            return Positions::Rotary {
                theta: outer_theta,
                scaling: None,
            };
        };
        let mut inner = Keys {
            map: table,
            problems: Vec::new(),
            notes: Vec::new(),
        };
        let theta = inner.number("rope_theta", outer_theta);
        let legacy = inner.text("type", "default");
        let kind = inner.text("rope_type", &legacy);
        let scaling = match kind.as_str() {
            "default" => None,
            "linear" => Some(RotaryScaling::Linear {
                factor: inner.required("factor"),
            }),
            "llama3" => Some(RotaryScaling::Llama3 {
                factor: inner.required("factor"),
                low_freq_factor: inner.required("low_freq_factor"),
                high_freq_factor: inner.required("high_freq_factor"),
                // Outside the table it goes before the one inside, in transformers too.
                original_max_position_embeddings: outer_original
                    .unwrap_or(inner.size("original_max_position_embeddings", max_positions)),
            }),
            other => {
                inner.problem(
                    "rope_type",
                    format!("{other:?} is not supported; expected default, linear or llama3"),
                );
                None
            }
        };
        match table.contains_key("partial_rotary_factor") {
            true => inner.whole_head(scaling.is_some()),
            false => self.whole_head(scaling.is_some()),
        }
        if table.values().any(Value::is_object) {
            inner.problem(
                "rope_type",
                "settings that differ by layer are not supported".into(),
            );
        }
        self.problems.extend(
            inner
                .problems
                .into_iter()
                .map(|text| format!("{name}.{text}")),
        );
        let notes = inner.notes.into_iter();
        self.notes
            .extend(notes.map(|text| format!("{name}.{text}")));
        Positions::Rotary { theta, scaling }
    }

    /// Reads the share of a head that is rotated. These families rotate heads whole: transformers does not
    /// look at the key without a scaling, and fails on it with one.
    fn whole_head(&mut self, scaled: bool) {
        let key = "partial_rotary_factor";
        let partial = self.number(key, 1.0);
        if partial == 1.0 {
        } else if scaled {
            self.problem(
                key,
                format!("{partial} is not supported; heads are rotated whole (1.0)"),
            );
        } else {
            self.notes.push(format!(
                "{key}: {partial} does nothing in this family: heads are rotated whole, as in transformers"
            ));
        }
    }

    fn required(&mut self, key: &str) -> f64 {
        if !self.map.contains_key(key) {
            self.problem(key, "missing; expected a number".into());
        }
        self.number(key, 1.0)
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

    /// The window of all layers, `None` for full attention.
    pub(super) fn window(&mut self, kind: Window, layers: usize) -> Option<usize> {
        let window = match kind {
            // transformers does not read the key there; what it holds must be a size all the same.
            Window::Never => self.optional_size("sliding_window", None).and(None),
            Window::Key(default) => self.optional_size("sliding_window", Some(default)),
            Window::Flag(default) => {
                let used = self.flag("use_sliding_window", false);
                let default = used.then_some(default);
                self.optional_size("sliding_window", default)
                    .filter(|_| used)
            }
        };
        let sliding = match self.map.get("layer_types") {
            Some(Value::Array(types)) => {
                let known = ["full_attention", "sliding_attention"];
                for other in types
                    .iter()
                    .filter(|kind| !known.iter().any(|known| *kind == known))
                {
                    self.problem(
                        "layer_types",
                        format!(
                            "{other} is not supported; expected full_attention or sliding_attention"
                        ),
                    );
                }
                if types.len() != layers {
                    let message = format!("{} entries for {layers} layers", types.len());
                    self.problem("layer_types", message);
                }
                types
                    .iter()
                    .filter(|kind| *kind == "sliding_attention")
                    .count()
            }
            _ if window.is_none() => 0,
            _ if matches!(kind, Window::Flag(_)) => {
                let first = self.typed("max_window_layers", 28, "a whole number", |value| {
                    value.as_u64().map(|first| first as usize)
                });
                layers.saturating_sub(first)
            }
            _ => layers,
        };
        if sliding == 0 {
            return None;
        }
        if sliding < layers {
            let key = if self.map.contains_key("layer_types") {
                "layer_types"
            } else {
                "max_window_layers"
            };
            self.problem(key, format!("{sliding} of {layers} layers have a sliding window; only all or none is supported"));
        } else if window.is_none() {
            self.problem(
                "layer_types",
                "sliding_attention needs a sliding_window".into(),
            );
        }
        window
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
