//! Similarity, quantization and conversion of numpy arrays.

use numpy::{PyArray1, PyArrayMethods, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;
use rushlight::{
    CallOptions, MatrixView, Precision, QuantizeOptions, QuantizedValues, Similarity,
    vectors::{self, pairwise_similarity},
};

use crate::errors::IntoPython;
use crate::observer::compute;

/// Moves numbers into a numpy array `(rows, columns)`.
pub(crate) fn array<T: numpy::Element>(
    py: Python<'_>,
    data: Vec<T>,
    rows: usize,
    columns: usize,
) -> PyResult<Bound<'_, PyAny>> {
    Ok(PyArray1::from_vec(py, data).reshape([rows, columns])?.into_any())
}

/// Borrows a C-contiguous array as a matrix.
pub(crate) fn view<'a>(array: &'a PyReadonlyArray2<'_, f32>) -> PyResult<MatrixView<'a>> {
    MatrixView::new(array.shape()[0], array.shape()[1], array.as_slice()?).into_python(array.py())
}

/// Returns the similarity of every row of `a` with every row of `b`: float32 `(n, m)`.
#[pyfunction]
pub(crate) fn similarity<'py>(
    py: Python<'py>,
    name: &str,
    a: PyReadonlyArray2<'py, f32>,
    b: PyReadonlyArray2<'py, f32>,
) -> PyResult<Bound<'py, PyAny>> {
    let kind: Similarity = name.parse().into_python(py)?;
    let (a, b) = (view(&a)?, view(&b)?);
    let (rows, columns) = (a.rows(), b.rows());
    let matrix =
        compute(py, None, |observer| vectors::similarity(kind, a, b, &CallOptions::default().with_observer(observer)))?;
    array(py, matrix.into_vec(), rows, columns)
}

/// Returns the similarity of each row of `a` with the same row of `b`: float32 `(n,)`.
#[pyfunction]
pub(crate) fn similarity_pairwise<'py>(
    py: Python<'py>,
    name: &str,
    a: PyReadonlyArray2<'py, f32>,
    b: PyReadonlyArray2<'py, f32>,
) -> PyResult<Bound<'py, PyArray1<f32>>> {
    let kind: Similarity = name.parse().into_python(py)?;
    let (a, b) = (view(&a)?, view(&b)?);
    let scores =
        compute(py, None, |observer| pairwise_similarity(kind, a, b, &CallOptions::default().with_observer(observer)))?;
    Ok(PyArray1::from_vec(py, scores))
}

/// Quantizes embeddings: int8 or uint8 `(n, d)`, or packed bits `(n, ceil(d / 8))`.
///
/// `ranges` is `(2, d)` and `calibration` is `(any, d)`; the caller checks both.
#[pyfunction]
#[pyo3(signature = (embeddings, precision, ranges=None, calibration=None))]
pub(crate) fn quantize<'py>(
    py: Python<'py>,
    embeddings: PyReadonlyArray2<'py, f32>,
    precision: &str,
    ranges: Option<PyReadonlyArray2<'py, f32>>,
    calibration: Option<PyReadonlyArray2<'py, f32>>,
) -> PyResult<Bound<'py, PyAny>> {
    let precision: Precision = precision.parse().into_python(py)?;
    let embeddings = view(&embeddings)?;
    let ranges = ranges.as_ref().map(view).transpose()?;
    let calibration = calibration.as_ref().map(view).transpose()?;
    let quantized = compute(py, None, |observer| {
        let mut options = QuantizeOptions::default().with_observer(observer);
        options.ranges = ranges.map(|ranges| (ranges.row(0), ranges.row(1)));
        options.calibration = calibration.as_ref().map(MatrixView::as_slice);
        vectors::quantize(embeddings, precision, &options)
    })?;
    let (rows, columns) = (embeddings.rows(), quantized.columns);
    match quantized.values {
        QuantizedValues::Float32(values) => array(py, values, rows, columns),
        QuantizedValues::Int8(values) => array(py, values, rows, columns),
        QuantizedValues::Uint8(values) => array(py, values, rows, columns),
    }
}
