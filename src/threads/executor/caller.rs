//! The callers' side: waits for a permit, lends it, and gives it back.

use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{Executor, PATIENCE, State, lock};
use crate::error::Result;
use crate::threads::sync::thread;

/// A caller's permit, or its position in the queue for one.
pub(crate) struct Caller {
    executor: Cell<&'static Executor>,
    ticket: Cell<u64>,
    has_permit: Cell<bool>,
}

impl Caller {
    pub(crate) fn new(executor: &'static Executor) -> Self {
        Self { executor: Cell::new(executor), ticket: Cell::new(0), has_permit: Cell::new(false) }
    }

    /// Waits for a permit at the end of the queue. Keeps a permit that it holds, unless others wait.
    ///
    /// # Errors
    /// The error of `ask`, which is called regularly while waiting.
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

    /// Takes a permit if one is free now and nobody waits.
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

    /// Waits for a permit at the end of the queue, or until its work is `done` elsewhere. Returns true with a permit.
    ///
    /// # Errors
    /// The error of `ask`, which is called regularly while waiting.
    pub(crate) fn turn_unless(&self, done: &dyn Fn() -> bool, ask: &dyn Fn() -> Result<()>) -> Result<bool> {
        self.ticket.set(0);
        self.wait_unless(done, ask)
    }

    /// Runs `work`, which may be any code, even calls of the same thread. Meanwhile other callers may take the permit.
    ///
    /// # Errors
    /// The errors of `work`, and of `ask`, which is called regularly while waiting for the permit again.
    pub(crate) fn lending(&self, work: impl FnOnce() -> Result<()>, ask: &dyn Fn() -> Result<()>) -> Result<()> {
        if !self.has_permit.take() {
            return work();
        }
        // Wakes nobody: `work` usually takes no time, and the permit is soon needed here again.
        lock(&self.executor.get().state).running -= 1;
        work()?;
        self.wait(ask)
    }

    /// Gives the permit back.
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
                Some(left) if !left.is_zero() => thread::park_timeout(left),
                _ => {
                    // Leaves the queue, in which it would block calls that `ask` makes.
                    executor.change(leave);
                    ask()?;
                    asked = Instant::now();
                }
            }
        }
        executor.change(leave);
        Ok(false)
    }

    /// Takes a permit if this caller is first in the queue, otherwise joins the queue.
    fn try_turn(&self, executor: &'static Executor) -> Result<bool> {
        let mut state = lock(&executor.state);
        state.limit()?;
        if self.ticket.get() == 0 {
            state.next_ticket += 1;
            self.ticket.set(state.next_ticket);
        }
        let ticket = self.ticket.get();
        let position = state.callers.partition_point(|(other, _)| *other < ticket);
        let queued = state.callers.get(position).is_some_and(|(other, _)| *other == ticket);
        let granted = position == 0 && state.free() > 0;
        match (granted, queued) {
            (true, true) => drop(state.callers.pop_front()),
            (false, false) => state.callers.insert(position, (ticket, thread::current())),
            _ => {}
        }
        state.running += usize::from(granted);
        executor.hand_out(&mut state);
        Ok(granted)
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.give_back();
    }
}
