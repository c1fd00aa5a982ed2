//! From a prompt and a completion to token ids, split by offset and cut where they are too long.

use anyhow::{Context as _, Result, ensure};
use rayon::prelude::*;

use crate::data::{Example, Prompt, Tokenizer};

/// Raised when the same text begins to give other tokens, or to be cut elsewhere, so that old artifacts are left.
pub const VERSION: u32 = 1;

/// A tokenised prompt with its completion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    pub tokens: Vec<u32>,
    /// How many of `tokens` are the prompt's.
    pub prompt_len: usize,
    /// Prompt tokens that `max_length` cut off.
    pub cut_prompt_tokens: usize,
    /// Completion tokens that `max_length` cut off; only where the completion alone was too long.
    pub cut_completion_tokens: usize,
    /// Whole turns dropped from the prompt, oldest first.
    pub dropped_turns: usize,
}

/// Tokenises prompt and completion as one text and splits by offset: a token belongs to the prompt
/// if it ends within it, so one that straddles the border is scored with the completion. (TRL cuts
/// where the tokens of the prompt alone and of both begin to differ; where no token straddles, that is
/// the same place.) With `append_eos` the end-of-text token follows, unless the completion already
/// ends in it, blanks aside, as a chat template's does.
///
/// Over `max_length` tokens, the oldest turns are dropped whole, then the oldest prompt tokens (a BOS
/// in front stays), and the completion is cut at its end only if it is too long alone.
///
/// # Errors
/// An empty completion, or text that the tokenizer refuses.
pub fn encode_pair(
    tokenizer: &Tokenizer,
    prompt: &Prompt,
    completion: &str,
    max_length: usize,
    append_eos: bool,
) -> Result<Encoded> {
    let (whole, ends) = encode_from(tokenizer, prompt, 0, completion, append_eos)?;
    let mut best = whole.clone();
    // Counting the tokens of each turn says nearly how many turns must go; text that begins elsewhere
    // may tokenise a little differently, hence the last steps one by one.
    let mut dropped_turns = enough(prompt, &ends, whole.tokens.len(), max_length).saturating_sub(1);
    if dropped_turns > 0 {
        best = encode_from(tokenizer, prompt, dropped_turns, completion, append_eos)?.0;
    }
    while best.tokens.len() > max_length && dropped_turns < prompt.droppable() {
        dropped_turns += 1;
        best = encode_from(tokenizer, prompt, dropped_turns, completion, append_eos)?.0;
    }
    let keep_first = usize::from(best.tokens.first().copied() == tokenizer.bos());
    let excess = best.tokens.len().saturating_sub(max_length);
    let cut = excess.min(best.prompt_len.saturating_sub(keep_first));
    best.tokens.drain(keep_first..keep_first + cut);
    best.prompt_len -= cut;
    // A completion that is too long alone takes the place of a BOS too, but for one token.
    let excess = best
        .tokens
        .len()
        .saturating_sub(max_length.max(best.prompt_len + 1));
    best.tokens.truncate(best.tokens.len() - excess);
    best.cut_completion_tokens = excess;
    best.cut_prompt_tokens = whole.prompt_len - best.prompt_len;
    best.dropped_turns = dropped_turns;
    Ok(best)
}

/// Token ids of a prompt alone, cut like [`encode_pair`] cuts.
///
/// # Errors
/// A prompt without a single token, or text that the tokenizer refuses.
pub fn encode_prompt(
    tokenizer: &Tokenizer,
    prompt: &Prompt,
    max_length: usize,
) -> Result<Vec<u32>> {
    let mut ids = tokenizer.encode(&prompt.text())?.ids;
    let mut dropped = 0;
    while ids.len() > max_length && dropped < prompt.droppable() {
        dropped += 1;
        ids = tokenizer.encode(&prompt.text_from(dropped))?.ids;
    }
    let excess = ids.len().saturating_sub(max_length);
    let keep_first = usize::from(ids.first().copied() == tokenizer.bos()).min(ids.len());
    let cut = excess.min(ids.len() - keep_first);
    ids.drain(keep_first..keep_first + cut);
    ensure!(!ids.is_empty(), "the prompt is empty");
    Ok(ids)
}

/// [`encode_pair`] of every completion of every example, on all cores; order is kept.
///
/// # Errors
/// As [`encode_pair`], with the example's id.
pub fn encode_all(
    tokenizer: &Tokenizer,
    examples: &[Example],
    max_length: usize,
    append_eos: bool,
) -> Result<Vec<Vec<Encoded>>> {
    let encode = |example: &Example| {
        let texts = example
            .completions
            .iter()
            .map(|completion| &completion.text);
        texts
            .map(|text| encode_pair(tokenizer, &example.prompt, text, max_length, append_eos))
            .collect::<Result<Vec<_>>>()
            .with_context(|| format!("example {}", example.id))
    };
    examples.par_iter().map(encode).collect()
}

/// About how many of the oldest turns must go for `tokens` to become `max_length`; all if that is not
/// enough.
fn enough(prompt: &Prompt, ends: &[usize], tokens: usize, max_length: usize) -> usize {
    let Prompt::Parts { head, turns, .. } = prompt else {
        return 0;
    };
    let before = |byte: usize| ends.partition_point(|&end| end <= byte);
    let first = before(head.len());
    let mut byte = head.len();
    let mut dropped = 0;
    while tokens - (before(byte) - first) > max_length && dropped < turns.len() {
        byte += turns[dropped].len();
        dropped += 1;
    }
    dropped
}

/// The tokens without the `dropped` oldest turns, nothing cut, and where in the text each one ends.
fn encode_from(
    tokenizer: &Tokenizer,
    prompt: &Prompt,
    dropped: usize,
    completion: &str,
    append_eos: bool,
) -> Result<(Encoded, Vec<usize>)> {
    let prompt = prompt.text_from(dropped);
    let border = prompt.len();
    let encoding = tokenizer.encode(&(prompt + completion))?;
    let prompt_len = encoding.ends.partition_point(|&end| end <= border);
    let mut tokens = encoding.ids;
    ensure!(prompt_len < tokens.len(), "the completion is empty");
    let ended = completion.trim_end().ends_with(tokenizer.eos_text());
    if append_eos && !ended {
        tokens.push(tokenizer.eos());
    }
    let encoded = Encoded {
        tokens,
        prompt_len,
        cut_prompt_tokens: 0,
        cut_completion_tokens: 0,
        dropped_turns: 0,
    };
    Ok((encoded, encoding.ends))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tokenizer() -> Tokenizer {
        let texts = (0..300).map(|i| format!("User: hello {i}\nBot: i have {} cats.\n", i % 7));
        Tokenizer::train_bpe(texts.collect(), 400).unwrap()
    }

    fn parts(turns: usize) -> Prompt {
        Prompt::parts(
            "Persona:\n- i have 3 cats.\n".into(),
            (0..turns).map(|i| format!("User: hello {i}\n")).collect(),
            "User: cats?\nBot:".into(),
        )
    }

    #[test]
    fn what_fits_is_whole_and_ends_with_one_eos() {
        let tokenizer = tokenizer();
        let encoded = encode_pair(&tokenizer, &parts(3), " i have 3 cats.", 1000, true).unwrap();
        let (prompt, completion) = encoded.tokens.split_at(encoded.prompt_len);
        assert_eq!(tokenizer.decode(prompt).unwrap(), parts(3).text());
        assert_eq!(tokenizer.decode(completion).unwrap(), " i have 3 cats.");
        let eos = encoded.tokens.iter().filter(|&&t| t == tokenizer.eos());
        assert_eq!(eos.count(), 1);
        assert_eq!((encoded.cut_prompt_tokens, encoded.dropped_turns), (0, 0));
    }

    #[test]
    fn the_oldest_turns_go_first_and_the_persona_stays() {
        let tokenizer = tokenizer();
        let whole = encode_pair(&tokenizer, &parts(6), " yes.", 1000, true).unwrap();
        let limit = whole.tokens.len() - 8;
        let cut = encode_pair(&tokenizer, &parts(6), " yes.", limit, true).unwrap();
        assert!(cut.tokens.len() <= limit);
        assert!(cut.dropped_turns >= 1 && cut.dropped_turns < 6);
        let text = tokenizer.decode(&cut.tokens).unwrap();
        assert!(text.starts_with("Persona:\n- i have 3 cats.\n"), "{text}");
        assert!(
            !text.contains("hello 0") && text.contains("hello 5"),
            "{text}"
        );
        assert_eq!(cut.cut_prompt_tokens, whole.prompt_len - cut.prompt_len);
    }

    #[test]
    fn a_template_that_ends_a_reply_itself_is_not_ended_twice() {
        let tokenizer = tokenizer();
        let prompt = Prompt::Text("User: hello\nBot:".into());
        let eos = |text: &str| {
            let encoded = encode_pair(&tokenizer, &prompt, text, 100, true).unwrap();
            let eos = encoded.tokens.iter().filter(|&&t| t == tokenizer.eos());
            eos.count()
        };
        assert_eq!(eos(" hi.<|endoftext|>\n"), 1);
        assert_eq!(eos(" hi.\n"), 1);
        assert!(encode_pair(&tokenizer, &prompt, "", 100, true).is_err());
    }

    #[test]
    fn a_token_across_the_border_belongs_to_the_completion() {
        let tokenizer = tokenizer();
        let alone = tokenizer.encode("User: ").unwrap().ids;
        let prompt = Prompt::Text("User: ".into());
        let encoded = encode_pair(&tokenizer, &prompt, "hello 3", 100, false).unwrap();
        assert_eq!(encoded.prompt_len, alone.len() - 1);
        let completion = &encoded.tokens[encoded.prompt_len..];
        assert_eq!(tokenizer.decode(completion).unwrap(), " hello 3");
    }

    #[test]
    fn all_are_encoded_in_order_and_a_bad_one_is_named() {
        use crate::data::{Completion, Role};
        let tokenizer = tokenizer();
        let example = |id: usize, text: &str| Example {
            id: id.to_string(),
            group: id.to_string(),
            prompt: parts(id),
            completions: vec![Completion::new(text, Role::Reply)],
            meta: Default::default(),
        };
        let examples: Vec<_> = (0..20).map(|id| example(id, " yes.")).collect();
        let all = encode_all(&tokenizer, &examples, 50, true).unwrap();
        for (turns, encoded) in all.iter().enumerate() {
            let one = encode_pair(&tokenizer, &parts(turns), " yes.", 50, true).unwrap();
            assert_eq!(encoded, &[one]);
        }
        let error = encode_all(&tokenizer, &[example(7, "")], 50, true).unwrap_err();
        assert_eq!(format!("{error:#}"), "example 7: the completion is empty");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_completion_is_emptied_and_no_limit_is_passed(
            turns in 0usize..8, reply in "[a-z .é]{1,60}", limit in 2usize..120,
        ) {
            let tokenizer = tokenizer_once();
            let prompt = parts(turns);
            let whole = encode_pair(tokenizer, &prompt, &reply, 10_000, true).unwrap();
            let cut = encode_pair(tokenizer, &prompt, &reply, limit, true).unwrap();
            prop_assert!(cut.tokens.len() <= limit);
            prop_assert!(cut.tokens.len() > cut.prompt_len);
            prop_assert_eq!(tokenizer.decode(&whole.tokens).unwrap(), prompt.text() + &reply);
            // No more turns go than must.
            if let (Prompt::Parts { head, turns, tail, .. }, 1..) = (&prompt, cut.dropped_turns) {
                let turns = turns[cut.dropped_turns - 1..].to_vec();
                let one_more = Prompt::parts(head.clone(), turns, tail.clone());
                let one_more = encode_pair(tokenizer, &one_more, &reply, 10_000, true).unwrap();
                prop_assert!(one_more.tokens.len() > limit);
            }
            let length = |e: &Encoded| e.tokens.len() - e.prompt_len;
            prop_assert_eq!(length(&cut) + cut.cut_completion_tokens, length(&whole));
            if whole.tokens.len() <= limit {
                prop_assert_eq!(&cut, &whole);
            }
            if length(&whole) <= limit {
                prop_assert_eq!(cut.cut_completion_tokens, 0);
            }
        }
    }

    fn tokenizer_once() -> &'static Tokenizer {
        static ONCE: std::sync::OnceLock<Tokenizer> = std::sync::OnceLock::new();
        ONCE.get_or_init(tokenizer)
    }
}
