//! A stream: chunks of texts from an iterator, of which the next is tokenized while the present one is computed.

use std::iter::{Fuse, FusedIterator};

use super::sentence::{Model, check_truncate_dim};
use crate::engine::{DenseRows, Lookahead};
use crate::error::{Error, Result};
use crate::options::EncodeOptions;
use crate::tokenize::Input;
use crate::vectors::embeddings::Embeddings;

impl Model {
    /// Embeds texts as they come from an iterator, `chunk_size` at a time and in their order, while the next ones are
    /// tokenized. So texts and results of two chunks are held at most, however many there are.
    ///
    /// On a processor an embedding has the same bits as by [`Model::encode`]. The observer may stop the stream; it isn't
    /// told of progress, since nobody knows of how many.
    ///
    /// ```
    /// # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny/bert-mean-normalize/model");
    /// # let model = rushlight::Model::from_dir(folder)?;
    /// let lines = (0..10).map(|i| format!("line {i}"));
    /// let mut total = 0;
    /// for embeddings in model.encode_iter(lines, 4, &Default::default())? {
    ///     total += embeddings?.len();
    /// }
    /// assert_eq!(total, 10);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an option that is out of range or unknown, or a `chunk_size` of 0. The iterator's
    /// items are errors as of [`Model::encode`], with an input's place in the whole stream; it ends with the first.
    pub fn encode_iter<'a, I>(
        &'a self,
        inputs: I,
        chunk_size: usize,
        options: &EncodeOptions<'a>,
    ) -> Result<EncodeIter<'a, I::IntoIter>>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        if chunk_size == 0 {
            return Err(Error::argument("chunk_size", "must be at least 1, got 0"));
        }
        check_truncate_dim(options.truncate_dim)?;
        self.engine.check(&options.request())?;
        let (inputs, options) = (inputs.into_iter().fuse(), *options);
        Ok(EncodeIter { model: self, inputs, chunk_size, options, ahead: Lookahead::default(), over: false })
    }

    /// Embeds the chunk that is ahead while it tokenizes the next one, which is ahead then: a step of a stream for callers
    /// that push chunks.
    ///
    /// The first step gives no embeddings. The last one, with nothing next, gives those of the last chunk. After an error
    /// nothing is ahead.
    ///
    /// # Errors
    /// As [`Model::encode`], with an input's index in the whole stream.
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

/// Embeddings of the texts of an iterator, a chunk at a time; see [`Model::encode_iter`].
pub struct EncodeIter<'a, I> {
    model: &'a Model,
    inputs: Fuse<I>,
    chunk_size: usize,
    options: EncodeOptions<'a>,
    ahead: Lookahead,
    over: bool,
}

impl<I> std::fmt::Debug for EncodeIter<'_, I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EncodeIter")
            .field("model", self.model)
            .field("chunk_size", &self.chunk_size)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl<I: Iterator<Item: AsRef<str>>> Iterator for EncodeIter<'_, I> {
    type Item = Result<Embeddings>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.over {
            let chunk: Vec<_> = self.inputs.by_ref().take(self.chunk_size).collect();
            let embeddings = self.model.encode_ahead(&mut self.ahead, &Input::texts(&chunk), &self.options);
            self.over = chunk.is_empty() || embeddings.is_err();
            if !embeddings.as_ref().is_ok_and(Embeddings::is_empty) {
                return Some(embeddings);
            }
        }
        None
    }
}

impl<I: Iterator<Item: AsRef<str>>> FusedIterator for EncodeIter<'_, I> {}
