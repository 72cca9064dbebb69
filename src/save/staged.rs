//! Files that are written before they replace those of a folder.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::sync;
use crate::engine::source_files::TRANSFORMER_FILES;
use crate::error::{Error, Result};
use crate::weights::Weights;

/// Files of another model that would be read as this one's. No module writes them.
const STALE_FILES: [&str; 2] = ["adapter_config.json", "processor_config.json"];

/// Files to put into a folder. They are written elsewhere, so that the folder doesn't change before all are complete. The
/// model itself may be loaded from the folder: a mapped file stays intact.
pub(crate) struct Staged<'a> {
    folder: &'a Path,
    staging: PathBuf,
    written: Vec<PathBuf>,
    /// Files that need no copy, as source and destination are the same.
    kept: Vec<PathBuf>,
    /// Folders of the model's modules that are saved completely, with the paths to save them to.
    complete: Vec<(PathBuf, PathBuf)>,
}

impl<'a> Staged<'a> {
    /// Makes the folder `staging`, for files of `folder`.
    pub(crate) fn new(folder: &'a Path, staging: PathBuf) -> Result<Self> {
        std::fs::create_dir(&staging).map_err(|error| Error::io(folder, error))?;
        Ok(Self { folder, staging, written: Vec::new(), kept: Vec::new(), complete: Vec::new() })
    }

    /// Returns the path to write `path` of the folder to.
    pub(crate) fn path(&mut self, path: &Path) -> Result<PathBuf> {
        let staged = self.staging.join(path);
        if let Some(parent) = staged.parent() {
            std::fs::create_dir_all(parent).map_err(|error| self.failed(path, error))?;
        }
        self.written.push(path.to_path_buf());
        Ok(staged)
    }

    /// Makes the error of writing `path`. It names the path in the folder, not the staged one.
    pub(crate) fn failed(&self, path: &Path, error: std::io::Error) -> Error {
        Error::io(self.folder.join(path), error)
    }

    /// Returns true if `from` is the same file or folder as `path` of the folder.
    fn is_at(&self, from: &Path, path: &Path) -> bool {
        let path = self.folder.join(path).canonicalize();
        path.is_ok_and(|path| from.canonicalize().is_ok_and(|from| from == path))
    }

    /// Records that a module of the model is saved completely to `path`.
    pub(crate) fn renew(&mut self, module: &Path, path: &Path) {
        self.complete.push((module.to_path_buf(), path.to_path_buf()));
    }

    pub(crate) fn copy(&mut self, from: &Path, path: &Path) -> Result<()> {
        if self.is_at(from, path) {
            self.kept.push(path.to_path_buf());
            return Ok(());
        }
        let staged = self.path(path)?;
        std::fs::copy(from, staged).map(drop).map_err(|error| match File::open(from) {
            Ok(_) => self.failed(path, error),
            Err(_) => Error::io(from, error),
        })
    }

    pub(crate) fn write_json(&mut self, path: impl AsRef<Path>, value: &Value) -> Result<()> {
        let path = path.as_ref();
        let staged = self.path(path)?;
        std::fs::write(staged, format!("{value:#}\n")).map_err(|error| self.failed(path, error))
    }

    /// Iterates over files to remove: an earlier model's, which would be read as this one's.
    pub(crate) fn removed(&self) -> impl Iterator<Item = PathBuf> {
        let modules = self.written.iter().chain(&self.kept).filter_map(|path| path.parent());
        let names = || TRANSFORMER_FILES.iter().chain(&Weights::NAMES).chain(&STALE_FILES);
        let files = modules.flat_map(move |module| names().map(|name| module.join(name)));
        files.filter(|path| !self.written.contains(path) && !self.kept.contains(path))
    }

    /// Iterates over files of the folder that are removed or overwritten.
    pub(crate) fn replaced(&self) -> impl Iterator<Item = PathBuf> {
        self.removed().chain(self.written.iter().cloned())
    }

    /// Flushes all files to the disk.
    ///
    /// # Errors
    /// [`Error::Io`], also if a folder has the name of a file.
    pub(crate) fn sync(&self) -> Result<()> {
        if let Some(path) = self.replaced().find(|path| self.folder.join(path).is_dir()) {
            return Err(self.failed(&path, std::io::ErrorKind::IsADirectory.into()));
        }
        for path in &self.written {
            sync::file(&self.staging.join(path)).map_err(|error| self.failed(path, error))?;
        }
        Ok(())
    }

    /// Iterates over the folders of modules that are saved onto themselves.
    pub(crate) fn renewed(&self) -> impl Iterator<Item = &Path> {
        self.complete.iter().filter(|(module, path)| self.is_at(module, path)).map(|(module, _)| &**module)
    }
}
