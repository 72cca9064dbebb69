//! Unpacked `tests/data`. Equal files are stored once there; `shared.json` lists the copies.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use super::{copy, json};

/// Returns the folder with all files, below `target`.
pub fn data() -> PathBuf {
    static DATA: LazyLock<PathBuf> = LazyLock::new(|| unpacked(&stored()));
    DATA.clone()
}

fn stored() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// Copies a folder and adds the shared files, unless an earlier run did so for the same state.
fn unpacked(stored: &Path) -> PathBuf {
    let mut state = DefaultHasher::new();
    hash_state(stored, &mut state);
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let whole = target.join(format!("data-{:016x}", state.finish()));
    if whole.exists() {
        return whole;
    }
    let folder = tempfile::tempdir_in(target).unwrap();
    copy(stored, folder.path());
    let copies: BTreeMap<String, String> = json(&stored.join("shared.json"));
    for (path, source) in copies {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(stored.join(source), path).unwrap();
    }
    // Another process may have made the folder meanwhile.
    assert!(fs::rename(folder.path(), &whole).is_ok() || whole.exists(), "{}", whole.display());
    whole
}

fn hash_state(folder: &Path, state: &mut DefaultHasher) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        path.hash(state);
        if path.is_dir() {
            hash_state(&path, state);
        } else {
            let file = fs::metadata(&path).unwrap();
            (file.len(), file.modified().unwrap()).hash(state);
        }
    }
}
