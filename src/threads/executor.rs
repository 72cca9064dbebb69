//! Executor of the process: the threads that compute for all calls and models, callers' own and workers that help them.
//!
//! A thread needs a permit to compute; the limit is the number of permits. Callers get theirs in order of arrival. Permits
//! that no caller needs go to workers, which help the calls in turn. A worker is a thread that is made when it is first
//! needed, and parked while there is no call to help.
//!
//! A caller lends its permit to other callers while it asks its observer, which may run any code, such as a signal handler
//! that embeds.

mod caller;
mod workers;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::threads::sync::{AtomicBool, Condvar, Mutex, MutexGuard, PoisonError, Thread, thread};

pub(crate) use caller::Caller;
pub(crate) use workers::{CallWorkers, Lend, Progress};

use workers::{Help, HelpedCall, Worker};

/// Maximum limit: more than any machine has cores.
pub(crate) const MAX_THREADS: usize = 4096;
/// Interval at which a caller that waits asks its observer.
pub(crate) const PATIENCE: Duration = Duration::from_millis(20);

/// The executor of this process.
pub(crate) struct Executor {
    /// The number of forks before it was made.
    forks: usize,
    state: Mutex<State>,
    /// True while a caller waits for a permit.
    callers_wait: AtomicBool,
    /// True while a call would take another worker.
    calls_wait: AtomicBool,
    /// The limit that was set, or 0: for a fork's child, which must not wait for the lock.
    limit: AtomicUsize,
}

#[derive(Default)]
struct State {
    /// Number of permits, once it has been read or set.
    limit: Option<usize>,
    /// Number of permits held.
    running: usize,
    /// Callers that wait for a permit, by ticket. Only the first is woken.
    callers: VecDeque<(u64, Thread)>,
    next_ticket: u64,
    /// Calls that wait for workers, and the number of workers each waits for.
    calls: VecDeque<(Arc<HelpedCall>, usize)>,
    workers: Vec<Arc<Worker>>,
    /// Workers without a call to help.
    idle: Vec<Arc<Worker>>,
}

/// Number of forks of this process and of those that it is a fork of.
static FORKS: AtomicUsize = AtomicUsize::new(0);

/// Makes forks count themselves from now on, in the child.
fn count_forks() {
    #[cfg(unix)]
    {
        extern "C" fn in_child() {
            FORKS.fetch_add(1, Ordering::Relaxed);
        }
        static ONCE: std::sync::Once = std::sync::Once::new();
        #[expect(
            unsafe_code,
            reason = "only the system knows of forks; process ids may come again in another namespace"
        )]
        // SAFETY: the function only changes an atomic, which a fork's child may do, and code is never unloaded.
        ONCE.call_once(|| unsafe {
            libc::pthread_atfork(None, None, Some(in_child));
        });
    }
}

impl Executor {
    /// Returns this process's executor.
    ///
    /// A fork's child lacks the running threads, and one of them may have held the lock forever. So the child makes a new
    /// executor, with its parent's limit.
    #[expect(unsafe_code, reason = "a lock that a fork's child can't release can't be a static")]
    pub(crate) fn get() -> &'static Self {
        static NOW: AtomicPtr<Executor> = AtomicPtr::new(null_mut());
        count_forks();
        let forks = FORKS.load(Ordering::Relaxed);
        loop {
            let pointer = NOW.load(Ordering::Acquire);
            // SAFETY: the pointer is null or of a leaked box, which nobody frees or changes.
            let now = unsafe { pointer.as_ref() };
            if let Some(now) = now.filter(|now| now.is_here()) {
                return now;
            }
            let limit = now.map(|parents| parents.limit.load(Ordering::Relaxed)).filter(|limit| *limit > 0);
            let new = Box::into_raw(Box::new(Self::new(forks, limit)));
            if NOW.compare_exchange(pointer, new, Ordering::AcqRel, Ordering::Acquire).is_err() {
                // Another thread was faster.
                // SAFETY: this box was never shared.
                drop(unsafe { Box::from_raw(new) });
            }
        }
    }

    /// Returns true when this process made the executor, and not a process that it is a fork of.
    pub(crate) fn is_here(&self) -> bool {
        self.forks == FORKS.load(Ordering::Relaxed)
    }

    fn new(forks: usize, limit: Option<usize>) -> Self {
        Self {
            forks,
            state: Mutex::new(State { limit, ..State::default() }),
            callers_wait: AtomicBool::new(false),
            calls_wait: AtomicBool::new(false),
            limit: AtomicUsize::new(limit.unwrap_or(0)),
        }
    }

    /// Returns an executor for a test.
    #[cfg(test)]
    pub(crate) fn for_test(limit: usize) -> &'static Self {
        Box::leak(Box::new(Self::new(FORKS.load(Ordering::Relaxed), Some(limit))))
    }

    /// Returns the ids of all workers' threads.
    #[cfg(test)]
    pub(crate) fn worker_threads(&self) -> Vec<thread::ThreadId> {
        lock(&self.state).workers.iter().filter_map(|worker| worker.thread.get()).map(Thread::id).collect()
    }

    /// Returns the number of permits.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where `RUSHLIGHT_NUM_THREADS` is wrong.
    pub(crate) fn limit(&self) -> Result<usize> {
        lock(&self.state).limit()
    }

    /// Returns the number of permits that nobody holds.
    pub(crate) fn free(&self) -> usize {
        lock(&self.state).free()
    }

    /// Sets the number of permits. Permits that are held stay valid.
    pub(crate) fn set_limit(&'static self, limit: usize) {
        // The environment is not read any more, so it may be wrong.
        self.limit.store(limit, Ordering::Relaxed);
        self.change(|state| state.limit = Some(limit));
    }

    /// Removes callers from the queue, because others compute their work.
    pub(crate) fn release(&'static self, callers: &[&Thread]) {
        let waits = |thread: &Thread| callers.iter().all(|other| other.id() != thread.id());
        self.change(|state| state.callers.retain(|(_, thread)| waits(thread)));
    }

    /// Returns true when another thread waits for a permit.
    pub(crate) fn contended(&self) -> bool {
        self.callers_wait.load(Ordering::Relaxed) || self.calls_wait.load(Ordering::Relaxed)
    }

    /// Changes the state, and hands out the free permits.
    fn change<R>(&'static self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = lock(&self.state);
        let result = change(&mut state);
        self.hand_out(&mut state);
        result
    }

    /// Hands free permits to waiting callers, and the rest to workers for waiting calls.
    fn hand_out(&'static self, state: &mut State) {
        state.wake_first_caller();
        while let Some(call) = state.next_call() {
            let Some(worker) = state.idle.pop().or_else(|| self.hire(state)) else {
                state.take_back(&call);
                state.ask_for(&call, 1);
                break;
            };
            worker.give(call);
        }
        self.callers_wait.store(!state.callers.is_empty(), Ordering::Relaxed);
        self.calls_wait.store(!state.calls.is_empty(), Ordering::Relaxed);
    }

    /// Starts a worker, unless the limit is reached or the system has no more threads.
    fn hire(&'static self, state: &mut State) -> Option<Arc<Worker>> {
        if state.workers.len() >= state.limit.unwrap_or(0) {
            return None;
        }
        let worker = Arc::new(Worker::default());
        let this = Arc::clone(&worker);
        let thread = thread::Builder::new().name("rushlight".to_owned()).spawn(move || self.work(&this)).ok()?;
        worker.thread.get_or_init(|| thread.thread().clone());
        state.workers.push(Arc::clone(&worker));
        Some(worker)
    }

    /// Runs a worker: helps one call after another, and ends when there are more workers than the limit.
    fn work(&'static self, this: &Arc<Worker>) {
        let mut call = this.wait();
        loop {
            let result = catch_unwind(AssertUnwindSafe(|| (call.help)()));
            let next = self.change(|state| {
                state.running -= 1;
                if matches!(result, Ok(Progress::More)) {
                    state.ask_for(&call, 1);
                }
                let next = state.next_call();
                if next.is_none() && state.workers.len() > state.limit.unwrap_or(0) {
                    state.workers.retain(|other| !Arc::ptr_eq(other, this));
                    return None;
                }
                if next.is_none() {
                    state.idle.push(Arc::clone(this));
                }
                Some(next)
            });
            call.leave(result.err());
            match next {
                None => return,
                Some(next) => call = next.unwrap_or_else(|| this.wait()),
            }
        }
    }

    /// Calls `work` on a worker's thread that gives up its permit meanwhile: `work` waits for permits like a caller.
    ///
    /// The worker takes its permit back at once, so it must soon return or call this again.
    pub(crate) fn without_permit<R>(&'static self, work: impl FnOnce() -> R) -> R {
        struct TakeBack(&'static Executor);
        impl Drop for TakeBack {
            fn drop(&mut self) {
                lock(&self.0.state).running += 1;
            }
        }
        self.change(|state| state.running -= 1);
        let _take_back = TakeBack(self);
        work()
    }

    /// Calls `lead` while up to `workers` workers call `help`, each until it returns [`Progress::Done`]. `lead` gets the number
    /// of workers that came at once. A worker's panic goes on here.
    pub(crate) fn with_workers<R>(
        &'static self,
        workers: usize,
        lend: Lend,
        help: &Help<'_>,
        lead: impl FnOnce(&CallWorkers, usize) -> R,
    ) -> R {
        if workers == 0 {
            return lead(&CallWorkers(None), 0);
        }
        #[expect(unsafe_code, reason = "workers outlive the call that they help")]
        // SAFETY: only the lifetime changes. Workers call `help` between `ask_for` and `leave`. Dropping `CallWorkers` lets
        // no more workers come, and waits until the last one has left, before this function ends, even by a panic.
        let help = unsafe { std::mem::transmute::<&Help<'_>, &'static Help<'static>>(help) };
        let call = Arc::new(HelpedCall {
            help,
            closed: AtomicBool::new(false),
            workers: Mutex::default(),
            left: Condvar::new(),
        });
        let helped = CallWorkers(Some((self, Arc::clone(&call))));
        self.change(|state| {
            // With a wrong environment no workers come; the caller gets the error.
            let _ = state.limit();
            state.ask_for(&call, workers);
        });
        if lend == Lend::Now {
            helped.dismiss();
        }
        let here = lock(&call.workers).sent;
        let result = lead(&helped, here);
        drop(helped);
        let panic = lock(&call.workers).panic.take();
        match panic {
            Some(panic) => resume_unwind(panic),
            None => result,
        }
    }
}

impl State {
    fn limit(&mut self) -> Result<usize> {
        match self.limit {
            Some(limit) => Ok(limit),
            None => Ok(*self.limit.insert(default_limit()?)),
        }
    }

    fn free(&self) -> usize {
        self.limit.unwrap_or(0).saturating_sub(self.running)
    }

    fn wake_first_caller(&self) {
        if let Some((_, first)) = self.callers.front().filter(|_| self.free() > 0) {
            first.unpark();
        }
    }

    /// Takes a permit for a worker, and returns the next call in line to get one. Callers go first.
    fn next_call(&mut self) -> Option<Arc<HelpedCall>> {
        if self.free() <= self.callers.len() {
            return None;
        }
        let (call, workers) = self.calls.pop_front()?;
        self.running += 1;
        call.send();
        if workers > 1 {
            self.calls.push_back((Arc::clone(&call), workers - 1));
        }
        Some(call)
    }

    /// Takes a call back from a worker that has not begun to help.
    fn take_back(&mut self, call: &HelpedCall) {
        self.running -= 1;
        call.take_back();
    }

    /// Lets no more workers come to a call.
    fn dismiss(&mut self, call: &Arc<HelpedCall>) {
        call.closed.store(true, Ordering::Relaxed);
        self.calls.retain(|(other, _)| !Arc::ptr_eq(other, call));
    }

    /// Takes back the workers that have not begun to help a call.
    fn recall(&mut self, call: &Arc<HelpedCall>) {
        let on_their_way = |worker: &&Arc<Worker>| lock(&worker.next).take_if(|next| Arc::ptr_eq(next, call)).is_some();
        let back: Vec<_> = self.workers.iter().filter(on_their_way).cloned().collect();
        for worker in back {
            self.take_back(call);
            self.idle.push(worker);
        }
    }

    /// Requests more workers for a call.
    fn ask_for(&mut self, call: &Arc<HelpedCall>, workers: usize) {
        if call.closed.load(Ordering::Relaxed) {
            return;
        }
        match self.calls.iter_mut().find(|(other, _)| Arc::ptr_eq(other, call)) {
            Some((_, asked)) => *asked += workers,
            None => self.calls.push_back((Arc::clone(call), workers)),
        }
    }
}

/// Returns the default limit: `RUSHLIGHT_NUM_THREADS`, or the cores that affinity and cgroup give this process.
pub(crate) fn default_limit() -> Result<usize> {
    match std::env::var("RUSHLIGHT_NUM_THREADS") {
        Ok(text) if !text.is_empty() => text.parse().ok().filter(|n| (1..=MAX_THREADS).contains(n)).ok_or_else(|| {
            let problem = format!("must be a whole number from 1 to {MAX_THREADS}, got {text:?}");
            Error::argument("RUSHLIGHT_NUM_THREADS", problem)
        }),
        _ => Ok(std::thread::available_parallelism().map_or(1, usize::from)),
    }
}

/// Locks a mutex, even if a thread panicked while it held the lock.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
