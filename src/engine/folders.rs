//! Folders that a model is loaded from.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use super::adapter_folders::AdapterFolders;
use super::conversion::Conversion;
use crate::config::{ModuleEntry, ModuleKind, model2vec_modules, modules};
use crate::error::{Error, Result};
use crate::options::{LoadOptions, StaticRule};

/// Folders that a model is loaded from, with its modules.
#[derive(Clone)]
pub(crate) struct ModelFolders {
    pub(crate) folder: PathBuf,
    /// Modules that `modules.json` lists, if there is one.
    pub(crate) entries: Option<Vec<ModuleEntry>>,
    /// Conversion that these modules come from.
    pub(crate) conversion: Option<Conversion>,
    pub(crate) choices: Choices,
    pub(crate) adapter_folders: AdapterFolders,
    /// Folder of packed weights that processes share, an absolute path.
    pub(crate) packed_folder: Option<PathBuf>,
}

/// Choices of the caller that a folder's files don't make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choices {
    /// Number of the transformer's first layers that are kept; `None` keeps all.
    pub(crate) layers: Option<usize>,
    /// Rule of a static model; `None` is that of its kind of folder.
    pub(crate) static_rule: Option<StaticRule>,
    /// Maps weights into memory.
    pub(crate) mmap: bool,
    /// Maximum number of texts in a micro-batch.
    pub(crate) max_batch_texts: Option<NonZeroUsize>,
}

impl ModelFolders {
    /// Finds the folders that a model of these modules is loaded from, with its first `layers` layers.
    ///
    /// # Errors
    /// The errors of [`AdapterFolders::find`]; [`Error::InvalidArgument`] for a folder of packed weights without memory maps.
    pub(crate) fn find(
        folder: PathBuf,
        entries: Option<Vec<ModuleEntry>>,
        layers: Option<usize>,
        options: &LoadOptions,
    ) -> Result<Self> {
        let adapter_folders = AdapterFolders::find(transformer_folder(entries.as_deref(), &folder), options)?;
        let LoadOptions { static_rule, mmap, max_batch_texts, .. } = *options;
        let choices = Choices { layers, static_rule, mmap, max_batch_texts };
        let packed_folder = options.packed_folder.as_deref().map(|folder| packed_folder(folder, mmap)).transpose()?;
        Ok(Self { folder, entries, conversion: None, choices, adapter_folders, packed_folder })
    }

    /// Returns the folder of the first module.
    pub(crate) fn transformer(&self) -> &Path {
        transformer_folder(self.entries.as_deref(), &self.folder)
    }

    /// Returns the kind of the first module; `None` if there is none. A folder without a list holds a transformer.
    pub(crate) fn first(&self) -> Option<ModuleKind> {
        match &self.entries {
            Some(entries) => entries.first().map(|entry| entry.kind),
            None => Some(ModuleKind::Transformer),
        }
    }
}

/// Makes the path of a folder of packed weights independent of the working directory.
fn packed_folder(folder: &Path, mmap: bool) -> Result<PathBuf> {
    const ARGUMENT: &str = "packed_folder";
    if !mmap {
        return Err(Error::argument(ARGUMENT, "maps its files, so it can't go with a load without memory maps (mmap)"));
    }
    std::path::absolute(folder).map_err(|_| Error::argument(ARGUMENT, format!("must be a folder, got {folder:?}")))
}

/// Returns the folder of the first module.
pub(crate) fn transformer_folder<'a>(entries: Option<&'a [ModuleEntry]>, folder: &'a Path) -> &'a Path {
    entries.and_then(<[_]>::first).map_or(folder, |entry| &entry.folder)
}

/// Checks that a folder exists, and reads its list of modules, if there is one.
pub(crate) fn opened(folder: PathBuf) -> Result<(PathBuf, Option<Vec<ModuleEntry>>)> {
    if !folder.is_dir() {
        let looked = vec![format!("{}: no such folder", folder.display())];
        return Err(Error::ModelNotFound { name: folder.display().to_string(), looked });
    }
    let listed = modules(&folder)?.map_or_else(|| model2vec_modules(&folder), |listed| Ok(Some(listed)))?;
    Ok((folder, listed))
}
