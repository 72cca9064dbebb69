//! Moving new files into a folder that can't be exchanged, with a journal.

use std::fs::{remove_file, rename};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::staged::Staged;
use super::sync;
use super::working_folder::WorkingFolder;
use crate::config::JsonFile;
use crate::error::{Error, Result};

/// Name of the journal. It exists from when all new files are complete until all are moved; whoever finds it moves the rest.
const JOURNAL: &str = "moves.json";

#[derive(Serialize, Deserialize)]
struct Journal {
    removed: Vec<PathBuf>,
}

/// Moves the new files, which are complete, into `folder`.
pub(crate) fn publish(staged: &Staged<'_>, folder: &Path, work: &WorkingFolder) -> Result<()> {
    let journal = Journal { removed: staged.removed().collect() };
    // Files are moved only once the journal is found after a crash.
    if let Err(error) = write_journal(&journal, work).and_then(|()| sync::folder(folder)) {
        let _ = work.clear();
        return Err(Error::io(folder, error));
    }
    recover(folder, work)
}

fn write_journal(journal: &Journal, work: &WorkingFolder) -> io::Result<()> {
    sync::folders(&work.staging())?;
    let draft = work.path("draft.json");
    std::fs::write(&draft, serde_json::to_vec(journal)?)?;
    sync::file(&draft)?;
    rename(draft, work.path(JOURNAL))?;
    sync::folder(work.folder())
}

/// Returns true if a save is moving files into the folder, or was killed while it did.
pub(super) fn needs_recovery(folder: &Path) -> bool {
    super::inside(folder).join(JOURNAL).exists()
}

/// Completes a save that was killed, unless another save is at work.
pub(super) fn try_recover(folder: &Path) -> Result<()> {
    match WorkingFolder::try_enter(&super::inside(folder)) {
        Ok(Some(work)) => recover(folder, &work),
        Ok(None) => Ok(()),
        Err(error) => Err(Error::io(folder, error)),
    }
}

/// Completes what this save, or a killed one, began in `work`: with a journal its files are moved, without one removed.
pub(crate) fn recover(folder: &Path, work: &WorkingFolder) -> Result<()> {
    let failed = |error| Error::io(folder, error);
    if let Some(journal) = JsonFile::read_if_there(work.path(JOURNAL))? {
        for path in journal.parse::<Journal>()?.removed {
            match remove_file(folder.join(path)) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                removed => removed.map_err(failed)?,
            }
        }
        if work.staging().exists() {
            move_files(&work.staging(), folder).map_err(failed)?;
        }
        // Later changes of the folder must not meet this journal again.
        remove_file(&journal.path).and_then(|()| sync::folder(work.folder())).map_err(failed)?;
    }
    work.clear().map_err(failed)
}

/// Moves the files of one folder into another.
fn move_files(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let path = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => move_files(&entry.path(), &path)?,
            false => rename(entry.path(), path)?,
        }
    }
    sync::folder(to)
}
