//! Loading of a folder in one consistent state, even if models are saved to it meanwhile.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::in_place::{needs_recovery, try_recover};
use crate::error::{Error, Result};
use crate::observer::ask_while_loading;
use crate::stamp::{FileId, Stamp};

/// Number of attempts to load a folder that keeps changing.
const ATTEMPTS: u32 = 20;

/// Loads from a folder, and again if a model was saved to it meanwhile, so that files of two models never mix. `load`
/// gets an absolute path.
///
/// # Errors
/// The errors of `load`; [`Error::InvalidConfig`] if the folder keeps changing; [`Error::Interrupted`].
pub(crate) fn load_consistent<T>(folder: impl Into<PathBuf>, load: impl Fn(PathBuf) -> Result<T>) -> Result<T> {
    let folder = folder.into();
    let folder = std::path::absolute(&folder).unwrap_or(folder);
    for attempt in 1..=ATTEMPTS {
        ask_while_loading()?;
        let _held = [hold(&folder), hold(&folder.join("modules.json"))];
        let save = LastSave::to(&folder);
        if !needs_recovery(&folder) {
            let loaded = load(folder.clone());
            if save == LastSave::to(&folder) && !needs_recovery(&folder) {
                return loaded;
            }
        } else if let Err(error) = try_recover(&folder) {
            log::debug!("{}: can't complete an interrupted save: {error}", folder.display());
        }
        std::thread::sleep(Duration::from_millis(5) * attempt);
    }
    let problem = if needs_recovery(&folder) {
        "holds an interrupted save that can't be completed; save to it again"
    } else {
        "must not change while it is loaded, but models are saved to it all the time"
    };
    Err(Error::config(folder, "(whole folder)", problem))
}

/// Identity of the last save to a folder: each save makes another `modules.json`, and another folder if possible.
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

/// Opens a regular file or a folder. Until it is closed, no other file gets its inode number.
fn hold(path: &Path) -> Option<File> {
    let metadata = path.metadata().ok()?;
    (metadata.is_file() || metadata.is_dir()).then(|| File::open(path).ok())?
}
