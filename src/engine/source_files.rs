//! Whether a folder still holds what a model was loaded from: else nothing more may be read from it for that model.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::config::ModuleEntry;
use crate::error::{Error, Result};
use crate::weights::Weights;

/// Files beside the weights that make up a model's first module.
pub(crate) const TRANSFORMER_FILES: [&str; 10] = [
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "spiece.model",
];

/// The files that a model's modules were loaded from, as they were then.
pub(crate) struct SourceFiles {
    files: Mutex<BTreeMap<PathBuf, Option<Stamp>>>,
}

/// What changes when a file does, or another takes its name.
#[derive(PartialEq, Eq)]
pub(crate) struct Stamp {
    size: u64,
    modified: Option<SystemTime>,
    id: FileId,
}

impl Stamp {
    /// Of a file that may be absent.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        path.metadata().ok().map(|metadata| Self::from(&metadata))
    }
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        Self { size: metadata.len(), modified: metadata.modified().ok(), id: FileId::of(metadata) }
    }
}

/// A device, and the number of a file on it; elsewhere than on Unix all are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileId(u64, u64);

impl FileId {
    #[cfg(unix)]
    pub(crate) fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self(metadata.dev(), metadata.ino())
    }

    #[cfg(not(unix))]
    pub(crate) fn of(_: &Metadata) -> Self {
        Self(0, 0)
    }
}

impl SourceFiles {
    /// Of the modules in a folder, or of a transformer that lists none.
    pub(crate) fn of(folder: &Path, entries: Option<&[ModuleEntry]>) -> Self {
        let modules: Vec<&Path> = match entries {
            Some(entries) => entries.iter().map(|entry| &*entry.folder).collect(),
            None => vec![folder],
        };
        let mut paths = BTreeSet::new();
        if let Some(first) = modules.first() {
            paths.extend(TRANSFORMER_FILES.map(|name| first.join(name)));
        }
        for module in modules {
            paths.insert(module.join("config.json"));
            paths.extend(Weights::NAMES.map(|name| module.join(name)));
            // Modules without weights have no such file; others may have some by names of their own.
            paths.extend(Weights::files(module).unwrap_or_default().iter().map(|name| module.join(name)));
        }
        let stamped = |path: PathBuf| {
            let stamp = Stamp::of(&path);
            (path, stamp)
        };
        let files = paths.into_iter().map(stamped).collect();
        Self { files: Mutex::new(files) }
    }

    /// # Errors
    /// [`Error::InvalidConfig`] with a file that has changed, come or gone.
    pub(crate) fn check(&self) -> Result<()> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        for (path, stamp) in files.iter() {
            let now = Stamp::of(path);
            if now != *stamp {
                let what = if now.is_none() { "is gone" } else { "has changed" };
                let problem = format!("must be as it was when the model was loaded from it, but {what}: load it again");
                return Err(Error::config(path, "(whole file)", problem));
            }
        }
        Ok(())
    }

    /// Takes a module's files as they are now: written anew where they were, they say the same of the model.
    pub(crate) fn take(&self, module: &Path) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        for (path, stamp) in files.iter_mut().filter(|(path, _)| path.parent() == Some(module)) {
            *stamp = Stamp::of(path);
        }
    }
}
