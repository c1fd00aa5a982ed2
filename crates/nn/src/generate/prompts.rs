//! Prompts as one row of prefix trees, so that what they share is computed once.

use crate::generate::slots::Span;

/// Prompts laid out depth first in one row; see [`crate::model::forest`] for `position` and `end`.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) tokens: Vec<u32>,
    pub(super) position: Vec<u32>,
    pub(super) end: Vec<u32>,
    /// The columns of each prompt's tokens.
    pub(super) paths: Vec<Span>,
}

impl Layout {
    /// Lays out prompts of which none is empty. In lexicographic order, all equal prefixes meet.
    pub(super) fn new(prompts: &[&[u32]]) -> Self {
        let mut layout = Layout::default();
        let mut before: &[u32] = &[];
        // Columns from the root to the last token laid out.
        let mut path: Vec<usize> = Vec::new();
        for prompt in prompts {
            let shared = common(before, prompt);
            for column in path.drain(shared..) {
                layout.end[column] = layout.tokens.len() as u32;
            }
            for &token in &prompt[shared..] {
                layout.position.push(path.len() as u32);
                path.push(layout.tokens.len());
                layout.tokens.push(token);
                layout.end.push(0);
            }
            let mut columns = Span::default();
            for &column in &path {
                columns.push(column as u32..column as u32 + 1);
            }
            layout.paths.push(columns);
            before = prompt;
        }
        for column in path {
            layout.end[column] = layout.tokens.len() as u32;
        }
        layout
    }
}

/// How many tokens two prompts begin with in common.
pub(super) fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_prompt_that_goes_on_from_another_adds_its_new_tokens() {
        let layout = Layout::new(&[&[1, 2], &[1, 2, 3], &[1, 4], &[5]]);
        assert_eq!(layout.tokens, [1, 2, 3, 4, 5]);
        assert_eq!(layout.position, [0, 1, 2, 1, 0]);
        assert_eq!(layout.end, [4, 3, 3, 4, 5]);
        let last: Vec<u32> = layout.paths.iter().flat_map(|p| p.iter().last()).collect();
        assert_eq!(last, [1, 2, 3, 4]);
    }

    proptest! {
        /// A prompt's last token sees exactly the columns of its path, and they spell the prompt.
        #[test]
        fn the_last_token_sees_its_own_prompt(
            mut prompts in prop::collection::vec(prop::collection::vec(0u32..3, 1..9), 1..12),
        ) {
            prompts.sort();
            let slices: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
            let layout = Layout::new(&slices);
            for (prompt, path) in prompts.iter().zip(&layout.paths) {
                let last = path.iter().last().unwrap();
                let seen: Vec<u32> = (0..=last)
                    .filter(|&key| last < layout.end[key as usize])
                    .collect();
                prop_assert_eq!(&seen, &path.iter().collect::<Vec<_>>());
                for (depth, &column) in seen.iter().enumerate() {
                    prop_assert_eq!(layout.position[column as usize] as usize, depth);
                    prop_assert_eq!(layout.tokens[column as usize], prompt[depth]);
                }
            }
            let distinct: std::collections::HashSet<&[u32]> =
                prompts.iter().flat_map(|p| (1..=p.len()).map(|n| &p[..n])).collect();
            prop_assert_eq!(layout.tokens.len(), distinct.len());
        }
    }
}
