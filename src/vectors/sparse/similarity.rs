//! Similarity of sparse embeddings.

use super::SparseEmbeddings;
use crate::config::Similarity;
use crate::error::{Error, Result};
use crate::kernels::nan::at_least;
use crate::observer;
use crate::options::CallOptions;
use crate::threads::schedule;
use crate::vectors::similarity::{Matrix, Run, same_width};

/// Number of right rows that one piece of work compares with a left row.
const ROWS: usize = 4096;

/// Largest width of a row that is expanded with its zeros. No vocabulary is as large.
const DENSE: usize = 1 << 20;

/// Returns the score of every row of `a` with every row of `b`: `(a.len, b.len)`. Sums are in float64.
///
/// # Errors
/// [`Error::InvalidArgument`] if the widths differ; [`Error::Memory`]; [`Error::Interrupted`].
///
/// [`Error::InvalidArgument`]: crate::Error::InvalidArgument
/// [`Error::Memory`]: crate::Error::Memory
/// [`Error::Interrupted`]: crate::Error::Interrupted
pub fn sparse_similarity(
    kind: Similarity,
    a: &SparseEmbeddings,
    b: &SparseEmbeddings,
    options: &CallOptions<'_>,
) -> Result<Matrix> {
    same_width(("a", a.dim()), ("b", b.dim()))?;
    let run = Run::new(options.observer)?;
    let mut data = crate::vectors::similarity::zeros(a.len(), b.len())?;
    if !data.is_empty() {
        let norms: Vec<f64> = b.rows().map(|(_, values)| norm(values)).collect();
        let rows = data.chunks_mut(b.len()).enumerate();
        let pieces =
            rows.flat_map(|(i, row)| row.chunks_mut(ROWS).zip((0..).step_by(ROWS)).map(move |piece| (i, piece)));
        let terms = a.len().saturating_mul(b.values_count()).saturating_add(a.values_count());
        let threads = run.threads(a.len() * b.len().div_ceil(ROWS), terms);
        schedule::run(pieces, threads, run.observer(), &|| {}, |(i, (scores, first)), _| {
            let left = Left::new(kind, a.row(i), a.dim());
            for (j, score) in (first..).zip(scores) {
                *score = left.score(b.row(j), norms[j]);
            }
            Ok(())
        })?;
    }
    Matrix::new(a.len(), b.len(), data)
}

/// Returns the score of each row of `a` with the same row of `b`.
///
/// # Errors
/// [`Error::InvalidArgument`] if the widths or the numbers of rows differ; [`Error::Interrupted`].
///
/// [`Error::InvalidArgument`]: crate::Error::InvalidArgument
/// [`Error::Interrupted`]: crate::Error::Interrupted
pub fn sparse_similarity_pairwise(
    kind: Similarity,
    a: &SparseEmbeddings,
    b: &SparseEmbeddings,
    options: &CallOptions<'_>,
) -> Result<Vec<f32>> {
    same_width(("a", a.dim()), ("b", b.dim()))?;
    if a.len() != b.len() {
        return Err(Error::argument("b", format!("must have as many rows as a ({}), got {}", a.len(), b.len())));
    }
    let run = Run::new(options.observer)?;
    let score = |(left, right): (Row<'_>, Row<'_>)| {
        observer::ask(run.observer())?;
        let left = Left { kind, row: left, norm: norm(left.1), dense: Vec::new() };
        Ok(left.score(right, norm(right.1)))
    };
    a.rows().zip(b.rows()).map(score).collect()
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt()
}

type Row<'a> = (&'a [i32], &'a [f32]);

/// Left row of comparisons.
struct Left<'a> {
    kind: Similarity,
    row: Row<'a>,
    norm: f64,
    /// Expanded row, for products; empty if it is wider than [`DENSE`].
    dense: Vec<f32>,
}

impl<'a> Left<'a> {
    fn new(kind: Similarity, row: Row<'a>, dim: usize) -> Self {
        let mut dense = Vec::new();
        if dim <= DENSE && matches!(kind, Similarity::Cosine | Similarity::Dot) {
            dense.resize(dim, 0.0);
            row.0.iter().zip(row.1).for_each(|(column, value)| dense[*column as usize] = *value);
        }
        Self { kind, row, norm: norm(row.1), dense }
    }

    fn score(&self, right: Row<'_>, norm: f64) -> f32 {
        let score = match self.kind {
            Similarity::Dot => self.product(right),
            Similarity::Cosine => self.product(right) / (at_least(self.norm, 1e-12) * at_least(norm, 1e-12)),
            // Subtracted, not negated: no difference is 0, not -0.
            Similarity::Euclidean => 0.0 - self.differences(right, |x| x * x).sqrt(),
            Similarity::Manhattan => 0.0 - self.differences(right, f64::abs),
        };
        score as f32
    }

    fn product(&self, (indices, values): Row<'_>) -> f64 {
        let terms = indices.iter().zip(values);
        terms.map(|(column, value)| f64::from(self.number(*column)) * f64::from(*value)).sum()
    }

    /// Returns the number in a column.
    fn number(&self, column: i32) -> f32 {
        if let Some(number) = self.dense.get(column as usize) {
            return *number;
        }
        let (columns, values) = self.row;
        columns.binary_search(&column).map_or(0.0, |position| values[position])
    }

    /// Sums a function of the differences of both rows' numbers.
    fn differences(&self, right: Row<'_>, term: impl Fn(f64) -> f64) -> f64 {
        let ((columns, values), (others, more)) = (self.row, right);
        let (mut sum, mut i, mut j) = (0.0, 0, 0);
        while i < columns.len() || j < others.len() {
            let (left, right) = (columns.get(i).copied(), others.get(j).copied());
            let here = left.unwrap_or(i32::MAX).min(right.unwrap_or(i32::MAX));
            let (mut x, mut y) = (0.0, 0.0);
            if left == Some(here) {
                x = f64::from(values[i]);
                i += 1;
            }
            if right == Some(here) {
                y = f64::from(more[j]);
                j += 1;
            }
            sum += term(x - y);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::noise;
    use crate::vectors::embeddings::Truncated;

    fn sparse(rows: usize, dim: usize, seed: u64) -> SparseEmbeddings {
        let numbers = noise(rows * dim, seed);
        let rows: Vec<Vec<(u32, f32)>> =
            numbers.chunks(dim).map(|row| (0..).zip(row.iter().copied()).filter(|(_, x)| *x > 0.3).collect()).collect();
        SparseEmbeddings::of_rows(rows.iter().map(Vec::as_slice), dim, Truncated::default()).unwrap()
    }

    #[test]
    fn scores_are_those_of_the_dense_rows() {
        let (a, b) = (sparse(7, 40, 1), sparse(5000, 40, 2));
        let (dense_a, dense_b) = (a.to_dense().unwrap(), b.to_dense().unwrap());
        for kind in [Similarity::Cosine, Similarity::Dot, Similarity::Euclidean, Similarity::Manhattan] {
            let got = sparse_similarity(kind, &a, &b, &CallOptions::default()).unwrap();
            let want = crate::vectors::similarity(kind, &dense_a, &dense_b, &CallOptions::default()).unwrap();
            let differ = got.as_slice().iter().zip(want.as_slice()).map(|(x, y)| (x - y).abs());
            assert!(differ.fold(0.0, f32::max) < 2e-6, "{kind}");
        }
        assert!(sparse_similarity(Similarity::Dot, &a, &sparse(1, 41, 3), &CallOptions::default()).is_err());
        let same = sparse_similarity(Similarity::Euclidean, &a, &a, &CallOptions::default()).unwrap();
        assert!((0..7).all(|i| same.row(i)[i].to_bits() == 0));
    }

    #[test]
    fn empty_embeddings_have_no_scores() {
        let none = SparseEmbeddings::of_rows([].into_iter(), 40, Truncated::default()).unwrap();
        let scores = sparse_similarity(Similarity::Dot, &none, &sparse(2, 40, 1), &CallOptions::default()).unwrap();
        assert_eq!((scores.rows(), scores.columns()), (0, 2));
    }
}
