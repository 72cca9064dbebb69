//! Collectors: they sort the rows of micro-batches, which finish in any order, by the caller's inputs.

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
use crate::vectors::sparse::SparseEmbeddings;

/// Name of the allocation in messages.
pub(super) const EMBEDDINGS: &str = "the embeddings";

/// Collector of the rows of distinct inputs.
pub(crate) trait Collect: Sync {
    /// Returns the results that the forward pass must return.
    fn request(&self) -> HeadRequest;

    /// Stores the output of a micro-batch of these sequences.
    fn store(&self, sequences: &[Sequence<'_>], output: &mut Output) -> Result<()>;
}

/// Rows of a call, and the mapping of its inputs to them.
pub(crate) struct Collected<C> {
    pub(crate) rows: C,
    /// Index of each input among the distinct ones.
    pub(crate) which: Vec<usize>,
    pub(crate) truncated: Truncated,
}

pub(super) fn into_inner<T>(mutex: Mutex<T>) -> T {
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
    fn request(&self) -> HeadRequest {
        HeadRequest::POOLED
    }

    fn store(&self, sequences: &[Sequence<'_>], output: &mut Output) -> Result<()> {
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
}

impl Collected<SparseRows<'_>> {
    /// Returns the rows of all inputs, with `columns` columns.
    pub(crate) fn sparse_embeddings(self, columns: usize) -> Result<SparseEmbeddings> {
        let Self { rows, which, truncated } = self;
        let all = into_inner(rows.all);
        SparseEmbeddings::of_rows(which.iter().map(|i| &*all[*i]), columns, truncated)
    }
}

impl Collect for SparseRows<'_> {
    fn request(&self) -> HeadRequest {
        HeadRequest::SPARSE
    }

    fn store(&self, sequences: &[Sequence<'_>], output: &mut Output) -> Result<()> {
        let rows = std::mem::take(&mut output.sparse).into_iter();
        let kept = rows.map(|row| self.reduced(row)).collect::<Result<Vec<_>>>()?;
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
    fn request(&self) -> HeadRequest {
        HeadRequest { token_embeddings: true, ..HeadRequest::POOLED }
    }

    fn store(&self, sequences: &[Sequence<'_>], output: &mut Output) -> Result<()> {
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
