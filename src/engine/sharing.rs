//! Sharing of forward passes: the first waiting call that gets a permit computes the micro-batches of the others, too.
//!
//! A forward pass of one short text takes nearly as long as one of several texts, because it mostly reads weights. A
//! text's numbers don't depend on the rest of the micro-batch, so sharing doesn't change results.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};
use std::thread::Thread;
use std::time::Instant;

use crate::batch::{Batch, TokenBudget};
use crate::error::Result;
use crate::heads::{HeadRequest, Output};
use crate::network::Network;
use crate::observer::{self, Observer, Step};
use crate::threads::executor::{Caller, Executor, PATIENCE, lock};
use crate::tokenize::Tokens;

/// Number of tokens from which on a thread computes as fast alone: its time is no longer that of reading the weights.
const TOKENS_OF_A_THREAD: usize = 64;

/// Queue of micro-batches whose calls wait for a permit, in order of arrival.
#[derive(Default)]
pub(crate) struct Waiting {
    queue: Mutex<VecDeque<Arc<Entry>>>,
}

/// Micro-batch in the queue.
struct Entry {
    texts: Vec<Tokens>,
    request: HeadRequest,
    caller: Thread,
    state: Mutex<State>,
}

enum State {
    /// The entry is in the queue.
    Queued,
    /// A call computes it.
    Taken,
    /// The result is ready, computed since this time.
    Done(Output, Instant),
    /// The call that computed it failed, so its own caller computes it.
    Failed,
}

impl Entry {
    fn tokens(&self) -> usize {
        self.texts.iter().map(|tokens| tokens.ids.len()).sum()
    }

    fn is_over(&self) -> bool {
        matches!(*lock(&self.state), State::Done(..) | State::Failed)
    }

    fn end(&self, state: State) {
        *lock(&self.state) = state;
        self.caller.unpark();
    }
}

impl Waiting {
    /// Computes the forward pass of a micro-batch within the budget. If a permit is free, all free threads
    /// compute it at once. Else the call waits for a permit, and shares the forward pass with other waiting calls.
    ///
    /// # Errors
    /// The errors of the forward pass; [`Error::Interrupted`](crate::Error::Interrupted) if the observer stops it.
    pub(crate) fn compute(
        &self,
        network: &dyn Network,
        texts: &[&Tokens],
        request: HeadRequest,
        budget: TokenBudget,
        observer: &dyn Observer,
    ) -> Result<Output> {
        let executor = Executor::get();
        let caller = Caller::new(executor);
        let ask = || observer::ask(observer);
        let checkpoint = || caller.lending(ask, &ask);
        ask()?;
        let threads = executor.limit()?;
        let alone = || {
            let batch = Batch::new(texts.iter().copied());
            let began = Instant::now();
            let output = network.forward(&batch, request, threads, &checkpoint)?;
            tell(observer, began, &batch);
            Ok(output)
        };
        if caller.take_free()? {
            return alone();
        }
        let entry = Arc::new(Entry {
            texts: texts.iter().map(|tokens| (*tokens).clone()).collect(),
            request,
            caller: std::thread::current(),
            state: Mutex::new(State::Queued),
        });
        // Never block on this lock: after a fork, its holder may exist only in the parent process.
        let Ok(mut queue) = self.queue.try_lock() else {
            caller.next_turn(&ask)?;
            return alone();
        };
        queue.push_back(Arc::clone(&entry));
        drop(queue);
        let _leave = Leave { waiting: self, executor, entry: &entry };
        if caller.turn_unless(&|| entry.is_over(), &ask)? {
            if !executor.is_here() {
                return alone();
            }
            let taken = self.take(&entry, budget, 1 + executor.free());
            if !taken.is_empty() {
                executor.release(&taken[1..].iter().map(|entry| &entry.caller).collect::<Vec<_>>());
                // An observer may be slow, and must not delay the other calls.
                let alone = taken.len() == 1;
                let checkpoint = || if alone { checkpoint() } else { Ok(()) };
                return Self::lead(network, &taken, threads, observer, &checkpoint);
            }
            // Another call computes it already.
            caller.give_back();
            while !entry.is_over() {
                std::thread::park_timeout(PATIENCE);
                ask()?;
            }
        }
        match std::mem::replace(&mut *lock(&entry.state), State::Taken) {
            State::Done(output, began) => {
                observer.step(Step::Began(began));
                Ok(output)
            }
            _ => {
                caller.next_turn(&ask)?;
                alone()
            }
        }
    }

    /// Takes an entry from the queue, and later entries with the same request, up to the budget. Of a long queue it takes a
    /// share, since `threads` forward passes at once need not wait for each other at each op. Returns nothing if another
    /// call has taken the entry.
    fn take(&self, own: &Arc<Entry>, budget: TokenBudget, threads: usize) -> Vec<Arc<Entry>> {
        let mut queue = lock(&self.queue);
        let all: usize = queue.iter().map(|entry| entry.tokens()).sum();
        let most = budget.max.min(all.div_ceil(threads).max(TOKENS_OF_A_THREAD));
        let Some(index) = queue.iter().position(|entry| Arc::ptr_eq(entry, own)) else { return Vec::new() };
        let mut taken: Vec<_> = queue.remove(index).into_iter().collect();
        let (mut tokens, mut texts) = (own.tokens(), own.texts.len());
        queue.retain(|entry| {
            let within = tokens + entry.tokens() <= most && texts + entry.texts.len() <= budget.texts;
            let fits = entry.request == own.request && within;
            if fits {
                tokens += entry.tokens();
                texts += entry.texts.len();
                taken.push(Arc::clone(entry));
            }
            !fits
        });
        taken.iter().for_each(|entry| *lock(&entry.state) = State::Taken);
        taken
    }

    /// Computes entries together. The first is the caller's own, and its output is returned.
    fn lead(
        network: &dyn Network,
        taken: &[Arc<Entry>],
        threads: usize,
        observer: &dyn Observer,
        checkpoint: &dyn Fn() -> Result<()>,
    ) -> Result<Output> {
        let began = Instant::now();
        let others = &taken[1..];
        let batch = Batch::new(taken.iter().flat_map(|entry| &entry.texts));
        let forward = || network.forward(&batch, taken[0].request, threads, checkpoint);
        match catch_unwind(AssertUnwindSafe(forward)) {
            Ok(Ok(output)) => {
                let counts: Vec<_> = taken.iter().map(|entry| entry.texts.len()).collect();
                let mut parts = output.split(&counts).into_iter();
                let own = parts.next().unwrap_or_default();
                others.iter().zip(parts).for_each(|(entry, part)| entry.end(State::Done(part, began)));
                tell(observer, began, &batch);
                Ok(own)
            }
            failed => {
                others.iter().for_each(|entry| entry.end(State::Failed));
                failed.unwrap_or_else(|panic| resume_unwind(panic))
            }
        }
    }
}

/// Tells an observer of a micro-batch that its call computed.
fn tell(observer: &dyn Observer, began: Instant, batch: &Batch) {
    observer.step(Step::Began(began));
    observer.step(Step::Computed { texts: batch.len(), tokens: batch.input_ids.len() });
}

/// Guard that removes an entry from the queue when its caller leaves.
struct Leave<'a> {
    waiting: &'a Waiting,
    executor: &'static Executor,
    entry: &'a Arc<Entry>,
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if self.executor.is_here() {
            lock(&self.waiting.queue).retain(|other| !Arc::ptr_eq(other, self.entry));
        }
    }
}
