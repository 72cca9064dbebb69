//! Binding of [`rushlight::SparseModel`] to Python's texts and numpy's arrays.

use std::collections::BTreeMap;
use std::path::PathBuf;

use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use rushlight::{CallOptions, Similarity, SparseEmbeddings, SparseOptions, vectors};

use crate::arrays::array;
use crate::errors::IntoPython;
use crate::inputs::{Loading, Texts, inputs, role, texts, truncation};
use crate::observer::{compute, load};
use crate::paths::Folder;
use crate::shared::Shared;
use crate::tokenizer::Tokenizer;

/// Sparse model, which the package's own class wraps.
#[pyclass(frozen, module = "rushlight._core")]
pub(crate) struct SparseModel {
    model: Shared<rushlight::SparseModel>,
}

/// Options of a call of `encode`.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Request {
    prompt: String,
    as_queries: Option<bool>,
    max_active_dims: Option<usize>,
    fail_on_truncation: bool,
    progress: Option<Py<PyAny>>,
}

/// Sparse rows in CSR form: row offsets, columns, values.
pub(crate) type Csr<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<i32>>, Bound<'py, PyArray1<f32>>);

#[pymethods]
impl SparseModel {
    /// Loads the model in a folder.
    #[new]
    fn new(
        py: Python<'_>,
        folder: PathBuf,
        loading: Loading,
        max_seq_length: Option<usize>,
        prompts: BTreeMap<String, String>,
        default_prompt_name: Option<String>,
    ) -> PyResult<Self> {
        let options =
            loading.options(prompts, default_prompt_name).into_python(py)?.with_max_seq_length(max_seq_length);
        let model = load(py, None, options, |options| rushlight::SparseModel::from_dir_with(folder, options))?;
        Ok(Self { model: Shared::new(model) })
    }

    /// Returns a model that shares the weights and has its own settings.
    fn copy(&self) -> Self {
        Self { model: Shared::new(self.model.get()) }
    }

    /// Embeds texts in CSR form: row offsets, int64 `(n + 1,)`, columns, int32, and values, float32; the number of
    /// truncated texts, and the longest one's number of tokens.
    fn encode<'py>(
        &self,
        py: Python<'py>,
        texts_or_pairs: Texts<'py>,
        request: Request,
    ) -> PyResult<(Csr<'py>, usize, usize)> {
        let (model, texts) = (self.model.get(), texts("inputs", 0, &texts_or_pairs)?);
        let embeddings = compute(py, request.progress, |observer| {
            let options = SparseOptions::default()
                .with_prompt(&request.prompt)
                .with_role(request.as_queries.map(role))
                .with_max_active_dims(request.max_active_dims)
                .with_truncation(truncation(request.fail_on_truncation))
                .with_observer(observer);
            model.encode_inputs(&inputs(&texts)?, &options)
        })?;
        let truncated = embeddings.truncated();
        Ok((csr(py, embeddings), truncated.count, truncated.longest))
    }

    /// Decodes embeddings: the tokens of each with their weights, the `top_k` largest first.
    fn decode(&self, py: Python<'_>, given: Given<'_>, top_k: Option<usize>) -> PyResult<Vec<Vec<(String, f32)>>> {
        let (model, embeddings) = (self.model.get(), sorted(py, given)?);
        compute(py, None, |_| Ok((0..embeddings.len()).map(|row| model.decode(&embeddings, row, top_k)).collect()))
    }

    /// Returns the tokenizer of queries, of documents, or of texts without a role.
    fn tokenizer(&self, as_queries: Option<bool>) -> Tokenizer {
        Tokenizer::of(self.model.get().reader(as_queries.map(role)))
    }

    /// Saves the model to a folder, with these settings.
    fn save(
        &self,
        py: Python<'_>,
        folder: PathBuf,
        prompts: BTreeMap<String, String>,
        default_prompt_name: Option<String>,
        similarity_fn_name: &str,
        max_active_dims: Option<usize>,
    ) -> PyResult<()> {
        let mut model = self.model.get();
        *model.prompts_mut() = prompts;
        model.set_default_prompt_name(default_prompt_name).into_python(py)?;
        model.set_similarity_fn(similarity_fn_name.parse().into_python(py)?);
        model.set_max_active_dims(max_active_dims).into_python(py)?;
        compute(py, None, |observer| model.save_with(folder, &CallOptions::default().with_observer(observer)))
    }

    #[getter]
    fn folder(&self) -> Folder {
        Folder(self.model.get().folder().to_path_buf())
    }

    /// Kind that the folder was saved as, if the model was converted.
    #[getter]
    fn converted_from(&self) -> Option<String> {
        self.model.get().converted_from().map(str::to_owned)
    }

    #[getter]
    fn device(&self) -> String {
        self.model.get().device().to_string()
    }

    #[getter]
    fn prompts(&self) -> BTreeMap<String, String> {
        self.model.get().prompts().clone()
    }

    #[getter]
    fn default_prompt_name(&self) -> Option<String> {
        self.model.get().default_prompt_name().map(str::to_owned)
    }

    #[getter]
    fn similarity_fn_name(&self) -> String {
        self.model.get().similarity_fn().to_string()
    }

    #[getter]
    fn max_active_dims(&self) -> Option<usize> {
        self.model.get().max_active_dims()
    }

    #[getter]
    fn embedding_dimension(&self) -> usize {
        self.model.get().embedding_dimension()
    }

    #[getter]
    fn max_seq_length(&self) -> Option<usize> {
        self.model.get().max_seq_length()
    }

    #[setter]
    fn set_max_seq_length(&self, py: Python<'_>, tokens: usize) -> PyResult<()> {
        self.model.change(|model| model.set_max_seq_length(tokens)).into_python(py)
    }
}

/// Moves sparse embeddings into arrays.
pub(crate) fn csr(py: Python<'_>, embeddings: SparseEmbeddings) -> Csr<'_> {
    let (indptr, indices, values) = embeddings.into_parts();
    (PyArray1::from_vec(py, indptr), PyArray1::from_vec(py, indices), PyArray1::from_vec(py, values))
}

/// Sparse embeddings from Python in CSR form: row offsets, columns, values, and the number of columns.
pub(crate) type Given<'py> =
    (PyReadonlyArray1<'py, i64>, PyReadonlyArray1<'py, i32>, PyReadonlyArray1<'py, f32>, usize);

pub(crate) fn embeddings(py: Python<'_>, (indptr, indices, values, dim): Given<'_>) -> PyResult<SparseEmbeddings> {
    let (indptr, indices) = (indptr.as_slice()?.to_vec(), indices.as_slice()?.to_vec());
    SparseEmbeddings::new(indptr, indices, values.as_slice()?.to_vec(), dim).into_python(py)
}

/// Sorts the columns of each row, which other libraries leave in any order.
fn sorted(py: Python<'_>, (indptr, indices, values, dim): Given<'_>) -> PyResult<SparseEmbeddings> {
    let (indptr, mut indices, mut values) =
        (indptr.as_slice()?.to_vec(), indices.as_slice()?.to_vec(), values.as_slice()?.to_vec());
    for bounds in indptr.windows(2) {
        let [start, end] = [bounds[0], bounds[1]].map(|bound| usize::try_from(bound).unwrap_or(usize::MAX));
        let (Some(columns), Some(numbers)) = (indices.get_mut(start..end), values.get_mut(start..end)) else { break };
        let mut row: Vec<_> = columns.iter().copied().zip(numbers.iter().copied()).collect();
        row.sort_by_key(|(column, _)| *column);
        for (i, (column, number)) in row.into_iter().enumerate() {
            (columns[i], numbers[i]) = (column, number);
        }
    }
    SparseEmbeddings::new(indptr, indices, values, dim).into_python(py)
}

/// Returns the similarity of every row of `a` with every row of `b`: float32 `(n, m)`.
#[pyfunction]
pub(crate) fn sparse_similarity<'py>(
    py: Python<'py>,
    name: &str,
    a: Given<'py>,
    b: Given<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let kind: Similarity = name.parse().into_python(py)?;
    let (a, b) = (embeddings(py, a)?, embeddings(py, b)?);
    let scores = compute(py, None, |observer| {
        vectors::sparse_similarity(kind, &a, &b, &CallOptions::default().with_observer(observer))
    })?;
    array(py, scores.into_vec(), a.len(), b.len())
}
