//! Keys that say what differs by layer.

use serde_json::Value;

use super::Keys;
use crate::model::config::DecoderConfig;

impl Keys<'_> {
    /// Which layers slide by `layer_types`, if it is there.
    pub(crate) fn layer_types(&mut self, layers: usize) -> Option<Vec<bool>> {
        let types = match self.map.get("layer_types")? {
            Value::Null => return None,
            Value::Array(types) => types,
            other => {
                self.problem(
                    "layer_types",
                    format!("expected a list or null, not {other}"),
                );
                return None;
            }
        };
        let known = ["full_attention", "sliding_attention"];
        for other in types {
            if !known.iter().any(|known| other == known) {
                let message = format!(
                    "{other} is not supported; expected full_attention or sliding_attention"
                );
                self.problem("layer_types", message);
            }
        }
        if types.len() != layers {
            let message = format!("{} entries for {layers} layers", types.len());
            self.problem("layer_types", message);
        }
        Some(types.iter().map(|kind| kind == known[1]).collect())
    }

    /// A list of 0 and 1, at least one a layer, if it is there.
    pub(crate) fn switches(&mut self, key: &str, layers: usize) -> Option<Vec<bool>> {
        let expected = format!("a list of {layers} times 0 or 1, or null");
        self.typed(key, None, &expected, |value| {
            let Value::Array(values) = value else {
                return value.is_null().then_some(None);
            };
            let on = |value: &Value| Some(value.as_i64()? != 0);
            let on = values
                .iter()
                .take(layers)
                .map(on)
                .collect::<Option<Vec<_>>>()?;
            (on.len() == layers).then_some(Some(on))
        })
    }

    /// One window for all layers, as classes have it that do not read `layer_types`.
    pub(crate) fn one_window(&mut self, config: &mut DecoderConfig, window: Option<usize>) {
        config.sliding_window = window;
        let types = self.layer_types(config.layers);
        if let Some(other) = types
            .iter()
            .flatten()
            .find(|slides| **slides != window.is_some())
        {
            let (kind, whole) = match other {
                true => ("sliding_attention", "no sliding_window is set"),
                false => ("full_attention", "sliding_window holds for all layers"),
            };
            let message = format!(
                "{kind} is not supported where {whole}; transformers' class does not read layer_types"
            );
            self.problem("layer_types", message);
        }
    }

    /// A window in some layers, which `sliding` names.
    pub(crate) fn some_windows(
        &mut self,
        config: &mut DecoderConfig,
        window: Option<usize>,
        sliding: Vec<bool>,
    ) {
        if !sliding.contains(&true) {
            return;
        }
        if window.is_none() {
            let message = "sliding_attention needs a sliding_window".to_owned();
            self.problem("layer_types", message);
        }
        config.sliding_window = window;
        config.sliding_layers = sliding.contains(&false).then_some(sliding);
    }

    /// A window as Qwen's keys say it: in the layers that `layer_types` names, or else from `max_window_layers` on, and
    /// only where `use_sliding_window` is set.
    pub(crate) fn flagged_window(&mut self, config: &mut DecoderConfig) {
        let used = self.flag("use_sliding_window", false);
        let given = self.optional_size("sliding_window", used.then_some(4096));
        let window = given.filter(|_| used);
        let first = self.typed("max_window_layers", 28, "a whole number", |value| {
            value.as_u64().map(|first| first as usize)
        });
        let from_first = (0..config.layers).map(|layer| window.is_some() && layer >= first);
        let sliding = self.layer_types(config.layers);
        let sliding = sliding.unwrap_or_else(|| from_first.collect());
        self.some_windows(config, window, sliding);
    }
}
