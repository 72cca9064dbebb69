//! Tensors of a file's weights.

use std::ops::Range;
use std::sync::Arc;

use super::file::Contents;

/// A float32 tensor in row-major order. It stays in the file's memory map where the file stores it as such.
#[derive(Clone)]
pub(crate) struct Array {
    pub(crate) shape: Vec<usize>,
    pub(super) data: Data,
}

#[derive(Clone)]
pub(super) enum Data {
    Owned(Arc<[f32]>),
    Mapped(Arc<Contents>, Range<usize>),
}

impl Array {
    pub(crate) fn new(shape: Vec<usize>, data: Vec<f32>) -> Self {
        debug_assert_eq!(shape.iter().product::<usize>(), data.len());
        Self { shape, data: Data::Owned(data.into()) }
    }

    pub(crate) fn zeros(shape: &[usize]) -> Self {
        Self::new(shape.to_vec(), vec![0.0; shape.iter().product()])
    }

    pub(crate) fn as_slice(&self) -> &[f32] {
        match &self.data {
            Data::Owned(data) => data,
            // `Entry::float32` checked the alignment.
            Data::Mapped(file, range) => bytemuck::cast_slice(&file[range.clone()]),
        }
    }

    /// Releases the memory of the file's pages that were read. Another access reads them from the file again.
    pub(crate) fn forget_pages(&self) {
        if let Data::Mapped(file, range) = &self.data {
            file.forget_pages(range);
        }
    }

    /// Applies a function to every number.
    pub(crate) fn map(&self, function: impl Fn(f32) -> f32) -> Self {
        Self::new(self.shape.clone(), self.as_slice().iter().map(|x| function(*x)).collect())
    }

    /// Returns some of the rows.
    pub(crate) fn rows(&self, rows: Range<usize>) -> Self {
        let width: usize = self.shape[1..].iter().product();
        let shape = std::iter::once(rows.len()).chain(self.shape[1..].iter().copied()).collect();
        let numbers = rows.start * width..rows.end * width;
        match &self.data {
            Data::Owned(data) => Self::new(shape, data[numbers].to_vec()),
            Data::Mapped(file, bytes) => {
                let at = |number: usize| bytes.start + number * size_of::<f32>();
                Self { shape, data: Data::Mapped(Arc::clone(file), at(numbers.start)..at(numbers.end)) }
            }
        }
    }

    /// Returns one of the items along the first dimension.
    pub(super) fn item(&self, index: usize) -> Self {
        Self { shape: self.shape[1..].to_vec(), ..self.rows(index..index + 1) }
    }

    /// Returns the transpose of a matrix.
    pub(crate) fn transposed(&self) -> Self {
        let (rows, columns) = (self.shape[0], self.shape[1]);
        let numbers = self.as_slice();
        let column = |column: usize| (0..rows).map(move |row| numbers[row * columns + column]);
        Self::new(vec![columns, rows], (0..columns).flat_map(column).collect())
    }

    /// Stacks the rows of arrays of one width.
    pub(crate) fn stack(arrays: &[Self]) -> Self {
        let rows = arrays.iter().map(|array| array.shape[0]).sum();
        let shape = std::iter::once(rows).chain(arrays[0].shape[1..].iter().copied()).collect();
        Self::new(shape, arrays.iter().flat_map(|array| array.as_slice().iter().copied()).collect())
    }
}
