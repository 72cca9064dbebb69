//! A call, which processes its inputs in windows. The next window is tokenized while the current one is computed.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::Engine;
use super::collect::{Collect, Collected};
use super::loaded::Loaded;
use crate::alloc;
use crate::batch::{Batch, Distinct, plan};
use crate::config::Role;
use crate::error::{Error, Result};
use crate::heads::{HeadRequest, Output};
use crate::inputs::{Read, Reader, TEXTS_A_PIECE, first_error, is_small, pieces};
use crate::observer::{self, NoObserver, Observer, Step};
use crate::options::{Truncation, TruncationSide};
use crate::process;
use crate::threads::schedule;
use crate::tokenize::{Input, Tokens};
use crate::vectors::embeddings::Truncated;

/// Number of texts per thread in a window.
const WINDOW: usize = 512;

/// Options of calls of all kinds of models.
#[derive(Clone, Copy, Default)]
pub(crate) struct Request<'a> {
    pub(crate) prompt_name: Option<&'a str>,
    pub(crate) prompt: Option<&'a str>,
    pub(crate) role: Option<Role>,
    pub(crate) task: Option<&'a str>,
    pub(crate) truncation: Truncation,
    pub(crate) truncation_side: Option<TruncationSide>,
    pub(crate) observer: Option<&'a dyn Observer>,
}

/// Sequence of a window, and the index of its input among the distinct inputs.
#[derive(Clone, Copy)]
pub(crate) struct Sequence<'a> {
    pub(crate) index: usize,
    pub(crate) tokens: &'a Tokens,
}

/// Call that computes rows of inputs.
pub(crate) struct Call<'a> {
    loaded: &'a Loaded,
    reader: Reader,
    truncation: Truncation,
    observer: &'a dyn Observer,
}

/// Work of a thread.
enum Task<'a, 'i> {
    /// Computes these micro-batches of the current window.
    Compute(&'a [Vec<usize>]),
    /// Tokenizes these inputs of the next window.
    Tokenize(&'a [Input<'i>], &'a mut Vec<Read>),
}

/// Window of sequences, and the index of the first one's input.
#[derive(Default)]
pub(super) struct Window {
    pub(super) sequences: Vec<Tokens>,
    pub(super) first: usize,
}

impl Engine {
    /// Computes the rows of inputs, equal ones once. `collector` takes the number of distinct inputs.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an unknown prompt, [`Error::InvalidInput`] for an input that can't be computed,
    /// [`Error::NotFinite`] for a row with NaN or infinity, [`Error::Interrupted`] if the observer stops it.
    pub(crate) fn run<C: Collect>(
        &self,
        inputs: &[Input<'_>],
        request: &Request<'_>,
        collector: impl FnOnce(usize) -> Result<C>,
    ) -> Result<Collected<C>> {
        let engine = self.serving(request)?;
        let reader = engine.reader(None);
        engine.run_with(reader, inputs, request, collector)
    }

    /// Computes rows like [`Engine::run`], with another reader of inputs.
    pub(crate) fn run_with<C: Collect>(
        &self,
        reader: Reader,
        inputs: &[Input<'_>],
        request: &Request<'_>,
        collector: impl FnOnce(usize) -> Result<C>,
    ) -> Result<Collected<C>> {
        let call = Call::new(self, reader, request)?;
        let distinct = Distinct::of(inputs)?;
        let rows = collector(distinct.inputs.len())?;
        let lengths = call.forward(&distinct, &rows)?;
        let all = || distinct.which.iter().map(|i| lengths[*i]);
        call.observer.step(Step::Finished { tokens: all().map(|length| length.min(call.reader.max_length())).sum() });
        let truncated = call.truncated(all());
        Ok(Collected { rows, which: distinct.which, truncated })
    }

    /// Checks the options of a call.
    pub(crate) fn check(&self, request: &Request<'_>) -> Result<()> {
        self.prompt(request).map(|_| ())
    }
}

impl<'a> Call<'a> {
    pub(crate) fn new(engine: &'a Engine, reader: Reader, request: &Request<'a>) -> Result<Self> {
        let prompt = engine.prompt(request)?;
        let reader = reader.cutting(request.truncation_side).prompted(prompt, engine.pooling_includes_prompt())?;
        let observer = request.observer.unwrap_or(&NoObserver);
        Ok(Self { loaded: &engine.loaded, reader, truncation: request.truncation, observer })
    }

    /// Computes all inputs in windows. Returns the number of tokens of each input before truncation.
    fn forward<C: Collect>(&self, distinct: &Distinct<'_>, collector: &C) -> Result<Vec<usize>> {
        let counts = distinct.counts();
        let total = distinct.which.len();
        let done = AtomicUsize::new(0);
        let finished = || self.observer.progress(done.load(Ordering::Relaxed), total);
        let store = |sequences: &[Sequence<'_>], output: &mut Output| {
            collector.store(sequences, output)?;
            let inputs: usize = sequences.iter().map(|sequence| counts[sequence.index]).sum();
            done.fetch_add(inputs, Ordering::Relaxed);
            Ok(())
        };
        let index = |i| distinct.first_index(i);
        let mut lengths = alloc::with_capacity(distinct.inputs.len(), "the texts' lengths")?;
        let mut windows = pieces(&distinct.inputs, WINDOW * process::num_threads()?);
        let mut window = Window::default();
        loop {
            let next = windows.next().unwrap_or_default();
            if window.sequences.is_empty() && next.is_empty() {
                break;
            }
            let read = self.step(&window, next, collector.request(), &finished, &store);
            let read = read.map_err(|error| error.map_input_index(index))?;
            lengths.extend(window.sequences.iter().map(|tokens| tokens.full_length));
            window = self.window(read, lengths.len(), &index)?;
            if lengths.is_empty() {
                self.observer.step(Step::Tokenized);
            }
        }
        finished();
        Ok(lengths)
    }

    /// Computes a window, and tokenizes the next with threads that have nothing left to compute.
    ///
    /// # Errors
    /// [`Error::NotFinite`] with the index of the first input whose row has NaN or infinity; [`Error::InvalidWeights`] if a
    /// mapped file was overwritten, which can change rows.
    pub(super) fn step<S>(
        &self,
        window: &Window,
        next: &[Input<'_>],
        request: HeadRequest,
        finished: &dyn Fn(),
        store: &S,
    ) -> Result<Vec<Read>>
    where
        S: Fn(&[Sequence<'_>], &mut Output) -> Result<()> + Sync,
    {
        self.loaded.check_mapped()?;
        let read = self.compute(window, next, request, finished, store);
        self.loaded.check_mapped()?;
        read
    }

    fn compute<S>(
        &self,
        window: &Window,
        next: &[Input<'_>],
        request: HeadRequest,
        finished: &dyn Fn(),
        store: &S,
    ) -> Result<Vec<Read>>
    where
        S: Fn(&[Sequence<'_>], &mut Output) -> Result<()> + Sync,
    {
        if window.sequences.is_empty() && is_small(next) {
            let ask = || observer::ask(self.observer);
            return next.iter().map(|input| ask().and_then(|()| self.reader.read(*input, &ask))).collect();
        }
        let budget = self.loaded.token_budget();
        let batches = plan(&window.sequences, process::num_threads()?, budget);
        let not_finite = AtomicUsize::new(usize::MAX);
        let keep = |sequences: &[Sequence<'_>], mut output: Output| {
            for text in output.not_finite() {
                not_finite.fetch_min(sequences[text].index, Ordering::Relaxed);
            }
            store(sequences, &mut output)
        };
        let all_finite = || match not_finite.load(Ordering::Relaxed) {
            usize::MAX => Ok(()),
            index => Err(Error::NotFinite { index }),
        };
        if let ([texts], [], true) = (&batches[..], next, budget.concurrent) {
            let sequences = window.some(texts);
            let tokens: Vec<_> = sequences.iter().map(|sequence| sequence.tokens).collect();
            let Loaded { waiting, network, .. } = self.loaded;
            keep(&sequences, waiting.compute(&**network, &tokens, request, budget, self.observer)?)?;
            return all_finite().map(|()| Vec::new());
        }
        let began = OnceLock::new();
        let share = if budget.concurrent { 1 } else { batches.len().max(1) };
        let mut read: Vec<Vec<Read>> = Vec::new();
        let unread: Vec<_> = pieces(next, TEXTS_A_PIECE).collect();
        read.resize_with(unread.len(), Vec::new);
        let count = batches.len().div_ceil(share) + read.len();
        let compute = batches.chunks(share).map(Task::Compute);
        let tokenize = unread.into_iter().zip(&mut read);
        let tasks = compute.chain(tokenize.map(|(inputs, tokens)| Task::Tokenize(inputs, tokens)));
        // All threads share a single micro-batch. With several, each thread computes its own.
        let threads = if batches.len() == 1 { process::num_threads()? } else { 1 };
        schedule::run(tasks, count, self.observer, finished, |task, checkpoint| match task {
            Task::Compute(share) => {
                began.get_or_init(Instant::now);
                for texts in share {
                    checkpoint()?;
                    let sequences = window.some(texts);
                    let batch = Batch::new(sequences.iter().map(|sequence| sequence.tokens));
                    let Loaded { waiting, network, .. } = self.loaded;
                    let between_layers = || {
                        checkpoint()?;
                        if budget.concurrent {
                            waiting.compute_short(&**network, budget);
                        }
                        Ok(())
                    };
                    keep(&sequences, network.forward(&batch, request, threads, &between_layers)?)?;
                }
                Ok(())
            }
            Task::Tokenize(inputs, tokens) => {
                for input in inputs {
                    checkpoint()?;
                    tokens.push(self.reader.read(*input, checkpoint)?);
                }
                Ok(())
            }
        })?;
        began.get().into_iter().for_each(|began| self.observer.step(Step::Began(*began)));
        for texts in &batches {
            let tokens = texts.iter().map(|text| window.sequences[*text].ids.len()).sum();
            self.observer.step(Step::Computed { texts: texts.len(), tokens });
        }
        all_finite().map(|()| read.into_iter().flatten().collect())
    }

    /// Makes a window of tokenized inputs, the first with the index `first`. `index` maps a distinct input to the
    /// caller's index.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for the first input with a problem, or the first that is too long if truncation is an
    /// error.
    pub(super) fn window(&self, read: Vec<Read>, first: usize, index: &dyn Fn(usize) -> usize) -> Result<Window> {
        let index = |i| index(first + i);
        let sequences = first_error(read, &index)?;
        let max = self.reader.max_length();
        let too_long = sequences.iter().position(|tokens| tokens.full_length > max);
        match (self.truncation, too_long) {
            (Truncation::Error, Some(i)) => {
                let problem = format!("has {} tokens, more than max_seq_length, {max}", sequences[i].full_length);
                Err(Error::InvalidInput { index: index(i), problem })
            }
            _ => Ok(Window { sequences, first }),
        }
    }

    /// Counts the truncated inputs by their lengths before truncation.
    pub(super) fn truncated(&self, lengths: impl Iterator<Item = usize>) -> Truncated {
        let max = self.reader.max_length();
        lengths.filter(|length| *length > max).fold(Truncated::default(), |all, length| Truncated {
            count: all.count + 1,
            longest: all.longest.max(length),
        })
    }
}

impl Window {
    /// Returns sequences by their indices in the window.
    fn some(&self, indices: &[usize]) -> Vec<Sequence<'_>> {
        indices.iter().map(|i| Sequence { index: self.first + i, tokens: &self.sequences[*i] }).collect()
    }
}
