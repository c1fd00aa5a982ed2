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
