//! Putting a whole new folder into the old one's place in one step.

use std::collections::BTreeMap;
use std::fs::{hard_link, rename};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::staged::Staged;
use super::sync;
use super::target::Target;
use super::work::Work;
use crate::engine::source_files::FileId;
use crate::error::{Error, Result};

/// How many files and folders of others a folder may hold to be exchanged: one with more is a place of work, in which other
/// programs may run, rather than a model.
const MAX_OTHERS: usize = 1000;

/// Name of the file that holds a [`Note`].
const NOTE: &str = "exchange.json";

/// What a save notes before it exchanges folders, for whoever ends it.
#[derive(Serialize, Deserialize)]
struct Note {
    /// The new folder: after the exchange it is the target's.
    folder: FileId,
    /// What was in the old folder: files that the new one has, too, and `None` for those that it replaces or leaves out.
    known: BTreeMap<PathBuf, Option<FileId>>,
}

/// Returns whether the target can be exchanged, as far as this can be known before the new folder is written.
pub(crate) fn is_possible(target: &Target, work: &Work) -> bool {
    if !target.folder.exists() {
        return true;
    }
    // The working directory would be another folder than its path leads to.
    let here = std::env::current_dir().and_then(|here| here.canonicalize());
    here.map_or(true, |here| !here.starts_with(&target.folder)) && is_supported(work)
}

/// Tries it with two empty folders.
fn is_supported(work: &Work) -> bool {
    let [a, b] = ["a", "b"].map(|name| work.path(name));
    let swapped = [&a, &b].into_iter().try_for_each(std::fs::create_dir).and_then(|()| swap(&a, &b));
    let _ = [a, b].map(std::fs::remove_dir);
    swapped.is_ok()
}

/// Puts the new folder, which is whole, into the target's place. Returns false, with the target as it was, where that is
/// impossible: of a mount point, or where another user's file can't be linked.
pub(crate) fn publish(staged: &Staged<'_>, target: &Target, work: &Work) -> Result<bool> {
    let (new, old) = (work.staging(), &target.folder);
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
        log::debug!("{}: not exchanged: {error}", old.display());
        return Ok(false);
    }
    old.parent().map_or(Ok(()), sync::folder).map_err(failed)?;
    settle(target, work)?;
    Ok(true)
}

/// Links what others have in the old folder into the new one, and notes it.
fn prepare(staged: &Staged<'_>, old: &Path, work: &Work) -> io::Result<()> {
    let new = work.staging();
    let mut known: BTreeMap<_, _> = staged.replaced().map(|path| (path, None)).collect();
    let entries = entries(old, MAX_OTHERS + known.len())?;
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
    // JSON has no other paths. Those that are not known are kept, but replace nothing.
    known.retain(|path, _| path.to_str().is_some());
    let folder = file_id(&new).ok_or(ErrorKind::NotFound)?;
    std::fs::write(work.path(NOTE), serde_json::to_vec(&Note { folder, known })?)
}

/// Ends what was begun in `work`, by this save or by one that was killed: keeps what others put into the old folder after
/// their files were linked, and removes the rest.
pub(crate) fn settle(target: &Target, work: &Work) -> Result<()> {
    let failed = |error| Error::io(&target.folder, error);
    let note = std::fs::read(work.path(NOTE)).ok().and_then(|note| serde_json::from_slice::<Note>(&note).ok());
    // Before the exchange, the old folder is in its place.
    if let Some(note) = note.filter(|note| file_id(&target.folder) == Some(note.folder)) {
        keep_late(&note, &work.staging(), &target.folder).map_err(failed)?;
    }
    if let Err(error) = work.clear() {
        log::debug!("{}: the old folder isn't all removed: {error}", target.folder.display());
    }
    Ok(())
}

/// Moves the files that are in the old folder since the new one was prepared, unless the new folder has others by now.
fn keep_late(note: &Note, old: &Path, new: &Path) -> io::Result<()> {
    if !old.exists() {
        return Ok(());
    }
    for (path, is_folder) in entries(old, usize::MAX)? {
        let (from, to) = (old.join(&path), new.join(&path));
        let linked = match note.known.get(&path) {
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

/// Lists what is in a folder and those within it by relative paths, and whether each is a folder; a folder comes before what it
/// holds.
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
                return Err(io::Error::other("too many files of others"));
            }
        }
    }
    Ok(found)
}

/// Makes a folder, or takes the one that is there, with another one's owner and permissions.
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

/// Which file or folder is at a path, or which link.
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
