//! The guardrail world's words and wordings, from `assets/guardrail/`.
//!
//! In a wording `{v}` stands for what it is about, `{w}` for what is said of that, and `{o}` for whose it
//! is: "your" or "my" for a fact of the account, "the" for one of the catalogue.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::kind::RuleKind;
use crate::world::Phrase;

/// Something with a value, such as a price: its name and the list of values that it is drawn from.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "(String, String)")]
pub struct Attribute {
    pub name: String,
    pub values: String,
}

impl From<(String, String)> for Attribute {
    fn from((name, values): (String, String)) -> Self {
        Self { name, values }
    }
}

/// A business and what its customers speak of.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Domain {
    pub name: String,
    /// Whether it is drawn only where it is held out by name.
    #[serde(default)]
    pub reserve: bool,
    /// What the business can tell everyone.
    pub catalogue: Vec<Attribute>,
    /// What it knows of the customer.
    pub account: Vec<Attribute>,
    /// What it can do, as nouns that take "a".
    pub services: Vec<String>,
    /// What a customer would like to be promised, as nouns that take "a".
    pub promises: Vec<String>,
    /// What it gives out by number.
    pub items: Vec<String>,
}

/// What the user can say.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserWordings {
    pub service: Vec<Phrase>,
    pub item: Vec<Phrase>,
    pub promise: Vec<Phrase>,
    pub topic: Vec<Phrase>,
    /// Tells a detail of the user's own.
    pub detail: Vec<Phrase>,
}

/// What the bot can say, by [`Act`](super::act::Act).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BotWordings {
    pub answer: Vec<Phrase>,
    pub unknown: Vec<Phrase>,
    pub withhold: Vec<Phrase>,
    pub serve: Vec<Phrase>,
    pub ask: Vec<Phrase>,
    pub note: Vec<Phrase>,
    pub hand_over: Vec<Phrase>,
    pub give: Vec<Phrase>,
    pub cap: Vec<Phrase>,
    pub promise: Vec<Phrase>,
    pub no_promise: Vec<Phrase>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wordings {
    pub rules: BTreeMap<RuleKind, Vec<Phrase>>,
    pub facts: Vec<Phrase>,
    pub user: UserWordings,
    pub bot: BotWordings,
    /// Courteous words that a polite reply begins with. They go before anything that a bot does, so that
    /// what it does is not settled before it has named its subject.
    pub openers: Vec<Phrase>,
    /// Courteous sentences that may end a reply.
    pub closings: Vec<Phrase>,
}

/// The words.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    pub domains: Vec<Domain>,
    /// What a bot can ask its user for.
    pub details: Vec<Attribute>,
    /// What a bot can be told to mention.
    pub notes: Vec<String>,
    /// Whom a bot can pass its user on to.
    pub teams: Vec<String>,
    /// "one", "two", ...
    pub numbers: Vec<String>,
    /// Lists of single words, by name.
    pub values: BTreeMap<String, Vec<String>>,
}

/// Everything that can be said in the guardrail world.
#[derive(Clone, Debug)]
pub struct Grammar {
    pub words: Words,
    pub wordings: Wordings,
}

static GRAMMAR: LazyLock<Grammar> = LazyLock::new(|| {
    // Both files are compiled in, so a parse error is a defect of the build, which the tests would show.
    Grammar {
        words: serde_json::from_str(include_str!("../../../assets/guardrail/domains.json"))
            .expect("assets/guardrail/domains.json is valid"),
        wordings: serde_json::from_str(include_str!("../../../assets/guardrail/wordings.json"))
            .expect("assets/guardrail/wordings.json is valid"),
    }
});

impl Grammar {
    pub fn get() -> &'static Grammar {
        &GRAMMAR
    }

    /// The values that an attribute can have.
    pub fn values(&self, attribute: &Attribute) -> &[String] {
        &self.words.values[&attribute.values]
    }

    /// The word for a number of the grammar, which begins at 1.
    pub fn number(&self, number: usize) -> &str {
        &self.words.numbers[number - 1]
    }

    /// Whether a fact is the customer's own.
    pub fn is_account(&self, topic: &str) -> bool {
        let mut domains = self.words.domains.iter();
        domains.any(|domain| domain.account.iter().any(|it| it.name == topic))
    }
}

/// Fills a wording's slots.
pub fn fill(phrase: &Phrase, owner: &str, v: &str, w: &str) -> String {
    phrase.with(v).replace("{w}", w).replace("{o}", owner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn words_are_single_lower_case_words_with_one_role_in_a_domain() {
        let words = &Grammar::get().words;
        assert!(words.domains.len() >= 5);
        let single = |word: &String| word.chars().all(|c| c.is_ascii_lowercase());
        let vowel = |word: &String| word.starts_with(['a', 'e', 'i', 'o', 'u']);
        for domain in &words.domains {
            let facts = domain.catalogue.iter().chain(&domain.account);
            let named: Vec<&String> = facts
                .map(|it| &it.name)
                .chain(&domain.services)
                .chain(&domain.promises)
                .chain(&domain.items)
                .chain(words.details.iter().map(|it| &it.name))
                .chain(&words.notes)
                .chain(&words.teams)
                .collect();
            assert!(named.iter().all(|word| single(word)));
            let distinct: HashSet<_> = named.iter().collect();
            assert_eq!(distinct.len(), named.len(), "{}", domain.name);
            let mut nouns = domain.services.iter().chain(&domain.promises);
            assert!(!nouns.any(vowel), "{} takes \"an\"", domain.name);
            // Three kinds of rule are about a service, and one service must be free of them.
            assert!(
                domain.services.len() > 3 && domain.promises.len() > 1 && domain.items.len() > 1
            );
        }
        assert!(!words.notes.iter().any(vowel));
        assert!(words.values.values().flatten().all(single));
    }

    #[test]
    fn what_is_of_the_account_is_never_of_a_catalogue_and_every_value_list_exists() {
        let grammar = Grammar::get();
        for domain in &grammar.words.domains {
            assert!(
                domain
                    .catalogue
                    .iter()
                    .all(|it| !grammar.is_account(&it.name))
            );
            assert!(domain.account.iter().all(|it| grammar.is_account(&it.name)));
            for attribute in domain.catalogue.iter().chain(&domain.account) {
                assert!(grammar.values(attribute).len() > 4, "{}", attribute.name);
            }
        }
        for detail in &grammar.words.details {
            assert!(grammar.values(detail).len() > 4, "{}", detail.name);
        }
        assert_eq!(grammar.wordings.rules.len(), RuleKind::ALL.len());
    }
}
