//! Flushing of files to the disk, so that a crash of the machine leaves the old model or the new one.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind};
use std::path::Path;

/// Errors of file systems that can't flush folders.
const UNSUPPORTED: [ErrorKind; 3] = [ErrorKind::InvalidInput, ErrorKind::Unsupported, ErrorKind::PermissionDenied];

/// Flushes a file.
pub(crate) fn file(path: &Path) -> io::Result<()> {
    #[cfg(all(test, unix))]
    super::crashes::may_happen();
    // Windows requires a writable handle.
    OpenOptions::new().read(true).write(cfg!(windows)).open(path)?.sync_all()?;
    #[cfg(all(test, unix))]
    super::crashes::flushed(path);
    Ok(())
}

/// Flushes a folder's entries, if the file system supports it and the folder is readable.
pub(crate) fn folder(path: &Path) -> io::Result<()> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    match file(path) {
        Err(error) if UNSUPPORTED.contains(&error.kind()) => Ok(()),
        synced => synced,
    }
}

/// Flushes the entries of a folder and of all folders in it.
pub(crate) fn folders(path: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders(&entry.path())?;
        }
    }
    folder(path)
}
