//! Reading texts and pairs of texts: prompt, truncation, padding, and the check of token ids.

use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use super::chat::Prompt;
use crate::alloc;
use crate::engine::loaded::Loaded;
use crate::error::{Error, Result};
use crate::observer::{NoObserver, Observer};
use crate::options::{CallOptions, TruncationSide};
use crate::threads::schedule;
use crate::tokenize::{Input, PadTo, Tokenizer, Tokens, no_text};

/// Number of texts that a thread tokenizes at a time.
pub(crate) const TEXTS_A_PIECE: usize = 32;
/// Minimum size in bytes of an input that is tokenized on its own thread, so that callers can stop it.
const LONG: usize = 1 << 20;
/// Period of the checks for a stopped caller.
const PATIENCE: Duration = Duration::from_millis(50);

/// Tokens of an input, or the problem with it.
pub(crate) type Read = std::result::Result<Tokens, String>;

/// Returns true for inputs that are tokenized faster than a thread wakes up.
pub(crate) fn is_small(inputs: &[Input<'_>]) -> bool {
    const BYTES: usize = 4096;
    let has_image = inputs.iter().any(|input| matches!(input, Input::Image(_)));
    !has_image && inputs.len() <= TEXTS_A_PIECE && inputs.iter().map(|input| input.bytes()).sum::<usize>() <= BYTES
}

/// Splits inputs into pieces of a number of texts, or of fewer images, which take more time and memory.
pub(crate) fn pieces<'a, 'i>(mut rest: &'a [Input<'i>], texts: usize) -> impl Iterator<Item = &'a [Input<'i>]> {
    const TEXTS_AN_IMAGE: usize = 16;
    std::iter::from_fn(move || {
        let mut size = 0;
        let mut exceeds = |input: &Input<'_>| {
            size += if matches!(input, Input::Image(_)) { TEXTS_AN_IMAGE } else { 1 };
            size > texts
        };
        let end = rest.iter().position(&mut exceeds).map_or(rest.len(), |end| end.max(1));
        let (piece, others) = rest.split_at(end);
        rest = others;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Returns the tokens of inputs, or an error for the first problem. `index` maps the `i`-th input to the caller's
/// index.
pub(crate) fn first_error(read: Vec<Read>, index: &dyn Fn(usize) -> usize) -> Result<Vec<Tokens>> {
    let indexed =
        |(i, tokens): (usize, Read)| tokens.map_err(|problem| Error::InvalidInput { index: index(i), problem });
    read.into_iter().enumerate().map(indexed).collect()
}

/// Reader of inputs for a model: its tokenizer, its maximum number of tokens, and the padding of late-interaction
/// queries.
#[derive(Clone)]
pub struct Reader {
    pub(super) loaded: Arc<Loaded>,
    prompt: Arc<Prompt>,
    /// Number of the prompt's tokens that pooling excludes.
    excluded: usize,
    /// Maximum number of tokens per input, special tokens included.
    max_length: usize,
    pad_to: Option<PadTo>,
    /// Side that truncation removes; `None` is the tokenizer's own.
    cut: Option<TruncationSide>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("folder", &self.loaded.folders.folder)
            .field("max_length", &self.max_length)
            .finish_non_exhaustive()
    }
}

impl Reader {
    pub(crate) fn new(loaded: Arc<Loaded>, max_seq_length: Option<usize>) -> Self {
        let limits = [max_seq_length, loaded.tokenizer.limit()];
        let max_length = limits.into_iter().flatten().min().unwrap_or(usize::MAX);
        Self { loaded, prompt: Arc::default(), excluded: 0, max_length, pad_to: None, cut: None }
    }

    /// Pads short inputs.
    pub(crate) fn padding(self, pad_to: Option<PadTo>) -> Self {
        Self { pad_to, ..self }
    }

    /// Truncates inputs at this side.
    pub(crate) fn cutting(self, cut: Option<TruncationSide>) -> Self {
        Self { cut, ..self }
    }

    /// Prepends a prompt to each input. Pooling excludes its tokens unless `pooled`, or unless a chat template places it.
    pub(crate) fn prompted(self, prompt: &str, pooled: bool) -> Result<Self> {
        let excluded = match prompt {
            "" => 0,
            _ if pooled || self.loaded.chat.is_some() => 0,
            prompt => self.loaded.tokenizer.prompt_length(prompt, self.max_length)?,
        };
        Ok(Self { excluded, ..self.with_prompt(prompt) })
    }

    /// Prepends a prompt to each input, or gives it to the chat template, if the model has one.
    #[must_use]
    pub fn with_prompt(self, prompt: &str) -> Self {
        Self { prompt: Arc::new(prompt.into()), ..self }
    }

    /// Sets the maximum number of tokens per input, special tokens included, instead of the model's. `None` means no
    /// limit.
    #[must_use]
    pub fn with_max_length(self, max_length: Option<usize>) -> Self {
        Self { max_length: max_length.unwrap_or(usize::MAX), ..self }
    }

    /// Maximum number of tokens per input, special tokens included; `usize::MAX` means no limit.
    pub(crate) fn max_length(&self) -> usize {
        self.max_length
    }

    /// Tokenizer of the model.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.loaded.tokenizer
    }

    /// Tokenizes inputs and truncates them.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for an input that the model can't read, [`Error::Interrupted`] if the observer stops it.
    pub fn tokenize(&self, inputs: &[Input<'_>], options: &CallOptions<'_>) -> Result<Vec<Tokens>> {
        first_error(
            for_each_input(inputs, options.observer.unwrap_or(&NoObserver), |input, checkpoint| {
                if matches!(input, Input::Image(_)) { Err(no_text()) } else { self.read(input, checkpoint) }
            })?,
            &|i| i,
        )
    }

    /// Counts the tokens of a text after a prompt, before truncation.
    pub(super) fn count(&self, text: &str, prompt: &str) -> Result<usize> {
        count(&self.loaded, Input::Text(text), prompt)
    }

    /// Counts the tokens of each input before truncation, special tokens included and without a prompt.
    ///
    /// # Errors
    /// The errors of [`Reader::tokenize`].
    pub fn count_tokens(&self, inputs: &[Input<'_>], options: &CallOptions<'_>) -> Result<Vec<usize>> {
        for_each_input(inputs, options.observer.unwrap_or(&NoObserver), |input, checkpoint| {
            self.interruptible(input, checkpoint, |loaded, input| count(loaded, input, ""))
        })
    }

    /// Reads an input. Returns its tokens, or the problem with it.
    pub(crate) fn read(&self, input: Input<'_>, checkpoint: &dyn Fn() -> Result<()>) -> Result<Read> {
        if let Input::Image(image) = input {
            return self.read_image(image);
        }
        let (prompt, max_length, cut) = (Arc::clone(&self.prompt), self.max_length, self.cut);
        let work = move |loaded: &Loaded, input: Input<'_>| encode(loaded, input, &prompt, max_length, cut);
        match self.interruptible(input, checkpoint, work) {
            Err(Error::Tokenizer(problem)) => Ok(Err(problem)),
            tokens => {
                let tokens = tokens?;
                Ok(self.check_ids(&tokens).map(|()| self.padded(input, tokens)))
            }
        }
    }

    fn padded(&self, input: Input<'_>, mut tokens: Tokens) -> Tokens {
        if !matches!(input, Input::Ids(_)) {
            tokens.excluded = self.excluded;
        }
        match self.pad_to {
            Some(pad_to) => pad_to.apply(&mut tokens),
            None => self.pad_to_max(&mut tokens),
        }
        tokens
    }

    /// Pads a text to the greatest length, if the folder asks for it.
    fn pad_to_max(&self, tokens: &mut Tokens) {
        let Loaded { settings, tokenizer, .. } = &*self.loaded;
        if !settings.pads_to_max() || self.max_length == usize::MAX {
            return;
        }
        if tokenizer.pad_left() && tokenizer.masks_padding() {
            // Padding only moves the text.
            tokens.first_position = self.max_length.saturating_sub(tokens.ids.len());
        } else if let Some(token_id) = tokenizer.pad_id() {
            let attend = !tokenizer.masks_padding();
            PadTo { token_id, length: self.max_length, attend, left: tokenizer.pad_left() }.apply(tokens);
        }
    }

    /// Checks that there are tokens, and that the embedding tables have a row for every id.
    fn check_ids(&self, tokens: &Tokens) -> std::result::Result<(), String> {
        let network = &self.loaded.network;
        if tokens.ids.is_empty() && !network.takes_no_tokens() {
            return Err("has no tokens: this model's tokenizer adds no special tokens".to_owned());
        }
        network.limits().check_ids(tokens)
    }

    /// Runs the tokenizer on an input. A long input has its own thread, which runs on if the caller stops.
    pub(crate) fn interruptible<T: Send + 'static>(
        &self,
        input: Input<'_>,
        checkpoint: &dyn Fn() -> Result<()>,
        work: impl Fn(&Loaded, Input<'_>) -> Result<T> + Send + Sync + 'static,
    ) -> Result<T> {
        let (first, second) = match input {
            Input::Text(text) if text.len() >= LONG => (text, None),
            Input::Pair(first, second) if input.bytes() >= LONG => (first, Some(second)),
            _ => return work(&self.loaded, input),
        };
        let owned = |text| alloc::owned(text, "a copy of a long text");
        let (loaded, first, second) = (Arc::clone(&self.loaded), owned(first)?, second.map(owned).transpose()?);
        let (sender, receiver) = mpsc::channel();
        let job = Arc::new(move || {
            let input = second.as_deref().map_or(Input::Text(&first), |second| Input::Pair(&first, second));
            // The caller may have stopped.
            let _ = sender.send(work(&loaded, input));
        });
        let elsewhere = Arc::clone(&job);
        if std::thread::Builder::new().spawn(move || elsewhere()).is_err() {
            // The system has no more threads.
            job();
        }
        drop(job);
        loop {
            match receiver.recv_timeout(PATIENCE) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Timeout) => checkpoint()?,
                Err(RecvTimeoutError::Disconnected) => return Err(Error::Tokenizer("its thread panicked".to_owned())),
            }
        }
    }
}

/// Tokenizes an input as the model reads it: through its chat template, or with its tokenizer's special tokens.
fn encode(
    loaded: &Loaded,
    input: Input<'_>,
    prompt: &Prompt,
    max_length: usize,
    cut: Option<TruncationSide>,
) -> Result<Tokens> {
    match &loaded.chat {
        Some(chat) => chat.encode(&loaded.tokenizer, input, prompt, max_length, cut),
        None => loaded.tokenizer.encode_cut(input, &prompt.text, max_length, cut),
    }
}

/// Counts the tokens of an input after a prompt, before truncation.
fn count(loaded: &Loaded, input: Input<'_>, prompt: &str) -> Result<usize> {
    Ok(encode(loaded, input, &prompt.into(), usize::MAX, None)?.full_length)
}

/// Runs `work` for each input on all threads. Returns the results in the order of the inputs.
fn for_each_input<'a, T: Send>(
    inputs: &[Input<'a>],
    observer: &dyn Observer,
    work: impl Fn(Input<'a>, &dyn Fn() -> Result<()>) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let pieces = inputs.len().div_ceil(TEXTS_A_PIECE);
    let mut results: Vec<Vec<T>> = Vec::new();
    results.resize_with(pieces, Vec::new);
    let tasks = inputs.chunks(TEXTS_A_PIECE).zip(&mut results).enumerate();
    schedule::run(tasks, pieces, observer, &|| {}, |(piece, (inputs, results)), checkpoint| {
        for input in inputs {
            checkpoint()?;
            let index = piece * TEXTS_A_PIECE + results.len();
            results.push(work(*input, checkpoint).map_err(|error| match error {
                Error::Tokenizer(problem) => Error::InvalidInput { index, problem },
                other => other,
            })?);
        }
        Ok(())
    })?;
    Ok(results.into_iter().flatten().collect())
}
