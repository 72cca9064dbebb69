//! The folder that a model is saved to.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::working_folder::WorkingFolder;
use super::{exchange, in_place, sync};
use crate::error::{Error, Result};
use crate::observer::Observer;

/// The folder that a model is saved to. It may be absent; its parents exist.
pub(crate) struct Destination {
    /// Path with links resolved, so that a link to a folder stays a link.
    pub(crate) folder: PathBuf,
    /// Parents that were made for it, the innermost first.
    made: Vec<PathBuf>,
}

impl Destination {
    /// Resolves a caller's path, and makes the parents of the folder.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the path can't be a folder, [`Error::Io`] if a parent can't be made.
    pub(crate) fn resolve(path: &Path) -> Result<Self> {
        let refused = |problem: String| Err(Error::argument("path", format!("must be a folder, {problem}")));
        if path.as_os_str().is_empty() || path.as_os_str().as_encoded_bytes().contains(&0) {
            return refused(format!("got {path:?}"));
        }
        let path = std::path::absolute(path).map_err(|error| Error::io(path, error))?;
        if let Some(file) = path.ancestors().find(|above| above.exists()).filter(|above| !above.is_dir()) {
            return refused(format!("but {file:?} is a file"));
        }
        if let Ok(folder) = path.canonicalize() {
            return Ok(Self { folder, made: Vec::new() });
        }
        if path.is_symlink() {
            return refused(format!("but {path:?} is a dangling link"));
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return refused(format!("got {path:?}"));
        };
        let made = parent.ancestors().take_while(|above| !above.exists()).map(Path::to_path_buf).collect();
        let mut destination = Self { folder: path.clone(), made };
        std::fs::create_dir_all(parent).map_err(|error| Error::io(parent, error))?;
        destination.folder = parent.canonicalize().map_err(|error| Error::io(parent, error))?.join(name);
        Ok(destination)
    }

    /// Flushes the entry of the folder, and those of the parents that were made for it.
    pub(crate) fn sync_entry(&self) -> std::io::Result<()> {
        let made = self.made.iter().filter_map(|folder| folder.parent());
        self.folder.parent().into_iter().chain(made).try_for_each(sync::folder)
    }

    /// Enters the folder beside the destination in which a save writes a whole new one, and completes or removes what a
    /// killed save left. Waits for a save that is at work there.
    ///
    /// Returns `None` if that folder can't be made, as beside the root, and the destination exists.
    ///
    /// # Errors
    /// [`Error::Io`] if it can't be made and the destination doesn't exist; [`Error::Interrupted`].
    pub(crate) fn enter_beside(&self, observer: &dyn Observer) -> Result<Option<WorkingFolder>> {
        let Some((parent, name)) = self.folder.parent().zip(self.folder.file_name()) else { return Ok(None) };
        let mut hidden = OsString::from(".");
        hidden.extend([name, ".saving".as_ref()]);
        let entered = WorkingFolder::enter(&parent.join(hidden), parent, observer);
        let restricted = entered.and_then(|work| work.restrict(&self.folder).map_err(|error| Error::io(parent, error)));
        let work = match restricted {
            Err(Error::Io { .. }) if self.folder.exists() => return Ok(None),
            work => work?,
        };
        exchange::recover(self, &work)?;
        if super::inside(&self.folder).exists() {
            self.enter_inside(observer)?;
        }
        Ok(Some(work))
    }

    /// Enters the folder within the destination from which a save moves files, and completes or removes what a killed save
    /// left. Waits for a save that is at work there.
    pub(crate) fn enter_inside(&self, observer: &dyn Observer) -> Result<WorkingFolder> {
        let work = WorkingFolder::enter(&super::inside(&self.folder), &self.folder, observer)?;
        in_place::recover(&self.folder, &work)?;
        Ok(work)
    }
}

impl Drop for Destination {
    fn drop(&mut self) {
        // Folders in use are not empty, so they stay.
        for folder in &self.made {
            let _ = std::fs::remove_dir(folder);
        }
    }
}
