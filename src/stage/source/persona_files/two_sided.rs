//! RealPersonaChat as persona dialogues, both sides in turn the bot, and ranking items from people who are left out of them.
//!
//! Nobody has labelled which Japanese reply a persona entails or contradicts. What can be had without labels: people keep
//! to their own personas, so that what one of them says in another dialogue on the same thing is entailed by the same
//! persona. What contradicts it cannot be had so, and no candidate is called that.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::statements::{Matter, Place, Statements, said};
use crate::data::leak::held_out;
use crate::data::real_persona_chat_personas::{Chat, Chats, real_persona_chat_personas};
use crate::data::{Dialogue, RankingItem};
use crate::stage::artifact::measures::Measures;
use crate::stage::settings::keys::{COUNT, Keys};
use crate::stage::work::streams;
use crate::store::BadInput;

/// Entailed candidates of an item at most; Dialogue-NLI's have ten.
const ENTAILED: usize = 10;

/// Candidates that are anything other people say, and as many that they say of themselves.
const OTHERS: usize = 10;

/// How many items are built, and of how many people.
pub struct Items {
    people: usize,
    items: usize,
}

impl Items {
    pub fn read(keys: &mut Keys<'_>) -> Self {
        Self {
            people: keys
                .doc("RealPersonaChat: people whose dialogues are all held out, and give ranking items")
                .usize("ranking_people", 20, 1..=COUNT),
            items: keys
                .doc("RealPersonaChat: ranking items at most, drawn from all")
                .usize("ranking_items", 300, 1..=COUNT),
        }
    }
}

/// What is read of an archive.
pub struct TwoSided {
    /// Both views of each dialogue that is not held out.
    pub dialogues: Vec<Vec<Dialogue>>,
    pub items: Vec<RankingItem>,
    /// Dialogues, not views, that are held out.
    pub held_out: usize,
}

/// Reads an archive, and builds items by the draws of `seed`.
///
/// # Errors
/// What the reader finds wrong; too few people of whom items can be built.
pub fn two_sided(
    path: &Path,
    wanted: &Items,
    seed: u64,
    measures: &mut Measures,
) -> Result<TwoSided> {
    let found = real_persona_chat_personas(path)?;
    let statements = Statements::of(&found);
    let mut rng = streams::seeded(seed, "ranking");
    let mut by_person: BTreeMap<&str, Vec<&Matter>> = BTreeMap::new();
    for matter in &statements.matters {
        by_person.entry(&matter.person).or_default().push(matter);
    }
    let mut people: Vec<&str> = by_person.keys().copied().collect();
    if people.len() < wanted.people {
        let message = format!(
            "{}: only {} people say the same of themselves in several dialogues, too few for {}; lower ranking_people",
            path.display(),
            people.len(),
            wanted.people
        );
        return Err(BadInput(message).into());
    }
    people.shuffle(&mut rng);
    people.truncate(wanted.people);
    let people: BTreeSet<&str> = people.into_iter().collect();

    let builder = Builder::new(&found, &statements, &people);
    let mut golds: BTreeMap<Place, &Matter> = BTreeMap::new();
    for &matter in people.iter().flat_map(|person| &by_person[person]) {
        for &place in &matter.places {
            // One that names several things is an item of the first.
            golds.entry(place).or_insert(matter);
        }
    }
    let mut golds: Vec<(Place, &Matter)> = golds.into_iter().collect();
    let possible = golds.len();
    golds.shuffle(&mut rng);
    let mut items = Vec::new();
    for (place, matter) in golds {
        if items.len() < wanted.items {
            items.extend(
                builder
                    .item(place, matter, &mut rng)
                    .map(|item| (place, item)),
            );
        }
    }
    // Those of one dialogue share their history.
    items.sort_by_key(|(place, _)| *place);
    let items: Vec<RankingItem> = items.into_iter().map(|(_, item)| item).collect();
    if items.is_empty() {
        let message = format!(
            "{}: no ranking item can be built of {} people; raise ranking_people",
            path.display(),
            people.len()
        );
        return Err(BadInput(message).into());
    }

    let chats = found.chats.len();
    let views = |chat: &Chat| -> Vec<Dialogue> {
        let side = |bot: usize| chat.view(bot, &found.personas[&chat.people[bot]]);
        vec![side(0), side(1)]
    };
    let left = found.chats.iter().filter(|chat| !is_of(chat, &people));
    let mut dialogues: Vec<Vec<Dialogue>> = left.map(views).collect();
    let first: Vec<Dialogue> = dialogues.iter().map(|both| both[0].clone()).collect();
    let leaked = held_out(&first, &items);
    dialogues.retain(|both| !leaked.contains(&both[0].id));
    measures.note(format!(
        "{}: {chats} dialogues of two sides ({} there again); {} of {possible} possible ranking items of {} people; held \
         out: {} dialogues of theirs, {} like an item's",
        path.display(),
        found.repeated,
        items.len(),
        people.len(),
        chats - dialogues.len() - leaked.len(),
        leaked.len()
    ));
    Ok(TwoSided {
        held_out: chats - dialogues.len(),
        dialogues,
        items,
    })
}

/// Whether one of these people takes part.
fn is_of(chat: &Chat, people: &BTreeSet<&str>) -> bool {
    chat.people.iter().any(|it| people.contains(&**it))
}

/// What items are built from, all of it held out.
struct Builder<'a> {
    found: &'a Chats,
    statements: &'a Statements,
    turns: Vec<Place>,
    /// Those of them in which people speak of themselves.
    of_themselves: Vec<Place>,
}

impl<'a> Builder<'a> {
    fn new(found: &'a Chats, statements: &'a Statements, people: &BTreeSet<&str>) -> Self {
        let held = |chat: usize| is_of(&found.chats[chat], people);
        let chats = (0..found.chats.len()).filter(|&chat| held(chat));
        let turns = chats.flat_map(|chat| {
            let turns = 0..found.chats[chat].turns.len();
            turns.map(move |turn| Place { chat, turn })
        });
        let of_themselves = statements.all.iter().filter(|place| held(place.chat));
        Self {
            found,
            statements,
            turns: turns.collect(),
            of_themselves: of_themselves.copied().collect(),
        }
    }

    /// The item whose true reply is said at a place; nothing where others say the very same or nothing.
    fn item(&self, gold: Place, matter: &Matter, rng: &mut ChaCha8Rng) -> Option<RankingItem> {
        let chats = &self.found.chats;
        let (reply, person) = said(chats, gold);
        let mut seen: BTreeSet<&str> = [reply].into();
        let elsewhere = matter.places.iter().filter(|it| it.chat != gold.chat);
        let elsewhere: Vec<Place> = elsewhere.copied().collect();
        let entailed = self.draw(&elsewhere, ENTAILED, &mut seen, rng);
        let of_others = |places: &[Place]| -> Vec<Place> {
            let foreign = |place: &&Place| {
                let (text, who) = said(chats, **place);
                place.chat != gold.chat && who != person && !self.statements.touches(person, text)
            };
            places.iter().filter(foreign).copied().collect()
        };
        let of_themselves = of_others(&self.of_themselves);
        let mut random = self.draw(&of_themselves, OTHERS, &mut seen, rng);
        random.extend(self.draw(&of_others(&self.turns), OTHERS, &mut seen, rng));
        if entailed.is_empty() || random.is_empty() {
            return None;
        }
        let chat = &chats[gold.chat];
        let bot = chat.turns[gold.turn].0;
        let labelled = |texts: Vec<&str>, label: &str| -> Vec<(String, String)> {
            let texts = texts.into_iter();
            texts.map(|it| (it.to_owned(), label.to_owned())).collect()
        };
        Some(RankingItem {
            id: format!("{}:{person}:{}", chat.id, gold.turn),
            persona: self.found.personas[person].clone(),
            history: chat.history(bot, gold.turn),
            candidates: [
                labelled(vec![reply], "hits"),
                labelled(entailed, "entail"),
                labelled(random, "random"),
            ]
            .concat(),
        })
    }

    /// Texts said at some of the places, each another one than those seen.
    fn draw(
        &self,
        places: &[Place],
        wanted: usize,
        seen: &mut BTreeSet<&'a str>,
        rng: &mut ChaCha8Rng,
    ) -> Vec<&'a str> {
        let mut drawn = Vec::new();
        // Texts repeat, so that some draws are in vain.
        for place in places.choose_multiple(rng, 4 * wanted) {
            let (text, _) = said(&self.found.chats, *place);
            if drawn.len() < wanted && seen.insert(text) {
                drawn.push(text);
            }
        }
        drawn
    }
}
