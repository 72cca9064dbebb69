//! Embedding: from inputs to embeddings.

use super::sentence::{Model, check_truncate_dim};
use crate::engine::{DenseRows, Encodings, Role};
use crate::error::Result;
use crate::options::EncodeOptions;
use crate::tokenize::Input;
use crate::vectors::embeddings::{Embeddings, TokenEncoding};

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

    /// Embeds one text: a vector of [`Model::embedding_dimension`] numbers, or fewer by `truncate_dim`.
    ///
    /// # Errors
    /// As [`Model::encode`].
    pub fn encode_one(&self, text: &str, options: &EncodeOptions<'_>) -> Result<Vec<f32>> {
        Ok(self.encode(&[text], options)?.into_vec())
    }

    /// Embeds queries: the prompt is "query" where the options name none.
    ///
    /// # Errors
    /// As [`Model::encode`].
    pub fn encode_query<T: AsRef<str>>(&self, inputs: &[T], options: &EncodeOptions<'_>) -> Result<Embeddings> {
        self.encode(inputs, &EncodeOptions { role: Some(Role::Query), ..*options })
    }

    /// Embeds documents: the prompt is the first of "document", "passage" and "corpus" that isn't empty, where the options
    /// name none.
    ///
    /// # Errors
    /// As [`Model::encode`].
    pub fn encode_document<T: AsRef<str>>(&self, inputs: &[T], options: &EncodeOptions<'_>) -> Result<Embeddings> {
        self.encode(inputs, &EncodeOptions { role: Some(Role::Document), ..*options })
    }

    /// Embeds texts and pairs of texts.
    ///
    /// # Errors
    /// As [`Model::encode`].
    pub fn encode_inputs(&self, inputs: &[Input<'_>], options: &EncodeOptions<'_>) -> Result<Embeddings> {
        let columns = self.columns(check_truncate_dim(options.truncate_dim)?.or(self.truncate_dim));
        let rows = |inputs| DenseRows::new(inputs, self.engine.width());
        self.engine.run(inputs, &options.request(), rows)?.embeddings(columns, options.normalize_embeddings)
    }

    /// Embeds texts and pairs, and gives all that the model computed for each.
    ///
    /// # Errors
    /// As [`Model::encode`].
    pub fn encode_tokens(&self, inputs: &[Input<'_>], options: &EncodeOptions<'_>) -> Result<Vec<TokenEncoding>> {
        let columns = self.columns(check_truncate_dim(options.truncate_dim)?.or(self.truncate_dim));
        let rows = |inputs| Encodings::new(inputs, columns, options.normalize_embeddings);
        Ok(self.engine.run(inputs, &options.request(), rows)?.encodings())
    }
}
