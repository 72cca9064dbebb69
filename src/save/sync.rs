//! Writing what was saved through to the disk, so that a crash of the machine leaves the old model or the new one.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind};
use std::path::Path;

const UNABLE: [ErrorKind; 3] = [ErrorKind::InvalidInput, ErrorKind::Unsupported, ErrorKind::PermissionDenied];

/// Writes a file's bytes through.
pub(crate) fn file(path: &Path) -> io::Result<()> {
    // Windows asks for a handle that may write.
    OpenOptions::new().read(true).write(cfg!(windows)).open(path)?.sync_all()
}

/// Writes a folder's names through, where the file system has that and the folder may be read.
pub(crate) fn folder(path: &Path) -> io::Result<()> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    match file(path) {
        Err(error) if UNABLE.contains(&error.kind()) => Ok(()),
        synced => synced,
    }
}

/// Writes the names of a folder and of all those in it through.
pub(crate) fn folders(path: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders(&entry.path())?;
        }
    }
    folder(path)
}
