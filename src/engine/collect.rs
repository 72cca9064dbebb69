//! Collectors: they sort the rows of micro-batches, which finish in any order, by the caller's inputs.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use super::run::Sequence;
use super::words::Words;
use crate::alloc;
use crate::error::Result;
use crate::heads::{HeadRequest, Output, SparseRow};
use crate::kernels::norm::normalize;
use crate::kernels::rows::RowsMut;
use crate::threads::schedule::lock;
use crate::vectors::embeddings::{Embeddings, TokenEncoding, Truncated};
use crate::vectors::similarity::Matrix;

/// Name of the allocation in messages.
const EMBEDDINGS: &str = "the embeddings";

/// Collector of the rows of distinct inputs.
pub(crate) trait Collect: Sync {
    /// Results that the forward pass must return.
    const REQUEST: HeadRequest;

    /// Stores the output of a micro-batch of these sequences.
    fn store(&self, sequences: &[Sequence<'_>], output: Output) -> Result<()>;
}

/// Rows of a call, and the mapping of its inputs to them.
pub(crate) struct Collected<C> {
    pub(crate) rows: C,
    /// Index of each input among the distinct ones.
    pub(crate) which: Vec<usize>,
    pub(crate) truncated: Truncated,
}

fn into_inner<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Embeddings or logits, `(inputs, width)`.
pub(crate) struct DenseRows {
    all: Mutex<Vec<f32>>,
    width: usize,
}

impl DenseRows {
    pub(crate) fn new(inputs: usize, width: usize) -> Result<Self> {
        Ok(Self { all: Mutex::new(alloc::zeros(inputs.saturating_mul(width), EMBEDDINGS)?), width })
    }
}

impl Collect for DenseRows {
    const REQUEST: HeadRequest = HeadRequest::POOLED;

    fn store(&self, sequences: &[Sequence<'_>], output: Output) -> Result<()> {
        let mut all = lock(&self.all);
        for (sequence, row) in sequences.iter().zip(output.pooled.chunks_exact(self.width)) {
            all[sequence.index * self.width..][..self.width].copy_from_slice(row);
        }
        Ok(())
    }
}

impl Collected<DenseRows> {
    /// Returns the rows of all inputs, truncated to `columns`.
    pub(crate) fn embeddings(self, columns: usize, normalized: bool) -> Result<Embeddings> {
        let Self { rows: DenseRows { all, width }, which, truncated } = self;
        let all = into_inner(all);
        let mut data = if all.len() == which.len() * columns && columns == width {
            all
        } else {
            let mut data = alloc::with_capacity(which.len().saturating_mul(columns), EMBEDDINGS)?;
            which.iter().for_each(|i| data.extend_from_slice(&all[i * width..][..columns]));
            data
        };
        if normalized {
            normalize(RowsMut::packed(&mut data, columns));
        }
        Ok(Embeddings::new(data, which.len(), columns, truncated))
    }
}

/// Sparse rows, each reduced to its largest weights.
pub(crate) struct SparseRows<'a> {
    all: Mutex<Vec<SparseRow>>,
    max_active_dims: Option<usize>,
    /// Words whose weights replace those of tokens.
    words: Option<Words<'a>>,
}

impl<'a> SparseRows<'a> {
    pub(crate) fn new(inputs: usize, max_active_dims: Option<usize>, words: Option<Words<'a>>) -> Result<Self> {
        let all = Mutex::new(alloc::filled(SparseRow::new(), inputs, EMBEDDINGS)?);
        Ok(Self { all, max_active_dims, words })
    }

    fn reduced(&self, row: SparseRow) -> Result<SparseRow> {
        let row = match &self.words {
            Some(words) => words.weights(row)?,
            None => row,
        };
        Ok(largest(row, self.max_active_dims))
    }

    /// Returns the rows of the distinct inputs.
    pub(crate) fn into_rows(self) -> Vec<SparseRow> {
        into_inner(self.all)
    }
}

impl Collect for SparseRows<'_> {
    const REQUEST: HeadRequest = HeadRequest::SPARSE;

    fn store(&self, sequences: &[Sequence<'_>], output: Output) -> Result<()> {
        let kept = output.sparse.into_iter().map(|row| self.reduced(row)).collect::<Result<Vec<_>>>()?;
        let mut all = lock(&self.all);
        sequences.iter().zip(kept).for_each(|(sequence, row)| all[sequence.index] = row);
        Ok(())
    }
}

/// Keeps the `max` largest weights of a row, in the order of columns. Ties keep the smaller columns.
fn largest(mut row: SparseRow, max: Option<usize>) -> SparseRow {
    if let Some(max) = max.filter(|max| *max < row.len()) {
        row.select_nth_unstable_by(max - 1, |a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        row.truncate(max);
        row.sort_unstable_by_key(|(column, _)| *column);
    }
    row
}

/// A vector for each token that isn't skipped.
pub(crate) struct TokenRows<'a> {
    all: Mutex<Vec<Vec<f32>>>,
    columns: usize,
    skipped: &'a HashSet<u32>,
}

impl<'a> TokenRows<'a> {
    pub(crate) fn new(inputs: usize, columns: usize, skipped: &'a HashSet<u32>) -> Result<Self> {
        Ok(Self { all: Mutex::new(alloc::filled(Vec::new(), inputs, EMBEDDINGS)?), columns, skipped })
    }
}

impl Collect for TokenRows<'_> {
    const REQUEST: HeadRequest = HeadRequest::TOKEN_VECTORS;

    fn store(&self, sequences: &[Sequence<'_>], output: Output) -> Result<()> {
        for (sequence, tokens) in sequences.iter().zip(output.texts()) {
            let mut rows = alloc::with_capacity(tokens.len() * self.columns, EMBEDDINGS)?;
            for (id, token) in sequence.tokens.ids.iter().zip(tokens) {
                if !self.skipped.contains(id) {
                    rows.extend_from_slice(&output.token_vector(token)[..self.columns]);
                }
            }
            lock(&self.all)[sequence.index] = rows;
        }
        Ok(())
    }
}

impl Collected<TokenRows<'_>> {
    /// Returns the token vectors of all inputs, `(tokens, width)` each.
    pub(crate) fn matrices(self) -> Result<Vec<Matrix>> {
        let Self { rows: TokenRows { all, columns, .. }, which, .. } = self;
        let all = into_inner(all);
        let matrix = |vectors: Vec<f32>| Matrix::new(vectors.len() / columns, columns, vectors);
        if all.len() == which.len() {
            return all.into_iter().map(matrix).collect();
        }
        which.iter().map(|i| matrix(alloc::copied(&all[*i], EMBEDDINGS)?)).collect()
    }
}

/// Token ids, token embeddings and sentence embeddings of inputs.
pub(crate) struct Encodings {
    all: Mutex<Vec<Option<TokenEncoding>>>,
    columns: usize,
    normalize_embeddings: bool,
}

impl Encodings {
    pub(crate) fn new(inputs: usize, columns: usize, normalize_embeddings: bool) -> Result<Self> {
        let all = Mutex::new(alloc::filled(None, inputs, "the texts' encodings")?);
        Ok(Self { all, columns, normalize_embeddings })
    }
}

impl Collect for Encodings {
    const REQUEST: HeadRequest = HeadRequest { token_embeddings: true, ..HeadRequest::POOLED };

    fn store(&self, sequences: &[Sequence<'_>], output: Output) -> Result<()> {
        for (row, (sequence, tokens)) in sequences.iter().zip(output.texts()).enumerate() {
            let mut sentence_embedding = output.pooled_row(row)[..self.columns].to_vec();
            if self.normalize_embeddings {
                normalize(RowsMut::packed(&mut sentence_embedding, self.columns));
            }
            let encoding = TokenEncoding {
                input_ids: sequence.tokens.ids.clone(),
                token_type_ids: sequence.tokens.type_ids.clone(),
                full_length: sequence.tokens.full_length,
                token_embeddings: alloc::copied(
                    output.token_rows(&output.token_embeddings, tokens),
                    "the tokens' embeddings",
                )?,
                sentence_embedding,
            };
            lock(&self.all)[sequence.index] = Some(encoding);
        }
        Ok(())
    }
}

impl Collected<Encodings> {
    /// Returns the encodings of all inputs.
    pub(crate) fn encodings(self) -> Vec<TokenEncoding> {
        let all = into_inner(self.rows.all);
        if all.len() == self.which.len() {
            return all.into_iter().flatten().collect();
        }
        self.which.iter().filter_map(|i| all[*i].clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::largest;

    #[test]
    fn the_largest_weights_stay_in_their_order() {
        let row = vec![(1, 0.5), (3, 2.0), (4, 0.5), (7, 1.0), (9, 0.5)];
        assert_eq!(largest(row.clone(), Some(2)), [(3, 2.0), (7, 1.0)]);
        assert_eq!(largest(row.clone(), Some(4)), [(1, 0.5), (3, 2.0), (4, 0.5), (7, 1.0)]);
        assert_eq!(largest(row.clone(), Some(9)), row);
        assert_eq!(largest(row.clone(), None), row);
    }
}
