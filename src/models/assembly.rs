//! Assembled models: the transformer of a folder with other modules than the folder lists.

use std::path::{Path, PathBuf};

use super::loading::{consistent, find};
use super::sentence::Model;
use crate::config::{Kind, ModelSettings, ModuleEntry, ModuleKind, PoolingConfig, PoolingMode};
use crate::engine::folders::{ModelFolders, opened, transformer_folder};
use crate::engine::loaded::{Loaded, Variant};
use crate::engine::{Engine, Prompts};
use crate::error::{Error, Result};
use crate::options::{BackboneOptions, LoadOptions};
use crate::source;

impl BackboneOptions {
    /// Returns the modules of the assembled model. `listed` are the modules that `folder` lists.
    fn modules(&self, folder: &Path, listed: Option<&[ModuleEntry]>) -> Result<Vec<ModuleEntry>> {
        if let Some(first) = listed.and_then(<[_]>::first).filter(|m| m.kind != ModuleKind::Transformer) {
            let what = format!("{}: first module of an assembled model", folder.display());
            return Err(Error::unsupported(what, first.kind.name(), ModuleKind::Transformer.name()));
        }
        if self.pooling.is_empty() || self.pooling.len() > PoolingMode::ALL.len() {
            let problem = format!("must be 1 to {} modes, got {}", PoolingMode::ALL.len(), self.pooling.len());
            return Err(Error::argument("pooling", problem));
        }
        let transformer = transformer_folder(listed, folder).to_path_buf();
        let pooling = PoolingConfig { modes: self.pooling.clone(), include_prompt: true };
        let pooling =
            ModuleEntry { pooling: Some(pooling), ..ModuleEntry::new(ModuleKind::Pooling, transformer.clone()) };
        let mut modules = vec![ModuleEntry::new(ModuleKind::Transformer, transformer), pooling];
        modules.extend(self.dense.iter().map(|folder| ModuleEntry::new(ModuleKind::Dense, folder.clone())));
        if self.normalize {
            modules.push(ModuleEntry::new(ModuleKind::Normalize, folder.join("Normalize")));
        }
        Ok(modules)
    }
}

impl Model {
    /// Assembles a model from the transformer of a folder or name, as [`Model::load`] takes it, and the pooling and
    /// modules in `backbone`.
    ///
    /// The folder's own pooling, prompts and similarity are ignored. Use it to pool in another way than the model was
    /// trained with. [`Model::save`] writes a folder that sentence-transformers loads, too.
    ///
    /// # Errors
    /// The errors of [`Model::load_with`], and [`Error::InvalidArgument`] for an unsupported combination of modules.
    pub fn from_backbone(name: &str, backbone: &BackboneOptions, options: &LoadOptions) -> Result<Self> {
        Self::from_backbone_dir(find(name, source::SENTENCE_TRANSFORMERS, options)?, backbone, options)
    }

    /// Assembles a model like [`Model::from_backbone`], from a folder.
    ///
    /// # Errors
    /// The errors of [`Model::from_backbone`].
    pub fn from_backbone_dir(
        folder: impl Into<PathBuf>,
        backbone: &BackboneOptions,
        options: &LoadOptions,
    ) -> Result<Self> {
        consistent(folder, options, |folder| {
            let (folder, listed) = opened(folder)?;
            let entries = Some(backbone.modules(&folder, listed.as_deref())?);
            let layers = backbone.num_hidden_layers;
            let folders = ModelFolders::find(folder.clone(), entries, layers, options)?;
            let loaded = Loaded::load(Kind::Sentence, folders, Variant::of(options))?;
            let settings = ModelSettings::default();
            let prompts = Prompts::of(Kind::Sentence, &settings, &folder, options)?;
            Self::new(Engine::new(loaded, prompts, options)?, &settings, options)
        })
    }
}
