//! What a limit of length cuts off, counted over a stage's examples, and refused where too little is left.

use anyhow::Result;

use crate::data::encode::Cuts;
use crate::stage::artifact::measures::{CutOff, Measures};
use crate::stage::settings::lengths::KEPT;
use crate::store::BadInput;

/// Examples named where too little is left of them.
const NAMED: usize = 5;

/// What was cut off some examples.
#[derive(Clone, Debug, Default)]
pub struct Cut {
    examples: usize,
    prompts: usize,
    prompt_tokens: usize,
    turns: usize,
    completions: usize,
    completion_tokens: usize,
    /// Tokens of all prompts before anything was cut, and after.
    whole: usize,
    left: usize,
    /// The share of a prompt that must be left.
    min_kept: f64,
    /// Prompts of whose text less is left, and the first of them by their examples.
    short: usize,
    named: Vec<String>,
}

impl Cut {
    /// Nothing so far; `min_kept` is the share of a prompt that must be left.
    pub fn new(min_kept: f64) -> Self {
        Self {
            min_kept,
            ..Self::default()
        }
    }

    /// Counts what was cut off the example of that id.
    pub fn add(&mut self, id: &str, cuts: &Cuts) {
        self.examples += 1;
        self.whole += cuts.prompt_tokens;
        self.left += cuts.left();
        self.prompts += usize::from(cuts.cut_prompt_tokens > 0);
        self.prompt_tokens += cuts.cut_prompt_tokens;
        self.turns += cuts.dropped_turns;
        self.completions += cuts.cut_completions;
        self.completion_tokens += cuts.cut_completion_tokens;
        if cuts.kept() < self.min_kept {
            self.short += 1;
            if self.named.len() < NAMED {
                self.named.push(id.to_owned());
            }
        }
    }

    /// Notes and measures what was cut to `limit`, such as "max_length 512", if anything was. `remedy` says what
    /// leaves more of a prompt.
    ///
    /// # Errors
    /// [`BadInput`] where too little is left of a prompt.
    pub fn settle(
        self,
        (what, limit): (&str, &str),
        remedy: &str,
        measures: &mut Measures,
    ) -> Result<()> {
        let short = match self.short {
            0 if (self.left as f64) < self.min_kept * self.whole as f64 => format!(
                "; less than {} of all prompts' tokens is left",
                self.min_kept
            ),
            0 => String::new(),
            short => format!(
                "; less than {} is left of the text of {short}, {}{}",
                self.min_kept,
                self.named.join(", "),
                if short > self.named.len() {
                    " and others"
                } else {
                    ""
                }
            ),
        };
        let Self {
            examples,
            prompts,
            prompt_tokens,
            turns,
            completions,
            completion_tokens,
            ..
        } = self;
        if prompts + completions == 0 {
            return Ok(());
        }
        let mut parts = Vec::new();
        if prompts > 0 {
            parts.push(format!(
                "{prompts} prompts ({prompt_tokens} tokens, {turns} whole turns among them, oldest first{short})"
            ));
        }
        if completions > 0 {
            parts.push(format!(
                "{completions} completions ({completion_tokens} tokens at their ends)"
            ));
        }
        let note = format!("{limit} cut {} of {examples} examples", parts.join(" and "));
        if !short.is_empty() {
            let message = format!("{note}; {remedy}, or set {KEPT} lower to cut them nevertheless");
            return Err(BadInput(message).into());
        }
        measures.note(format!("{what}: {note}"));
        measures.cuts.push(CutOff {
            what: what.to_owned(),
            limit: limit.to_owned(),
            prompts,
            completions,
            examples,
        });
        for (name, count) in [
            ("cut_prompts", prompts),
            ("cut_prompt_tokens", prompt_tokens),
            ("dropped_turns", turns),
            ("cut_completions", completions),
            ("cut_completion_tokens", completion_tokens),
        ] {
            *measures.numbers.entry(name.to_owned()).or_default() += count as f64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::settings::lengths::KEPT_DEFAULT;

    fn cut(prompt_tokens: usize, cut_prompt_tokens: usize) -> Cuts {
        Cuts {
            prompt_tokens,
            cut_prompt_tokens,
            cut_within: cut_prompt_tokens,
            ..Cuts::default()
        }
    }

    #[test]
    fn less_than_half_of_a_prompt_is_refused_by_name_unless_that_is_asked_for() {
        let settle = |min_kept: f64, measures: &mut Measures| {
            let mut counted = Cut::new(min_kept);
            for id in 0..9 {
                counted.add(&format!("row {id}"), &cut(10, if id < 2 { 5 } else { 6 }));
            }
            let of = ("train", "max_length 4");
            counted.settle(of, "raise max_length", measures)
        };
        let mut measures = Measures::default();
        let error = settle(KEPT_DEFAULT, &mut measures).unwrap_err();
        assert!(error.is::<BadInput>());
        let error = error.to_string();
        for part in [
            "max_length 4 cut 9 prompts",
            "less than 0.5 is left of the text of 7, row 2, row 3, row 4, row 5, row 6 and others",
            "raise max_length, or set min_prompt_kept lower",
        ] {
            assert!(error.contains(part), "{part}\nnot in\n{error}");
        }
        assert!(measures.notes.is_empty() && measures.numbers.is_empty());
        settle(0.4, &mut measures).unwrap();
        settle(0.4, &mut measures).unwrap();
        assert_eq!(measures.notes.len(), 2);
        assert_eq!(measures.numbers["cut_prompt_tokens"], 2.0 * 52.0);
        let cut = CutOff {
            what: "train".into(),
            limit: "max_length 4".into(),
            prompts: 9,
            completions: 0,
            examples: 9,
        };
        assert_eq!(measures.cuts, [cut.clone(), cut]);
    }

    #[test]
    fn whole_turns_may_go_but_not_most_of_all_prompts() {
        let turns = |cut_prompt_tokens| Cuts {
            cut_within: 0,
            ..cut(10, cut_prompt_tokens)
        };
        let settle = |all: [usize; 2]| {
            let mut counted = Cut::new(KEPT_DEFAULT);
            for gone in all {
                counted.add("row", &turns(gone));
            }
            counted.settle(
                ("train", "max_length 4"),
                "raise max_length",
                &mut Measures::default(),
            )
        };
        settle([8, 2]).unwrap();
        let error = settle([8, 3]).unwrap_err().to_string();
        assert!(
            error.contains("less than 0.5 of all prompts' tokens"),
            "{error}"
        );
    }

    #[test]
    fn what_fits_leaves_no_note() {
        let mut counted = Cut::new(1.0);
        counted.add("row 1", &cut(10, 0));
        let mut measures = Measures::default();
        counted
            .settle(("train", "max_length 10"), "", &mut measures)
            .unwrap();
        assert!(measures.notes.is_empty() && measures.numbers.is_empty());
        assert!(measures.cuts.is_empty());
    }
}
