//! What is counted of an archive while it becomes pairs.

use std::collections::{BTreeMap, BTreeSet};

use crate::data::star::pairs::Counts;
use crate::stage::artifact::measures::Measures;
use crate::stage::settings::splits::Split;

/// The files of the artifact, in the order in which a dialogue's share of `[0, 1)` is dealt out.
pub const SPLITS: [Split; 5] = [
    Split::Test,
    Split::Valid,
    Split::Feedback,
    Split::Train,
    Split::TestTasks,
];

/// What of the artifact is counted beside the picks.
#[derive(Default)]
pub struct Tally {
    pub dialogues: BTreeMap<&'static str, usize>,
    pub pairs: BTreeMap<&'static str, usize>,
    pub multi_task: usize,
    pub unhappy: usize,
    pub skipped_multi_task: usize,
    pub left_out: usize,
    pub free: usize,
    pub custom: usize,
    pub without_task: usize,
    pub beside_held_out: usize,
    pub tasks: BTreeSet<String>,
    pub counts: Counts,
}

impl Tally {
    /// The counts as measures, and in words.
    pub fn measures(&self, held_out: &BTreeSet<String>) -> Measures {
        let counts = &self.counts;
        let mut measures = Measures::default();
        let mut number = |name: &str, value: usize| {
            measures.numbers.insert(name.to_owned(), value as f64);
        };
        for (name, value) in [
            ("dialogues", self.dialogues.values().sum()),
            ("multi_task_dialogues", self.multi_task),
            ("unhappy_dialogues", self.unhappy),
            ("skipped_multi_task_dialogues", self.skipped_multi_task),
            ("left_out_dialogues", self.left_out),
            ("tasks", self.tasks.len()),
            ("held_out_tasks", held_out.len()),
            ("picks", counts.picks),
            ("custom_picks", self.custom),
            ("free_replies", self.free),
            ("picks_without_task", self.without_task),
            ("off_graph_picks", counts.off_graph),
            ("picks_outside_graph", counts.outside_graph),
            ("options", counts.options),
            ("options_beside_allowed_picks", counts.considered),
            ("allowed_options", counts.allowed_options),
            ("unworded_options", counts.unworded),
            ("alike_options", counts.alike),
            ("borrowed_rejected", counts.borrowed),
            ("misread_picks", counts.misread),
            ("picks_with_pairs", counts.paired),
            ("pairs", self.pairs.values().sum()),
            ("pairs_beside_held_out", self.beside_held_out),
        ] {
            number(name, value);
        }
        for split in SPLITS {
            let name = split.name();
            let of = |map: &BTreeMap<&str, usize>| map.get(name).copied().unwrap_or_default();
            number(&format!("{name}_dialogues"), of(&self.dialogues));
            number(&format!("{name}_pairs"), of(&self.pairs));
        }
        let allowed = counts.picks - counts.off_graph;
        let share = allowed as f64 / counts.picks.max(1) as f64;
        measures.numbers.insert("on_graph".into(), share);
        measures.note(format!(
            "{} picks of canned replies; dropped: {} that the graph does not allow ({} of replies it does \
             not know), {} of the wizard's own words, {} before any task is known",
            counts.picks, counts.off_graph, counts.outside_graph, self.custom, self.without_task
        ));
        measures.note(format!(
            "{} options beside the picks kept; dropped: {} that the graph allows too, {} without a \
             wording, {} worded like the pick or an allowed reply",
            counts.considered, counts.allowed_options, counts.unworded, counts.alike
        ));
        measures.note(format!(
            "{} pairs; {} rejected replies in the words of another dialogue; {} more dropped, which \
             belong to other tasks in dialogues with a held-out one",
            self.pairs.values().sum::<usize>(),
            counts.borrowed,
            self.beside_held_out
        ));
        let held_out: Vec<&str> = held_out.iter().map(String::as_str).collect();
        measures.note(format!("held-out tasks: {}", held_out.join(", ")));
        measures
    }
}
