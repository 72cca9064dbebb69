//! The threads that compute, of all calls and models together: the callers' own, and workers that help them.
//!
//! Whoever computes holds a permit, and there are as many permits as the limit allows. Callers get theirs in the order in
//! which they came. Permits that no caller needs go to workers, which help the calls in turn. A worker is a thread that is
//! made when it is first needed, and parked when there is nothing to help with.
//!
//! A caller lends its permit to other callers while it asks its observer: that one may run any code, such as a signal
//! handler that embeds.

use std::any::Any;
use std::cell::Cell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// More than any machine has cores for.
pub(crate) const MAX_THREADS: usize = 4096;
/// How often a caller that waits for its turn asks its observer.
const PATIENCE: Duration = Duration::from_millis(20);

/// The executor of this process.
pub(crate) struct Executor {
    /// The number of forks before it was made.
    forks: usize,
    state: Mutex<State>,
    /// Whether a caller waits for a permit.
    callers_wait: AtomicBool,
    /// Whether a call would take another worker.
    calls_wait: AtomicBool,
    /// The limit that was set, or 0: for a fork's child, which must not wait for the lock.
    limit: AtomicUsize,
}

#[derive(Default)]
struct State {
    /// As far as it has been asked for or set.
    limit: Option<usize>,
    /// Permits that are held.
    running: usize,
    /// Callers that wait for one, by their tickets. The first alone is woken.
    callers: VecDeque<(u64, Thread)>,
    next_ticket: u64,
    /// Calls that would take workers, and how many more each.
    calls: VecDeque<(Arc<Call>, usize)>,
    workers: Vec<Arc<Worker>>,
    /// Those that have nothing to help with.
    idle: Vec<Arc<Worker>>,
}

/// Whether a worker that comes back from a call could do more for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There is more to do; it came back since others wait.
    More,
    /// Nothing is left.
    Done,
}

/// When workers come to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lend {
    /// Those that are free now.
    Now,
    /// Whenever one is free.
    Later,
}

type Help<'a> = dyn Fn() -> Progress + Sync + 'a;

/// What workers help with.
struct Call {
    help: &'static Help<'static>,
    /// Set when no more workers may come; under the executor's lock.
    closed: AtomicBool,
    workers: Mutex<Workers>,
    left: Condvar,
}

/// The workers of a call.
#[derive(Default)]
struct Workers {
    active: usize,
    panic: Option<Box<dyn Any + Send>>,
}

/// A thread that helps, and what it is to help with next.
#[derive(Default)]
struct Worker {
    thread: OnceLock<Thread>,
    next: Mutex<Option<Arc<Call>>>,
}

/// How many times this process, or those that it is a fork of, forked.
static FORKS: AtomicUsize = AtomicUsize::new(0);

/// Counts forks from here on, in the child.
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
        // SAFETY: the function touches an atomic alone, which a fork's child may do, and code is never unloaded.
        ONCE.call_once(|| unsafe {
            libc::pthread_atfork(None, None, Some(in_child));
        });
    }
}

impl Executor {
    /// That of this process. A fork's child has none of the threads that were running, one of which may have held the lock
    /// that nobody now gives back: so it begins anew, with its parent's limit.
    #[expect(unsafe_code, reason = "a lock that is left behind in a fork's child can't be a static")]
    pub(crate) fn get() -> &'static Self {
        static NOW: AtomicPtr<Executor> = AtomicPtr::new(null_mut());
        count_forks();
        let forks = FORKS.load(Ordering::Relaxed);
        loop {
            let pointer = NOW.load(Ordering::Acquire);
            // SAFETY: it is null or was made of a leaked box, which nobody frees or changes.
            let now = unsafe { pointer.as_ref() };
            if let Some(now) = now.filter(|now| now.is_here()) {
                return now;
            }
            let limit = now.map(|parents| parents.limit.load(Ordering::Relaxed)).filter(|limit| *limit > 0);
            let new = Box::into_raw(Box::new(Self::new(forks, limit)));
            if NOW.compare_exchange(pointer, new, Ordering::AcqRel, Ordering::Acquire).is_err() {
                // Another thread was faster.
                // SAFETY: this one was never shared.
                drop(unsafe { Box::from_raw(new) });
            }
        }
    }

    /// Whether this process made it, and not the one that it is a fork of.
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

    /// How many permits there are.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where `RUSHLIGHT_NUM_THREADS` is wrong.
    pub(crate) fn limit(&self) -> Result<usize> {
        lock(&self.state).limit()
    }

    /// Sets how many permits there are; those that are held stay.
    pub(crate) fn set_limit(&'static self, limit: usize) {
        // What the environment says is of no matter from here on, so it may be wrong.
        self.limit.store(limit, Ordering::Relaxed);
        self.change(|state| state.limit = Some(limit));
    }

    /// Takes callers out of the queue, since others do what they wait for.
    pub(crate) fn release(&'static self, callers: &[&Thread]) {
        let waits = |thread: &Thread| callers.iter().all(|other| other.id() != thread.id());
        self.change(|state| state.callers.retain(|(_, thread)| waits(thread)));
    }

    /// Whether anybody else would take a permit that is given back.
    pub(crate) fn contended(&self) -> bool {
        self.callers_wait.load(Ordering::Relaxed) || self.calls_wait.load(Ordering::Relaxed)
    }

    /// Changes the state, and gives the permits that are free to those that wait.
    fn change<R>(&'static self, change: impl FnOnce(&mut State) -> R) -> R {
        let mut state = lock(&self.state);
        let result = change(&mut state);
        self.hand_out(&mut state);
        result
    }

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

    /// Starts a worker, unless there are as many as there may be, or the system has no more threads.
    fn hire(&'static self, state: &mut State) -> Option<Arc<Worker>> {
        if state.workers.len() >= state.limit.unwrap_or(0) {
            return None;
        }
        let worker = Arc::new(Worker::default());
        let this = Arc::clone(&worker);
        let thread = std::thread::Builder::new().name("rushlight".to_owned()).spawn(move || self.work(&this)).ok()?;
        worker.thread.get_or_init(|| thread.thread().clone());
        state.workers.push(Arc::clone(&worker));
        Some(worker)
    }

    /// A worker's life: it helps one call after another, until there are more workers than there may be.
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

    /// Calls `lead` while up to `workers` workers call `help`, each until it says [`Progress::Done`]. A panic of a worker's
    /// goes on here. `lead` is told how many workers came at once.
    pub(crate) fn with_workers<R>(
        &'static self,
        workers: usize,
        lend: Lend,
        help: &Help<'_>,
        lead: impl FnOnce(&Helped, usize) -> R,
    ) -> R {
        if workers == 0 {
            return lead(&Helped(None), 0);
        }
        #[expect(unsafe_code, reason = "workers outlive the call that they help")]
        // SAFETY: only the lifetime changes. Workers call it between `ask_for` and `leave`; `Helped` sees to it that none
        // comes any more, and waits until the last one left, before this function is over, by a panic, too.
        let help = unsafe { std::mem::transmute::<&Help<'_>, &'static Help<'static>>(help) };
        let call =
            Arc::new(Call { help, closed: AtomicBool::new(false), workers: Mutex::default(), left: Condvar::new() });
        let helped = Helped(Some((self, Arc::clone(&call))));
        self.change(|state| {
            // Where the environment is wrong no workers come; the caller gets the error.
            let _ = state.limit();
            state.ask_for(&call, workers);
        });
        if lend == Lend::Now {
            helped.dismiss();
        }
        let here = lock(&call.workers).active;
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

    /// The call whose turn it is to get a worker, where a permit is left beside those that callers wait for. It is then
    /// the worker's.
    fn next_call(&mut self) -> Option<Arc<Call>> {
        if self.free() <= self.callers.len() {
            return None;
        }
        let (call, workers) = self.calls.pop_front()?;
        self.running += 1;
        lock(&call.workers).active += 1;
        if workers > 1 {
            self.calls.push_back((Arc::clone(&call), workers - 1));
        }
        Some(call)
    }

    /// Takes back from a worker what it was to help with.
    fn take_back(&mut self, call: &Call) {
        self.running -= 1;
        lock(&call.workers).active -= 1;
    }

    /// Has no more workers come to a call, those that are on their way neither.
    fn dismiss(&mut self, call: &Arc<Call>) {
        call.closed.store(true, Ordering::Relaxed);
        self.calls.retain(|(other, _)| !Arc::ptr_eq(other, call));
    }

    /// Takes back all workers that are on their way to a call.
    fn recall(&mut self, call: &Arc<Call>) {
        let on_their_way = |worker: &&Arc<Worker>| lock(&worker.next).take_if(|next| Arc::ptr_eq(next, call)).is_some();
        let back: Vec<_> = self.workers.iter().filter(on_their_way).cloned().collect();
        for worker in back {
            self.take_back(call);
            self.idle.push(worker);
        }
    }

    /// Asks for more workers for a call.
    fn ask_for(&mut self, call: &Arc<Call>, workers: usize) {
        if call.closed.load(Ordering::Relaxed) {
            return;
        }
        match self.calls.iter_mut().find(|(other, _)| Arc::ptr_eq(other, call)) {
            Some((_, asked)) => *asked += workers,
            None => self.calls.push_back((Arc::clone(call), workers)),
        }
    }
}

impl Call {
    /// A worker that helped has left, perhaps by a panic.
    fn leave(&self, panic: Option<Box<dyn Any + Send>>) {
        let mut workers = lock(&self.workers);
        workers.active -= 1;
        if let Some(panic) = panic {
            workers.panic.get_or_insert(panic);
        }
        drop(workers);
        self.left.notify_all();
    }
}

impl Worker {
    fn give(&self, call: Arc<Call>) {
        *lock(&self.next) = Some(call);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Waits to be given something to help with.
    fn wait(&self) -> Arc<Call> {
        loop {
            if let Some(call) = lock(&self.next).take() {
                return call;
            }
            std::thread::park();
        }
    }
}

/// The workers of a call, as its caller sees them. When it is dropped, the last one has left.
pub(crate) struct Helped(Option<(&'static Executor, Arc<Call>)>);

impl Helped {
    /// Has no more workers come.
    pub(crate) fn dismiss(&self) {
        if let Some((executor, call)) = self.here() {
            executor.change(|state| state.dismiss(call));
        }
    }

    /// Waits a while for the workers to leave, none coming any more; whether some still work.
    pub(crate) fn working(&self, patience: Duration) -> bool {
        let Some((executor, call)) = self.here() else { return false };
        if lock(&call.workers).active == 0 {
            return false;
        }
        executor.change(|state| state.recall(call));
        let workers = lock(&call.workers);
        if workers.active == 0 {
            return false;
        }
        call.left.wait_timeout(workers, patience).unwrap_or_else(PoisonError::into_inner).0.active > 0
    }

    /// An error where the call goes on in a fork's child, in which the workers that it had are not.
    pub(crate) fn check(&self) -> Result<()> {
        let left = |(_, call): &(_, Arc<Call>)| self.here().is_none() && lock(&call.workers).active > 0;
        if self.0.as_ref().is_some_and(left) { Err(Error::Forked) } else { Ok(()) }
    }

    fn here(&self) -> Option<&(&'static Executor, Arc<Call>)> {
        self.0.as_ref().filter(|(executor, _)| executor.is_here())
    }
}

impl Drop for Helped {
    fn drop(&mut self) {
        self.dismiss();
        while self.working(PATIENCE) {}
    }
}

/// A caller's place among those that compute.
pub(crate) struct Caller {
    executor: Cell<&'static Executor>,
    ticket: Cell<u64>,
    has_permit: Cell<bool>,
}

impl Caller {
    pub(crate) fn new(executor: &'static Executor) -> Self {
        Self { executor: Cell::new(executor), ticket: Cell::new(0), has_permit: Cell::new(false) }
    }

    /// Gets a permit, behind those that wait already; one that is held is given up first where others wait.
    ///
    /// # Errors
    /// What `ask` says; it is asked now and then while waiting.
    pub(crate) fn next_turn(&self, ask: &dyn Fn() -> Result<()>) -> Result<()> {
        if self.has_permit.get() {
            if !self.executor.get().callers_wait.load(Ordering::Relaxed) {
                return Ok(());
            }
            self.give_back();
        }
        self.ticket.set(0);
        self.wait(ask)
    }

    /// Gets a permit if one is free now and nobody waits.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where `RUSHLIGHT_NUM_THREADS` is wrong.
    pub(crate) fn take_free(&self) -> Result<bool> {
        let mut state = lock(&self.executor.get().state);
        state.limit()?;
        let free = state.free() > state.callers.len();
        state.running += usize::from(free);
        self.has_permit.set(free);
        Ok(free)
    }

    /// Waits for a permit behind those that wait already, or until somebody did what it was wanted for; whether it has one.
    ///
    /// # Errors
    /// What `ask` says; it is asked now and then while waiting.
    pub(crate) fn turn_unless(&self, done: &dyn Fn() -> bool, ask: &dyn Fn() -> Result<()>) -> Result<bool> {
        self.ticket.set(0);
        self.wait_unless(done, ask)
    }

    /// Does what may run any code, others of the caller's calls too. Meanwhile other callers may have its permit.
    ///
    /// # Errors
    /// Those of `work`, and what `ask` says; it is asked now and then while waiting to have the permit again.
    pub(crate) fn lending(&self, work: impl FnOnce() -> Result<()>, ask: &dyn Fn() -> Result<()>) -> Result<()> {
        if !self.has_permit.take() {
            return work();
        }
        // Nobody is woken: as a rule it takes no time, and the permit is soon used here again.
        lock(&self.executor.get().state).running -= 1;
        work()?;
        self.wait(ask)
    }

    /// Gives its permit up.
    pub(crate) fn give_back(&self) {
        if self.has_permit.take() {
            self.executor.get().change(|state| state.running -= 1);
        }
    }

    fn wait(&self, ask: &dyn Fn() -> Result<()>) -> Result<()> {
        self.wait_unless(&|| false, ask).map(|_| ())
    }

    fn wait_unless(&self, done: &dyn Fn() -> bool, ask: &dyn Fn() -> Result<()>) -> Result<bool> {
        if !self.executor.get().is_here() {
            self.executor.set(Executor::get());
        }
        let executor = self.executor.get();
        let leave = |state: &mut State| state.callers.retain(|(ticket, _)| *ticket != self.ticket.get());
        let mut asked = Instant::now();
        while !done() {
            if self.try_turn(executor)? {
                self.has_permit.set(true);
                return Ok(true);
            }
            match PATIENCE.checked_sub(asked.elapsed()) {
                Some(left) if !left.is_zero() => std::thread::park_timeout(left),
                _ => {
                    // Out of the queue, where it would be in the way of those whom `ask` may call.
                    executor.change(leave);
                    ask()?;
                    asked = Instant::now();
                }
            }
        }
        executor.change(leave);
        Ok(false)
    }

    /// Takes a permit if it is this one's turn, else its place in the queue.
    fn try_turn(&self, executor: &'static Executor) -> Result<bool> {
        let mut state = lock(&executor.state);
        state.limit()?;
        if self.ticket.get() == 0 {
            state.next_ticket += 1;
            self.ticket.set(state.next_ticket);
        }
        let ticket = self.ticket.get();
        let place = state.callers.partition_point(|(other, _)| *other < ticket);
        let queued = state.callers.get(place).is_some_and(|(other, _)| *other == ticket);
        let turn = place == 0 && state.free() > 0;
        match (turn, queued) {
            (true, true) => drop(state.callers.pop_front()),
            (false, false) => state.callers.insert(place, (ticket, std::thread::current())),
            _ => {}
        }
        state.running += usize::from(turn);
        executor.hand_out(&mut state);
        Ok(turn)
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// The limit that holds before anyone sets one: `RUSHLIGHT_NUM_THREADS`, or the cores that this process may run on, by
/// affinity and cgroup.
pub(crate) fn default_limit() -> Result<usize> {
    match std::env::var("RUSHLIGHT_NUM_THREADS") {
        Ok(text) if !text.is_empty() => text.parse().ok().filter(|n| (1..=MAX_THREADS).contains(n)).ok_or_else(|| {
            let problem = format!("must be a whole number from 1 to {MAX_THREADS}, got {text:?}");
            Error::argument("RUSHLIGHT_NUM_THREADS", problem)
        }),
        _ => Ok(std::thread::available_parallelism().map_or(1, usize::from)),
    }
}

/// A lock that a panic elsewhere doesn't take away.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn executor(limit: usize) -> &'static Executor {
        Box::leak(Box::new(Executor::new(FORKS.load(Ordering::Relaxed), Some(limit))))
    }

    fn never() -> Result<()> {
        Ok(())
    }

    /// Counts who is inside at once.
    #[derive(Default)]
    struct Counter {
        inside: AtomicUsize,
        most: AtomicUsize,
    }

    impl Counter {
        fn count<R>(&self, work: impl FnOnce() -> R) -> R {
            self.most.fetch_max(self.inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let result = work();
            self.inside.fetch_sub(1, Ordering::SeqCst);
            result
        }
    }

    #[test]
    fn callers_and_workers_are_no_more_than_the_limit_and_workers_are_kept() {
        for limit in [1, 2, 3] {
            let (executor, counter, helped) = (executor(limit), Counter::default(), AtomicUsize::new(0));
            let pause = || std::thread::sleep(Duration::from_micros(50));
            std::thread::scope(|scope| {
                for _ in 0..16 {
                    scope.spawn(|| {
                        for _ in 0..20 {
                            let left = AtomicUsize::new(5);
                            let take =
                                || left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
                            let help = || {
                                while take() {
                                    helped.fetch_add(1, Ordering::SeqCst);
                                    counter.count(pause);
                                    if executor.contended() {
                                        return Progress::More;
                                    }
                                }
                                Progress::Done
                            };
                            executor.with_workers(limit - 1, Lend::Later, &help, |_, _| {
                                let caller = Caller::new(executor);
                                while caller.next_turn(&never).is_ok() && take() {
                                    counter.count(pause);
                                }
                            });
                            assert_eq!(left.load(Ordering::SeqCst), 0);
                        }
                    });
                }
            });
            assert_eq!(counter.most.load(Ordering::SeqCst), limit);
            assert_eq!(helped.load(Ordering::SeqCst) > 0, limit > 1);
            let state = lock(&executor.state);
            assert!(state.workers.len() <= limit && state.idle.len() == state.workers.len());
            assert!(state.running == 0 && state.callers.is_empty() && state.calls.is_empty());
        }
    }

    #[test]
    fn a_caller_that_asks_lends_its_permit_and_has_it_again() {
        let executor = executor(1);
        let outer = Caller::new(executor);
        outer.next_turn(&never).unwrap();
        let nested = || {
            let inner = Caller::new(executor);
            inner.next_turn(&never)?;
            // Another thread's turn comes, too, while the outer one does not compute.
            std::thread::scope(|scope| {
                let other = scope.spawn(|| Caller::new(executor).next_turn(&never));
                inner.give_back();
                other.join().unwrap()
            })
        };
        outer.lending(nested, &never).unwrap();
        assert_eq!(lock(&executor.state).running, 1);
        let error = outer.lending(|| Err(Error::Interrupted), &never);
        assert!(matches!(error, Err(Error::Interrupted)));
        drop(outer);
        assert_eq!(lock(&executor.state).running, 0);
    }

    #[test]
    fn who_waits_for_a_permit_can_be_stopped_and_is_not_waited_for() {
        let executor = executor(1);
        let (first, second) = (Caller::new(executor), Caller::new(executor));
        first.next_turn(&never).unwrap();
        let stop = || Err(Error::Interrupted);
        assert!(matches!(second.next_turn(&stop), Err(Error::Interrupted)));
        first.give_back();
        Caller::new(executor).next_turn(&never).unwrap();
    }

    #[test]
    fn workers_on_their_way_are_taken_back() {
        let executor = executor(4);
        let come = AtomicUsize::new(0);
        let help = || {
            come.fetch_add(1, Ordering::SeqCst);
            Progress::Done
        };
        for _ in 0..1000 {
            let before = come.load(Ordering::SeqCst);
            executor.with_workers(3, Lend::Now, &help, |_, here| assert_eq!(here, 3));
            assert!(come.load(Ordering::SeqCst) - before <= 3);
            assert_eq!(lock(&executor.state).running, 0);
        }
        let none = |_: &Helped, here| assert_eq!(here, 0);
        executor.set_limit(1);
        executor.with_workers(3, Lend::Now, &help, |_, _| {});
        let caller = Caller::new(executor);
        caller.next_turn(&never).unwrap();
        executor.with_workers(3, Lend::Now, &help, none);
    }

    #[test]
    fn a_panic_of_a_worker_reaches_its_call_and_no_other() {
        let executor = executor(2);
        for _ in 0..20 {
            let panicked = AtomicBool::new(false);
            let help = || {
                panicked.store(true, Ordering::SeqCst);
                std::panic::resume_unwind(Box::new("on purpose"))
            };
            let wait = |_: &Helped, _: usize| {
                while !panicked.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
            };
            let call = || executor.with_workers(1, Lend::Later, &help, wait);
            assert!(catch_unwind(AssertUnwindSafe(call)).is_err());
            executor.with_workers(1, Lend::Later, &|| Progress::Done, |_, _| {});
        }
    }

    #[test]
    fn workers_beyond_a_lower_limit_end() {
        let executor = executor(4);
        let inside = AtomicUsize::new(0);
        let help = || {
            inside.fetch_add(1, Ordering::SeqCst);
            Progress::Done
        };
        executor.with_workers(3, Lend::Later, &help, |_, _| {
            while inside.load(Ordering::SeqCst) < 3 {
                std::thread::yield_now();
            }
        });
        executor.set_limit(1);
        let end = Instant::now() + Duration::from_secs(60);
        while lock(&executor.state).workers.len() > 1 && Instant::now() < end {
            executor.with_workers(3, Lend::Later, &help, |_, _| std::thread::yield_now());
        }
        assert!(lock(&executor.state).workers.len() <= 1);
    }
}
