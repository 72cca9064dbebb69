//! Rows of numbers.

use crate::error::{Error, Result};
use crate::kernels::Isa;
use crate::kernels::buffer::Buffer;
use crate::vectors::embeddings::Embeddings;

/// A matrix of float32 in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) data: Vec<f32>,
}

impl Matrix {
    /// A matrix of `rows * columns` numbers.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where `data` has another number of them.
    pub fn new(rows: usize, columns: usize, data: Vec<f32>) -> Result<Self> {
        MatrixView::new(rows, columns, &data)?;
        Ok(Self { rows, columns, data })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// One row, `columns` numbers.
    ///
    /// # Panics
    /// As slices do, where there is no row `i`.
    pub fn row(&self, i: usize) -> &[f32] {
        self.view().row(i)
    }

    /// All numbers, row by row.
    pub fn as_slice(&self) -> &[f32] {
        &self.data
    }

    /// All numbers, row by row.
    pub fn into_vec(self) -> Vec<f32> {
        self.data
    }

    /// The same, borrowed.
    pub fn view(&self) -> MatrixView<'_> {
        MatrixView { rows: self.rows, columns: self.columns, data: &self.data }
    }
}

/// A [`Matrix`] whose numbers are borrowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MatrixView<'a> {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) data: &'a [f32],
}

impl<'a> MatrixView<'a> {
    /// A matrix of `rows * columns` numbers.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where `data` has another number of them.
    pub fn new(rows: usize, columns: usize, data: &'a [f32]) -> Result<Self> {
        if rows.checked_mul(columns) == Some(data.len()) {
            return Ok(Self { rows, columns, data });
        }
        let problem = format!("a matrix of {rows} x {columns} can't be made of {} numbers", data.len());
        Err(Error::argument("data", problem))
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// One row, `columns` numbers.
    ///
    /// # Panics
    /// As slices do, where there is no row `i`.
    pub fn row(&self, i: usize) -> &'a [f32] {
        assert!(i < self.rows, "row {i} of a matrix of {} rows", self.rows);
        &self.data[i * self.columns..][..self.columns]
    }

    /// All numbers, row by row.
    pub fn as_slice(&self) -> &'a [f32] {
        self.data
    }

    /// At most `count` rows, from `first` on.
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

/// Rows of numbers, whatever they are made of.
pub(crate) trait Rows: Sync {
    fn rows(&self) -> usize;

    fn columns(&self) -> usize;

    /// `count` rows from `first` on; the buffer is there to be used.
    fn read<'b>(&'b self, isa: Isa, first: usize, count: usize, buffer: &'b mut Buffer) -> &'b [f32];
}

impl Rows for MatrixView<'_> {
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
