//! Loading of engines, and routes: a Router has different modules for queries and documents.

use std::path::PathBuf;
use std::sync::Arc;

use super::compute::Compute;
use super::conversion::Opened;
use super::folders::ModelFolders;
use super::loaded::{Loaded, Variant};
use super::{Engine, Prompts};
use crate::config::{Kind, ModelSettings, Role, RouterEntries};
use crate::error::{Error, Result};
use crate::observer::Observer;
use crate::options::LoadOptions;

/// Route of one role. Inputs without a role take the engine's default route.
#[derive(Clone)]
pub(crate) struct OtherRoute {
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) max_seq_length: Option<usize>,
    pub(crate) role: Role,
}

impl OtherRoute {
    /// Returns the same route on another device.
    pub(crate) fn at(&self, compute: Compute, observer: &dyn Observer) -> Result<Self> {
        let variant = Variant { compute, ..self.loaded.variant };
        Ok(Self { loaded: self.loaded.twin(variant, observer)?, ..self.clone() })
    }
}

impl Engine {
    /// Loads a model of a kind from its folder, whose first module may be a Router. The returned settings are those of
    /// the kind.
    ///
    /// With two routes, `max_seq_length` limits the documents of sparse models, because their queries rarely need a
    /// transformer. In other kinds it limits the default route.
    pub(crate) fn load(kind: Kind, folder: PathBuf, options: &LoadOptions) -> Result<(Self, ModelSettings)> {
        let opened = Opened::read(kind, folder, options)?;
        let (routes, file) = match RouterEntries::resolve(opened.entries)? {
            RouterEntries::Single(entries) => return Self::of_modules(kind, Opened { entries, ..opened }, options),
            RouterEntries::ByRoute(routes, file) => (routes, file),
        };
        let role = if routes.query_by_default { Role::Document } else { Role::Query };
        let (default, other) = routes.default_and_other();
        let without_limit = LoadOptions { max_seq_length: None, ..options.clone() };
        let folder = opened.folder.clone();
        let (mut engine, settings) =
            Self::of_modules(kind, Opened { entries: Some(default), ..opened }, &without_limit)?;
        if !options.adapters.is_empty() {
            return Err(Error::argument("adapters", "must be empty for a model with a Router"));
        }
        let folders = ModelFolders::find(folder, Some(other), None, options)?;
        let loaded = Loaded::load(kind, folders, Variant { task: None, ..engine.loaded.variant })?;
        let widths = [&loaded, &*engine.loaded].map(|loaded| loaded.network.width());
        if widths[0] != widths[1] {
            let problem = format!("both routes must have the same width, got {widths:?}");
            return Err(Error::config(file, "structure", problem));
        }
        let max_seq_length = loaded.default_max_seq_length();
        engine.other = Some(OtherRoute { loaded: Arc::new(loaded), max_seq_length, role });
        match (kind, options.max_seq_length) {
            (_, None) => {}
            (Kind::Sparse, Some(tokens)) => engine.set_max_seq_length_of(Role::Document, tokens)?,
            (_, Some(tokens)) => engine.set_max_seq_length(tokens)?,
        }
        Ok((engine, settings))
    }

    /// Loads a model of a kind from these modules. `None` means a folder with only a transformer.
    pub(crate) fn of_modules(kind: Kind, opened: Opened, options: &LoadOptions) -> Result<(Self, ModelSettings)> {
        if options.activation.is_some() && kind != Kind::Reranker {
            return Err(Error::argument("activation", "applies to rerankers, whose logits it turns into scores"));
        }
        if !options.adapters.is_empty() && kind != Kind::Sentence {
            return Err(Error::argument("adapters", "applies to embedding models, whose calls select one by its task"));
        }
        let Opened { folder, entries, conversion } = opened;
        // An adapter that can't be merged is refused before any other complaint.
        let folders = ModelFolders::find(folder.clone(), entries, None, options)?;
        // sentence-transformers ignores its own settings file in a folder without modules.json.
        let (settings, file) = match folders.entries {
            Some(_) => ModelSettings::read(&folder)?,
            None => Default::default(),
        };
        let folders = ModelFolders { conversion: conversion.clone(), ..folders };
        let loaded = Loaded::load(kind, folders, Variant::of(options))
            .map_err(|error| conversion.iter().fold(error, |error, conversion| conversion.error(error)))?;
        let prompts = Prompts::of(kind, &settings, &file, options)?;
        Ok((Self::new(loaded, prompts, options)?, settings))
    }
}
