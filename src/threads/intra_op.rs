//! Intra-op parallelism: each op of one micro-batch splits its work over threads, and returns when all of it is done.
//!
//! An op of a short text takes microseconds, less than waking a parked thread. So helpers spin between ops for a while.
//! They exist only while a call computes: nothing spins in an idle process.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;
use std::time::Instant;

use crate::error::Result;
use crate::threads::executor::{Executor, Lend, PATIENCE, Progress, lock};

/// Threads of an op: the calling one, and helpers.
#[derive(Clone, Default)]
pub(crate) struct IntraOpThreads {
    helpers: usize,
    job: Option<Arc<SharedJob>>,
}

/// Computes `work(i)` for `i` below `count` on all free threads, and returns the results in order.
///
/// # Errors
/// The error of the smallest `i`. After an error no more work starts.
pub(crate) fn parallel_map<T: Send>(count: usize, work: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
    let failed = AtomicBool::new(false);
    let results = Mutex::new(Vec::new());
    IntraOpThreads::with(count, |threads| {
        let until_failed = (0..count).take_while(|_| !failed.load(SeqCst));
        threads.for_each(until_failed, |i| {
            let result = work(i);
            failed.fetch_or(result.is_err(), SeqCst);
            lock(&results).push((i, result));
        });
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(i, _)| *i);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Slot in which the calling thread, the leader, publishes jobs for its helpers.
#[derive(Default)]
struct SharedJob {
    /// The present job, or null.
    job: AtomicPtr<Job<'static>>,
    /// Number of jobs so far. A helper runs each once.
    jobs: AtomicUsize,
    /// Number of helpers that may hold the job's address.
    inside: AtomicUsize,
    panicked: AtomicBool,
    /// True when no more jobs come.
    closed: AtomicBool,
    /// True while `parked` may hold threads.
    any_parked: AtomicBool,
    parked: Mutex<Vec<Thread>>,
}

struct Job<'a>(&'a (dyn Fn() + Sync));

impl IntraOpThreads {
    /// Calls `work` with at most `max` threads: the caller, and free workers of the executor.
    pub(crate) fn with<R>(max: usize, work: impl FnOnce(Self) -> R) -> R {
        let job = Arc::new(SharedJob::default());
        let help = || {
            job.help();
            Progress::Done
        };
        Executor::get().with_workers(max.saturating_sub(1), Lend::Now, &help, |_, helpers| {
            let _close = CloseOnDrop(&job);
            work(Self { helpers, job: (helpers > 0).then(|| Arc::clone(&job)) })
        })
    }

    /// Number of threads.
    pub(crate) fn size(&self) -> usize {
        1 + self.helpers
    }

    /// Runs `work` with each task on all threads, and returns when all are done. A thread takes the next task when it is free.
    pub(crate) fn for_each<T>(&self, tasks: impl IntoIterator<Item = T, IntoIter: Send>, work: impl Fn(T) + Sync) {
        let tasks = tasks.into_iter();
        match &self.job {
            Some(job) if tasks.size_hint().1.is_none_or(|max| max > 1) => {
                let tasks = Mutex::new(tasks);
                let next = || lock(&tasks).next();
                job.lead(&|| {
                    while let Some(task) = next() {
                        work(task);
                    }
                });
            }
            _ => tasks.for_each(work),
        }
    }
}

impl SharedJob {
    /// Runs a job here, and on helpers that are in time.
    #[expect(unsafe_code, reason = "helpers outlive the job that they borrow")]
    fn lead(&self, job: &(dyn Fn() + Sync)) {
        // SAFETY: only the lifetime changes. Nobody uses the job after this function: it removes the address, then waits
        // until no helper that may have read it is inside. Both operations are sequentially consistent, so a helper that
        // enters later finds no address.
        let job = Job(unsafe { std::mem::transmute::<&(dyn Fn() + Sync), &'static (dyn Fn() + Sync)>(job) });
        self.jobs.fetch_add(1, SeqCst);
        self.job.store((&raw const job).cast_mut(), SeqCst);
        self.wake();
        let result = catch_unwind(AssertUnwindSafe(|| (job.0)()));
        self.job.store(null_mut(), SeqCst);
        let mut backoff = Backoff::default();
        while self.inside.load(SeqCst) > 0 {
            if !backoff.wait() {
                std::thread::yield_now();
            }
        }
        if let Err(panic) = result {
            resume_unwind(panic);
        }
        assert!(!self.panicked.swap(false, SeqCst), "a helper panicked");
    }

    /// Helps with one job after another until the slot is closed.
    #[expect(unsafe_code, reason = "helpers outlive the job that they borrow")]
    fn help(&self) {
        let mut done = 0;
        let mut backoff = Backoff::default();
        while !self.closed.load(SeqCst) {
            if self.has_no_job_after(done) {
                if !backoff.wait() && !self.park(done) {
                    return;
                }
                continue;
            }
            self.inside.fetch_add(1, SeqCst);
            let jobs = self.jobs.load(SeqCst);
            // SAFETY: the leader keeps the job until no helper is inside, see `lead`.
            if let Some(job) = unsafe { self.job.load(SeqCst).as_ref() } {
                done = jobs;
                if catch_unwind(AssertUnwindSafe(|| (job.0)())).is_err() {
                    self.panicked.store(true, SeqCst);
                }
            }
            self.inside.fetch_sub(1, SeqCst);
            backoff = Backoff::default();
        }
    }
}

/// Parking and waking of helpers.
impl SharedJob {
    /// Returns true when there is no job, or only the `done`-th.
    fn has_no_job_after(&self, done: usize) -> bool {
        self.job.load(SeqCst).is_null() || self.jobs.load(SeqCst) == done
    }

    /// Parks until there may be a job. Returns false if there is none for a while and callers wait: the helper then leaves
    /// its permit to them. The leader may be one of them, after it lent its own permit and the limit was lowered.
    fn park(&self, done: usize) -> bool {
        let this = std::thread::current();
        let mut parked = lock(&self.parked);
        if parked.iter().all(|thread| thread.id() != this.id()) {
            parked.push(this);
        }
        drop(parked);
        self.any_parked.store(true, SeqCst);
        // The leader stores a job before it looks for parked threads, so at least one of the two sees the other.
        let is_idle = || self.has_no_job_after(done) && !self.closed.load(SeqCst);
        let start = Instant::now();
        if is_idle() {
            std::thread::park_timeout(PATIENCE);
        }
        start.elapsed() < PATIENCE || !is_idle() || !Executor::get().contended()
    }

    fn wake(&self) {
        if self.any_parked.swap(false, SeqCst) {
            lock(&self.parked).drain(..).for_each(|thread| thread.unpark());
        }
    }
}

/// Dismisses the helpers, after a panic too.
struct CloseOnDrop<'a>(&'a SharedJob);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.closed.store(true, SeqCst);
        self.0.wake();
    }
}

/// Backoff of a waiting thread: spins for about the duration of an op, then yields to other threads for a while.
#[derive(Default)]
struct Backoff(u32);

impl Backoff {
    /// Waits a little. Returns false when the thread should park.
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

/// Splits `0..count` into a range for each thread, at most `count` of them, as evenly as possible.
pub(crate) fn split_evenly(count: usize, threads: usize) -> Vec<std::ops::Range<usize>> {
    let ranges = threads.min(count).max(1);
    (0..ranges).map(|i| count * i / ranges..count * (i + 1) / ranges).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn free_threads_give_all_results_in_order_or_the_first_error() {
        for count in [0, 1, 2, 100] {
            assert!(parallel_map(count, |i| Ok(i * i)).unwrap().into_iter().eq((0..count).map(|i| i * i)));
        }
        // The count may be unlimited.
        let fail = |i: usize| if i < 7 { Ok(i) } else { Err(Error::Tokenizer(i.to_string())) };
        assert_eq!(
            parallel_map(usize::MAX, fail).unwrap_err().to_string(),
            Error::Tokenizer("7".to_owned()).to_string()
        );
    }

    /// Calls `work` with new threads, because other tests may use the executor's workers.
    fn with_threads(size: usize, work: impl FnOnce(IntraOpThreads)) {
        let job = Arc::new(SharedJob::default());
        std::thread::scope(|scope| {
            let _close = CloseOnDrop(&job);
            (1..size).for_each(|_| drop(scope.spawn(|| job.help())));
            work(IntraOpThreads { helpers: size - 1, job: (size > 1).then(|| Arc::clone(&job)) });
        });
    }

    #[test]
    fn parked_helpers_are_woken() {
        with_threads(3, |threads| {
            for _ in 0..20 {
                let parked = || lock(&threads.job.as_ref().unwrap().parked).len();
                while parked() < 2 {
                    std::thread::yield_now();
                }
                let sum = AtomicUsize::new(0);
                threads.for_each(0..6, |task: usize| {
                    sum.fetch_add(task, SeqCst);
                });
                assert_eq!(sum.load(SeqCst), 15);
            }
        });
    }

    #[test]
    fn every_task_is_done_once_by_one_job_after_another() {
        for size in [1, 2, 4] {
            with_threads(size, |threads| {
                for tasks in (0..200).map(|i| i % 7) {
                    let done: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                    threads.for_each(0..tasks, |task| {
                        done[task].fetch_add(1, SeqCst);
                    });
                    assert!(done.iter().all(|count| count.load(SeqCst) == 1));
                }
            });
        }
    }

    #[test]
    fn a_panic_of_any_thread_reaches_the_caller_and_the_threads_go_on() {
        with_threads(3, |threads| {
            for _ in 0..50 {
                let fail = || threads.for_each(0..6, |task| assert!(task != 3, "on purpose"));
                assert!(catch_unwind(AssertUnwindSafe(fail)).is_err());
                let sum = AtomicUsize::new(0);
                threads.for_each(0..6, |task: usize| {
                    sum.fetch_add(task, SeqCst);
                });
                assert_eq!(sum.load(SeqCst), 15);
            }
        });
    }

    #[test]
    fn ranges_are_complete_and_even() {
        for (count, threads) in (0..20).flat_map(|count| (1..9).map(move |threads| (count, threads))) {
            let ranges = split_evenly(count, threads);
            let lengths = || ranges.iter().map(ExactSizeIterator::len);
            assert_eq!(lengths().sum::<usize>(), count);
            assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert!(lengths().max().unwrap() - lengths().min().unwrap() <= 1);
        }
    }
}
