//! A run whose judge does not answer is stopped by its user.

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use assert_cmd::cargo::CommandCargoExt;

use super::GOOD;
use super::server::{Server, says};
use crate::parity::fixtures;

const EXAMPLES: usize = 5;

/// A recipe that has replies of a tiny model judged, one at a time, by a server whose answer is awaited for long.
fn recipe(work: &Path, url: &str) {
    let text = format!(
        "title = \"t\"\nabout = \"a\"\noutputs = [\"verdicts\"]\nseeds = [1]\n\
         [stage.model]\nkind = \"pretrained\"\nper_seed = false\npath = {model:?}\n\
         [stage.data]\nkind = \"preferences\"\nper_seed = false\ntrain = {pairs:?}\ntest = {pairs:?}\n\
         [stage.verdicts]\nkind = \"judge\"\nmodel = \"@model\"\ndata = \"@data\"\nexamples = {EXAMPLES}\n\
         max_new_tokens = 4\njudge = \"endpoint\"\nbase_url = {url:?}\nmodel_name = \"m\"\ntimeout_s = 600\n\
         concurrency = 1\ncriteria = [\"adherence\", \"naturalness\"]\n",
        model = fixtures().join("trl_dpo/model"),
        pairs = fixtures().join("trl_dpo/pairs.jsonl"),
    );
    std::fs::write(work.join("stopped.toml"), text).unwrap();
}

fn rapport(work: &Path) -> Command {
    let mut command = Command::cargo_bin("rapport").unwrap();
    command.current_dir(work).args(["run", "stopped.toml"]);
    command
}

/// A run, once it has asked the server so many questions.
fn asking(work: &Path, server: &Server, questions: usize) -> Child {
    let mut child = rapport(work).stderr(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    while server.count() < questions {
        assert!(child.try_wait().unwrap().is_none(), "it ended unasked");
        assert!(started.elapsed() < Duration::from_secs(120));
        sleep(Duration::from_millis(20));
    }
    child
}

fn signal(child: &Child, signal: i32) {
    let id = i32::try_from(child.id()).unwrap();
    // SAFETY: it takes any numbers; the child is ours and was not waited for.
    assert_eq!(unsafe { libc::kill(id, signal) }, 0);
}

fn ended(mut child: Child, within: Duration) -> ExitStatus {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if started.elapsed() > within {
            child.kill().unwrap();
            panic!("still there after {within:?}");
        }
        sleep(Duration::from_millis(10));
    }
}

/// The run's second half, in which no stage that was finished is run again.
fn finishes(work: &Path) {
    let output = rapport(work).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(
        told.contains("verdicts") && !told.contains("data  "),
        "{told}"
    );
    assert!(work.join("runs/stopped/sandbox/report.html").exists());
}

#[test]
fn a_judge_that_never_answers_is_left_at_the_second_signal() {
    for second in [libc::SIGTERM, libc::SIGINT] {
        let answers = Arc::new(AtomicBool::new(false));
        let answering = answers.clone();
        let server = Server::start(move |_, stream| {
            while !answering.load(Ordering::SeqCst) {
                sleep(Duration::from_millis(20));
            }
            std::io::Write::write_all(stream, &says(GOOD))?;
            Ok(true)
        });
        let work = tempfile::tempdir().unwrap();
        recipe(work.path(), &server.url);
        let mut child = asking(work.path(), &server, 1);
        signal(&child, libc::SIGTERM);
        sleep(Duration::from_millis(500));
        assert!(
            child.try_wait().unwrap().is_none(),
            "the first signal waits"
        );
        signal(&child, second);
        let status = ended(child, Duration::from_secs(2));
        assert_eq!(status.code(), Some(130));
        answers.store(true, Ordering::SeqCst);
        finishes(work.path());
    }
}

#[test]
fn after_one_signal_a_run_goes_on_from_the_answers_that_it_has() {
    let server = Server::start(|_, stream| {
        sleep(Duration::from_millis(300));
        std::io::Write::write_all(stream, &says(GOOD))?;
        Ok(true)
    });
    let work = tempfile::tempdir().unwrap();
    recipe(work.path(), &server.url);
    let child = asking(work.path(), &server, 2);
    signal(&child, libc::SIGTERM);
    let status = ended(child, Duration::from_secs(20));
    assert_eq!(status.code(), Some(130));
    assert!(server.count() < EXAMPLES, "it was stopped in time");
    finishes(work.path());
    assert!(server.count() <= EXAMPLES, "an answer was asked for twice");
}
