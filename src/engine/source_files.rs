//! Detection of changes to the files that a model was loaded from. After a change, nothing more is read for that model.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::config::{COLBERT_LINEAR, IDF, ModuleEntry, SPARSE_LINEAR, TaskRoutes, TemplateSource};
use crate::error::{Error, Result};
use crate::images::PROCESSOR_FILES;
use crate::stamp::Stamp;
use crate::weights::{PeftAdapter, Weights};

/// Files of a model's first module other than its own weights.
pub(crate) const TRANSFORMER_FILES: [&str; 15] = [
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    TemplateSource::FILE,
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "spiece.model",
    PROCESSOR_FILES[0],
    PROCESSOR_FILES[1],
    SPARSE_LINEAR,
    COLBERT_LINEAR,
];

/// State of the files that a model's modules were loaded from.
pub(crate) struct SourceFiles {
    files: Mutex<BTreeMap<PathBuf, Option<Stamp>>>,
}

impl SourceFiles {
    /// Reads the state of the files of these modules and of those in routes; without entries, of a transformer in `folder`.
    /// `others` are folders of the transformer's base model and of adapters.
    pub(crate) fn of<'a>(
        folder: &Path,
        entries: Option<&[ModuleEntry]>,
        routes: Option<&TaskRoutes>,
        others: impl Iterator<Item = &'a Path>,
    ) -> Self {
        let mut modules: Vec<PathBuf> = match entries {
            Some(entries) => entries.iter().map(|entry| entry.folder.clone()).collect(),
            None => vec![folder.to_path_buf()],
        };
        modules.extend(routes.into_iter().flat_map(TaskRoutes::folders));
        let mut paths = BTreeSet::new();
        if let Some(first) = modules.first() {
            paths.extend(TRANSFORMER_FILES.map(|name| first.join(name)));
            paths.extend(PeftAdapter::files(first));
        }
        for other in others {
            paths.extend(PeftAdapter::files(other));
            modules.push(other.to_path_buf());
        }
        for module in modules {
            paths.extend(["config.json", IDF, "router_config.json"].map(|name| module.join(name)));
            paths.extend(Weights::NAMES.map(|name| module.join(name)));
            // An index may list shards of any name. Modules without weights have no files.
            paths.extend(Weights::files(&module).unwrap_or_default().iter().map(|name| module.join(name)));
        }
        let stamped = |path: PathBuf| {
            let stamp = Stamp::of(&path);
            (path, stamp)
        };
        let files = paths.into_iter().map(stamped).collect();
        Self { files: Mutex::new(files) }
    }

    /// Describes the files and their state.
    pub(crate) fn describe(&self) -> String {
        format!("{:?}", *self.files.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Checks that all files are unchanged.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for a file that has changed, appeared or disappeared.
    pub(crate) fn check(&self) -> Result<()> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        for (path, stamp) in files.iter() {
            let now = Stamp::of(path);
            if now != *stamp {
                let what = if now.is_none() { "is gone" } else { "has changed" };
                let problem = format!("must be unchanged since the model was loaded, but {what}; load the model again");
                return Err(Error::config(path, "(whole file)", problem));
            }
        }
        Ok(())
    }

    /// Accepts the current state of a module's files, which a save has overwritten with the same content.
    pub(crate) fn take(&self, module: &Path) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        for (path, stamp) in files.iter_mut().filter(|(path, _)| path.parent() == Some(module)) {
            *stamp = Stamp::of(path);
        }
    }
}
