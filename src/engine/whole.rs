//! Loading a folder as it is at one moment, whoever saves to it meanwhile.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::source_files::{FileId, Stamp};
use crate::error::{Error, Result};
use crate::save::{is_unsettled, try_settle};

/// How often a folder is loaded that is another one each time.
const ATTEMPTS: u32 = 20;

/// Loads from a folder, by a path that stays right wherever the process goes, and loads again where a model was saved to it
/// meanwhile: files of two models are never mixed.
///
/// # Errors
/// Those of `load`; [`Error::InvalidConfig`] where saves don't end.
pub(crate) fn whole<T>(folder: impl Into<PathBuf>, load: impl Fn(PathBuf) -> Result<T>) -> Result<T> {
    let folder = folder.into();
    let folder = std::path::absolute(&folder).unwrap_or(folder);
    for attempt in 1..=ATTEMPTS {
        let _held = [hold(&folder), hold(&folder.join("modules.json"))];
        let save = LastSave::to(&folder);
        if !is_unsettled(&folder) {
            let loaded = load(folder.clone());
            if save == LastSave::to(&folder) && !is_unsettled(&folder) {
                return loaded;
            }
        } else if let Err(error) = try_settle(&folder) {
            log::debug!("{}: a save that ended early isn't completed: {error}", folder.display());
        }
        std::thread::sleep(Duration::from_millis(5) * attempt);
    }
    let problem = if is_unsettled(&folder) {
        "a save ended early, and its files can't be put into their places here: save to it again"
    } else {
        "must stay as it is while it is loaded, but models are saved to it all the time"
    };
    Err(Error::config(folder, "(whole folder)", problem))
}

/// The last save to a folder, or none: each one makes another `modules.json`, and another folder where it can.
#[derive(PartialEq)]
struct LastSave {
    folder: Option<FileId>,
    modules: Option<Stamp>,
}

impl LastSave {
    fn to(folder: &Path) -> Self {
        let folder_id = folder.metadata().ok().map(|metadata| FileId::of(&metadata));
        Self { folder: folder_id, modules: Stamp::of(&folder.join("modules.json")) }
    }
}

/// Opens a plain file or a folder: its number is given to no other one until it is closed.
fn hold(path: &Path) -> Option<File> {
    let metadata = path.metadata().ok()?;
    (metadata.is_file() || metadata.is_dir()).then(|| File::open(path).ok())?
}
