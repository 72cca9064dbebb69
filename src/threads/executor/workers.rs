//! The workers' side: the calls that they help, and a call's view of its workers.

use std::any::Any;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::{Executor, PATIENCE, lock};
use crate::error::{Error, Result};
use crate::threads::sync::{AtomicBool, Condvar, Mutex, PoisonError, Thread, thread};

/// State of a call when a worker comes back from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There is more to do; the worker came back because others wait.
    More,
    /// Nothing is left.
    Done,
}

/// Time at which workers come to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lend {
    /// Now: only workers that are free.
    Now,
    /// Later, too: whenever a worker is free.
    Later,
}

pub(super) type Help<'a> = dyn Fn() -> Progress + Sync + 'a;

/// A call that workers help with.
pub(super) struct HelpedCall {
    pub(super) help: &'static Help<'static>,
    /// True when no more workers may come. Changes under the executor's lock.
    pub(super) closed: AtomicBool,
    pub(super) workers: Mutex<WorkerCounts>,
    pub(super) left: Condvar,
}

/// The workers of a call.
#[derive(Default)]
pub(super) struct WorkerCounts {
    /// Number of workers that help, or were sent to.
    pub(super) active: usize,
    /// Number of workers sent in all, including those that left.
    pub(super) sent: usize,
    pub(super) panic: Option<Box<dyn Any + Send>>,
}

/// A thread that helps, and the call that it helps next.
#[derive(Default)]
pub(super) struct Worker {
    pub(super) thread: OnceLock<Thread>,
    pub(super) next: Mutex<Option<Arc<HelpedCall>>>,
}

impl HelpedCall {
    /// Counts a worker that was sent.
    pub(super) fn send(&self) {
        let mut workers = lock(&self.workers);
        workers.active += 1;
        workers.sent += 1;
    }

    /// Uncounts a worker that was sent and taken back.
    pub(super) fn take_back(&self) {
        let mut workers = lock(&self.workers);
        workers.active -= 1;
        workers.sent -= 1;
    }

    /// Uncounts a worker that has left, and keeps its panic.
    pub(super) fn leave(&self, panic: Option<Box<dyn Any + Send>>) {
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
    /// Gives the worker a call to help.
    pub(super) fn give(&self, call: Arc<HelpedCall>) {
        *lock(&self.next) = Some(call);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Parks until the worker is given a call.
    pub(super) fn wait(&self) -> Arc<HelpedCall> {
        loop {
            if let Some(call) = lock(&self.next).take() {
                return call;
            }
            thread::park();
        }
    }
}

/// The workers of a call. Dropping it waits until the last one has left.
pub(crate) struct CallWorkers(pub(super) Option<(&'static Executor, Arc<HelpedCall>)>);

impl CallWorkers {
    /// Lets no more workers come.
    pub(crate) fn dismiss(&self) {
        if let Some((executor, call)) = self.here() {
            executor.change(|state| state.dismiss(call));
        }
    }

    /// Waits for at most `patience` until the workers have left, after [`CallWorkers::dismiss`]. Returns true when some still work.
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

    /// # Errors
    /// [`Error::Forked`] when the call goes on in a fork's child, which lacks the workers.
    pub(crate) fn check(&self) -> Result<()> {
        let left = |(_, call): &(_, Arc<HelpedCall>)| self.here().is_none() && lock(&call.workers).active > 0;
        if self.0.as_ref().is_some_and(left) { Err(Error::Forked) } else { Ok(()) }
    }

    fn here(&self) -> Option<&(&'static Executor, Arc<HelpedCall>)> {
        self.0.as_ref().filter(|(executor, _)| executor.is_here())
    }
}

impl Drop for CallWorkers {
    fn drop(&mut self) {
        self.dismiss();
        while self.working(PATIENCE) {}
    }
}
