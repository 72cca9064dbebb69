//! [`Model`]: the façade. It calls the other rooms in the order in which a text goes through them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{Kind, LateInteraction, ModuleEntry, Settings};
use crate::device::{Device, Dtype};
use crate::engine::compute::Compute;
use crate::engine::loaded::{Loaded, opened};
use crate::engine::routes;
use crate::engine::whole::whole;
use crate::error::{Error, Result};
use crate::observer::NoObserver;
use crate::options::LoadOptions;
use crate::source;
use crate::tokenize::Fill;
use crate::vectors::embeddings::Embeddings;
use crate::vectors::similarity::{self, Matrix, Run, Similarity};

/// Models that were trained without the instruction in the mean, which their folders don't say: sentence-transformers knows
/// them by these names, too.
pub(crate) const INSTRUCTORS: [&str; 3] = ["hkunlp/instructor-base", "hkunlp/instructor-large", "hkunlp/instructor-xl"];

/// A sentence embedding model.
///
/// It is cheap to clone, and a clone shares the weights; settings are each clone's own. All methods that compute take
/// `&self` and may be called from many threads at once.
#[derive(Clone)]
pub struct Model {
    pub(crate) parts: Arc<Loaded>,
    pub(crate) prompts: BTreeMap<String, String>,
    pub(crate) default_prompt_name: Option<String>,
    pub(crate) similarity: Similarity,
    pub(crate) truncate_dim: Option<usize>,
    pub(crate) max_seq_length: Option<usize>,
    /// Where it isn't as the folder says.
    pub(crate) include_prompt: Option<bool>,
    /// What fills texts up: queries of late-interaction models.
    pub(crate) fill: Option<Fill>,
    /// Where queries go another way than documents.
    pub(crate) other: Option<routes::Other>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model")
            .field("folder", &self.parts.folder)
            .field("device", &self.device())
            .field("max_seq_length", &self.max_seq_length)
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
        whole(folder, |folder| Ok(Self::routed(folder, options)?.0))
    }

    /// Loads a model of any kind as far as all kinds are alike, which is all but the network's head, and gives the settings
    /// of which more may be for that kind alone.
    pub(crate) fn of_kind(kind: Kind, folder: PathBuf, options: &LoadOptions) -> Result<(Self, Settings)> {
        let (folder, entries) = opened(folder)?;
        Self::of_modules(kind, folder, entries, options)
    }

    /// [`Model::of_kind`], of these modules in place of those that `modules.json` lists.
    pub(crate) fn of_modules(
        kind: Kind,
        folder: PathBuf,
        entries: Option<Vec<ModuleEntry>>,
        options: &LoadOptions,
    ) -> Result<(Self, Settings)> {
        // A folder of transformers alone has no say in how its model is used.
        let (settings, file) = match entries {
            Some(_) => Settings::read(&folder, kind)?,
            None => Default::default(),
        };
        let parts = Loaded::load(kind, folder, entries, None, Compute::of(options))?;
        let model = Self::of_parts(kind, parts, &settings, &file, options)?;
        Ok((model, settings))
    }

    /// A model of these parts, with the settings that `file` holds.
    pub(crate) fn of_parts(
        kind: Kind,
        parts: Loaded,
        settings: &Settings,
        file: &Path,
        options: &LoadOptions,
    ) -> Result<Self> {
        if options.activation.is_some() && kind != Kind::Reranker {
            return Err(Error::argument("activation", "is for rerankers: it is what is made of their logits"));
        }
        // Those of late interaction are not among ours.
        let named = settings.similarity_fn_name.as_deref().filter(|_| kind != Kind::MultiVector);
        let similarity = match named.map(str::parse::<Similarity>).transpose() {
            Ok(similarity) => similarity.unwrap_or_default(),
            Err(Error::InvalidArgument { problem, .. }) => {
                return Err(Error::config(file, "similarity_fn_name", problem));
            }
            Err(error) => return Err(error),
        };
        let always = if kind == Kind::Reranker { &[][..] } else { &["query", "document"] };
        let mut prompts: BTreeMap<_, _> = always.iter().map(|name| ((*name).to_owned(), String::new())).collect();
        let configured = settings.prompts.iter().flatten();
        prompts.extend(configured.map(|(name, prompt)| (name.clone(), prompt.clone().unwrap_or_default())));
        prompts.extend(options.prompts.clone());
        let mut model = Self {
            max_seq_length: parts.default_max_seq_length(),
            parts: Arc::new(parts),
            prompts,
            default_prompt_name: None,
            similarity: options.similarity.unwrap_or(similarity),
            truncate_dim: settings.truncate_dim,
            include_prompt: None,
            fill: None,
            other: None,
        };
        match &options.default_prompt_name {
            Some(name) => model.set_default_prompt_name(Some(name.clone()))?,
            None => {
                model.set_default_prompt_name(settings.default_prompt_name.clone()).map_err(|error| match error {
                    Error::InvalidArgument { argument, problem } => Error::config(file, argument, problem),
                    other => other,
                })?
            }
        }
        if let Some(columns) = options.truncate_dim {
            model.set_truncate_dim(Some(columns))?;
        }
        if let Some(tokens) = options.max_seq_length {
            model.set_max_seq_length(tokens)?;
        }
        Ok(model)
    }

    /// The same model for texts that are read otherwise: cut to another length, and filled up.
    pub(crate) fn reading(&self, max_seq_length: Option<usize>, fill: Option<Fill>) -> Self {
        Self { max_seq_length, fill, ..self.clone() }
    }

    /// Whether its folder says which modules it has; else mean pooling is meant.
    pub(crate) fn has_modules(&self) -> bool {
        self.parts.entries.is_some()
    }

    /// How a late-interaction model treats queries and documents; of other kinds it says nothing.
    pub(crate) fn late_interaction(&self) -> Arc<LateInteraction> {
        Arc::clone(&self.parts.late_interaction)
    }

    /// Tokens that are kept of a text where nobody says otherwise.
    pub(crate) fn default_max_seq_length(&self) -> Option<usize> {
        self.parts.default_max_seq_length()
    }

    /// The real limit of tokens of a text, where there is one.
    pub(crate) fn max_tokens(&self) -> Option<usize> {
        self.parts.max_tokens()
    }

    /// Rows of the embedding table.
    pub(crate) fn vocab_size(&self) -> usize {
        self.parts.network.limits().vocab_size
    }

    /// The folder of its first module, which holds `config.json`.
    pub(crate) fn transformer(&self) -> &Path {
        self.parts.transformer()
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
        &self.parts.folder
    }

    /// Where it computes.
    pub fn device(&self) -> Device {
        self.parts.place.device
    }

    /// The numbers it computes in.
    pub fn dtype(&self) -> Dtype {
        self.parts.place.dtype
    }

    /// The same model, with the same settings, on another device: loaded there once, and kept for as long as this model or
    /// a clone of it lives.
    ///
    /// # Errors
    /// [`Error::Device`] where this build or this machine lacks the device, or the device the model's dtype.
    pub fn on(&self, device: Device) -> Result<Self> {
        self.at(self.parts.place.on(device))
    }

    pub(crate) fn at(&self, place: Compute) -> Result<Self> {
        let other = self.other.as_ref().map(|other| other.at(place)).transpose()?;
        Ok(Self { parts: self.parts.twin(place)?, other, ..self.clone() })
    }

    /// Columns of an embedding, after truncation.
    pub fn embedding_dimension(&self) -> usize {
        self.columns(self.truncate_dim)
    }

    /// Columns of a token embedding.
    pub fn hidden_size(&self) -> usize {
        self.parts.network.limits().hidden_size
    }

    pub(crate) fn columns(&self, truncate_dim: Option<usize>) -> usize {
        let all = self.parts.network.embedding_dimension();
        truncate_dim.map_or(all, |columns| columns.min(all))
    }

    /// Tokens that are kept of a text, special tokens included; `None` where there is no limit.
    pub fn max_seq_length(&self) -> Option<usize> {
        self.max_seq_length
    }

    /// Sets how many tokens are kept of a text. Special tokens are kept in any case.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for 0, or for more than the model has positions for.
    pub fn set_max_seq_length(&mut self, tokens: usize) -> Result<()> {
        let most = self.parts.max_tokens().unwrap_or(usize::MAX);
        if tokens == 0 || tokens > most {
            return Err(Error::argument("max_seq_length", format!("must be from 1 to {most}, got {tokens}")));
        }
        self.max_seq_length = Some(tokens);
        Ok(())
    }

    /// Whether the prompt's tokens are pooled, too: as the folder says, or as was set.
    pub fn pooling_includes_prompt(&self) -> bool {
        self.include_prompt.unwrap_or(!self.parts.network.excludes_prompt())
    }

    /// Sets whether the prompt's tokens are pooled, too. Models that pool nothing give what they always give.
    pub fn set_pooling_include_prompt(&mut self, include_prompt: bool) {
        self.include_prompt = Some(include_prompt);
    }

    /// The prompts by name; "query" and "document" are always among them.
    pub fn prompts(&self) -> &BTreeMap<String, String> {
        &self.prompts
    }

    /// The prompts, to change them.
    pub fn prompts_mut(&mut self) -> &mut BTreeMap<String, String> {
        &mut self.prompts
    }

    /// Name of the prompt that is used where a call names none.
    pub fn default_prompt_name(&self) -> Option<&str> {
        self.default_prompt_name.as_deref()
    }

    /// Sets the prompt that is used where a call names none.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where there is no prompt of that name.
    pub fn set_default_prompt_name(&mut self, name: Option<String>) -> Result<()> {
        if let Some(name) = name.as_deref().filter(|name| !self.prompts.contains_key(*name)) {
            return Err(self.unknown_prompt("default_prompt_name", name));
        }
        self.default_prompt_name = name;
        Ok(())
    }

    /// What [`Model::similarity`] computes.
    pub fn similarity_fn(&self) -> Similarity {
        self.similarity
    }

    /// Sets what [`Model::similarity`] computes.
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

    pub(crate) fn unknown_prompt(&self, argument: &'static str, name: &str) -> Error {
        let known: Vec<_> = self.prompts.keys().map(|name| format!("{name:?}")).collect();
        Error::argument(argument, format!("no prompt {name:?}; there are {}", known.join(", ")))
    }
}

pub(crate) fn check_truncate_dim(columns: Option<usize>) -> Result<Option<usize>> {
    if columns == Some(0) {
        return Err(Error::argument("truncate_dim", "must be at least 1, got 0"));
    }
    Ok(columns)
}

/// Comparing.
impl Model {
    /// The similarity of every row of `a` with every row of `b`, `(a.len(), b.len())`, by the model's own function.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where the widths differ.
    pub fn similarity(&self, a: &Embeddings, b: &Embeddings) -> Result<Matrix> {
        similarity::similarity(self.similarity, a.into(), b.into(), Run::watched_by(&NoObserver)?)
    }

    /// The similarity of each row of `a` with the same row of `b`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where the widths or the numbers of rows differ.
    pub fn similarity_pairwise(&self, a: &Embeddings, b: &Embeddings) -> Result<Vec<f32>> {
        similarity::pairwise(self.similarity, a.into(), b.into(), Run::watched_by(&NoObserver)?)
    }
}
