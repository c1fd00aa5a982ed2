//! Tokenised examples: columns of numbers, which need not fit in memory.

use std::path::Path;

use anyhow::Result;

use crate::model::forest::Branch;
use crate::train::column::{Column, Writer};

/// One token sequence, scored from `scored_from` on.
#[derive(Clone, Debug, PartialEq)]
pub struct Sequence {
    pub tokens: Vec<u32>,
    pub scored_from: usize,
}

impl Sequence {
    /// The sequence as a branch of a tree.
    pub fn branch(&self) -> Branch<'_> {
        Branch::new(&self.tokens, self.scored_from)
    }
}

/// A tokenised example: as many sequences as its objective has branches.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainExample {
    pub sequences: Vec<Sequence>,
    /// The reference model's summed log-probs, one a sequence; empty where none is needed.
    pub reference: Vec<f32>,
}

/// Examples, numbered from 0.
#[derive(Debug, Default)]
pub struct Examples {
    /// The tokens of all sequences.
    tokens: Column<u32>,
    /// Where each sequence's tokens end, and from which of its own on they are scored.
    token_ends: Column<u64>,
    scored_from: Column<u32>,
    /// The ranges of places that are not scored, and where each sequence's end.
    unscored: Column<[u32; 2]>,
    unscored_ends: Column<u64>,
    /// Where each example's sequences end.
    sequence_ends: Column<u64>,
    /// The reference's log-prob of each sequence, or nothing; NaN where it is not known.
    reference: Vec<f32>,
    /// Whether each example's completion is desirable, or nothing.
    desirable: Vec<bool>,
    /// What each example's scores are compared with, equally many an example, or nothing.
    targets: Vec<f32>,
    longest: usize,
}

impl Examples {
    /// Number of examples.
    pub fn len(&self) -> usize {
        self.sequence_ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tokens of the longest sequence; 0 where there is none.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// Number of sequences of all examples.
    pub fn sequences(&self) -> usize {
        self.token_ends.len()
    }

    /// An example's sequences.
    ///
    /// # Panics
    ///
    /// Where there is no such example.
    pub fn branches(&self, example: usize) -> impl Iterator<Item = Branch<'_>> {
        self.range(example).map(|sequence| Branch {
            tokens: &self.tokens
                [start(&self.token_ends, sequence)..self.token_ends[sequence] as usize],
            scored_from: self.scored_from[sequence] as usize,
            unscored: &self.unscored
                [start(&self.unscored_ends, sequence)..self.unscored_ends[sequence] as usize],
        })
    }

    /// The reference's log-probs of an example's sequences; none where none were given.
    pub fn reference(&self, example: usize) -> &[f32] {
        match self.reference.is_empty() {
            true => &[],
            false => &self.reference[self.range(example)],
        }
    }

    /// Whether an example's completion is labelled as desirable; nothing where it has no label.
    pub fn desirable(&self, example: usize) -> Option<bool> {
        self.desirable.get(example).copied()
    }

    /// Labels every example's completion.
    ///
    /// # Panics
    ///
    /// If there are labels, but not one for each example.
    pub fn set_desirable(&mut self, labels: impl IntoIterator<Item = bool>) {
        self.desirable = labels.into_iter().collect();
        assert!(
            [0, self.len()].contains(&self.desirable.len()),
            "a label for each example"
        );
    }

    /// What an example's scores are compared with; none where none were given.
    pub fn targets(&self, example: usize) -> &[f32] {
        let each = self.targets.len() / self.len().max(1);
        &self.targets[example * each..(example + 1) * each]
    }

    /// Gives every example what its scores are compared with.
    ///
    /// # Panics
    ///
    /// If there are not equally many for each example.
    pub fn set_targets(&mut self, targets: Vec<f32>) {
        assert!(
            targets.len().is_multiple_of(self.len().max(1)),
            "as many targets for each example"
        );
        self.targets = targets;
    }

    /// The numbers of an example's sequences, counted over all examples.
    pub fn range(&self, example: usize) -> std::ops::Range<usize> {
        start(&self.sequence_ends, example)..self.sequence_ends[example] as usize
    }

    /// Gives every sequence its reference log-prob, NaN where it is not known.
    ///
    /// # Panics
    ///
    /// If there are not as many as [`sequences`](Self::sequences).
    pub fn set_reference(&mut self, logps: Vec<f32>) {
        assert_eq!(
            logps.len(),
            self.sequences(),
            "a log-prob for each sequence"
        );
        self.reference = logps;
    }
}

fn start(ends: &[u64], index: usize) -> usize {
    index
        .checked_sub(1)
        .map_or(0, |before| ends[before] as usize)
}

/// Examples under way.
pub struct ExamplesWriter {
    tokens: Writer<u32>,
    token_ends: Writer<u64>,
    scored_from: Writer<u32>,
    unscored: Writer<[u32; 2]>,
    unscored_ends: Writer<u64>,
    sequence_ends: Writer<u64>,
    /// Tokens, sequences and unscored ranges so far, and tokens of the longest sequence.
    written: (u64, u64, u64),
    longest: usize,
}

impl ExamplesWriter {
    /// Keeps them in memory.
    pub fn memory() -> Self {
        Self::with(
            [(); 2].map(|()| Writer::Memory(Vec::new())),
            Writer::Memory(Vec::new()),
            [(); 3].map(|()| Writer::Memory(Vec::new())),
        )
    }

    /// Keeps them in files in `dir` that have no name and are gone with their reader, be it killed.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn files(dir: &Path) -> Result<Self> {
        Ok(Self::with(
            [Writer::file(dir)?, Writer::file(dir)?],
            Writer::file(dir)?,
            [Writer::file(dir)?, Writer::file(dir)?, Writer::file(dir)?],
        ))
    }

    fn with(
        [tokens, scored_from]: [Writer<u32>; 2],
        unscored: Writer<[u32; 2]>,
        ends: [Writer<u64>; 3],
    ) -> Self {
        let [token_ends, unscored_ends, sequence_ends] = ends;
        Self {
            tokens,
            token_ends,
            scored_from,
            unscored,
            unscored_ends,
            sequence_ends,
            written: (0, 0, 0),
            longest: 0,
        }
    }

    /// Adds an example by its sequences.
    ///
    /// # Errors
    /// When it cannot be written, as to a full disk.
    pub fn push<'a>(&mut self, sequences: impl IntoIterator<Item = Branch<'a>>) -> Result<()> {
        for Branch {
            tokens,
            scored_from,
            unscored,
        } in sequences
        {
            self.tokens.extend(tokens)?;
            self.written.0 += tokens.len() as u64;
            self.written.1 += 1;
            self.token_ends.extend(&[self.written.0])?;
            self.scored_from.extend(&[scored_from as u32])?;
            self.unscored.extend(unscored)?;
            self.written.2 += unscored.len() as u64;
            self.unscored_ends.extend(&[self.written.2])?;
            self.longest = self.longest.max(tokens.len());
        }
        self.sequence_ends.extend(&[self.written.1])
    }

    /// All of them.
    ///
    /// # Errors
    /// When the last cannot be written.
    pub fn finish(self) -> Result<Examples> {
        Ok(Examples {
            tokens: self.tokens.finish()?,
            token_ends: self.token_ends.finish()?,
            scored_from: self.scored_from.finish()?,
            unscored: self.unscored.finish()?,
            unscored_ends: self.unscored_ends.finish()?,
            sequence_ends: self.sequence_ends.finish()?,
            reference: Vec::new(),
            desirable: Vec::new(),
            targets: Vec::new(),
            longest: self.longest,
        })
    }
}

impl FromIterator<TrainExample> for Examples {
    /// Examples in memory, all with reference log-probs or none.
    fn from_iter<I: IntoIterator<Item = TrainExample>>(examples: I) -> Self {
        const MEMORY: &str = "memory takes what it is given";
        let (mut writer, mut reference) = (ExamplesWriter::memory(), Vec::new());
        for example in examples {
            let branches = example.sequences.iter().map(Sequence::branch);
            writer.push(branches).expect(MEMORY);
            reference.extend(example.reference);
        }
        let mut all = writer.finish().expect(MEMORY);
        if !reference.is_empty() {
            all.set_reference(reference);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_scored_is_kept_by_sequence() {
        let tokens: Vec<u32> = (0..9).collect();
        let unscored: [&[[u32; 2]]; 4] = [&[], &[[2, 4], [6, 7]], &[], &[[1, 8]]];
        let dir = tempfile::tempdir().unwrap();
        for mut writer in [
            ExamplesWriter::memory(),
            ExamplesWriter::files(dir.path()).unwrap(),
        ] {
            let branch = |unscored| Branch {
                unscored,
                ..Branch::new(&tokens, 1)
            };
            writer
                .push(unscored[..2].iter().copied().map(branch))
                .unwrap();
            writer
                .push(unscored[2..].iter().copied().map(branch))
                .unwrap();
            let examples = writer.finish().unwrap();
            let found = (0..2).flat_map(|at| examples.branches(at));
            assert!(found.map(|branch| branch.unscored).eq(unscored));
        }
    }

    #[test]
    fn examples_in_files_read_like_those_in_memory() {
        let sequence = |length: u32, from: usize| Sequence {
            tokens: (0..length).collect(),
            scored_from: from,
        };
        let lengths: [&[u32]; 4] = [&[3, 9], &[], &[2], &[5, 4, 7]];
        let example = |lengths: &[u32]| TrainExample {
            sequences: lengths
                .iter()
                .map(|&l| sequence(l, 1 + l as usize / 3))
                .collect(),
            reference: lengths.iter().map(|&l| -(l as f32)).collect(),
        };
        let given = lengths.map(example);
        let memory: Examples = given.iter().cloned().collect();
        let dir = tempfile::tempdir().unwrap();
        let mut writer = ExamplesWriter::files(dir.path()).unwrap();
        for example in &given {
            writer
                .push(example.sequences.iter().map(Sequence::branch))
                .unwrap();
        }
        let mut files = writer.finish().unwrap();
        assert!(files.reference(0).is_empty());
        files.set_reference(given.iter().flat_map(|e| e.reference.clone()).collect());
        for all in [memory, files] {
            assert_eq!((all.len(), all.sequences(), all.longest()), (4, 6, 9));
            for (index, example) in given.iter().enumerate() {
                let found: Vec<Sequence> = all
                    .branches(index)
                    .map(|branch| Sequence {
                        tokens: branch.tokens.to_vec(),
                        scored_from: branch.scored_from,
                    })
                    .collect();
                assert_eq!(found, example.sequences);
                assert_eq!(all.reference(index), example.reference);
            }
        }
    }
}
