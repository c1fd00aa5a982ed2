//! Dull replies: such as could answer anything, and in the data do.
//!
//! A reply is dull where each of its sentences is generic, by both
//!
//! - frequency: alone, it is the data's whole reply to at least 0.5% of the distinct prompts (and to at least five);
//! - specificity: those prompts have nothing in common. No word is in the last turn of half of them or more, and there
//!   at least twice as often as in the last turns of all prompts. ("I am fine, how are you?" may be frequent, but answers
//!   such as ask how one is.)
//!
//! Sentences rather than replies are counted so that dull ones strung together are dull too. They must have stood
//! alone, since what is often part of a reply need not be one. What the data's speakers never say cannot be known to
//! be generic, so that a dullness of a model's own making is for self-BLEU and distinct-n to show.
//!
//! Beside it, [`Genericness::specificity`] is the usual one by rare words: with `R` replies of which `c` have the word
//! `w`, `IDF(w) = ln(R / c)`; NIDF is IDF scaled to run from 0 for the commonest word to 1 for the rarest, and a reply's
//! specificity the mean NIDF of its words (See et al., 2019, arXiv 1902.08654). It does not decide what is dull: in the
//! impression world it tells dull replies from others no better than chance, as what is said too often makes its own
//! words common, and what is said by nobody else makes them rare.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::text::{average, words};
use crate::data::Prompt;

/// The share of distinct prompts that a generic sentence answers alone, at least.
pub const SHARE: f64 = 0.005;

/// Distinct prompts that it answers alone, at least, however few there are.
pub const LEAST: usize = 5;

/// A word is common to the prompts that a sentence answers where at least this share of them has it, ...
pub const COMMON: f64 = 0.5;

/// ... and where it is at least so many times as frequent as in all prompts.
pub const LIFT: f64 = 2.0;

/// What a corpus' replies say of how generic a reply is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Genericness {
    /// Distinct prompts of the corpus.
    pub prompts: usize,
    /// Each word's NIDF.
    nidf: BTreeMap<String, f64>,
    /// The generic sentences, as words joined by blanks.
    sentences: BTreeSet<String>,
}

impl Genericness {
    /// Learns it from a corpus' prompts and their replies. A prompt may come with several. The last turn of one that is
    /// mere text is taken to be on its last two lines that are not empty, of which the very last may only say whose turn
    /// it is.
    pub fn of<R: AsRef<str>>(corpus: impl IntoIterator<Item = (Prompt, R)>) -> Self {
        let mut replies = 0;
        let mut replies_with: BTreeMap<String, usize> = BTreeMap::new();
        let mut prompts = Prompts::default();
        let mut alone: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
        for (prompt, reply) in corpus {
            let prompt = prompts.add(&prompt);
            replies += 1;
            for word in words(reply.as_ref()).into_iter().collect::<BTreeSet<_>>() {
                *replies_with.entry(word).or_default() += 1;
            }
            if let [sentence] = sentences(reply.as_ref()).as_slice() {
                alone.entry(sentence.clone()).or_default().insert(prompt);
            }
        }
        let least = (SHARE * prompts.words.len() as f64).max(LEAST as f64);
        alone.retain(|_, answers| answers.len() as f64 >= least && !prompts.in_common(answers));
        Self {
            prompts: prompts.words.len(),
            nidf: normalised(replies_with, replies),
            sentences: alone.into_keys().collect(),
        }
    }

    /// Whether each sentence of a reply is generic. One without words is not.
    pub fn dull(&self, reply: &str) -> bool {
        let said = sentences(reply);
        !said.is_empty() && said.iter().all(|it| self.sentences.contains(it))
    }

    /// Mean NIDF of a reply's words, from 0 to 1; a word that the corpus does not have counts 1. Nothing for a reply
    /// without words.
    pub fn specificity(&self, reply: &str) -> Option<f64> {
        average(words(reply).iter().map(|word| self.nidf(word)))
    }

    /// The generic sentences, for a reader to judge.
    pub fn sentences(&self) -> impl Iterator<Item = &str> {
        self.sentences.iter().map(String::as_str)
    }

    fn nidf(&self, word: &str) -> f64 {
        self.nidf.get(word).copied().unwrap_or(1.0)
    }
}

/// Distinct prompts, numbered, by the words of their last turns.
#[derive(Default)]
struct Prompts {
    numbers: HashMap<blake3::Hash, usize>,
    /// Each prompt's words, by number.
    words: Vec<Vec<usize>>,
    vocabulary: HashMap<String, usize>,
    /// How many prompts have each word.
    having: Vec<usize>,
}

impl Prompts {
    /// The prompt's number.
    fn add(&mut self, prompt: &Prompt) -> usize {
        let text = prompt.shown();
        let next = self.words.len();
        let number = *self
            .numbers
            .entry(blake3::hash(text.as_bytes()))
            .or_insert(next);
        if number == next {
            let found: BTreeSet<String> = match prompt.history() {
                Some(_) => words(prompt.turns().next_back().map_or("", |turn| &turn.text)),
                None => {
                    let lines = text.lines().rev().filter(|line| !line.trim().is_empty());
                    lines.take(2).flat_map(words).collect()
                }
            }
            .into_iter()
            .collect();
            let found = found.into_iter().map(|word| {
                let next = self.vocabulary.len();
                *self.vocabulary.entry(word).or_insert(next)
            });
            let found: Vec<usize> = found.collect();
            self.having.resize(self.vocabulary.len(), 0);
            found.iter().for_each(|&word| self.having[word] += 1);
            self.words.push(found);
        }
        number
    }

    /// Whether some of them have a word in common that is rarer elsewhere.
    fn in_common(&self, some: &BTreeSet<usize>) -> bool {
        let mut having: BTreeMap<usize, usize> = BTreeMap::new();
        for &word in some.iter().flat_map(|&prompt| &self.words[prompt]) {
            *having.entry(word).or_default() += 1;
        }
        having.into_iter().any(|(word, count)| {
            let share = count as f64 / some.len() as f64;
            let of_all = self.having[word] as f64 / self.words.len() as f64;
            share >= COMMON && share >= LIFT * of_all
        })
    }
}

/// NIDF of each word by the number of replies that have it. Where all words are as common, none is known to be common.
fn normalised(replies_with: BTreeMap<String, usize>, replies: usize) -> BTreeMap<String, f64> {
    let idf = |count: usize| (replies as f64 / count as f64).ln();
    let most = replies_with.values().max().map_or(0.0, |&count| idf(count));
    let least = replies_with.values().min().map_or(0.0, |&count| idf(count));
    let words = replies_with.into_iter();
    let normalised = words.map(|(word, count)| match least > most {
        true => (word, (idf(count) - most) / (least - most)),
        false => (word, 1.0),
    });
    normalised.collect()
}

/// The sentences of a text, each as its words joined by blanks; those without words are left out. A sentence ends at a
/// line's end, at a full-width mark, and at a full stop, question or exclamation mark that a blank or nothing follows.
fn sentences(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut start = 0;
    let ends = text.char_indices().filter_map(|(at, mark)| {
        let next = at + mark.len_utf8();
        let breaks = text[next..].chars().next().is_none_or(char::is_whitespace);
        match mark {
            '\n' | '。' | '！' | '？' => Some(next),
            '.' | '?' | '!' if breaks => Some(next),
            _ => None,
        }
    });
    for end in ends.chain([text.len()]) {
        let sentence = words(&text[start..end]).join(" ");
        if !sentence.is_empty() {
            found.push(sentence);
        }
        start = end;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::chat::ChatTemplate;
    use crate::data::render::render;
    use crate::data::{Example, Speaker, Turn, template};
    use crate::world::impression::{ImpressionWorld, is_dull};

    #[test]
    fn sentences_by_their_marks() {
        assert_eq!(
            sentences("I see. Is it 3.5, or more?! Hm...  そうですね。はい！\nno"),
            [
                "i see",
                "is it 3 5 or more",
                "hm",
                "そうですね",
                "はい",
                "no"
            ]
        );
        assert!(sentences(" ... \n").is_empty());
    }

    #[test]
    fn specificity_by_hand() {
        // Of 4 replies, "i" is in all, "tea" in 2, "like" in 2, "oolong" in 1.
        let corpus = [
            ("a", "i like tea"),
            ("b", "i like oolong tea"),
            ("c", "i i"),
            ("d", "i"),
        ];
        let corpus = corpus.map(|(prompt, reply)| (Prompt::Text(prompt.into()), reply));
        let found = Genericness::of(corpus);
        assert_eq!(found.prompts, 4);
        assert_eq!(found.specificity("I, i."), Some(0.0));
        assert_eq!(found.specificity("oolong"), Some(1.0));
        // ln 2 / ln 4.
        assert!((found.specificity("like tea").unwrap() - 0.5).abs() < 1e-12);
        assert!((found.specificity("i tea unheard").unwrap() - 0.5).abs() < 1e-12);
        assert_eq!(found.specificity("..."), None);
        // Fewer than five prompts are too few to tell.
        assert!(!found.dull("i"));
    }

    /// A corpus of 601 prompts: a twelfth answered by "I see.", as many that ask for tea by "Here it is.", one forty
    /// times by the same, and all others with a sentence that never stands alone.
    fn corpus() -> Vec<(Prompt, String)> {
        let reply = |prompt: usize| match prompt % 60 {
            0..5 => ("what", "I see.".to_owned()),
            5..10 => ("tea, please", "Here it is.".to_owned()),
            _ => ("what", format!("So it is. I like number {prompt} a lot.")),
        };
        let one = |number: usize| {
            let (asked, reply) = reply(number);
            let prompt = format!("Bot: tea?\nUser: {number} {asked}?\nBot:");
            (Prompt::Text(prompt), reply)
        };
        let mut corpus: Vec<_> = (0..600).map(one).collect();
        corpus.extend((0..40).map(|_| (Prompt::Text("again".into()), "Very well.".to_owned())));
        corpus
    }

    #[test]
    fn dull_is_what_answers_many_prompts_alone_that_have_nothing_in_common() {
        let found = Genericness::of(corpus());
        assert_eq!(found.sentences().collect::<Vec<_>>(), ["i see"]);
        assert!(found.dull("i see") && found.dull("I see. I see!"));
        for reply in [
            "",
            "I see. I like tea.",
            "Very well.",
            "So it is.",
            "Here it is.",
        ] {
            assert!(!found.dull(reply), "{reply}");
        }
        let text = serde_json::to_string(&found).unwrap();
        assert_eq!(serde_json::from_str::<Genericness>(&text).unwrap(), found);
    }

    #[test]
    fn it_is_the_same_whatever_template_wrote_the_prompts() {
        let source = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}\
                      {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
        let chatml = ChatTemplate::new(source.into(), Default::default()).unwrap();
        let said = |(at, (_, reply)): (usize, (Prompt, String))| {
            let text = match reply.as_str() {
                "Here it is." => format!("{at} tea, please"),
                _ => format!("{at} what"),
            };
            let speaker = Speaker::User;
            let prompt = template::prompt(String::new(), &[Turn { speaker, text }]);
            (prompt, reply)
        };
        let plain: Vec<(Prompt, String)> = corpus().into_iter().enumerate().map(said).collect();
        let written = plain.iter().map(|(prompt, reply)| {
            let written = render(prompt, &[], Some(&chatml)).unwrap().0;
            assert!(written.rendered());
            (written.into_owned(), reply)
        });
        let written = Genericness::of(written);
        assert_eq!(written, Genericness::of(plain.clone()));
        assert!(written.dull("I see.") && !written.dull("Here it is."));
        assert_eq!(written.prompts, plain.len());
    }

    /// Precision and recall of `dull` against the truth.
    fn rates(found: &Genericness, examples: &[Example]) -> [f64; 2] {
        let (mut both, mut said, mut true_) = (0.0, 0.0, 0.0);
        for example in examples {
            let reply = &example.completions[0].text;
            let (dull, truth) = (found.dull(reply), is_dull(reply));
            both += f64::from(u8::from(dull && truth));
            said += f64::from(u8::from(dull));
            true_ += f64::from(u8::from(truth));
        }
        assert!(true_ > 100.0);
        [both / said, both / true_]
    }

    #[test]
    fn it_finds_the_impression_worlds_dull_replies() {
        let world = |seed, dull| {
            let world = ImpressionWorld {
                seed,
                dull,
                train: 1,
                valid: 1,
                test: 1,
                prompts: 0,
                ..Default::default()
            };
            world.generate().unwrap().pretrain
        };
        let other = world(2, 0.3);
        for dull in [0.3, 0.1] {
            let own = world(1, dull);
            let pairs = own
                .iter()
                .map(|it| (it.prompt.clone(), &it.completions[0].text));
            let found = Genericness::of(pairs);
            for examples in [&own, &other] {
                let [precision, recall] = rates(&found, examples);
                assert!(precision > 0.99 && recall > 0.99, "{precision} {recall}");
            }
        }
    }
}
