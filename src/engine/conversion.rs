//! Modules that a folder is loaded with, which are others if it was saved as another kind of model.
//!
//! sentence-transformers converts such a folder: it takes the transformer with the kind's default modules, or applies the
//! Dense modules of a sentence embedding model to each token. Weights that the folder lacks are random there, and an error
//! here.

use std::path::PathBuf;

use super::folders::{opened, transformer_folder};
use crate::config::{Kind, ModelSettings, ModuleEntry, ModuleKind};
use crate::error::{Error, Result};
use crate::options::LoadOptions;

/// Folder with the modules that are loaded from it.
pub(crate) struct Opened {
    pub(crate) folder: PathBuf,
    /// `None` means a folder with only a transformer.
    pub(crate) entries: Option<Vec<ModuleEntry>>,
    pub(crate) conversion: Option<Conversion>,
}

/// Conversion of a folder to another kind than its `model_type` names.
#[derive(Clone)]
pub(crate) struct Conversion {
    to: Kind,
    /// The folder's `model_type`.
    pub(crate) from: String,
    /// File that names it.
    file: PathBuf,
}

impl Opened {
    /// Reads the modules of a folder for a kind of model.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a folder of another kind, if the options don't convert it or its modules lack weights.
    pub(crate) fn read(kind: Kind, folder: PathBuf, options: &LoadOptions) -> Result<Self> {
        let (folder, entries) = opened(folder)?;
        let Some(entries) = entries else { return Ok(Self { folder, entries: None, conversion: None }) };
        // A head in a file of its own makes the folder one of this kind, too.
        let to = kind.of_folder(transformer_folder(Some(&entries), &folder));
        let (settings, file) = ModelSettings::read(&folder)?;
        // Old folders name no kind. Those that pool are of sentence embeddings.
        let pools = options.convert && entries.iter().any(|entry| entry.kind == ModuleKind::Pooling);
        let from = settings.model_type.or_else(|| pools.then(|| Kind::Sentence.model_type().to_owned()));
        let Some(from) = from.filter(|name| Kind::named(name) != Some(to)) else {
            return Ok(Self { folder, entries: Some(entries), conversion: None });
        };
        let conversion = Conversion { to, from, file };
        if !options.convert {
            return Err(conversion.refused());
        }
        Ok(Self { folder, entries: conversion.modules(entries)?, conversion: Some(conversion) })
    }
}

impl Conversion {
    /// Returns the modules of the converted model; `None` means the transformer with the kind's default modules.
    fn modules(&self, listed: Vec<ModuleEntry>) -> Result<Option<Vec<ModuleEntry>>> {
        match (self.to, Kind::named(&self.from)) {
            // The modules of the folder, and a random SparseAutoEncoder.
            (Kind::Sparse, Some(Kind::Sentence)) => Err(self.refused()),
            (Kind::MultiVector, Some(Kind::Sentence)) => {
                let modules: Vec<_> = listed.into_iter().filter_map(ModuleEntry::on_tokens).collect();
                match modules.iter().any(|entry| entry.kind == ModuleKind::Dense) {
                    true => Ok(Some(modules)),
                    false => Err(self.refused()),
                }
            }
            _ => Ok(None),
        }
    }

    /// Returns the error of a folder of another kind.
    fn refused(&self) -> Error {
        let what = format!("{}: for {}, model_type", self.file.display(), self.to.class());
        let hint = Kind::named(&self.from).map(|kind| format!(" (this folder is for {})", kind.class()));
        Error::unsupported(what, &self.from, format!("{}{}", self.to.model_type(), hint.unwrap_or_default()))
    }

    /// Returns the error of loading the converted model: weights that the folder lacks would be random.
    pub(super) fn error(&self, error: Error) -> Error {
        if matches!(error, Error::MissingWeight { .. }) { self.refused() } else { error }
    }
}
