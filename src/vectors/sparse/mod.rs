//! Sparse embeddings and their similarity.

mod similarity;

pub use similarity::{sparse_similarity, sparse_similarity_pairwise};

use crate::alloc;
use crate::error::{Error, Result};
use crate::vectors::embeddings::Truncated;
use crate::vectors::similarity::Matrix;

/// Sparse embeddings of texts, `(len, dim)`: the numbers that aren't 0, in scipy's CSR layout.
#[derive(Clone, Debug, PartialEq)]
pub struct SparseEmbeddings {
    indptr: Vec<i64>,
    indices: Vec<i32>,
    values: Vec<f32>,
    dim: usize,
    truncated: Truncated,
}

impl SparseEmbeddings {
    /// Makes embeddings of rows of `(column, number)` with rising columns.
    pub(crate) fn of_rows<'a>(
        rows: impl ExactSizeIterator<Item = &'a [(u32, f32)]> + Clone,
        dim: usize,
        truncated: Truncated,
    ) -> Result<Self> {
        const WHAT: &str = "the embeddings";
        let count = rows.clone().map(<[_]>::len).sum();
        let (indptr, indices) = (alloc::with_capacity(rows.len() + 1, WHAT)?, alloc::with_capacity(count, WHAT)?);
        let mut all = Self { indptr, indices, values: alloc::with_capacity(count, WHAT)?, dim, truncated };
        all.indptr.push(0);
        for row in rows {
            all.indices.extend(row.iter().map(|(column, _)| *column as i32));
            all.values.extend(row.iter().map(|(_, number)| *number));
            all.indptr.push(all.indices.len() as i64);
        }
        Ok(all)
    }

    /// Makes embeddings of the arrays of a CSR matrix.
    ///
    /// `indptr` holds the start of each row in the other two, and at the end their length. `indices` are columns, rising
    /// within a row.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the arrays don't fit together.
    pub fn new(indptr: Vec<i64>, indices: Vec<i32>, values: Vec<f32>, dim: usize) -> Result<Self> {
        let all = Self { indptr, indices, values, dim, truncated: Truncated::default() };
        let wrong = |argument, problem: &str| Err(Error::argument(argument, problem));
        let ends = (all.indptr.first(), all.indptr.last());
        if ends != (Some(&0), Some(&(all.indices.len() as i64))) || !all.indptr.is_sorted() {
            return wrong("indptr", "must rise from 0 to the number of indices");
        }
        if all.values.len() != all.indices.len() {
            return wrong("values", "must be as many as the indices");
        }
        let fits = |indices: &[i32]| {
            let within = indices.iter().all(|i| usize::try_from(*i).is_ok_and(|i| i < dim));
            within && indices.windows(2).all(|pair| pair[0] < pair[1])
        };
        if !(0..all.len()).all(|i| fits(all.row(i).0)) {
            return wrong("indices", "must be columns, from 0 up to the width, and rise within a row");
        }
        Ok(all)
    }

    /// Returns the number of texts.
    pub fn len(&self) -> usize {
        self.indptr.len() - 1
    }

    /// Returns true if there are no texts.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of columns.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Returns the columns, rising, and the numbers of text `i`.
    ///
    /// # Panics
    /// Panics if `i >= len`, as slices do.
    pub fn row(&self, i: usize) -> (&[i32], &[f32]) {
        let range = self.indptr[i] as usize..self.indptr[i + 1] as usize;
        (&self.indices[range.clone()], &self.values[range])
    }

    /// Iterates over the embeddings.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = (&[i32], &[f32])> {
        (0..self.len()).map(|i| self.row(i))
    }

    /// Returns the arrays `indptr`, `indices` and `values`; see [`SparseEmbeddings::new`].
    #[must_use]
    pub fn into_parts(self) -> (Vec<i64>, Vec<i32>, Vec<f32>) {
        (self.indptr, self.indices, self.values)
    }

    /// Borrows the arrays of [`SparseEmbeddings::into_parts`].
    #[cfg(feature = "serde")]
    pub(crate) fn parts(&self) -> (&[i64], &[i32], &[f32]) {
        (&self.indptr, &self.indices, &self.values)
    }

    #[cfg(feature = "serde")]
    pub(crate) fn with_truncated(mut self, truncated: Truncated) -> Self {
        self.truncated = truncated;
        self
    }

    /// Copies the embeddings into a dense matrix.
    ///
    /// # Errors
    /// [`Error::Memory`] if there is no memory for it.
    pub fn to_dense(&self) -> Result<Matrix> {
        let what = format!("{} x {} dense numbers", self.len(), self.dim);
        let mut data = alloc::zeros(self.len().saturating_mul(self.dim), &what)?;
        for (row, (indices, values)) in data.chunks_mut(self.dim.max(1)).zip(self.rows()) {
            indices.iter().zip(values).for_each(|(column, value)| row[*column as usize] = *value);
        }
        Matrix::new(self.len(), self.dim, data)
    }

    /// Returns the number of numbers of all rows.
    pub(crate) fn values_count(&self) -> usize {
        self.values.len()
    }

    /// Returns the average number of numbers of a row.
    pub fn active_dims(&self) -> f64 {
        if self.is_empty() { 0.0 } else { self.values.len() as f64 / self.len() as f64 }
    }

    /// Returns how many texts were cut, and the length of the longest.
    pub fn truncated(&self) -> Truncated {
        self.truncated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_what_they_were_made_of() {
        let rows: [&[(u32, f32)]; 3] = [&[(0, 1.0), (3, 2.0)], &[], &[(2, -1.0)]];
        let all = SparseEmbeddings::of_rows(rows.into_iter(), 4, Truncated::default()).unwrap();
        assert_eq!(all.row(0), (&[0, 3][..], &[1.0, 2.0][..]));
        assert_eq!(all.row(1), (&[][..], &[][..]));
        assert_eq!(all.to_dense().unwrap().as_slice(), [1.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0]);
        assert_eq!(all.active_dims(), 1.0);
        let (indptr, indices, values) = all.clone().into_parts();
        assert_eq!(SparseEmbeddings::new(indptr, indices, values, 4).unwrap(), all);
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        let refused = |indptr: &[i64], indices: &[i32], values: &[f32]| {
            SparseEmbeddings::new(indptr.to_vec(), indices.to_vec(), values.to_vec(), 4).unwrap_err().to_string()
        };
        for indptr in [&[][..], &[0], &[1, 2], &[0, 3], &[0, 2, 1, 2]] {
            assert!(refused(indptr, &[0, 1], &[1.0, 2.0]).starts_with("indptr"), "{indptr:?}");
        }
        assert!(refused(&[0, 2], &[0, 1], &[1.0]).starts_with("values"));
        for indices in [[0, 4], [-1, 2], [2, 2], [2, 1]] {
            assert!(refused(&[0, 2], &indices, &[1.0, 2.0]).starts_with("indices"), "{indices:?}");
        }
    }
}
