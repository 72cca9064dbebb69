//! Packed weights in a folder that processes share: the same bits, and files that are wrong.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::common::{changed, copy, folders, native, portable, tiny, tiny_cases};
use rushlight::{
    BackboneOptions, Dtype, EncodeOptions, Error, LoadOptions, Model, MultiVectorModel, Reranker, SparseModel,
};

const DTYPES: [Dtype; 3] = [Dtype::Float32, Dtype::BFloat16, Dtype::Int8];
const TEXTS: [&str; 3] = ["A small lamp.", "Bread needs yeast, and some time.", "ok"];

/// Options that share packed weights in a folder.
fn shared(dtype: Dtype, folder: &Path) -> LoadOptions {
    native().with_dtype(dtype).with_packed_folder(folder)
}

/// Files of packed weights in a folder, with the time at which each was written.
fn files(folder: &Path) -> Vec<(PathBuf, SystemTime)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let packed = entries.filter(|path| path.extension().is_some_and(|extension| extension == "packed"));
    let mut files: Vec<_> = packed.map(|path| (path.clone(), path.metadata().unwrap().modified().unwrap())).collect();
    files.sort();
    files
}

fn bits(rows: &[f32]) -> Vec<u32> {
    rows.iter().map(|x| x.to_bits()).collect()
}

fn encoded(model: &Model) -> Vec<u32> {
    bits(&model.encode(&TEXTS, &EncodeOptions::default()).unwrap().into_vec())
}

/// Loads without the folder, by writing a file, and by mapping it, and expects the same results of all.
fn check<T: PartialEq>(name: &str, load: impl Fn(&LoadOptions) -> T) {
    for dtype in DTYPES {
        let folder = tempfile::tempdir().unwrap();
        let own = load(&native().with_dtype(dtype));
        assert!(load(&shared(dtype, folder.path())) == own, "{name} in {dtype}, written");
        let written = files(folder.path());
        assert!(load(&shared(dtype, folder.path())) == own, "{name} in {dtype}, mapped");
        assert!(files(folder.path()) == written, "{name} in {dtype}: packed twice");
        let others = fs::read_dir(folder.path()).unwrap().filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            name.to_str().is_some_and(|name| name.ends_with(".writing"))
        });
        assert_eq!(others.count(), 0, "{name} in {dtype}: left-over files");
    }
}

#[test]
fn every_family_has_the_same_bits_with_shared_weights() {
    for case in tiny_cases() {
        let texts = &case.texts[..case.texts.len().min(5)];
        check(&case.name, |options| {
            let model = Model::from_dir_with(&case.model, options).unwrap_or_else(|e| panic!("{}: {e}", case.name));
            bits(&model.encode(texts, &EncodeOptions::default()).unwrap().into_vec())
        });
    }
}

#[test]
fn every_kind_has_the_same_bits_with_shared_weights() {
    for case in folders("rerank") {
        check(&case.display().to_string(), |options| {
            let model = Reranker::from_dir_with(case.join("model"), options).unwrap();
            bits(model.predict(&[(TEXTS[0], TEXTS[1]), (TEXTS[1], TEXTS[2])], &Default::default()).unwrap().as_slice())
        });
    }
    for case in folders("sparse") {
        check(&case.display().to_string(), |options| {
            let model = SparseModel::from_dir_with(case.join("model"), options).unwrap();
            let queries = model.encode_query(&TEXTS, &Default::default()).unwrap();
            (queries, model.encode_document(&TEXTS, &Default::default()).unwrap())
        });
    }
    for case in folders("multi_vector") {
        check(&case.display().to_string(), |options| {
            let model = MultiVectorModel::from_dir_with(case.join("model"), options).unwrap();
            let rows = model.encode_document(&TEXTS, &Default::default()).unwrap();
            rows.iter().map(|rows| bits(rows.as_slice())).collect::<Vec<_>>()
        });
    }
}

#[test]
fn tasks_and_layers_have_files_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let case = tiny("jina-v3-lora");
    let of_task = |options: &LoadOptions| {
        let model = Model::from_dir_with(&case.model, options).unwrap();
        let tasks: Vec<String> = model.tasks().to_vec();
        let rows = tasks.iter().map(|task| {
            let options = EncodeOptions::default().with_task(task.as_str());
            bits(model.encode(&TEXTS, &options).unwrap().as_slice())
        });
        rows.collect::<Vec<_>>()
    };
    let own = of_task(&native());
    for round in 0..2 {
        assert_eq!(of_task(&shared(Dtype::Float32, folder.path())), own, "{round}");
        assert_eq!(files(folder.path()).len(), own.len() + 1, "{round}: each task's, and the one without a task");
    }
    let case = tiny("bert-mean-normalize");
    let before = files(folder.path()).len();
    for layers in [1, 2] {
        let backbone = BackboneOptions::default().with_num_hidden_layers(layers);
        let load = |options: &LoadOptions| encoded(&Model::from_backbone_dir(&case.model, &backbone, options).unwrap());
        let own = load(&native());
        assert_eq!(load(&shared(Dtype::Float32, folder.path())), own);
        assert_eq!(load(&shared(Dtype::Float32, folder.path())), own);
    }
    assert_eq!(files(folder.path()).len(), before + 2);
}

#[test]
fn wrong_files_are_written_anew() {
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 11] = [
        ("empty", Vec::clear),
        ("ends in the first line", |bytes| bytes.truncate(40)),
        ("ends behind the first line", |bytes| bytes.truncate(64)),
        ("ends in the numbers", |bytes| bytes.truncate(1000)),
        ("lacks a byte", |bytes| bytes.truncate(bytes.len() - 1)),
        ("has a byte too much", |bytes| bytes.push(0)),
        ("another format", |bytes| bytes[..8].fill(b'x')),
        ("never completed", |bytes| bytes[..64].fill(0)),
        ("an index far away", |bytes| bytes[8..16].fill(0xFF)),
        ("a damaged number", |bytes| bytes[70] ^= 1),
        ("a damaged index", |bytes| {
            let last = bytes.len() - 5;
            bytes[last] ^= 1;
        }),
    ];
    let case = tiny("bert-mean-normalize");
    for dtype in DTYPES {
        let own = encoded(&Model::from_dir_with(&case.model, &native().with_dtype(dtype)).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let load = || encoded(&Model::from_dir_with(&case.model, &shared(dtype, folder.path())).unwrap());
        load();
        let (file, _) = &files(folder.path()).remove(0);
        let good = fs::read(file).unwrap();
        for (name, damage) in damages {
            let mut bytes = good.clone();
            damage(&mut bytes);
            fs::remove_file(file).unwrap();
            fs::write(file, bytes).unwrap();
            assert_eq!(load(), own, "{name} in {dtype}");
            assert!(fs::read(file).unwrap() == good, "{name} in {dtype}: not written anew");
        }
    }
}

#[test]
fn a_changed_model_replaces_its_file() {
    let (one, other) = (tiny("bert-mean-normalize").model, tiny("bert-relu-eps").model);
    let (folder, model) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for dtype in DTYPES {
        for source in [&one, &other, &one] {
            fs::remove_dir_all(model.path()).unwrap();
            copy(source, model.path());
            let [own, first, second] =
                [native().with_dtype(dtype), shared(dtype, folder.path()), shared(dtype, folder.path())]
                    .map(|options| encoded(&Model::from_dir_with(model.path(), &options).unwrap()));
            assert!(own == first && own == second, "{dtype}");
        }
    }
    assert_eq!(files(folder.path()).len(), DTYPES.len(), "one for each dtype");
}

/// Weights of the same shape, size, time and inode, as after a restored backup.
#[test]
fn weights_that_were_exchanged_unnoticed_are_packed_again() {
    let model = changed(&tiny("bert-mean-normalize").model, "config.json", |_| {});
    let folder = tempfile::tempdir().unwrap();
    let load = |options: &LoadOptions| encoded(&Model::from_dir_with(model.path(), options).unwrap());
    let before = load(&shared(Dtype::Float32, folder.path()));
    let weights = model.path().join("model.safetensors");
    let modified = weights.metadata().unwrap().modified().unwrap();
    let mut bytes = fs::read(&weights).unwrap();
    let start = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    // The signs of all numbers.
    bytes[start..].chunks_exact_mut(4).for_each(|number| number[3] ^= 0x80);
    fs::write(&weights, &bytes).unwrap();
    fs::File::options().write(true).open(&weights).unwrap().set_modified(modified).unwrap();
    let own = load(&native());
    assert_ne!(own, before);
    assert_eq!(load(&shared(Dtype::Float32, folder.path())), own);
    assert_eq!(load(&shared(Dtype::Float32, folder.path())), own);
}

#[test]
fn a_file_that_changes_under_a_model_is_noticed() {
    let case = tiny("bert-mean-normalize");
    let changes: [fn(&fs::File); 2] = [
        |file| file.set_len(100).unwrap(),
        |file| file.set_modified(SystemTime::now() + std::time::Duration::from_secs(5)).unwrap(),
    ];
    for change in changes {
        let folder = tempfile::tempdir().unwrap();
        let model = Model::from_dir_with(&case.model, &shared(Dtype::Float32, folder.path())).unwrap();
        let before = encoded(&model);
        let (file, _) = files(folder.path()).remove(0);
        change(&fs::File::options().write(true).open(&file).unwrap());
        let error = model.encode(&TEXTS, &EncodeOptions::default()).unwrap_err();
        assert!(matches!(&error, Error::InvalidWeights { file: named, .. } if *named == file), "{error}");
        // A file that is removed or replaced stays as long as it is mapped.
        let model = Model::from_dir_with(&case.model, &shared(Dtype::Float32, folder.path())).unwrap();
        fs::remove_dir_all(folder.path()).unwrap();
        assert_eq!(encoded(&model), before);
    }
}

#[test]
fn folders_that_cannot_be_used_are_errors() {
    let case = tiny("bert-mean-normalize").model;
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    let error = |options: &LoadOptions| Model::from_dir_with(&case, options).unwrap_err();
    let refused = |options: &LoadOptions, problem: &str| {
        let error = error(options);
        let named = matches!(&error, Error::InvalidArgument { argument: "packed_folder", .. });
        assert!(named && error.to_string().contains(problem), "{error}");
    };
    refused(&shared(Dtype::Float32, &file), "is a file");
    refused(&shared(Dtype::Float32, &file.join("below")), "is a file");
    refused(&shared(Dtype::Float32, Path::new("")), "must be a folder");
    refused(&shared(Dtype::Float32, Path::new("nul\0")), "must be a folder");
    refused(&shared(Dtype::Float32, parent.path()).with_mmap(false), "mmap");
    #[cfg(target_os = "linux")]
    {
        let error = error(&shared(Dtype::Float32, Path::new("/proc/nowhere")));
        assert!(matches!(&error, Error::Io { path, .. } if path.starts_with("/proc")), "{error}");
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let folder = parent.path().join("made");
        let options = shared(Dtype::Float32, &folder);
        Model::from_dir_with(&case, &options).unwrap();
        let written = files(&folder).remove(0);
        for (path, expected) in [(&folder, 0o700), (&written.0, 0o600)] {
            let made = path.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(made & !expected, 0, "{path:?} is {made:o}");
            mode(path, 0o777);
            refused(&options, "writable by its owner alone");
            mode(path, expected);
        }
        Model::from_dir_with(&case, &options).unwrap();
        assert_eq!(files(&folder), std::slice::from_ref(&written));
    }
}

#[test]
fn many_at_once_share_one_file() {
    let case = tiny("bert-mean-normalize").model;
    for dtype in DTYPES {
        let own = encoded(&Model::from_dir_with(&case, &native().with_dtype(dtype)).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let load = || encoded(&Model::from_dir_with(&case, &shared(dtype, folder.path())).unwrap());
        std::thread::scope(|scope| {
            let loads: Vec<_> = (0..8).map(|_| scope.spawn(load)).collect();
            loads.into_iter().for_each(|load| assert_eq!(load.join().unwrap(), own));
        });
        assert_eq!(files(folder.path()).len(), 1);
    }
}

/// Models without packed weights ignore the folder, and make none.
#[test]
fn other_devices_and_static_models_have_no_packed_weights() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("packed");
    Model::from_dir_with(tiny("static-embedding").model, &shared(Dtype::Float32, &folder)).unwrap();
    Model::from_dir_with(tiny("bert-mean-normalize").model, &portable().with_packed_folder(&folder)).unwrap();
    assert!(!folder.exists());
}
