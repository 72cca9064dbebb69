//! Binding of several kinds of embeddings from one forward pass, and of their hybrid scores.

use numpy::{PyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use rushlight::{
    CallOptions, EmbeddingKind, HybridEmbeddings, HybridOptions, HybridView, HybridWeights, Role, SparseEmbeddings,
    vectors,
};

use crate::arrays::{array, view};
use crate::inputs::{Text, inputs, truncation};
use crate::multi_vector::arrays;
use crate::observer::compute;
use crate::sparse::{Csr, Given, csr, embeddings};

/// Options of a call of `encode_all`.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Request {
    kinds: Option<Vec<String>>,
    prompt: String,
    role: Option<String>,
    task: Option<String>,
    normalize_embeddings: bool,
    truncate_dim: Option<usize>,
    max_active_dims: Option<usize>,
    fail_on_truncation: bool,
    progress: Option<Py<PyAny>>,
}

/// Dense embeddings `(n, d)`, sparse ones in CSR form with their number of columns, and an array `(tokens, d)` per text; None for kinds that were not
/// asked for. After them, the number of truncated texts, and the longest one's number of tokens.
pub(crate) type Embedded<'py> =
    (Option<Bound<'py, PyAny>>, Option<(Csr<'py>, usize)>, Option<Vec<Bound<'py, PyAny>>>, usize, usize);

/// Embeds texts by several heads.
pub(crate) fn encode_all<'py>(
    py: Python<'py>,
    model: &rushlight::Model,
    texts: &[Text<'_>],
    request: Request,
) -> PyResult<Embedded<'py>> {
    let embeddings = compute(py, request.progress, |observer| {
        let named = |kinds: &Vec<String>| kinds.iter().map(|name| name.parse()).collect::<rushlight::Result<Vec<_>>>();
        let kinds: Option<Vec<EmbeddingKind>> = request.kinds.as_ref().map(named).transpose()?;
        let role = request.role.as_deref().map(str::parse::<Role>).transpose()?;
        let options = HybridOptions::default()
            .with_kinds(kinds.as_deref())
            .with_prompt(&request.prompt)
            .with_role(role)
            .with_task(request.task.as_deref())
            .with_normalize_embeddings(request.normalize_embeddings)
            .with_truncate_dim(request.truncate_dim)
            .with_max_active_dims(request.max_active_dims)
            .with_truncation(truncation(request.fail_on_truncation))
            .with_observer(observer);
        model.encode_all_inputs(&inputs(texts)?, &options)
    })?;
    let HybridEmbeddings { dense, sparse, multi_vector, truncated, .. } = embeddings;
    let dense = dense.map(|dense| {
        let (rows, columns) = (dense.len(), dense.dim());
        array(py, dense.into_vec(), rows, columns)
    });
    let sparse = sparse.map(|sparse| {
        let columns = sparse.dim();
        (csr(py, sparse), columns)
    });
    let multi_vector = multi_vector.map(|texts| arrays(py, texts));
    Ok((dense.transpose()?, sparse, multi_vector.transpose()?, truncated.count, truncated.longest))
}

/// Embeddings from Python: dense ones, sparse ones in CSR form, and an array per text.
type Sides<'py> = (Option<PyReadonlyArray2<'py, f32>>, Option<Given<'py>>, Option<Vec<PyReadonlyArray2<'py, f32>>>);

/// Embeddings of one side. Sparse ones are copied.
struct Side<'py> {
    dense: Option<PyReadonlyArray2<'py, f32>>,
    sparse: Option<SparseEmbeddings>,
    multi_vector: Option<Vec<PyReadonlyArray2<'py, f32>>>,
}

impl<'py> Side<'py> {
    fn new(py: Python<'py>, (dense, sparse, multi_vector): Sides<'py>) -> PyResult<Self> {
        let sparse = sparse.map(|given| embeddings(py, given)).transpose()?;
        Ok(Self { dense, sparse, multi_vector })
    }

    fn view(&self) -> PyResult<HybridView<'_>> {
        Ok(HybridView {
            dense: self.dense.as_ref().map(view).transpose()?,
            sparse: self.sparse.as_ref(),
            multi_vector: self.multi_vector.as_ref().map(|texts| texts.iter().map(view).collect()).transpose()?,
        })
    }
}

/// Weights of dense, sparse and multi-vector scores.
type Weights = Option<(f32, f32, f32)>;

fn weighed(weights: Weights) -> Option<HybridWeights> {
    weights.map(|(dense, sparse, multi_vector)| HybridWeights { dense, sparse, multi_vector })
}

/// Returns the hybrid score of every text of `a` with every text of `b`: float32 `(n, m)`.
#[pyfunction]
pub(crate) fn hybrid_similarity<'py>(
    py: Python<'py>,
    a: Sides<'py>,
    b: Sides<'py>,
    weights: Weights,
) -> PyResult<Bound<'py, PyAny>> {
    let (a, b) = (Side::new(py, a)?, Side::new(py, b)?);
    let (a, b) = (a.view()?, b.view()?);
    let scores = compute(py, None, |observer| {
        vectors::hybrid_similarity(a, b, weighed(weights), &CallOptions::default().with_observer(observer))
    })?;
    let (rows, columns) = (scores.rows(), scores.columns());
    array(py, scores.into_vec(), rows, columns)
}

/// Returns the hybrid score of each text of `a` with the text of `b` at the same index: float32 `(n,)`.
#[pyfunction]
pub(crate) fn hybrid_similarity_pairwise<'py>(
    py: Python<'py>,
    a: Sides<'py>,
    b: Sides<'py>,
    weights: Weights,
) -> PyResult<Bound<'py, PyArray1<f32>>> {
    let (a, b) = (Side::new(py, a)?, Side::new(py, b)?);
    let (a, b) = (a.view()?, b.view()?);
    let scores = compute(py, None, |observer| {
        vectors::hybrid_similarity_pairwise(a, b, weighed(weights), &CallOptions::default().with_observer(observer))
    })?;
    Ok(PyArray1::from_vec(py, scores))
}
