//! Saving a model as a folder that this crate and sentence-transformers load, including every old version of the latter that
//! has the kind of model.
//!
//! Weights are copied from the folder that the model was loaded from. Config files are written anew, with keys that old
//! versions know.

mod consistent;
#[cfg(test)]
#[cfg(unix)]
mod crashes;
mod destination;
mod exchange;
mod in_place;
mod module;
mod staged;
mod sync;
mod tokenizer;
mod working_folder;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use self::destination::Destination;
use self::staged::Staged;
use self::working_folder::WorkingFolder;
use crate::config::{Kind, ModelSettings, ModuleEntry, ModuleKind, Role, Routes, object, router_json};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::modules::pooling;
use crate::observer::Observer;

pub(crate) use self::consistent::load_consistent;

/// Name of the hidden folder in which a save works within a folder that can't be exchanged.
const INSIDE: &str = ".saving";

fn inside(folder: &Path) -> PathBuf {
    folder.join(INSIDE)
}

/// Entries of one kind of model in files that all kinds have.
#[derive(Default)]
pub(crate) struct KindSettings {
    /// Entries of `config_sentence_transformers.json`.
    pub(crate) settings: Map<String, Value>,
    /// Entries of the transformer's `sentence_bert_config.json`.
    pub(crate) transformer: Map<String, Value>,
    /// Entries of the transformer's `config.json`.
    pub(crate) config: Map<String, Value>,
}

impl KindSettings {
    /// Returns the settings of a folder that describes another kind of model than the one that was loaded from it, so that
    /// it stays one. The number of weights to keep is its only setting for the loaded kind.
    fn of_folder(&self, engine: &Engine) -> Result<Option<Self>> {
        let parts = &engine.loaded;
        if parts.folder_kind == parts.kind {
            return Ok(None);
        }
        const MAX_ACTIVE_DIMS: &str = "max_active_dims";
        let (stored, _) = ModelSettings::read(&parts.folders.folder)?;
        let mut settings = object([
            ("similarity_fn_name", stored.similarity_fn_name.into()),
            ("truncate_dim", stored.truncate_dim.into()),
        ]);
        if let Some(dims) = self.settings.get(MAX_ACTIVE_DIMS).filter(|dims| !dims.is_null()) {
            settings.insert(MAX_ACTIVE_DIMS.to_owned(), dims.clone());
        }
        Ok(Some(Self { settings, ..Self::default() }))
    }
}

/// Saves a model as a folder; `own` holds the entries of its kind.
///
/// # Errors
/// [`Error::Interrupted`] if `observer` stops the call while it waits for another save; [`Error::InvalidArgument`] if the path
/// can't be a folder; [`Error::Io`]; [`Error::InvalidConfig`] if the folder that the model was loaded from has changed.
pub(crate) fn save(engine: &Engine, own: &KindSettings, path: &Path, observer: &dyn Observer) -> Result<()> {
    let of_folder = own.of_folder(engine)?;
    let own = of_folder.as_ref().unwrap_or(own);
    let Some(other) = &engine.other else { return SaveTarget::Model(engine).write(own, path, observer) };
    let [query, document] = [Role::Query, Role::Document].map(|role| engine.route(Some(role)));
    let query_by_default = other.role == Role::Document;
    SaveTarget::Router(Routes { query: &*query, document: &*document, query_by_default }).write(own, path, observer)
}

/// The model to save.
enum SaveTarget<'a> {
    Model(&'a Engine),
    /// A Router, with a model for each route.
    Router(Routes<&'a Engine>),
}

impl SaveTarget<'_> {
    /// Writes the folder, which is made if absent and exchanged as a whole if possible.
    fn write(&self, own: &KindSettings, path: &Path, observer: &dyn Observer) -> Result<()> {
        let destination = Destination::resolve(path)?;
        // Held to the end, so that no other save exchanges a folder whose files are being moved.
        let beside = destination.enter_beside(observer)?;
        if let Some(work) = &beside
            && exchange::is_possible(&destination, work)
        {
            let staged = self.stage(own, &destination, work)?;
            if exchange::publish(&staged, &destination, work)? {
                self.take(&staged);
                return Ok(());
            }
        }
        let work = destination.enter_inside(observer)?;
        let staged = self.stage(own, &destination, &work)?;
        in_place::publish(&staged, &destination.folder, &work)?;
        self.take(&staged);
        Ok(())
    }

    /// Writes all files to the working folder.
    fn stage<'a>(&self, own: &KindSettings, destination: &'a Destination, work: &WorkingFolder) -> Result<Staged<'a>> {
        let written = self.write_staged(own, destination, work);
        if written.is_err() {
            // The first error counts; the next save clears again.
            let _ = work.clear();
        }
        written
    }

    fn write_staged<'a>(
        &self,
        own: &KindSettings,
        destination: &'a Destination,
        work: &WorkingFolder,
    ) -> Result<Staged<'a>> {
        let check = || self.models().try_for_each(|model| model.loaded.source_files.check());
        check()?;
        let mut staged = Staged::new(&destination.folder, work.staging())?;
        let (model, modules) = match *self {
            Self::Model(model) => (model, write_listed(model, own, &mut staged)?),
            Self::Router(ref routes) => {
                write_routes(routes, own, &mut staged)?;
                (routes.clone().default_and_other().0, vec![listed(0, ModuleKind::Router, "")])
            }
        };
        staged.write_json("config_sentence_transformers.json", &settings(model, own).into())?;
        staged.write_json("modules.json", &modules.into())?;
        // The source may have changed while its files were copied.
        check()?;
        staged.sync()?;
        Ok(staged)
    }

    fn models(&self) -> impl Iterator<Item = &Engine> {
        let (first, second) = match self {
            Self::Model(model) => (*model, None),
            Self::Router(routes) => (routes.query, Some(routes.document)),
        };
        std::iter::once(first).chain(second)
    }

    /// Accepts files that were written over those that the models were loaded from.
    fn take(&self, staged: &Staged<'_>) {
        self.models().for_each(|model| staged.renewed().for_each(|module| model.loaded.source_files.take(module)));
    }
}

/// Writes a model's modules, and returns the entries of `modules.json`.
fn write_listed(model: &Engine, own: &KindSettings, staged: &mut Staged<'_>) -> Result<Vec<Value>> {
    let write = |(i, entry): (usize, &ModuleEntry)| {
        let path = match entry.kind {
            // Old versions look for it where it has always been.
            ModuleKind::ClipModel => format!("{i}_{}", entry.kind.name()),
            // transformers looks in the folder itself.
            transformer if transformer.is_transformer() => String::new(),
            other => format!("{i}_{}", other.name()),
        };
        module::write(model, entry, own, Path::new(&path), staged)?;
        Ok(listed(i, entry.kind, &path))
    };
    modules(model)?.iter().enumerate().map(write).collect()
}

fn listed(i: usize, kind: ModuleKind, path: &str) -> Value {
    let mut entry = json!({ "idx": i, "name": i.to_string(), "path": path, "type": kind.class() });
    if kind == ModuleKind::TaskTransformer {
        // Arguments of `encode` that its class takes.
        entry["kwargs"] = json!(["task"]);
    }
    entry
}

/// Writes the modules of both routes, and `router_config.json`, which lists them. Shared modules are written once.
fn write_routes(routes: &Routes<&Engine>, own: &KindSettings, staged: &mut Staged<'_>) -> Result<()> {
    let mut classes = Map::new();
    let mut written: Vec<(ModuleEntry, Option<usize>, String)> = Vec::new();
    let mut write_route = |route: &str, model: &Engine| {
        let mut names = Vec::new();
        for (i, entry) in modules(model)?.into_iter().enumerate() {
            // Only the first module has a length limit.
            let limit = model.max_seq_length.filter(|_| i == 0);
            let same = |(other, other_limit, _): &&(ModuleEntry, Option<usize>, String)| {
                other.folder == entry.folder && other.kind == entry.kind && *other_limit == limit
            };
            let name = match written.iter().find(same) {
                Some((_, _, name)) => name.clone(),
                None => {
                    let name = format!("{route}_{i}_{}", entry.kind.name());
                    module::write(model, &entry, own, Path::new(&name), staged)?;
                    classes.insert(name.clone(), entry.kind.class().into());
                    written.push((entry, limit, name.clone()));
                    name
                }
            };
            names.push(name);
        }
        Ok::<_, Error>(names)
    };
    let names = Routes {
        query: write_route("query", routes.query)?,
        document: write_route("document", routes.document)?,
        query_by_default: routes.query_by_default,
    };
    staged.write_json("router_config.json", &router_json(&names, classes))
}

/// Returns the modules of a model, including those that its folder implies without listing them.
fn modules(model: &Engine) -> Result<Vec<ModuleEntry>> {
    let parts = &model.loaded;
    let kind = parts.folder_kind;
    if let Some(entries) = &parts.folders.entries {
        let splade = entries.iter().any(|entry| entry.kind == ModuleKind::SpladePooling);
        let as_saved = |entry: &ModuleEntry| match entry.kind {
            // Older versions know it by this name.
            ModuleKind::Transformer if kind == Kind::Sparse && splade => {
                ModuleEntry { kind: ModuleKind::MlmTransformer, ..entry.clone() }
            }
            _ => entry.clone(),
        };
        return Ok(entries.iter().map(as_saved).collect());
    }
    let implied = |kind| ModuleEntry::new(kind, parts.folders.folder.clone());
    let config = parts.config()?;
    Ok(match kind {
        Kind::Sentence if parts.images.is_some() => vec![implied(ModuleKind::Transformer)],
        Kind::Sentence => {
            let pooling = pooling(None, &parts.folders.folder, &config)?;
            let pooling = ModuleEntry { pooling: Some(pooling), ..implied(ModuleKind::Pooling) };
            vec![implied(ModuleKind::Transformer), pooling]
        }
        Kind::Reranker if config.is_causal_lm() => {
            [ModuleKind::Transformer, ModuleKind::LogitScore].map(implied).into()
        }
        Kind::Reranker => vec![implied(ModuleKind::Transformer)],
        Kind::Sparse => [ModuleKind::MlmTransformer, ModuleKind::SpladePooling].map(implied).into(),
        Kind::MultiVector => {
            let kinds =
                [ModuleKind::Transformer, ModuleKind::Dense, ModuleKind::MultiVectorMask, ModuleKind::Normalize];
            kinds.map(implied).into()
        }
    })
}

fn settings(model: &Engine, own: &KindSettings) -> Map<String, Value> {
    let mut settings = object([
        ("__version__", json!({ "rushlight": env!("CARGO_PKG_VERSION") })),
        ("model_type", model.loaded.folder_kind.model_type().into()),
        ("prompts", json!(model.prompts.by_name)),
        ("default_prompt_name", json!(model.prompts.default_name)),
    ]);
    settings.extend(own.settings.clone());
    settings
}
