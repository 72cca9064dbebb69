//! Loading an engine, and its routes: a Router has other modules for queries than for documents.

use std::path::PathBuf;
use std::sync::Arc;

use super::compute::Compute;
use super::loaded::{Loaded, opened};
use super::{Engine, Prompts, Role};
use crate::config::{Kind, ModuleEntry, ModuleKind, Routes, Settings};
use crate::error::{Error, Result};
use crate::options::LoadOptions;

/// The modules of inputs without a role, and those of the role that goes another route.
struct Routed {
    default: Option<Vec<ModuleEntry>>,
    other: Option<(Role, Vec<ModuleEntry>)>,
    /// The Router's folder, for messages.
    router: PathBuf,
}

impl Routed {
    /// Splits the modules where a Router is listed first; the modules after it are for both routes.
    fn of(entries: Option<Vec<ModuleEntry>>) -> Result<Self> {
        let Some([router, rest @ ..]) = entries.as_deref().filter(|entries| entries.first().is_some_and(is_router))
        else {
            return Ok(Self { default: entries, other: None, router: PathBuf::new() });
        };
        let Routes { query, document, query_by_default } = Routes::read(&router.folder)?;
        let [query, document] =
            [query, document].map(|route| route.into_iter().chain(rest.iter().cloned()).collect::<Vec<_>>());
        let (default, other) = match query_by_default {
            true => (query, (Role::Document, document)),
            false => (document, (Role::Query, query)),
        };
        Ok(Self { default: Some(default), other: Some(other), router: router.folder.clone() })
    }
}

fn is_router(entry: &ModuleEntry) -> bool {
    entry.kind == ModuleKind::Router
}

/// The route of one role, where inputs without a role go the other one.
#[derive(Clone)]
pub(crate) struct OtherRoute {
    pub(crate) loaded: Arc<Loaded>,
    pub(crate) max_seq_length: Option<usize>,
    pub(crate) role: Role,
}

impl OtherRoute {
    /// The same route on another device.
    pub(crate) fn at(&self, compute: Compute) -> Result<Self> {
        Ok(Self { loaded: self.loaded.twin(compute)?, ..self.clone() })
    }
}

impl Engine {
    /// Loads a model of a kind from its folder, whose first module may be a Router. The settings hold what is for that kind
    /// alone.
    ///
    /// With two routes `max_seq_length` is for documents of sparse models, whose queries mostly need no transformer, and for
    /// inputs without a role of others.
    pub(crate) fn load(kind: Kind, folder: PathBuf, options: &LoadOptions) -> Result<(Self, Settings)> {
        let (folder, entries) = opened(folder)?;
        let Routed { default, other, router } = Routed::of(entries)?;
        let Some((role, entries)) = other else {
            return Self::of_modules(kind, folder, default, options);
        };
        let without_limit = LoadOptions { max_seq_length: None, ..options.clone() };
        let (mut engine, settings) = Self::of_modules(kind, folder.clone(), default, &without_limit)?;
        let loaded = Loaded::load(kind, folder, Some(entries), None, engine.loaded.compute)?;
        let widths = [&loaded, &*engine.loaded].map(|loaded| loaded.network.width());
        if widths[0] != widths[1] {
            let problem = format!("both routes must give embeddings of one width, give {widths:?}");
            return Err(Error::config(router.join("router_config.json"), "structure", problem));
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

    /// Loads a model of a kind of these modules; without any, the folder is that of a transformer alone.
    pub(crate) fn of_modules(
        kind: Kind,
        folder: PathBuf,
        entries: Option<Vec<ModuleEntry>>,
        options: &LoadOptions,
    ) -> Result<(Self, Settings)> {
        if options.activation.is_some() && kind != Kind::Reranker {
            return Err(Error::argument("activation", "is for rerankers: it is what is made of their logits"));
        }
        // A transformer's own folder has no say in how its model is used.
        let (settings, file) = match entries {
            Some(_) => Settings::read(&folder, kind)?,
            None => Default::default(),
        };
        let loaded = Loaded::load(kind, folder, entries, None, Compute::of(options))?;
        let prompts = Prompts::of(kind, &settings, &file, options)?;
        Ok((Self::new(loaded, prompts, options)?, settings))
    }
}
