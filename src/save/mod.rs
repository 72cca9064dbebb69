//! Saving a model as a folder that this crate and sentence-transformers load, and of that the old versions, too, which have
//! the kind of model.
//!
//! The weights are those of the folder that the model was loaded from, and so are copied; the files that say how they are
//! used are written anew, with the keys that old versions know, too.

mod exchange;
mod in_place;
mod module;
mod staged;
mod sync;
mod target;
mod tokenizer;
mod work;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use self::staged::Staged;
use self::target::Target;
use self::work::Work;
use crate::config::{JsonFile, Kind, ModuleEntry, ModuleKind, object};
use crate::engine::{Engine, Role};
use crate::error::Result;
use crate::modules::pooling;

pub(crate) use self::in_place::{is_unsettled, try_settle};

/// Name of the hidden folder in which a save works within a folder that can't be exchanged.
const INSIDE: &str = ".saving";

fn inside(folder: &Path) -> PathBuf {
    folder.join(INSIDE)
}

/// What a kind of models says in the files of a folder that all kinds have.
#[derive(Default)]
pub(crate) struct KindSettings {
    /// In `config_sentence_transformers.json`.
    pub(crate) settings: Map<String, Value>,
    /// In the transformer's `sentence_bert_config.json`.
    pub(crate) transformer: Map<String, Value>,
    /// In the transformer's `config.json`.
    pub(crate) config: Map<String, Value>,
}

/// Saves a model as a folder; `own` is what its kind says.
pub(crate) fn save(engine: &Engine, own: &KindSettings, path: &Path) -> Result<()> {
    match &engine.other {
        None => SaveTarget::Model(engine).write(own, path),
        Some(other) => {
            let [queries, documents] = [Role::Query, Role::Document].map(|role| engine.route(Some(role)));
            let query_by_default = other.role == Role::Document;
            SaveTarget::Router { queries: &queries, documents: &documents, query_by_default }.write(own, path)
        }
    }
}

/// Modules that a folder is to consist of.
enum SaveTarget<'a> {
    Model(&'a Engine),
    /// A Router, and the modules of both routes.
    Router {
        queries: &'a Engine,
        documents: &'a Engine,
        query_by_default: bool,
    },
}

impl SaveTarget<'_> {
    /// Writes the folder, which is made where it is absent, and is exchanged as a whole where that is possible.
    fn write(&self, own: &KindSettings, path: &Path) -> Result<()> {
        let target = Target::resolve(path)?;
        // Held to the end, so that nobody exchanges a folder whose files are being moved.
        let beside = target.enter_beside()?;
        if let Some(work) = &beside
            && exchange::is_possible(&target, work)
        {
            let staged = self.stage(own, &target, work)?;
            if exchange::publish(&staged, &target, work)? {
                self.take(&staged);
                return Ok(());
            }
        }
        let work = target.enter_inside()?;
        let staged = self.stage(own, &target, &work)?;
        in_place::publish(&staged, &target.folder, &work)?;
        self.take(&staged);
        Ok(())
    }

    /// Writes all files beside their places.
    fn stage<'a>(&self, own: &KindSettings, target: &'a Target, work: &Work) -> Result<Staged<'a>> {
        let written = self.write_staged(own, target, work);
        if written.is_err() {
            // The first error counts, and the next save tries it again.
            let _ = work.clear();
        }
        written
    }

    fn write_staged<'a>(&self, own: &KindSettings, target: &'a Target, work: &Work) -> Result<Staged<'a>> {
        let check = || self.models().try_for_each(|model| model.loaded.source_files.check());
        check()?;
        let mut staged = Staged::new(&target.folder, work.staging())?;
        let (model, modules) = match *self {
            Self::Model(model) => (model, write_listed(model, own, &mut staged)?),
            Self::Router { queries, documents, query_by_default } => {
                let by_default = if query_by_default { queries } else { documents };
                write_routes(queries, documents, query_by_default, own, &mut staged)?;
                (by_default, vec![listed(0, ModuleKind::Router, "")])
            }
        };
        staged.write_json("config_sentence_transformers.json", &settings(model, own).into())?;
        staged.write_json("modules.json", &modules.into())?;
        // Its files were copied meanwhile.
        check()?;
        staged.sync()?;
        Ok(staged)
    }

    fn models(&self) -> impl Iterator<Item = &Engine> {
        let (first, second) = match *self {
            Self::Model(model) => (model, None),
            Self::Router { queries, documents, .. } => (queries, Some(documents)),
        };
        std::iter::once(first).chain(second)
    }

    /// Takes the files that were written onto those that the models were loaded from.
    fn take(&self, staged: &Staged<'_>) {
        self.models().for_each(|model| staged.renewed().for_each(|module| model.loaded.source_files.take(module)));
    }
}

/// Writes a model's modules, and gives what lists them.
fn write_listed(model: &Engine, own: &KindSettings, staged: &mut Staged<'_>) -> Result<Vec<Value>> {
    let write = |(i, entry): (usize, &ModuleEntry)| {
        let path = match entry.kind {
            // In the folder itself, where transformers looks for it.
            ModuleKind::Transformer | ModuleKind::MlmTransformer => String::new(),
            other => format!("{i}_{}", other.name()),
        };
        module::write(model, entry, own, Path::new(&path), staged)?;
        Ok(listed(i, entry.kind, &path))
    };
    modules(model)?.iter().enumerate().map(write).collect()
}

fn listed(i: usize, kind: ModuleKind, path: &str) -> Value {
    json!({ "idx": i, "name": i.to_string(), "path": path, "type": kind.class() })
}

/// Writes the modules of both ways, and `router_config.json`, which lists them. What is on both ways is written once.
fn write_routes(
    queries: &Engine,
    documents: &Engine,
    query_by_default: bool,
    own: &KindSettings,
    staged: &mut Staged<'_>,
) -> Result<()> {
    let (mut types, mut structure) = (Map::new(), Map::new());
    let mut written: Vec<(ModuleEntry, Option<usize>, String)> = Vec::new();
    for (route, model) in [("query", queries), ("document", documents)] {
        let mut names = Vec::new();
        for (i, entry) in modules(model)?.into_iter().enumerate() {
            // Of the modules, the first alone has a limit.
            let limit = model.max_seq_length.filter(|_| i == 0);
            let same = |(other, of_other, _): &&(ModuleEntry, Option<usize>, String)| {
                other.folder == entry.folder && other.kind == entry.kind && *of_other == limit
            };
            let name = match written.iter().find(same) {
                Some((_, _, name)) => name.clone(),
                None => {
                    let name = format!("{route}_{i}_{}", entry.kind.name());
                    module::write(model, &entry, own, Path::new(&name), staged)?;
                    types.insert(name.clone(), entry.kind.class().into());
                    written.push((entry, limit, name.clone()));
                    name
                }
            };
            names.push(name);
        }
        structure.insert(route.to_owned(), names.into());
    }
    let default_route = if query_by_default { "query" } else { "document" };
    let parameters = json!({ "default_route": default_route, "allow_empty_key": true });
    staged
        .write_json("router_config.json", &json!({ "types": types, "structure": structure, "parameters": parameters }))
}

/// The modules of a model, those that its folder means and doesn't list among them.
fn modules(model: &Engine) -> Result<Vec<ModuleEntry>> {
    let parts = &model.loaded;
    let kind = parts.kind;
    if let Some(entries) = &parts.entries {
        let as_saved = |entry: &ModuleEntry| match entry.kind {
            // Under this name older versions know it, too.
            ModuleKind::Transformer if kind == Kind::Sparse => {
                ModuleEntry { kind: ModuleKind::MlmTransformer, ..entry.clone() }
            }
            _ => entry.clone(),
        };
        return Ok(entries.iter().map(as_saved).collect());
    }
    let meant = |kind| ModuleEntry::new(kind, parts.folder.clone());
    Ok(match kind {
        Kind::Sentence => {
            let config = JsonFile::read(parts.transformer().join("config.json"), "it describes the transformer")?;
            let pooling = pooling(None, &parts.folder, &config)?;
            let pooling = ModuleEntry { pooling: Some(pooling), ..meant(ModuleKind::Pooling) };
            vec![meant(ModuleKind::Transformer), pooling]
        }
        Kind::Reranker => vec![meant(ModuleKind::Transformer)],
        Kind::Sparse => [ModuleKind::MlmTransformer, ModuleKind::SpladePooling].map(meant).into(),
        Kind::MultiVector => {
            let kinds =
                [ModuleKind::Transformer, ModuleKind::Dense, ModuleKind::MultiVectorMask, ModuleKind::Normalize];
            kinds.map(meant).into()
        }
    })
}

fn settings(model: &Engine, own: &KindSettings) -> Map<String, Value> {
    let mut settings = object([
        ("__version__", json!({ "rushlight": env!("CARGO_PKG_VERSION") })),
        ("model_type", model.loaded.kind.model_type().into()),
        ("prompts", json!(model.prompts.by_name)),
        ("default_prompt_name", json!(model.prompts.default_name)),
    ]);
    settings.extend(own.settings.clone());
    settings
}
