//! Getting an answer: from the cache, from another thread that asks the same, or from the server, again
//! and again if need be.

mod ruling;
mod shared;

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Error, Result, anyhow};
use serde_json::{Map, Value, json};

use super::budget::Budget;
use super::cache::Cache;
use super::client::{Client, Reply};
use super::completion::{self, Completion};
use super::limits::Limits;
use crate::http::retry;
use crate::store::{Metrics, Progress, Stop, read_metrics};
use ruling::Ruling;
use shared::{Shared, lock};

/// One question and the requests that ask it.
pub(super) struct Question {
    /// The item's or pair's id.
    pub(super) id: String,
    /// What is asked of it, such as `score`.
    pub(super) ask: &'static str,
    /// Request bodies, the next for a server that refuses the one before. At least one.
    pub(super) forms: Vec<String>,
}

/// What became of a question.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Answer(Box<Answer>),
    Failed(String),
    OverBudget,
}

/// An answer of the server's.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) completion: Completion,
    /// It cost nothing.
    pub(super) free: bool,
    key: String,
    body: String,
}

/// Asks one server, from several threads.
pub(super) struct Asker {
    client: Client,
    cache: Cache,
    limits: Limits,
    max_answer_tokens: u64,
    pub(super) budget: Budget,
    under_way: Shared<Outcome>,
    record: Mutex<Record>,
    /// The server has taken the first of two forms, or has refused it and taken the second.
    takes_first: AtomicBool,
    takes_second: AtomicBool,
    /// Questions failed since the last answer.
    failures: AtomicUsize,
    /// When the server wants to be asked again.
    resume: Mutex<Option<Instant>>,
    halted: AtomicBool,
    halt: Mutex<Option<Error>>,
    stop: Stop,
}

/// The file of raw answers.
struct Record {
    file: Metrics,
    /// Answers that it holds already, from before a kill.
    held: HashSet<(String, String, String)>,
}

impl Asker {
    /// Asks by `client`, keeping raw answers in the file `answers`.
    ///
    /// # Errors
    /// When the file cannot be read, or is damaged elsewhere than at its end.
    pub(super) fn new(
        client: Client,
        cache: Cache,
        answers: &Path,
        limits: Limits,
        max_answer_tokens: u64,
        stop: Stop,
    ) -> Result<Self> {
        let file = Metrics::open(answers, u64::MAX)?;
        let held = read_metrics(answers)?
            .iter()
            .filter(|row| row.get("error").is_some_and(Value::is_null))
            .filter_map(|row| {
                let text = |name: &str| Some(row.get(name)?.as_str()?.to_owned());
                Some((text("id")?, text("ask")?, text("key")?))
            })
            .collect();
        Ok(Self {
            client,
            cache,
            budget: Budget::new(limits.max_requests, limits.max_tokens_total),
            limits,
            max_answer_tokens,
            under_way: Shared::new(),
            record: Mutex::new(Record { file, held }),
            takes_first: AtomicBool::new(false),
            takes_second: AtomicBool::new(false),
            failures: AtomicUsize::new(0),
            resume: Mutex::new(None),
            halted: AtomicBool::new(false),
            halt: Mutex::new(None),
            stop,
        })
    }

    /// Asks `count` questions, at most [`Limits::concurrency`] at a time, and gives the outcomes in order.
    ///
    /// # Errors
    /// What makes all further questions useless, or [`crate::store::Stopped`]. Answers that came before are in
    /// the cache.
    pub(super) fn ask_all(
        &self,
        label: &str,
        count: usize,
        question: impl Fn(usize) -> Result<Question> + Sync,
    ) -> Result<Vec<Outcome>> {
        self.failures.store(0, Ordering::SeqCst);
        let outcomes: Vec<Mutex<Option<Outcome>>> = (0..count).map(|_| Mutex::default()).collect();
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let progress = Progress::new(label, count);
        let work = || {
            while !self.ended() {
                let index = next.fetch_add(1, Ordering::SeqCst);
                let Some(slot) = outcomes.get(index) else {
                    return;
                };
                match question(index) {
                    Ok(question) => *lock(slot) = Some(self.ask(&question)),
                    Err(error) => self.halt(error),
                }
                progress.at(done.fetch_add(1, Ordering::SeqCst) + 1);
            }
        };
        thread::scope(|scope| {
            for _ in 0..self.limits.concurrency.clamp(1, count.max(1)) {
                scope.spawn(work);
            }
        });
        progress.finish();
        self.stop.check()?;
        if let Some(error) = lock(&self.halt).take() {
            self.halted.store(false, Ordering::SeqCst);
            return Err(error);
        }
        let outcomes = outcomes.into_iter().map(|slot| {
            let outcome = slot.into_inner().unwrap_or_else(PoisonError::into_inner);
            outcome.ok_or_else(|| anyhow!("another call gave the judge up meanwhile"))
        });
        outcomes.collect()
    }

    fn ask(&self, question: &Question) -> Outcome {
        let key = self.cache.key(&question.forms[0]);
        let (outcome, theirs) = self.under_way.get(&key, || self.look_up_or_fetch(question));
        let Outcome::Answer(mut answer) = outcome else {
            return outcome;
        };
        answer.free |= theirs;
        if answer.free {
            self.keep(question, &answer.key, &answer.body, None, |row| {
                row.insert("cached".into(), true.into());
            });
        }
        Outcome::Answer(answer)
    }

    fn look_up_or_fetch(&self, question: &Question) -> Outcome {
        for form in &question.forms {
            let key = self.cache.key(form);
            let Some(body) = self.cache.get(&key, form) else {
                continue;
            };
            // What was kept before may hold the key in a spelling that was not known then.
            let body = self.client.hide(&body);
            if let Ok(mut completion) = completion::read(body.as_bytes()) {
                completion.hide(|text| self.client.hide(text));
                return Outcome::Answer(Box::new(Answer {
                    completion,
                    free: true,
                    key,
                    body,
                }));
            }
        }
        let last = question.forms.len() - 1;
        let from = match self.takes_second.load(Ordering::SeqCst) {
            true => last,
            false => 0,
        };
        let mut outcome = None;
        for at in from..=last {
            outcome = self.fetch(question, &question.forms[at], at < last);
            let Some(outcome) = &outcome else {
                continue;
            };
            if let Outcome::Answer(_) = outcome
                && last > 0
            {
                if at == 0 {
                    self.takes_first.store(true, Ordering::SeqCst);
                } else if !self.takes_first.load(Ordering::SeqCst) {
                    self.takes_second.store(true, Ordering::SeqCst);
                }
            }
            break;
        }
        outcome.unwrap_or_else(|| Outcome::Failed("the request was refused".into()))
    }

    /// Sends one form until it is answered; nothing if the server refuses it, which the last form never is.
    fn fetch(&self, question: &Question, form: &str, refusable: bool) -> Option<Outcome> {
        let key = self.cache.key(form);
        let sent = form.len() as u64 / 3;
        let mut reason = String::new();
        for attempt in 0..=self.limits.max_retries {
            if !self.wait_for_server() {
                return Some(Outcome::Failed("stopped".into()));
            }
            let Some(leave) = self
                .budget
                .leave(sent.saturating_add(self.max_answer_tokens))
            else {
                return Some(Outcome::OverBudget);
            };
            let reply = self.client.post(form);
            let mut ruling = Ruling::of(&reply, refusable);
            ruling.hide(|text| self.client.hide(text));
            let tokens = ruling.tokens(&reply, sent);
            leave.took(tokens);
            let (status, body) = match &reply {
                Reply::Whole { status, body, .. } => (Some(*status), body),
                Reply::Broken { body, .. } => (None, body),
            };
            let body = String::from_utf8_lossy(body);
            self.keep(question, &key, &body, ruling.reason(), |row| {
                row.insert("attempt".into(), (attempt + 1).into());
                row.insert("status".into(), json!(status));
                row.insert("tokens".into(), tokens.into());
            });
            match ruling {
                Ruling::Good(completion) => {
                    self.failures.store(0, Ordering::SeqCst);
                    if let Err(error) = self.cache.put(&key, form, &body) {
                        self.halt(error);
                    }
                    return Some(Outcome::Answer(Box::new(Answer {
                        completion,
                        free: false,
                        body: body.into_owned(),
                        key,
                    })));
                }
                Ruling::Refused(_) => return None,
                Ruling::Fatal(why) => {
                    let (url, Question { id, ask, .. }) = (self.client.url(), question);
                    self.halt(anyhow!("the judge at {url}, asked to {ask} {id}: {why}"));
                    return Some(Outcome::Failed(why));
                }
                Ruling::Hopeless(why) => {
                    reason = why;
                    break;
                }
                Ruling::Again { why, asked } => {
                    tracing::info!("asked to {} {}: {why}", question.ask, question.id);
                    reason = why;
                    if attempt < self.limits.max_retries {
                        self.back_off(attempt, asked);
                    } else {
                        reason = format!("{reason} ({} attempts)", attempt + 1);
                    }
                }
            }
        }
        self.fail(&reason);
        Some(Outcome::Failed(reason))
    }

    fn fail(&self, reason: &str) {
        let failures = 1 + self.failures.fetch_add(1, Ordering::SeqCst);
        if failures >= self.limits.max_failures {
            self.halt(anyhow!(
                "the judge at {} failed {failures} times in a row, the last time because: {reason}; see to \
                 the server (its log, model_name) and run again, answers that came are kept",
                self.client.url()
            ));
        }
    }

    fn back_off(&self, attempt: u32, asked: Option<Duration>) {
        let Limits {
            first_wait,
            longest_wait,
            ..
        } = self.limits;
        if let Some(asked) = asked {
            // It is the server that is busy, so that the other threads wait as well.
            let until = Instant::now() + asked.min(longest_wait);
            let mut resume = lock(&self.resume);
            *resume = Some(resume.map_or(until, |before| before.max(until)));
        }
        self.sleep(Instant::now() + retry::wait(attempt, first_wait, longest_wait, asked));
    }

    /// Waits until the server wants to be asked again; false if nothing more is to be asked.
    fn wait_for_server(&self) -> bool {
        let resume = *lock(&self.resume);
        if let Some(until) = resume {
            self.sleep(until);
        }
        !self.ended()
    }

    fn sleep(&self, until: Instant) {
        const SLICE: Duration = Duration::from_millis(20);
        while !self.ended() {
            match until.checked_duration_since(Instant::now()) {
                Some(left) if !left.is_zero() => thread::sleep(left.min(SLICE)),
                _ => return,
            }
        }
    }

    fn ended(&self) -> bool {
        self.halted.load(Ordering::SeqCst) || self.stop.requested()
    }

    /// Ends all asking; the first reason is the one to tell.
    fn halt(&self, error: Error) {
        lock(&self.halt).get_or_insert(error);
        self.halted.store(true, Ordering::SeqCst);
    }

    /// Appends a raw answer to the record; a known one that it holds already is passed over.
    fn keep(
        &self,
        question: &Question,
        key: &str,
        body: &str,
        error: Option<&str>,
        more: impl FnOnce(&mut Map<String, Value>),
    ) {
        let mut row = Map::new();
        row.insert("id".into(), question.id.as_str().into());
        row.insert("ask".into(), question.ask.into());
        row.insert("key".into(), key.into());
        row.insert("error".into(), json!(error));
        more(&mut row);
        row.insert("body".into(), body.into());
        let mut record = lock(&self.record);
        let held = (question.id.clone(), question.ask.to_owned(), key.to_owned());
        if error.is_none() && !record.held.insert(held) && row.contains_key("cached") {
            return;
        }
        if let Err(error) = record.file.write(&row) {
            self.halt(error);
        }
    }
}
