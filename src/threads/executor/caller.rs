//! The callers' side: waiting for a permit, lending it, and giving it back.

use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{Executor, PATIENCE, State, lock};
use crate::error::Result;

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
    /// The error of `ask`, which is called now and then while waiting.
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
    /// The error of `ask`, which is called now and then while waiting.
    pub(crate) fn turn_unless(&self, done: &dyn Fn() -> bool, ask: &dyn Fn() -> Result<()>) -> Result<bool> {
        self.ticket.set(0);
        self.wait_unless(done, ask)
    }

    /// Does what may run any code, others of the caller's calls too. Meanwhile other callers may have its permit.
    ///
    /// # Errors
    /// The errors of `work`, and of `ask`, which is called now and then while waiting to have the permit again.
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
