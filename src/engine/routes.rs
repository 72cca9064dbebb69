//! Routers: other modules for queries than for documents.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use super::compute::Compute;
use super::loaded::{Loaded, opened};
use crate::config::{Kind, ModuleEntry, ModuleKind, Routes, Settings};
use crate::error::{Error, Result};
use crate::models::Model;
use crate::options::LoadOptions;

/// The modules of texts that are said to be neither queries nor documents, and those of one of the two.
pub(crate) struct Routed {
    pub(crate) default: Option<Vec<ModuleEntry>>,
    pub(crate) other: Option<OtherRoute>,
}

/// The modules of queries, or of documents, where the default is the other one.
pub(crate) struct OtherRoute {
    pub(crate) entries: Vec<ModuleEntry>,
    pub(crate) of_queries: bool,
    /// The Router's folder, for messages.
    pub(crate) folder: PathBuf,
}

impl Routed {
    /// A Router that is listed first parts the modules; those after it are for both routes.
    pub(crate) fn of(entries: Option<Vec<ModuleEntry>>) -> Result<Self> {
        let Some([router, rest @ ..]) = entries.as_deref().filter(|entries| entries[..].first().is_some_and(is_router))
        else {
            return Ok(Self { default: entries, other: None });
        };
        let Routes { query, document, query_by_default } = Routes::read(&router.folder)?;
        let both = [query, document].map(|route| route.into_iter().chain(rest.iter().cloned()).collect::<Vec<_>>());
        let [query, document] = both;
        let (default, entries) = if query_by_default { (query, document) } else { (document, query) };
        let other = OtherRoute { entries, of_queries: !query_by_default, folder: router.folder.clone() };
        Ok(Self { default: Some(default), other: Some(other) })
    }
}

fn is_router(entry: &ModuleEntry) -> bool {
    entry.kind == ModuleKind::Router
}

/// What a model's other route needs of its own.
#[derive(Clone)]
pub(crate) struct Other {
    pub(crate) parts: Arc<Loaded>,
    max_seq_length: Option<usize>,
    pub(crate) of_queries: bool,
}

impl Other {
    /// The same at another place.
    pub(crate) fn at(&self, place: Compute) -> Result<Self> {
        Ok(Self { parts: self.parts.twin(place)?, ..self.clone() })
    }
}

impl Model {
    /// Loads a model whose first module may be a Router.
    pub(crate) fn routed(folder: PathBuf, options: &LoadOptions) -> Result<(Self, Settings)> {
        let (folder, entries) = opened(folder)?;
        let Routed { default, other } = Routed::of(entries)?;
        let (mut model, settings) = Self::of_modules(Kind::Sentence, folder.clone(), default, options)?;
        if let Some(OtherRoute { entries, of_queries, folder: router }) = other {
            let parts = Loaded::load(Kind::Sentence, folder, Some(entries), None, model.parts.place)?;
            let widths = [&parts, &model.parts].map(|parts| parts.network.embedding_dimension());
            if widths[0] != widths[1] {
                let problem = format!("both routes must give embeddings of one width, give {widths:?}");
                return Err(Error::config(router.join("router_config.json"), "structure", problem));
            }
            let max_seq_length = parts.default_max_seq_length();
            model.other = Some(Other { parts: Arc::new(parts), max_seq_length, of_queries });
        }
        Ok((model, settings))
    }

    /// The model that embeds queries, or documents: this one, unless they go different ways.
    pub(crate) fn by_route(&self, as_queries: bool) -> Cow<'_, Self> {
        match &self.other {
            Some(other) if other.of_queries == as_queries => Cow::Owned(Self {
                parts: Arc::clone(&other.parts),
                max_seq_length: other.max_seq_length,
                other: None,
                ..self.clone()
            }),
            _ => Cow::Borrowed(self),
        }
    }
}
