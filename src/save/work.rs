//! The folder in which a save works, one at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::engine::source_files::Stamp;

/// A hidden folder in which one save works: whoever has it holds the lock in it, so that all else in it was left by a save
/// that was killed. It goes when the save ends.
pub(crate) struct Work {
    folder: PathBuf,
    lock: File,
}

const LOCK: &str = "lock";

impl Work {
    /// Makes the folder, or waits for the save that works in it.
    pub(crate) fn enter(folder: &Path) -> io::Result<Self> {
        loop {
            let Some(lock) = open_lock(folder)? else { continue };
            match lock.lock() {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::Unsupported => {
                    log::warn!("{}: no locks here: nothing keeps two saves apart", folder.display());
                }
                locked => locked?,
            }
            if let Some(work) = Self::of(folder, lock) {
                return Ok(work);
            }
        }
    }

    /// Enters the folder where no save works in it.
    pub(crate) fn try_enter(folder: &Path) -> io::Result<Option<Self>> {
        let Some(lock) = open_lock(folder)? else { return Ok(None) };
        match lock.try_lock() {
            Ok(()) => Ok(Self::of(folder, lock)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// The folder with its lock, unless the save that had the lock took both away when it ended.
    fn of(folder: &Path, lock: File) -> Option<Self> {
        let held = lock.metadata().ok().map(|metadata| Stamp::from(&metadata));
        let current = held.is_some() && held == Stamp::of(&folder.join(LOCK));
        current.then(|| Self { folder: folder.to_path_buf(), lock })
    }

    /// Lets nobody in who isn't let into `other`.
    #[cfg(unix)]
    pub(crate) fn restrict(self, other: &Path) -> io::Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        if let Ok(metadata) = other.metadata() {
            let mode = metadata.permissions().mode() | 0o700;
            std::fs::set_permissions(&self.folder, std::fs::Permissions::from_mode(mode))?;
        }
        Ok(self)
    }

    #[cfg(not(unix))]
    pub(crate) fn restrict(self, _: &Path) -> io::Result<Self> {
        Ok(self)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where the new folder is written.
    pub(crate) fn staging(&self) -> PathBuf {
        self.path("new")
    }

    /// Removes all but the lock.
    pub(crate) fn clear(&self) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                std::fs::remove_dir_all(entry.path())?;
            } else if entry.file_name() != LOCK {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.path(LOCK)).and_then(|()| std::fs::remove_dir(&self.folder));
        // A child that was forked meanwhile holds it, too.
        let _ = self.lock.unlock();
    }
}

/// The file of the lock; none where the save that made the folder is about to remove it.
fn open_lock(folder: &Path) -> io::Result<Option<File>> {
    std::fs::create_dir_all(folder)?;
    match OpenOptions::new().read(true).write(true).create(true).truncate(false).open(folder.join(LOCK)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        file => file.map(Some),
    }
}
