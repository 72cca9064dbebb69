//! Files on their way into a folder.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use super::module::TRANSFORMER_FILES;
use crate::error::{Error, Result};
use crate::weights::Weights;

/// Files on their way into a folder: written beside their places, so that nothing there changes before all are whole,
/// and then renamed: whoever has mapped an old one keeps it whole, and the model itself may be loaded from there.
pub(super) struct Staged<'a> {
    folder: &'a Path,
    staging: PathBuf,
    written: Vec<PathBuf>,
}

impl<'a> Staged<'a> {
    pub(super) fn below(folder: &'a Path) -> Result<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let unique = format!(".saving-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let staging = folder.join(unique);
        std::fs::create_dir_all(&staging).map_err(|error| Error::io(&staging, error))?;
        Ok(Self { folder, staging, written: Vec::new() })
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

    pub(super) fn copy(&mut self, from: &Path, path: &Path) -> Result<()> {
        let place = self.place(path)?;
        std::fs::copy(from, place).map(drop).map_err(|error| Error::io(from, error))
    }

    pub(super) fn write_json(&mut self, path: impl AsRef<Path>, value: &Value) -> Result<()> {
        let place = self.place(path.as_ref())?;
        std::fs::write(&place, format!("{value:#}\n")).map_err(|error| Error::io(place, error))
    }

    /// Moves all files to their places, in the order in which they were written, and takes away what another model that
    /// was there before has left and would be read in place of this one's.
    pub(super) fn publish(self) -> Result<()> {
        let modules = self.written.iter().filter_map(|path| path.parent());
        let named = |folder: &Path| {
            TRANSFORMER_FILES.iter().chain(&Weights::NAMES).map(|name| folder.join(name)).collect::<Vec<_>>()
        };
        for path in modules.flat_map(named).filter(|path| !self.written.contains(path)) {
            let path = self.folder.join(path);
            if path.exists() {
                std::fs::remove_file(&path).map_err(|error| Error::io(path, error))?;
            }
        }
        for path in &self.written {
            let place = self.folder.join(path);
            if let Some(parent) = place.parent() {
                std::fs::create_dir_all(parent).map_err(|error| Error::io(parent, error))?;
            }
            std::fs::rename(self.staging.join(path), &place).map_err(|error| Error::io(place, error))?;
        }
        Ok(())
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        // What can't be removed is of no consequence to the model.
        let _ = std::fs::remove_dir_all(&self.staging);
    }
}
