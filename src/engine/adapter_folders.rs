//! Folders of a transformer's files: its own, and with an adapter of peft those of its base model and of other adapters.

use std::path::{Path, PathBuf};

use crate::config::{PeftConfig, modules};
use crate::error::{Error, Result};
use crate::options::LoadOptions;
use crate::source;
use crate::weights::{PeftAdapter, Weights};

use super::folders::transformer_folder;
use super::source_files::TRANSFORMER_FILES;

/// Name of the adapter in the model's own folder, as in peft.
const OWN: &str = "default";
/// Argument that names adapters.
const ARGUMENT: &str = "adapters";

/// Folders of adapters, and of the model that they adapt.
#[derive(Clone, Debug, Default)]
pub(crate) struct AdapterFolders {
    /// Folder of the base model, if the transformer's own folder lacks its config or its weights.
    base: Option<PathBuf>,
    /// Adapters by name, the transformer's own first.
    named: Vec<(String, PathBuf)>,
    /// True if the transformer's own folder has an adapter.
    has_own: bool,
}

/// Folders of a transformer's files, by their kind.
pub(crate) struct TransformerFolders<'a> {
    pub(crate) config: &'a Path,
    pub(crate) weights: &'a Path,
    pub(crate) tokenizer: &'a Path,
}

impl AdapterFolders {
    /// Finds the base model of the adapter in a transformer's folder, and the adapters that the options name.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for an adapter that can't be merged, before anything else is looked for;
    /// [`Error::ModelNotFound`] for a base model or an adapter that isn't found.
    pub(crate) fn find(transformer: &Path, options: &LoadOptions) -> Result<Self> {
        let mut folders = Self::default();
        if let Some(adapter) = PeftAdapter::open(transformer)? {
            folders.named.push((OWN.to_owned(), transformer.to_path_buf()));
            folders.has_own = true;
            if !(has_config(transformer) && has_weights(transformer)) {
                folders.base = Some(base(adapter.config(), transformer, options)?);
            }
        }
        for (name, adapter) in &options.adapters {
            if folders.has_own && name == OWN {
                let problem = format!("must not be named {OWN:?}, the name of the adapter in the model's own folder");
                return Err(Error::argument(ARGUMENT, problem));
            }
            let folder =
                source::find(Path::new(adapter), source::SENTENCE_TRANSFORMERS, &of_others(options), Vec::new())?;
            if PeftAdapter::open(&folder)?.is_none() {
                let needed = format!("adapters: {name:?} must be a folder or name of an adapter of peft");
                return Err(Error::FileNotFound { path: folder.join(PeftConfig::FILE), needed });
            }
            folders.named.push((name.clone(), absolute(folder)?));
        }
        Ok(folders)
    }

    /// Adapters by name, and true if the first is the transformer's own.
    pub(crate) fn named(&self) -> (Vec<(String, PathBuf)>, bool) {
        (self.named.clone(), self.has_own)
    }

    /// Returns the folders of a transformer's files.
    pub(crate) fn of<'a>(&'a self, transformer: &'a Path) -> TransformerFolders<'a> {
        let base = self.base.as_deref().unwrap_or(transformer);
        let own_or_base = |own: bool| if own { transformer } else { base };
        let has_tokenizer = TRANSFORMER_FILES.iter().any(|name| *name != CONFIG && transformer.join(name).exists());
        TransformerFolders {
            config: own_or_base(has_config(transformer)),
            weights: base,
            tokenizer: own_or_base(has_tokenizer),
        }
    }

    /// Iterates over the folders other than the transformer's own.
    pub(crate) fn others(&self) -> impl Iterator<Item = &Path> {
        self.base.iter().chain(self.named.iter().map(|(_, folder)| folder)).map(PathBuf::as_path)
    }
}

const CONFIG: &str = "config.json";

fn has_config(folder: &Path) -> bool {
    folder.join(CONFIG).exists()
}

fn has_weights(folder: &Path) -> bool {
    Weights::NAMES.iter().any(|name| folder.join(name).exists())
}

/// Returns the options for finding other models than the one that the caller names: without its revision.
fn of_others(options: &LoadOptions) -> LoadOptions {
    LoadOptions { revision: None, ..options.clone() }
}

/// Finds the base model of an adapter. A relative path counts from the working directory, else from the adapter's folder.
fn base(config: &PeftConfig, folder: &Path, options: &LoadOptions) -> Result<PathBuf> {
    let key = "base_model_name_or_path";
    let Some(name) = config.base.as_deref().filter(|name| !name.is_empty()) else {
        let problem = "is missing: it names the model whose weights the adapter changes";
        return Err(Error::config(config.path(), key, problem));
    };
    let beside = folder.join(name);
    let found = match Path::new(name).is_dir() || !beside.is_dir() {
        true => {
            let looked = vec![format!("{}: {key}", config.path().display())];
            source::find(Path::new(name), source::SENTENCE_TRANSFORMERS, &of_others(options), looked)?
        }
        false => beside,
    };
    if found.join(PeftConfig::FILE).exists() {
        let what = format!("{}: {key}, the adapter", config.path().display());
        return Err(Error::unsupported(what, found.display().to_string(), "a base model that is no adapter itself"));
    }
    absolute(transformer(found)?)
}

/// Returns the folder of a model's transformer.
fn transformer(folder: PathBuf) -> Result<PathBuf> {
    let entries = if has_config(&folder) { None } else { modules(&folder)? };
    Ok(transformer_folder(entries.as_deref(), &folder).to_path_buf())
}

/// Makes a path independent of the working directory, which may change before another adapter is loaded.
fn absolute(path: PathBuf) -> Result<PathBuf> {
    std::path::absolute(&path).map_err(|error| Error::io(path, error))
}
