//! Search and mining on numpy arrays.

use numpy::{PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;
use rushlight::{
    BinaryView, CallOptions, CommunityOptions, Int8View, MiningOptions, Precision, QuantizedBytes, SearchOptions,
    Similarity, vectors,
};

use crate::arrays::{array, view};
use crate::errors::IntoPython;
use crate::observer::compute;

/// Embeddings to search. `ranges` is `(2, d)`, for int8 and uint8 only; the caller checks the shapes.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Corpus<'py> {
    values: Bound<'py, PyAny>,
    precision: String,
    ranges: Option<PyReadonlyArray2<'py, f32>>,
}

/// Borrowed arrays of a [`Corpus`].
enum Rows<'py> {
    Float32(PyReadonlyArray2<'py, f32>),
    Signed(PyReadonlyArray2<'py, i8>, Ranges<'py>),
    Unsigned(PyReadonlyArray2<'py, u8>, Ranges<'py>),
}

/// Ranges of int8 or uint8 codes; packed bits have none.
type Ranges<'py> = Option<PyReadonlyArray2<'py, f32>>;

impl<'py> Corpus<'py> {
    /// Borrows the array by its precision. Trying one type after another could swallow a Ctrl-C while PyO3 formats the
    /// error of a failed try.
    fn read(self) -> PyResult<Rows<'py>> {
        let Self { values, precision, ranges } = self;
        let precision: Precision = precision.parse().into_python(values.py())?;
        Ok(match precision {
            Precision::Float32 => Rows::Float32(values.extract()?),
            Precision::Int8 => Rows::Signed(values.extract()?, ranges),
            Precision::Uint8 => Rows::Unsigned(values.extract()?, ranges),
            Precision::Binary => Rows::Signed(values.extract()?, None),
            Precision::Ubinary => Rows::Unsigned(values.extract()?, None),
        })
    }
}

impl Rows<'_> {
    fn py(&self) -> Python<'_> {
        match self {
            Self::Float32(rows) => rows.py(),
            Self::Signed(rows, _) => rows.py(),
            Self::Unsigned(rows, _) => rows.py(),
        }
    }

    /// Returns the corpus for a search, with `dim` dimensions.
    fn view(&self, dim: usize) -> PyResult<vectors::Corpus<'_>> {
        let py = self.py();
        let (bytes, rows, ranges): (QuantizedBytes<'_>, _, _) = match self {
            Self::Float32(rows) => return Ok(view(rows)?.into()),
            Self::Signed(rows, ranges) => (rows.as_slice()?.into(), rows.shape()[0], ranges),
            Self::Unsigned(rows, ranges) => (rows.as_slice()?.into(), rows.shape()[0], ranges),
        };
        let Some(ranges) = ranges else { return Ok(BinaryView::new(rows, dim, bytes).into_python(py)?.into()) };
        let ranges = view(ranges)?;
        Ok(Int8View::new(rows, (ranges.row(0), ranges.row(1)), bytes).into_python(py)?.into())
    }
}

/// Finds the `top_k` rows of `corpus` most similar to each query: ids, int64, and scores, float32, both
/// `(n, min(top_k, m))`.
///
/// With `candidates`, the search finds that many first, and rescores them with the rows of another corpus.
#[pyfunction]
#[pyo3(signature = (name, queries, corpus, top_k, candidates=None))]
pub(crate) fn semantic_search<'py>(
    py: Python<'py>,
    name: &str,
    queries: PyReadonlyArray2<'py, f32>,
    corpus: Corpus<'py>,
    top_k: usize,
    candidates: Option<(usize, Corpus<'py>)>,
) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let kind: Similarity = name.parse().into_python(py)?;
    let queries = view(&queries)?;
    let corpus = corpus.read()?;
    let corpus = corpus.view(queries.columns())?;
    let candidates = candidates.map(|(count, rows)| rows.read().map(|rows| (count, rows))).transpose()?;
    let candidates = candidates.as_ref().map(|(count, rows)| Ok::<_, PyErr>((*count, rows.view(queries.columns())?)));
    let candidates = candidates.transpose()?;
    let (columns, ids, scores) = compute(py, None, |observer| {
        let options = SearchOptions::default().with_top_k(top_k).with_similarity(kind).with_observer(observer);
        let hits = match candidates {
            None => vectors::semantic_search(queries, corpus, &options)?,
            Some((count, rows)) => {
                let found = vectors::semantic_search(queries, corpus, &options.with_top_k(count))?;
                vectors::rescore(queries, &found, rows, &options)?
            }
        };
        let count = hits.iter().map(Vec::len).sum();
        let (mut ids, mut scores) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for hit in hits.iter().flatten() {
            ids.push(hit.corpus_id as i64);
            scores.push(hit.score);
        }
        Ok((ids.len().checked_div(queries.rows()).unwrap_or(0), ids, scores))
    })?;
    Ok((array(py, ids, queries.rows(), columns)?, array(py, scores, queries.rows(), columns)?))
}

/// Finds the most similar pairs of rows: `(score, i, j)`, the best first.
#[pyfunction]
pub(crate) fn paraphrase_mining<'py>(
    py: Python<'py>,
    name: &str,
    embeddings: PyReadonlyArray2<'py, f32>,
    max_pairs: usize,
    top_k: usize,
) -> PyResult<Vec<(f32, usize, usize)>> {
    let kind: Similarity = name.parse().into_python(py)?;
    let rows = view(&embeddings)?;
    let pairs = compute(py, None, |observer| {
        let options = MiningOptions::default().with_max_pairs(max_pairs).with_top_k(top_k).with_similarity(kind);
        let options = options.with_observer(observer);
        vectors::paraphrase_mining_embeddings(rows, &options)
    })?;
    Ok(pairs.into_iter().map(|pair| (pair.score, pair.i, pair.j)).collect())
}

/// Finds groups of similar rows: lists of ids, the largest first. `progress` gets the number of rows, every
/// `batch_size`.
#[pyfunction]
pub(crate) fn community_detection<'py>(
    py: Python<'py>,
    embeddings: PyReadonlyArray2<'py, f32>,
    threshold: f32,
    min_community_size: usize,
    batch_size: usize,
    progress: Option<Py<PyAny>>,
) -> PyResult<Vec<Vec<usize>>> {
    let rows = view(&embeddings)?;
    compute(py, progress, |observer| {
        let options = CommunityOptions::default()
            .with_threshold(threshold)
            .with_min_community_size(min_community_size)
            .with_batch_size(batch_size)
            .with_observer(observer);
        vectors::community_detection(rows, &options)
    })
}

/// Divides each row by its L2 norm: float32 `(n, d)`.
#[pyfunction]
pub(crate) fn normalize_embeddings<'py>(
    py: Python<'py>,
    embeddings: PyReadonlyArray2<'py, f32>,
) -> PyResult<Bound<'py, PyAny>> {
    let rows = view(&embeddings)?;
    let unit = compute(py, None, |observer| {
        vectors::normalize_embeddings(rows, &CallOptions::default().with_observer(observer))
    })?;
    array(py, unit.into_vec(), rows.rows(), rows.columns())
}
