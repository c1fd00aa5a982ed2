use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::adherence::{Situation, judge_reply};
use super::dialogues::{Tasks, Walk, follow};
use super::fixture::{dialogue, free, lookup, order, pack, pick, select, user, write};
use super::graph::{Position, Task};
use super::guardrails::guardrails;
use super::pairs::{Spoken, pairs};
use super::records::Conversation;
use crate::{Example, Role};

fn tasks() -> Tasks {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[]);
    let read =
        |name: &str, file: &str| fs::read(dir.path().join("tasks").join(name).join(file)).unwrap();
    ["tea_order", "tea_lore"]
        .map(|name| {
            let graph = read(name, &format!("{name}.json"));
            let task = Task::parse(name, &graph, &read(name, "responses.json")).unwrap();
            (name.to_owned(), task)
        })
        .into()
}

fn conversation(value: &Value) -> Conversation {
    Conversation::parse(value.to_string().as_bytes()).unwrap()
}

fn walk(value: &Value) -> Walk {
    follow(&conversation(value), &tasks()).unwrap()
}

fn allowed(position: Position) -> Vec<String> {
    let positions: BTreeSet<Position> = [position].into();
    tasks()["tea_order"]
        .allowed(&positions)
        .into_iter()
        .collect()
}

fn said(label: &str) -> Position {
    Position::Said(label.into())
}

fn all_pairs(value: &Value, all: bool) -> Vec<Example> {
    let conversation = conversation(value);
    let tasks = tasks();
    let mut spoken = Spoken::default();
    spoken.add(&conversation);
    let walk = follow(&conversation, &tasks).unwrap();
    let pairs = walk
        .picks
        .iter()
        .flat_map(|pick| pairs(pick, &conversation, &tasks, &spoken, all).unwrap().0);
    pairs.collect()
}

#[test]
fn the_graph_lets_questions_be_passed_over_and_lookups_not() {
    assert_eq!(
        allowed(Position::Start),
        ["ask_name", "hello", "tea_ask_kind"]
    );
    // Back to the name the order does not go.
    assert_eq!(allowed(said("tea_ask_kind")), ["tea_ask_kind"]);
    let task = &tasks()["tea_order"];
    let found = |request, item| allowed(Position::found(task, request, item));
    assert_eq!(found("Check", Some("Available")), ["tea_ask_confirm"]);
    assert_eq!(found("Check", Some("Unavailable")), ["tea_sold_out"]);
    assert_eq!(found("Check", None), ["tea_inform_nothing_found"]);
    assert_eq!(found("Book", Some("Ordered")), ["tea_inform_ordered"]);
    // "yes" needs a lookup first; "no" leads back.
    assert_eq!(
        allowed(said("tea_ask_confirm")),
        ["tea_ask_confirm", "tea_ask_kind"]
    );
    let closed = allowed(said("tea_inform_ordered"));
    for label in ["anything_else", "tea_bye", "goodbye_1", "ask_name"] {
        assert!(
            closed.contains(&label.to_owned()),
            "{label} not in {closed:?}"
        );
    }
    assert!(!closed.contains(&"tea_inform_ordered".to_owned()));
}

#[test]
fn kinds_tell_steps_apart() {
    let task = &tasks()["tea_order"];
    let kinds = [
        "hello",
        "ask_name",
        "tea_ask_confirm",
        "tea_sold_out",
        "tea_bye",
        "tea_inform_nothing_found",
    ];
    let kinds = kinds.map(|label| task.kind(label));
    assert_eq!(
        kinds,
        [
            "greet",
            "ask",
            "confirm",
            "inform",
            "close",
            "nothing_found"
        ]
    );
}

#[test]
fn guardrails_tell_every_edge_and_quote_every_reply_once() {
    let text = guardrails(&tasks()["tea_order"]);
    assert_eq!(
        text,
        "Guardrails for tea order:\n\
         - First: hello (\"Hello, what can I do?\"), then ask name (\"Who is it for?\"), then ask kind \
         (\"Which tea would you like?\"), then run the check.\n\
         - If available: ask confirm (\"We have {kind} for {price} coins. Shall I order it?\").\n\
         - If not available: sold out (\"Sorry, {kind} is sold out.\").\n\
         - If the user agrees: make the booking.\n\
         - If the user declines: ask kind.\n\
         - After the booking: inform ordered (\"Your tea is on its way.\"), then anything else (\"Would \
         you like anything more?\").\n\
         - If a lookup finds nothing: only inform nothing found (\"We know no such tea.\").\n\
         - Where no step follows, close: anything else, then bye (\"Farewell!\").\n\
         - Keep to this order. Pass over a question that is already answered, never a lookup. Say \
         nothing that no step calls for.\n"
    );
}

#[test]
fn prompts_of_a_dialogue_go_on_from_one_another() {
    let walk = walk(&order(1));
    assert_eq!(walk.picks.len(), 3);
    let heads: BTreeSet<String> = walk.picks.iter().map(|p| head(&p.prompt)).collect();
    assert_eq!(heads.len(), 1);
    assert!(
        heads
            .first()
            .unwrap()
            .starts_with("Help in the tea house.\nGuardrails for tea order:\n")
    );
    for two in walk.picks.windows(2) {
        let first = format!("{} {}\n", two[0].prompt.text(), two[0].text);
        assert!(
            two[1].prompt.text().starts_with(&first),
            "{}",
            two[1].prompt.text()
        );
    }
    let last = walk.picks[2].prompt.text();
    assert!(
        last.ends_with(
            "User: Assam for Kim\nResult of tea order, check: Kind = Assam; Price = 3; Message = \
             Available\nBot: We have Assam for 3 coins. Shall I order it?\nUser: yes\nResult of tea \
             order, book: Message = Ordered\nBot: Your tea is on its way.\nUser: thanks\nBot:"
        ),
        "{last}"
    );
    assert!(
        !last.contains("Be brief"),
        "the user's instructions are not the wizard's to know"
    );
}

fn head(prompt: &crate::Prompt) -> String {
    prompt.history().unwrap().head()
}

#[test]
fn a_pair_for_each_option_that_the_graph_does_not_allow() {
    let examples = all_pairs(&order(1), true);
    let rejected: Vec<(&str, &str)> = examples
        .iter()
        .map(|example| (example.id.as_str(), example.completions[1].text.as_str()))
        .collect();
    // "anything_else" offered beside the order's end and beside the farewell is allowed at the latter.
    assert_eq!(
        rejected,
        [
            ("1:3:tea_sold_out", " Sorry, Assam is sold out."),
            ("1:3:tea_ask_kind", " Which tea would you like?"),
            ("1:3:hello", " Hello, what can I do?"),
            ("1:3:tea_inform_ordered", " Your tea is on its way."),
            ("1:7:anything_else", " Would you like anything more?"),
            ("1:7:tea_bye", " Farewell!"),
        ]
    );
    assert!(examples.iter().all(|example| example.group == "1"
        && example.completions[0].role == Role::Chosen
        && example.completions[1].role == Role::Rejected));
    assert_eq!(
        examples[0].completions[0].text,
        " We have Assam for 3 coins. Shall I order it?"
    );
    let first: Vec<String> = all_pairs(&order(1), false)
        .into_iter()
        .map(|e| e.id)
        .collect();
    assert_eq!(first, ["1:3:tea_sold_out", "1:7:anything_else"]);
}

#[test]
fn the_oracle_knows_replies_by_their_templates() {
    let examples = all_pairs(&order(1), true);
    let meta = &examples[0].meta;
    for (reply, adherent, hallucinated) in [
        (
            "We have Assam for 3 coins. Shall I order it?",
            true,
            Some(false),
        ),
        (
            " we have assam for 3 coins, shall I order it",
            true,
            Some(false),
        ),
        (
            "We have Darjeeling for 3 coins. Shall I order it?",
            true,
            Some(true),
        ),
        (
            "Right, we have Assam for 3 coins. Shall I order it now?",
            true,
            None,
        ),
        ("Sorry, Assam is sold out.", false, Some(false)),
        ("Tea is a drink made of leaves.", false, None),
        ("", false, None),
    ] {
        let verdict = judge_reply(meta, reply).unwrap();
        assert_eq!(verdict.adherent, Some(adherent), "{reply}");
        assert_eq!(verdict.hallucinated, hallucinated, "{reply}");
        assert_eq!(verdict.rule.as_deref(), Some("confirm"));
        assert_eq!(verdict.domain, "tea_order");
    }
    assert!(
        judge_reply(meta, "I only know about tea.")
            .unwrap()
            .over_conservative
    );
    assert!(
        !judge_reply(meta, "Sorry, Assam is sold out.")
            .unwrap()
            .over_conservative
    );
    assert!(
        judge_reply(meta, "So be it then. So be it then.")
            .unwrap()
            .repetitive
    );
    let later = &examples[4].meta;
    let again = judge_reply(later, "We have Assam for 3 coins. Shall I order it?").unwrap();
    assert!(again.repetitive && again.adherent == Some(false));
    let error = judge_reply(&Default::default(), "x")
        .unwrap_err()
        .to_string();
    assert!(error.contains("kind star"), "{error}");
}

#[test]
fn wordings_heard_are_known_beside_the_templates() {
    let mut tasks = tasks();
    let mut spoken = Spoken::default();
    let mut value = order(1);
    value["Events"][8]["Text"] = "Kettle on!".into();
    value["Events"][10]["ActionLabel"] = "goodbye_2".into();
    let conversation = conversation(&value);
    spoken.add(&conversation);
    spoken.complete(&mut tasks);
    let heard = &tasks["tea_order"].heard;
    assert_eq!(heard["tea_inform_ordered"], ["Kettle on!"]);
    assert_eq!(heard["goodbye_2"], ["Farewell!"]);
    assert!(heard["tea_ask_confirm"].is_empty());
    let walk = follow(&conversation, &tasks).unwrap();
    let (examples, counts) = pairs(&walk.picks[2], &conversation, &tasks, &spoken, true).unwrap();
    assert_eq!((examples.len(), counts.misread), (0, 0));
    let (examples, counts) = pairs(&walk.picks[1], &conversation, &tasks, &spoken, true).unwrap();
    assert_eq!((examples.len(), counts.misread), (2, 0));
    assert_eq!(
        judge_reply(&examples[0].meta, "kettle on")
            .unwrap()
            .adherent,
        Some(true)
    );
}

#[test]
fn a_template_of_slots_alone_is_known_by_what_was_found() {
    let [query, found] = lookup(
        "tea_lore",
        "",
        json!({"Fact": "Tea came by sea.", "Number": 4}),
    );
    let events = vec![
        user("tell me"),
        query,
        found,
        pick(
            "lore_inform_fact",
            "Tea came by sea.",
            &["lore_inform_fact", "hello", "lore_ask_topic"],
        ),
    ];
    let examples = all_pairs(&dialogue(1, &["tea_lore"], events), true);
    assert_eq!(examples.len(), 2);
    let situation = Situation::read(&examples[0].meta).unwrap();
    assert_eq!(
        situation.templates["lore_inform_fact"],
        ["Tea came by sea."]
    );
    assert_eq!(situation.judge("tea came by sea").adherent, Some(true));
    assert_eq!(
        situation.judge("The moon is made of tea leaves").adherent,
        Some(false)
    );
}

#[test]
fn what_the_graph_does_not_know_may_stand_for_a_step() {
    let events = vec![
        user("hi"),
        free("And what may your name be?"),
        user("Kim"),
        pick(
            "tea_ask_kind",
            "Which tea would you like?",
            &["tea_ask_kind", "anything_else"],
        ),
        user("no"),
        pick(
            "out_of_scope",
            "I only know about tea.",
            &["out_of_scope", "hello"],
        ),
        pick("custom", "Well.", &["custom"]),
    ];
    let walk = walk(&dialogue(1, &["tea_order"], events));
    assert_eq!((walk.free, walk.custom, walk.picks.len()), (1, 1, 2));
    let names: Vec<String> = walk.picks[0].positions.iter().map(Position::name).collect();
    assert_eq!(names, ["start", "ask_name", "hello", "tea_ask_kind"]);
    assert!(!walk.picks[1].allowed.contains("out_of_scope"));
}

#[test]
fn guardrails_of_several_tasks_come_as_the_wizard_turns_to_them() {
    let [query, found] = lookup("tea_lore", "", json!({"Fact": "Tea came by sea."}));
    let events = vec![
        user("tell me"),
        pick(
            "lore_ask_topic",
            "What would you like to know?",
            &["lore_ask_topic", "ask_name"],
        ),
        user("anything"),
        query,
        found,
        pick(
            "lore_inform_fact",
            "Tea came by sea.",
            &["lore_inform_fact", "hello"],
        ),
        user("tea then"),
        select("tea_order"),
        pick(
            "ask_name",
            "Who is it for?",
            &["ask_name", "lore_inform_fact"],
        ),
    ];
    let walk = walk(&dialogue(1, &["tea_order", "tea_lore"], events));
    let served: Vec<&str> = walk.picks.iter().map(|pick| pick.task.as_str()).collect();
    assert_eq!(served, ["tea_lore", "tea_lore", "tea_order"]);
    let first = walk.picks[0].prompt.text();
    assert!(first.starts_with("Help in the tea house.\nUser: tell me\nGuardrails for tea lore:"));
    let last = walk.picks[2].prompt.text();
    assert!(last.starts_with(&format!("{first} What would")), "{last}");
    assert_eq!(last.matches("Guardrails for").count(), 2);
    assert!(last.ends_with("no step calls for.\nBot:"), "{last}");
}

#[test]
fn guardrails_far_back_are_told_again() {
    let again = |words: usize| {
        let events = vec![
            select("tea_lore"),
            select("tea_order"),
            user(&"tea ".repeat(words)),
            select("tea_lore"),
            pick(
                "lore_ask_topic",
                "What would you like to know?",
                &["lore_ask_topic", "ask_name"],
            ),
        ];
        let walk = walk(&dialogue(1, &["tea_order", "tea_lore"], events));
        walk.picks[0].prompt.text()
    };
    assert!(again(1).ends_with("Back to tea lore.\nBot:"));
    assert!(again(1000).ends_with("no step calls for.\nBot:"));
}

fn visited(path: &Path) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    let visit = crate::archive::visit(path, &super::ARCHIVE, "dialogues", |name, bytes| {
        Conversation::parse(bytes)?;
        names.push(name.to_owned());
        Ok(())
    });
    visit.map(|()| names).map_err(|error| format!("{error:#}"))
}

#[test]
fn an_archive_and_its_folder_are_read_alike() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, archive) = (dir.path().join("in"), dir.path().join("star.tar.gz"));
    write(&folder, &[order(1), order(2)]);
    pack(&folder, &archive);
    let mut from_archive = visited(&archive).unwrap();
    from_archive.sort();
    assert_eq!(from_archive, ["dialogues/1.json", "dialogues/2.json"]);
    assert_eq!(visited(&folder).unwrap(), from_archive);
}

#[test]
fn damage_is_named_with_its_place_and_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, archive) = (dir.path().join("in"), dir.path().join("star.tar.gz"));
    let mut broken = order(7);
    broken["Events"][4]
        .as_object_mut()
        .unwrap()
        .remove("ActionLabel");
    write(&folder, &[order(1), broken]);
    pack(&folder, &archive);
    let error = visited(&archive).unwrap_err();
    for part in [
        "star.tar.gz",
        "dialogues/7.json",
        "dialogue 7, event 5",
        "ActionLabel",
    ] {
        assert!(error.contains(part), "{part} not in {error}");
    }
    fs::write(folder.join("dialogues/7.json"), "{\"DialogueID\": 7,").unwrap();
    let error = visited(&folder).unwrap_err();
    assert!(
        error.contains("dialogues/7.json: EOF") && error.contains("fetch it again"),
        "{error}"
    );

    let bytes = fs::read(&archive).unwrap();
    let cut = dir.path().join("cut.tar.gz");
    for length in [bytes.len() - 4, bytes.len() / 2, 11] {
        fs::write(&cut, &bytes[..length]).unwrap();
        let error = visited(&cut).unwrap_err();
        assert!(error.contains("cut.tar.gz"), "{error}");
    }
    // Only the checksum at the end tells of a byte changed in it.
    fs::write(folder.join("dialogues/7.json"), order(7).to_string()).unwrap();
    pack(&folder, &archive);
    let mut whole = fs::read(&archive).unwrap();
    let at = whole.len() - 6;
    whole[at] ^= 1;
    fs::write(&cut, &whole).unwrap();
    let error = visited(&cut).unwrap_err();
    assert!(error.contains("the archive is damaged"), "{error}");
    fs::write(&cut, "plain text").unwrap();
    assert!(
        visited(&cut)
            .unwrap_err()
            .contains("not a gzipped tar archive")
    );
    fs::create_dir(dir.path().join("empty")).unwrap();
    assert!(
        visited(&dir.path().join("empty"))
            .unwrap_err()
            .contains("no member dialogues/")
    );
}

#[test]
fn a_graph_that_names_unknown_replies_is_refused() {
    let graph = json!({"replies": {}, "graph": {"hello": "tea_ask_kind"}}).to_string();
    let error = Task::parse("tea", graph.as_bytes(), b"{\"hello\": \"Hi\"}").unwrap_err();
    assert!(
        error.to_string().contains("tea_ask_kind has no reply"),
        "{error}"
    );
    let graph = json!({"replies": {}, "graph": {"hello": ["a"]}}).to_string();
    let error = Task::parse("tea", graph.as_bytes(), b"{}").unwrap_err();
    assert!(
        error
            .to_string()
            .contains("graph: hello: expected the name"),
        "{error}"
    );
}
