//! Which examples of an artifact a stage reads, and how they are drawn.

use anyhow::Result;

use crate::stage::settings::keys::{COUNT, Keys};
use crate::store::BadInput;

/// Which file of an artifact is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    Pretrain,
    Train,
    Valid,
    Test,
    /// Tasks of which no other split has any.
    TestTasks,
    /// Prompts on which a trained model is tried to learn from its failures.
    Feedback,
    /// Dialogues up to a turn of the user, to sample replies to.
    Prompts,
}

impl Split {
    /// Every split, that which most stages read first.
    pub const ALL: [Split; 7] = [
        Split::Train,
        Split::Pretrain,
        Split::Valid,
        Split::Test,
        Split::TestTasks,
        Split::Feedback,
        Split::Prompts,
    ];

    /// Reads the key `split`.
    pub fn read(keys: &mut Keys<'_>, default: &'static str) -> Self {
        Self::read_as(keys, "split", default)
    }

    /// Reads a split under another key.
    pub fn read_as(keys: &mut Keys<'_>, key: &str, default: &'static str) -> Self {
        keys.one_of(key, default, &Self::ALL.map(|split| (split.name(), split)))
    }

    /// The file's stem.
    pub fn name(self) -> &'static str {
        match self {
            Split::Pretrain => "pretrain",
            Split::Train => "train",
            Split::Valid => "valid",
            Split::Test => "test",
            Split::TestTasks => "test_tasks",
            Split::Feedback => "feedback",
            Split::Prompts => "prompts",
        }
    }
}

/// How many of the dialogues that are left for training are trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrainSize(usize);

impl TrainSize {
    /// Reads the key `train`.
    pub fn read(keys: &mut Keys<'_>) -> Self {
        let size = keys
            .doc("dialogues to train on, drawn by seed, fewer being among more; 0: all that are left")
            .usize("train", 0, 0..=COUNT);
        Self(size)
    }

    /// Whether that is all, however many there are.
    pub fn is_all(self) -> bool {
        self.0 == 0
    }

    /// How many that is of those that are left.
    ///
    /// # Errors
    /// [`BadInput`] where more are asked for.
    pub fn of(self, left: usize) -> Result<usize> {
        match self.0 {
            0 => Ok(left),
            size if size <= left => Ok(size),
            size => {
                let message = format!(
                    "train: expected at most the {left} dialogues that are left for training, found {size}"
                );
                Err(BadInput(message).into())
            }
        }
    }
}

/// Which ranking items of an artifact are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemSplit {
    Test,
    /// Those that settings are chosen on.
    Valid,
}

impl ItemSplit {
    /// Reads the key `items`.
    pub fn read(keys: &mut Keys<'_>) -> Self {
        keys.doc("the ranking items for test, or those kept for validation")
            .one_of(
                "items",
                "test",
                &[("test", ItemSplit::Test), ("valid", ItemSplit::Valid)],
            )
    }

    /// The file.
    pub fn name(self) -> &'static str {
        match self {
            ItemSplit::Test => "ranking.jsonl",
            ItemSplit::Valid => "ranking_valid.jsonl",
        }
    }
}

/// How examples become batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// A batch counts single examples.
    None,
    /// A batch counts rows of a file: the replies of one row of `messages` are kept together.
    Row,
    /// A batch counts dialogues: all examples of one are kept together and share its prefix.
    Dialogue,
}

impl Group {
    /// Reads the key `group` of what a batch counts.
    pub fn read(keys: &mut Keys<'_>, default: &'static str) -> Self {
        let doc =
            "what a batch counts: single examples, or whole dialogues which share their prefix";
        Self::read_as(keys, doc, default)
    }

    /// Reads the key `group`, whose meaning `doc` tells.
    pub fn read_as(keys: &mut Keys<'_>, doc: &'static str, default: &'static str) -> Self {
        let words = [("none", Group::None), ("dialogue", Group::Dialogue)];
        keys.doc(doc).one_of("group", default, &words)
    }
}
