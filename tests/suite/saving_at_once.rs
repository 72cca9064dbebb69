//! Tests of concurrent saves: a folder always holds one whole model, despite other saves and loads, killed saves, and
//! other files in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::{copy, data, tiny};
use rushlight::{Embeddings, EncodeOptions, Error, Model, MultiVectorModel, Reranker, SparseModel};
use serde_json::json;
use tempfile::TempDir;

/// Two models of the same shapes, so that mixed files would load without an error.
const MODELS: [&str; 2] = ["bert-mean-normalize", "bert-cls-normalize-prompts"];

fn models() -> [Model; 2] {
    MODELS.map(|name| Model::from_dir(tiny(name).model).unwrap())
}

fn embed(model: &Model) -> Embeddings {
    model.encode(&["A lamp lights the room.", "It is small."], &EncodeOptions::default()).unwrap()
}

fn load(folder: &Path) -> Embeddings {
    embed(&Model::from_dir(folder).unwrap_or_else(|error| panic!("{error}")))
}

/// Method of saving to an existing folder.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Exchanged,
    /// In place, because the folder holds too many other files.
    InPlace,
    /// In place after a failed exchange, because a module's folder is a link.
    InPlaceAtLast,
}

const WAYS: [Way; 3] = [Way::Exchanged, Way::InPlace, Way::InPlaceAtLast];

impl Way {
    /// Returns a folder that is saved by this method.
    fn folder(self) -> (TempDir, PathBuf) {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("model");
        fs::create_dir(&folder).unwrap();
        if self == Self::InPlace {
            (0..1100).for_each(|i| fs::write(folder.join(format!("{i}.log")), "").unwrap());
        }
        #[cfg(unix)]
        if self == Self::InPlaceAtLast {
            fs::create_dir(parent.path().join("pooling")).unwrap();
            std::os::unix::fs::symlink("../pooling", folder.join("1_Pooling")).unwrap();
        }
        (parent, folder)
    }
}

/// Checks that no hidden files are in a folder or beside it.
fn assert_nothing_left(folder: &Path) {
    for folder in [folder, folder.parent().unwrap()] {
        let hidden: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.contains(".saving"))
            .collect();
        assert!(hidden.is_empty(), "{}: {hidden:?}", folder.display());
    }
}

#[test]
fn concurrent_saves_leave_one_whole_model() {
    let models = models();
    let expected = models.each_ref().map(embed);
    for way in WAYS {
        for _ in 0..10 {
            let (_parent, folder) = way.folder();
            let barrier = Barrier::new(2);
            std::thread::scope(|scope| {
                for model in &models {
                    let (barrier, folder) = (&barrier, &folder);
                    scope.spawn(move || {
                        barrier.wait();
                        model.save(folder).unwrap();
                    });
                }
            });
            assert!(expected.contains(&load(&folder)), "{way:?}");
            assert_nothing_left(&folder);
        }
    }
}

#[test]
fn concurrent_saves_to_a_new_folder_leave_one_whole_model() {
    let models = models();
    let expected = models.each_ref().map(embed);
    for _ in 0..10 {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("above/it/model");
        std::thread::scope(|scope| models.iter().for_each(|model| drop(scope.spawn(|| model.save(&folder).unwrap()))));
        assert!(expected.contains(&load(&folder)));
        assert_nothing_left(&folder);
    }
}

/// Loads a folder repeatedly while two models are saved to it alternately.
fn loads_while_saving<M>(
    way: Way,
    save: impl Fn(usize, &Path) + Sync,
    load: impl Fn(&Path) -> Result<M, Error>,
) -> Vec<M> {
    let (_parent, folder) = way.folder();
    save(0, &folder);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| (1..).take_while(|_| !done.load(Ordering::Relaxed)).for_each(|i| save(i % 2, &folder)));
        let loaded = (0..40).filter_map(|_| match load(&folder) {
            Ok(loaded) => Some(loaded),
            // Saves never stop here, so a load sometimes gives up with an error.
            Err(Error::InvalidConfig { key, .. }) if key == "(whole folder)" => None,
            Err(error) => {
                done.store(true, Ordering::Relaxed);
                panic!("{way:?}: {error}")
            }
        });
        let loaded: Vec<_> = loaded.collect();
        done.store(true, Ordering::Relaxed);
        assert!(loaded.len() > 20, "{way:?}: {}", loaded.len());
        loaded
    })
}

#[cfg_attr(windows, ignore = "Windows replaces no file that is mapped")]
#[test]
fn a_load_while_models_are_saved_gives_one_of_them() {
    let models = models();
    let expected = models.each_ref().map(embed);
    for way in WAYS {
        let loaded = loads_while_saving(way, |i, to| models[i].save(to).unwrap(), |from| Model::from_dir(from));
        assert!(loaded.iter().all(|model| expected.contains(&embed(model))), "{way:?}");
    }
}

/// These models read further files after the network.
#[cfg_attr(windows, ignore = "Windows replaces no file that is mapped")]
#[test]
fn models_of_other_kinds_are_loaded_whole_too() {
    for way in WAYS {
        let mut rerankers = ["rerank-bert", "rerank-bert"]
            .map(|name| Reranker::from_dir(data().join("rerank").join(name).join("model")).unwrap());
        rerankers[1].set_activation(rushlight::ScoreActivation::Identity);
        rerankers[1].set_max_length(20).unwrap();
        let loaded = loads_while_saving(way, |i, to| rerankers[i].save(to).unwrap(), |from| Reranker::from_dir(from));
        let settings = |model: &Reranker| (model.activation(), model.max_length());
        assert!(loaded.iter().all(|model| rerankers.iter().any(|one| settings(one) == settings(model))), "{way:?}");
    }
}

#[test]
fn other_files_in_the_folder_stay() {
    let models = models();
    for way in WAYS {
        let (_parent, folder) = way.folder();
        let files = ["README.md", ".git/objects/ab/cdef", ".git/HEAD", "1_Pooling/notes.txt"];
        for file in files {
            let path = folder.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        fs::create_dir(folder.join("empty")).unwrap();
        for model in models.iter().chain(&models) {
            model.save(&folder).unwrap();
            assert_eq!(load(&folder), embed(model), "{way:?}");
            for file in files {
                assert_eq!(fs::read_to_string(folder.join(file)).unwrap(), file, "{way:?}");
            }
            assert!(folder.join("empty").is_dir());
            assert_nothing_left(&folder);
        }
    }
}

#[cfg(unix)]
#[test]
fn a_folder_keeps_its_permissions_and_links_stay_links() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    let [model, other] = models();
    for way in WAYS {
        let (parent, folder) = way.folder();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        let chmod = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        fs::create_dir(folder.join("mine")).unwrap();
        fs::write(folder.join("mine/file"), "").unwrap();
        chmod(&folder.join("mine/file"), 0o640);
        chmod(&folder.join("mine"), 0o700);
        chmod(&folder, 0o750);
        symlink("mine/file", folder.join("link")).unwrap();
        let to_folder = parent.path().join("to-folder");
        symlink("model", &to_folder).unwrap();
        let number = |path: &Path| fs::metadata(path).unwrap().ino();
        // While it is open, no other folder gets its inode number.
        let _held = fs::File::open(&folder).unwrap();
        let (before, file) = (number(&folder), number(&folder.join("mine/file")));

        other.save(&folder).unwrap();
        model.save(&to_folder).unwrap();
        assert_eq!(load(&folder), embed(&model));
        assert!(fs::symlink_metadata(&to_folder).unwrap().is_symlink());
        assert_eq!(fs::read_link(folder.join("link")).unwrap(), Path::new("mine/file"));
        let modes = [&folder, &folder.join("mine"), &folder.join("mine/file")].map(|path| mode(path));
        assert_eq!(modes, [0o750, 0o700, 0o640], "{way:?}");
        assert_eq!(number(&folder.join("mine/file")), file, "{way:?}");
        if cfg!(any(target_os = "linux", target_os = "macos")) {
            assert_eq!(number(&folder) == before, way != Way::Exchanged);
        }
        if way == Way::InPlaceAtLast {
            assert!(parent.path().join("pooling/config.json").is_file());
        }
        assert_nothing_left(&folder);
    }
}

/// Rewritten weights have the same permissions as copied files.
#[cfg(unix)]
#[test]
fn weights_have_the_configs_permissions() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    Model::from_dir(tiny("legacy-bert-mean-normalize").model).unwrap().save(folder.path()).unwrap();
    let mode = |name| fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
    assert_eq!(mode("model.safetensors"), mode("modules.json"));
}

/// Returns a folder as a killed save leaves it, while it moves files or before.
fn killed(whole: bool, saved: &Path, folder: &Path) {
    let work = folder.join(".saving");
    copy(saved, &work.join("new"));
    fs::write(work.join("lock"), "").unwrap();
    if whole {
        fs::write(work.join("moves.json"), json!({ "removed": ["added_tokens.json"] }).to_string()).unwrap();
        // Some files are already moved.
        fs::rename(work.join("new/config.json"), folder.join("config.json")).unwrap();
        fs::rename(work.join("new/model.safetensors"), folder.join("model.safetensors")).unwrap();
        fs::write(folder.join("added_tokens.json"), "{").unwrap();
    }
}

#[test]
fn the_next_load_or_save_completes_a_killed_move() {
    let [old, new] = models();
    let saved = tempfile::tempdir().unwrap();
    new.save(saved.path()).unwrap();
    for whole in [false, true] {
        let (_parent, folder) = Way::Exchanged.folder();
        old.save(&folder).unwrap();
        killed(whole, saved.path(), &folder);
        assert_eq!(load(&folder), embed(if whole { &new } else { &old }));
        if whole {
            assert_nothing_left(&folder);
        }
        for way in WAYS {
            let (_parent, folder) = way.folder();
            old.save(&folder).unwrap();
            killed(whole, saved.path(), &folder);
            old.save(&folder).unwrap();
            assert_eq!(load(&folder), embed(&old), "{way:?}");
            assert_nothing_left(&folder);
        }
    }
}

#[test]
fn the_next_save_removes_leftovers_of_a_killed_exchange() {
    let [old, new] = models();
    let (parent, folder) = Way::Exchanged.folder();
    old.save(&folder).unwrap();
    let work = parent.path().join(".model.saving");
    copy(&folder, &work.join("new"));
    fs::write(work.join("exchange.json"), json!({ "folder": [0, 0], "known": {} }).to_string()).unwrap();
    fs::write(work.join("new/notes.txt"), "linked, and meanwhile removed").unwrap();
    assert_eq!(load(&folder), embed(&old));
    new.save(&folder).unwrap();
    assert_eq!(load(&folder), embed(&new));
    assert!(!folder.join("notes.txt").exists());
    assert_nothing_left(&folder);
}

/// Files that appear in the old folder between linking and exchange are kept in the new one.
#[cfg(unix)]
#[test]
fn files_that_come_while_a_save_is_killed_are_kept() {
    use std::os::unix::fs::MetadataExt;
    let [old, new] = models();
    let (parent, folder) = Way::Exchanged.folder();
    old.save(&folder).unwrap();
    for name in ["early.txt", "rewritten.txt", "rewritten-late.txt", "removed.txt"] {
        fs::write(folder.join(name), "early").unwrap();
    }
    let id = |path: &Path| {
        let metadata = fs::metadata(path).unwrap();
        json!([metadata.dev(), metadata.ino()])
    };
    let work = parent.path().join(".model.saving");
    let before = work.join("new");
    fs::create_dir(&work).unwrap();
    fs::rename(&folder, &before).unwrap();
    copy(&before, &folder);
    let mut known = json!({ "modules.json": null, "model.safetensors": null, "1_Pooling/config.json": null });
    for name in ["early.txt", "rewritten.txt", "rewritten-late.txt", "removed.txt"] {
        fs::remove_file(folder.join(name)).unwrap();
        fs::hard_link(before.join(name), folder.join(name)).unwrap();
        known[name] = id(&folder.join(name));
    }
    fs::write(work.join("exchange.json"), json!({ "folder": id(&folder), "known": known }).to_string()).unwrap();
    let rewrite = |path: PathBuf, text| {
        fs::write(path.with_extension("new"), text).unwrap();
        fs::rename(path.with_extension("new"), path).unwrap();
    };
    rewrite(before.join("rewritten.txt"), "late");
    fs::create_dir(before.join("sub")).unwrap();
    fs::write(before.join("sub/late.txt"), "late").unwrap();
    rewrite(folder.join("rewritten-late.txt"), "after the exchange");
    fs::remove_file(folder.join("removed.txt")).unwrap();

    new.save(&folder).unwrap();
    let text = |name| fs::read_to_string(folder.join(name)).unwrap();
    assert_eq!(["early.txt", "rewritten.txt", "sub/late.txt"].map(text), ["early", "late", "late"]);
    assert_eq!(text("rewritten-late.txt"), "after the exchange");
    assert!(!folder.join("removed.txt").exists());
    assert_eq!(load(&folder), embed(&new));
    assert_nothing_left(&folder);
}

/// Returns every file in a folder, with its content.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(contents(&path)),
            false => files.push((path.clone(), fs::read(path).unwrap())),
        }
    }
    files.sort();
    files
}

#[test]
fn a_folder_with_a_files_name_is_an_error_and_changes_nothing() {
    let [old, new] = models();
    for way in WAYS {
        let (_parent, folder) = way.folder();
        old.save(&folder).unwrap();
        fs::remove_file(folder.join("config_sentence_transformers.json")).unwrap();
        fs::create_dir(folder.join("config_sentence_transformers.json")).unwrap();
        let before = contents(&folder);
        let error = new.save(&folder).unwrap_err();
        let place = folder.canonicalize().unwrap().join("config_sentence_transformers.json");
        assert!(matches!(&error, Error::Io { path, .. } if *path == place), "{error:?}");
        assert!(contents(&folder) == before, "{way:?}");
        assert_nothing_left(&folder);
    }
}

#[test]
fn paths_that_are_no_folders_are_refused() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "text").unwrap();
    let mut paths = vec![file.clone(), file.join("below"), file.join("far/below"), PathBuf::new(), "a\0b".into()];
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("nothing", parent.path().join("link")).unwrap();
        paths.extend(["link", "nowhere/.."].map(|path| parent.path().join(path)));
    }
    let refused = |error: Error| {
        assert!(matches!(error, Error::InvalidArgument { argument: "path", .. }), "{error:?}");
        assert!(!error.to_string().contains(".saving"), "{error}");
    };
    for path in paths {
        refused(models()[0].save(&path).unwrap_err());
    }
    refused(Reranker::from_dir(data().join("rerank/rerank-bert/model")).unwrap().save(&file).unwrap_err());
    refused(SparseModel::from_dir(data().join("sparse/splade-bert-max/model")).unwrap().save(&file).unwrap_err());
    let multi_vector = data().join("multi_vector/multivector-stanford-bert/model");
    refused(MultiVectorModel::from_dir(multi_vector).unwrap().save(&file).unwrap_err());
    assert_eq!(fs::read_to_string(&file).unwrap(), "text");
    assert!(fs::read_dir(parent.path()).unwrap().count() <= 2);
}
