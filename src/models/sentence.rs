//! [`Model`]: sentence embeddings, one vector per text.

use std::path::{Path, PathBuf};

use super::loading::{LoadFolder, loading};
use super::shared_settings;
use crate::config::{Kind, ModelSettings, Role, Similarity, object};
use crate::device::Device;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::inputs::Reader;
use crate::observer::NoObserver;
use crate::options::{CallOptions, ChunkOptions, LoadOptions};
use crate::save::{self, KindSettings};
use crate::source;
use crate::tokenize::{Input, Tokenizer, Tokens};
use crate::vectors;
use crate::vectors::embeddings::Embeddings;
use crate::vectors::similarity::Matrix;

/// Models trained with a mean that excludes the instruction. Their folders don't record it, so sentence-transformers
/// also recognizes them by these names.
pub const INSTRUCTORS: [&str; 3] = ["hkunlp/instructor-base", "hkunlp/instructor-large", "hkunlp/instructor-xl"];

/// Sentence embedding model.
///
/// Clones are cheap and share the weights; each has its own settings. Methods that compute take `&self`, so that many
/// threads can call them at once.
///
/// # Examples
/// ```
/// use rushlight::Model;
///
/// # let name = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny/bert-mean-normalize/model");
/// // let name = "all-MiniLM-L6-v2";
/// let model = Model::load(name)?;
/// let embeddings = model.encode(&["one text", "another"], &Default::default())?;
/// assert_eq!((embeddings.len(), embeddings.dim()), (2, model.embedding_dimension()));
/// # Ok::<(), rushlight::Error>(())
/// ```
#[derive(Clone)]
pub struct Model {
    pub(crate) engine: Engine,
    pub(crate) similarity: Similarity,
    pub(crate) truncate_dim: Option<usize>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("folder", &self.folder())
            .field("device", &self.device())
            .field("max_seq_length", &self.max_seq_length())
            .field("embedding_dimension", &self.embedding_dimension())
            .finish_non_exhaustive()
    }
}

shared_settings!(Model);

loading!(Model from "sentence-transformers", load_with, from_dir);

impl LoadFolder for Model {
    const ORGANIZATION: &str = source::SENTENCE_TRANSFORMERS;

    fn load_folder(folder: PathBuf, options: &LoadOptions) -> Result<Self> {
        let (engine, settings) = Engine::load(Kind::Sentence, folder, options)?;
        Self::new(engine, &settings, options)
    }

    fn apply_known_settings(&mut self, name: &str) {
        if INSTRUCTORS.contains(&name) {
            self.set_pooling_include_prompt(false);
        }
    }
}

impl Model {
    /// Makes a model of an engine. The caller's options override the folder's settings.
    pub(crate) fn new(engine: Engine, settings: &ModelSettings, options: &LoadOptions) -> Result<Self> {
        let similarity = configured_similarity(&engine, settings)?.unwrap_or_default();
        let mut model =
            Self { engine, similarity: options.similarity.unwrap_or(similarity), truncate_dim: settings.truncate_dim };
        if let Some(columns) = options.truncate_dim {
            model.set_truncate_dim(Some(columns))?;
        }
        Ok(model)
    }

    /// Returns true if queries take another route through the modules than documents.
    pub fn has_routes(&self) -> bool {
        self.engine.other.is_some()
    }

    /// Returns true if the model embeds images and texts in one space.
    pub fn embeds_images(&self) -> bool {
        self.engine.loaded.images.is_some()
    }

    /// Returns true if its folder lists modules. A folder without a list means mean pooling.
    pub fn lists_modules(&self) -> bool {
        self.engine.loaded.folders.entries.is_some()
    }
}

/// Returns the similarity that a folder's settings name.
pub(crate) fn configured_similarity(engine: &Engine, settings: &ModelSettings) -> Result<Option<Similarity>> {
    match settings.similarity_fn_name.as_deref().map(str::parse).transpose() {
        Err(Error::InvalidArgument { problem, .. }) => {
            let file = engine.folder().join("config_sentence_transformers.json");
            Err(Error::config(file, "similarity_fn_name", problem))
        }
        similarity => similarity,
    }
}

/// Settings.
impl Model {
    /// Returns the same model with the same settings on another device. The weights are loaded there once, and stay as
    /// long as this model or a clone of it lives.
    ///
    /// # Errors
    /// [`Error::Device`] if this build or machine lacks the device, or the device doesn't support the model's dtype.
    pub fn on(&self, device: Device) -> Result<Self> {
        self.on_with(device, &CallOptions::default())
    }

    /// Returns the same model on another device like [`Model::on`], with an observer that may stop the loading.
    ///
    /// # Errors
    /// The errors of [`Model::on`], and [`Error::Interrupted`] if the observer stops it.
    pub fn on_with(&self, device: Device, options: &CallOptions<'_>) -> Result<Self> {
        let engine = self.engine.on(device, options.observer.unwrap_or(&NoObserver))?;
        Ok(Self { engine, ..self.clone() })
    }

    /// Number of columns of an embedding, after truncation.
    pub fn embedding_dimension(&self) -> usize {
        self.columns(self.truncate_dim)
    }

    /// Number of columns of a token embedding.
    pub fn hidden_size(&self) -> usize {
        self.engine.hidden_size()
    }

    pub(crate) fn columns(&self, truncate_dim: Option<usize>) -> usize {
        let all = self.engine.width();
        truncate_dim.map_or(all, |columns| columns.min(all))
    }

    /// Maximum number of tokens per text, special tokens included; `None` means no limit.
    pub fn max_seq_length(&self) -> Option<usize> {
        self.engine.max_seq_length
    }

    /// Tasks that the model has an adapter or a route for, in the order of its files; none for most models.
    pub fn tasks(&self) -> &[String] {
        self.engine.tasks()
    }

    /// Returns the task of a role's texts, if the model has it: "retrieval.query" or "retrieval.passage".
    pub fn task_of(&self, role: Role) -> Option<&'static str> {
        self.engine.task(Some(role), None)
    }

    /// Maximum number of tokens per text on the route of a role; see [`Model::max_seq_length`].
    pub fn max_seq_length_of(&self, role: Option<Role>) -> Option<usize> {
        self.engine.route(role).max_seq_length
    }

    /// Sets the maximum number of tokens per text. Special tokens always stay.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for 0, or for more tokens than the model has positions.
    pub fn set_max_seq_length(&mut self, tokens: usize) -> Result<()> {
        self.engine.set_max_seq_length(tokens)
    }

    /// Returns true if pooling includes the prompt's tokens: by the folder's settings, or as set.
    pub fn pooling_includes_prompt(&self) -> bool {
        self.engine.pooling_includes_prompt()
    }

    /// Includes the prompt's tokens in pooling or excludes them. It has no effect on models without pooling.
    pub fn set_pooling_include_prompt(&mut self, include_prompt: bool) {
        self.engine.include_prompt = Some(include_prompt);
    }

    /// Function that [`Model::similarity`] computes.
    pub fn similarity_fn(&self) -> Similarity {
        self.similarity
    }

    /// Sets the function that [`Model::similarity`] computes.
    pub fn set_similarity_fn(&mut self, similarity: Similarity) {
        self.similarity = similarity;
    }

    /// Number of columns that embeddings are truncated to; `None` means all.
    pub fn truncate_dim(&self) -> Option<usize> {
        self.truncate_dim
    }

    /// Truncates embeddings to this number of columns. A number above the model's width has no effect.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for 0.
    pub fn set_truncate_dim(&mut self, columns: Option<usize>) -> Result<()> {
        self.truncate_dim = check_truncate_dim(columns)?;
        Ok(())
    }
}

/// Tokenizing.
impl Model {
    /// Returns a reader of inputs in a role, which tokenizes and counts tokens with an observer.
    pub fn reader(&self, role: Option<Role>) -> Reader {
        self.engine.reader(role)
    }

    /// Tokenizer of the model.
    pub fn tokenizer(&self) -> &Tokenizer {
        self.engine.tokenizer()
    }

    /// Tokenizes inputs without a prompt and truncates them.
    ///
    /// # Errors
    /// The errors of [`Model::encode`].
    pub fn tokenize(&self, inputs: &[Input<'_>]) -> Result<Vec<Tokens>> {
        self.reader(None).tokenize(inputs, &CallOptions::default())
    }

    /// Counts the tokens of each input, special tokens included, before truncation and without a prompt.
    ///
    /// # Errors
    /// The errors of [`Model::encode`].
    pub fn count_tokens(&self, inputs: &[Input<'_>]) -> Result<Vec<usize>> {
        self.reader(None).count_tokens(inputs, &CallOptions::default())
    }

    /// Splits a text into chunks that fit the model without truncation; see [`Reader::chunk`].
    ///
    /// # Errors
    /// The errors of [`Reader::chunk`].
    ///
    /// # Examples
    /// ```
    /// use rushlight::{ChunkOptions, Model};
    ///
    /// # let model = Model::load(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny/bert-mean-normalize/model"))?;
    /// let text = "A long text. ".repeat(40);
    /// let chunks = model.chunk(&text, &ChunkOptions::default().with_max_tokens(32).with_overlap(4))?;
    /// let texts: Vec<&str> = chunks.into_iter().map(|chunk| &text[chunk]).collect();
    /// assert!(texts.len() > 1);
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    pub fn chunk(&self, text: &str, options: &ChunkOptions<'_>) -> Result<Vec<std::ops::Range<usize>>> {
        self.reader(None).chunk(text, options)
    }
}

pub(crate) fn check_truncate_dim(columns: Option<usize>) -> Result<Option<usize>> {
    if columns == Some(0) {
        return Err(Error::argument("truncate_dim", "must be at least 1, got 0"));
    }
    Ok(columns)
}

/// Saving.
impl Model {
    /// Saves the model with its current settings. rushlight and sentence-transformers load the folder.
    /// For a model of published code (`auto_map`), sentence-transformers needs that code, and rushlight does not.
    ///
    /// The folder changes atomically, and its other files stay. A save waits for another save to the same folder. Some
    /// folders can't be exchanged: mount points, the working directory, and all folders on Windows. There rushlight
    /// moves the files one by one, and loads the folder only when it is complete.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a path that can't be a folder. [`Error::Io`] if the folder can't be written.
    /// [`Error::InvalidConfig`] if the model's source folder has changed since loading, because its files are copied.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_with(path, &CallOptions::default())
    }

    /// Saves like [`Model::save`], with an observer that may stop the wait for another save to the same folder.
    ///
    /// # Errors
    /// The errors of [`Model::save`], and [`Error::Interrupted`] if the observer stops it.
    pub fn save_with(&self, path: impl AsRef<Path>, options: &CallOptions<'_>) -> Result<()> {
        let settings = object([
            ("similarity_fn_name", self.similarity.to_string().into()),
            ("truncate_dim", self.truncate_dim.into()),
        ]);
        save::save(
            &self.engine,
            &KindSettings { settings, ..KindSettings::default() },
            path.as_ref(),
            options.observer.unwrap_or(&NoObserver),
        )
    }
}

/// Comparing.
impl Model {
    /// Returns the similarity of every row of `a` with every row of `b`, `(a.len(), b.len())`, by the model's function.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the widths differ.
    pub fn similarity(&self, a: &Embeddings, b: &Embeddings) -> Result<Matrix> {
        self.similarity_with(a, b, &CallOptions::default())
    }

    /// Compares like [`Model::similarity`], with an observer that may stop it.
    ///
    /// # Errors
    /// The errors of [`Model::similarity`], and [`Error::Interrupted`] if the observer stops it.
    pub fn similarity_with(&self, a: &Embeddings, b: &Embeddings, options: &CallOptions<'_>) -> Result<Matrix> {
        vectors::similarity(self.similarity, a, b, options)
    }

    /// Returns the similarity of each row of `a` with the same row of `b`, one number per row.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the widths or the numbers of rows differ.
    pub fn similarity_pairwise(&self, a: &Embeddings, b: &Embeddings) -> Result<Vec<f32>> {
        self.similarity_pairwise_with(a, b, &CallOptions::default())
    }

    /// Compares like [`Model::similarity_pairwise`], with an observer that may stop it.
    ///
    /// # Errors
    /// The errors of [`Model::similarity_pairwise`], and [`Error::Interrupted`] if the observer stops it.
    pub fn similarity_pairwise_with(
        &self,
        a: &Embeddings,
        b: &Embeddings,
        options: &CallOptions<'_>,
    ) -> Result<Vec<f32>> {
        vectors::pairwise_similarity(self.similarity, a, b, options)
    }
}
