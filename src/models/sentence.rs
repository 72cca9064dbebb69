//! [`Model`]: one vector for each text.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::config::{Kind, ModelSettings, object};
use crate::device::{Device, Dtype};
use crate::engine::consistent::load_consistent;
use crate::engine::{Engine, Role};
use crate::error::{Error, Result};
use crate::inputs::Reader;
use crate::observer::NoObserver;
use crate::options::{CallOptions, ChunkOptions, LoadOptions};
use crate::save::{self, KindSettings};
use crate::source;
use crate::tokenize::{Input, Tokenizer, Tokens};
use crate::vectors;
use crate::vectors::embeddings::Embeddings;
use crate::vectors::similarity::{Matrix, Similarity};

/// Models that were trained without the instruction in the mean, which their folders don't say: sentence-transformers knows
/// them by these names, too.
pub const INSTRUCTORS: [&str; 3] = ["hkunlp/instructor-base", "hkunlp/instructor-large", "hkunlp/instructor-xl"];

/// Sentence embedding model.
///
/// It is cheap to clone, and a clone shares the weights; settings are each clone's own. All methods that compute take
/// `&self` and may be called from many threads at once.
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

/// Loading.
impl Model {
    /// Loads a model by its folder, or by its name: from the Hugging Face cache, or where it isn't there, downloaded into it
    /// from the hub (with the feature `hub`). What was downloaded whole is used as it is, and no connection is made; of a
    /// snapshot that another program left the hub is asked once which files it has, and what is missing is fetched.
    ///
    /// A name without a `/` is one of sentence-transformers' own, as in `all-MiniLM-L6-v2`.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`] with every place looked at, [`Error::Download`] where the hub gives no file; or what is wrong
    /// with the folder.
    pub fn load(name: &str) -> Result<Self> {
        Self::load_with(name, &LoadOptions::default())
    }

    /// [`Model::load`], with options.
    ///
    /// # Errors
    /// As [`Model::load`], and [`Error::InvalidArgument`] for an option that doesn't fit the model.
    pub fn load_with(name: &str, options: &LoadOptions) -> Result<Self> {
        let mut model = Self::from_dir_with(find(name, source::SENTENCE_TRANSFORMERS, options)?, options)?;
        if INSTRUCTORS.contains(&name) {
            model.set_pooling_include_prompt(false);
        }
        Ok(model)
    }

    /// Loads a model from its folder.
    ///
    /// # Errors
    /// What is wrong with the folder: a file that is absent or malformed, a tensor that is absent or of another shape, an
    /// architecture or module that isn't supported.
    pub fn from_dir(folder: impl Into<PathBuf>) -> Result<Self> {
        Self::from_dir_with(folder, &LoadOptions::default())
    }

    /// [`Model::from_dir`], with options.
    ///
    /// # Errors
    /// As [`Model::from_dir`], and [`Error::InvalidArgument`] for an option that doesn't fit the model.
    pub fn from_dir_with(folder: impl Into<PathBuf>, options: &LoadOptions) -> Result<Self> {
        load_consistent(folder, |folder| {
            let (engine, settings) = Engine::load(Kind::Sentence, folder, options)?;
            Self::new(engine, &settings, options)
        })
    }

    /// A model of this engine, with the settings of its folder and over them those of the caller.
    pub(crate) fn new(engine: Engine, settings: &ModelSettings, options: &LoadOptions) -> Result<Self> {
        let similarity = configured_similarity(&engine, settings)?.unwrap_or_default();
        let mut model =
            Self { engine, similarity: options.similarity.unwrap_or(similarity), truncate_dim: settings.truncate_dim };
        if let Some(columns) = options.truncate_dim {
            model.set_truncate_dim(Some(columns))?;
        }
        Ok(model)
    }

    /// Returns true if its folder lists modules. A folder without a list means mean pooling.
    pub fn lists_modules(&self) -> bool {
        self.engine.loaded.entries.is_some()
    }
}

/// The similarity that a folder's settings name.
pub(crate) fn configured_similarity(engine: &Engine, settings: &ModelSettings) -> Result<Option<Similarity>> {
    match settings.similarity_fn_name.as_deref().map(str::parse).transpose() {
        Err(Error::InvalidArgument { problem, .. }) => {
            let file = engine.folder().join("config_sentence_transformers.json");
            Err(Error::config(file, "similarity_fn_name", problem))
        }
        similarity => similarity,
    }
}

/// The folder that a name means; one without a `/` is of that organization.
pub(crate) fn find(name: &str, organization: &str, options: &LoadOptions) -> Result<PathBuf> {
    source::find(Path::new(name), organization, options, Vec::new(), &NoObserver)
}

/// Settings.
impl Model {
    /// The folder that it was loaded from.
    pub fn folder(&self) -> &Path {
        self.engine.folder()
    }

    /// The device that it computes on.
    pub fn device(&self) -> Device {
        self.engine.device()
    }

    /// The numbers that it computes in.
    pub fn dtype(&self) -> Dtype {
        self.engine.dtype()
    }

    /// The same model, with the same settings, on another device: loaded there once, and kept for as long as this model or
    /// a clone of it lives.
    ///
    /// # Errors
    /// [`Error::Device`] where this build or this machine lacks the device, or the device the model's dtype.
    pub fn on(&self, device: Device) -> Result<Self> {
        Ok(Self { engine: self.engine.on(device)?, ..self.clone() })
    }

    /// Columns of an embedding, after truncation.
    pub fn embedding_dimension(&self) -> usize {
        self.columns(self.truncate_dim)
    }

    /// Columns of a token embedding.
    pub fn hidden_size(&self) -> usize {
        self.engine.hidden_size()
    }

    pub(crate) fn columns(&self, truncate_dim: Option<usize>) -> usize {
        let all = self.engine.width();
        truncate_dim.map_or(all, |columns| columns.min(all))
    }

    /// Tokens that are kept of a text, special tokens included; `None` where there is no limit.
    pub fn max_seq_length(&self) -> Option<usize> {
        self.engine.max_seq_length
    }

    /// [`Model::max_seq_length`] on the route of a role.
    pub fn max_seq_length_of(&self, role: Option<Role>) -> Option<usize> {
        self.engine.route(role).max_seq_length
    }

    /// Sets how many tokens are kept of a text. Special tokens are kept in any case.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for 0, or for more than the model has positions for.
    pub fn set_max_seq_length(&mut self, tokens: usize) -> Result<()> {
        self.engine.set_max_seq_length(tokens)
    }

    /// Returns true where the prompt's tokens are pooled, too: as the folder says, or as was set.
    pub fn pooling_includes_prompt(&self) -> bool {
        self.engine.pooling_includes_prompt()
    }

    /// Sets whether the prompt's tokens are pooled, too. Models that pool nothing give what they always give.
    pub fn set_pooling_include_prompt(&mut self, include_prompt: bool) {
        self.engine.include_prompt = Some(include_prompt);
    }

    /// Prompts by name; "query" and "document" are always among them.
    pub fn prompts(&self) -> &BTreeMap<String, String> {
        &self.engine.prompts.by_name
    }

    /// Prompts by name, to change them.
    pub fn prompts_mut(&mut self) -> &mut BTreeMap<String, String> {
        &mut self.engine.prompts.by_name
    }

    /// Name of the prompt that is used where a call names none.
    pub fn default_prompt_name(&self) -> Option<&str> {
        self.engine.prompts.default_name.as_deref()
    }

    /// Sets the prompt that is used where a call names none.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where there is no prompt of that name.
    pub fn set_default_prompt_name(&mut self, name: Option<String>) -> Result<()> {
        self.engine.prompts.set_default(name)
    }

    /// The function that [`Model::similarity`] computes.
    pub fn similarity_fn(&self) -> Similarity {
        self.similarity
    }

    /// Sets the function that [`Model::similarity`] computes.
    pub fn set_similarity_fn(&mut self, similarity: Similarity) {
        self.similarity = similarity;
    }

    /// Columns that are kept of an embedding, where they are limited.
    pub fn truncate_dim(&self) -> Option<usize> {
        self.truncate_dim
    }

    /// Sets how many columns are kept of an embedding; more than there are is all.
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
    /// Reads inputs as the model does in a role, to tokenize and to count with an observer.
    pub fn reader(&self, role: Option<Role>) -> Reader {
        self.engine.reader(role)
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        self.engine.tokenizer()
    }

    /// Tokenizes inputs: the ids of each, truncated, without a prompt.
    ///
    /// # Errors
    /// As [`Model::encode`].
    pub fn tokenize(&self, inputs: &[Input<'_>]) -> Result<Vec<Tokens>> {
        self.reader(None).tokenize(inputs, &NoObserver)
    }

    /// Counts the tokens of each input, special tokens included, before truncation and without a prompt.
    ///
    /// # Errors
    /// As [`Model::encode`].
    pub fn count_tokens(&self, inputs: &[Input<'_>]) -> Result<Vec<usize>> {
        self.reader(None).count_tokens(inputs, &NoObserver)
    }

    /// Splits a text into chunks that the model takes whole; see [`Reader::chunk`].
    ///
    /// # Errors
    /// As [`Reader::chunk`].
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
    /// Saves the model as a folder that this crate and sentence-transformers load, with its present settings.
    ///
    /// The folder changes in one step, and what else is in it stays; a save waits for another one to the same folder. Where a
    /// folder can't be exchanged (a mount point, the working directory, on Windows), files are moved into it one by one,
    /// and this crate loads it when all are there.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for a path that can't be a folder's;
    /// [`Error::Io`](crate::Error::Io) where it can't be written;
    /// [`Error::InvalidConfig`](crate::Error::InvalidConfig) where the folder that the model was loaded from has changed
    /// since: its files are copied.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_with(path, &CallOptions::default())
    }

    /// [`Model::save`], with an observer that may stop the wait for another save to the same folder.
    ///
    /// # Errors
    /// As [`Model::save`], and [`Error::Interrupted`] where the observer stops it.
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
    /// The similarity of every row of `a` with every row of `b`, `(a.len(), b.len())`, by the model's own function.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where the widths differ.
    pub fn similarity(&self, a: &Embeddings, b: &Embeddings) -> Result<Matrix> {
        vectors::similarity(self.similarity, a, b, &CallOptions::default())
    }

    /// The similarity of each row of `a` with the same row of `b`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where the widths or the numbers of rows differ.
    pub fn similarity_pairwise(&self, a: &Embeddings, b: &Embeddings) -> Result<Vec<f32>> {
        vectors::pairwise_similarity(self.similarity, a, b, &CallOptions::default())
    }
}
