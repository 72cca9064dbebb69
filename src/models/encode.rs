//! Encoding methods of [`Model`].

use super::sentence::{Model, check_truncate_dim};
use crate::config::Role;
use crate::engine::{DenseRows, Encodings};
use crate::error::{Error, Result};
use crate::options::EncodeOptions;
use crate::tokenize::{Input, NO_TEXT};
use crate::vectors::embeddings::{Embeddings, TokenEncoding};

impl Model {
    /// Embeds texts: one row of float32 per text, [`Model::embedding_dimension`] columns or fewer by `truncate_dim`.
    ///
    /// On a CPU a text's embedding has the same bits for any other texts, order and number of threads. On a GPU, in
    /// float32, it has the same numbers to about 1e-5.
    ///
    /// Memory on a CPU, beside inputs and result: about 200 bytes per text, the tokens of 1,024 texts per thread, and
    /// `threads * 4 * max(512, tokens of the longest text) * (8 * hidden_size + 2 * intermediate_size)` bytes.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an option that is unknown or out of range, [`Error::InvalidInput`] for a text
    /// that can't be embedded, [`Error::NotFinite`] for a result with NaN or infinity, [`Error::Memory`] if an
    /// allocation fails, [`Error::Interrupted`] if the observer stops it.
    pub fn encode<T: AsRef<str>>(&self, inputs: &[T], options: &EncodeOptions<'_>) -> Result<Embeddings> {
        self.encode_inputs(&Input::texts(inputs), options)
    }

    /// Embeds one text and returns [`Model::embedding_dimension`] numbers, or fewer by `truncate_dim`.
    ///
    /// # Errors
    /// The errors of [`Model::encode`].
    pub fn encode_one(&self, text: &str, options: &EncodeOptions<'_>) -> Result<Vec<f32>> {
        Ok(self.encode(&[text], options)?.into_vec())
    }

    /// Embeds queries. The default prompt is "query".
    ///
    /// # Errors
    /// The errors of [`Model::encode`].
    pub fn encode_query<T: AsRef<str>>(&self, inputs: &[T], options: &EncodeOptions<'_>) -> Result<Embeddings> {
        self.encode(inputs, &EncodeOptions { role: Some(Role::Query), ..*options })
    }

    /// Embeds documents. The default prompt is the first of "document", "passage" and "corpus" that isn't empty.
    ///
    /// # Errors
    /// The errors of [`Model::encode`].
    pub fn encode_document<T: AsRef<str>>(&self, inputs: &[T], options: &EncodeOptions<'_>) -> Result<Embeddings> {
        self.encode(inputs, &EncodeOptions { role: Some(Role::Document), ..*options })
    }

    /// Embeds texts and pairs of texts.
    ///
    /// # Errors
    /// The errors of [`Model::encode`].
    pub fn encode_inputs(&self, inputs: &[Input<'_>], options: &EncodeOptions<'_>) -> Result<Embeddings> {
        let columns = self.columns(check_truncate_dim(options.truncate_dim)?.or(self.truncate_dim));
        let rows = |inputs| DenseRows::new(inputs, self.engine.width());
        self.engine.run(inputs, &options.request(), rows)?.embeddings(columns, options.normalize_embeddings)
    }

    /// Embeds texts and pairs. Returns each one's sentence embedding, token embeddings and token ids.
    ///
    /// # Errors
    /// The errors of [`Model::encode`].
    pub fn encode_tokens(&self, inputs: &[Input<'_>], options: &EncodeOptions<'_>) -> Result<Vec<TokenEncoding>> {
        if let Some(index) = inputs.iter().position(|input| matches!(input, Input::Image(_))) {
            return Err(Error::InvalidInput { index, problem: NO_TEXT.to_owned() });
        }
        let columns = self.columns(check_truncate_dim(options.truncate_dim)?.or(self.truncate_dim));
        let rows = |inputs| Encodings::new(inputs, columns, options.normalize_embeddings);
        Ok(self.engine.run(inputs, &options.request(), rows)?.encodings())
    }
}
