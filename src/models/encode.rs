//! Embedding: from inputs to embeddings, by way of tokens, micro-batches and the network.

use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use super::sentence::{Model, check_truncate_dim};
use crate::alloc;
use crate::batch::Distinct;
use crate::engine::run::{Call, TEXTS_A_PIECE, Tokenized, named};
use crate::error::{Error, Result};
use crate::kernels::norm::normalize;
use crate::kernels::rows::RowsMut;
use crate::network::Wanted;
use crate::observer::{NoObserver, Observer};
use crate::options::EncodeOptions;
use crate::threads::schedule;
use crate::tokenize::{Input, Tokenizer, Tokens};
use crate::vectors::embeddings::{Embeddings, TokenEncoding, Truncated};

/// Bytes of an input from which on tokenizing it takes longer than callers wait who want to stop.
const LONG: usize = 1 << 20;
/// How often they are asked meanwhile.
const PATIENCE: Duration = Duration::from_millis(50);

impl Model {
    /// Embeds texts.
    ///
    /// On a processor the same text gives the same bits, whatever the other texts, their order and the number of threads; on
    /// a GPU, in float32, the same numbers to about 1e-5.
    ///
    /// What it holds on a processor beside inputs and result is limited by tokens: about 200 bytes a text; the tokens of 1,024 texts a
    /// thread; and `threads * 4 * max(512, tokens of the longest text) * (8 * hidden_size + 2 * intermediate_size)` bytes.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an option that is out of range or unknown, [`Error::InvalidInput`] for a text that
    /// can't be embedded, [`Error::NotFinite`] where a text's result has NaN or infinity, [`Error::Memory`],
    /// [`Error::Interrupted`] where the observer stops it.
    pub fn encode<T: AsRef<str>>(&self, inputs: &[T], options: &EncodeOptions<'_>) -> Result<Embeddings> {
        self.encode_inputs(&Input::texts(inputs), options)
    }

    /// Embeds queries: the prompt is "query" where the options name none.
    ///
    /// # Errors
    /// As [`Model::encode`].
    pub fn encode_query<T: AsRef<str>>(&self, inputs: &[T], options: &EncodeOptions<'_>) -> Result<Embeddings> {
        self.by_route(true).encode(inputs, &self.with_role(options, &["query"]))
    }

    /// Embeds documents: the prompt is the first of "document", "passage" and "corpus" that isn't empty, where the options
    /// name none.
    ///
    /// # Errors
    /// As [`Model::encode`].
    pub fn encode_document<T: AsRef<str>>(&self, inputs: &[T], options: &EncodeOptions<'_>) -> Result<Embeddings> {
        self.by_route(false).encode(inputs, &self.with_role(options, &["document", "passage", "corpus"]))
    }

    pub(crate) fn with_role<'a>(&'a self, options: &EncodeOptions<'a>, names: &[&str]) -> EncodeOptions<'a> {
        if options.prompt.is_some() || options.prompt_name.is_some() {
            return *options;
        }
        let prompt = names.iter().filter_map(|name| self.prompts.get(*name)).find(|prompt| !prompt.is_empty());
        EncodeOptions { prompt: Some(prompt.map_or("", String::as_str)), ..*options }
    }

    /// Embeds texts and pairs of texts.
    ///
    /// # Errors
    /// As [`Model::encode`].
    pub fn encode_inputs(&self, inputs: &[Input<'_>], options: &EncodeOptions<'_>) -> Result<Embeddings> {
        let columns = self.columns(check_truncate_dim(options.truncate_dim)?.or(self.truncate_dim));
        let call = Call::new(self, options)?;
        let few = Distinct::of(inputs)?;
        let all = Rows::new(few.inputs.len(), self.parts.network.embedding_dimension())?;
        let place = |i| few.place(i);
        let lengths = call.forward(&few.inputs, &place, Wanted::SentenceEmbeddings, |texts, _, output| {
            all.store(texts, &output.sentence_embeddings);
            Ok(())
        })?;
        let truncated = call.truncated(few.which.iter().map(|i| lengths[*i]));
        all.finish(&few.which, columns, options.normalize_embeddings, truncated)
    }

    /// Embeds texts and pairs, and gives all that the model computed for each.
    ///
    /// # Errors
    /// As [`Model::encode`].
    pub fn encode_tokens(&self, inputs: &[Input<'_>], options: &EncodeOptions<'_>) -> Result<Vec<TokenEncoding>> {
        let columns = self.columns(check_truncate_dim(options.truncate_dim)?.or(self.truncate_dim));
        let call = Call::new(self, options)?;
        let width = self.parts.network.embedding_dimension();
        let hidden = self.hidden_size();
        let all: Mutex<Vec<Option<TokenEncoding>>> =
            Mutex::new(alloc::filled(None, inputs.len(), "the texts' encodings")?);
        call.forward(inputs, &|i| i, Wanted::TokenEmbeddingsToo, |texts, batch, output| {
            let rows = output.sentence_embeddings.chunks_exact(width);
            for (((i, text), tokens), sentence) in texts.iter().zip(batch.texts()).zip(rows) {
                let mut sentence_embedding = sentence[..columns].to_vec();
                if options.normalize_embeddings {
                    normalize(RowsMut::packed(&mut sentence_embedding, columns));
                }
                let encoding = TokenEncoding {
                    input_ids: text.ids.clone(),
                    token_type_ids: text.type_ids.clone(),
                    full_length: text.full_length,
                    token_embeddings: alloc::copied(
                        &output.token_embeddings[tokens.start * hidden..tokens.end * hidden],
                        "the tokens' embeddings",
                    )?,
                    sentence_embedding,
                };
                all.lock().unwrap_or_else(PoisonError::into_inner)[*i] = Some(encoding);
            }
            Ok(())
        })?;
        Ok(all.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().flatten().collect())
    }

    /// The prompt of a call.
    pub(crate) fn prompt<'a>(&'a self, options: &EncodeOptions<'a>) -> Result<&'a str> {
        match (options.prompt, options.prompt_name, &self.default_prompt_name) {
            (Some(prompt), _, _) => Ok(prompt),
            (None, Some(name), _) => {
                self.prompts.get(name).map(String::as_str).ok_or_else(|| self.unknown_prompt("prompt_name", name))
            }
            (None, None, Some(name)) => Ok(self.prompts.get(name).map_or("", String::as_str)),
            (None, None, None) => Ok(""),
        }
    }

    /// The tokens of an input; where it has none, what is wrong with it.
    pub(crate) fn tokens_of(
        &self,
        input: Input<'_>,
        prompt: &str,
        max_length: usize,
        checkpoint: &dyn Fn() -> Result<()>,
    ) -> Result<Tokenized> {
        let prompt = prompt.to_owned();
        let work = move |tokenizer: &Tokenizer, input: Input<'_>| tokenizer.encode(input, &prompt, max_length);
        match self.interruptible(input, checkpoint, work) {
            Err(Error::Tokenizer(problem)) => Ok(Err(problem)),
            tokens => {
                let tokens = tokens?;
                Ok(self.check_ids(&tokens).map(|()| self.filled(tokens)))
            }
        }
    }

    /// How many tokens are kept of a text.
    pub(crate) fn max_length(&self) -> usize {
        [self.max_seq_length, self.parts.tokenizer.limit()].into_iter().flatten().min().unwrap_or(usize::MAX)
    }

    fn filled(&self, mut tokens: Tokens) -> Tokens {
        if let Some(fill) = self.fill {
            fill.up(&mut tokens);
        }
        tokens
    }

    /// Whether the embedding tables have every id; else what is wrong.
    fn check_ids(&self, tokens: &Tokens) -> std::result::Result<(), String> {
        let limits = self.parts.network.limits();
        if tokens.ids.is_empty() && !self.parts.network.takes_no_tokens() {
            return Err("gives no tokens: this model's tokenizer adds no special ones".to_owned());
        }
        if let Some(id) = tokens.ids.iter().find(|id| **id as usize >= limits.vocab_size) {
            return Err(format!("token id {id} is beyond the model's vocabulary of {}", limits.vocab_size));
        }
        let types = tokens.type_ids.iter().flatten();
        match (types.max(), limits.type_vocab_size) {
            (Some(id), Some(size)) if *id as usize >= size => {
                Err(format!("token type id {id} is beyond the model's {size}"))
            }
            _ => Ok(()),
        }
    }

    /// The token ids of each input, truncated, without a prompt.
    ///
    /// # Errors
    /// As [`Model::encode`].
    pub fn tokenize(&self, inputs: &[Input<'_>]) -> Result<Vec<Tokens>> {
        self.tokenize_watched(inputs, &NoObserver)
    }

    pub(crate) fn tokenize_watched(&self, inputs: &[Input<'_>], observer: &dyn Observer) -> Result<Vec<Tokens>> {
        self.tokenize_to(inputs, self.max_length(), observer)
    }

    pub(crate) fn tokenize_to(
        &self,
        inputs: &[Input<'_>],
        max_length: usize,
        observer: &dyn Observer,
    ) -> Result<Vec<Tokens>> {
        let tokens =
            for_each_input(inputs, observer, |input, checkpoint| self.tokens_of(input, "", max_length, checkpoint))?;
        named(tokens, 0, &|i| i)
    }

    /// How many tokens each input has, special tokens included, before truncation and without a prompt.
    ///
    /// # Errors
    /// As [`Model::encode`].
    pub fn count_tokens(&self, inputs: &[Input<'_>]) -> Result<Vec<usize>> {
        self.count_tokens_watched(inputs, &NoObserver)
    }

    pub(crate) fn count_tokens_watched(&self, inputs: &[Input<'_>], observer: &dyn Observer) -> Result<Vec<usize>> {
        for_each_input(inputs, observer, |input, checkpoint| self.interruptible(input, checkpoint, Tokenizer::count))
    }

    /// What the tokenizer does with an input: on a thread that can be left behind, where it may take long.
    pub(crate) fn interruptible<T: Send + 'static>(
        &self,
        input: Input<'_>,
        checkpoint: &dyn Fn() -> Result<()>,
        work: impl Fn(&Tokenizer, Input<'_>) -> Result<T> + Send + Sync + 'static,
    ) -> Result<T> {
        let (first, second) = match input {
            Input::Text(text) => (text, None),
            Input::Pair(first, second) => (first, Some(second)),
        };
        if first.len() + second.map_or(0, str::len) < LONG {
            return work(&self.parts.tokenizer, input);
        }
        let (parts, first, second) = (Arc::clone(&self.parts), first.to_owned(), second.map(str::to_owned));
        let (sender, receiver) = mpsc::channel();
        let job = Arc::new(move || {
            let input = second.as_deref().map_or(Input::Text(&first), |second| Input::Pair(&first, second));
            // Nobody may be left to hear it.
            let _ = sender.send(work(&parts.tokenizer, input));
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

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.parts.tokenizer
    }
}

/// What memory is for, in messages.
const EMBEDDINGS: &str = "the embeddings";

/// The embeddings of distinct inputs, `(inputs, width)`, as micro-batches give them.
pub(crate) struct Rows {
    all: Mutex<Vec<f32>>,
    width: usize,
}

impl Rows {
    pub(crate) fn new(inputs: usize, width: usize) -> Result<Self> {
        Ok(Self { all: Mutex::new(alloc::zeros(inputs.saturating_mul(width), EMBEDDINGS)?), width })
    }

    /// Puts the embeddings of a micro-batch into the rows of its texts.
    pub(crate) fn store(&self, texts: &[(usize, &Tokens)], embeddings: &[f32]) {
        let mut all = schedule::lock(&self.all);
        for ((i, _), row) in texts.iter().zip(embeddings.chunks_exact(self.width)) {
            all[i * self.width..(i + 1) * self.width].copy_from_slice(row);
        }
    }

    /// The embeddings of all inputs, of which `which` tells the distinct ones, cut to `columns`.
    pub(crate) fn finish(
        self,
        which: &[usize],
        columns: usize,
        normalized: bool,
        truncated: Truncated,
    ) -> Result<Embeddings> {
        let all = self.all.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut data = if all.len() == which.len() * columns && columns == self.width {
            all
        } else {
            let mut data = alloc::with_capacity(which.len().saturating_mul(columns), EMBEDDINGS)?;
            which.iter().for_each(|i| data.extend_from_slice(&all[i * self.width..][..columns]));
            data
        };
        if normalized {
            normalize(RowsMut::packed(&mut data, columns));
        }
        Ok(Embeddings::new(data, which.len(), columns, truncated))
    }
}

/// `work` of each input, in their order, by all threads.
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
