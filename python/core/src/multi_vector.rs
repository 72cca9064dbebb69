//! Binding of [`rushlight::MultiVectorModel`] to Python's texts and numpy's arrays.

use std::collections::BTreeMap;
use std::path::PathBuf;

use numpy::{PyArray1, PyReadonlyArray2};
use pyo3::prelude::*;
use rushlight::{CallOptions, MultiVectorOptions, MultiVectorSimilarity, vectors};

use crate::arrays::{array, view};
use crate::errors::IntoPython;
use crate::inputs::{Loading, Texts, inputs, role, texts, truncation};
use crate::observer::{compute, load};
use crate::paths::Folder;
use crate::shared::Shared;
use crate::tokenizer::Tokenizer;

/// Late-interaction model, which the package's own class wraps.
#[pyclass(frozen, module = "rushlight._core")]
pub(crate) struct MultiVectorModel {
    model: Shared<rushlight::MultiVectorModel>,
}

/// Options of a call of `encode`.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Request {
    prompt: String,
    as_queries: bool,
    fail_on_truncation: bool,
    progress: Option<Py<PyAny>>,
}

/// One array per text, the number of truncated texts, and the longest one's number of tokens.
type Embedded<'py> = (Vec<Bound<'py, PyAny>>, usize, usize);

#[pymethods]
impl MultiVectorModel {
    /// Loads the model in a folder. `max_seq_length` limits documents.
    #[new]
    fn new(
        py: Python<'_>,
        folder: PathBuf,
        loading: Loading,
        max_seq_length: Option<usize>,
        prompts: BTreeMap<String, String>,
        default_prompt_name: Option<String>,
    ) -> PyResult<Self> {
        let options = loading.options(prompts, default_prompt_name).into_python(py)?;
        let model = load(py, None, options, |options| {
            let mut model = rushlight::MultiVectorModel::from_dir_with(folder, options)?;
            max_seq_length.map_or(Ok(()), |tokens| model.set_document_length(tokens))?;
            Ok(model)
        })?;
        Ok(Self { model: Shared::new(model) })
    }

    /// Returns a model that shares the weights and has its own settings.
    fn copy(&self) -> Self {
        Self { model: Shared::new(self.model.get()) }
    }

    /// Embeds queries or documents: one float32 array `(tokens, embedding_dimension)` per text, the number of truncated
    /// texts, and the longest one's number of tokens.
    fn encode<'py>(&self, py: Python<'py>, texts_or_pairs: Texts<'py>, request: Request) -> PyResult<Embedded<'py>> {
        let (model, texts) = (self.model.get(), texts("inputs", 0, &texts_or_pairs)?);
        let (embeddings, truncated) = compute(py, request.progress, |observer| {
            let options = MultiVectorOptions::default()
                .with_prompt(&request.prompt)
                .with_truncation(truncation(request.fail_on_truncation))
                .with_observer(observer);
            model.encode_inputs(&inputs(&texts)?, role(request.as_queries), &options)
        })?;
        Ok((arrays(py, embeddings)?, truncated.count, truncated.longest))
    }

    /// Returns the tokenizer of queries, of documents, or of texts without a role.
    fn tokenizer(&self, as_queries: Option<bool>) -> Tokenizer {
        Tokenizer::of(self.model.get().reader(role(as_queries == Some(true))))
    }

    /// Saves the model to a folder, with these settings.
    fn save(
        &self,
        py: Python<'_>,
        folder: PathBuf,
        prompts: BTreeMap<String, String>,
        default_prompt_name: Option<String>,
        similarity_fn_name: &str,
    ) -> PyResult<()> {
        let mut model = self.model.get();
        *model.prompts_mut() = prompts;
        model.set_default_prompt_name(default_prompt_name).into_python(py)?;
        model.set_similarity_fn(similarity_fn_name.parse().into_python(py)?);
        compute(py, None, |observer| model.save_with(folder, &CallOptions::default().with_observer(observer)))
    }

    #[getter]
    fn folder(&self) -> Folder {
        Folder(self.model.get().folder().to_path_buf())
    }

    /// True if the folder is one of sentence embeddings, with a head for this kind in a file of its own.
    #[getter]
    fn is_of_sentence_model(&self) -> bool {
        self.model.get().is_of_sentence_model()
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
    fn embedding_dimension(&self) -> usize {
        self.model.get().embedding_dimension()
    }

    #[getter]
    fn query_length(&self) -> Option<usize> {
        self.model.get().query_length()
    }

    /// Maximum number of tokens per document.
    #[getter]
    fn max_seq_length(&self) -> Option<usize> {
        self.model.get().document_length()
    }

    #[setter]
    fn set_max_seq_length(&self, py: Python<'_>, tokens: usize) -> PyResult<()> {
        self.model.change(|model| model.set_document_length(tokens)).into_python(py)
    }
}

/// Moves matrices into arrays.
pub(crate) fn arrays(py: Python<'_>, matrices: Vec<rushlight::Matrix>) -> PyResult<Vec<Bound<'_, PyAny>>> {
    let to_array = |matrix: rushlight::Matrix| {
        let (rows, columns) = (matrix.rows(), matrix.columns());
        array(py, matrix.into_vec(), rows, columns)
    };
    matrices.into_iter().map(to_array).collect()
}

/// Returns the score of every query with every document: float32 `(n, m)`.
#[pyfunction]
pub(crate) fn maxsim<'py>(
    py: Python<'py>,
    name: &str,
    queries: Vec<PyReadonlyArray2<'py, f32>>,
    documents: Vec<PyReadonlyArray2<'py, f32>>,
) -> PyResult<Bound<'py, PyAny>> {
    let kind: MultiVectorSimilarity = name.parse().into_python(py)?;
    let queries = queries.iter().map(view).collect::<PyResult<Vec<_>>>()?;
    let documents = documents.iter().map(view).collect::<PyResult<Vec<_>>>()?;
    let scores = compute(py, None, |observer| {
        vectors::maxsim(kind, &queries, &documents, &CallOptions::default().with_observer(observer))
    })?;
    array(py, scores.into_vec(), queries.len(), documents.len())
}

/// Returns the score of each query with the document at the same index: float32 `(n,)`.
#[pyfunction]
pub(crate) fn maxsim_pairwise<'py>(
    py: Python<'py>,
    name: &str,
    queries: Vec<PyReadonlyArray2<'py, f32>>,
    documents: Vec<PyReadonlyArray2<'py, f32>>,
) -> PyResult<Bound<'py, PyArray1<f32>>> {
    let kind: MultiVectorSimilarity = name.parse().into_python(py)?;
    let queries = queries.iter().map(view).collect::<PyResult<Vec<_>>>()?;
    let documents = documents.iter().map(view).collect::<PyResult<Vec<_>>>()?;
    let scores = compute(py, None, |observer| {
        vectors::maxsim_pairwise(kind, &queries, &documents, &CallOptions::default().with_observer(observer))
    })?;
    Ok(PyArray1::from_vec(py, scores))
}
