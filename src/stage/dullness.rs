//! Which replies are dull: learned from what a corpus replies to many different prompts.

use anyhow::{Result, ensure};

use crate::eval::dull::Genericness;
use crate::stage::corpus::{self, Split};
use crate::stage::keys::{Keys, StageRef};
use crate::stage::kind::Context;

/// Whose replies say what is dull.
pub struct Dullness {
    data: StageRef,
    split: Split,
}

impl Dullness {
    /// Reads the keys; nothing where no corpus is named.
    pub fn read(keys: &mut Keys<'_>) -> Option<Self> {
        let data = keys
            .doc(
                "dialogues whose replies say which are generic; measures dull_rate and specificity",
            )
            .optional_stage("corpus", corpus::EXAMPLES);
        let split = Split::read_as(keys, "corpus_split", "train");
        data.map(|data| Self { data, split })
    }

    /// Learns it.
    ///
    /// # Errors
    /// When the corpus cannot be read or is empty.
    pub fn learn(&self, context: &Context) -> Result<Genericness> {
        let mut corpus = Vec::new();
        for example in self.split.examples(context.input(&self.data))? {
            let example = example?;
            if let Some(reply) = example.completions.first() {
                corpus.push((example.prompt.text(), reply.text.clone()));
            }
        }
        ensure!(
            !corpus.is_empty(),
            "the corpus @{} has nothing in its {} split (corpus_split)",
            self.data.name,
            self.split.name()
        );
        Ok(Genericness::of(corpus))
    }
}
