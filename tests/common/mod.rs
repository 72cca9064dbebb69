//! Helpers of the golden tests: the cases in `tests/data`, and the real models if they have been fetched.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    clippy::allow_attributes,
    dead_code
)]

mod data;

use std::fs;
use std::path::{Path, PathBuf};

use rushlight::{Device, EncodeOptions, Kernels, LoadOptions, Model, process};
use serde_json::Value;

pub use self::data::data;

/// Model with texts and the reference's numbers for them.
pub struct Case {
    pub name: String,
    pub folder: PathBuf,
    pub model: PathBuf,
    pub texts: Vec<String>,
    pub meta: Value,
    /// Expected embeddings `(n, d)`, computed in float64.
    pub expected: Vec<f64>,
}

impl Case {
    pub fn read(folder: &Path, model: PathBuf) -> Self {
        Self {
            name: folder.file_name().unwrap().to_string_lossy().into_owned(),
            folder: folder.to_path_buf(),
            model,
            texts: json(&folder.join("texts.json")),
            meta: json(&folder.join("meta.json")),
            expected: npy(&folder.join("expected64.npy")),
        }
    }

    /// Token ids of the texts without a prompt.
    pub fn token_ids(&self) -> Vec<Vec<u32>> {
        json(&self.folder.join("token_ids.json"))
    }

    pub fn largest_difference(&self, got: &[f32]) -> f64 {
        largest_difference(got, &self.expected)
    }

    /// Returns the tolerance: 1e-5 for normalized embeddings, else 2e-5 of the largest number.
    pub fn tolerance(&self) -> f64 {
        let width = self.expected.len() / self.texts.len();
        let norm = |row: &[f64]| row.iter().map(|x| x * x).sum::<f64>().sqrt();
        if self.expected.chunks(width).all(|row| (norm(row) - 1.0).abs() < 1e-6) {
            return 1e-5;
        }
        2e-5 * self.expected.iter().fold(0.0, |largest, x| x.abs().max(largest))
    }
}

/// Options to compute with rushlight's kernels.
pub fn native() -> LoadOptions {
    LoadOptions::default().with_device(Device::Cpu)
}

/// Options to compute with candle's tensors on the CPU.
pub fn portable() -> LoadOptions {
    native().with_kernels(Kernels::Portable)
}

/// Returns all backends of this build and machine: rushlight's kernels, and candle's tensors on each device.
/// `RUSHLIGHT_TEST_DEVICE` selects a single device, which must exist.
pub fn ways() -> Vec<LoadOptions> {
    let devices = match std::env::var("RUSHLIGHT_TEST_DEVICE") {
        Ok(name) if !name.is_empty() => vec![name.parse().unwrap()],
        _ => Device::available(),
    };
    let on = |device| match device {
        Device::Cpu => vec![native(), portable()],
        device => vec![LoadOptions::default().with_device(device)],
    };
    devices.into_iter().flat_map(on).collect()
}

/// Returns true for the options of [`native`].
pub fn is_native(way: &LoadOptions) -> bool {
    named(way) == named(&native())
}

/// Returns the name of a backend.
pub fn named(way: &LoadOptions) -> String {
    format!("{} {:?}", way.device.unwrap(), way.kernels)
}

/// Reads a version 1 `.npy` of little-endian float64 or float32 in C order.
pub fn npy(path: &Path) -> Vec<f64> {
    let bytes = fs::read(path).unwrap();
    assert_eq!(&bytes[..6], b"\x93NUMPY");
    let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let text = String::from_utf8_lossy(&bytes[10..header]);
    assert!(text.contains("'fortran_order': False"), "{text}");
    let numbers = &bytes[header..];
    if text.contains("'<f8'") {
        return numbers.chunks_exact(8).map(|x| f64::from_le_bytes(x.try_into().unwrap())).collect();
    }
    assert!(text.contains("'<f4'"), "{text}");
    numbers.chunks_exact(4).map(|x| f64::from(f32::from_le_bytes(x.try_into().unwrap()))).collect()
}

/// Returns the largest difference of numbers to the expected ones.
pub fn largest_difference(got: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(got.len(), expected.len(), "the shape");
    let differences = got.iter().zip(expected).map(|(got, want)| (f64::from(*got) - want).abs());
    // `f64::max` would drop NaN.
    differences.fold(0.0, |largest, x| if x > largest || x.is_nan() { x } else { largest })
}

/// Reads the JSON in a file.
pub fn json<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Returns the folders below `tests/data/{kind}`, one per case.
pub fn folders(kind: &str) -> Vec<PathBuf> {
    let mut folders: Vec<_> = fs::read_dir(data().join(kind)).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

/// Returns the small random models.
pub fn tiny_cases() -> Vec<Case> {
    folders("tiny").iter().map(|folder| Case::read(folder, folder.join("model"))).collect()
}

pub fn tiny(name: &str) -> Case {
    let folder = data().join("tiny").join(name);
    Case::read(&folder, folder.join("model"))
}

/// Returns a real model. If it has not been fetched, prints a line and returns `None`.
pub fn real(name: &str) -> Option<Case> {
    let models = std::env::var_os("RUSHLIGHT_TEST_MODELS").map(PathBuf::from);
    let models = models.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".models"));
    let model = models.join(name);
    if !model.join("modules.json").exists() {
        println!("SKIPPED: {} is not there; `make models` fetches it", model.display());
        return None;
    }
    Some(Case::read(&data().join("real").join(name), model))
}

/// Copies a folder with its content.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (entry, target) = (entry.unwrap().path(), to.to_path_buf());
        let target = target.join(entry.file_name().unwrap());
        if entry.is_dir() { copy(&entry, &target) } else { assert!(fs::copy(&entry, &target).is_ok()) }
    }
}

/// Returns a copy of a model's folder with a changed JSON file.
pub fn changed(model: &Path, file: &str, change: impl FnOnce(&mut Value)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(model, folder.path());
    let path = folder.path().join(file);
    let mut value: Value = json(&path);
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
    folder
}

/// A text has the same bits alone, among others, reversed, twice, and with other numbers of threads.
pub fn check_bits(case: &Case, way: &LoadOptions, texts: &[String]) {
    let model = Model::from_dir_with(&case.model, way).unwrap();
    let encode = |model: &Model, texts: &[&String]| model.encode(texts, &EncodeOptions::default()).unwrap().into_vec();
    let texts: Vec<_> = texts.iter().collect();
    let width = model.embedding_dimension();
    let before = process::num_threads().unwrap();
    let reversed: Vec<_> = texts.iter().rev().copied().collect();
    let mut all: Option<Vec<f32>> = None;
    for threads in [1, 2, 4] {
        process::set_num_threads(threads).unwrap();
        let together = encode(&model, &texts);
        let all = all.get_or_insert_with(|| together.clone());
        assert!(*all == together, "{}: with {threads} threads", case.name);
        let backwards = encode(&model, &reversed);
        let same = backwards.chunks(width).rev().eq(all.chunks(width));
        assert!(same, "{}: reversed with {threads} threads", case.name);
        for (part, rows) in texts.chunks(5).zip(all.chunks(5 * width)) {
            assert!(encode(&model, part) == rows, "{}: in fives", case.name);
        }
    }
    process::set_num_threads(before).unwrap();
    for (text, row) in texts.into_iter().zip(all.unwrap().chunks(width)) {
        assert!(encode(&model, &[text, text]) == [row, row].concat(), "{}: {text:?} twice", case.name);
        assert!(encode(&model, &[text]) == row, "{}: {text:?} alone", case.name);
    }
}
