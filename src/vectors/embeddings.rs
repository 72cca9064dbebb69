//! What embedding gives.

/// Embeddings of texts, `(len, dim)`, float32, in the order of the texts.
#[derive(Clone, Debug, PartialEq)]
pub struct Embeddings {
    data: Vec<f32>,
    len: usize,
    dim: usize,
    truncated: Truncated,
}

/// How many texts were longer than the model takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Truncated {
    /// How many were cut.
    pub count: usize,
    /// Tokens of the longest text, special tokens included, before it was cut; 0 where none was.
    pub longest: usize,
}

impl Embeddings {
    pub(crate) fn new(data: Vec<f32>, len: usize, dim: usize, truncated: Truncated) -> Self {
        debug_assert_eq!(data.len(), len * dim);
        Self { data, len, dim, truncated }
    }

    /// How many texts.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Columns of an embedding.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The embedding of text `i`.
    ///
    /// # Panics
    /// Where `i >= len`, as slices do.
    pub fn row(&self, i: usize) -> &[f32] {
        &self.data[i * self.dim..(i + 1) * self.dim]
    }

    /// The embeddings one by one.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        (0..self.len).map(|i| self.row(i))
    }

    /// All numbers, row by row.
    pub fn as_slice(&self) -> &[f32] {
        &self.data
    }

    /// All numbers, row by row, without a copy.
    pub fn into_vec(self) -> Vec<f32> {
        self.data
    }

    /// How many of the texts were cut, and how long the longest was.
    pub fn truncated(&self) -> Truncated {
        self.truncated
    }
}

/// All that the model gives for one text.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenEncoding {
    /// The token ids, special tokens included.
    pub input_ids: Vec<u32>,
    /// Which of a pair a token is of, where the tokenizer says it.
    pub token_type_ids: Option<Vec<u32>>,
    /// How many tokens the text has, special tokens included, before it was cut.
    pub full_length: usize,
    /// `(tokens, hidden_size)`, row by row.
    pub token_embeddings: Vec<f32>,
    /// The text's embedding, as [`Model::encode`](crate::Model::encode) gives it.
    pub sentence_embedding: Vec<f32>,
}
