//! Binding of [`rushlight::Reranker`] to Python's pairs of texts and numpy's arrays.

use std::collections::BTreeMap;
use std::path::PathBuf;

use numpy::{PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;
use rushlight::{CallOptions, PredictOptions, ScoreActivation};

use crate::arrays::array;
use crate::errors::IntoPython;
use crate::inputs::{Loading, Texts, inputs, texts, truncation};
use crate::observer::{compute, load};
use crate::paths::Folder;
use crate::shared::Shared;
use crate::tokenizer::Tokenizer;

/// Reranker, which the package's own class wraps.
#[pyclass(frozen, module = "rushlight._core")]
pub(crate) struct Reranker {
    model: Shared<rushlight::Reranker>,
}

/// Options of a call of `predict`.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Request {
    prompt: String,
    activation_fn: String,
    apply_softmax: bool,
    fail_on_truncation: bool,
    progress: Option<Py<PyAny>>,
}

#[pymethods]
impl Reranker {
    /// Loads the reranker in a folder.
    #[new]
    #[pyo3(signature = (folder, loading, max_seq_length, prompts, default_prompt_name, activation_fn=None))]
    fn new(
        py: Python<'_>,
        folder: PathBuf,
        loading: Loading,
        max_seq_length: Option<usize>,
        prompts: BTreeMap<String, String>,
        default_prompt_name: Option<String>,
        activation_fn: Option<&str>,
    ) -> PyResult<Self> {
        let activation = activation_fn.map(str::parse::<ScoreActivation>).transpose().into_python(py)?;
        let options = loading.options(prompts, default_prompt_name).into_python(py)?.with_activation(activation);
        let model = load(py, None, options, |options| {
            let mut model = rushlight::Reranker::from_dir_with(folder, options)?;
            max_seq_length.map_or(Ok(()), |tokens| model.set_max_length(tokens))?;
            Ok(model)
        })?;
        Ok(Self { model: Shared::new(model) })
    }

    /// Returns a reranker that shares the weights and has its own settings.
    fn copy(&self) -> Self {
        Self { model: Shared::new(self.model.get()) }
    }

    /// Scores pairs: a float32 array `(n, num_labels)`, the number of truncated pairs, and the longest one's number of
    /// tokens.
    fn predict<'py>(
        &self,
        py: Python<'py>,
        pairs: Texts<'py>,
        request: Request,
    ) -> PyResult<(Bound<'py, PyAny>, usize, usize)> {
        let (model, pairs) = (self.model.get(), texts("inputs", 0, &pairs)?);
        let activation: ScoreActivation = request.activation_fn.parse().into_python(py)?;
        let (scores, truncated) = compute(py, request.progress, |observer| {
            let options = PredictOptions::default()
                .with_prompt(&request.prompt)
                .with_activation(activation)
                .with_apply_softmax(request.apply_softmax)
                .with_truncation(truncation(request.fail_on_truncation))
                .with_observer(observer);
            model.predict_inputs(&inputs(&pairs)?, &options)
        })?;
        let (rows, columns) = (scores.rows(), scores.columns());
        Ok((array(py, scores.into_vec(), rows, columns)?, truncated.count, truncated.longest))
    }

    /// Returns the tokenizer, which is the same for both texts of a pair.
    #[expect(unused_variables, reason = "other kinds have two")]
    fn tokenizer(&self, as_queries: Option<bool>) -> Tokenizer {
        Tokenizer::of(self.model.get().reader())
    }

    /// Saves the model to a folder, with these settings.
    fn save(
        &self,
        py: Python<'_>,
        folder: PathBuf,
        prompts: BTreeMap<String, String>,
        default_prompt_name: Option<String>,
        activation_fn: &str,
    ) -> PyResult<()> {
        let mut model = self.model.get();
        *model.prompts_mut() = prompts;
        model.set_default_prompt_name(default_prompt_name).into_python(py)?;
        model.set_activation(activation_fn.parse().into_python(py)?);
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
    fn num_labels(&self) -> usize {
        self.model.get().num_labels()
    }

    #[getter]
    fn activation_fn(&self) -> String {
        self.model.get().activation().name()
    }

    /// Returns the activation that the folder names. It isn't read if the caller chooses one.
    fn default_activation_fn(&self, py: Python<'_>) -> PyResult<String> {
        self.model.get().default_activation().map(ScoreActivation::name).into_python(py)
    }

    #[getter]
    fn max_seq_length(&self) -> Option<usize> {
        self.model.get().max_length()
    }

    #[setter]
    fn set_max_seq_length(&self, py: Python<'_>, tokens: usize) -> PyResult<()> {
        self.model.change(|model| model.set_max_length(tokens)).into_python(py)
    }
}

/// Ranks scores: indices and scores of the `top_k` highest, the highest first; ties keep their order, and NaN comes last.
#[pyfunction]
pub(crate) fn ranked(
    py: Python<'_>,
    scores: PyReadonlyArray1<'_, f32>,
    top_k: Option<usize>,
) -> PyResult<Vec<(usize, f32)>> {
    let scores = scores.as_slice()?;
    let ranked = compute(py, None, |_| Ok(rushlight::ranked(scores, top_k)))?;
    Ok(ranked.into_iter().map(|ranked| (ranked.index, ranked.score)).collect())
}

/// Takes a softmax over each row of scores, `(n, num_labels)`.
#[pyfunction]
pub(crate) fn softmax<'py>(py: Python<'py>, scores: PyReadonlyArray2<'py, f32>) -> PyResult<Bound<'py, PyAny>> {
    let [rows, columns] = [0, 1].map(|axis| scores.shape()[axis]);
    let mut scores = scores.as_slice()?.to_vec();
    scores.chunks_exact_mut(columns.max(1)).for_each(|row| ScoreActivation::Softmax.apply(row));
    array(py, scores, rows, columns)
}
