//! Searching and mining, on numpy arrays.

use numpy::PyReadonlyArray2;
use pyo3::prelude::*;

use super::arrays::{array, view};
use super::errors::IntoPython;
use super::observer::compute;
use crate::similarity::{Run, Similarity};
use crate::util;

/// The `top_k` rows of `corpus` most similar to each query: ids, int64, and scores, float32, both `(n, min(top_k, m))`.
#[pyfunction]
pub(super) fn semantic_search<'py>(
    py: Python<'py>,
    name: &str,
    queries: PyReadonlyArray2<'py, f32>,
    corpus: PyReadonlyArray2<'py, f32>,
    top_k: usize,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let kind: Similarity = name.parse().into_python(py)?;
    let (queries, corpus) = (view(&queries)?, view(&corpus)?);
    let (rows, columns) = (queries.rows(), top_k.min(corpus.rows()));
    let (ids, scores) = compute(py, None, |observer| {
        let hits = util::search(kind, queries, corpus, top_k, Run::watched_by(observer)?)?;
        Ok(hits.iter().flatten().map(|hit| (hit.corpus_id as i64, hit.score)).unzip())
    })?;
    Ok((array(py, ids, rows, columns)?, array(py, scores, rows, columns)?))
}

/// The most similar pairs of rows: `(score, i, j)`, the best first.
#[pyfunction]
pub(super) fn paraphrase_mining<'py>(
    py: Python<'py>,
    name: &str,
    embeddings: PyReadonlyArray2<'py, f32>,
    max_pairs: usize,
    top_k: usize,
) -> PyResult<Vec<(f32, usize, usize)>> {
    let kind: Similarity = name.parse().into_python(py)?;
    let rows = view(&embeddings)?;
    let pairs = compute(py, None, |observer| util::mine(kind, rows, max_pairs, top_k, Run::watched_by(observer)?))?;
    Ok(pairs.into_iter().map(|pair| (pair.score, pair.i, pair.j)).collect())
}

/// Groups of similar rows: lists of ids, the largest first. `progress` is told of rows, `batch_size` at a time.
#[pyfunction]
pub(super) fn community_detection<'py>(
    py: Python<'py>,
    embeddings: PyReadonlyArray2<'py, f32>,
    threshold: f32,
    min_community_size: usize,
    batch_size: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Vec<Vec<usize>>> {
    let rows = view(&embeddings)?;
    compute(py, progress, |observer| {
        util::communities(rows, threshold, min_community_size, batch_size, Run::watched_by(observer)?)
    })
}

/// Each row over its L2 norm: float32 `(n, d)`.
#[pyfunction]
pub(super) fn normalize_embeddings<'py>(
    py: Python<'py>,
    embeddings: PyReadonlyArray2<'py, f32>,
) -> PyResult<Bound<'py, PyAny>> {
    let rows = view(&embeddings)?;
    let unit = compute(py, None, |observer| util::normalize(rows, Run::watched_by(observer)?))?;
    array(py, unit.into_vec(), rows.rows(), rows.columns())
}
