//! A team of threads for one micro-batch: each op splits its work among them, and goes on when all of it is done.
//!
//! An op of a single short text takes microseconds, less than it takes to wake a thread that sleeps. So the helpers spin
//! between ops, for a while; the team exists only while a call computes.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;

use crate::error::Result;
use crate::threads::executor::{Executor, Lend, Progress, lock};

/// The threads that an op may use: the one that calls it, and helpers.
#[derive(Clone, Default)]
pub(crate) struct Team {
    helpers: usize,
    shared: Option<Arc<Helpers>>,
}

/// The results of `work` for the numbers below `count`, by all threads that nobody else uses; or the first error, after
/// which no more are begun.
pub(crate) fn by_free_threads<T: Send>(count: usize, work: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
    let failed = AtomicBool::new(false);
    let results = Mutex::new(Vec::new());
    Team::with(count, |team| {
        let until_failed = (0..count).take_while(|_| !failed.load(SeqCst));
        team.for_each(until_failed, |i| {
            let result = work(i);
            failed.fetch_or(result.is_err(), SeqCst);
            lock(&results).push((i, result));
        });
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(i, _)| *i);
    results.into_iter().map(|(_, result)| result).collect()
}

/// What the leader and its helpers share.
#[derive(Default)]
struct Helpers {
    /// What is to be done now, or null.
    job: AtomicPtr<Job<'static>>,
    /// How many jobs there were: a helper does each once.
    jobs: AtomicUsize,
    /// Helpers that may hold the job's address.
    inside: AtomicUsize,
    panicked: AtomicBool,
    over: AtomicBool,
    /// True while a helper sleeps; `sleepers` are they.
    asleep: AtomicBool,
    sleepers: Mutex<Vec<Thread>>,
}

struct Job<'a>(&'a (dyn Fn() + Sync));

impl Team {
    /// Calls `work` with a team of at most `size` threads: the caller, and workers that nobody else uses.
    pub(crate) fn with<R>(size: usize, work: impl FnOnce(Team) -> R) -> R {
        let helpers = Arc::new(Helpers::default());
        let help = || {
            helpers.help();
            Progress::Done
        };
        Executor::get().with_workers(size.saturating_sub(1), Lend::Now, &help, |_, count| {
            let _over = Over(&helpers);
            work(Self { helpers: count, shared: (count > 0).then(|| Arc::clone(&helpers)) })
        })
    }

    /// How many threads it has.
    pub(crate) fn size(&self) -> usize {
        1 + self.helpers
    }

    /// Does `work` with each of the tasks, on all threads, and returns when all are done. A task is asked for when a thread
    /// is there to do it.
    pub(crate) fn for_each<T>(&self, tasks: impl IntoIterator<Item = T, IntoIter: Send>, work: impl Fn(T) + Sync) {
        let tasks = tasks.into_iter();
        match &self.shared {
            Some(helpers) if tasks.size_hint().1.is_none_or(|most| most > 1) => {
                let tasks = Mutex::new(tasks);
                let next = || tasks.lock().unwrap_or_else(PoisonError::into_inner).next();
                helpers.lead(&|| {
                    while let Some(task) = next() {
                        work(task);
                    }
                });
            }
            _ => tasks.for_each(work),
        }
    }
}

impl Helpers {
    /// Does a job here, and on those helpers that come in time.
    #[expect(unsafe_code, reason = "helpers outlive the job that they are lent")]
    fn lead(&self, job: &(dyn Fn() + Sync)) {
        // SAFETY: only the lifetime changes. Nobody uses the job after this function: it takes the address back, and then
        // waits until no helper is inside that may have read it before. Both are sequentially consistent, so a helper
        // that enters later finds no address.
        let job = Job(unsafe { std::mem::transmute::<&(dyn Fn() + Sync), &'static (dyn Fn() + Sync)>(job) });
        self.jobs.fetch_add(1, SeqCst);
        self.job.store((&raw const job).cast_mut(), SeqCst);
        self.wake();
        let result = catch_unwind(AssertUnwindSafe(|| (job.0)()));
        self.job.store(null_mut(), SeqCst);
        let mut patience = Patience::default();
        while self.inside.load(SeqCst) > 0 {
            if !patience.wait() {
                std::thread::yield_now();
            }
        }
        if let Err(panic) = result {
            resume_unwind(panic);
        }
        assert!(!self.panicked.swap(false, SeqCst), "a helper panicked");
    }

    /// Helps with one job after another until the team is over.
    #[expect(unsafe_code, reason = "helpers outlive the job that they are lent")]
    fn help(&self) {
        let mut done = 0;
        let mut patience = Patience::default();
        while !self.over.load(SeqCst) {
            if self.nothing_but(done) {
                if !patience.wait() {
                    self.sleep(done);
                }
                continue;
            }
            self.inside.fetch_add(1, SeqCst);
            let jobs = self.jobs.load(SeqCst);
            // SAFETY: the leader keeps the job until nobody is inside, see there.
            if let Some(job) = unsafe { self.job.load(SeqCst).as_ref() } {
                done = jobs;
                if catch_unwind(AssertUnwindSafe(|| (job.0)())).is_err() {
                    self.panicked.store(true, SeqCst);
                }
            }
            self.inside.fetch_sub(1, SeqCst);
            patience = Patience::default();
        }
    }
}

/// Methods of helpers that wait.
impl Helpers {
    /// Whether there is no job, or none but the one that was the `done`-th.
    fn nothing_but(&self, done: usize) -> bool {
        self.job.load(SeqCst).is_null() || self.jobs.load(SeqCst) == done
    }

    /// Sleeps until there may be a job: the leader asks its observer, perhaps, which takes as long as it likes.
    fn sleep(&self, done: usize) {
        lock(&self.sleepers).push(std::thread::current());
        self.asleep.store(true, SeqCst);
        // Who stores a job looks for sleepers afterwards, so one of both sees the other.
        if self.nothing_but(done) && !self.over.load(SeqCst) {
            std::thread::park();
        }
    }

    fn wake(&self) {
        if self.asleep.swap(false, SeqCst) {
            lock(&self.sleepers).drain(..).for_each(|sleeper| sleeper.unpark());
        }
    }
}

/// Ends the team, whichever way it goes out of sight.
struct Over<'a>(&'a Helpers);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, SeqCst);
        self.0.wake();
    }
}

/// Spins for about as long as an op takes, then lets other threads run for a while.
#[derive(Default)]
struct Patience(u32);

impl Patience {
    /// Waits a little; false where that was done often enough.
    fn wait(&mut self) -> bool {
        self.0 += 1;
        match self.0 {
            0..=2_000 => std::hint::spin_loop(),
            2_001..=2_500 => std::thread::yield_now(),
            _ => return false,
        }
        true
    }
}

/// Parts `0..count` into as many ranges as there are threads, or as there are items, as evenly as can be.
pub(crate) fn part(count: usize, threads: usize) -> Vec<std::ops::Range<usize>> {
    let parts = threads.min(count).max(1);
    (0..parts).map(|i| count * i / parts..count * (i + 1) / parts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn free_threads_give_all_results_in_order_or_the_first_error() {
        for count in [0, 1, 2, 100] {
            assert!(by_free_threads(count, |i| Ok(i * i)).unwrap().into_iter().eq((0..count).map(|i| i * i)));
        }
        // However many there would be.
        let fail = |i: usize| if i < 7 { Ok(i) } else { Err(Error::Tokenizer(i.to_string())) };
        assert_eq!(
            by_free_threads(usize::MAX, fail).unwrap_err().to_string(),
            Error::Tokenizer("7".to_owned()).to_string()
        );
    }

    /// A team of threads of its own, since other tests may have the workers.
    fn with_threads(size: usize, work: impl FnOnce(Team)) {
        let helpers = Arc::new(Helpers::default());
        std::thread::scope(|scope| {
            let _over = Over(&helpers);
            (1..size).for_each(|_| drop(scope.spawn(|| helpers.help())));
            work(Team { helpers: size - 1, shared: (size > 1).then(|| Arc::clone(&helpers)) });
        });
    }

    #[test]
    fn helpers_that_sleep_are_woken() {
        with_threads(3, |team| {
            for _ in 0..20 {
                let asleep = || lock(&team.shared.as_ref().unwrap().sleepers).len();
                while asleep() < 2 {
                    std::thread::yield_now();
                }
                let sum = AtomicUsize::new(0);
                team.for_each(0..6, |task: usize| {
                    sum.fetch_add(task, SeqCst);
                });
                assert_eq!(sum.load(SeqCst), 15);
            }
        });
    }

    #[test]
    fn every_task_is_done_once_by_one_job_after_another() {
        for size in [1, 2, 4] {
            with_threads(size, |team| {
                for tasks in (0..200).map(|i| i % 7) {
                    let done: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                    team.for_each(0..tasks, |task| {
                        done[task].fetch_add(1, SeqCst);
                    });
                    assert!(done.iter().all(|count| count.load(SeqCst) == 1));
                }
            });
        }
    }

    #[test]
    fn a_panic_of_any_thread_reaches_the_caller_and_the_team_goes_on() {
        with_threads(3, |team| {
            for _ in 0..50 {
                let fail = || team.for_each(0..6, |task| assert!(task != 3, "on purpose"));
                assert!(catch_unwind(AssertUnwindSafe(fail)).is_err());
                let sum = AtomicUsize::new(0);
                team.for_each(0..6, |task: usize| {
                    sum.fetch_add(task, SeqCst);
                });
                assert_eq!(sum.load(SeqCst), 15);
            }
        });
    }

    #[test]
    fn parts_are_all_and_even() {
        for (count, threads) in (0..20).flat_map(|count| (1..9).map(move |threads| (count, threads))) {
            let parts = part(count, threads);
            assert_eq!(parts.iter().map(ExactSizeIterator::len).sum::<usize>(), count);
            assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
            let (least, most) =
                (parts.iter().map(ExactSizeIterator::len).min(), parts.iter().map(ExactSizeIterator::len).max());
            assert!(most.unwrap() - least.unwrap() <= 1);
        }
    }
}
