//! The folder that a model is saved to.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::work::Work;
use super::{exchange, in_place};
use crate::error::{Error, Result};

/// The folder that a model is saved to. It may be absent; the folders above it are there.
pub(crate) struct Target {
    /// Its path without links, so that a link to a folder stays one.
    pub(crate) folder: PathBuf,
    /// Folders above it that were made for it, the innermost first.
    made: Vec<PathBuf>,
}

impl Target {
    /// Finds the folder that a caller's path means, and makes the folders above it.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a path that can't be a folder's, [`Error::Io`] where a folder above it can't be made.
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
            return refused(format!("but {path:?} is a link to nothing"));
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return refused(format!("got {path:?}"));
        };
        let made = parent.ancestors().take_while(|above| !above.exists()).map(Path::to_path_buf).collect();
        let mut target = Self { folder: path.clone(), made };
        std::fs::create_dir_all(parent).map_err(|error| Error::io(parent, error))?;
        target.folder = parent.canonicalize().map_err(|error| Error::io(parent, error))?.join(name);
        Ok(target)
    }

    /// Enters the folder beside the target in which a save writes a whole new one, and ends what a killed save began.
    ///
    /// Returns none where that folder can't be made, as beside the root, while the target is there.
    ///
    /// # Errors
    /// [`Error::Io`] where it can't be made and the target isn't there.
    pub(crate) fn enter_beside(&self) -> Result<Option<Work>> {
        let Some((parent, name)) = self.folder.parent().zip(self.folder.file_name()) else { return Ok(None) };
        let mut hidden = OsString::from(".");
        hidden.extend([name, ".saving".as_ref()]);
        let work = match Work::enter(&parent.join(hidden)).and_then(|work| work.restrict(&self.folder)) {
            Err(_) if self.folder.exists() => return Ok(None),
            work => work.map_err(|error| Error::io(parent, error))?,
        };
        exchange::settle(self, &work)?;
        if super::inside(&self.folder).exists() {
            self.enter_inside()?;
        }
        Ok(Some(work))
    }

    /// Enters the folder within the target in which a save writes files that will be moved, and ends what a killed save began.
    pub(crate) fn enter_inside(&self) -> Result<Work> {
        let work = Work::enter(&super::inside(&self.folder)).map_err(|error| Error::io(&self.folder, error))?;
        in_place::settle(&self.folder, &work)?;
        Ok(work)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // Those in which something was saved are not empty, and stay.
        for folder in &self.made {
            let _ = std::fs::remove_dir(folder);
        }
    }
}
