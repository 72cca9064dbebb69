//! Loaded state of a model, which its clones share.

use std::sync::{Arc, Weak};

use super::compute::Compute;
use super::folders::ModelFolders;
use super::sharing::Waiting;
use super::source_files::SourceFiles;
use super::twins::Twins;
use crate::batch::TokenBudget;
use crate::config::{Adapters, JsonFile, Kind, LateInteraction, TaskIndex, TaskRoutes, TransformerSettings};
use crate::error::{Error, Result};
use crate::images::ImageProcessor;
use crate::inputs::ChatTemplate;
use crate::network::Network;
use crate::observer::{Observer, while_loading};
use crate::ops::MappedWeights;
use crate::options::LoadOptions;
use crate::tokenize::Tokenizer;
use crate::weights::MappedFiles;

/// Properties that tell the copies of a model apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Variant {
    pub(crate) compute: Compute,
    /// Task whose adapter is merged into the weights; `None` is the folder's default.
    pub(crate) task: Option<TaskIndex>,
    /// Takes the steps of tokenizer.json instead of those of its class.
    pub(crate) tokenizer_as_filed: bool,
}

impl Variant {
    /// Returns the variant of a model that is loaded with these options.
    pub(crate) fn of(options: &LoadOptions) -> Self {
        Self { compute: Compute::of(options), task: None, tokenizer_as_filed: options.tokenizer_as_filed }
    }
}

/// Loaded state of a model. Clones share it.
pub(crate) struct Loaded {
    pub(crate) kind: Kind,
    /// Kind that the folder's files describe; see [`Kind::of_folder`].
    pub(crate) folder_kind: Kind,
    pub(crate) folders: ModelFolders,
    /// The copy that this is. Its task is that of the adapter in the network, which may be the folder's default.
    pub(crate) variant: Variant,
    pub(crate) settings: TransformerSettings,
    pub(crate) tokenizer: Tokenizer,
    /// Template that every input goes through, if the model has one.
    pub(crate) chat: Option<ChatTemplate>,
    /// Processor of images, if the model embeds them.
    pub(crate) images: Option<ImageProcessor>,
    pub(crate) network: Box<dyn Network>,
    /// Small calls that wait for a permit.
    pub(crate) waiting: Waiting,
    pub(crate) adapters: Adapters,
    /// Routes by task, if modules differ by task.
    pub(crate) task_routes: Option<TaskRoutes>,
    pub(crate) late_interaction: Arc<LateInteraction>,
    pub(crate) source_files: SourceFiles,
    /// Files of weights that are read while the model computes.
    pub(super) mapped_files: MappedFiles,
    /// File of packed weights, if processes share it.
    pub(super) packed: Option<Arc<MappedWeights>>,
    /// Copies of this model on other devices, with other dtypes or for other tasks, made on demand.
    pub(super) twins: Twins,
    /// The model this copy was made from, if any.
    pub(super) first: Weak<Loaded>,
}

impl Loaded {
    /// Bounds of micro-batches: those that suit the device, and the caller's.
    pub(crate) fn token_budget(&self) -> TokenBudget {
        let budget = self.network.token_budget();
        match self.folders.choices.max_batch_texts {
            Some(texts) => budget.with_texts(texts),
            None => budget,
        }
    }

    /// Checks that no mapped file was overwritten or truncated, which would change results or end the process.
    ///
    /// # Errors
    /// [`Error::InvalidWeights`] for a file whose size or time of modification differs.
    pub(super) fn check_mapped(&self) -> Result<()> {
        if let Some(file) = self.packed.as_ref().map(|packed| packed.file().mapped()).filter(|file| file.is_changed()) {
            let problem = "was overwritten or truncated while a model used it; load the model again";
            return Err(Error::weights(file.path(), problem));
        }
        self.mapped_files.check()
    }

    /// Makes a model without what only transformers have.
    pub(super) fn new(
        kind: Kind,
        folders: ModelFolders,
        variant: Variant,
        source_files: SourceFiles,
        tokenizer: Tokenizer,
        network: Box<dyn Network>,
    ) -> Self {
        Self {
            kind,
            folder_kind: kind,
            folders,
            variant,
            settings: TransformerSettings::default(),
            tokenizer,
            chat: None,
            images: None,
            network,
            waiting: Waiting::default(),
            adapters: Adapters::default(),
            task_routes: None,
            late_interaction: Arc::default(),
            source_files,
            mapped_files: MappedFiles::default(),
            packed: None,
            twins: Twins::default(),
            first: Weak::new(),
        }
    }

    /// Reads the transformer's `config.json`.
    pub(crate) fn config(&self) -> Result<JsonFile> {
        let folder = self.folders.adapter_folders.of(self.folders.transformer()).config;
        JsonFile::read(folder.join("config.json"), "it describes the transformer")
    }

    /// Returns true if a late-interaction model's projection is among its transformer's weights, as in a folder without
    /// `modules.json`.
    pub(crate) fn has_projection(&self) -> bool {
        self.folder_kind == Kind::MultiVector && self.folders.entries.is_none()
    }

    /// Returns the same model on another device, with another dtype or for another task. It is loaded once and kept.
    ///
    /// # Errors
    /// The errors of [`Loaded::load`]; [`Error::Interrupted`] if the observer stops it.
    pub(crate) fn twin(self: &Arc<Self>, variant: Variant, observer: &dyn Observer) -> Result<Arc<Self>> {
        if variant == self.variant {
            return Ok(Arc::clone(self));
        }
        if let Some(first) = self.first.upgrade() {
            return first.twin(variant, observer);
        }
        self.twins.get(variant, observer, || while_loading(Some(observer), || self.load_twin(variant)))
    }

    fn load_twin(self: &Arc<Self>, variant: Variant) -> Result<Self> {
        self.source_files.check()?;
        let mut twin = Self::load(self.kind, self.folders.clone(), variant)?;
        self.source_files.check()?;
        let widths = [self.network.width(), twin.network.width()];
        if let Some(routes) = self.task_routes.as_ref().filter(|_| widths[0] != widths[1]) {
            let problem = format!("all routes must have the same width, got {widths:?}");
            return Err(routes.file().error("structure", problem));
        }
        twin.first = Arc::downgrade(self);
        Ok(twin)
    }

    /// # Errors
    /// [`Error::InvalidArgument`] for 0, or for more tokens than the model has positions.
    pub(crate) fn check_max_seq_length(&self, tokens: usize) -> Result<()> {
        let max = self.max_tokens().unwrap_or(usize::MAX);
        if tokens == 0 || tokens > max {
            return Err(Error::argument("max_seq_length", format!("must be from 1 to {max}, got {tokens}")));
        }
        Ok(())
    }

    /// Maximum number of tokens that the model has positions for; `None` means no limit.
    pub(crate) fn max_tokens(&self) -> Option<usize> {
        self.network.limits().max_tokens
    }

    /// Maximum number of tokens in the folder's settings, at most [`Loaded::max_tokens`].
    pub(crate) fn default_max_seq_length(&self) -> Option<usize> {
        let configured = self.settings.max_seq_length;
        let by_tokenizer = || {
            [self.tokenizer.model_max_length(), self.network.limits().max_position_embeddings]
                .into_iter()
                .flatten()
                .min()
        };
        [configured.or_else(by_tokenizer), self.max_tokens()].into_iter().flatten().min()
    }
}
