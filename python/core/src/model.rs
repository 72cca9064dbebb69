//! Binding of [`rushlight::Model`] to Python's texts and numpy's arrays.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::PyDict;
use rushlight::{
    BackboneOptions, CallOptions, ChunkOptions, Device, DevicePool, EncodeOptions, Lookahead, Role, StaticRule,
};

use crate::arrays::array;
use crate::errors::IntoPython;
use crate::hybrid;
use crate::inputs::{Loading, Texts, inputs, role, texts, texts_or_images, truncation};
use crate::observer::{Watchers, compute, compute_watched, load};
use crate::paths::Folder;
use crate::shared::Shared;
use crate::tokenizer::Tokenizer;

/// Model, which the package's own class wraps.
#[pyclass(frozen, module = "rushlight._core")]
pub(crate) struct Model {
    model: Shared<rushlight::Model>,
}

/// Options of a call of `encode`.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Request {
    prompt: String,
    role: Option<String>,
    task: Option<String>,
    normalize_embeddings: bool,
    truncate_dim: Option<usize>,
    fail_on_truncation: bool,
    progress: Option<Py<PyAny>>,
    poll: Option<Py<PyAny>>,
}

impl Request {
    fn watchers(&self, py: Python<'_>) -> Watchers {
        let own = |callable: &Option<Py<PyAny>>| callable.as_ref().map(|callable| callable.clone_ref(py));
        Watchers { progress: own(&self.progress), poll: own(&self.poll) }
    }

    fn options(&self) -> rushlight::Result<EncodeOptions<'_>> {
        let role = self.role.as_deref().map(str::parse::<Role>).transpose()?;
        Ok(EncodeOptions::default()
            .with_prompt(&self.prompt)
            .with_role(role)
            .with_task(self.task.as_deref())
            .with_normalize_embeddings(self.normalize_embeddings)
            .with_truncate_dim(self.truncate_dim)
            .with_truncation(truncation(self.fail_on_truncation)))
    }
}

/// Modules of an assembled model, beside its transformer.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
struct Assembly {
    pooling: Vec<String>,
    dense: Vec<PathBuf>,
    normalize: bool,
    num_hidden_layers: Option<usize>,
}

impl Assembly {
    fn typed(self) -> rushlight::Result<BackboneOptions> {
        let Self { pooling, dense, normalize, num_hidden_layers } = self;
        let pooling = pooling.iter().map(|name| name.parse()).collect::<rushlight::Result<Vec<_>>>()?;
        Ok(BackboneOptions::default()
            .with_pooling(pooling)
            .with_dense(dense)
            .with_normalize(normalize)
            .with_num_hidden_layers(num_hidden_layers))
    }
}

/// Stream of chunks of texts. The next chunk is tokenized while the current one is computed.
#[pyclass(frozen, module = "rushlight._core")]
pub(crate) struct Stream {
    model: rushlight::Model,
    request: Request,
    ahead: Mutex<Lookahead>,
}

#[pymethods]
impl Stream {
    /// Takes the next chunk and embeds the chunk before it, like `Model.encode`. `first` is the index of the next
    /// chunk's first text. The first step returns no rows; a step without texts returns those of the last chunk.
    fn step<'py>(
        &self,
        py: Python<'py>,
        texts_or_pairs: Texts<'py>,
        first: usize,
    ) -> PyResult<(Bound<'py, PyAny>, usize, usize)> {
        let texts = texts_or_images("inputs", first, &texts_or_pairs, self.model.embeds_images())?;
        let embeddings = compute_watched(py, self.request.watchers(py), |observer| {
            let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
            let options = self.request.options()?.with_observer(observer);
            self.model.encode_ahead(&mut ahead, &inputs(&texts)?, &options)
        })?;
        embedded(py, embeddings)
    }
}

/// Converts embeddings: an array `(n, d)`, the number of truncated texts, and the longest one's number of tokens.
fn embedded(py: Python<'_>, embeddings: rushlight::Embeddings) -> PyResult<(Bound<'_, PyAny>, usize, usize)> {
    let (rows, columns, truncated) = (embeddings.len(), embeddings.dim(), embeddings.truncated());
    Ok((array(py, embeddings.into_vec(), rows, columns)?, truncated.count, truncated.longest))
}

fn parsed(devices: &[String]) -> rushlight::Result<Vec<Device>> {
    devices.iter().map(|device| device.parse()).collect()
}

impl Model {
    /// Makes a pool with one worker per device, and loads the model on each device that lacks it.
    fn pool(&self, py: Python<'_>, devices: &[Device]) -> PyResult<DevicePool> {
        compute(py, None, |observer| {
            DevicePool::new_with(&self.model.get(), devices, &CallOptions::default().with_observer(observer))
        })
    }
}

#[pymethods]
impl Model {
    /// Loads the model in a folder, or assembles one from the folder's transformer.
    #[new]
    #[pyo3(signature = (folder, loading, max_seq_length, prompts, default_prompt_name, assembly=None, static_rule=None))]
    #[expect(clippy::too_many_arguments, reason = "those of Python's constructor")]
    fn new(
        py: Python<'_>,
        folder: PathBuf,
        loading: Loading,
        max_seq_length: Option<usize>,
        prompts: BTreeMap<String, String>,
        default_prompt_name: Option<String>,
        assembly: Option<Assembly>,
        static_rule: Option<&str>,
    ) -> PyResult<Self> {
        let static_rule: Option<StaticRule> = static_rule.map(str::parse).transpose().into_python(py)?;
        let options = loading
            .options(prompts, default_prompt_name)
            .into_python(py)?
            .with_max_seq_length(max_seq_length)
            .with_static_rule(static_rule);
        let assembly = assembly.map(Assembly::typed).transpose().into_python(py)?;
        let model = load(py, None, options, |options| match &assembly {
            Some(assembly) => rushlight::Model::from_backbone_dir(folder, assembly, options),
            None => rushlight::Model::from_dir_with(folder, options),
        })?;
        Ok(Self { model: Shared::new(model) })
    }

    /// Returns a model that shares the weights and has its own settings.
    fn copy(&self) -> Self {
        Self { model: Shared::new(self.model.get()) }
    }

    /// Returns the tokenizer of queries, of documents, or of texts without a role.
    fn tokenizer(&self, as_queries: Option<bool>) -> Tokenizer {
        Tokenizer::of(self.model.get().reader(as_queries.map(role)))
    }

    /// Embeds texts: a float32 array `(n, d)`, the number of truncated texts, and the longest one's number of tokens.
    fn encode<'py>(
        &self,
        py: Python<'py>,
        texts_or_pairs: Texts<'py>,
        request: Request,
    ) -> PyResult<(Bound<'py, PyAny>, usize, usize)> {
        let model = self.model.get();
        let texts = texts_or_images("inputs", 0, &texts_or_pairs, model.embeds_images())?;
        let embeddings = compute_watched(py, request.watchers(py), |observer| {
            model.encode_inputs(&inputs(&texts)?, &request.options()?.with_observer(observer))
        })?;
        embedded(py, embeddings)
    }

    /// Loads the model on each of the devices that lack it.
    fn load_on(&self, py: Python<'_>, devices: Vec<String>) -> PyResult<()> {
        let devices = parsed(&devices).into_python(py)?;
        self.pool(py, &devices).map(|_| ())
    }

    /// Runs [`Model::encode`] with one worker per device, in chunks of texts.
    fn encode_sharded<'py>(
        &self,
        py: Python<'py>,
        texts_or_pairs: Texts<'py>,
        request: Request,
        devices: Vec<String>,
        chunk_size: Option<usize>,
    ) -> PyResult<(Bound<'py, PyAny>, usize, usize)> {
        let devices = parsed(&devices).into_python(py)?;
        let pool = self.pool(py, &devices)?;
        let texts = texts_or_images("inputs", 0, &texts_or_pairs, self.model.get().embeds_images())?;
        let embeddings = compute_watched(py, request.watchers(py), |observer| {
            let options = request.options()?.with_observer(observer);
            pool.encode_inputs(&inputs(&texts)?, &options, chunk_size)
        })?;
        embedded(py, embeddings)
    }

    /// Starts a stream of texts.
    fn stream(&self, request: Request) -> Stream {
        Stream { model: self.model.get(), request, ahead: Mutex::default() }
    }

    /// Embeds texts: a dict of arrays per text, and each text's number of tokens before truncation.
    fn encode_tokens<'py>(
        &self,
        py: Python<'py>,
        texts_or_pairs: Texts<'py>,
        request: Request,
    ) -> PyResult<(Vec<Bound<'py, PyDict>>, Vec<usize>)> {
        let model = self.model.get();
        let texts = texts_or_images("inputs", 0, &texts_or_pairs, model.embeds_images())?;
        let encodings = compute_watched(py, request.watchers(py), |observer| {
            model.encode_tokens(&inputs(&texts)?, &request.options()?.with_observer(observer))
        })?;
        let dict = |encoding: rushlight::TokenEncoding| {
            let (dict, tokens, hidden) = (PyDict::new(py), encoding.input_ids.len(), model.hidden_size());
            dict.set_item("input_ids", ids(py, encoding.input_ids))?;
            dict.set_item("attention_mask", ids(py, vec![1; tokens]))?;
            if let Some(types) = encoding.token_type_ids {
                dict.set_item("token_type_ids", ids(py, types))?;
            }
            dict.set_item("token_embeddings", array(py, encoding.token_embeddings, tokens, hidden)?)?;
            dict.set_item("sentence_embedding", PyArray1::from_vec(py, encoding.sentence_embedding))?;
            Ok(dict)
        };
        let lengths = encodings.iter().map(|encoding| encoding.full_length).collect();
        Ok((encodings.into_iter().map(dict).collect::<PyResult<_>>()?, lengths))
    }

    /// Embeds texts by several heads in one forward pass; see `hybrid::Embedded`.
    fn encode_all<'py>(
        &self,
        py: Python<'py>,
        texts_or_pairs: Texts<'py>,
        request: hybrid::Request,
    ) -> PyResult<hybrid::Embedded<'py>> {
        hybrid::encode_all(py, &self.model.get(), &texts("inputs", 0, &texts_or_pairs)?, request)
    }

    /// Returns true if the model embeds images, too.
    #[getter]
    fn embeds_images(&self) -> bool {
        self.model.get().embeds_images()
    }

    /// Names of the kinds of embeddings that the model's heads give.
    #[getter]
    fn embedding_kinds(&self) -> Vec<&'static str> {
        self.model.get().embedding_kinds().into_iter().map(rushlight::EmbeddingKind::name).collect()
    }

    /// Embeds the chunks of long texts after one pass over each text: an array `(chunks, d)` per text.
    fn encode_late_chunks<'py>(
        &self,
        py: Python<'py>,
        texts: Vec<PyBackedStr>,
        max_tokens: Option<usize>,
        overlap: usize,
        request: Request,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let model = self.model.get();
        let embeddings = compute_watched(py, request.watchers(py), |observer| {
            let chunks =
                ChunkOptions::default().with_max_tokens(max_tokens).with_overlap(overlap).with_observer(observer);
            model.encode_late_chunks(&texts, &chunks, &request.options()?.with_observer(observer))
        })?;
        embeddings.into_iter().map(|rows| Ok(embedded(py, rows)?.0)).collect()
    }

    /// Splits a text into chunks that fit the model after the prompt. Returns the start and end of each, in characters.
    fn chunk(
        &self,
        py: Python<'_>,
        text: PyBackedStr,
        max_tokens: Option<usize>,
        overlap: usize,
        prompt: &str,
        role: Option<&str>,
    ) -> PyResult<Vec<(usize, usize)>> {
        let role = role.map(str::parse).transpose().into_python(py)?;
        let reader = self.model.get().reader(role);
        let chunks = compute(py, None, |observer| {
            let options = ChunkOptions::default().with_max_tokens(max_tokens).with_overlap(overlap).with_prompt(prompt);
            reader.chunk(&text, &options.with_observer(observer))
        })?;
        // Both ascend from chunk to chunk, so each character is counted once.
        let counted = |bytes: &mut dyn Iterator<Item = usize>| {
            let characters = bytes.scan((0, 0), |(before, count), at| {
                *count += text[*before..at].chars().count();
                *before = at;
                Some(*count)
            });
            characters.collect::<Vec<_>>()
        };
        let starts = counted(&mut chunks.iter().map(|chunk| chunk.start));
        Ok(starts.into_iter().zip(counted(&mut chunks.iter().map(|chunk| chunk.end))).collect())
    }

    /// Saves the model to a folder, with these settings.
    fn save(
        &self,
        py: Python<'_>,
        folder: PathBuf,
        prompts: BTreeMap<String, String>,
        default_prompt_name: Option<String>,
        similarity_fn_name: &str,
        truncate_dim: Option<usize>,
    ) -> PyResult<()> {
        let mut model = self.model.get();
        *model.prompts_mut() = prompts;
        model.set_default_prompt_name(default_prompt_name).into_python(py)?;
        model.set_similarity_fn(similarity_fn_name.parse().into_python(py)?);
        model.set_truncate_dim(truncate_dim).into_python(py)?;
        compute(py, None, |observer| model.save_with(folder, &CallOptions::default().with_observer(observer)))
    }

    #[getter]
    fn folder(&self) -> Folder {
        Folder(self.model.get().folder().to_path_buf())
    }

    /// Returns true if the folder lists its modules. A folder without a list means mean pooling.
    #[getter]
    fn has_modules(&self) -> bool {
        self.model.get().lists_modules()
    }

    /// True if queries take another route through the modules than documents.
    #[getter]
    fn has_routes(&self) -> bool {
        self.model.get().has_routes()
    }

    /// Tasks that the model has an adapter for.
    #[getter]
    fn tasks(&self) -> Vec<String> {
        self.model.get().tasks().to_vec()
    }

    /// Returns the task of a role's texts, if the model has it.
    fn task_of(&self, py: Python<'_>, role: &str) -> PyResult<Option<&'static str>> {
        Ok(self.model.get().task_of(role.parse().into_python(py)?))
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
    fn truncate_dim(&self) -> Option<usize> {
        self.model.get().truncate_dim()
    }

    fn set_pooling_include_prompt(&self, include_prompt: bool) {
        self.model.change(|model| model.set_pooling_include_prompt(include_prompt));
    }

    /// Number of columns of an embedding, before truncation.
    #[getter]
    fn embedding_dimension(&self) -> usize {
        let mut model = self.model.get();
        // Only a limit of 0 can fail.
        let _ = model.set_truncate_dim(None);
        model.embedding_dimension()
    }

    #[getter]
    fn max_seq_length(&self) -> Option<usize> {
        self.model.get().max_seq_length()
    }

    /// Returns the maximum number of tokens per text in a role.
    fn max_seq_length_of(&self, py: Python<'_>, role: Option<&str>) -> PyResult<Option<usize>> {
        let role = role.map(str::parse).transpose().into_python(py)?;
        Ok(self.model.get().max_seq_length_of(role))
    }

    #[setter]
    fn set_max_seq_length(&self, py: Python<'_>, tokens: usize) -> PyResult<()> {
        self.model.change(|model| model.set_max_seq_length(tokens)).into_python(py)
    }
}

fn ids(py: Python<'_>, ids: Vec<u32>) -> Bound<'_, PyAny> {
    PyArray1::from_vec(py, ids.into_iter().map(i64::from).collect()).into_any()
}
