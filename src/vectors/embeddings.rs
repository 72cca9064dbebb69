//! Results of embedding.

use crate::vectors::similarity::{MatrixView, RowIter};

/// Embeddings of texts in their order: `(len, dim)`, float32.
///
/// # Examples
/// ```
/// # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny/bert-mean-normalize/model");
/// # let model = rushlight::Model::from_dir(folder)?;
/// let embeddings = model.encode(&["one text", "another"], &Default::default())?;
/// for embedding in &embeddings {
///     assert_eq!(embedding.len(), embeddings.dim());
/// }
/// assert_eq!(embeddings[1], embeddings.as_slice()[embeddings.dim()..]);
/// # Ok::<(), rushlight::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Embeddings {
    data: Vec<f32>,
    len: usize,
    dim: usize,
    truncated: Truncated,
}

/// Count of texts that were longer than the model takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Truncated {
    /// Number of texts that were cut.
    pub count: usize,
    /// Tokens of the longest text before it was cut, special tokens included; 0 if none was cut.
    pub longest: usize,
}

impl Embeddings {
    pub(crate) fn new(data: Vec<f32>, len: usize, dim: usize, truncated: Truncated) -> Self {
        debug_assert_eq!(data.len(), len * dim);
        Self { data, len, dim, truncated }
    }

    /// Returns the number of texts.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns true if there are no texts.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the number of columns.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Returns the embedding of text `i`.
    ///
    /// # Panics
    /// Panics if `i >= len`, as slices do.
    pub fn row(&self, i: usize) -> &[f32] {
        MatrixView::from(self).row(i)
    }

    /// Iterates over the embeddings.
    pub fn rows(&self) -> RowIter<'_> {
        self.into_iter()
    }

    /// Returns all numbers, row by row.
    pub fn as_slice(&self) -> &[f32] {
        &self.data
    }

    /// Returns all numbers, row by row, without a copy.
    #[must_use]
    pub fn into_vec(self) -> Vec<f32> {
        self.data
    }

    /// Returns how many texts were cut, and the length of the longest.
    pub fn truncated(&self) -> Truncated {
        self.truncated
    }
}

/// Tokens of one text with their embeddings.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TokenEncoding {
    /// Token ids, special tokens included.
    pub input_ids: Vec<u32>,
    /// Part of a pair that each token belongs to, if the tokenizer has token type ids.
    pub token_type_ids: Option<Vec<u32>>,
    /// Number of tokens before truncation, special tokens included.
    pub full_length: usize,
    /// Embeddings of the tokens: `(tokens, hidden_size)`, row by row.
    pub token_embeddings: Vec<f32>,
    /// Embedding of the text, as [`Model::encode`](crate::Model::encode) gives it.
    pub sentence_embedding: Vec<f32>,
}
