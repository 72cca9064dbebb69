//! Files on their way into a folder.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::sync;
use crate::engine::source_files::TRANSFORMER_FILES;
use crate::error::{Error, Result};
use crate::weights::Weights;

/// What another model may have left, and would be read as this one's where it writes no such file itself.
const LEFT: [&str; 2] = ["adapter_config.json", "processor_config.json"];

/// Files on their way into a folder: written elsewhere, so that nothing there changes before all are whole. Whoever has
/// mapped an old one keeps it whole, and the model itself may be loaded from there.
pub(crate) struct Staged<'a> {
    folder: &'a Path,
    staging: PathBuf,
    written: Vec<PathBuf>,
    /// Files that are in their places already.
    kept: Vec<PathBuf>,
    /// The model's own modules, each with its folder to be: where they are the same, it says the same of the model.
    whole: Vec<(PathBuf, PathBuf)>,
}

impl<'a> Staged<'a> {
    /// For `folder`, below `staging`, which is made.
    pub(crate) fn new(folder: &'a Path, staging: PathBuf) -> Result<Self> {
        std::fs::create_dir(&staging).map_err(|error| Error::io(folder, error))?;
        Ok(Self { folder, staging, written: Vec::new(), kept: Vec::new(), whole: Vec::new() })
    }

    /// The place to write what is to become `path` of the folder.
    pub(crate) fn place(&mut self, path: &Path) -> Result<PathBuf> {
        let place = self.staging.join(path);
        if let Some(parent) = place.parent() {
            std::fs::create_dir_all(parent).map_err(|error| self.failed(path, error))?;
        }
        self.written.push(path.to_path_buf());
        Ok(place)
    }

    /// An error while `path` of the folder is written: that it is written elsewhere first is nothing to a reader.
    pub(crate) fn failed(&self, path: &Path, error: std::io::Error) -> Error {
        Error::io(self.folder.join(path), error)
    }

    /// Whether a file or folder of the model's is where `path` of the folder is to be.
    fn is_at(&self, from: &Path, path: &Path) -> bool {
        let there = self.folder.join(path).canonicalize();
        there.is_ok_and(|there| from.canonicalize().is_ok_and(|from| from == there))
    }

    /// Notes that the model's own module, in its folder, is written as a whole to `path`.
    pub(crate) fn renew(&mut self, module: &Path, path: &Path) {
        self.whole.push((module.to_path_buf(), path.to_path_buf()));
    }

    pub(crate) fn copy(&mut self, from: &Path, path: &Path) -> Result<()> {
        if self.is_at(from, path) {
            self.kept.push(path.to_path_buf());
            return Ok(());
        }
        let place = self.place(path)?;
        std::fs::copy(from, place).map(drop).map_err(|error| match File::open(from) {
            Ok(_) => self.failed(path, error),
            Err(_) => Error::io(from, error),
        })
    }

    pub(crate) fn write_json(&mut self, path: impl AsRef<Path>, value: &Value) -> Result<()> {
        let path = path.as_ref();
        let place = self.place(path)?;
        std::fs::write(place, format!("{value:#}\n")).map_err(|error| self.failed(path, error))
    }

    /// What another model that was there before may have left, and would be read in place of this one's.
    pub(crate) fn removed(&self) -> impl Iterator<Item = PathBuf> {
        let modules = self.written.iter().chain(&self.kept).filter_map(|path| path.parent());
        let names = || TRANSFORMER_FILES.iter().chain(&Weights::NAMES).chain(&LEFT);
        let files = modules.flat_map(move |module| names().map(|name| module.join(name)));
        files.filter(|path| !self.written.contains(path) && !self.kept.contains(path))
    }

    /// All that is in the folder no more, as it was, when the files are there.
    pub(crate) fn replaced(&self) -> impl Iterator<Item = PathBuf> {
        self.removed().chain(self.written.iter().cloned())
    }

    /// Writes all files through to the disk, when they are whole.
    ///
    /// # Errors
    /// [`Error::Io`] too where a folder is in a file's place.
    pub(crate) fn sync(&self) -> Result<()> {
        if let Some(path) = self.replaced().find(|path| self.folder.join(path).is_dir()) {
            return Err(self.failed(&path, std::io::ErrorKind::IsADirectory.into()));
        }
        for path in &self.written {
            sync::file(&self.staging.join(path)).map_err(|error| self.failed(path, error))?;
        }
        Ok(())
    }

    /// The folders of the model's own modules that are written anew where they were.
    pub(crate) fn renewed(&self) -> impl Iterator<Item = &Path> {
        self.whole.iter().filter(|(module, path)| self.is_at(module, path)).map(|(module, _)| &**module)
    }
}
