//! Models that a server serves: of any kind, by name.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::Mutex;

use crate::device::Dtype;
use crate::error::{Error, Result};
use crate::inputs::Reader;
use crate::options::LoadOptions;
use crate::source;
use crate::{Model, MultiVectorModel, Reranker, Role, SparseModel};

/// Model of any kind.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AnyModel {
    /// One vector per text.
    Sentence(Model),
    /// Scores of pairs, or of texts.
    Reranker(Reranker),
    /// A weight per token of the vocabulary.
    Sparse(SparseModel),
    /// A vector per token.
    MultiVector(MultiVectorModel),
}

macro_rules! from_kinds {
    ($($kind:ident: $model:ty),*) => {
        $(impl From<$model> for AnyModel {
            fn from(model: $model) -> Self {
                Self::$kind(model)
            }
        })*
    };
}
from_kinds!(Sentence: Model, Reranker: Reranker, Sparse: SparseModel, MultiVector: MultiVectorModel);

/// Calls `$body` with the model of any kind.
macro_rules! with_model {
    ($any:expr, $model:ident => $body:expr) => {
        match $any {
            AnyModel::Sentence($model) => $body,
            AnyModel::Reranker($model) => $body,
            AnyModel::Sparse($model) => $body,
            AnyModel::MultiVector($model) => $body,
        }
    };
}

impl AnyModel {
    /// Loads a model by its folder or its name, whose kind the folder tells.
    ///
    /// # Errors
    /// The errors of [`Model::load`].
    pub fn load(name: &str, options: &LoadOptions) -> Result<Self> {
        Self::from_dir_with(source::find(Path::new(name), source::SENTENCE_TRANSFORMERS, options, Vec::new())?, options)
    }

    /// Loads a model from its folder.
    ///
    /// # Errors
    /// The errors of [`Model::from_dir`].
    pub fn from_dir(folder: impl Into<PathBuf>) -> Result<Self> {
        Self::from_dir_with(folder, &LoadOptions::default())
    }

    /// Loads a model like [`AnyModel::from_dir`], with options.
    ///
    /// # Errors
    /// The errors of [`Model::from_dir_with`].
    pub fn from_dir_with(folder: impl Into<PathBuf>, options: &LoadOptions) -> Result<Self> {
        // If several kinds load a folder, the first is right: it is the most specific.
        let kinds: [fn(PathBuf, &LoadOptions) -> Result<Self>; 4] = [
            |folder, options| MultiVectorModel::from_dir_with(folder, options).map(Self::from),
            |folder, options| Model::from_dir_with(folder, options).map(Self::from),
            |folder, options| Reranker::from_dir_with(folder, options).map(Self::from),
            |folder, options| SparseModel::from_dir_with(folder, options).map(Self::from),
        ];
        let folder = folder.into();
        let mut refused = None;
        for load in kinds {
            match load(folder.clone(), options) {
                // The refusal as a sentence model says most.
                Err(error @ Error::Unsupported { .. }) => refused = refused.or(Some(error)),
                loaded => return loaded,
            }
        }
        Err(refused.unwrap_or_else(|| Error::unsupported("kind of model", "none", "those of rushlight's classes")))
    }

    /// Folder that the model was loaded from.
    pub fn folder(&self) -> &Path {
        with_model!(self, model => model.folder())
    }

    /// Type of the numbers that it computes in.
    pub fn dtype(&self) -> Dtype {
        with_model!(self, model => model.dtype())
    }

    /// Maximum number of tokens per input, special tokens included; `None` means no limit.
    pub fn max_length(&self) -> Option<usize> {
        match self {
            Self::Sentence(model) => model.max_seq_length(),
            Self::Reranker(model) => model.max_length(),
            Self::Sparse(model) => model.max_seq_length(),
            Self::MultiVector(model) => model.document_length(),
        }
    }

    fn set_max_length(&mut self, tokens: usize) -> Result<()> {
        match self {
            Self::Sentence(model) => model.set_max_seq_length(tokens),
            Self::Reranker(model) => model.set_max_length(tokens),
            Self::Sparse(model) => model.set_max_seq_length(tokens),
            Self::MultiVector(model) => model.set_document_length(tokens),
        }
    }

    /// Cuts texts to at most this number of tokens.
    pub(super) fn limited(mut self, tokens: usize) -> Result<Self> {
        if self.max_length().is_none_or(|length| length > tokens) {
            self.set_max_length(tokens)?;
        }
        Ok(self)
    }

    /// Names of the prompts, and their texts.
    pub(super) fn prompt(&self, name: Option<&str>) -> Result<String> {
        let prompts = with_model!(self, model => crate::Prompts::new(
            model.prompts().clone(),
            model.default_prompt_name().map(str::to_owned),
        ));
        prompts.choose(None, name, None).map(str::to_owned)
    }

    /// Returns a reader of texts.
    pub(super) fn reader(&self) -> Reader {
        match self {
            Self::Sentence(model) => model.reader(None),
            Self::Reranker(model) => model.reader(),
            Self::Sparse(model) => model.reader(Some(Role::Document)),
            Self::MultiVector(model) => model.reader(Role::Document),
        }
    }
}

/// Source of a model that can be unloaded and loaded again.
#[derive(Clone, Debug)]
struct Source {
    folder: PathBuf,
    options: LoadOptions,
}

/// Served model.
#[derive(Debug)]
pub(super) struct Served {
    /// Name in requests and answers.
    pub(super) name: String,
    /// Time of the start, in seconds since 1970.
    pub(super) created: u64,
    /// False after a computation failed, until one succeeds.
    pub(super) healthy: AtomicBool,
    source: Option<Source>,
    loaded: Mutex<Option<Arc<AnyModel>>>,
    used: std::sync::Mutex<Instant>,
    /// The last component of a name such as `organization/name`.
    short_name: String,
    pub(super) facts: Facts,
}

/// Facts of a model, which are known while it is unloaded.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub(super) kind: ModelKind,
    pub(super) folder: PathBuf,
    pub(super) dtype: Dtype,
    pub(super) max_length: Option<usize>,
    pub(super) max_batch_texts: Option<NonZeroUsize>,
    pub(super) dimension: Option<usize>,
    pub(super) labels: Vec<String>,
}

/// Kind of a served model, by what it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ModelKind {
    Sentence,
    /// Reranker with one score.
    Reranker,
    /// Sequence classifier with several labels.
    Classifier,
    Sparse,
    MultiVector,
}

impl ModelKind {
    /// Returns the kind in the words of messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sentence => "an embedding model",
            Self::Reranker => "a reranker",
            Self::Classifier => "a classifier",
            Self::Sparse => "a sparse embedding model",
            Self::MultiVector => "a late-interaction model",
        }
    }
}

impl Facts {
    fn of(model: &AnyModel) -> Result<Self> {
        let kind = match model {
            AnyModel::Sentence(_) => ModelKind::Sentence,
            AnyModel::Reranker(model) if model.num_labels() == 1 => ModelKind::Reranker,
            AnyModel::Reranker(_) => ModelKind::Classifier,
            AnyModel::Sparse(_) => ModelKind::Sparse,
            AnyModel::MultiVector(_) => ModelKind::MultiVector,
        };
        let dimension = match model {
            AnyModel::Sentence(model) => Some(model.embedding_dimension()),
            AnyModel::Sparse(model) => Some(model.embedding_dimension()),
            AnyModel::MultiVector(model) => Some(model.embedding_dimension()),
            AnyModel::Reranker(_) => None,
        };
        Ok(Self {
            kind,
            folder: model.folder().to_path_buf(),
            dtype: model.dtype(),
            max_length: model.max_length(),
            max_batch_texts: with_model!(model, model => model.engine.loaded.folders.choices.max_batch_texts),
            dimension,
            labels: match model {
                AnyModel::Reranker(model) => model.labels()?,
                _ => Vec::new(),
            },
        })
    }
}

impl Served {
    fn new(name: String, model: AnyModel, source: Option<Source>) -> Result<Self> {
        let facts = Facts::of(&model)?;
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let short_name = name.rsplit('/').next().unwrap_or_default().to_owned();
        Ok(Self {
            name,
            created,
            healthy: AtomicBool::new(true),
            source,
            loaded: Mutex::new(Some(Arc::new(model))),
            used: std::sync::Mutex::new(Instant::now()),
            short_name,
            facts,
        })
    }

    fn goes_by(&self, name: &str) -> bool {
        self.name == name || self.short_name == name
    }

    /// Returns the model, which is loaded again if it was unloaded.
    pub(super) async fn model(&self) -> Result<Arc<AnyModel>> {
        *crate::threads::executor::lock(&self.used) = Instant::now();
        let mut loaded = self.loaded.lock().await;
        if let (None, Some(source)) = (&*loaded, self.source.clone()) {
            let limit = self.facts.max_length;
            let load = move || {
                let model = AnyModel::from_dir_with(source.folder, &source.options)?;
                limit.map_or(Ok(model.clone()), |limit| model.limited(limit))
            };
            let model = tokio::task::spawn_blocking(load).await;
            *loaded = Some(Arc::new(model.map_err(|error| Error::Tensor(error.to_string()))??));
        }
        loaded.clone().ok_or_else(|| Error::argument("model", format!("{} is not loaded", self.name)))
    }

    /// Unloads the model if it was idle for `idle` and has a folder.
    pub(super) async fn unload_if_idle(&self, idle: std::time::Duration) {
        let used = *crate::threads::executor::lock(&self.used);
        if self.source.is_some() && used.elapsed() >= idle && self.loaded.lock().await.take().is_some() {
            tracing::info!(model = self.name, "unloaded");
        }
    }

    pub(super) fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }
}

/// Models of a server by name, in the order of their addition.
#[derive(Debug, Default)]
pub struct Models(Vec<Arc<Served>>);

impl Models {
    /// Adds a model under a name.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a name that is taken or empty.
    pub fn add(&mut self, name: impl Into<String>, model: impl Into<AnyModel>) -> Result<()> {
        self.insert(name.into(), model.into(), None)
    }

    /// Loads a model from a folder and adds it under a name. The server may unload it while it is idle.
    ///
    /// # Errors
    /// The errors of [`AnyModel::from_dir_with`] and [`Models::add`].
    pub fn load(&mut self, name: impl Into<String>, folder: PathBuf, options: LoadOptions) -> Result<()> {
        let model = AnyModel::from_dir_with(folder.clone(), &options)?;
        self.insert(name.into(), model, Some(Source { folder, options }))
    }

    fn insert(&mut self, name: String, model: AnyModel, source: Option<Source>) -> Result<()> {
        if name.is_empty() || self.find(&name).is_some_and(|other| other.name == name) {
            let problem = format!("must be the name of one model, got {name:?}");
            return Err(Error::argument("name", problem));
        }
        self.0.push(Arc::new(Served::new(name, model, source)?));
        Ok(())
    }

    /// Cuts the texts of all models to at most this number of tokens.
    pub(super) fn limited(self, tokens: usize) -> Result<Self> {
        let limit = |served: Arc<Served>| {
            let mut served = Arc::into_inner(served).ok_or_else(|| Error::argument("models", "are served already"))?;
            if let Some(model) = served.loaded.get_mut().take() {
                let model = Arc::unwrap_or_clone(model).limited(tokens)?;
                served.facts = Facts::of(&model)?;
                *served.loaded.get_mut() = Some(Arc::new(model));
            }
            Ok(Arc::new(served))
        };
        self.0.into_iter().map(limit).collect::<Result<_>>().map(Self)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Served>> {
        self.0.iter()
    }

    /// Finds a model by its name, or by its name without the organization.
    pub(super) fn find(&self, name: &str) -> Option<&Arc<Served>> {
        self.0.iter().find(|served| served.name == name).or_else(|| self.0.iter().find(|served| served.goes_by(name)))
    }

    /// Returns the names.
    pub(super) fn names(&self) -> Vec<&str> {
        self.0.iter().map(|served| &*served.name).collect()
    }
}
