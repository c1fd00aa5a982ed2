//! Progress on stderr: a live bar on a terminal, a plain line now and then elsewhere.

use std::io::IsTerminal;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::terminal::{BARS, clean, say};

/// Progress of one piece of work, with its rate and the time left. Threads may share it.
#[derive(Debug)]
pub struct Progress(Mutex<State>);

#[derive(Debug)]
struct State {
    label: String,
    message: String,
    total: u64,
    done: u64,
    /// Where this process began (more than 0 when it resumed), for an honest rate.
    start: u64,
    began: Instant,
    view: View,
}

#[derive(Debug)]
enum View {
    Bar(ProgressBar),
    Lines { last: Instant, tenth: u64 },
    Ended,
}

impl Progress {
    /// Progress of `label` towards `total` steps.
    pub fn new(label: &str, total: usize) -> Self {
        Self::resume(label, total, 0)
    }

    /// Progress that starts at step `start`, saved by an earlier process.
    pub fn resume(label: &str, total: usize, start: usize) -> Self {
        let (total, start) = (total as u64, start as u64);
        let began = Instant::now();
        let view = if std::io::stderr().is_terminal() {
            let bar = BARS.add(ProgressBar::new(total));
            bar.set_position(start);
            bar.set_prefix(clean(label).into_owned());
            let template = "{prefix:20} {bar:24} {pos}/{len} {rate:>9} {eta:>4} left  {msg}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                    // A bar has nowhere to report a failed write to.
                    let _ = write!(out, "{:.1}/s", state.per_sec());
                };
                bar.set_style(style.with_key("rate", rate));
            }
            bar.reset_eta();
            bar.enable_steady_tick(Duration::from_millis(500));
            View::Bar(bar)
        } else {
            View::Lines {
                last: began,
                tenth: tenth(start, total),
            }
        };
        let (label, message) = (label.to_string(), String::new());
        Self(Mutex::new(State {
            label,
            message,
            total,
            done: start,
            start,
            began,
            view,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere must not turn into a second one over a progress line.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells how many steps are done.
    pub fn at(&self, done: usize) {
        let mut state = self.state();
        state.done = done as u64;
        if let View::Bar(bar) = &state.view {
            bar.set_position(done as u64);
        } else if state.due(Instant::now()) {
            say(&state.line(Instant::now()));
        }
    }

    /// Sets the text behind the counts, such as the current loss.
    pub fn message(&self, text: impl Into<String>) {
        let mut state = self.state();
        state.message = text.into();
        if let View::Bar(bar) = &state.view {
            bar.set_message(clean(&state.message).into_owned());
        }
    }

    /// Ends the progress, leaving one line that sums it up. Dropping it does the same.
    pub fn finish(&self) {
        let mut state = self.state();
        match std::mem::replace(&mut state.view, View::Ended) {
            View::Ended => return,
            View::Bar(bar) => {
                bar.finish_and_clear();
                BARS.remove(&bar);
            }
            View::Lines { .. } => {}
        }
        let took = clock(state.began.elapsed());
        let State {
            label,
            message,
            total,
            done,
            ..
        } = &*state;
        say(&format!("{label}: {done}/{total} in {took}  {message}"));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

impl State {
    /// Whether a plain line is due: ten seconds after the last, or at each tenth of the work but
    /// not more than one a second.
    fn due(&mut self, now: Instant) -> bool {
        let reached = tenth(self.done, self.total);
        let View::Lines { last, tenth } = &mut self.view else {
            return false;
        };
        let since = now.saturating_duration_since(*last).as_secs_f64();
        let due = since >= 10.0 || (reached > *tenth && since >= 1.0);
        if due {
            (*last, *tenth) = (now, reached);
        }
        due
    }

    fn line(&self, now: Instant) -> String {
        let State {
            label,
            message,
            total,
            done,
            start,
            ..
        } = self;
        let percent = 100 * done / total.max(&1);
        let seconds = now.saturating_duration_since(self.began).as_secs_f64();
        let rate = done.saturating_sub(*start) as f64 / seconds.max(1e-9);
        let mut line = format!("{label}: {done}/{total} {percent}%");
        if rate > 0.0 {
            let left = total.saturating_sub(*done) as f64 / rate;
            let left = clock(Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX));
            let digits = if rate < 10.0 { 2 } else { 0 };
            line.push_str(&format!("  {rate:.digits$}/s  {left} left  {message}"));
        }
        line
    }
}

fn tenth(done: u64, total: u64) -> u64 {
    10 * done / total.max(1)
}

/// A duration as a person reads it: `8s`, `3m05s`, `2h07m`.
pub fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(start: u64, total: u64) -> State {
        let began = Instant::now();
        State {
            label: "sft seed 1".into(),
            message: "loss 2.31".into(),
            total,
            done: start,
            start,
            began,
            view: View::Lines {
                last: began,
                tenth: tenth(start, total),
            },
        }
    }

    #[test]
    fn the_rate_counts_only_this_process() {
        let mut state = state(100, 400);
        state.done = 130;
        let line = state.line(state.began + Duration::from_secs(10));
        assert_eq!(
            line,
            "sft seed 1: 130/400 32%  3.00/s  1m30s left  loss 2.31"
        );
    }

    #[test]
    fn plain_lines_come_each_tenth_but_not_in_a_flood() {
        let mut state = state(0, 100);
        let began = state.began;
        let mut lines = 0;
        for done in 1..=100 {
            state.done = done;
            lines += u32::from(state.due(began + Duration::from_millis(10 * done)));
        }
        assert_eq!(lines, 1);
        state.done = 100;
        assert!(state.due(began + Duration::from_secs(20)));
        assert!(!state.due(began + Duration::from_secs(21)));
    }

    #[test]
    fn no_steps_at_all_is_no_division_by_zero() {
        let progress = Progress::new("empty", 0);
        progress.at(0);
        assert_eq!(state(0, 0).line(Instant::now()), "sft seed 1: 0/0 0%");
    }

    #[test]
    fn times_read_as_people_write_them() {
        for (seconds, text) in [(8, "8s"), (185, "3m05s"), (7620, "2h07m")] {
            assert_eq!(clock(Duration::from_secs(seconds)), text);
        }
    }
}
