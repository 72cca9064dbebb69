//! Loaded state of a model, which its clones share, and its loading from a folder.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use serde_json::Value;

use super::adapter_folders::AdapterFolders;
use super::calibration::calibrate;
use super::compute::{Compute, ComputeOps};
use super::sharing::Waiting;
use super::source_files::SourceFiles;
use super::twins::Twins;
use crate::config::{
    Adapters, JsonFile, Kind, LateInteraction, ModuleEntry, ModuleKind, TaskIndex, TaskRoutes, TransformerSettings,
    TransformerTask, keep_layers, modules, transformer_settings,
};
use crate::device::Dtype;
use crate::error::{Error, Result};
use crate::families::Family;
use crate::heads::{Files, yes_and_no};
use crate::images::ImageProcessor;
use crate::inputs::ChatTemplate;
use crate::network::{self, Network, static_embedding, token_weights};
use crate::observer::{Observer, while_loading};
use crate::options::{LoadOptions, StaticRule};
use crate::threads::schedule;
use crate::tokenize::class::{self, DefaultClass};
use crate::tokenize::{Tokenizer, TokenizerSettings};
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

/// Folders that a model is loaded from, with its modules.
#[derive(Clone)]
pub(crate) struct ModelFolders {
    pub(crate) folder: PathBuf,
    /// Modules that `modules.json` lists, if there is one.
    pub(crate) entries: Option<Vec<ModuleEntry>>,
    pub(crate) choices: Choices,
    pub(crate) adapter_folders: AdapterFolders,
}

/// Choices of the caller that a folder's files don't make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choices {
    /// Number of the transformer's first layers that are kept; `None` keeps all.
    pub(crate) layers: Option<usize>,
    /// Rule of a static model; `None` is that of its kind of folder.
    pub(crate) static_rule: Option<StaticRule>,
    /// Maps weights into memory.
    pub(crate) mmap: bool,
}

/// Loaded state of a model. Clones share it.
pub(crate) struct Loaded {
    pub(crate) kind: Kind,
    /// Kind that the folder's files describe; see [`Kind::of_folder`].
    pub(crate) folder_kind: Kind,
    pub(crate) folder: PathBuf,
    /// Modules that `modules.json` lists, if there is one.
    pub(crate) entries: Option<Vec<ModuleEntry>>,
    pub(crate) choices: Choices,
    pub(crate) settings: TransformerSettings,
    pub(crate) tokenizer: Tokenizer,
    /// Template that every input goes through, if the model has one.
    pub(crate) chat: Option<ChatTemplate>,
    /// Processor of images, if the model embeds them.
    pub(crate) images: Option<ImageProcessor>,
    pub(crate) network: Box<dyn Network>,
    /// Small calls that wait for a permit.
    pub(crate) waiting: Waiting,
    pub(crate) compute: Compute,
    pub(crate) adapters: Adapters,
    pub(crate) adapter_folders: AdapterFolders,
    /// Task whose adapter is part of the network.
    pub(crate) task: Option<TaskIndex>,
    tokenizer_as_filed: bool,
    /// Routes by task, if modules differ by task.
    pub(crate) task_routes: Option<TaskRoutes>,
    pub(crate) late_interaction: Arc<LateInteraction>,
    pub(crate) source_files: SourceFiles,
    /// Files of weights that are read while the model computes.
    pub(crate) mapped_files: MappedFiles,
    /// Copies of this model on other devices, with other dtypes or for other tasks, made on demand.
    twins: Twins,
    /// The model this copy was made from, if any.
    first: Weak<Loaded>,
}

impl Loaded {
    pub(crate) fn transformer(&self) -> &Path {
        transformer_folder(self.entries.as_deref(), &self.folder)
    }

    /// Reads the transformer's `config.json`.
    pub(crate) fn config(&self) -> Result<JsonFile> {
        let folder = self.adapter_folders.of(self.transformer()).config;
        JsonFile::read(folder.join("config.json"), "it describes the transformer")
    }

    /// Returns true if a late-interaction model's projection is among its transformer's weights, as in a folder without
    /// `modules.json`.
    pub(crate) fn has_projection(&self) -> bool {
        self.folder_kind == Kind::MultiVector && self.entries.is_none()
    }

    /// Returns the kind of the first module.
    pub(crate) fn first(&self) -> ModuleKind {
        let listed = self.entries.as_deref().and_then(<[_]>::first);
        listed.map_or(ModuleKind::Transformer, |entry| entry.kind)
    }
}

pub(crate) fn transformer_folder<'a>(entries: Option<&'a [ModuleEntry]>, folder: &'a Path) -> &'a Path {
    entries.and_then(<[_]>::first).map_or(folder, |entry| &entry.folder)
}

/// Checks that a folder exists, and reads its list of modules, if there is one.
pub(crate) fn opened(folder: PathBuf) -> Result<(PathBuf, Option<Vec<ModuleEntry>>)> {
    if !folder.is_dir() {
        let looked = vec![format!("{}: no such folder", folder.display())];
        return Err(Error::ModelNotFound { name: folder.display().to_string(), looked });
    }
    let listed = listed_modules(&folder)?;
    Ok((folder, listed))
}

/// Reads the list of modules in `modules.json`, if there is one. A model2vec folder implies its modules.
fn listed_modules(folder: &Path) -> Result<Option<Vec<ModuleEntry>>> {
    if let Some(entries) = modules(folder)? {
        return Ok(Some(entries));
    }
    let Some(config) = JsonFile::read_if_there(folder.join("config.json"))? else { return Ok(None) };
    if config.value.get("model_type").is_none_or(|kind| kind != "model2vec") {
        return Ok(None);
    }
    let mut entries = vec![ModuleEntry::new(ModuleKind::StaticEmbedding, folder.to_path_buf())];
    match config.value.get("normalize") {
        None | Some(Value::Null | Value::Bool(false)) => {}
        Some(Value::Bool(true)) => {
            entries.push(ModuleEntry::new(ModuleKind::Normalize, folder.join("1_Normalize")));
        }
        Some(other) => return Err(config.error("normalize", format!("must be true or false, got {other}"))),
    }
    Ok(Some(entries))
}

/// Returns model2vec's maximum number of tokens per text.
fn model2vec_length(folder: &Path) -> Result<Option<usize>> {
    const DEFAULT: usize = 512;
    let Some(config) = JsonFile::read_if_there(folder.join("config.json"))? else { return Ok(Some(DEFAULT)) };
    match config.value.get("max_length") {
        None => Ok(Some(DEFAULT)),
        Some(Value::Null) => Ok(None),
        Some(length) => match length.as_u64().filter(|length| *length > 0) {
            Some(length) => Ok(Some(length as usize)),
            None => Err(config.error("max_length", format!("must be a whole number of at least 1, got {length}"))),
        },
    }
}

impl Loaded {
    /// # Errors
    /// [`Error::InvalidConfig`] if a file has changed while it was read; else the error of the missing or malformed
    /// file.
    pub(crate) fn load(kind: Kind, folders: ModelFolders, variant: Variant) -> Result<Self> {
        let mmap = folders.choices.mmap;
        let (parts, mapped_files) = MappedFiles::of_load(mmap, || Self::read(kind, folders, variant))?;
        parts.source_files.check()?;
        Ok(Self { mapped_files, ..parts })
    }

    fn read(kind: Kind, folders: ModelFolders, Variant { compute, task, tokenizer_as_filed }: Variant) -> Result<Self> {
        let ModelFolders { folder, entries, choices, adapter_folders } = folders;
        let first = entries.as_ref().map(|entries| entries.first().map(|entry| entry.kind));
        match first {
            None | Some(Some(ModuleKind::Transformer)) => {}
            Some(Some(ModuleKind::TaskTransformer | ModuleKind::ClipModel)) if kind == Kind::Sentence => {}
            Some(Some(ModuleKind::MlmTransformer)) if kind == Kind::Sparse => {}
            Some(Some(ModuleKind::StaticEmbedding)) if kind == Kind::Sentence => {
                return Self::load_static(folder, entries, choices, compute);
            }
            Some(Some(ModuleKind::SparseStaticEmbedding)) if kind == Kind::Sparse => {
                return Self::load_token_weights(folder, entries, choices, compute, tokenizer_as_filed);
            }
            Some(other) => {
                let what = format!("{}: first module", folder.join("modules.json").display());
                let got = other.map_or("none", ModuleKind::name);
                return Err(Error::unsupported(what, got, "Transformer"));
            }
        }
        let task_routes = TaskRoutes::read(entries.as_deref())?;
        let other_folders = adapter_folders.others();
        let source_files = SourceFiles::of(&folder, entries.as_deref(), task_routes.as_ref(), other_folders);
        let transformer = transformer_folder(entries.as_deref(), &folder);
        let files_from = adapter_folders.of(transformer);
        let mut config = JsonFile::read(files_from.config.join("config.json"), "it describes the transformer")?;
        let folder_kind = kind.of_folder(transformer);
        // Checked before other files, because an unknown architecture may lack them.
        let transformer_task = TransformerTask::of(folder_kind, entries.as_deref(), &config);
        let family = Family::of(&config, transformer_task)?;
        let transformer_task = family.task(transformer_task);
        let images = family
            .images
            .as_ref()
            .map(|tower| ImageProcessor::read(files_from.tokenizer, (tower.shape)(&config)?, tower.processor));
        let images = images.transpose()?;
        let settings = transformer_settings(transformer, folder_kind, entries.as_ref().map(|_| transformer_task))?;
        let (named, has_own) = adapter_folders.named();
        let adapters = Adapters::read(&config, &settings)?.with_folders(named, has_own)?;
        if let Some(routes) = task_routes.as_ref().filter(|_| !adapters.tasks.is_empty()) {
            let supported = "routes by task, or adapters by task";
            return Err(routes.file().unsupported("structure", "routes beside adapters", supported));
        }
        let default_task =
            || task_routes.as_ref().map_or_else(|| adapters.choose(None), |routes| Ok(Some(routes.first())));
        let task = task.map_or_else(default_task, |task| Ok(Some(task)))?;
        let of_task = task_routes.as_ref().zip(task).zip(entries.as_deref());
        let of_task = of_task.map(|((routes, task), listed)| routes.entries(listed, task));
        let computed = of_task.as_deref().or(entries.as_deref());
        let strips = first == Some(Some(ModuleKind::TaskTransformer));
        if strips && adapters.tasks.is_empty() {
            let problem = "must list tasks: modules.json names a transformer that takes one";
            return Err(config.error("lora_adaptations", problem));
        }
        if let Some(layers) = choices.layers {
            keep_layers(&mut config, layers)?;
        }
        let late_interaction = match folder_kind {
            Kind::MultiVector => LateInteraction::read(&folder, transformer, entries.as_deref())?,
            _ => LateInteraction::default(),
        };
        let prefixes = late_interaction.prefixes.as_ref().map_or(&[][..], |prefixes| prefixes);
        let tokenizer = || {
            let settings = TokenizerSettings {
                do_lower_case: settings.do_lower_case,
                max_seq_length: settings.max_seq_length,
                as_filed: tokenizer_as_filed,
            };
            Tokenizer::load(files_from.tokenizer, family.tokenizer, settings)?.stripping(strips).with_prefixes(prefixes)
        };
        let adapter = task.filter(|_| task_routes.is_none()).map(|task| adapters.adapter(task));
        let files = |answers| Files {
            folder: &folder,
            entries: computed,
            weights: files_from.weights,
            config: &config,
            family,
            task: transformer_task,
            answers,
            adapter: adapter.clone(),
        };
        let network = |files: &Files<'_>| match compute.ops()? {
            ComputeOps::Cpu(ops) => network::load(kind, files, ops),
            #[cfg(feature = "portable")]
            ComputeOps::Portable(ops) => network::load(kind, files, ops),
        };
        let (tokenizer, network) = match (transformer_task, &entries) {
            (TransformerTask::TextGeneration, None) => {
                let tokenizer = tokenizer()?;
                let answers = yes_and_no(&tokenizer, files_from.tokenizer)?;
                let network = network(&files(Some(answers)))?;
                (tokenizer, network)
            }
            _ => schedule::both(tokenizer, || network(&files(None)))?,
        };
        let chat = ChatTemplate::load(kind, &settings, files_from.tokenizer, &tokenizer)?;
        check_room(&config, tokenizer.special_tokens(), network.limits().max_tokens)?;
        if compute.dtype == Dtype::Int8 {
            calibrate(kind, &tokenizer, &*network)?;
        }
        Ok(Self {
            kind,
            folder_kind,
            folder,
            entries,
            choices,
            settings,
            tokenizer,
            chat,
            images,
            network,
            compute,
            adapters,
            adapter_folders,
            task,
            tokenizer_as_filed,
            task_routes,
            late_interaction: Arc::new(late_interaction),
            source_files,
            mapped_files: MappedFiles::default(),
            waiting: Waiting::default(),
            twins: Twins::default(),
            first: Weak::new(),
        })
    }

    /// Loads a static embedding model, which has a vector per token and no transformer.
    fn load_static(
        folder: PathBuf,
        entries: Option<Vec<ModuleEntry>>,
        choices: Choices,
        compute: Compute,
    ) -> Result<Self> {
        let source_files = SourceFiles::of(&folder, entries.as_deref(), None, std::iter::empty());
        let listed = entries.as_deref().unwrap_or_default();
        let module = transformer_folder(entries.as_deref(), &folder);
        let mut tokenizer = Tokenizer::load_as_filed(module)?;
        match choices.static_rule.map_or_else(|| static_embedding::rule(module), Ok)? {
            StaticRule::Model2Vec => tokenizer = tokenizer.by_model2vec(module, model2vec_length(module)?)?,
            StaticRule::SentenceTransformers if folder.join("modules.json").exists() => {}
            StaticRule::SentenceTransformers => tokenizer = tokenizer.cut_to(model2vec_length(&folder)?),
        }
        let network = match compute.ops()? {
            ComputeOps::Cpu(ops) => static_embedding::load(listed, ops)?,
            #[cfg(feature = "portable")]
            ComputeOps::Portable(ops) => static_embedding::load(listed, ops)?,
        };
        let parts =
            Self::without_transformer(Kind::Sentence, folder, choices, tokenizer, network, compute, source_files);
        Ok(Self { entries, ..parts })
    }

    /// Loads a sparse static model, which has a weight per token and no transformer.
    fn load_token_weights(
        folder: PathBuf,
        entries: Option<Vec<ModuleEntry>>,
        choices: Choices,
        compute: Compute,
        as_filed: bool,
    ) -> Result<Self> {
        if entries.as_ref().is_some_and(|entries| entries.len() > 1) {
            let problem = "must list no module after a SparseStaticEmbedding";
            return Err(Error::config(folder, "modules", problem));
        }
        let source_files = SourceFiles::of(&folder, entries.as_deref(), None, std::iter::empty());
        // The CPU looks up the weights, but a missing device is still an error.
        compute.ops()?;
        let module = transformer_folder(entries.as_deref(), &folder);
        // tokenizer_config.json names the class of the tokenizer; there is no model type that implies one.
        let settings = TokenizerSettings { as_filed, ..TokenizerSettings::default() };
        let tokenizer = Tokenizer::load(module, DefaultClass::Undeclared(&class::GENERIC), settings)?.bare();
        let network = token_weights::load(module, &tokenizer)?;
        let parts = Self::without_transformer(Kind::Sparse, folder, choices, tokenizer, network, compute, source_files);
        Ok(Self { entries, tokenizer_as_filed: as_filed, ..parts })
    }

    fn without_transformer(
        kind: Kind,
        folder: PathBuf,
        choices: Choices,
        tokenizer: Tokenizer,
        network: Box<dyn Network>,
        compute: Compute,
        source_files: SourceFiles,
    ) -> Self {
        Self {
            kind,
            folder_kind: kind,
            folder,
            entries: None,
            choices,
            settings: TransformerSettings::default(),
            tokenizer,
            chat: None,
            images: None,
            network,
            compute,
            adapters: Adapters::default(),
            adapter_folders: AdapterFolders::default(),
            task: None,
            tokenizer_as_filed: false,
            task_routes: None,
            late_interaction: Arc::default(),
            source_files,
            mapped_files: MappedFiles::default(),
            waiting: Waiting::default(),
            twins: Twins::default(),
            first: Weak::new(),
        }
    }

    fn folders(&self) -> ModelFolders {
        ModelFolders {
            folder: self.folder.clone(),
            entries: self.entries.clone(),
            choices: self.choices,
            adapter_folders: self.adapter_folders.clone(),
        }
    }

    pub(crate) fn variant(&self) -> Variant {
        let Self { compute, task, tokenizer_as_filed, .. } = *self;
        Variant { compute, task, tokenizer_as_filed }
    }

    /// Returns the same model on another device, with another dtype or for another task. It is loaded once and kept.
    ///
    /// # Errors
    /// The errors of [`Loaded::load`]; [`Error::Interrupted`] if the observer stops it.
    pub(crate) fn twin(self: &Arc<Self>, variant: Variant, observer: &dyn Observer) -> Result<Arc<Self>> {
        if variant == self.variant() {
            return Ok(Arc::clone(self));
        }
        if let Some(first) = self.first.upgrade() {
            return first.twin(variant, observer);
        }
        self.twins.get(variant, observer, || while_loading(Some(observer), || self.load_twin(variant)))
    }

    fn load_twin(self: &Arc<Self>, variant: Variant) -> Result<Self> {
        self.source_files.check()?;
        let mut twin = Self::load(self.kind, self.folders(), variant)?;
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

/// Checks that the model has positions for the special tokens, which are never truncated.
fn check_room(config: &JsonFile, special_tokens: usize, max_tokens: Option<usize>) -> Result<()> {
    match max_tokens.filter(|max| *max < special_tokens) {
        Some(max) => {
            let problem = format!("must fit the {special_tokens} special tokens of a pair, fits {max} tokens");
            Err(config.error("max_position_embeddings", problem))
        }
        None => Ok(()),
    }
}
