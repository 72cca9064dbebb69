//! Whether a folder still holds what a model was loaded from: else nothing more may be read from it for that model.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::config::ModuleEntry;
use crate::error::{Error, Result};
use crate::weights::Weights;

/// Files beside the weights that make up a model's first module.
pub(super) const TRANSFORMER_FILES: [&str; 10] = [
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

/// The files of a model's first module and all weights, as they were when they were read.
pub(super) struct Origin {
    files: Mutex<Vec<(PathBuf, Option<Stamp>)>>,
}

/// What changes when a file does, or another takes its name.
#[derive(PartialEq, Eq)]
struct Stamp {
    size: u64,
    modified: Option<SystemTime>,
    id: (u64, u64),
}

impl Stamp {
    /// Of a file that may be absent.
    fn of(path: &Path) -> Option<Self> {
        let metadata = path.metadata().ok()?;
        Some(Self { size: metadata.len(), modified: metadata.modified().ok(), id: id(&metadata) })
    }
}

/// The device and the number of a file on it.
#[cfg(unix)]
fn id(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

#[cfg(not(unix))]
fn id(_: &Metadata) -> (u64, u64) {
    (0, 0)
}

impl Origin {
    /// Of the modules in a folder, or of a transformer that lists none.
    pub(super) fn of(folder: &Path, entries: Option<&[ModuleEntry]>) -> Self {
        let modules: Vec<&Path> = match entries {
            Some(entries) => entries.iter().map(|entry| &*entry.folder).collect(),
            None => vec![folder],
        };
        let beside = modules.first().into_iter().flat_map(|first| TRANSFORMER_FILES.map(|name| first.join(name)));
        // Modules without weights have no such file.
        let weights = modules
            .iter()
            .flat_map(|module| Weights::files(module).unwrap_or_default().into_iter().map(|name| module.join(name)));
        let files = beside.chain(weights).map(|path| {
            let stamp = Stamp::of(&path);
            (path, stamp)
        });
        Self { files: Mutex::new(files.collect()) }
    }

    /// # Errors
    /// [`Error::InvalidConfig`] with a file that has changed, come or gone.
    pub(super) fn check(&self) -> Result<()> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        match files.iter().find(|(path, stamp)| Stamp::of(path) != *stamp) {
            Some((path, _)) => {
                let problem = "must be as it was when the model was loaded from it, and has changed: load it again";
                Err(Error::config(path, "(whole file)", problem))
            }
            None => Ok(()),
        }
    }

    /// Takes files beside the weights as they are now: written anew, they say the same of the model.
    pub(super) fn take(&self, written: &[PathBuf]) {
        let written: Vec<_> = written.iter().filter_map(|path| path.canonicalize().ok()).collect();
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        for (path, stamp) in files.iter_mut() {
            let beside = TRANSFORMER_FILES.iter().any(|name| path.ends_with(name));
            if beside && path.canonicalize().is_ok_and(|path| written.contains(&path)) {
                *stamp = Stamp::of(path);
            }
        }
    }
}
