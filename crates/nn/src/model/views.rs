//! What the attention of each layer reads of a forest.

use std::sync::Arc;

use crate::model::config::{Attends, DecoderConfig};
use crate::model::forest::{Forest, Scored};
use crate::ops::{Angles, TreeView};

/// What attention over a forest reads besides queries, keys and values: one view for each sort of layers.
#[derive(Clone, Debug)]
pub struct TreeViews {
    sorts: Vec<Arc<TreeView>>,
    /// Of which sort each layer is.
    of_layer: Vec<usize>,
}

impl TreeViews {
    /// A layer's view.
    pub fn of(&self, layer: usize) -> &Arc<TreeView> {
        &self.sorts[self.of_layer[layer]]
    }

    /// Those of a forest, in a decoder of that description.
    pub fn of_forest(config: &DecoderConfig, forest: &Forest) -> Self {
        let trees = (&*forest.position, &*forest.end);
        Self::of_trees(config, trees, &forest.scored, forest.rows)
    }

    /// Those of any trees, some of whose cells predict tokens that are not laid out; see [`TreeView`] for the shapes.
    pub fn of_trees(
        config: &DecoderConfig,
        (position, end): (&[u32], &[u32]),
        scored: &[Scored],
        rows: usize,
    ) -> Self {
        let width = position.len() / rows;
        let positions = position.iter().max().map_or(0, |&last| last as usize + 1);
        let (sorts, of_layer) = config.sorts_of_attention();
        let view = |sort: Attends<'_>| {
            let long = |limit: usize| {
                long_trees((position, end), &lengths(position, scored), width, limit)
            };
            let long = sort.rotary.and_then(|it| it.longest_short()).map(long);
            let (angles, turns) = match long {
                Some(long) if long.contains(&true) && long.contains(&false) => {
                    let [short, longer] =
                        [false, true].map(|it| angles(config, sort, positions, it));
                    let turns = position.iter().zip(&long);
                    let turns =
                        turns.map(|(at, long)| at + if *long { positions as u32 } else { 0 });
                    let both = short
                        .zip(longer)
                        .map(|(short, long)| short.followed_by(long));
                    (both, Some(turns.collect()))
                }
                long => {
                    let long = long.is_some_and(|long| long.contains(&true));
                    (angles(config, sort, positions, long), None)
                }
            };
            Arc::new(TreeView {
                rows,
                width,
                heads: config.heads,
                kv_heads: config.kv_heads,
                head_dim: config.head_dim,
                position: position.to_vec(),
                end: end.to_vec(),
                window: sort.window,
                scale: config.attention_scale(),
                cap: config.attn_soft_cap.map(|cap| cap as f32),
                angles,
                turns,
            })
        };
        Self {
            sorts: sorts.into_iter().map(view).collect(),
            of_layer,
        }
    }
}

/// Rotary angles of positions below `positions` in layers of that sort, of texts that are `long` or not; none where they
/// turn nothing.
pub fn angles(
    config: &DecoderConfig,
    sort: Attends<'_>,
    positions: usize,
    long: bool,
) -> Option<Angles> {
    let rotary = sort.rotary?;
    let frequencies = rotary.frequencies(config.head_dim, long);
    Some(Angles::new(
        &frequencies,
        rotary.attention_factor(),
        positions,
    ))
}

/// Lengths of the texts that end at each cell.
fn lengths(position: &[u32], scored: &[Scored]) -> Vec<u32> {
    let mut lengths: Vec<u32> = position.iter().map(|depth| depth + 1).collect();
    // What a token predicts belongs to the text that it ends, laid out or not.
    for scored in scored {
        let length = &mut lengths[scored.parent];
        *length = (*length).max(position[scored.parent] + 2);
    }
    lengths
}

/// For each cell whether its tree has a text longer than `limit`. All texts of a tree are turned alike, as
/// transformers turns those of a batch.
fn long_trees(
    (position, end): (&[u32], &[u32]),
    lengths: &[u32],
    width: usize,
    limit: usize,
) -> Vec<bool> {
    let mut long = vec![false; position.len()];
    let mut cell = 0;
    while cell < position.len() {
        let row = cell / width * width;
        // A root's tree ends where its subtree does.
        let last = (row + end[cell] as usize).max(cell + 1);
        let longest = lengths[cell..last].iter().max();
        long[cell..last].fill(longest.is_some_and(|longest| *longest as usize > limit));
        cell = last;
    }
    long
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_long_where_one_of_its_texts_is() {
        // Two rows: trees of 3 and 1 cells, and one of 4 of which a branch has one token more to predict.
        let position = [0, 1, 2, 0, 0, 1, 1, 2];
        let end = [3, 3, 3, 4, 4, 2, 4, 4];
        let lengths = [1, 2, 3, 1, 1, 2, 2, 4];
        let long = |limit| long_trees((&position, &end), &lengths, 4, limit);
        assert_eq!(
            long(3),
            [false, false, false, false, true, true, true, true]
        );
        assert_eq!(long(2), [true, true, true, false, true, true, true, true]);
        assert_eq!(long(4), [false; 8]);
    }
}
