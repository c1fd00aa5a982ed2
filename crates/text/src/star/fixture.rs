//! A tiny data set in STAR's format, of our own making: a tea house that sells and explains tea.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

/// Writes the files below `dir`: two tasks and the given dialogues.
pub fn write(dir: &Path, dialogues: &[Value]) {
    let order = json!({
        "hello": "Hello, what can I do?",
        "ask_name": "Who is it for?",
        "tea_ask_kind": "Which tea would you like?",
        "tea_ask_confirm": "We have {kind:s} for {price:d} coins. Shall I order it?",
        "tea_sold_out": "Sorry, {kind:s} is sold out.",
        "tea_inform_ordered": "Your tea is on its way.",
        "tea_inform_nothing_found": "We know no such tea.",
        "anything_else": "Would you like anything more?",
        "tea_bye": "Farewell!",
        "out_of_scope": "I only know about tea."
    });
    let mut replies = order.clone();
    for state in [
        "yes",
        "no",
        "available",
        "unavailable",
        "query_check",
        "query_book",
    ] {
        replies[state] = state.into();
    }
    let order_graph = json!({
        "task": "tea_order",
        "replies": replies,
        "graph": {
            "hello": "ask_name",
            "ask_name": "tea_ask_kind",
            "tea_ask_kind": "query_check",
            "available": "tea_ask_confirm",
            "unavailable": "tea_sold_out",
            "yes": "query_book",
            "no": "tea_ask_kind",
            "query_book": "tea_inform_ordered",
            "tea_inform_ordered": "anything_else"
        }
    });
    let facts = json!({
        "hello": "Hello, what can I do?",
        "lore_ask_topic": "What would you like to know?",
        "lore_inform_fact": "{fact:s}",
        "anything_else": "Would you like anything more?"
    });
    let facts_graph = json!({
        "task": "tea_lore",
        "replies": facts,
        "graph": {
            "hello": "lore_ask_topic",
            "lore_ask_topic": "query",
            "query": "lore_inform_fact",
            "lore_inform_fact": "anything_else"
        }
    });
    for (name, graph, responses) in [
        ("tea_order", &order_graph, &order),
        ("tea_lore", &facts_graph, &facts),
    ] {
        let folder = dir.join("tasks").join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{name}.json")), graph.to_string()).unwrap();
        fs::write(folder.join("responses.json"), responses.to_string()).unwrap();
    }
    fs::create_dir_all(dir.join("dialogues")).unwrap();
    for dialogue in dialogues {
        let path = dir.join(format!("dialogues/{}.json", dialogue["DialogueID"]));
        fs::write(path, dialogue.to_string()).unwrap();
    }
}

/// Packs the folder as a gzipped tar archive, its files below `star-1/`.
pub fn pack(folder: &Path, archive: &Path) {
    let file = fs::File::create(archive).unwrap();
    let gzip = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    tar.append_dir_all("star-1", folder).unwrap();
    tar.into_inner().unwrap().finish().unwrap();
}

pub fn dialogue(id: usize, tasks: &[&str], events: Vec<Value>) -> Value {
    let capabilities: Vec<Value> = tasks
        .iter()
        .map(|task| {
            let domain = (*task == "tea_order").then_some("tea");
            json!({"Task": task, "Domain": domain, "SchemaImage": "none"})
        })
        .collect();
    json!({
        "DialogueID": id,
        "Scenario": {
            "WizardTask": "Help in\nthe tea house.",
            "WizardCapabilities": capabilities,
            "Happy": true,
            "MultiTask": tasks.len() > 1
        },
        "Events": events
    })
}

pub fn user(text: &str) -> Value {
    json!({"Agent": "User", "Action": "utter", "Text": text, "UnixTime": 1})
}

pub fn free(text: &str) -> Value {
    json!({"Agent": "Wizard", "Action": "utter", "Text": text})
}

pub fn pick(label: &str, text: &str, options: &[&str]) -> Value {
    json!({
        "Agent": "Wizard", "Action": "pick_suggestion", "Text": text,
        "ActionLabel": label, "ActionLabelOptions": options
    })
}

pub fn select(task: &str) -> Value {
    json!({"Agent": "Wizard", "Action": "select_task", "Task": task})
}

/// A lookup and what it brings.
pub fn lookup(task: &str, request: &str, item: Value) -> [Value; 2] {
    let constraints =
        json!([{"Name": "api.is_equal_to(\"x\")"}, {"RequestType": format!("\"{request}\"")}]);
    [
        json!({"Agent": "Wizard", "Action": "query", "APIName": task, "Constraints": constraints}),
        json!({"Agent": "KnowledgeBase", "Action": "return_item", "APIName": task, "Item": item, "TotalItems": 1}),
    ]
}

/// An order from greeting to farewell.
pub fn order(id: usize) -> Value {
    let [check, found] = lookup(
        "tea_order",
        "Check",
        json!({"APIName": "tea_order", "Kind": "Assam", "Price": 3, "Message": "Available"}),
    );
    let [book, booked] = lookup("tea_order", "Book", json!({"Message": "Ordered"}));
    dialogue(
        id,
        &["tea_order"],
        vec![
            json!({"Agent": "UserGuide", "Action": "instruct", "Text": "Be brief."}),
            user("Assam for Kim"),
            check,
            found,
            pick(
                "tea_ask_confirm",
                "We have Assam for 3 coins. Shall I order it?",
                &[
                    "tea_ask_confirm",
                    "tea_sold_out",
                    "tea_ask_kind",
                    "hello",
                    "tea_inform_ordered",
                ],
            ),
            user("yes"),
            book,
            booked,
            pick(
                "tea_inform_ordered",
                "Your tea is on its way.",
                &[
                    "tea_inform_ordered",
                    "anything_else",
                    "anything_else",
                    "tea_bye",
                ],
            ),
            user("thanks"),
            pick(
                "tea_bye",
                "Farewell!",
                &["anything_else", "tea_bye", "ask_name"],
            ),
        ],
    )
}
