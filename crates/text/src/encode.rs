//! From a prompt and its completions to token ids: where the prompt ends, what is scored, and what is cut
//! where they are too long.

use anyhow::{Context as _, Result, ensure};
use rayon::prelude::*;

use crate::render::render;
use crate::{Completion, Example, Prompt, Tokenizer};

/// Raised when the same text begins to give other tokens, or to be cut elsewhere, so that old artifacts are left.
///
/// 2: rendered text has no other special tokens; one prompt for all completions; TRL's border.
/// 3: what a limit cut is left in numbers beside the notes.
pub const VERSION: u32 = 3;

/// A tokenised prompt with all its completions, which see the same of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedExample {
    pub prompt: Vec<u32>,
    pub completions: Vec<EncodedCompletion>,
    pub cuts: Cuts,
}

/// A completion's tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedCompletion {
    pub tokens: Vec<u32>,
    /// Ranges `[from, to]` of places in `tokens`, `to` left out, that are not scored; in order and apart.
    pub unscored: Vec<[u32; 2]>,
}

/// What was cut off an example.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cuts {
    /// Tokens of the whole prompt, and how many of them were cut off.
    pub prompt_tokens: usize,
    pub cut_prompt_tokens: usize,
    /// Whole turns dropped from the prompt, oldest first.
    pub dropped_turns: usize,
    /// Those of the tokens cut off that were not of whole turns, so that a text has lost its beginning.
    pub cut_within: usize,
    /// Completions that were cut at their end, and by how many tokens.
    pub cut_completions: usize,
    pub cut_completion_tokens: usize,
}

impl Cuts {
    /// Tokens of the prompt that are left.
    pub fn left(&self) -> usize {
        self.prompt_tokens.saturating_sub(self.cut_prompt_tokens)
    }

    /// The share that is left of what the prompt had without its whole dropped turns.
    pub fn kept(&self) -> f64 {
        match self.left() + self.cut_within {
            0 => 1.0,
            before => self.left() as f64 / before as f64,
        }
    }
}

/// How long an example may be and how its completions end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Tokens that prompt and completion may have together.
    pub max_length: usize,
    /// Whether a completion of plain text is followed by the end-of-text token. One that a chat template
    /// has rendered, or whose tokens are given, ends as it does.
    pub append_eos: bool,
}

impl Limits {
    /// What the prompt may have where its longest completion has so many tokens: what that leaves, but at
    /// least half of all. A completion that is still too long is cut at its end.
    fn prompt_room(self, longest: usize) -> usize {
        let left = self.max_length.saturating_sub(longest);
        left.max(self.max_length / 2)
    }
}

/// Tokenises a prompt with each of its completions as one text; a dialogue is [written](render) by the chat template of
/// the tokenizer's folder. The prompt ends where the tokens of the
/// prompt alone and of any such text begin to differ, as in TRL: a token across the border is scored with
/// its completion, and what stands before it in the other texts with theirs, so that all are scored after
/// the same tokens. A special token of the prompt is never scored. Completions whose tokens are given
/// follow the prompt's own.
///
/// Over the limit, the oldest turns are dropped whole, then the oldest prompt tokens (a BOS in front
/// stays), alike for all completions, so far as the longest asks for it; at least half of the limit is
/// left to the prompt, and completions that do not fit into the rest are cut at their end.
///
/// # Errors
/// A completion without a token, or without one that is scored; a text that the tokenizer refuses, or a dialogue that
/// the template does.
pub fn encode_example(
    tokenizer: &Tokenizer,
    prompt: &Prompt,
    completions: &[Completion],
    limits: Limits,
) -> Result<EncodedExample> {
    // A template that cannot be read is none of a text's business.
    let template = match prompt {
        Prompt::Dialogue(_) => tokenizer.template()?,
        _ => None,
    };
    let (prompt, completions) = render(prompt, completions, template)?;
    let encoder = Encoder {
        tokenizer,
        prompt: &prompt,
        completions: &completions,
        append_eos: limits.append_eos,
    };
    let fits = |it: &EncodedExample| it.prompt.len() <= limits.prompt_room(it.longest());
    let mut encoded = encoder.without(0)?;
    let whole = encoded.prompt.len();
    let mut dropped_turns = 0;
    if !fits(&encoded) && prompt.droppable() > 0 {
        let room = limits.prompt_room(encoded.longest());
        // Counting the tokens of each turn says nearly how many turns must go; text that begins elsewhere
        // may tokenise a little differently, hence the last steps one by one.
        dropped_turns = encoder.enough(room)?.saturating_sub(1);
        loop {
            encoded = encoder.without(dropped_turns)?;
            if fits(&encoded) || dropped_turns == prompt.droppable() {
                break;
            }
            dropped_turns += 1;
        }
    }
    let excess = encoded
        .prompt
        .len()
        .saturating_sub(limits.prompt_room(encoded.longest()));
    let bos = encoded.prompt.first().copied();
    let keep_first = usize::from(bos.is_some() && bos == tokenizer.bos());
    let cut = excess.min(encoded.prompt.len().saturating_sub(keep_first));
    encoded.prompt.drain(keep_first..keep_first + cut);
    encoded.cuts = Cuts {
        prompt_tokens: whole,
        cut_prompt_tokens: whole.saturating_sub(encoded.prompt.len()),
        dropped_turns,
        cut_within: cut,
        ..Cuts::default()
    };
    let room = limits.max_length.saturating_sub(encoded.prompt.len());
    for completion in &mut encoded.completions {
        let excess = completion.tokens.len().saturating_sub(room.max(1));
        if excess > 0 {
            completion.truncate(completion.tokens.len() - excess);
            encoded.cuts.cut_completions += 1;
            encoded.cuts.cut_completion_tokens += excess;
        }
        ensure!(
            completion.scored() > 0,
            match excess {
                0 => "nothing of a completion is scored: its chat template marks none of it",
                _ =>
                    "nothing is left of a completion that is scored: the limit of its length cuts all of it off",
            }
        );
    }
    Ok(encoded)
}

/// A prompt alone, as [`encode_example`] tokenises and cuts it.
///
/// # Errors
/// A prompt without a single token, or text that the tokenizer refuses.
pub fn encode_prompt(
    tokenizer: &Tokenizer,
    prompt: &Prompt,
    max_length: usize,
) -> Result<(Vec<u32>, Cuts)> {
    let limits = Limits {
        max_length,
        append_eos: false,
    };
    let EncodedExample { prompt, cuts, .. } = encode_example(tokenizer, prompt, &[], limits)?;
    ensure!(!prompt.is_empty(), "the prompt is empty");
    Ok((prompt, cuts))
}

/// [`encode_example`] of every example, on all cores; order is kept.
///
/// # Errors
/// As [`encode_example`], with the example's id.
pub fn encode_all(
    tokenizer: &Tokenizer,
    examples: &[Example],
    limits: Limits,
) -> Result<Vec<EncodedExample>> {
    let encode = |example: &Example| {
        encode_example(tokenizer, &example.prompt, &example.completions, limits)
            .with_context(|| format!("example {}", example.id))
    };
    examples.par_iter().map(encode).collect()
}

impl EncodedExample {
    /// Tokens of the longest completion.
    fn longest(&self) -> usize {
        let lengths = self.completions.iter().map(|it| it.tokens.len());
        lengths.max().unwrap_or(0)
    }
}

impl EncodedCompletion {
    /// The tokens of which `scored` says whether each one is.
    fn masked(tokens: Vec<u32>, scored: impl Iterator<Item = bool>) -> Self {
        let mut unscored: Vec<[u32; 2]> = Vec::new();
        for (place, _) in (0..).zip(scored).filter(|(_, scored)| !scored) {
            match unscored.last_mut() {
                Some([_, to]) if *to == place => *to += 1,
                _ => unscored.push([place, place + 1]),
            }
        }
        Self { tokens, unscored }
    }

    /// Number of scored tokens.
    fn scored(&self) -> usize {
        let gaps = self.unscored.iter().map(|[from, to]| (to - from) as usize);
        self.tokens.len() - gaps.sum::<usize>()
    }

    fn truncate(&mut self, length: usize) {
        self.tokens.truncate(length);
        let end = length as u32;
        self.unscored.retain(|[from, _]| *from < end);
        if let Some([_, to]) = self.unscored.last_mut() {
            *to = end.min(*to);
        }
    }
}

/// What [`encode_example`] is told.
struct Encoder<'a> {
    tokenizer: &'a Tokenizer,
    prompt: &'a Prompt,
    completions: &'a [Completion],
    append_eos: bool,
}

/// A prompt and one completion before it is known where the prompt ends.
struct Whole {
    ids: Vec<u32>,
    /// Where each token lies in the completion's text, if it says what of it is scored.
    spans: Vec<(usize, usize)>,
}

impl Encoder<'_> {
    /// The tokens without the `dropped` oldest turns, nothing cut.
    fn without(&self, dropped: usize) -> Result<EncodedExample> {
        let mut text = self.prompt.text_from(dropped);
        let alone = self.tokenizer.ids(&text, self.prompt.rendered())?;
        let end = text.len();
        let mut border = alone.len();
        let mut wholes = Vec::with_capacity(self.completions.len());
        for completion in self.completions {
            let whole = match &completion.tokens {
                Some(drawn) => {
                    ensure!(!drawn.is_empty(), "the completion is empty");
                    let ids = [&alone[..], drawn].concat();
                    Whole {
                        ids,
                        spans: Vec::new(),
                    }
                }
                None => {
                    text.truncate(end);
                    text.push_str(&completion.text);
                    let whole = self.whole(&text, end, completion.scored.is_some())?;
                    let both = alone.iter().zip(&whole.ids);
                    let common = both.take_while(|(a, b)| a == b).count();
                    ensure!(common < whole.ids.len(), "the completion is empty");
                    border = border.min(common);
                    whole
                }
            };
            wholes.push(whole);
        }
        let (prompt, left) = alone.split_at(border);
        let completions = self.completions.iter().zip(wholes);
        Ok(EncodedExample {
            prompt: prompt.to_vec(),
            completions: completions
                .map(|(completion, whole)| self.completion(completion, whole, border, left))
                .collect(),
            cuts: Cuts::default(),
        })
    }

    fn whole(&self, text: &str, end: usize, with_spans: bool) -> Result<Whole> {
        let rendered = self.prompt.rendered();
        if !with_spans {
            return Ok(Whole {
                ids: self.tokenizer.ids(text, rendered)?,
                spans: Vec::new(),
            });
        }
        let encoding = self.tokenizer.encode_as(text, rendered)?;
        let spans = encoding.starts.iter().zip(&encoding.ends);
        let in_completion = |byte: usize| byte.saturating_sub(end);
        Ok(Whole {
            spans: spans
                .map(|(&start, &end)| (in_completion(start), in_completion(end)))
                .collect(),
            ids: encoding.ids,
        })
    }

    /// What follows the border, of which `left` is the prompt's own.
    fn completion(
        &self,
        completion: &Completion,
        whole: Whole,
        border: usize,
        left: &[u32],
    ) -> EncodedCompletion {
        let Whole { mut ids, spans } = whole;
        let given = completion.tokens.is_some();
        let ended = given || self.prompt.rendered();
        if self.append_eos && !ended && !completion.text.ends_with(self.tokenizer.eos_text()) {
            ids.push(self.tokenizer.eos());
        }
        let tokens = ids.split_off(border);
        let controls = self.controls(left, &tokens);
        let marked = completion.scored.as_ref().filter(|_| !given);
        if controls == 0 && marked.is_none() {
            return EncodedCompletion {
                tokens,
                unscored: Vec::new(),
            };
        }
        let scored = (0..tokens.len()).map(|place| {
            // A token counts as marked if any of its bytes is, as in transformers' masks.
            let in_marks = |marks: &Vec<(usize, usize)>| match spans.get(border + place) {
                Some(&(start, end)) => marks.iter().any(|mark| mark.0 < end && start < mark.1),
                None => true,
            };
            place >= controls && marked.is_none_or(in_marks)
        });
        EncodedCompletion::masked(tokens, scored)
    }

    /// How many of the tokens after the border reach to the last special token that the prompt has there.
    fn controls(&self, left: &[u32], tokens: &[u32]) -> usize {
        let special = |id: &&u32| self.tokenizer.is_special(**id);
        let mut wanted = left.iter().filter(special).peekable();
        let mut reach = 0;
        for (place, id) in tokens.iter().enumerate() {
            if wanted.peek().is_none() {
                break;
            }
            if wanted.next_if_eq(&id).is_some() {
                reach = place + 1;
            }
        }
        reach
    }

    /// About how many of the oldest turns must go for the prompt to have `room` tokens; all if that is not
    /// enough.
    fn enough(&self, room: usize) -> Result<usize> {
        let Prompt::Parts { head, turns, .. } = self.prompt else {
            return Ok(0);
        };
        let encoding = self
            .tokenizer
            .encode_as(&self.prompt.text(), self.prompt.rendered())?;
        let before = |byte: usize| encoding.ends.partition_point(|&end| end <= byte);
        let first = before(head.len());
        let mut byte = head.len();
        let mut dropped = 0;
        while encoding.ids.len() - (before(byte) - first) > room && dropped < turns.len() {
            byte += turns[dropped].len();
            dropped += 1;
        }
        Ok(dropped)
    }
}

#[cfg(test)]
mod tests;
