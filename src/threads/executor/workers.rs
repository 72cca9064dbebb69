//! The workers' side: what they help with, and how the call that they help sees them.

use std::any::Any;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use super::{Executor, PATIENCE, lock};
use crate::error::{Error, Result};

/// State of a call when a worker comes back from it.
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
    /// The workers that are free now.
    Now,
    /// Whenever one is free.
    Later,
}

pub(super) type Help<'a> = dyn Fn() -> Progress + Sync + 'a;

/// A call that workers help with.
pub(super) struct Call {
    pub(super) help: &'static Help<'static>,
    /// Set when no more workers may come; under the executor's lock.
    pub(super) closed: AtomicBool,
    pub(super) workers: Mutex<Workers>,
    pub(super) left: Condvar,
}

/// The workers of a call.
#[derive(Default)]
pub(super) struct Workers {
    /// Number of workers that help, or are on their way.
    pub(super) active: usize,
    /// Number of workers that came in all, those that left among them.
    pub(super) sent: usize,
    pub(super) panic: Option<Box<dyn Any + Send>>,
}

/// A thread that helps, and what it is to help with next.
#[derive(Default)]
pub(super) struct Worker {
    pub(super) thread: OnceLock<Thread>,
    pub(super) next: Mutex<Option<Arc<Call>>>,
}

impl Call {
    /// A worker is on its way.
    pub(super) fn send(&self) {
        let mut workers = lock(&self.workers);
        workers.active += 1;
        workers.sent += 1;
    }

    /// A worker that was on its way is not any more.
    pub(super) fn take_back(&self) {
        let mut workers = lock(&self.workers);
        workers.active -= 1;
        workers.sent -= 1;
    }

    /// A worker that helped has left, perhaps by a panic.
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
    pub(super) fn give(&self, call: Arc<Call>) {
        *lock(&self.next) = Some(call);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// Waits to be given something to help with.
    pub(super) fn wait(&self) -> Arc<Call> {
        loop {
            if let Some(call) = lock(&self.next).take() {
                return call;
            }
            std::thread::park();
        }
    }
}

/// The workers of a call, as its caller sees them. When it is dropped, the last one has left.
pub(crate) struct Helped(pub(super) Option<(&'static Executor, Arc<Call>)>);

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
