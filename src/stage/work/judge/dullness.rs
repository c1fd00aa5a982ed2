//! Which replies are dull: learned from what a corpus replies to many different prompts.

use anyhow::{Result, ensure};

use crate::eval::dull::Genericness;
use crate::stage::kind::Context;
use crate::stage::settings::reward::Dullness;

impl Dullness {
    /// Learns it.
    ///
    /// # Errors
    /// When the corpus cannot be read or is empty.
    pub fn learn(&self, context: &Context) -> Result<Genericness> {
        let mut corpus = Vec::new();
        for example in self.split.examples(context.input(&self.data))? {
            let example = example?;
            if let Some(reply) = example.completions.into_iter().next() {
                corpus.push((example.prompt, reply.text));
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
