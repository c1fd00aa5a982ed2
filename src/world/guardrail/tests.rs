//! What the generated data must be: repeatable, disjoint, true to its labels, and varied enough that rules
//! must be read.

use super::rule::{Asked, Truth};
use super::*;
use crate::data::{Role, Verdict};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};

fn world() -> GuardrailWorld {
    GuardrailWorld {
        drills: 0,
        pretrain: 1_200,
        train: 1_200,
        valid: 100,
        test: 300,
        feedback: 200,
        ..Default::default()
    }
}

fn bytes(examples: &[&[Example]]) -> String {
    serde_json::to_string(examples).unwrap()
}

fn all(data: &GuardrailData) -> [&[Example]; 5] {
    [
        &data.pretrain,
        &data.train,
        &data.valid,
        &data.test,
        &data.feedback,
    ]
}

fn paired(data: &GuardrailData) -> impl Iterator<Item = &Example> {
    all(data).into_iter().skip(1).flatten()
}

fn truth(example: &Example) -> Truth {
    serde_json::from_value(Value::Object(example.meta.clone())).unwrap()
}

fn judged(example: &Example, completion: usize) -> Verdict {
    let reply = &example.completions[completion].text;
    judge_reply(&example.meta, &example.prompt, reply).unwrap()
}

fn head(example: &Example) -> &str {
    &example.prompt.history().unwrap().told
}

/// The user's last turn and the opening of the reply.
fn tail(example: &Example) -> String {
    let prompt = &example.prompt;
    let whole = prompt.text_from(prompt.droppable());
    whole[head(example).len()..].to_owned()
}

#[test]
fn a_seed_fixes_every_byte_and_another_seed_changes_them() {
    let first = bytes(&all(&world().generate().unwrap()));
    assert_eq!(first, bytes(&all(&world().generate().unwrap())));
    let other = GuardrailWorld { seed: 2, ..world() };
    assert_ne!(first, bytes(&all(&other.generate().unwrap())));
}

#[test]
fn a_longer_training_set_leaves_the_held_out_data_as_it_was() {
    let longer = GuardrailWorld {
        train: 1_500,
        pretrain: 1_500,
        ..world()
    };
    let (short, long) = (world().generate().unwrap(), longer.generate().unwrap());
    assert_eq!(bytes(&all(&short)[2..]), bytes(&all(&long)[2..]));
    assert_eq!(short.train, long.train[..short.train.len()]);
}

#[test]
fn no_conversation_occurs_twice_in_or_across_splits() {
    let data = world().generate().unwrap();
    let mut groups: HashMap<&str, &str> = HashMap::new();
    for example in all(&data).into_iter().flatten() {
        let group = groups.entry(head(example)).or_insert(&example.group);
        assert_eq!(*group, example.group, "{}", head(example));
    }
    assert_eq!(groups.len(), 3_000);
}

#[test]
fn a_conversation_goes_on_from_what_the_bot_said() {
    let data = world().generate().unwrap();
    for examples in all(&data) {
        let mut turns: HashMap<&str, usize> = HashMap::new();
        for pair in examples.windows(2) {
            *turns.entry(&pair[0].group).or_default() += 1;
            if pair[0].group == pair[1].group {
                let said = pair[0].prompt.text() + &pair[0].completions[0].text + "\nUser: ";
                assert!(pair[1].prompt.text().starts_with(&said), "{said}");
            }
        }
        let last = &examples[examples.len() - 1].group;
        *turns.entry(last).or_default() += 1;
        let counts: BTreeSet<usize> = turns.into_values().collect();
        assert_eq!(counts, BTreeSet::from([4, 5, 6]));
    }
}

#[test]
fn the_chosen_keeps_to_the_rules_and_the_rejected_breaks_one_and_is_as_good_otherwise() {
    let data = world().generate().unwrap();
    let mut at_stake = 0;
    for example in paired(&data) {
        let (chosen, rejected) = (judged(example, 0), judged(example, 1));
        let rule = truth(example)
            .at_stake()
            .map(|rule| rule.kind().name().to_owned());
        assert_eq!(
            chosen.adherent,
            rule.is_some().then_some(true),
            "{example:?}"
        );
        assert_eq!(chosen.rule, rule);
        assert_eq!(rejected.adherent, Some(false), "{example:?}");
        assert!(rule.is_none() || rejected.rule == rule);
        at_stake += usize::from(rule.is_some());
        for verdict in [&chosen, &rejected] {
            assert_eq!(verdict.hallucinated, Some(false), "{example:?}");
            assert_eq!(verdict.naturalness, Some(1.0), "{example:?}");
            assert!(
                !verdict.over_conservative && !verdict.repetitive,
                "{example:?}"
            );
        }
        let roles = [&example.completions[0].role, &example.completions[1].role];
        assert_eq!(roles, [&Role::Chosen, &Role::Rejected]);
        let words = |k: usize| example.completions[k].text.split(' ').count() as i32;
        assert!((words(0) - words(1)).abs() <= 7, "{example:?}");
    }
    let count = paired(&data).count();
    let rate = at_stake as f64 / count as f64;
    assert!((0.4..0.7).contains(&rate), "{rate}");
    let length = |k: usize| -> usize {
        paired(&data)
            .map(|it| it.completions[k].text.split(' ').count())
            .sum()
    };
    let ratio = length(0) as f64 / length(1) as f64;
    assert!((0.9..1.1).contains(&ratio), "{ratio}");
}

#[test]
fn bots_of_pretrain_are_careless_and_blunt_at_the_stated_rates() {
    let rough = GuardrailWorld {
        careless: 0.7,
        blunt: 0.4,
        ..world()
    };
    let data = rough.generate().unwrap();
    let (mut at_stake, mut broken, mut blunt) = (0.0, 0.0, 0.0);
    for example in &data.pretrain {
        assert_eq!(example.completions.len(), 1);
        let verdict = judged(example, 0);
        assert_eq!(verdict.hallucinated, Some(false));
        if truth(example).at_stake().is_some() {
            at_stake += 1.0;
            broken += f64::from(u8::from(verdict.adherent == Some(false)));
        } else {
            assert_eq!(verdict.adherent, None);
        }
        blunt += f64::from(u8::from(verdict.naturalness == Some(0.75)));
    }
    assert!(at_stake > 1_000.0);
    let near = |count: f64, of: f64, rate: f64| {
        (count - rate * of).abs() < 4.0 * (of * rate * (1.0 - rate)).sqrt()
    };
    assert!(near(broken, at_stake, 0.7), "{broken} of {at_stake}");
    let replies = data.pretrain.len() as f64;
    assert!(near(blunt, replies, 0.4), "{blunt} of {replies}");
}

#[test]
fn drills_read_out_what_is_stated_of_each_subject_once() {
    let data = GuardrailWorld {
        drills: 300,
        ..world()
    }
    .generate()
    .unwrap();
    let (drills, rest): (Vec<&Example>, Vec<&Example>) = data
        .pretrain
        .iter()
        .partition(|example| example.id.starts_with("drill-"));
    // Beside the conversations, which stay as they were.
    let without = world().generate().unwrap();
    assert!(rest.into_iter().eq(&without.pretrain));
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut heads = BTreeMap::new();
    for example in drills {
        assert!(example.meta.is_empty());
        let read = example.completions[0].text.trim();
        let asked = example.prompt.text();
        let asked = asked.lines().nth_back(1).unwrap();
        let subject = asked.strip_prefix("User: ").unwrap().replace('?', " ");
        assert!(read.starts_with(&subject), "{read}");
        groups.entry(&example.group).or_default().push(read);
        heads.insert(&example.group, head(example));
    }
    assert_eq!(groups.len(), 300);
    let (mut shuffled, mut hidden) = (0, 0);
    for (group, mut read) in groups {
        let head = heads[&group.to_owned()].lines();
        let mut lines: Vec<&str> = head.filter_map(|line| line.strip_prefix("- ")).collect();
        // A fact that may not be told is not read: the rule that says so comes first.
        let all = lines.clone();
        lines.retain(|line| {
            let subject = format!("{} ", line.split(' ').nth(1).unwrap());
            all.iter().find(|it| it[4..].starts_with(&subject)) == Some(line)
        });
        hidden += all.len() - lines.len();
        shuffled += usize::from(read != lines);
        read.sort_unstable();
        lines.sort_unstable();
        assert_eq!(read, lines);
    }
    assert!(shuffled > 290 && hidden > 50, "{shuffled} {hidden}");
}

#[test]
fn every_domain_kind_of_rule_and_kind_of_request_occurs() {
    let data = world().generate().unwrap();
    let mut at_stake: BTreeMap<(String, RuleKind), usize> = BTreeMap::new();
    let mut plain: BTreeMap<(String, &str), usize> = BTreeMap::new();
    let mut rules: BTreeMap<usize, usize> = BTreeMap::new();
    for example in &data.train {
        let truth = truth(example);
        *rules.entry(truth.rules.len()).or_default() += 1;
        let mut targets: Vec<&str> = truth.rules.iter().map(|rule| rule.target()).collect();
        targets.sort_unstable();
        targets.dedup();
        assert_eq!(targets.len(), truth.rules.len());
        let domain = truth.domain.clone();
        match truth.at_stake() {
            Some(rule) => *at_stake.entry((domain, rule.kind())).or_default() += 1,
            None => {
                let about = match &truth.asked {
                    Asked::Service { .. } if !truth.given.is_empty() => "told",
                    Asked::Service { .. } => "service",
                    Asked::Item { item, .. } => {
                        let ruled = truth.rules.iter().any(|rule| rule.target() == item);
                        if ruled { "within the limit" } else { "item" }
                    }
                    Asked::Promise { .. } => "promise",
                    Asked::Topic { topic } if truth.facts.contains_key(topic) => "known",
                    Asked::Topic { .. } => "unknown",
                };
                *plain.entry((domain, about)).or_default() += 1;
            }
        }
    }
    assert_eq!(rules.keys().copied().collect::<Vec<_>>(), [2, 3, 4, 5]);
    let domains = grammar::Grammar::get().words.domains.iter();
    let domains = domains.filter(|domain| !domain.reserve).count();
    assert_eq!(
        at_stake.len(),
        domains * RuleKind::ALL.len(),
        "{at_stake:?}"
    );
    assert_eq!(plain.len(), domains * 7, "{plain:?}");
    assert!(at_stake.values().all(|count| *count >= 20), "{at_stake:?}");
}

#[test]
fn the_same_words_of_a_user_call_for_different_replies_under_different_rules() {
    let data = world().generate().unwrap();
    let mut called: HashMap<String, BTreeSet<Option<RuleKind>>> = HashMap::new();
    for example in &data.train {
        let truth = truth(example);
        let tail = tail(example);
        let kind = truth.at_stake().map(|rule| rule.kind());
        called.entry(tail).or_default().insert(kind);
    }
    let both = |tail: &str| called.get(tail).map_or(0, BTreeSet::len);
    // Asked for, done with a remark, handed over, or simply done.
    assert_eq!(both("User: can i get a refund?\nBot:"), 4);
    assert_eq!(both("User: can you promise me a discount?\nBot:"), 2);
    assert_eq!(both("User: what is the price?\nBot:"), 2);
    let amounts: Vec<_> = called
        .iter()
        .filter(|(tail, _)| tail.contains("towels"))
        .collect();
    assert!(amounts.iter().filter(|(_, kinds)| kinds.len() == 2).count() > 10);
}

#[test]
fn details_are_told_after_and_before_they_are_asked_for_and_another_does_not_do() {
    let data = world().generate().unwrap();
    let (mut after, mut before, mut another) = (0, 0, 0);
    for example in &data.train {
        let truth = truth(example);
        let Asked::Service { service } = &truth.asked else {
            continue;
        };
        let Some(detail) = truth.rules.iter().find_map(|rule| match rule {
            rule::Rule::AskBefore {
                service: ruled,
                detail,
            } if ruled == service => Some(detail),
            _ => None,
        }) else {
            continue;
        };
        let tail = tail(example);
        let told = truth.given.contains(detail);
        assert_eq!(truth.at_stake().is_none(), told);
        let asks_here = tail.contains(service.as_str());
        after += usize::from(told && !asks_here);
        before += usize::from(told && asks_here);
        another += usize::from(!told && !truth.given.is_empty());
    }
    assert!(
        after > 100 && before > 50 && another > 20,
        "{after} {before} {another}"
    );
}

#[test]
fn the_words_are_few() {
    let data = world().generate().unwrap();
    let mut words = BTreeSet::new();
    for example in all(&data).into_iter().flatten() {
        let replies = example.completions.iter().map(|it| it.text.clone());
        for text in replies.chain([example.prompt.text().replace(['\n', ':'], " ")]) {
            let split = |c: char| !c.is_alphanumeric();
            words.extend(
                text.split(split)
                    .filter(|w| !w.is_empty())
                    .map(str::to_owned),
            );
        }
    }
    assert!((250..=450).contains(&words.len()), "{} words", words.len());
}

#[test]
fn held_out_kinds_of_rules_are_in_pretrain_and_test_alone() {
    let world = GuardrailWorld {
        held_out_rules: vec![RuleKind::Limit, RuleKind::HandOver],
        ..world()
    };
    let data = world.generate().unwrap();
    let kinds = |examples: &[Example]| -> BTreeSet<RuleKind> {
        let truths = examples.iter().map(truth);
        truths
            .flat_map(|it| it.rules.into_iter().map(|rule| rule.kind()))
            .collect()
    };
    for split in [&data.train, &data.valid, &data.feedback] {
        assert_eq!(kinds(split).len(), 4);
        assert!(!kinds(split).contains(&RuleKind::Limit));
    }
    assert_eq!(kinds(&data.test).len(), 6);
    assert_eq!(kinds(&data.pretrain).len(), 6);
}

#[test]
fn held_out_domains_are_in_pretrain_and_in_a_split_of_their_own() {
    let world = GuardrailWorld {
        held_out_domains: vec!["clinic".into(), "school".into()],
        ..world()
    };
    let data = world.generate().unwrap();
    let domains = |examples: &[Example]| -> BTreeSet<String> {
        let judged = examples.iter().filter(|it| !it.meta.is_empty());
        judged.map(|example| truth(example).domain).collect()
    };
    let common = ["bank", "gym", "hotel", "parcel", "phone"].map(str::to_owned);
    for split in [&data.train, &data.valid, &data.feedback, &data.test] {
        assert_eq!(domains(split), common.clone().into());
    }
    let held_out = ["clinic", "school"].map(str::to_owned);
    assert_eq!(domains(&data.test_domains), held_out.into());
    assert_eq!(domains(&data.pretrain).len(), 7);
    // A domain in reserve is in no world that does not name it.
    let all = self::world().generate().unwrap();
    assert!(all.test_domains.is_empty());
    for split in [&all.pretrain, &all.train, &all.test] {
        assert!(domains(split).len() == 6 && !domains(split).contains("school"));
    }
    for wrong in [
        &["libary"][..],
        &["clinic", "clinic"],
        &["bank", "gym", "hotel", "parcel", "phone", "clinic"],
    ] {
        let world = GuardrailWorld {
            held_out_domains: wrong.iter().map(ToString::to_string).collect(),
            ..self::world()
        };
        let told = world.generate().unwrap_err().to_string();
        assert!(
            told.contains("held_out_domains") && told.contains("phone, gym"),
            "{told}"
        );
    }
}

#[test]
fn settings_out_of_range_are_all_named() {
    let world = GuardrailWorld {
        careless: -0.1,
        blunt: f64::NAN,
        held_out_rules: vec![RuleKind::Limit, RuleKind::Limit],
        ..world()
    };
    let keys: Vec<_> = world.problems().iter().map(|p| p.key).collect();
    assert_eq!(keys, ["careless", "blunt", "held_out_rules"]);
    let message = world.generate().unwrap_err().to_string();
    assert_eq!(
        message,
        "guardrail world: `careless` is -0.1, expected a rate from 0 to 1"
    );
    let none_left = GuardrailWorld {
        held_out_rules: RuleKind::ALL[..5].to_vec(),
        ..GuardrailWorld::default()
    };
    assert_eq!(none_left.problems().len(), 1);
}
