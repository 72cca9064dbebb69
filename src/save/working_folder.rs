//! The hidden folder in which a save works.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::observer::{Observer, ask};
use crate::stamp::Stamp;
use crate::threads::executor::PATIENCE;

/// A hidden folder in which one save works. Its owner holds the lock file in it, so all other content was left by a killed
/// save. It is removed when the save ends.
pub(crate) struct WorkingFolder {
    folder: PathBuf,
    lock: File,
}

const LOCK: &str = "lock";

impl WorkingFolder {
    /// Makes the folder, or waits for the save that works in it. `named` is the folder that errors name.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Interrupted`] if the observer stops the call while it waits.
    pub(crate) fn enter(folder: &Path, named: &Path, observer: &dyn Observer) -> Result<Self> {
        loop {
            match Self::lock(folder, true) {
                Ok(Some(work)) => return Ok(work),
                Ok(None) => {}
                Err(error) => return Err(Error::io(named, error)),
            }
            ask(observer)?;
            // A blocking lock would not notice the observer.
            std::thread::sleep(PATIENCE);
        }
    }

    /// Enters the folder unless a save works in it, or is about to remove it.
    pub(crate) fn try_enter(folder: &Path) -> io::Result<Option<Self>> {
        Self::lock(folder, false)
    }

    /// Tries to take the folder's lock. `or_unlocked` allows a file system without locks.
    fn lock(folder: &Path, or_unlocked: bool) -> io::Result<Option<Self>> {
        let Some(lock) = open_lock(folder)? else { return Ok(None) };
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Interrupted => return Ok(None),
            Err(TryLockError::Error(error)) if or_unlocked && error.kind() == ErrorKind::Unsupported => {
                log::warn!("{}: the file system has no locks; concurrent saves may collide", folder.display());
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        Ok(Self::of(folder, lock))
    }

    /// Returns the locked folder; `None` if the previous owner removed it at the end of its save.
    fn of(folder: &Path, lock: File) -> Option<Self> {
        let held = lock.metadata().ok().map(|metadata| Stamp::from(&metadata));
        let current = held.is_some() && held == Stamp::of(&folder.join(LOCK));
        current.then(|| Self { folder: folder.to_path_buf(), lock })
    }

    /// Grants access to nobody who has no access to `other`.
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

    /// Returns the path of the new folder.
    pub(crate) fn staging(&self) -> PathBuf {
        self.path("new")
    }

    /// Removes everything but the lock.
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

impl Drop for WorkingFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.path(LOCK)).and_then(|()| std::fs::remove_dir(&self.folder));
        // A forked child may hold the lock too.
        let _ = self.lock.unlock();
    }
}

/// Opens the lock file; `None` if the save that made the folder is about to remove it.
fn open_lock(folder: &Path) -> io::Result<Option<File>> {
    std::fs::create_dir_all(folder)?;
    match OpenOptions::new().read(true).write(true).create(true).truncate(false).open(folder.join(LOCK)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        file => file.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observer::NoObserver;

    struct Stop;

    impl Observer for Stop {
        fn interrupted(&self) -> bool {
            true
        }
    }

    #[test]
    fn the_observer_ends_the_wait_for_another_save() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join(".saving");
        let enter = |observer: &dyn Observer| WorkingFolder::enter(&folder, parent.path(), observer);
        let other = enter(&NoObserver).unwrap();
        assert!(matches!(enter(&Stop), Err(Error::Interrupted)));
        drop(other);
        assert!(enter(&Stop).is_ok(), "nothing to wait for");
    }
}
