//! Streaming: embeds the texts of an iterator in chunks. The next chunk is tokenized while the current one is computed.

use std::borrow::Cow;
use std::io;
use std::iter::FusedIterator;
use std::sync::Arc;

use super::sentence::{Model, check_truncate_dim};
use crate::engine::{DenseRows, Lookahead};
use crate::error::{Error, Result};
use crate::options::EncodeOptions;
use crate::tokenize::Input;
use crate::vectors::embeddings::Embeddings;

impl Model {
    /// Streams the texts of an iterator: embeds `chunk_size` texts at a time, in order, while it tokenizes the next
    /// ones. The stream holds the texts and results of at most two chunks, and a clone of the model.
    ///
    /// The iterator yields texts, or `io::Result`s of texts as [`BufRead::lines`](io::BufRead::lines) does. On a CPU an
    /// embedding has the same bits as from [`Model::encode`]. The observer can stop the stream. It gets no progress,
    /// because the number of texts is unknown.
    ///
    /// # Examples
    /// ```
    /// use std::io::BufRead;
    ///
    /// # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny/bert-mean-normalize/model");
    /// # let model = rushlight::Model::from_dir(folder)?;
    /// # let file: Vec<u8> = (0..10).map(|i| format!("line {i}\n")).collect::<String>().into();
    /// let lines = file.lines(); // of a BufReader, for example
    /// let mut total = 0;
    /// for embeddings in model.encode_iter(lines, 4, &Default::default())? {
    ///     total += embeddings?.len();
    /// }
    /// assert_eq!(total, 10);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an option that is unknown or out of range, or a `chunk_size` of 0. The stream
    /// ends with its first error: an error of [`Model::encode`], or [`Error::InvalidInput`] for a text that can't be
    /// read. Its index counts from the start of the stream. Texts before an unreadable one are embedded first.
    pub fn encode_iter<'a, I>(
        &self,
        inputs: I,
        chunk_size: usize,
        options: &EncodeOptions<'a>,
    ) -> Result<EncodeIter<'a, I::IntoIter>>
    where
        I: IntoIterator<Item: TextItem>,
    {
        if chunk_size == 0 {
            return Err(Error::argument("chunk_size", "must be at least 1, got 0"));
        }
        check_truncate_dim(options.truncate_dim)?;
        self.engine.check(&options.request())?;
        let texts = Texts { inputs: inputs.into_iter(), read: 0, unreadable: None };
        let (model, options) = (self.clone(), *options);
        Ok(EncodeIter { model, texts, chunk_size, options, ahead: Lookahead::default(), over: false })
    }

    /// Embeds the chunk in `ahead` while it tokenizes `next`, then stores `next` in `ahead`. It is one step of a
    /// stream, for callers that push chunks.
    ///
    /// The first step returns no embeddings. A step with an empty `next` returns those of the last chunk. After an
    /// error `ahead` is empty.
    ///
    /// # Errors
    /// The errors of [`Model::encode`]. An input's index counts from the start of the stream.
    pub fn encode_ahead(
        &self,
        ahead: &mut Lookahead,
        next: &[Input<'_>],
        options: &EncodeOptions<'_>,
    ) -> Result<Embeddings> {
        let columns = self.columns(check_truncate_dim(options.truncate_dim)?.or(self.truncate_dim));
        let rows = |inputs| DenseRows::new(inputs, self.engine.width());
        let collected = self.engine.step(ahead, next, &options.request(), rows)?;
        collected.embeddings(columns, options.normalize_embeddings)
    }
}

/// Item of a stream of texts: a text, or an `io::Result` of one.
pub trait TextItem {
    /// Type of the text.
    type Text: AsRef<str>;

    /// Returns the text.
    ///
    /// # Errors
    /// The error that reading the text raised.
    fn into_text(self) -> io::Result<Self::Text>;
}

macro_rules! text_items {
    ($($type:ty),*) => {
        $(impl TextItem for $type {
            type Text = Self;

            fn into_text(self) -> io::Result<Self> {
                Ok(self)
            }
        })*
    };
}
text_items!(&str, String, &String, Cow<'_, str>, Box<str>, Arc<str>);

impl<T: AsRef<str>> TextItem for io::Result<T> {
    type Text = T;

    fn into_text(self) -> Self {
        self
    }
}

/// Texts of an iterator, up to the first that can't be read.
struct Texts<I> {
    inputs: I,
    read: usize,
    unreadable: Option<Error>,
}

impl<I: Iterator<Item: TextItem>> Texts<I> {
    fn chunk(&mut self, size: usize) -> Vec<<I::Item as TextItem>::Text> {
        let mut chunk = Vec::new();
        while self.unreadable.is_none() && chunk.len() < size {
            match self.inputs.next().map(TextItem::into_text) {
                None => break,
                Some(Ok(text)) => chunk.push(text),
                Some(Err(error)) => {
                    let (index, problem) = (self.read + chunk.len(), format!("can't be read: {error}"));
                    self.unreadable = Some(Error::InvalidInput { index, problem });
                }
            }
        }
        self.read += chunk.len();
        chunk
    }
}

/// Embeddings of the texts of an iterator, a chunk at a time; see [`Model::encode_iter`].
pub struct EncodeIter<'a, I> {
    model: Model,
    texts: Texts<I>,
    chunk_size: usize,
    options: EncodeOptions<'a>,
    ahead: Lookahead,
    over: bool,
}

impl<I> std::fmt::Debug for EncodeIter<'_, I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EncodeIter")
            .field("model", &self.model)
            .field("chunk_size", &self.chunk_size)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl<I: Iterator<Item: TextItem>> Iterator for EncodeIter<'_, I> {
    type Item = Result<Embeddings>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.over {
            let chunk = self.texts.chunk(self.chunk_size);
            let embeddings = self.model.encode_ahead(&mut self.ahead, &Input::texts(&chunk), &self.options);
            let is_empty = embeddings.as_ref().is_ok_and(Embeddings::is_empty);
            self.over = embeddings.is_err() || chunk.is_empty() && is_empty;
            if embeddings.is_err() {
                self.texts.unreadable = None;
            }
            if !is_empty {
                return Some(embeddings);
            }
        }
        self.texts.unreadable.take().map(Err)
    }
}

impl<I: Iterator<Item: TextItem>> FusedIterator for EncodeIter<'_, I> {}
