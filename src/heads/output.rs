//! Output of a forward pass: the rows of its heads for the texts of a micro-batch.

use std::ops::Range;

use crate::batch::Batch;
use crate::kernels::nan::all_finite;

/// Nonzero elements of a row: columns in ascending order, with their numbers.
pub(crate) type SparseRow = Vec<(u32, f32)>;

/// Sorts weights by column, and keeps the largest of each column.
pub(crate) fn largest_of_each(mut weights: SparseRow) -> SparseRow {
    weights.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
    weights.dedup_by_key(|(column, _)| *column);
    weights
}

/// Results that a forward pass must return, each from a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeadRequest {
    /// One vector per text: sentence embeddings or logits.
    pub(crate) pooled: bool,
    /// Weights of the vocabulary's tokens, per text.
    pub(crate) sparse: bool,
    /// Vectors for late interaction, one per token.
    pub(crate) token_vectors: bool,
    /// Embeddings from the backbone, one per token.
    pub(crate) token_embeddings: bool,
}

impl HeadRequest {
    const NONE: Self = Self { pooled: false, sparse: false, token_vectors: false, token_embeddings: false };
    pub(crate) const POOLED: Self = Self { pooled: true, ..Self::NONE };
    pub(crate) const SPARSE: Self = Self { sparse: true, ..Self::NONE };
    pub(crate) const TOKEN_VECTORS: Self = Self { token_vectors: true, ..Self::NONE };

    pub(crate) const ALL: Self = Self { pooled: true, sparse: true, token_vectors: true, token_embeddings: true };

    /// Returns true if the request includes a result in `given`.
    pub(crate) fn asks_for(self, given: Self) -> bool {
        self.pooled && given.pooled || self.sparse && given.sparse || self.token_vectors && given.token_vectors
    }
}

/// Results of a forward pass. A result that wasn't requested is empty.
#[derive(Default)]
pub(crate) struct Output {
    /// Index of each text's first token, and the number of tokens at the end.
    offsets: Vec<usize>,
    /// `(texts, width)`
    pub(crate) pooled: Vec<f32>,
    /// One row per text.
    pub(crate) sparse: Vec<SparseRow>,
    /// `(tokens, width)`
    pub(crate) token_vectors: Vec<f32>,
    /// `(tokens, hidden_size)`
    pub(crate) token_embeddings: Vec<f32>,
}

impl Output {
    /// Returns the output of a micro-batch, without results yet.
    pub(crate) fn of(batch: &Batch) -> Self {
        Self { offsets: batch.offsets().to_vec(), ..Self::default() }
    }

    /// Number of texts.
    fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Returns the range of tokens of each text.
    pub(crate) fn texts(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.offsets.windows(2).map(|pair| pair[0]..pair[1])
    }

    /// Returns the pooled row of a text.
    pub(crate) fn pooled_row(&self, text: usize) -> &[f32] {
        let width = self.pooled.len() / self.len().max(1);
        &self.pooled[text * width..][..width]
    }

    /// Returns the rows of these tokens in `rows`, which has one row per token.
    pub(crate) fn token_rows<'a>(&self, rows: &'a [f32], tokens: Range<usize>) -> &'a [f32] {
        let total = self.offsets.last().copied().unwrap_or(0);
        let width = rows.len() / total.max(1);
        &rows[tokens.start * width..tokens.end * width]
    }

    /// Returns the late-interaction vector of a token.
    pub(crate) fn token_vector(&self, token: usize) -> &[f32] {
        self.token_rows(&self.token_vectors, token..token + 1)
    }

    /// Makes the output of a batch of those of its parts, each with the indices of its texts. They have pooled rows alone.
    pub(crate) fn joined(batch: &Batch, parts: &[(Vec<usize>, Self)]) -> Self {
        let width = parts.iter().map(|(texts, part)| part.pooled.len() / texts.len().max(1)).max().unwrap_or(0);
        let mut pooled = vec![0.0; batch.len() * width];
        for (texts, part) in parts {
            for (text, row) in texts.iter().zip(part.pooled.chunks_exact(width.max(1))) {
                pooled[text * width..][..width].copy_from_slice(row);
            }
        }
        Self { pooled, ..Self::of(batch) }
    }

    /// Splits the results by numbers of texts, in order.
    pub(crate) fn split(mut self, counts: &[usize]) -> Vec<Self> {
        if counts.len() == 1 {
            return vec![self];
        }
        let mut sparse = std::mem::take(&mut self.sparse).into_iter();
        let mut first = 0;
        let mut part = |count: &usize| {
            let texts = first..first + count;
            first = texts.end;
            let offsets = &self.offsets[texts.start..=texts.end];
            let tokens = offsets[0]..offsets[*count];
            Self {
                offsets: offsets.iter().map(|offset| offset - tokens.start).collect(),
                pooled: texts.flat_map(|text| self.pooled_row(text)).copied().collect(),
                sparse: sparse.by_ref().take(*count).collect(),
                token_vectors: self.token_rows(&self.token_vectors, tokens.clone()).to_vec(),
                token_embeddings: self.token_rows(&self.token_embeddings, tokens).to_vec(),
            }
        };
        counts.iter().map(&mut part).collect()
    }

    /// Returns the texts with NaN or infinity in their results.
    pub(crate) fn not_finite(&self) -> impl Iterator<Item = usize> + '_ {
        let is_finite = move |(text, tokens): &(usize, Range<usize>)| {
            let of_tokens = [&self.token_vectors, &self.token_embeddings];
            all_finite(self.pooled_row(*text))
                && of_tokens.iter().all(|rows| all_finite(self.token_rows(rows, tokens.clone())))
                && self.sparse.get(*text).is_none_or(|row| all_finite(row.iter().map(|(_, number)| number)))
        };
        self.texts().enumerate().filter(move |text| !is_finite(text)).map(|(text, _)| text)
    }
}
