//! Conversions from and to arrays of the crate ndarray.

use ndarray::{Array2, ArrayView2, ShapeBuilder};

use super::embeddings::Embeddings;
use super::similarity::{Matrix, MatrixView};
use crate::error::{Error, Result};

impl<'a> TryFrom<ArrayView2<'a, f32>> for MatrixView<'a> {
    type Error = Error;

    /// # Errors
    /// [`Error::InvalidArgument`] for an array that isn't in standard layout, row by row.
    fn try_from(array: ArrayView2<'a, f32>) -> Result<Self> {
        let (rows, columns) = array.dim();
        let data = array.to_slice().ok_or_else(|| {
            Error::argument("array", "must be in standard layout, row by row; as_standard_layout makes a copy that is")
        })?;
        Self::new(rows, columns, data)
    }
}

impl<'a> From<MatrixView<'a>> for ArrayView2<'a, f32> {
    fn from(matrix: MatrixView<'a>) -> Self {
        let shape = (matrix.rows(), matrix.columns()).strides((matrix.columns(), 1));
        match Self::from_shape(shape, matrix.as_slice()) {
            Ok(array) => array,
            Err(error) => unreachable!("a matrix has its shape: {error}"),
        }
    }
}

/// Converts without a copy.
macro_rules! owned {
    ($type:ty) => {
        impl From<$type> for Array2<f32> {
            fn from(rows: $type) -> Self {
                let view = MatrixView::from(&rows);
                let shape = (view.rows(), view.columns());
                match Self::from_shape_vec(shape, rows.into_vec()) {
                    Ok(array) => array,
                    Err(error) => unreachable!("a matrix has its shape: {error}"),
                }
            }
        }

        impl<'a> From<&'a $type> for ArrayView2<'a, f32> {
            fn from(rows: &'a $type) -> Self {
                MatrixView::from(rows).into()
            }
        }
    };
}
owned!(Embeddings);
owned!(Matrix);

impl From<Array2<f32>> for Matrix {
    /// Copies only an array that isn't in standard layout.
    fn from(array: Array2<f32>) -> Self {
        let (rows, columns) = array.dim();
        if !array.is_standard_layout() {
            return Self { rows, columns, data: array.iter().copied().collect() };
        }
        let (mut data, offset) = array.into_raw_vec_and_offset();
        // A slice of an array keeps the whole array's memory.
        let start = offset.unwrap_or(0);
        data.truncate(start + rows * columns);
        data.drain(..start);
        Self { rows, columns, data }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::{CallOptions, Similarity, vectors};

    #[test]
    fn arrays_and_matrices_are_the_same_numbers() {
        let rows = array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0_f32]];
        let matrix = Matrix::from(rows.clone());
        assert_eq!(matrix.as_slice(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(ArrayView2::from(&matrix), rows);
        assert_eq!(Array2::from(matrix), rows);
        let turned = Matrix::from(rows.clone().reversed_axes());
        assert_eq!((turned.rows(), turned.as_slice()), (3, &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0][..]));
        // A part of a larger array has an offset.
        let part = Matrix::from(rows.slice_move(ndarray::s![1.., ..]));
        assert_eq!(part.as_slice(), [4.0, 5.0, 6.0]);
    }

    #[test]
    fn views_are_compared_or_refused() {
        let rows = array![[1.0, 0.0], [0.0, 2.0_f32]];
        let view = MatrixView::try_from(rows.view()).unwrap();
        let scores = vectors::similarity(Similarity::Dot, view, view, &CallOptions::default()).unwrap();
        assert_eq!(ArrayView2::from(&scores), array![[1.0, 0.0], [0.0, 4.0]]);
        assert!(MatrixView::try_from(rows.t()).is_err());
        let none = Array2::<f32>::zeros((3, 0));
        assert_eq!(MatrixView::try_from(none.view()).unwrap().rows(), 3);
        assert_eq!(ArrayView2::from(MatrixView::new(3, 0, &[]).unwrap()).dim(), (3, 0));
    }
}
