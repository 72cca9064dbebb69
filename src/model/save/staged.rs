//! Files on their way into a folder.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use super::super::origin::TRANSFORMER_FILES;
use crate::error::{Error, Result};
use crate::weights::Weights;

/// What another model may have left, and would be read as this one's where it writes no such file itself.
const LEFT: [&str; 2] = ["adapter_config.json", "processor_config.json"];

/// Files on their way into a folder: written beside their places, so that nothing there changes before all are whole,
/// and then renamed: whoever has mapped an old one keeps it whole, and the model itself may be loaded from there.
pub(super) struct Staged<'a> {
    folder: &'a Path,
    /// Whether it was made for this, and goes again if nothing comes of it.
    made: bool,
    staging: PathBuf,
    written: Vec<PathBuf>,
    /// Files that are in their places already.
    kept: Vec<PathBuf>,
    /// The model's own modules, each with its folder to be: where they are the same, it says the same of the model.
    whole: Vec<(PathBuf, PathBuf)>,
}

impl<'a> Staged<'a> {
    pub(super) fn below(folder: &'a Path) -> Result<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let unique = format!(".saving-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let (made, staging) = (!folder.exists(), folder.join(unique));
        let staged = Self { folder, made, staging, written: Vec::new(), kept: Vec::new(), whole: Vec::new() };
        std::fs::create_dir_all(&staged.staging).map_err(|error| Error::io(&staged.staging, error))?;
        Ok(staged)
    }

    /// The place to write what is to become `path` of the folder.
    pub(super) fn place(&mut self, path: &Path) -> Result<PathBuf> {
        let place = self.staging.join(path);
        if let Some(parent) = place.parent() {
            std::fs::create_dir_all(parent).map_err(|error| Error::io(parent, error))?;
        }
        self.written.push(path.to_path_buf());
        Ok(place)
    }

    /// Whether a file or folder of the model's is where `path` of the folder is to be.
    fn is_at(&self, from: &Path, path: &Path) -> bool {
        let there = self.folder.join(path).canonicalize();
        there.is_ok_and(|there| from.canonicalize().is_ok_and(|from| from == there))
    }

    /// Notes that the model's own module, in its folder, is written as a whole to `path`.
    pub(super) fn renew(&mut self, module: &Path, path: &Path) {
        self.whole.push((module.to_path_buf(), path.to_path_buf()));
    }

    pub(super) fn copy(&mut self, from: &Path, path: &Path) -> Result<()> {
        if self.is_at(from, path) {
            self.kept.push(path.to_path_buf());
            return Ok(());
        }
        let place = self.place(path)?;
        std::fs::copy(from, place).map(drop).map_err(|error| Error::io(from, error))
    }

    pub(super) fn write_json(&mut self, path: impl AsRef<Path>, value: &Value) -> Result<()> {
        let place = self.place(path.as_ref())?;
        std::fs::write(&place, format!("{value:#}\n")).map_err(|error| Error::io(place, error))
    }

    /// Moves all files to their places, in the order in which they were written, and takes away what another model that
    /// was there before has left and would be read in place of this one's. Gives the folders of the model's own modules that
    /// are written anew where they were.
    pub(super) fn publish(mut self) -> Result<Vec<PathBuf>> {
        let modules = self.written.iter().chain(&self.kept).filter_map(|path| path.parent());
        let names = || TRANSFORMER_FILES.iter().chain(&Weights::NAMES).chain(&LEFT);
        for path in modules.flat_map(|module| names().map(|name| module.join(name))) {
            let place = self.folder.join(&path);
            if place.exists() && !self.written.contains(&path) && !self.kept.contains(&path) {
                std::fs::remove_file(&place).map_err(|error| Error::io(place, error))?;
            }
        }
        for path in &self.written {
            let place = self.folder.join(path);
            if let Some(parent) = place.parent() {
                std::fs::create_dir_all(parent).map_err(|error| Error::io(parent, error))?;
            }
            std::fs::rename(self.staging.join(path), &place).map_err(|error| Error::io(place, error))?;
        }
        self.made = false;
        let whole = std::mem::take(&mut self.whole);
        Ok(whole.into_iter().filter(|(module, path)| self.is_at(module, path)).map(|(module, _)| module).collect())
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        // What can't be removed is of no consequence to the model.
        let _ = std::fs::remove_dir_all(&self.staging);
        if self.made {
            let _ = std::fs::remove_dir(self.folder);
        }
    }
}
