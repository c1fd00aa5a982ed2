//! Independent work side by side: what starts when, on how many threads, and what an end in failure does.

use std::any::Any;
use std::cmp::Reverse;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::channel;
use std::thread::scope;

use anyhow::{Context as _, Result};
use rayon::ThreadPoolBuilder;

use crate::store::{Stop, Stopped, say};

/// What a main thread has, for stages that run on another.
const STACK_BYTES: usize = 8 << 20;

/// How work is shared out.
pub struct Schedule<'a> {
    /// Pieces of work under way at most.
    pub jobs: usize,
    /// Threads to share out.
    pub threads: usize,
    pub stop: &'a Stop,
    /// Whether a piece of work whose needs are there keeps all threads busy: it gets them, and nothing runs beside it.
    pub alone: &'a dyn Fn(usize) -> bool,
    /// Called before a piece of work starts beside another.
    pub beside: fn(),
}

impl Schedule<'_> {
    /// Does all work whose result is not in `done` yet, and gives all results in order. `needs` names what each
    /// piece of work must wait for, by place; it stands before what waits for it.
    ///
    /// Of what can start, that with the longest chain of work behind it does, of equals the first in order; where
    /// `jobs` is 1, the first in order. What starts gets an equal share of the threads, as a thread pool
    /// of its own, counting what runs then and what could start too, up to `jobs`. What has nothing to run
    /// beside, or is to run [`alone`](Self::alone), is done on the calling thread and on the program's own pool, as all
    /// work is where `jobs` is 1. What is to run alone and comes first waits until nothing runs, and nothing starts
    /// before it.
    ///
    /// # Errors
    ///
    /// The first failure; nothing starts after it, and what runs beside it is asked to stop. [`Stopped`] once `stop`
    /// was raised, unless something failed beside.
    ///
    /// # Panics
    ///
    /// Where a piece of work does, when what ran beside it has ended.
    pub fn run<T: Send>(
        &self,
        needs: &[Vec<usize>],
        mut done: Vec<Option<T>>,
        work: impl Fn(usize, &Stop) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let stop = self.stop.child();
        let behind = chains(needs);
        let mut failure: Option<Failure> = None;
        let mut waiting: Vec<usize> = (0..needs.len()).filter(|&at| done[at].is_none()).collect();
        let (work, asked) = (&work, &stop);
        scope(|scope| -> Result<()> {
            let (sender, ended) = channel();
            let mut running = 0;
            loop {
                let mut ready = waiting.clone();
                ready.retain(|&at| needs[at].iter().all(|&need| done[need].is_some()));
                if stop.requested() {
                    ready.clear();
                }
                if self.jobs > 1 {
                    ready.sort_by_key(|&at| Reverse(behind[at]));
                    match ready.first() {
                        Some(&first) if (self.alone)(first) => {
                            ready.truncate(usize::from(running == 0));
                        }
                        _ => ready.retain(|&at| !(self.alone)(at)),
                    }
                }
                let side = self.jobs.min(running + ready.len());
                ready.truncate(side.saturating_sub(running));
                waiting.retain(|at| !ready.contains(at));
                if let ([at], 0) = (&ready[..], running) {
                    done[*at] = Some(work(*at, &stop)?);
                    continue;
                }
                for at in ready {
                    if running > 0 {
                        (self.beside)();
                    }
                    running += 1;
                    let (sender, threads) = (sender.clone(), (self.threads / side).max(1));
                    scope.spawn(move || {
                        let end = catch_unwind(AssertUnwindSafe(|| {
                            let pool = ThreadPoolBuilder::new()
                                .num_threads(threads)
                                .stack_size(STACK_BYTES)
                                .build()
                                .context("cannot start the threads of a stage")?;
                            pool.install(|| work(at, asked))
                        }));
                        // The receiver is there until all have ended.
                        let _ = sender.send((at, end));
                    });
                }
                if running == 0 {
                    return Ok(());
                }
                let (at, end) = ended.recv()?;
                running -= 1;
                let failed = match end {
                    Ok(Ok(result)) => {
                        done[at] = Some(result);
                        continue;
                    }
                    Ok(Err(error)) => Failure::Error(error),
                    Err(panic) => Failure::Panic(panic),
                };
                if running > 0 && !stop.requested() {
                    say("a stage failed; those beside it stop after this step");
                }
                stop.request();
                failure = Some(failed.after(failure.take()));
            }
        })?;
        match failure {
            Some(Failure::Panic(panic)) => resume_unwind(panic),
            Some(Failure::Error(error)) => Err(error),
            None => Ok(done
                .into_iter()
                .collect::<Option<Vec<T>>>()
                .ok_or(Stopped)?),
        }
    }
}

/// How many pieces of work wait for each one in the longest chain, itself counted.
fn chains(needs: &[Vec<usize>]) -> Vec<usize> {
    let mut behind = vec![1; needs.len()];
    for at in (0..needs.len()).rev() {
        for &need in &needs[at] {
            behind[need] = behind[need].max(behind[at] + 1);
        }
    }
    behind
}

enum Failure {
    Error(anyhow::Error),
    Panic(Box<dyn Any + Send>),
}

impl Failure {
    /// What to tell of this failure and those before it. A stop is only what others led to, and a panic is told
    /// by its own message already; any other failure that is not told in the end is printed here.
    fn after(self, before: Option<Self>) -> Self {
        let Some(before) = before else {
            return self;
        };
        let stopped = |it: &Self| matches!(it, Self::Error(error) if error.is::<Stopped>());
        if stopped(&before) {
            return self;
        }
        match (before, self) {
            (Self::Error(error), later @ Self::Panic(_)) => {
                say(&format!("error: {error:#}"));
                later
            }
            (before, later) => {
                if let (Self::Error(error), false) = (&later, stopped(&later)) {
                    say(&format!("error beside it: {error:#}"));
                }
                before
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use anyhow::{anyhow, bail, ensure};

    use super::*;

    fn schedule(jobs: usize, threads: usize, stop: &Stop) -> Schedule<'_> {
        Schedule {
            jobs,
            threads,
            stop,
            alone: &|_| false,
            beside: || (),
        }
    }

    fn nothing_done<T>(count: usize) -> Vec<Option<T>> {
        (0..count).map(|_| None).collect()
    }

    /// Waits until `flag`, for ten seconds at most.
    fn wait(what: &str, flag: impl Fn() -> bool) -> Result<()> {
        let began = Instant::now();
        while !flag() {
            ensure!(began.elapsed() < Duration::from_secs(10), "{what}");
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    #[test]
    fn what_is_independent_overlaps_and_what_depends_waits() {
        // A diamond: 1 and 2 need 0, 3 needs both; 4 is there already.
        let needs = [vec![], vec![0], vec![0, 4], vec![1, 2], vec![]];
        let (arrived, told) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let ended = Mutex::new(Vec::new());
        let stop = Stop::new();
        let mut done = nothing_done(5);
        done[4] = Some(40);
        let results = schedule(2, 4, &stop).run(&needs, done, |at, _| {
            let before = ended.lock().unwrap().clone();
            for need in needs[at].iter().filter(|&&need| need != 4) {
                ensure!(before.contains(need), "{at} began before {need} ended");
            }
            if at == 1 || at == 2 {
                arrived.fetch_add(1, Ordering::SeqCst);
                wait("1 and 2 at once", || arrived.load(Ordering::SeqCst) == 2)?;
            }
            told.fetch_add(1, Ordering::SeqCst);
            ended.lock().unwrap().push(at);
            Ok((at * 10) as i32)
        });
        assert_eq!(results.unwrap(), [0, 10, 20, 30, 40]);
        assert_eq!(
            told.load(Ordering::SeqCst),
            4,
            "what is there is not done again"
        );
    }

    #[test]
    fn threads_are_shared_by_what_can_run_and_one_alone_has_them_all() {
        static BESIDE: AtomicUsize = AtomicUsize::new(0);
        let stop = Stop::new();
        let caller = std::thread::current().id();
        let all = rayon::current_num_threads();
        let used = Schedule {
            beside: || {
                BESIDE.fetch_add(1, Ordering::SeqCst);
            },
            ..schedule(3, 12, &stop)
        }
        .run(
            &[vec![], vec![0], vec![0], vec![0], vec![0], vec![1, 2, 3, 4]],
            nothing_done(6),
            |at, _| {
                // Long enough for all that may start to do so.
                std::thread::sleep(Duration::from_millis(if at == 1 { 300 } else { 100 }));
                let here = std::thread::current().id() == caller;
                Ok((here, rayon::current_num_threads()))
            },
        );
        let used = used.unwrap();
        assert_eq!((used[0], used[5]), ((true, all), (true, all)));
        assert_eq!(used[1..4], [(false, 4); 3]);
        // The fourth of four starts when one has ended: three run again.
        assert_eq!(used[4], (false, 4));
        assert_eq!(BESIDE.load(Ordering::SeqCst), 3);
        let one = schedule(1, 12, &stop);
        let none: [Vec<usize>; 3] = Default::default();
        let order = Mutex::new(Vec::new());
        one.run(&none, nothing_done(3), |at, _| {
            assert_eq!(std::thread::current().id(), caller);
            order.lock().unwrap().push(at);
            Ok(())
        })
        .unwrap();
        assert_eq!(order.into_inner().unwrap(), [0, 1, 2]);
    }

    #[test]
    fn what_keeps_all_threads_busy_runs_alone_in_its_turn() {
        // 0 and 1 are small; 2 is large and has the longest chain behind it, 4 is large and has none.
        let needs = [vec![], vec![], vec![0], vec![2], vec![], vec![]];
        let (stop, under_way) = (Stop::new(), AtomicUsize::new(0));
        let caller = std::thread::current().id();
        let order = Mutex::new(Vec::new());
        let both = AtomicUsize::new(0);
        Schedule {
            alone: &|at| [2, 3, 4].contains(&at),
            ..schedule(2, 4, &stop)
        }
        .run(&needs, nothing_done(6), |at, _| {
            let beside = under_way.fetch_add(1, Ordering::SeqCst);
            order.lock().unwrap().push(at);
            if at < 2 {
                both.fetch_add(1, Ordering::SeqCst);
                wait("0 and 1 at once", || both.load(Ordering::SeqCst) == 2)?;
            }
            if [2, 3, 4].contains(&at) {
                ensure!(beside == 0, "{at} beside another");
                ensure!(std::thread::current().id() == caller);
                std::thread::sleep(Duration::from_millis(20));
                ensure!(under_way.load(Ordering::SeqCst) == 1, "another beside {at}");
            }
            under_way.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        })
        .unwrap();
        let order = order.into_inner().unwrap();
        assert_eq!(order.len(), 6);
        let place = |at| order.iter().position(|it| *it == at).unwrap();
        assert!(place(2) < place(3) && place(2) < place(4), "{order:?}");
    }

    #[test]
    fn a_failure_stops_what_runs_beside_it_and_nothing_starts_after_it() {
        for jobs in [1, 2] {
            let (saved, beside) = (AtomicBool::new(false), AtomicBool::new(false));
            let stop = Stop::new();
            let needs = [vec![], vec![], vec![], vec![0]];
            let error = schedule(jobs, 2, &stop)
                .run(&needs, nothing_done::<()>(4), |at, stop| match at {
                    0 if jobs == 1 => Err(anyhow!("broken input")),
                    0 => {
                        wait("the second begins", || beside.load(Ordering::SeqCst))?;
                        Err(anyhow!("broken input"))
                    }
                    1 => {
                        beside.store(true, Ordering::SeqCst);
                        wait("a stop", || stop.requested())?;
                        saved.store(true, Ordering::SeqCst);
                        Ok(stop.check()?)
                    }
                    _ => panic!("{at} must not start"),
                })
                .unwrap_err();
            assert_eq!(error.to_string(), "broken input");
            assert_eq!(saved.load(Ordering::SeqCst), jobs == 2);
            assert!(
                !stop.requested(),
                "the program itself was not asked to stop"
            );
        }
    }

    #[test]
    fn a_stop_reaches_all_and_a_failure_beside_it_is_what_is_told() {
        for fails in [false, true] {
            let stop = Stop::new();
            let begun = AtomicUsize::new(0);
            let error = schedule(2, 2, &stop)
                .run(
                    &[vec![], vec![], vec![]],
                    nothing_done::<()>(3),
                    |at, asked| {
                        begun.fetch_add(1, Ordering::SeqCst);
                        wait("both begin", || begun.load(Ordering::SeqCst) == 2)?;
                        stop.request();
                        wait("the stop arrives", || asked.requested())?;
                        if fails && at == 1 {
                            std::thread::sleep(Duration::from_millis(50));
                            bail!("the disk is full");
                        }
                        Ok(asked.check()?)
                    },
                )
                .unwrap_err();
            assert_eq!(error.is::<Stopped>(), !fails, "{error:#}");
            assert_eq!(begun.load(Ordering::SeqCst), 2);
        }
    }

    #[test]
    fn a_panic_arrives_at_the_caller_once_the_others_have_ended() {
        let ended = AtomicBool::new(false);
        let stop = Stop::new();
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let needs: [Vec<usize>; 2] = Default::default();
            schedule(2, 2, &stop).run(&needs, nothing_done::<()>(2), |at, stop| {
                if at == 0 {
                    panic!("a mistake");
                }
                wait("a stop", || stop.requested())?;
                ended.store(true, Ordering::SeqCst);
                Ok(())
            })
        }));
        let panic = caught.err().and_then(|panic| panic.downcast::<&str>().ok());
        assert_eq!(panic.as_deref(), Some(&"a mistake"));
        assert!(ended.load(Ordering::SeqCst));
    }
}
