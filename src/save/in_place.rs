//! Putting new files into a folder that stays where it is, with a journal: where folders can't be exchanged.

use std::fs::{remove_file, rename};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::staged::Staged;
use super::sync;
use super::work::Work;
use crate::config::JsonFile;
use crate::error::{Error, Result};

/// Its file is there from when all new files are whole until all are in their places: whoever finds it moves the rest.
const JOURNAL: &str = "moves.json";

#[derive(Serialize, Deserialize)]
struct Journal {
    removed: Vec<PathBuf>,
}

/// Moves the new files, which are whole, to their places in `folder`.
pub(crate) fn publish(staged: &Staged<'_>, folder: &Path, work: &Work) -> Result<()> {
    if let Err(error) = write_journal(&Journal { removed: staged.removed().collect() }, work) {
        let _ = work.clear();
        return Err(Error::io(folder, error));
    }
    settle(folder, work)
}

fn write_journal(journal: &Journal, work: &Work) -> io::Result<()> {
    sync::folders(&work.staging())?;
    let draft = work.path("draft.json");
    std::fs::write(&draft, serde_json::to_vec(journal)?)?;
    sync::file(&draft)?;
    rename(draft, work.path(JOURNAL))?;
    sync::folder(work.folder())
}

/// Whether a save is putting files into the folder, or was killed while it did.
pub(crate) fn is_unsettled(folder: &Path) -> bool {
    super::inside(folder).join(JOURNAL).exists()
}

/// Ends what a save that was killed had begun, where none is at work.
pub(crate) fn try_settle(folder: &Path) -> Result<()> {
    match Work::try_enter(&super::inside(folder)) {
        Ok(Some(work)) => settle(folder, &work),
        Ok(None) => Ok(()),
        Err(error) => Err(Error::io(folder, error)),
    }
}

/// Ends what was begun in `work`, by a save that was killed or by this one: what has a journal is moved, what has none removed.
pub(crate) fn settle(folder: &Path, work: &Work) -> Result<()> {
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
        remove_file(&journal.path).map_err(failed)?;
    }
    work.clear().map_err(failed)
}

/// Moves the files of one folder into another.
fn move_files(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => move_files(&entry.path(), &place)?,
            false => rename(entry.path(), place)?,
        }
    }
    sync::folder(to)
}
