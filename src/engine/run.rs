//! A call that embeds: its texts go through in windows, of which the next is tokenized while the present one is computed.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::alloc;
use crate::batch::{Batch, plan};
use crate::error::{Error, Result};
use crate::models::Model;
use crate::network::{Output, Wanted};
use crate::observer::{self, NoObserver, Observer};
use crate::options::{EncodeOptions, Truncation};
use crate::process;
use crate::threads::schedule;
use crate::tokenize::{Input, Tokens};
use crate::vectors::embeddings::Truncated;

/// Texts for each thread that are tokenized while those before them are computed.
const WINDOW: usize = 512;
/// Texts tokenized by a thread at a time.
pub(crate) const TEXTS_A_PIECE: usize = 32;

/// An input's tokens, or what is wrong with it.
pub(crate) type Tokenized = std::result::Result<Tokens, String>;

/// The tokens of inputs from the place `first` on, or the error of the first that has one; `place` tells which of the
/// caller's an input is.
pub(crate) fn named(tokens: Vec<Tokenized>, first: usize, place: &dyn Fn(usize) -> usize) -> Result<Vec<Tokens>> {
    let named = |(i, tokens): (usize, Tokenized)| {
        tokens.map_err(|problem| Error::InvalidInput { index: place(first + i), problem })
    };
    tokens.into_iter().enumerate().map(named).collect()
}

/// Returns true for inputs that are tokenized in less time than it takes to wait for a processor.
fn is_small(inputs: &[Input<'_>]) -> bool {
    const BYTES: usize = 4096;
    let bytes = inputs.iter().map(|input| match input {
        Input::Text(text) => text.len(),
        Input::Pair(first, second) => first.len() + second.len(),
    });
    inputs.len() <= TEXTS_A_PIECE && bytes.sum::<usize>() <= BYTES
}

/// A call to embed.
pub(crate) struct Call<'a> {
    model: &'a Model,
    prompt: &'a str,
    /// How many tokens of a text pooling leaves out, since they are the prompt's.
    prompt_length: usize,
    max_length: usize,
    truncation: Truncation,
    observer: &'a dyn Observer,
}

/// What a thread does next.
enum Task<'a, 'i> {
    /// Computes the micro-batches of these texts of the present window.
    Compute(&'a [Vec<usize>]),
    /// Tokenizes these inputs of the next one.
    Tokenize(&'a [Input<'i>], &'a mut Vec<Tokenized>),
}

impl<'a> Call<'a> {
    pub(crate) fn new(model: &'a Model, options: &EncodeOptions<'a>) -> Result<Self> {
        let prompt = model.prompt(options)?;
        let max_length = model.max_length();
        let prompt_length = match prompt {
            "" => 0,
            prompt if !model.pooling_includes_prompt() => model.parts.tokenizer.prompt_length(prompt, max_length)?,
            _ => 0,
        };
        let observer = options.observer.unwrap_or(&NoObserver);
        Ok(Self { model, prompt, prompt_length, max_length, truncation: options.truncation, observer })
    }

    /// Computes all inputs, in windows: threads that find no more of a window to compute tokenize the next one.
    ///
    /// `store` gets the output of each micro-batch with its texts and their places among the inputs; `place` tells which of
    /// the caller's an input is. The result is how many tokens each input has before truncation.
    pub(crate) fn forward<S>(
        &self,
        inputs: &[Input<'_>],
        place: &dyn Fn(usize) -> usize,
        wanted: Wanted,
        store: S,
    ) -> Result<Vec<usize>>
    where
        S: Fn(&[(usize, &Tokens)], &Batch, Output) -> Result<()> + Sync,
    {
        let threads = process::num_threads()?;
        let done = AtomicUsize::new(0);
        let finished = || self.observer.progress(done.load(Ordering::Relaxed), inputs.len());
        let store = |texts: &[(usize, &Tokens)], batch: &Batch, output| {
            store(texts, batch, output)?;
            done.fetch_add(texts.len(), Ordering::Relaxed);
            Ok(())
        };
        let mut lengths = alloc::with_capacity(inputs.len(), "the texts' lengths")?;
        let mut windows = inputs.chunks(WINDOW * threads);
        let mut window: Vec<Tokens> = Vec::new();
        loop {
            let next = windows.next().unwrap_or_default();
            if window.is_empty() && next.is_empty() {
                break;
            }
            let tokenized = self.step(&window, lengths.len(), next, wanted, &finished, &store);
            let tokenized = tokenized.map_err(|error| error.placed(place))?;
            lengths.extend(window.iter().map(|tokens| tokens.full_length));
            window = self.window(tokenized, lengths.len(), place)?;
        }
        finished();
        Ok(lengths)
    }

    /// Computes a window, whose first text is the `first` of all, and tokenizes the next: threads that find no more to
    /// compute do that.
    ///
    /// # Errors
    /// [`Error::NotFinite`] for the first of the window whose result has NaN or infinity, by its place among all texts.
    pub(crate) fn step<S>(
        &self,
        window: &[Tokens],
        first: usize,
        next: &[Input<'_>],
        wanted: Wanted,
        finished: &dyn Fn(),
        store: &S,
    ) -> Result<Vec<Tokenized>>
    where
        S: Fn(&[(usize, &Tokens)], &Batch, Output) -> Result<()> + Sync,
    {
        if window.is_empty() && is_small(next) {
            let ask = || observer::ask(self.observer);
            return next.iter().map(|input| ask().and_then(|()| self.read(*input, &ask))).collect();
        }
        let budget = self.model.parts.network.token_budget();
        let batches = plan(window, process::num_threads()?, budget);
        let not_finite = AtomicUsize::new(usize::MAX);
        let placed = |texts: &[usize]| -> Vec<_> { texts.iter().map(|i| (first + i, &window[*i])).collect() };
        let keep = |texts: &[(usize, &Tokens)], batch: &Batch, output: Output| {
            for (row, ((place, _), tokens)) in texts.iter().zip(batch.texts()).enumerate() {
                if !output.is_finite(row, tokens, batch) {
                    not_finite.fetch_min(*place, Ordering::Relaxed);
                }
            }
            store(texts, batch, output)
        };
        let all_finite = || match not_finite.load(Ordering::Relaxed) {
            usize::MAX => Ok(()),
            index => Err(Error::NotFinite { index }),
        };
        if let ([texts], [], true) = (&batches[..], next, budget.concurrent) {
            let texts = placed(texts);
            let tokens: Vec<_> = texts.iter().map(|(_, tokens)| *tokens).collect();
            let parts = &self.model.parts;
            let output = parts.waiting.compute(&*parts.network, &tokens, wanted, budget.max, self.observer)?;
            keep(&texts, &Batch::new(tokens), output)?;
            return all_finite().map(|()| Vec::new());
        }
        let share = if budget.concurrent { 1 } else { batches.len().max(1) };
        let mut tokenized: Vec<Vec<Tokenized>> = Vec::new();
        tokenized.resize_with(next.len().div_ceil(TEXTS_A_PIECE), Vec::new);
        let count = batches.len().div_ceil(share) + tokenized.len();
        let compute = batches.chunks(share).map(Task::Compute);
        let tokenize = next.chunks(TEXTS_A_PIECE).zip(&mut tokenized);
        let tasks = compute.chain(tokenize.map(|(inputs, tokens)| Task::Tokenize(inputs, tokens)));
        schedule::run(tasks, count, self.observer, finished, |task, checkpoint| match task {
            Task::Compute(share) => {
                for texts in share {
                    checkpoint()?;
                    let texts = placed(texts);
                    let batch = Batch::new(texts.iter().map(|(_, tokens)| *tokens));
                    keep(&texts, &batch, self.compute(&batch, wanted, batches.len() == 1, checkpoint)?)?;
                }
                Ok(())
            }
            Task::Tokenize(inputs, tokens) => {
                for input in inputs {
                    checkpoint()?;
                    tokens.push(self.read(*input, checkpoint)?);
                }
                Ok(())
            }
        })?;
        all_finite().map(|()| tokenized.into_iter().flatten().collect())
    }

    /// An input's tokens.
    fn read(&self, input: Input<'_>, checkpoint: &dyn Fn() -> Result<()>) -> Result<Tokenized> {
        let read = self.model.tokens_of(input, self.prompt, self.max_length, checkpoint)?;
        Ok(read.map(|tokens| Tokens { excluded: self.prompt_length, ..tokens }))
    }

    /// A window of what was tokenized, from the place `first` on, if nothing is wrong with any of its inputs.
    pub(crate) fn window(
        &self,
        tokenized: Vec<Tokenized>,
        first: usize,
        place: &dyn Fn(usize) -> usize,
    ) -> Result<Vec<Tokens>> {
        let window = named(tokenized, first, place)?;
        self.check_lengths(&window, first, place)?;
        Ok(window)
    }

    /// The forward pass of a micro-batch; the only one is parted among the threads that are free, of several each thread has one.
    fn compute(
        &self,
        batch: &Batch,
        wanted: Wanted,
        only: bool,
        checkpoint: &dyn Fn() -> Result<()>,
    ) -> Result<Output> {
        let threads = if only { process::num_threads()? } else { 1 };
        self.model.parts.network.forward(batch, wanted, threads, checkpoint)
    }

    /// Refuses texts that are too long, where the caller wants that.
    fn check_lengths(&self, window: &[Tokens], first: usize, place: &dyn Fn(usize) -> usize) -> Result<()> {
        let too_long = window.iter().position(|tokens| tokens.full_length > self.max_length);
        match (self.truncation, too_long) {
            (Truncation::Error, Some(i)) => {
                let problem =
                    format!("has {} tokens, more than max_seq_length, {}", window[i].full_length, self.max_length);
                Err(Error::InvalidInput { index: place(first + i), problem })
            }
            _ => Ok(()),
        }
    }

    /// How many texts were cut, by the lengths that they had.
    pub(crate) fn truncated(&self, lengths: impl Iterator<Item = usize>) -> Truncated {
        lengths.filter(|length| *length > self.max_length).fold(Truncated::default(), |all, length| Truncated {
            count: all.count + 1,
            longest: all.longest.max(length),
        })
    }
}
