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
mod tests;
