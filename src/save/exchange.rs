//! Exchange of the old folder for a complete new one in one step.

use std::collections::BTreeMap;
use std::fs::{hard_link, rename};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::destination::Destination;
use super::staged::Staged;
use super::sync;
use super::working_folder::WorkingFolder;
use crate::config::JsonFile;
use crate::error::{Error, Result};
use crate::stamp::FileId;

/// Upper bound of other files in a folder to exchange. A folder with more is probably a working directory of other programs
/// rather than a model.
const MAX_OTHER_FILES: usize = 1000;

/// Name of the file that holds an [`ExchangeRecord`].
const RECORD: &str = "exchange.json";

/// Record written before folders are exchanged, from which a later save completes an exchange that was killed.
#[derive(Serialize, Deserialize)]
struct ExchangeRecord {
    /// The new folder, which becomes the destination.
    folder: FileId,
    /// Content of the old folder: files that the new one links, and `None` for files that it replaces or drops.
    known: BTreeMap<PathBuf, Option<FileId>>,
}

/// Returns false if the destination can't be exchanged, as far as this is known before the new folder is written.
pub(crate) fn is_possible(destination: &Destination, work: &WorkingFolder) -> bool {
    if !destination.folder.exists() {
        return true;
    }
    // After an exchange, the working directory of this process would be the old folder.
    let here = std::env::current_dir().and_then(|here| here.canonicalize());
    here.map_or(true, |here| !here.starts_with(&destination.folder)) && is_supported(work)
}

/// Tries an exchange of two empty folders.
fn is_supported(work: &WorkingFolder) -> bool {
    let [a, b] = ["a", "b"].map(|name| work.path(name));
    let swapped = [&a, &b].into_iter().try_for_each(std::fs::create_dir).and_then(|()| swap(&a, &b));
    let _ = [a, b].map(std::fs::remove_dir);
    swapped.is_ok()
}

/// Exchanges the destination for the new folder, which is complete. Returns false and leaves the destination as it was if
/// this is impossible: for a mount point, or if another user's file can't be linked.
pub(crate) fn publish(staged: &Staged<'_>, destination: &Destination, work: &WorkingFolder) -> Result<bool> {
    let (new, old) = (work.staging(), &destination.folder);
    let exchanged = if old.exists() {
        prepare(staged, old, work).and_then(|()| swap(&new, old))
    } else {
        sync::folders(&new).and_then(|()| rename(&new, old))
    };
    let failed = |error| Error::io(old, error);
    if let Err(error) = exchanged {
        work.clear().map_err(failed)?;
        if !old.exists() {
            return Err(failed(error));
        }
        log::debug!("{}: can't exchange the folder, moving files instead: {error}", old.display());
        return Ok(false);
    }
    destination.sync_entry().map_err(failed)?;
    recover(destination, work)?;
    Ok(true)
}

/// Links other files of the old folder into the new one, and writes the record.
fn prepare(staged: &Staged<'_>, old: &Path, work: &WorkingFolder) -> io::Result<()> {
    let new = work.staging();
    let mut known: BTreeMap<_, _> = staged.replaced().map(|path| (path, None)).collect();
    let entries = entries(old, MAX_OTHER_FILES + known.len())?;
    for (path, is_folder) in entries {
        let (from, to) = (old.join(&path), new.join(&path));
        if is_folder {
            make_like(&to, &from)?;
        } else if !known.contains_key(&path) {
            hard_link(&from, &to)?;
        } else {
            continue;
        }
        known.insert(path, file_id(&from));
    }
    make_like(&new, old)?;
    sync::folders(&new)?;
    // JSON can't hold other paths. Files under such paths are kept, but never replace others.
    known.retain(|path, _| path.to_str().is_some());
    let folder = file_id(&new).ok_or(ErrorKind::NotFound)?;
    let record = work.path(RECORD);
    std::fs::write(&record, serde_json::to_vec(&ExchangeRecord { folder, known })?)?;
    sync::file(&record)?;
    sync::folder(work.folder())
}

/// Completes or removes what this save, or a killed one, began in `work`. Files that other programs put into the old folder
/// after the others were linked are kept.
pub(crate) fn recover(destination: &Destination, work: &WorkingFolder) -> Result<()> {
    let failed = |error| Error::io(&destination.folder, error);
    let file = JsonFile::read_if_there(work.path(RECORD)).ok().flatten();
    let record = file.and_then(|file| file.parse::<ExchangeRecord>().ok());
    // If the exchange did not happen, the destination is another folder than the recorded one.
    if let Some(record) = record.filter(|record| file_id(&destination.folder) == Some(record.folder)) {
        keep_late(&record, &work.staging(), &destination.folder).map_err(failed)?;
    }
    if let Err(error) = work.clear() {
        log::debug!("{}: can't remove the old folder completely: {error}", destination.folder.display());
    }
    Ok(())
}

/// Moves files that appeared in the old folder after the new one was prepared, unless the new folder has others by now.
fn keep_late(record: &ExchangeRecord, old: &Path, new: &Path) -> io::Result<()> {
    if !old.exists() {
        return Ok(());
    }
    for (path, is_folder) in entries(old, usize::MAX)? {
        let (from, to) = (old.join(&path), new.join(&path));
        let linked = match record.known.get(&path) {
            Some(None) => continue,
            Some(linked) => *linked,
            None => None,
        };
        let is_late = file_id(&from) != linked && file_id(&to) == linked;
        match (is_late, is_folder) {
            (false, _) => {}
            (true, true) => make_like(&to, &from)?,
            (true, false) => rename(from, to)?,
        }
    }
    Ok(())
}

/// Lists the content of a folder recursively, with relative paths and true for folders; a folder comes before its content.
fn entries(folder: &Path, max: usize) -> io::Result<Vec<(PathBuf, bool)>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(within) = folders.pop() {
        for entry in std::fs::read_dir(folder.join(&within))? {
            let entry = entry?;
            let path = within.join(entry.file_name());
            if path.as_os_str() == super::INSIDE {
                continue;
            }
            let is_folder = entry.file_type()?.is_dir();
            if is_folder {
                folders.push(path.clone());
            }
            found.push((path, is_folder));
            if found.len() > max {
                return Err(io::Error::other("too many other files"));
            }
        }
    }
    Ok(found)
}

/// Makes a folder if absent, and gives it another folder's owner and permissions.
fn make_like(folder: &Path, other: &Path) -> io::Result<()> {
    match std::fs::create_dir(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => {}
        made => made?,
    }
    copy_access(other, folder)
}

#[cfg(unix)]
fn copy_access(from: &Path, to: &Path) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, chown};
    let from = from.metadata()?;
    chown(to, Some(from.uid()), Some(from.gid()))?;
    std::fs::set_permissions(to, from.permissions())
}

#[cfg(not(unix))]
fn copy_access(_: &Path, _: &Path) -> io::Result<()> {
    Ok(())
}

/// Returns the identity of a file, folder or link.
fn file_id(path: &Path) -> Option<FileId> {
    path.symlink_metadata().ok().map(|metadata| FileId::of(&metadata))
}

/// Exchanges two folders.
#[cfg(any(target_os = "linux", target_os = "macos"))]
fn swap(a: &Path, b: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE)?)
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn swap(_: &Path, _: &Path) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}
