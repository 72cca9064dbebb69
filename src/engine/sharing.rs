//! Sharing of forward passes: the first waiting call that gets a permit computes the micro-batches of the others, too.
//!
//! A forward pass of one short text takes nearly as long as one of several texts, because it mostly reads weights. A
//! text's numbers don't depend on the rest of the micro-batch, so sharing doesn't change results.
//!
//! Long calls compute the short micro-batches that wait between two of their layers, so that a query beside a corpus waits
//! for a layer, not for a whole micro-batch.

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
    Done(Done),
    /// The call that computed it failed, so its own caller computes it.
    Failed,
}

/// Result of an entry, and what its caller tells its observer.
struct Done {
    output: Output,
    steps: Vec<Step>,
}

impl Done {
    /// Tells the observer of the steps, and returns the result.
    fn told(self, observer: &dyn Observer) -> Output {
        self.steps.into_iter().for_each(|step| observer.step(step));
        self.output
    }
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
            Ok(Done { output, steps: steps(began, &batch) }.told(observer))
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
                return Ok(Self::lead(network, &taken, threads, &checkpoint)?.told(observer));
            }
            // Another call computes it already.
            caller.give_back();
            while !entry.is_over() {
                std::thread::park_timeout(PATIENCE);
                ask()?;
            }
        }
        match std::mem::replace(&mut *lock(&entry.state), State::Taken) {
            State::Done(done) => Ok(done.told(observer)),
            _ => {
                caller.next_turn(&ask)?;
                alone()
            }
        }
    }

    /// Computes short micro-batches that wait, on this thread alone. Long calls do so between two layers.
    pub(crate) fn compute_short(&self, network: &dyn Network, budget: TokenBudget) {
        let taken = self.take_short(budget);
        if taken.is_empty() {
            return;
        }
        Executor::get().release(&taken.iter().map(|entry| &entry.caller).collect::<Vec<_>>());
        // A failure is that of the entries, whose callers then compute them alone.
        let done = Self::together(network, &taken, 1, &|| Ok(()));
        Self::end(&taken, done.ok().and_then(Result::ok).unwrap_or_default());
    }

    /// Takes an entry from the queue, and later entries with the same request, up to the budget. Of a long queue it takes a
    /// share, since `threads` forward passes at once need not wait for each other at each op. Returns nothing if another
    /// call has taken the entry.
    fn take(&self, own: &Arc<Entry>, budget: TokenBudget, threads: usize) -> Vec<Arc<Entry>> {
        let mut queue = lock(&self.queue);
        let all: usize = queue.iter().map(|entry| entry.tokens()).sum();
        let share = all.div_ceil(threads).max(TOKENS_OF_A_THREAD);
        match queue.iter().position(|entry| Arc::ptr_eq(entry, own)) {
            Some(index) => take_from(&mut queue, index, budget.max.min(share), budget.texts),
            None => Vec::new(),
        }
    }

    /// Takes the first short entry from the queue, and others that are computed with it in little more time.
    fn take_short(&self, budget: TokenBudget) -> Vec<Arc<Entry>> {
        // Other calls hold this lock for moments. After a fork, its holder may exist only in the parent process.
        let Ok(mut queue) = self.queue.try_lock() else { return Vec::new() };
        match queue.iter().position(|entry| entry.tokens() <= TOKENS_OF_A_THREAD) {
            Some(index) => take_from(&mut queue, index, TOKENS_OF_A_THREAD, budget.texts),
            None => Vec::new(),
        }
    }

    /// Computes entries. The first is the caller's own, and its result is returned.
    fn lead(
        network: &dyn Network,
        taken: &[Arc<Entry>],
        threads: usize,
        checkpoint: &dyn Fn() -> Result<()>,
    ) -> Result<Done> {
        match Self::together(network, taken, threads, checkpoint) {
            Ok(Ok(mut done)) => {
                let others = done.split_off(1);
                Self::end(&taken[1..], others);
                Ok(done.remove(0))
            }
            failed => {
                Self::end(&taken[1..], Vec::new());
                failed.unwrap_or_else(|panic| resume_unwind(panic)).map(|mut done| done.remove(0))
            }
        }
    }

    /// Computes entries in one forward pass, and returns a result for each. The first one's caller tells of the forward pass.
    /// The outer error is a panic.
    fn together(
        network: &dyn Network,
        entries: &[Arc<Entry>],
        threads: usize,
        checkpoint: &dyn Fn() -> Result<()>,
    ) -> std::thread::Result<Result<Vec<Done>>> {
        let began = Instant::now();
        let batch = Batch::new(entries.iter().flat_map(|entry| &entry.texts));
        let forward = || network.forward(&batch, entries[0].request, threads, checkpoint);
        let output = catch_unwind(AssertUnwindSafe(forward))?;
        Ok(output.map(|output| {
            let counts: Vec<_> = entries.iter().map(|entry| entry.texts.len()).collect();
            let outputs = output.split(&counts).into_iter();
            let mut done: Vec<_> = outputs.map(|output| Done { output, steps: vec![Step::Began(began)] }).collect();
            done[0].steps = steps(began, &batch);
            done
        }))
    }

    /// Hands entries their results. Those without one have failed.
    fn end(entries: &[Arc<Entry>], done: Vec<Done>) {
        let states = done.into_iter().map(State::Done).chain(std::iter::repeat_with(|| State::Failed));
        entries.iter().zip(states).for_each(|(entry, state)| entry.end(state));
    }
}

/// Takes an entry from the queue, and later and earlier ones with the same request, up to numbers of tokens and texts.
fn take_from(queue: &mut VecDeque<Arc<Entry>>, index: usize, max_tokens: usize, max_texts: usize) -> Vec<Arc<Entry>> {
    let Some(first) = queue.remove(index) else { return Vec::new() };
    let (mut tokens, mut texts) = (first.tokens(), first.texts.len());
    let mut taken = vec![first];
    queue.retain(|entry| {
        let fits = entry.request == taken[0].request
            && tokens + entry.tokens() <= max_tokens
            && texts + entry.texts.len() <= max_texts;
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

/// Returns the steps of a micro-batch that was computed.
fn steps(began: Instant, batch: &Batch) -> Vec<Step> {
    vec![Step::Began(began), Step::Computed { texts: batch.len(), tokens: batch.input_ids.len() }]
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::layers::{Checkpoint, Limits};

    /// Network whose row of a text is the text's first token. It fails for a token 1, and panics for a token 2.
    struct FirstTokens;

    impl Network for FirstTokens {
        fn forward(&self, batch: &Batch, _: HeadRequest, _: usize, checkpoint: &Checkpoint<'_>) -> Result<Output> {
            checkpoint()?;
            let pooled: Vec<_> = batch.texts().map(|text| batch.input_ids[text.start] as f32).collect();
            assert!(!pooled.contains(&2.0), "a panic of a test");
            if pooled.contains(&1.0) {
                return Err(Error::Interrupted);
            }
            let mut output = Output::of(batch);
            output.pooled = pooled;
            Ok(output)
        }

        fn limits(&self) -> Limits {
            unreachable!("nothing is loaded")
        }

        fn width(&self) -> usize {
            1
        }
    }

    /// Queues texts of `tokens` equal tokens, each by itself.
    fn queue(waiting: &Waiting, texts: &[(u32, usize)], request: HeadRequest) -> Vec<Arc<Entry>> {
        let entry = |(id, tokens): &(u32, usize)| {
            Arc::new(Entry {
                texts: vec![Tokens::new(vec![*id; *tokens], None, *tokens)],
                request,
                caller: std::thread::current(),
                state: Mutex::new(State::Queued),
            })
        };
        let entries: Vec<_> = texts.iter().map(entry).collect();
        lock(&waiting.queue).extend(entries.iter().cloned());
        entries
    }

    /// Returns the row of an entry that is done, and the number of its steps.
    fn row(entry: &Entry) -> Option<(f32, usize)> {
        match &*lock(&entry.state) {
            State::Done(done) => Some((done.output.pooled[0], done.steps.len())),
            _ => None,
        }
    }

    #[test]
    fn a_long_call_computes_short_entries_of_one_request() {
        let waiting = Waiting::default();
        let long = queue(&waiting, &[(9, TOKENS_OF_A_THREAD + 1)], HeadRequest::POOLED);
        let short = queue(&waiting, &[(3, 4), (4, TOKENS_OF_A_THREAD - 4), (5, 1)], HeadRequest::POOLED);
        let other = queue(&waiting, &[(6, 2)], HeadRequest::ALL);
        let rows = || [&long, &short, &other].into_iter().flatten().map(|entry| row(entry)).collect::<Vec<_>>();
        waiting.compute_short(&FirstTokens, TokenBudget::FOR_CACHE);
        assert_eq!(rows(), [None, Some((3.0, 2)), Some((4.0, 1)), None, None]);
        waiting.compute_short(&FirstTokens, TokenBudget::FOR_CACHE);
        waiting.compute_short(&FirstTokens, TokenBudget::FOR_CACHE);
        assert_eq!(rows(), [None, Some((3.0, 2)), Some((4.0, 1)), Some((5.0, 2)), Some((6.0, 2))]);
        waiting.compute_short(&FirstTokens, TokenBudget::FOR_CACHE);
        assert_eq!(lock(&waiting.queue).len(), 1);
    }

    #[test]
    fn failures_of_short_entries_are_left_to_their_callers() {
        let waiting = Waiting::default();
        for id in [1, 2] {
            let entries = queue(&waiting, &[(7, 1), (id, 1)], HeadRequest::POOLED);
            waiting.compute_short(&FirstTokens, TokenBudget::FOR_CACHE);
            assert!(entries.iter().all(|entry| matches!(*lock(&entry.state), State::Failed)), "{id}");
        }
    }

    #[test]
    fn no_more_texts_are_taken_than_the_budget_has() {
        let waiting = Waiting::default();
        let entries = queue(&waiting, &[(3, 1), (4, 1), (5, 1)], HeadRequest::POOLED);
        let two = TokenBudget::FOR_CACHE.with_texts(std::num::NonZeroUsize::new(2).unwrap());
        waiting.compute_short(&FirstTokens, two);
        assert_eq!(entries.iter().filter(|entry| row(entry).is_some()).count(), 2);
        assert_eq!(waiting.take(&entries[2], two, 1).len(), 1);
    }
}
