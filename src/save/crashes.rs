//! Tests of saves during which the machine crashes. A simulated disk keeps what was flushed, and loses other changes.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::Model;
use crate::stamp::FileId;

thread_local! {
    /// The disk to which this thread saves a model.
    static DISK: RefCell<Option<Disk>> = const { RefCell::new(None) };
}

/// Entry of a folder.
#[derive(Clone)]
struct Entry {
    name: OsString,
    id: FileId,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    File,
    Folder,
    Link(PathBuf),
}

/// Content of a folder that survives a crash.
struct Disk {
    folder: PathBuf,
    files: HashMap<FileId, Vec<u8>>,
    folders: HashMap<FileId, Vec<Entry>>,
    /// While these are open, no other file gets the inode number of one.
    held: Vec<File>,
    /// Checks a folder that has the content after a crash.
    check: Box<dyn Fn(&Path)>,
}

/// A file system may write entries of folders at any time, also before the content of new files.
#[derive(Clone, Copy)]
enum Survives {
    FlushedEntries,
    AllEntries,
}

impl Disk {
    /// Takes a folder whose present content is on the disk.
    fn of(folder: &Path, check: impl Fn(&Path) + 'static) -> Self {
        let mut disk = Self {
            folder: folder.to_path_buf(),
            files: HashMap::new(),
            folders: HashMap::new(),
            held: Vec::new(),
            check: Box::new(check),
        };
        disk.flush_all(folder);
        disk
    }

    fn flush_all(&mut self, folder: &Path) {
        self.flush(folder);
        for entry in entries(folder) {
            let path = folder.join(&entry.name);
            match entry.kind {
                Kind::Folder => self.flush_all(&path),
                Kind::File => self.flush(&path),
                Kind::Link(_) => {}
            }
        }
    }

    fn flush(&mut self, path: &Path) {
        let file = File::open(path).unwrap();
        let id = FileId::of(&file.metadata().unwrap());
        match path.is_dir() {
            true => drop(self.folders.insert(id, entries(path))),
            false => drop(self.files.insert(id, fs::read(path).unwrap())),
        }
        self.held.push(file);
    }

    /// Checks what a crash would leave now.
    fn crash(&self) {
        for survives in [Survives::FlushedEntries, Survives::AllEntries] {
            let copy = tempfile::tempdir().unwrap();
            self.restore(&self.folder, FileId::of(&self.folder.metadata().unwrap()), survives, copy.path());
            (self.check)(copy.path());
        }
    }

    /// Writes the content of the folder `path`, whose identity is `id`, to another.
    fn restore(&self, path: &Path, id: FileId, survives: Survives, to: &Path) {
        let entries = match survives {
            Survives::FlushedEntries => self.folders.get(&id).cloned().unwrap_or_default(),
            Survives::AllEntries => entries(path),
        };
        for Entry { name, id, kind } in entries {
            let to = to.join(&name);
            match kind {
                Kind::File => fs::write(to, self.files.get(&id).map_or(&[][..], Vec::as_slice)).unwrap(),
                Kind::Link(target) => symlink(target, to).unwrap(),
                Kind::Folder => {
                    fs::create_dir(&to).unwrap();
                    self.restore(&path.join(name), id, survives, &to);
                }
            }
        }
    }
}

fn entries(folder: &Path) -> Vec<Entry> {
    let entry = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        let kind = match metadata.file_type() {
            kind if kind.is_dir() => Kind::Folder,
            kind if kind.is_symlink() => Kind::Link(fs::read_link(entry.path()).unwrap()),
            _ => Kind::File,
        };
        Entry { name: entry.file_name(), id: FileId::of(&metadata), kind }
    };
    fs::read_dir(folder).unwrap().map(entry).collect()
}

/// Checks what a crash at this moment of a save would leave.
pub(super) fn may_happen() {
    // Whatever the check flushes is of another disk.
    let disk = DISK.take();
    if let Some(disk) = &disk {
        disk.crash();
    }
    DISK.set(disk);
}

/// Records that a file or a folder was flushed.
pub(super) fn flushed(path: &Path) {
    DISK.with_borrow_mut(|disk| {
        if let Some(disk) = disk {
            disk.flush(path);
        }
    });
}

/// Returns the files of a folder with their contents, but hidden ones.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in entries(folder).into_iter().filter(|entry| !entry.name.as_encoded_bytes().starts_with(b".")) {
        let path = folder.join(&entry.name);
        match path.is_dir() {
            true => {
                found.extend(files(&path).into_iter().map(|(name, data)| (Path::new(&entry.name).join(name), data)))
            }
            false => found.push((entry.name.into(), fs::read(&path).unwrap())),
        }
    }
    found.sort();
    found
}

/// Returns two models with other weights, and another pooling.
fn models(scratch: &Path) -> [Model; 2] {
    let stored = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tiny/bert-mean-normalize/model");
    for (name, mut data) in files(&stored) {
        match String::from_utf8(data.clone()) {
            Ok(text) => data = text.replace(r#""pooling_mode": "mean""#, r#""pooling_mode": "cls""#).into_bytes(),
            Err(_) => *data.last_mut().unwrap() ^= 1,
        }
        let path = scratch.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, data).unwrap();
    }
    [&stored, scratch].map(|folder| Model::from_dir(folder).unwrap())
}

/// Saves a model to the folder `name` of `parent`. The machine crashes before and after each flush, and after the save.
fn save_through_crashes(parent: &Path, name: &'static str) {
    let scratch = tempfile::tempdir().unwrap();
    let [old, new] = models(&scratch.path().join("other"));
    let folder = parent.join(name);
    let mut allowed = vec![None];
    if folder.exists() {
        old.save(&folder).unwrap();
        allowed = vec![Some(files(&folder))];
    }
    new.save(scratch.path().join("new")).unwrap();
    let whole = Some(files(&scratch.path().join("new")));
    allowed.push(whole.clone());
    // A load completes an interrupted save.
    let left = move |parent: &Path| {
        let folder = parent.join(name);
        folder.exists().then(|| {
            Model::from_dir(&folder).unwrap_or_else(|error| panic!("{error}"));
            files(&folder)
        })
    };
    let crashes = Rc::new(Cell::new(0));
    let counter = crashes.clone();
    let check = move |parent: &Path| {
        counter.set(counter.get() + 1);
        assert!(allowed.contains(&left(parent)), "{name}: neither the old model nor the new one");
    };
    DISK.set(Some(Disk::of(parent, check)));
    new.save(&folder).unwrap();
    let mut disk = DISK.take().unwrap();
    assert!(crashes.get() > 20, "{name}: {} crashes", crashes.get());
    disk.check = Box::new(move |parent| assert!(left(parent) == whole, "{name}: not the new model after the save"));
    disk.crash();
}

#[test]
fn a_crash_while_saving_leaves_the_old_model_or_the_new_one() {
    let parent = tempfile::tempdir().unwrap();
    save_through_crashes(parent.path(), "above/it/absent");
    fs::create_dir(parent.path().join("exchanged")).unwrap();
    save_through_crashes(parent.path(), "exchanged");
}

/// A folder one of whose modules is a link isn't exchanged.
#[test]
fn a_crash_while_files_are_moved_leaves_the_old_model_or_the_new_one() {
    let parent = tempfile::tempdir().unwrap();
    for folder in ["moved", "pooling"] {
        fs::create_dir(parent.path().join(folder)).unwrap();
    }
    symlink("../pooling", parent.path().join("moved/1_Pooling")).unwrap();
    save_through_crashes(parent.path(), "moved");
}
