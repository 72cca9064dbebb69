//! Loading of a model from its folder, by the kind of its first module.

use std::path::Path;
use std::sync::Arc;

use super::calibration::calibrate;
use super::compute::ComputeOps;
use super::folders::ModelFolders;
use super::loaded::{Loaded, Variant};
use super::packing::PackedWeights;
use super::source_files::SourceFiles;
use crate::alloc;
use crate::config::{
    Adapters, JsonFile, Kind, LateInteraction, ModuleKind, TaskRoutes, TransformerSettings, TransformerTask,
    keep_layers, model2vec_length, transformer_settings,
};
use crate::device::Dtype;
use crate::error::{Error, Result};
use crate::families::Family;
use crate::heads::{Files, yes_and_no};
use crate::images::ImageProcessor;
use crate::inputs::ChatTemplate;
use crate::network::{self, Network, static_embedding, token_weights};
use crate::ops::Packing;
use crate::options::StaticRule;
use crate::threads::{place, schedule};
use crate::tokenize::class::{self, DefaultClass};
use crate::tokenize::{Tokenizer, TokenizerSettings};
use crate::weights::MappedFiles;

/// Loads a network with the ops of a variant's device.
macro_rules! with_ops {
    ($variant:expr, $packing:expr, |$ops:ident| $load:expr) => {
        match $variant.compute.ops($packing)? {
            ComputeOps::Cpu($ops) => $load,
            #[cfg(feature = "portable")]
            ComputeOps::Portable($ops) => $load,
        }
    };
}

impl Loaded {
    /// # Errors
    /// [`Error::InvalidConfig`] if a file has changed while it was read; else the error of the missing or malformed
    /// file.
    pub(crate) fn load(kind: Kind, folders: ModelFolders, variant: Variant) -> Result<Self> {
        let mmap = folders.choices.mmap;
        let (loaded, mapped_files) = MappedFiles::of_load(mmap, || Self::read(kind, folders, variant))?;
        loaded.source_files.check()?;
        mapped_files.forget_pages();
        alloc::return_free_memory();
        Ok(Self { mapped_files, ..loaded })
    }

    fn read(kind: Kind, folders: ModelFolders, variant: Variant) -> Result<Self> {
        match (folders.first(), kind) {
            (Some(ModuleKind::Transformer), _)
            | (Some(ModuleKind::TaskTransformer | ModuleKind::ClipModel), Kind::Sentence)
            | (Some(ModuleKind::MlmTransformer), Kind::Sparse) => Self::load_transformer(kind, folders, variant),
            (Some(ModuleKind::StaticEmbedding), Kind::Sentence) => Self::load_static(folders, variant),
            (Some(ModuleKind::SparseStaticEmbedding), Kind::Sparse) => Self::load_token_weights(folders, variant),
            (other, _) => {
                let what = format!("{}: first module", folders.folder.join("modules.json").display());
                let got = other.map_or("none", ModuleKind::name);
                Err(Error::unsupported(what, got, "Transformer"))
            }
        }
    }

    fn load_transformer(kind: Kind, folders: ModelFolders, variant: Variant) -> Result<Self> {
        let entries = folders.entries.as_deref();
        let transformer = folders.transformer();
        let files_from = folders.adapter_folders.of(transformer);
        let task_routes = TaskRoutes::read(entries)?;
        let others = folders.adapter_folders.others();
        let source_files = SourceFiles::of(&folders.folder, entries, task_routes.as_ref(), others);
        let mut config = JsonFile::read(files_from.config.join("config.json"), "it describes the transformer")?;
        let folder_kind = kind.of_folder(transformer);
        // Checked before other files, because an unknown architecture may lack them.
        let transformer_task = TransformerTask::of(folder_kind, entries, &config);
        let family = Family::of(&config, transformer_task)?;
        let transformer_task = family.task(transformer_task);
        let images = image_processor(family, &config, files_from.tokenizer)?;
        let settings = transformer_settings(transformer, folder_kind, entries.map(|_| transformer_task))?;
        let adapters = adapters(&config, &settings, &folders, task_routes.as_ref())?;
        let task = match (variant.task, &task_routes) {
            (Some(task), _) => Some(task),
            (None, Some(routes)) => Some(routes.first()),
            (None, None) => adapters.choose(None)?,
        };
        if let Some(layers) = folders.choices.layers {
            keep_layers(&mut config, layers)?;
        }
        let late_interaction = match folder_kind {
            Kind::MultiVector => LateInteraction::read(&folders.folder, transformer, entries)?,
            _ => LateInteraction::default(),
        };
        let tokenizer = || {
            let settings = TokenizerSettings {
                do_lower_case: settings.do_lower_case,
                max_seq_length: settings.max_seq_length,
                as_filed: variant.tokenizer_as_filed,
            };
            let prefixes = late_interaction.prefixes.as_ref().map_or(&[][..], |prefixes| prefixes);
            Tokenizer::load(files_from.tokenizer, family.tokenizer, settings)?
                .stripping(folders.first() == Some(ModuleKind::TaskTransformer))
                .with_prefixes(prefixes)
        };
        let of_task = task_routes.as_ref().zip(task).zip(entries);
        let of_task = of_task.map(|((routes, task), listed)| routes.entries(listed, task));
        let adapter = task.filter(|_| task_routes.is_none()).map(|task| adapters.adapter(task));
        let variant = Variant { task, ..variant };
        let packed = PackedWeights::find(kind, &folders, variant, &source_files)?;
        let network = |answers, packing| {
            let files = Files {
                folder: &folders.folder,
                entries: of_task.as_deref().or(entries),
                weights: files_from.weights,
                config: &config,
                family,
                task: transformer_task,
                answers,
                adapter: adapter.clone(),
            };
            place::within(Vec::new(), || with_ops!(variant, packing, |ops| network::load(kind, &files, ops)))
        };
        let (tokenizer, answers, first) = match (transformer_task, entries) {
            (TransformerTask::TextGeneration, None) => {
                let tokenizer = tokenizer()?;
                let answers = Some(yes_and_no(&tokenizer, files_from.tokenizer)?);
                (tokenizer, answers, network(answers, packed.packing())?)
            }
            _ => {
                let (tokenizer, first) = schedule::both(tokenizer, || network(None, packed.packing()))?;
                (tokenizer, None, first)
            }
        };
        let chat = ChatTemplate::load(kind, &settings, files_from.tokenizer, &tokenizer)?;
        check_room(&config, tokenizer.special_tokens(), first.limits().max_tokens)?;
        let calibrate = |network: &dyn Network| match variant.compute.dtype {
            Dtype::Int8 => calibrate(kind, &tokenizer, images.as_ref(), network),
            _ => Ok(()),
        };
        let (network, packed) =
            packed.complete(first, &source_files, calibrate, |packing| network(answers, packing))?;
        Ok(Self {
            folder_kind,
            settings,
            chat,
            images,
            adapters,
            task_routes,
            late_interaction: Arc::new(late_interaction),
            packed,
            ..Self::new(kind, folders, variant, source_files, tokenizer, network)
        })
    }

    /// Loads a static embedding model, which has a vector per token and no transformer.
    fn load_static(folders: ModelFolders, variant: Variant) -> Result<Self> {
        let entries = folders.entries.as_deref();
        let source_files = SourceFiles::of(&folders.folder, entries, None, std::iter::empty());
        let module = folders.transformer();
        let mut tokenizer = Tokenizer::load_as_filed(module)?;
        match folders.choices.static_rule.map_or_else(|| static_embedding::rule(module), Ok)? {
            StaticRule::Model2Vec => tokenizer = tokenizer.by_model2vec(module, model2vec_length(module)?)?,
            StaticRule::SentenceTransformers if folders.folder.join("modules.json").exists() => {}
            StaticRule::SentenceTransformers => tokenizer = tokenizer.cut_to(model2vec_length(&folders.folder)?),
        }
        let network =
            with_ops!(variant, Packing::Private, |ops| static_embedding::load(entries.unwrap_or_default(), ops)?);
        let variant = Variant { task: None, tokenizer_as_filed: false, ..variant };
        Ok(Self::new(Kind::Sentence, folders, variant, source_files, tokenizer, network))
    }

    /// Loads a sparse static model, which has a weight per token and no transformer.
    fn load_token_weights(folders: ModelFolders, variant: Variant) -> Result<Self> {
        let entries = folders.entries.as_deref();
        if entries.is_some_and(|entries| entries.len() > 1) {
            let problem = "must list no module after a SparseStaticEmbedding";
            return Err(Error::config(folders.folder, "modules", problem));
        }
        let source_files = SourceFiles::of(&folders.folder, entries, None, std::iter::empty());
        // The CPU looks up the weights, but a missing device is still an error.
        variant.compute.ops(Packing::Private)?;
        let module = folders.transformer();
        // tokenizer_config.json names the class of the tokenizer; there is no model type that implies one.
        let settings = TokenizerSettings { as_filed: variant.tokenizer_as_filed, ..TokenizerSettings::default() };
        let tokenizer = Tokenizer::load(module, DefaultClass::Undeclared(&class::GENERIC), settings)?.bare();
        let network = token_weights::load(module, &tokenizer)?;
        let variant = Variant { task: None, ..variant };
        Ok(Self::new(Kind::Sparse, folders, variant, source_files, tokenizer, network))
    }
}

/// Reads the processor of images in a tokenizer's folder, if the family embeds them.
fn image_processor(family: &Family, config: &JsonFile, folder: &Path) -> Result<Option<ImageProcessor>> {
    let Some(tower) = &family.images else { return Ok(None) };
    ImageProcessor::read(folder, (tower.shape)(config)?, tower.processor).map(Some)
}

/// Reads the adapters that a transformer's config lists, and those in folders of their own.
fn adapters(
    config: &JsonFile,
    settings: &TransformerSettings,
    folders: &ModelFolders,
    routes: Option<&TaskRoutes>,
) -> Result<Adapters> {
    let (named, has_own) = folders.adapter_folders.named();
    let adapters = Adapters::read(config, settings)?.with_folders(named, has_own)?;
    if let Some(routes) = routes.filter(|_| !adapters.tasks.is_empty()) {
        let supported = "routes by task, or adapters by task";
        return Err(routes.file().unsupported("structure", "routes beside adapters", supported));
    }
    if folders.first() == Some(ModuleKind::TaskTransformer) && adapters.tasks.is_empty() {
        let problem = "must list tasks: modules.json names a transformer that takes one";
        return Err(config.error("lora_adaptations", problem));
    }
    Ok(adapters)
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
