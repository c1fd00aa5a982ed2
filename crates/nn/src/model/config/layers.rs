//! What the attention of a layer reads besides queries, keys and values.

use super::{DecoderConfig, Positions, Rotary};

/// What the attention of some layers has in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attends<'a> {
    /// A query sees keys fewer than that many positions back.
    pub window: Option<usize>,
    /// How queries and keys are turned; not at all in some layers, nor with learned positions.
    pub rotary: Option<&'a Rotary>,
}

impl DecoderConfig {
    /// What the attention of one layer has.
    pub fn attends(&self, layer: usize) -> Attends<'_> {
        let said = |layers: &Option<Vec<bool>>| {
            let layers = layers.as_ref();
            layers.is_none_or(|layers| layers.get(layer).copied().unwrap_or(true))
        };
        let slides = said(&self.sliding_layers);
        let rotary = match (&self.positions, &self.sliding_rotary) {
            (Positions::Learned, _) => None,
            (Positions::Rotary(_), Some(sliding)) if slides => Some(sliding),
            (Positions::Rotary(rotary), _) => Some(rotary),
        };
        Attends {
            window: self.sliding_window.filter(|_| slides),
            rotary: rotary.filter(|_| said(&self.rotary_layers)),
        }
    }

    /// What the attention of layers has, each sort once, and of which sort each layer is.
    pub fn sorts_of_attention(&self) -> (Vec<Attends<'_>>, Vec<usize>) {
        let mut sorts: Vec<Attends<'_>> = Vec::new();
        let of_layer = (0..self.layers).map(|layer| {
            let own = self.attends(layer);
            let known = sorts.iter().position(|sort| *sort == own);
            known.unwrap_or_else(|| {
                sorts.push(own);
                sorts.len() - 1
            })
        });
        let of_layer = of_layer.collect();
        (sorts, of_layer)
    }
}
