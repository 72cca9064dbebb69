//! What is the whole process's: the choice of kernels, and how many threads compute.

use std::collections::VecDeque;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::kernels::Isa;

/// The instruction set of the kernels: the best that the machine has, or the one that `RUSHLIGHT_CPU` names.
///
/// # Errors
/// [`Error::InvalidArgument`] where `RUSHLIGHT_CPU` names one that this machine lacks.
pub(crate) fn isa() -> Result<Isa> {
    static CHOICE: OnceLock<std::result::Result<Isa, String>> = OnceLock::new();
    let choose = || {
        let sets = Isa::available();
        let names = || sets.iter().map(|isa| isa.name()).collect::<Vec<_>>().join(", ");
        match std::env::var("RUSHLIGHT_CPU") {
            Ok(name) if !name.is_empty() => {
                let chosen = sets.iter().find(|isa| isa.name() == name).copied();
                chosen.ok_or_else(|| format!("must be one of {} on this machine, got {name:?}", names()))
            }
            _ => sets.last().copied().ok_or_else(String::new),
        }
    };
    CHOICE.get_or_init(choose).clone().map_err(|problem| Error::argument("RUSHLIGHT_CPU", problem))
}

/// Names of the instruction sets that this machine has, the plainest first.
pub fn instruction_sets() -> Vec<&'static str> {
    Isa::available().into_iter().map(Isa::name).collect()
}

/// The name of the instruction set that the kernels use.
///
/// # Errors
/// [`Error::InvalidArgument`] where `RUSHLIGHT_CPU` names one that this machine lacks.
pub fn instruction_set() -> Result<&'static str> {
    isa().map(Isa::name)
}

/// More than any machine has cores for.
const MOST_THREADS: usize = 4096;

/// The threads that compute, of all models together.
#[derive(Default)]
struct Threads {
    /// As far as it has been asked for or set.
    limit: Option<usize>,
    running: usize,
    /// Those that wait, first come first served: a long call's pieces don't keep a short one waiting. The first alone is
    /// woken.
    waiting: VecDeque<(u64, Thread)>,
    next_ticket: u64,
}

impl Threads {
    fn wake_first(&self) {
        if let Some((_, first)) = self.waiting.front() {
            first.unpark();
        }
    }

    fn limit(&mut self) -> Result<usize> {
        match self.limit {
            Some(limit) => Ok(limit),
            None => Ok(*self.limit.insert(default_limit()?)),
        }
    }
}

/// What all threads of a process share.
struct Shared {
    process: u32,
    threads: Mutex<Threads>,
    /// The limit that was set, or 0: for a fork's child, which must not wait for the lock.
    limit: AtomicUsize,
}

impl Shared {
    fn new(limit: Option<usize>) -> Self {
        let threads = Threads { limit, ..Threads::default() };
        Self { process: std::process::id(), threads: Mutex::new(threads), limit: AtomicUsize::new(limit.unwrap_or(0)) }
    }

    /// That of this process. A fork's child has none of the threads that were running, one of which may have held the lock
    /// that nobody now gives back: so it begins anew, with its parent's limit.
    #[expect(unsafe_code, reason = "a lock that is left behind in a fork's child can't be a static")]
    fn get() -> &'static Self {
        static NOW: AtomicPtr<Shared> = AtomicPtr::new(null_mut());
        loop {
            let pointer = NOW.load(Ordering::Acquire);
            // SAFETY: it is null or was made of a leaked box, which nobody frees or changes.
            let now = unsafe { pointer.as_ref() };
            if let Some(now) = now.filter(|now| now.process == std::process::id()) {
                return now;
            }
            let limit = now.map(|parents| parents.limit.load(Ordering::Relaxed)).filter(|limit| *limit > 0);
            let new = Box::into_raw(Box::new(Self::new(limit)));
            if NOW.compare_exchange(pointer, new, Ordering::AcqRel, Ordering::Acquire).is_err() {
                // Another thread was faster.
                // SAFETY: this one was never shared.
                drop(unsafe { Box::from_raw(new) });
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Threads> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The limit that holds before anyone sets one: `RUSHLIGHT_NUM_THREADS`, or the cores that this process may run on, by
/// affinity and cgroup.
fn default_limit() -> Result<usize> {
    match std::env::var("RUSHLIGHT_NUM_THREADS") {
        Ok(text) if !text.is_empty() => text.parse().ok().filter(|n| (1..=MOST_THREADS).contains(n)).ok_or_else(|| {
            let problem = format!("must be a whole number from 1 to {MOST_THREADS}, got {text:?}");
            Error::argument("RUSHLIGHT_NUM_THREADS", problem)
        }),
        _ => Ok(std::thread::available_parallelism().map_or(1, usize::from)),
    }
}

/// How many threads may compute at once, of all models together.
///
/// # Errors
/// [`Error::InvalidArgument`] where `RUSHLIGHT_NUM_THREADS` is not a whole number from 1 to 4,096.
pub fn num_threads() -> Result<usize> {
    Shared::get().lock().limit()
}

/// Sets how many threads may compute at once, of all models together; more than there are cores is allowed.
///
/// Calls that are computing keep the threads they have.
///
/// # Errors
/// [`Error::InvalidArgument`] for 0, or more than 4,096.
pub fn set_num_threads(limit: usize) -> Result<()> {
    if !(1..=MOST_THREADS).contains(&limit) {
        return Err(Error::argument("n", format!("must be from 1 to {MOST_THREADS}, got {limit}")));
    }
    // What the environment says is of no matter from here on, so it may be wrong.
    let shared = Shared::get();
    shared.limit.store(limit, Ordering::Relaxed);
    let mut threads = shared.lock();
    threads.limit = Some(limit);
    threads.wake_first();
    Ok(())
}

/// Leave for a thread to compute, until it is dropped.
pub(crate) struct Permit(&'static Shared);

impl Drop for Permit {
    fn drop(&mut self) {
        let mut threads = self.0.lock();
        threads.running = threads.running.saturating_sub(1);
        threads.wake_first();
    }
}

/// A place in the queue; it is given up when dropped.
struct Ticket(&'static Shared, u64);

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut threads = self.0.lock();
        threads.waiting.retain(|(ticket, _)| *ticket != self.1);
        // There may be room for the next one, too.
        threads.wake_first();
    }
}

/// Waits until this thread may compute.
///
/// # Errors
/// What `checkpoint` says; it is asked now and then while waiting.
pub(crate) fn permit(checkpoint: &dyn Fn() -> Result<()>) -> Result<Permit> {
    let shared = Shared::get();
    let ticket = {
        let mut threads = shared.lock();
        threads.next_ticket += 1;
        let ticket = threads.next_ticket;
        threads.waiting.push_back((ticket, std::thread::current()));
        Ticket(shared, ticket)
    };
    loop {
        let mut threads = shared.lock();
        let first = threads.waiting.front().is_some_and(|(first, _)| *first == ticket.1);
        if first && threads.running < threads.limit()? {
            threads.running += 1;
            return Ok(Permit(shared));
        }
        drop(threads);
        std::thread::park_timeout(Duration::from_millis(50));
        checkpoint()?;
    }
}

/// Leave for up to `most` more threads, as far as they are free and nobody waits for them.
pub(crate) fn free_permits(most: usize) -> Result<Vec<Permit>> {
    let shared = Shared::get();
    let mut threads = shared.lock();
    let free = if threads.waiting.is_empty() { threads.limit()?.saturating_sub(threads.running) } else { 0 };
    let granted = most.min(free);
    threads.running += granted;
    Ok((0..granted).map(|_| Permit(shared)).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    // One test, since the limit is the process's.
    #[test]
    fn the_limit_holds_over_many_callers_and_can_be_interrupted() {
        for wrong in [0, MOST_THREADS + 1, usize::MAX] {
            assert!(matches!(set_num_threads(wrong), Err(Error::InvalidArgument { .. })));
        }
        set_num_threads(3).unwrap();
        assert_eq!(num_threads().unwrap(), 3);
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let permit = permit(&|| Ok(())).unwrap();
                        most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::yield_now();
                        running.fetch_sub(1, Ordering::SeqCst);
                        drop(permit);
                    }
                });
            }
        });
        assert_eq!(most.load(Ordering::SeqCst), 3);

        let all: Vec<_> = (0..3).map(|_| permit(&|| Ok(())).unwrap()).collect();
        assert!(matches!(permit(&|| Err(Error::Interrupted)), Err(Error::Interrupted)));
        assert_eq!(free_permits(5).unwrap().len(), 0);
        drop(all);
        assert_eq!(free_permits(5).unwrap().len(), 3);
        assert_eq!(free_permits(2).unwrap().len(), 2);
        // The one that gave up is not waited for.
        drop(permit(&|| Ok(())).unwrap());
        set_num_threads(default_limit().unwrap()).unwrap();
    }
}
