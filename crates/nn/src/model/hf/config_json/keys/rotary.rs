//! Keys of rotary positions, in both spellings: `rope_theta` with `rope_scaling`, and `rope_parameters` (transformers 5).

use serde_json::{Map, Value};

use super::Keys;
use crate::model::config::{DecoderConfig, Positions, Rotary, RotaryScaling};

/// What a family calls its rotary settings, and what it takes of them.
pub(crate) struct RotaryKeys {
    pub(crate) theta: &'static str,
    /// The key and the default of the share of a head that is turned, where it may be a part.
    pub(crate) partial: Option<(&'static str, f64)>,
    /// Where LongRoPE is the only scaling: the default of the length trained on, which stands outside the table.
    pub(crate) long_only: Option<usize>,
}

impl Default for RotaryKeys {
    fn default() -> Self {
        Self {
            theta: "rope_theta",
            partial: None,
            long_only: None,
        }
    }
}

/// What a table is read with.
struct Outside<'a> {
    config: &'a DecoderConfig,
    theta: f64,
    /// The length trained on, where it stands outside the table.
    original: Option<usize>,
    /// The share of a head where it is no key of the table; nothing where heads are turned whole.
    partial: Option<f64>,
    long_only: bool,
}

impl<'a> Keys<'a> {
    /// Rotary settings from `rope_scaling`, else `rope_parameters`, with what may stand beside or inside.
    pub(crate) fn rotary(&mut self, config: &mut DecoderConfig, own: RotaryKeys) {
        let theta = self.number(own.theta, config.family.traits().defaults.rope_theta);
        let original = self.optional_size("original_max_position_embeddings", own.long_only);
        let partial = own.partial.map(|(key, default)| self.number(key, default));
        let outside = Outside {
            config,
            theta,
            original,
            partial,
            long_only: own.long_only.is_some(),
        };
        let rotary = match self.rotary_table_given() {
            Some((name, table)) => {
                if own.partial.is_none() && !table.contains_key(PARTIAL) {
                    self.whole_head(scaled(table));
                }
                self.inside(name, table, &outside)
            }
            None => {
                if own.partial.is_none() {
                    self.whole_head(false);
                }
                Rotary {
                    partial: partial.unwrap_or(1.0),
                    ..Rotary::plain(theta)
                }
            }
        };
        config.positions = Positions::Rotary(rotary);
    }

    /// Rotary settings of two sorts of layers: the name of each, the key of its base in the older spelling, and the
    /// default of that. In the older spelling only the first sort has a scaling.
    pub(crate) fn rotary_by_layer(
        &mut self,
        config: &DecoderConfig,
        sorts: [(&str, &str, f64); 2],
    ) -> [Rotary; 2] {
        let whole = Map::new();
        let given = self.table("rope_parameters").unwrap_or(&whole);
        if let Some(other) = given
            .keys()
            .find(|key| sorts.iter().all(|sort| sort.0 != *key))
        {
            let message = format!("expected tables {} and {}", sorts[0].0, sorts[1].0);
            self.problem(&format!("rope_parameters.{other}"), message);
        }
        let older = self.table("rope_scaling");
        let mut first = true;
        sorts.map(|(sort, key, default)| {
            let outside = Outside {
                config,
                theta: self.number(key, default),
                original: None,
                partial: None,
                long_only: false,
            };
            let mut table = match given.get(sort) {
                None | Some(Value::Null) => Map::new(),
                Some(Value::Object(table)) => table.clone(),
                Some(other) => {
                    let message = format!("expected a table or null, not {other}");
                    self.problem(&format!("rope_parameters.{sort}"), message);
                    Map::new()
                }
            };
            if std::mem::take(&mut first) {
                table.extend(
                    older
                        .into_iter()
                        .flatten()
                        .map(|(key, value)| (key.clone(), value.clone())),
                );
            }
            if table.get("truncate") == Some(&Value::Bool(false)) {
                // transformers looks for the key outside these tables, and takes its default.
                let message = "false is not supported in settings that differ by layer".to_owned();
                self.problem(&format!("rope_parameters.{sort}.truncate"), message);
            }
            self.inside(&format!("rope_parameters.{sort}"), &table, &outside)
        })
    }

    /// The table of rotary settings, and its name.
    fn rotary_table_given(&mut self) -> Option<(&'static str, &'a Map<String, Value>)> {
        let tables = ["rope_scaling", "rope_parameters"].map(|name| (name, self.table(name)));
        match tables {
            [(name, Some(table)), _] | [_, (name, Some(table))] => Some((name, table)),
            _ => None,
        }
    }

    fn inside(&mut self, name: &str, table: &Map<String, Value>, outside: &Outside<'_>) -> Rotary {
        let mut inner = Keys {
            map: table,
            problems: Vec::new(),
            notes: Vec::new(),
        };
        let rotary = inner.rotary_inside(outside);
        let (problems, notes) = (inner.problems, inner.notes);
        self.take(name, problems, notes);
        rotary
    }

    /// Takes over what was found in a table of that name.
    fn take(&mut self, name: &str, problems: Vec<String>, notes: Vec<String>) {
        let named = |text: String| format!("{name}.{text}");
        self.problems.extend(problems.into_iter().map(named));
        self.notes.extend(notes.into_iter().map(named));
    }

    /// The settings that these keys are.
    fn rotary_inside(&mut self, outside: &Outside<'_>) -> Rotary {
        if self.map.values().any(Value::is_object) {
            self.problem(
                "rope_type",
                "settings that differ by layer are not supported".into(),
            );
        }
        let theta = self.number("rope_theta", outside.theta);
        let partial = match outside.partial {
            Some(outer) => self.number(PARTIAL, outer),
            None => {
                if self.map.contains_key(PARTIAL) {
                    self.whole_head(scaled(self.map));
                }
                1.0
            }
        };
        let rotary = Rotary {
            theta,
            partial,
            scaling: None,
        };
        let frequencies = rotary.dims(outside.config.head_dim) / 2;
        Rotary {
            scaling: self.scaling(outside, frequencies),
            ..rotary
        }
    }

    fn scaling(&mut self, outside: &Outside<'_>, frequencies: usize) -> Option<RotaryScaling> {
        let legacy = self.text("type", "default");
        let mut kind = self.text("rope_type", &legacy);
        if outside.long_only {
            match kind.as_str() {
                "su" | "yarn" => kind = "longrope".into(),
                "default" | "longrope" => {}
                other => {
                    let message =
                        format!("{other:?} is not supported; expected default or longrope");
                    self.problem("rope_type", message);
                    return None;
                }
            }
        }
        let longest = outside.config.max_positions;
        // Outside the table it goes before the one inside, in transformers too.
        let original = |keys: &mut Self| {
            let inside = keys.size("original_max_position_embeddings", longest);
            outside.original.unwrap_or(inside)
        };
        // What the factor stands for.
        let ratio = |original: usize| longest as f64 / original as f64;
        match kind.as_str() {
            "default" => None,
            "linear" => Some(RotaryScaling::Linear {
                factor: self.required("factor"),
            }),
            "dynamic" => Some(RotaryScaling::Dynamic {
                factor: self.required("factor"),
            }),
            "llama3" => Some(RotaryScaling::Llama3 {
                factor: self.required("factor"),
                low_freq_factor: self.required("low_freq_factor"),
                high_freq_factor: self.required("high_freq_factor"),
                original_max_position_embeddings: original(self),
            }),
            "yarn" => {
                let original = original(self);
                let factor = match self.map.get("factor") {
                    Some(Value::Null) => ratio(original),
                    _ => self.required("factor"),
                };
                let turns = |given: Option<f64>, default| match given {
                    None | Some(0.0) => default,
                    Some(given) => given,
                };
                Some(RotaryScaling::Yarn {
                    factor,
                    original_max_position_embeddings: original,
                    attention_factor: self.optional_number("attention_factor"),
                    beta_fast: turns(self.optional_number("beta_fast"), 32.0),
                    beta_slow: turns(self.optional_number("beta_slow"), 1.0),
                    mscale: self.optional_number("mscale"),
                    mscale_all_dim: self.optional_number("mscale_all_dim"),
                    truncate: self.flag("truncate", true),
                })
            }
            "longrope" => {
                let original = original(self);
                Some(RotaryScaling::LongRope {
                    short_factor: self.numbers("short_factor", frequencies),
                    long_factor: self.numbers("long_factor", frequencies),
                    factor: self.optional_number("factor").unwrap_or(ratio(original)),
                    original_max_position_embeddings: original,
                    attention_factor: self.optional_number("attention_factor"),
                })
            }
            other => {
                self.problem(
                    "rope_type",
                    format!(
                        "{other:?} is not supported; expected default, linear, dynamic, yarn, llama3 or longrope"
                    ),
                );
                None
            }
        }
    }

    /// Reads the share of a head that is rotated in a family that rotates heads whole: transformers does not look at the
    /// key without a scaling, and fails on it with one.
    fn whole_head(&mut self, scaled: bool) {
        let partial = self.number(PARTIAL, 1.0);
        if partial == 1.0 {
        } else if scaled {
            self.problem(
                PARTIAL,
                format!("{partial} is not supported; heads are rotated whole (1.0)"),
            );
        } else {
            self.notes.push(format!(
                "{PARTIAL}: {partial} does nothing in this family: heads are rotated whole, as in transformers"
            ));
        }
    }
}

const PARTIAL: &str = "partial_rotary_factor";

/// Whether a table asks for a scaling.
fn scaled(table: &Map<String, Value>) -> bool {
    let kind = table.get("rope_type").or_else(|| table.get("type"));
    kind.is_some_and(|kind| kind != "default")
}
