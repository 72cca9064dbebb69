//! Models of `tests/data` as folders whose files a target changes.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};

use tempfile::TempDir;

/// Files of a folder: contents by path.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Returns the folder `tests/data`.
fn stored() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let places = [here.join("tests/data"), here.join("../tests/data")];
    places.into_iter().find(|place| place.exists()).expect("tests/data")
}

/// Returns the files of a case's model.
pub fn files(case: &str) -> Files {
    below(&format!("{case}/model/"))
}

/// Returns the files of a folder, also those that it shares with others.
pub fn below(prefix: &str) -> Files {
    let stored = stored();
    let shared: HashMap<String, String> =
        serde_json::from_slice(&fs::read(stored.join("shared.json")).unwrap()).unwrap();
    let mut files = Files::new();
    add(&stored.join(prefix), "", &mut files);
    for (path, source) in shared {
        if let Some(name) = path.strip_prefix(prefix) {
            files.insert(name.to_owned(), fs::read(stored.join(source)).unwrap());
        }
    }
    assert!(!files.is_empty(), "no files below {prefix}");
    files
}

/// Returns one file of `tests/data`.
pub fn file(path: &str) -> Vec<u8> {
    fs::read(stored().join(path)).unwrap()
}

/// Returns the names of the folders below one of `tests/data`.
pub fn cases(kind: &str) -> Vec<String> {
    let entries = fs::read_dir(stored().join(kind)).unwrap().map(|entry| entry.unwrap().file_name());
    let mut cases: Vec<_> = entries.map(|name| format!("{kind}/{}", name.to_string_lossy())).collect();
    cases.sort();
    cases
}

fn add(folder: &Path, prefix: &str, files: &mut Files) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = format!("{prefix}{}", path.file_name().unwrap().to_string_lossy());
        match path.is_dir() {
            true => add(&path, &format!("{name}/"), files),
            false => drop(files.insert(name, fs::read(&path).unwrap())),
        }
    }
}

/// Folder on disk with the model of a case, whose files are changed for the time of a run.
pub struct Folder {
    folder: TempDir,
    pub files: Files,
}

impl Folder {
    pub fn new(files: Files) -> Self {
        let folder = Self { folder: tempfile::tempdir().unwrap(), files };
        for (name, content) in &folder.files {
            folder.write(name, Some(content));
        }
        folder
    }

    /// Runs `check` on the folder with other files; `None` removes one.
    pub fn with<R>(&self, changes: &BTreeMap<String, Option<Vec<u8>>>, check: impl FnOnce(&Path) -> R) -> R {
        for (name, content) in changes {
            self.write(name, content.as_deref());
        }
        let result = check(self.folder.path());
        for name in changes.keys() {
            self.write(name, self.files.get(name).map(Vec::as_slice));
        }
        result
    }

    /// Replaces a file by a new one, as programs that replace weights must.
    fn write(&self, name: &str, content: Option<&[u8]>) {
        let path = self.folder.path().join(name);
        let _ = fs::remove_file(&path);
        if let Some(content) = content {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }
}

/// Runs `work` on the folder of a case, which is written once.
pub fn on_case<R>(case: &str, work: impl FnOnce(&Folder) -> R) -> R {
    static FOLDERS: LazyLock<Mutex<HashMap<String, Folder>>> = LazyLock::new(Mutex::default);
    let mut folders = FOLDERS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    work(folders.entry(case.to_owned()).or_insert_with(|| Folder::new(files(case))))
}
