//! Observers of loading.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::{data, native, ways};
use rushlight::{
    BackboneOptions, EncodeOptions, Error, LoadOptions, Model, MultiVectorModel, Observer, Reranker, Result,
    SparseModel,
};

/// Stops when it has been asked a number of times. With options it loads a model each time, as a signal handler may.
struct StopAfter {
    left: AtomicUsize,
    loads: Option<LoadOptions>,
}

impl StopAfter {
    fn new(left: usize) -> Self {
        Self { left: AtomicUsize::new(left), loads: None }
    }
}

impl Observer for StopAfter {
    fn interrupted(&self) -> bool {
        if let Some(options) = &self.loads {
            Model::from_dir_with(folder("tiny/bert-mean-normalize"), options).unwrap();
        }
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err()
    }
}

fn folder(case: &str) -> PathBuf {
    data().join(case).join("model")
}

/// Returns the number of times that a load asks, which may vary: threads that help don't ask.
fn asks(load: impl Fn(&LoadOptions) -> Result<()>, way: &LoadOptions) -> usize {
    let stopped = |asks| match load(&way.clone().with_observer(StopAfter::new(asks))) {
        Ok(()) => false,
        Err(Error::Interrupted) => true,
        Err(error) => panic!("{error}"),
    };
    (0..1000).take_while(|asks| stopped(*asks)).count()
}

#[test]
fn an_observer_stops_the_loading_of_each_kind_of_model_before_each_weight() {
    type Load = fn(&Path, &LoadOptions) -> Result<()>;
    let kinds: [(&str, Load); 5] = [
        ("tiny/bert-mean-normalize", |folder, options| Model::from_dir_with(folder, options).map(|_| ())),
        ("tiny/bert-mean-normalize", |folder, options| {
            Model::from_backbone_dir(folder, &BackboneOptions::default(), options).map(|_| ())
        }),
        ("rerank/rerank-bert", |folder, options| Reranker::from_dir_with(folder, options).map(|_| ())),
        ("sparse/splade-bert-max", |folder, options| SparseModel::from_dir_with(folder, options).map(|_| ())),
        ("multi_vector/multivector-native-bert", |folder, options| {
            MultiVectorModel::load_with(folder.to_str().unwrap(), options).map(|_| ())
        }),
    ];
    for (case, load) in kinds {
        let folder = folder(case);
        for way in ways() {
            let asks = asks(|options| load(&folder, options), &way);
            // Asked at the beginning, and before the three tables and both numbers of their norm.
            assert!((6..1000).contains(&asks), "{case}: {asks}");
        }
    }
}

#[test]
fn an_observer_stops_the_reading_of_a_torch_file_before_each_tensor() {
    let folder = folder("tiny/legacy-mpnet-mean-normalize");
    let asks = asks(|options| Model::from_dir_with(&folder, options).map(|_| ()), &native());
    // Before each of its 39 tensors, and as for other files.
    assert!(asks >= 39 + 6, "{asks}");
}

#[test]
fn an_observer_may_load_a_model_itself() {
    let inner = Arc::new(StopAfter::new(usize::MAX));
    for options in [native(), native().with_observer(Arc::clone(&inner))] {
        let observer = StopAfter { left: AtomicUsize::new(3), loads: Some(options) };
        let result = Model::from_dir_with(folder("tiny/bert-mean-normalize"), &native().with_observer(observer));
        assert!(matches!(result, Err(Error::Interrupted)));
    }
    assert!(inner.left.load(Ordering::Relaxed) < usize::MAX);
}

/// A copy of a small model, and its file of weights.
fn copied() -> (tempfile::TempDir, PathBuf) {
    let copy = tempfile::tempdir().unwrap();
    crate::common::copy(&folder("tiny/bert-mean-normalize"), copy.path());
    let weights = copy.path().join("model.safetensors");
    (copy, weights)
}

#[test]
fn weights_that_change_under_a_model_are_noticed() {
    let changes: [fn(&Path); 3] = [
        |file| std::fs::File::options().write(true).open(file).unwrap().set_len(100).unwrap(),
        |file| std::fs::write(file, "other content").unwrap(),
        |file| {
            let content = std::fs::read(file).unwrap();
            std::fs::write(file, &content).unwrap();
            // Some systems' clocks tick slower than a test runs.
            let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
            std::fs::File::options().write(true).open(file).unwrap().set_modified(later).unwrap();
        },
    ];
    for change in changes {
        let (copy, file) = copied();
        let load = |mmap| Model::from_dir_with(copy.path(), &native().with_mmap(mmap)).unwrap();
        let (mapped, read) = (load(true), load(false));
        let encode = |model: &Model| model.encode(&["a text"], &EncodeOptions::default());
        let before = encode(&mapped).unwrap().into_vec();
        assert_eq!(encode(&read).unwrap().into_vec(), before);
        change(&file);
        let error = encode(&mapped).unwrap_err();
        assert!(matches!(&error, Error::InvalidWeights { file: named, .. } if *named == file), "{error}");
        assert_eq!(encode(&read).unwrap().into_vec(), before);
    }
}

#[test]
fn weights_that_are_replaced_under_a_model_stay_those_it_was_loaded_from() {
    let (copy, file) = copied();
    let model = Model::from_dir(copy.path()).unwrap();
    let encode = || model.encode(&["a text"], &EncodeOptions::default()).unwrap().into_vec();
    let before = encode();
    std::fs::write(copy.path().join("other"), "other content").unwrap();
    std::fs::rename(copy.path().join("other"), &file).unwrap();
    assert_eq!(encode(), before);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(encode(), before);
}
