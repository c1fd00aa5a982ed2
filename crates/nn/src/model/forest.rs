//! The forest of prefix trees: how token sequences that share prefixes become rows.
//!
//! Each tree is laid out depth first, so that a subtree is a contiguous span. A token carries its
//! `position` (depth) and `end` (where its subtree ends); token *i* sees token *j* exactly when
//! `j <= i < end[j]`. Equal prefixes are merged and computed once. A scored token needs only the
//! hidden state of its parent, so the last token of a branch is never laid out at all.

use std::collections::HashMap;

/// One root-to-leaf path to lay out.
#[derive(Clone, Debug)]
pub struct Branch<'a> {
    /// The whole sequence: prompt, then completion.
    pub tokens: &'a [u32],
    /// Tokens from here on are scored. Must be at least 1: the first token has no parent.
    pub scored_from: usize,
    /// Ranges `[from, to]` of places in `tokens`, `to` left out, that are not scored after all: in order,
    /// apart, and none before `scored_from`.
    pub unscored: &'a [[u32; 2]],
}

impl<'a> Branch<'a> {
    /// A branch of which every token from `scored_from` on is scored.
    pub fn new(tokens: &'a [u32], scored_from: usize) -> Self {
        Self {
            tokens,
            scored_from,
            unscored: &[],
        }
    }

    /// Number of scored tokens.
    pub fn scored(&self) -> usize {
        let gaps = self.unscored.iter().map(|[from, to]| (to - from) as usize);
        self.tokens.len() - self.scored_from - gaps.sum::<usize>()
    }

    /// The places of the scored tokens, in order.
    pub fn places(&self) -> impl Iterator<Item = usize> + use<'a> {
        let mut gaps = self.unscored.iter().peekable();
        (self.scored_from..self.tokens.len()).filter(move |&place| {
            while gaps.next_if(|[_, to]| *to as usize <= place).is_some() {}
            gaps.peek().is_none_or(|[from, _]| place < *from as usize)
        })
    }
}

/// A token whose log-probability is wanted: read at `parent`, looked up at `token`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scored {
    /// Flat index `row * width + column` of the token that predicts this one.
    pub parent: usize,
    /// The token id to look up.
    pub token: u32,
    /// Index of the branch, in the order in which the branches were given.
    pub branch: usize,
}

/// Rows of token trees, all of one width.
#[derive(Clone, Debug, Default)]
pub struct Forest {
    /// Number of rows.
    pub rows: usize,
    /// Tokens in a row, filling included.
    pub width: usize,
    /// Token ids, `[rows * width]`. Filling tokens are 0 and see only themselves.
    pub tokens: Vec<u32>,
    /// Depth of each token in its tree, `[rows * width]`.
    pub position: Vec<u32>,
    /// Column where each token's subtree ends, `[rows * width]`.
    pub end: Vec<u32>,
    /// What is scored, grouped by branch in the order given.
    pub scored: Vec<Scored>,
    /// What each scored token weighs in its branch's sum; 1 where there are none.
    pub weights: Option<Vec<f32>>,
    /// Number of branches.
    pub branches: usize,
    /// Tokens that are computed, filling left out.
    pub computed: usize,
    /// Tokens of all branches one by one, as a layout without sharing would compute them.
    pub unshared: usize,
    /// Tokens of all branches, each padded to the longest, as one padded batch would compute them.
    pub padded: usize,
}

/// Share of a forest's cells that should be tokens rather than filling.
const FULL: f64 = 0.97;

impl Forest {
    /// One sequence in a row of its own, of which nothing is scored.
    pub fn path(tokens: &[u32]) -> Self {
        let length = tokens.len();
        Self {
            rows: 1,
            width: length,
            tokens: tokens.to_vec(),
            position: (0..length as u32).collect(),
            end: vec![length as u32; length],
            ..Self::default()
        }
    }

    /// Lays out `trees`, each a set of branches that may share prefixes, into rows of about equal
    /// load and at most `max_width` columns (as many as the largest tree where that has more).
    ///
    /// As many rows as stay 97% full: few wide rows are easily full, and cost fused attention
    /// nothing, since its work follows the keys that are visible; but a backend without it holds
    /// scores of `width * width` a row. The layout depends on nothing but its input.
    ///
    /// # Panics
    ///
    /// If a branch is scored from its first token, or nothing of it is scored.
    pub fn pack(trees: &[Vec<Branch<'_>>], max_width: usize) -> Self {
        let mut forest = Forest::default();
        let mut longest = 0;
        let laid: Vec<Tree> = trees
            .iter()
            .map(|branches| {
                let first = forest.branches;
                forest.branches += branches.len();
                for branch in branches {
                    forest.unshared += branch.tokens.len();
                    longest = longest.max(branch.tokens.len());
                }
                Tree::build(branches, first)
            })
            .collect();
        forest.padded = forest.branches * longest;
        let sizes: Vec<usize> = laid.iter().map(|tree| tree.tokens.len()).collect();
        forest.computed = sizes.iter().sum();
        let Rows { rows, width, place } = Rows::choose(&sizes, max_width);
        (forest.rows, forest.width) = (rows, width);

        let cells = forest.rows * forest.width;
        forest.tokens = vec![0; cells];
        forest.position = vec![0; cells];
        forest.end = (0..cells).map(|i| (i % forest.width) as u32 + 1).collect();
        for (tree, (row, column)) in laid.iter().zip(place) {
            let base = row * forest.width + column;
            for (i, &token) in tree.tokens.iter().enumerate() {
                forest.tokens[base + i] = token;
                forest.position[base + i] = tree.position[i];
                forest.end[base + i] = tree.end[i] + column as u32;
            }
            forest.scored.extend(tree.scored.iter().map(|s| Scored {
                parent: s.parent + base,
                ..*s
            }));
        }
        forest
    }
}

/// Where each tree goes.
struct Rows {
    rows: usize,
    width: usize,
    /// Row and first column of each tree.
    place: Vec<(usize, usize)>,
}

impl Rows {
    /// The most rows that are full enough; where none are, the fullest that are not too wide.
    fn choose(sizes: &[usize], max_width: usize) -> Self {
        let total: usize = sizes.iter().sum();
        let largest = sizes.iter().copied().max().unwrap_or(0).max(1);
        let max_width = max_width.max(largest);
        let fewest = total.div_ceil(max_width).max(1);
        // No row is narrower than the largest tree, so that more rows than this cannot be full.
        let most = (total as f64 / (FULL * largest as f64)) as usize;
        (fewest..=most.min(sizes.len()))
            .rev()
            .map(|rows| Self::balance(sizes, rows))
            .find(|it| it.width <= max_width && total as f64 >= FULL * it.cells() as f64)
            .or_else(|| {
                (fewest..=sizes.len())
                    .map(|rows| Self::balance(sizes, rows))
                    .filter(|it| it.width <= max_width)
                    .min_by_key(Self::cells)
            })
            .unwrap_or_else(|| Self::balance(sizes, 1))
    }

    /// The largest trees first, each to the row with the least load, ties by order (Graham, 1969:
    /// no row is then wider than 4/3 of the best possible).
    fn balance(sizes: &[usize], rows: usize) -> Self {
        let mut order: Vec<usize> = (0..sizes.len()).collect();
        order.sort_by_key(|&tree| std::cmp::Reverse(sizes[tree]));
        let mut loads = vec![0; rows];
        let mut place = vec![(0, 0); sizes.len()];
        for tree in order {
            let least = (0..rows).min_by_key(|&row| loads[row]).unwrap_or(0);
            place[tree] = (least, loads[least]);
            loads[least] += sizes[tree];
        }
        Self {
            rows,
            width: loads.into_iter().max().unwrap_or(0).max(1),
            place,
        }
    }

    fn cells(&self) -> usize {
        self.rows * self.width
    }
}

/// One laid-out tree; indices are local to it.
struct Tree {
    tokens: Vec<u32>,
    position: Vec<u32>,
    end: Vec<u32>,
    scored: Vec<Scored>,
}

struct Node {
    token: u32,
    depth: u32,
    children: Vec<usize>,
}

impl Tree {
    fn build(branches: &[Branch<'_>], first_branch: usize) -> Self {
        let mut nodes: Vec<Node> = Vec::new();
        let mut roots: Vec<usize> = Vec::new();
        let mut children: HashMap<(usize, u32), usize> = HashMap::new();
        const ROOT: usize = usize::MAX;
        // (node, token, branch) in branch order; nodes become columns once laid out.
        let mut wanted: Vec<Scored> = Vec::new();
        for (index, branch) in branches.iter().enumerate() {
            let mut places = branch.places().peekable();
            assert!(
                branch.scored_from >= 1 && places.peek().is_some(),
                "a branch scores at least one token, and never its first"
            );
            let mut parent = ROOT;
            for (depth, &token) in branch.tokens.iter().enumerate() {
                if places.next_if_eq(&depth).is_some() {
                    wanted.push(Scored {
                        parent,
                        token,
                        branch: first_branch + index,
                    });
                }
                if depth + 1 == branch.tokens.len() {
                    break;
                }
                parent = *children.entry((parent, token)).or_insert_with(|| {
                    let node = nodes.len();
                    nodes.push(Node {
                        token,
                        depth: depth as u32,
                        children: Vec::new(),
                    });
                    if parent == ROOT {
                        roots.push(node);
                    } else {
                        nodes[parent].children.push(node);
                    }
                    node
                });
            }
        }

        let mut tree = Tree {
            tokens: Vec::with_capacity(nodes.len()),
            position: Vec::with_capacity(nodes.len()),
            end: vec![0; nodes.len()],
            scored: Vec::new(),
        };
        let mut column = vec![0; nodes.len()];
        // Depth-first without recursion: paths are as long as a context window.
        let mut stack: Vec<(usize, bool)> = roots.iter().rev().map(|&r| (r, false)).collect();
        while let Some((node, done)) = stack.pop() {
            if done {
                tree.end[column[node]] = tree.tokens.len() as u32;
                continue;
            }
            column[node] = tree.tokens.len();
            tree.tokens.push(nodes[node].token);
            tree.position.push(nodes[node].depth);
            stack.push((node, true));
            stack.extend(nodes[node].children.iter().rev().map(|&c| (c, false)));
        }
        tree.scored = wanted
            .into_iter()
            .map(|s| Scored {
                parent: column[s.parent],
                ..s
            })
            .collect();
        tree
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn branch(tokens: &[u32], scored_from: usize) -> Branch<'_> {
        Branch::new(tokens, scored_from)
    }

    #[test]
    fn what_stands_between_scored_tokens_is_read_and_not_scored() {
        let gapped = Branch {
            unscored: &[[2, 4], [5, 6]],
            ..branch(&[1, 2, 3, 4, 5, 6], 1)
        };
        assert_eq!(gapped.scored(), 2);
        assert_eq!(gapped.places().collect::<Vec<_>>(), [1, 4]);
        let forest = Forest::pack(&[vec![gapped, branch(&[1, 2, 9], 2)]], 0);
        assert_eq!(forest.tokens, [1, 2, 3, 4, 5]);
        let parents: Vec<_> = forest.scored.iter().map(|s| (s.parent, s.token)).collect();
        assert_eq!(parents, [(0, 2), (3, 5), (1, 9)]);
    }

    #[test]
    fn a_pair_shares_its_prompt_and_lays_out_no_last_token() {
        let trees = vec![vec![
            branch(&[1, 2, 3, 4, 5], 3),
            branch(&[1, 2, 3, 6, 7, 8], 3),
        ]];
        let forest = Forest::pack(&trees, 0);
        assert_eq!((forest.rows, forest.width), (1, 6));
        assert_eq!(forest.tokens, [1, 2, 3, 4, 6, 7]);
        assert_eq!(forest.position, [0, 1, 2, 3, 3, 4]);
        assert_eq!(forest.end, [6, 6, 6, 4, 6, 6]);
        let parents: Vec<_> = forest.scored.iter().map(|s| (s.parent, s.token)).collect();
        assert_eq!(parents, [(2, 4), (3, 5), (2, 6), (4, 7), (5, 8)]);
        assert_eq!(
            (forest.computed, forest.unshared, forest.padded),
            (6, 11, 12)
        );
    }

    #[test]
    fn trees_are_packed_without_seeing_each_other() {
        let trees = vec![vec![branch(&[1, 2, 3], 1)], vec![branch(&[4, 5], 1)]];
        let forest = Forest::pack(&trees, 8);
        assert_eq!((forest.rows, forest.width), (1, 3));
        let visible = visible(&forest);
        assert!(!visible[2 * 3], "the second tree sees the first");
        assert!(visible[2 * 3 + 2]);
    }

    /// Sizes of trees as PersonaChat's pairs have them, in batches of 4, 8 and 32, and rows bounded as in
    /// training.
    fn pair_sizes() -> impl Strategy<Value = Vec<usize>> {
        prop::sample::select(vec![4, 8, 32])
            .prop_flat_map(|batch| prop::collection::vec(120usize..300, batch))
    }

    #[test]
    fn rows_that_cannot_be_full_are_at_least_narrow() {
        // No two of them fit beside each other.
        let rows = Rows::choose(&[9, 7, 6], 10);
        assert_eq!((rows.rows, rows.width), (3, 9));
        // A row of everything is allowed only up to the bound.
        let rows = Rows::choose(&[9, 7, 6], 22);
        assert_eq!((rows.rows, rows.width), (1, 22));
    }

    /// Which keys each query sees, `[rows * width * width]`: the rule itself, written out.
    fn visible(forest: &Forest) -> Vec<bool> {
        let width = forest.width;
        let sees = |cell: usize| {
            let (row, query, key) = (cell / width / width, cell / width % width, cell % width);
            key <= query && query < forest.end[row * width + key] as usize
        };
        (0..forest.rows * width * width).map(sees).collect()
    }

    proptest! {
        #[test]
        fn rows_of_pairs_are_full(sizes in pair_sizes()) {
            let rows = Rows::choose(&sizes, 4096);
            let total: usize = sizes.iter().sum();
            prop_assert!(rows.width <= 4096);
            prop_assert!(total as f64 >= 0.95 * rows.cells() as f64, "{} rows of {}", rows.rows, rows.width);
            let mut cells: Vec<_> = rows.place.iter().zip(&sizes).collect();
            cells.sort();
            for pair in cells.windows(2) {
                let ((row, column), size) = pair[0];
                let ((next_row, next_column), _) = pair[1];
                prop_assert!(next_row > row || *next_column == column + size, "trees overlap");
            }
        }

        /// Walking each scored token's visible keys backwards spells exactly its branch's prefix.
        #[test]
        fn every_scored_token_sees_exactly_its_own_prefix(
            trees in prop::collection::vec(
                prop::collection::vec((prop::collection::vec(0u32..4, 2..12), 1usize..6, 0usize..4), 1..5), 1..6),
            max_width in 0usize..40,
        ) {
            // The last token is always scored, and before it a gap of up to three tokens is not.
            let gaps: Vec<Vec<Vec<[u32; 2]>>> = trees.iter().map(|tree| tree.iter().map(|(tokens, from, gap)| {
                let (last, from) = (tokens.len() - 1, (*from).min(tokens.len() - 1));
                let gap = last.saturating_sub(*gap).max(from);
                if gap < last { vec![[gap as u32, last as u32]] } else { Vec::new() }
            }).collect()).collect();
            let trees: Vec<Vec<Branch>> = trees.iter().zip(&gaps).map(|(tree, gaps)| {
                tree.iter().zip(gaps).map(|((tokens, from, _), gaps)| Branch {
                    tokens, scored_from: (*from).min(tokens.len() - 1), unscored: gaps }).collect()
            }).collect();
            let forest = Forest::pack(&trees, max_width);
            let largest = trees.iter().map(|tree| Forest::pack(std::slice::from_ref(tree), 0).width);
            prop_assert!(forest.width <= largest.max().unwrap().max(max_width));
            prop_assert!(forest.computed <= forest.rows * forest.width);
            let visible = visible(&forest);
            let flat: Vec<&Branch> = trees.iter().flatten().collect();
            let mut at: Vec<Vec<usize>> = flat.iter().map(|b| b.places().collect()).collect();
            at.iter_mut().for_each(|places| places.reverse());
            for scored in &forest.scored {
                let branch = flat[scored.branch];
                let depth = at[scored.branch].pop().unwrap();
                prop_assert_eq!(branch.tokens[depth], scored.token);
                let (row, column) = (scored.parent / forest.width, scored.parent % forest.width);
                let seen: Vec<u32> = (0..forest.width)
                    .filter(|key| visible[(row * forest.width + column) * forest.width + key])
                    .map(|key| {
                        let cell = row * forest.width + key;
                        (forest.position[cell], forest.tokens[cell])
                    })
                    .enumerate()
                    .map(|(i, (position, token))| { assert_eq!(i as u32, position); token })
                    .collect();
                prop_assert_eq!(&seen[..], &branch.tokens[..depth]);
            }
            prop_assert!(at.iter().all(Vec::is_empty));
        }
    }
}
