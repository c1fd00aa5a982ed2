//! `star`: preference pairs from STAR's dialogues, whose flow graphs say what may be said next.

mod tally;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};

use crate::data::Example;
use crate::data::archive::visit;
use crate::data::star::ARCHIVE;
use crate::data::star::dialogues::{Tasks, follow};
use crate::data::star::graph::Task;
use crate::data::star::pairs::{Spoken, pairs, uniform};
use crate::data::star::records::Conversation;
use crate::stage::artifact::examples::{RowsSettings, write_settings};
use crate::stage::kind::{Context, Kind, Stage};
use crate::stage::settings::keys::{BATCH, Keys, SEED, suggest};
use crate::stage::settings::produces::Produces;
use crate::stage::settings::splits::{Group, Split, TrainSize};
use crate::store::{BadInput, OrBadInput, write_with};
use tally::{SPLITS, Tally};

pub const KIND: Kind = Kind {
    name: "star",
    about: "STAR's wizard picks against options that the task's flow graph does not allow",
    produces: Produces::Pairs,
    // 3: dialogues for feedback.
    version: 3,
    uses_backend: false,
    modules: &[],
    read,
};

struct Star {
    archive: PathBuf,
    seed: u64,
    train: TrainSize,
    valid: f64,
    test: f64,
    feedback: f64,
    held_out_tasks: Vec<String>,
    held_out_count: usize,
    all: bool,
    multi_task: bool,
    rows: RowsSettings,
}

fn read(keys: &mut Keys<'_>) -> Box<dyn Stage> {
    let star = Star {
        archive: keys
            .doc("STAR's archive (.tar.gz), or the folder it was unpacked to")
            .path("archive"),
        seed: keys
            .doc("decides which dialogues and which tasks are held out")
            .usize("seed", 1, SEED) as u64,
        train: TrainSize::read(keys),
        valid: keys
            .doc("share of dialogues for validation")
            .float("valid", 0.05, 0.0..1.0),
        test: keys
            .doc("share of dialogues for test")
            .float("test", 0.1, 0.0..1.0),
        feedback: keys
            .doc("share of dialogues on which a tuned model is tried to learn from its failures")
            .float("feedback", 0.0, 0.0..1.0),
        held_out_tasks: keys
            .doc("tasks kept for test_tasks alone, by name")
            .strings("held_out_tasks", Some(&[])),
        held_out_count: keys
            .doc("where held_out_tasks names none: how many tasks are drawn")
            .usize("held_out_count", 3, 0..=BATCH),
        all: keys
            .doc("a pair for each option that the graph does not allow, or for the first offered")
            .one_of("rejected", "all", &[("all", true), ("first", false)]),
        multi_task: keys
            .doc("whether dialogues that serve several tasks are read")
            .bool("multi_task", true),
        rows: RowsSettings {
            shuffle: keys
                .doc("draw pairs in a new order each epoch; false keeps the dialogues' order")
                .bool("shuffle", true),
            by_dialogue: Group::read(keys, "none") == Group::Dialogue,
            by_row: false,
        },
    };
    if star.valid + star.test + star.feedback >= 1.0 {
        keys.problem(
            "test",
            format!(
                "expected valid + test + feedback below 1, found {} + {} + {}, which leaves nothing to train on",
                star.valid, star.test, star.feedback
            ),
        );
    }
    Box::new(star)
}

impl Stage for Star {
    fn run(&self, context: &Context) -> Result<()> {
        let mut tasks = tasks(&self.archive).or_bad_input()?;
        let held_out = self.held_out(&tasks).or_bad_input()?;
        let left_out = self.left_out(context, &held_out)?;
        let mut spoken = Spoken::default();
        let mut spoken_held_out = Spoken::default();
        visit(&self.archive, &ARCHIVE, "dialogues", |_, bytes| {
            context.stop.check()?;
            let conversation = Conversation::parse(bytes).or_bad_input()?;
            match self.split(&conversation, &held_out) {
                Split::Train if left_out.contains(&conversation.id) => {}
                Split::Train => spoken.add(&conversation),
                Split::TestTasks => spoken_held_out.add(&conversation),
                _ => {}
            }
            Ok(())
        })?;
        spoken.complete(&mut tasks);
        spoken_held_out.complete(&mut tasks);
        let mut tally = Tally::default();
        with_files(&context.dir, &SPLITS, &mut Vec::new(), &mut |files| {
            visit(&self.archive, &ARCHIVE, "dialogues", |_, bytes| {
                context.stop.check()?;
                let conversation = Conversation::parse(bytes).or_bad_input()?;
                if conversation.capabilities.len() > 1 && !self.multi_task {
                    tally.skipped_multi_task += 1;
                    return Ok(());
                }
                if left_out.contains(&conversation.id) {
                    tally.left_out += 1;
                    return Ok(());
                }
                let split = self.split(&conversation, &held_out);
                let spoken = match split {
                    Split::TestTasks => &spoken_held_out,
                    _ => &spoken,
                };
                let examples =
                    self.dialogue(&conversation, &tasks, spoken, split, &held_out, &mut tally)?;
                let at = SPLITS.iter().position(|known| *known == split).unwrap_or(0);
                for example in examples {
                    serde_json::to_writer(&mut *files[at], &example)?;
                    files[at].write_all(b"\n")?;
                }
                Ok(())
            })
        })?;
        write_settings(&context.dir, self.rows)?;
        if tally.pairs.get("train").is_none_or(|pairs| *pairs == 0) {
            let message = format!(
                "{}: no pairs for training; lower valid, test or the number of held-out tasks",
                self.archive.display()
            );
            return Err(BadInput(message).into());
        }
        tally.measures(&held_out).write(&context.dir)
    }
}

impl Star {
    /// The names of the tasks that are held out.
    fn held_out(&self, tasks: &Tasks) -> Result<BTreeSet<String>> {
        let known: Vec<&str> = tasks.keys().map(String::as_str).collect();
        if let Some(unknown) = self
            .held_out_tasks
            .iter()
            .find(|name| !tasks.contains_key(*name))
        {
            bail!(
                "held_out_tasks: unknown task {unknown}{}",
                suggest(unknown, "tasks", &known)
            );
        }
        if !self.held_out_tasks.is_empty() {
            return Ok(self.held_out_tasks.iter().cloned().collect());
        }
        ensure!(
            self.held_out_count < tasks.len(),
            "held_out_count: expected less than the {} tasks there are, found {}",
            tasks.len(),
            self.held_out_count
        );
        let mut drawn = known;
        let draw = |name: &str| uniform(&format!("task {} {name}", self.seed));
        drawn.sort_by(|a, b| draw(a).total_cmp(&draw(b)));
        let drawn = drawn.into_iter().take(self.held_out_count);
        Ok(drawn.map(str::to_owned).collect())
    }

    /// The training dialogues beyond `train`.
    fn left_out(&self, context: &Context, held_out: &BTreeSet<String>) -> Result<BTreeSet<String>> {
        if self.train.is_all() {
            return Ok(BTreeSet::new());
        }
        let mut drawn = Vec::new();
        visit(&self.archive, &ARCHIVE, "dialogues", |_, bytes| {
            context.stop.check()?;
            let conversation = Conversation::parse(bytes).or_bad_input()?;
            let read = self.multi_task || conversation.capabilities.len() == 1;
            if read && self.split(&conversation, held_out) == Split::Train {
                let draw = uniform(&format!("train {} {}", self.seed, conversation.id));
                drawn.push((draw, conversation.id));
            }
            Ok(())
        })?;
        let train = self.train.of(drawn.len())?;
        drawn.sort_by(|a, b| a.0.total_cmp(&b.0));
        Ok(drawn.into_iter().skip(train).map(|(_, id)| id).collect())
    }

    /// A dialogue in which a held-out task could come up is in no other split.
    fn split(&self, conversation: &Conversation, held_out: &BTreeSet<String>) -> Split {
        let mut tasks = conversation.capabilities.iter().map(|(task, _)| task);
        if tasks.any(|task| held_out.contains(task)) {
            return Split::TestTasks;
        }
        let drawn = uniform(&format!("dialogue {} {}", self.seed, conversation.id));
        if drawn < self.test {
            Split::Test
        } else if drawn < self.test + self.valid {
            Split::Valid
        } else if drawn < self.test + self.valid + self.feedback {
            Split::Feedback
        } else {
            Split::Train
        }
    }

    fn dialogue(
        &self,
        conversation: &Conversation,
        tasks: &Tasks,
        spoken: &Spoken,
        split: Split,
        held_out: &BTreeSet<String>,
        tally: &mut Tally,
    ) -> Result<Vec<Example>> {
        let walk = follow(conversation, tasks).or_bad_input()?;
        tally.multi_task += usize::from(conversation.capabilities.len() > 1);
        tally.unhappy += usize::from(!conversation.happy);
        tally.free += walk.free;
        tally.custom += walk.custom;
        tally.without_task += walk.without_task;
        *tally.dialogues.entry(split.name()).or_default() += 1;
        let mut examples = Vec::new();
        for pick in &walk.picks {
            let (found, counts) = pairs(pick, conversation, tasks, spoken, self.all)?;
            tally.counts += counts;
            if split == Split::TestTasks && !held_out.contains(&pick.task) {
                tally.beside_held_out += found.len();
                continue;
            }
            if !found.is_empty() {
                tally.tasks.insert(pick.task.clone());
            }
            examples.extend(found);
        }
        *tally.pairs.entry(split.name()).or_default() += examples.len();
        Ok(examples)
    }
}

/// The archive's tasks.
fn tasks(archive: &Path) -> Result<Tasks> {
    let mut files: BTreeMap<String, [Option<Vec<u8>>; 2]> = BTreeMap::new();
    visit(archive, &ARCHIVE, "tasks", |name, bytes| {
        let parts: Vec<&str> = name.split('/').collect();
        if let [_, task, file] = parts[..] {
            let files = files.entry(task.to_owned()).or_default();
            if file == "responses.json" {
                files[1] = Some(bytes.to_vec());
            } else if file.strip_suffix(".json") == Some(task) {
                files[0] = Some(bytes.to_vec());
            }
        }
        Ok(())
    })?;
    let mut tasks = Tasks::new();
    for (name, files) in files {
        let at = format!("{}: tasks/{name}", archive.display());
        let [Some(graph), Some(responses)] = files else {
            bail!("{at}: expected {name}.json and responses.json in it; fetch the data again");
        };
        let task = Task::parse(&name, &graph, &responses)
            .map_err(|error| error.context(format!("{at}/{name}.json and responses.json")))?;
        tasks.insert(name, task);
    }
    Ok(tasks)
}

/// What is done with the splits' open files.
type Work<'a> = &'a mut dyn FnMut(&mut [&mut dyn Write]) -> Result<()>;

/// Opens a file for each split, to be whole together or absent.
fn with_files(
    dir: &Path,
    splits: &[Split],
    open: &mut Vec<&mut dyn Write>,
    work: Work<'_>,
) -> Result<()> {
    let Some((split, rest)) = splits.split_first() else {
        return work(open);
    };
    write_with(&dir.join(format!("{}.jsonl", split.name())), |file| {
        let mut files: Vec<&mut dyn Write> = Vec::with_capacity(open.len() + 1);
        for file in open.iter_mut() {
            files.push(&mut **file);
        }
        files.push(file);
        with_files(dir, rest, &mut files, work)
    })
}

#[cfg(test)]
mod tests;
