//! Matrices, owned and borrowed.

use std::iter::FusedIterator;
use std::ops::{Index, Range};

use crate::alloc;
use crate::error::{Error, Result};
use crate::kernels::Isa;
use crate::kernels::buffer::Buffer;
use crate::vectors::embeddings::Embeddings;

/// A matrix of float32 in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    pub(in crate::vectors) rows: usize,
    pub(in crate::vectors) columns: usize,
    pub(in crate::vectors) data: Vec<f32>,
}

impl Matrix {
    /// Makes a matrix of `rows * columns` numbers, row by row.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if `data` has another length.
    pub fn new(rows: usize, columns: usize, data: Vec<f32>) -> Result<Self> {
        MatrixView::new(rows, columns, &data)?;
        Ok(Self { rows, columns, data })
    }

    /// Copies rows of one length into a matrix.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if a row has another length than the first; [`Error::Memory`].
    ///
    /// # Examples
    /// ```
    /// use rushlight::Matrix;
    ///
    /// let vectors: Vec<Vec<f32>> = vec![vec![1.0, 2.0], vec![3.0, 4.0]];
    /// let matrix = Matrix::from_rows(&vectors)?;
    /// assert_eq!(matrix[1], [3.0, 4.0]);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    pub fn from_rows<R: AsRef<[f32]>>(rows: impl IntoIterator<Item = R>) -> Result<Self> {
        let mut matrix = Self { rows: 0, columns: 0, data: Vec::new() };
        for row in rows {
            let row = row.as_ref();
            if matrix.rows == 0 {
                matrix.columns = row.len();
            }
            if row.len() != matrix.columns {
                let Self { rows, columns, .. } = matrix;
                let problem = format!("must be of one length, {columns}, got {} at index {rows}", row.len());
                return Err(Error::argument("rows", problem));
            }
            let reserved = matrix.data.try_reserve(row.len());
            reserved.map_err(|_| alloc::out_of_memory::<f32>(matrix.data.len() + row.len(), "a matrix"))?;
            matrix.data.extend_from_slice(row);
            matrix.rows += 1;
        }
        Ok(matrix)
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Returns one row, `columns` numbers.
    ///
    /// # Panics
    /// Panics without a row `i`, as slices do.
    pub fn row(&self, i: usize) -> &[f32] {
        self.view().row(i)
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

    /// Borrows the matrix.
    pub fn view(&self) -> MatrixView<'_> {
        MatrixView { rows: self.rows, columns: self.columns, data: &self.data }
    }
}

/// A [`Matrix`] whose numbers are borrowed: from embeddings, from a slice, or from mapped memory.
///
/// Functions that compare embeddings take `impl Into<MatrixView>`: [`&Embeddings`](Embeddings), [`&Matrix`](Matrix), or a
/// slice, which is a single row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MatrixView<'a> {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) data: &'a [f32],
}

impl<'a> MatrixView<'a> {
    /// Makes a matrix of `rows * columns` numbers, row by row.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if `data` has another length.
    pub fn new(rows: usize, columns: usize, data: &'a [f32]) -> Result<Self> {
        if rows.checked_mul(columns) == Some(data.len()) {
            return Ok(Self { rows, columns, data });
        }
        let problem = format!("must have {rows} x {columns} numbers, got {}", data.len());
        Err(Error::argument("data", problem))
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Returns one row, `columns` numbers.
    ///
    /// # Panics
    /// Panics without a row `i`, as slices do.
    pub fn row(&self, i: usize) -> &'a [f32] {
        assert!(i < self.rows, "row {i} of a matrix of {} rows", self.rows);
        &self.data[i * self.columns..][..self.columns]
    }

    /// Returns all numbers, row by row.
    pub fn as_slice(&self) -> &'a [f32] {
        self.data
    }

    /// Returns at most `count` rows, from `first` on.
    pub(crate) fn some_rows(&self, first: usize, count: usize) -> Self {
        let rows = count.min(self.rows - first);
        Self { rows, columns: self.columns, data: &self.data[first * self.columns..][..rows * self.columns] }
    }
}

impl<'a> From<&'a Embeddings> for MatrixView<'a> {
    fn from(embeddings: &'a Embeddings) -> Self {
        Self { rows: embeddings.len(), columns: embeddings.dim(), data: embeddings.as_slice() }
    }
}

impl<'a> From<&'a Matrix> for MatrixView<'a> {
    fn from(matrix: &'a Matrix) -> Self {
        matrix.view()
    }
}

impl<'a> From<&MatrixView<'a>> for MatrixView<'a> {
    fn from(view: &MatrixView<'a>) -> Self {
        *view
    }
}

/// A single row.
impl<'a> From<&'a [f32]> for MatrixView<'a> {
    fn from(row: &'a [f32]) -> Self {
        Self { rows: 1, columns: row.len(), data: row }
    }
}

/// A single row.
impl<'a, const N: usize> From<&'a [f32; N]> for MatrixView<'a> {
    fn from(row: &'a [f32; N]) -> Self {
        row.as_slice().into()
    }
}

/// A single row.
impl<'a> From<&'a Vec<f32>> for MatrixView<'a> {
    fn from(row: &'a Vec<f32>) -> Self {
        row.as_slice().into()
    }
}

/// Gives access to the rows as slices.
macro_rules! rows_of {
    ($type:ty) => {
        impl AsRef<[f32]> for $type {
            fn as_ref(&self) -> &[f32] {
                self.as_slice()
            }
        }

        impl Index<usize> for $type {
            type Output = [f32];

            fn index(&self, row: usize) -> &[f32] {
                self.row(row)
            }
        }

        impl<'a> IntoIterator for &'a $type {
            type Item = &'a [f32];
            type IntoIter = RowIter<'a>;

            fn into_iter(self) -> RowIter<'a> {
                MatrixView::from(self).into_iter()
            }
        }
    };
}
rows_of!(Embeddings);
rows_of!(Matrix);

impl<'a> IntoIterator for MatrixView<'a> {
    type Item = &'a [f32];
    type IntoIter = RowIter<'a>;

    fn into_iter(self) -> RowIter<'a> {
        RowIter { matrix: self, rows: 0..self.rows }
    }
}

/// Iterator over the rows of a matrix or of embeddings.
#[derive(Clone, Debug)]
#[must_use = "iterators are lazy"]
pub struct RowIter<'a> {
    matrix: MatrixView<'a>,
    rows: Range<usize>,
}

impl<'a> Iterator for RowIter<'a> {
    type Item = &'a [f32];

    fn next(&mut self) -> Option<&'a [f32]> {
        self.rows.next().map(|i| self.matrix.row(i))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.rows.size_hint()
    }
}

impl DoubleEndedIterator for RowIter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.rows.next_back().map(|i| self.matrix.row(i))
    }
}

impl ExactSizeIterator for RowIter<'_> {}

impl FusedIterator for RowIter<'_> {}

/// Source of rows in float32, whatever precision they are stored in.
pub(crate) trait RowSource: Sync {
    fn rows(&self) -> usize;

    fn columns(&self) -> usize;

    /// Returns `count` rows from `first` on. It may write them to the buffer.
    fn read<'b>(&'b self, isa: Isa, first: usize, count: usize, buffer: &'b mut Buffer) -> &'b [f32];
}

impl RowSource for MatrixView<'_> {
    fn rows(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> usize {
        self.columns
    }

    fn read<'b>(&'b self, _: Isa, first: usize, count: usize, _: &'b mut Buffer) -> &'b [f32] {
        self.some_rows(first, count).data
    }
}
