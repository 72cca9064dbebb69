//! What the files of a model's folder say. Pure serde: no tensors, and no IO but reading the file.

mod activation;
mod adapter;
pub(crate) mod auto_map;
mod depth;
mod folder;
mod kind;
mod late_interaction;
mod lenient;
mod modules;
mod router;
mod splade;

use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

pub(crate) use activation::{Activation, torch_class};
pub(crate) use depth::{is_behind, keep_layers};
pub(crate) use folder::{ModuleEntry, ModuleKind, Settings, TransformerSettings, modules, transformer_settings};
pub(crate) use kind::Kind;
pub(crate) use late_interaction::{Expansion, LateInteraction, Strategy, with_implied};
pub(crate) use lenient::{as_whole, is_true, token_id, truth, whole};
pub use modules::PoolingMode;
pub(crate) use modules::{
    DenseConfig, LayerNormConfig, LayerPoolingConfig, ModuleInput, NormalizeConfig, PoolingConfig,
};
pub(crate) use router::Routes;
pub(crate) use splade::{SpladeConfig, SpladePooling};

use crate::alloc;
use crate::error::{Error, Result};

/// A JSON object of these entries.
pub(crate) fn object<const N: usize>(entries: [(&str, Value); N]) -> Map<String, Value> {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// A JSON file, read and not yet interpreted.
#[derive(Clone)]
pub(crate) struct JsonFile {
    pub(crate) path: PathBuf,
    pub(crate) value: Value,
}

impl JsonFile {
    /// Reads a file that must be there; `needed` says what for.
    pub(crate) fn read(path: PathBuf, needed: &str) -> Result<Self> {
        match Self::read_if_there(path.clone())? {
            Some(file) => Ok(file),
            None => Err(Error::FileNotFound { path, needed: needed.to_owned() }),
        }
    }

    /// Reads a file that may be absent.
    pub(crate) fn read_if_there(path: PathBuf) -> Result<Option<Self>> {
        let Some(bytes) = read_if_there(&path)? else { return Ok(None) };
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Some(Self { path, value })),
            Err(error) => {
                let place = format!("line {} column {}", error.line(), error.column());
                Err(Error::config(path, place, format!("not JSON: {error}")))
            }
        }
    }

    /// The file's object as a `T`; an error names the key.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        // Not left to serde, which takes an array for a struct's fields in their order.
        if !self.value.is_object() {
            return Err(self.error("(whole file)", "must be a JSON object"));
        }
        self.parse_value()
    }

    /// The file's array of objects as `T`s; an error names the key.
    pub(crate) fn parse_list<T: DeserializeOwned>(&self) -> Result<Vec<T>> {
        if !self.value.as_array().is_some_and(|list| list.iter().all(Value::is_object)) {
            return Err(self.error("(whole file)", "must be a JSON array of objects"));
        }
        self.parse_value()
    }

    fn parse_value<T: DeserializeOwned>(&self) -> Result<T> {
        serde_path_to_error::deserialize(&self.value).map_err(|error| {
            let key = error.path().to_string();
            let key = if key == "." { "(top level)".to_owned() } else { key };
            self.error(key, error.into_inner().to_string())
        })
    }

    pub(crate) fn error(&self, key: impl Into<String>, problem: impl Into<String>) -> Error {
        Error::config(&self.path, key, problem)
    }

    /// What is said under a key, and isn't supported.
    pub(crate) fn unsupported(&self, key: &str, got: impl Into<String>, supported: &str) -> Error {
        Error::unsupported(format!("{}: {key}", self.path.display()), got, supported)
    }

    /// Refuses all values under a key but one; null or no value counts as that one.
    pub(crate) fn only(&self, key: &str, supported: impl Into<Value>) -> Result<()> {
        let supported = supported.into();
        match self.value.get(key).filter(|value| !value.is_null()) {
            // 1 is 1.0.
            Some(value)
                if *value != supported && (value.as_f64().is_none() || value.as_f64() != supported.as_f64()) =>
            {
                Err(self.unsupported(key, value.to_string(), &supported.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// Drops what Python's `value or default` passes over under these keys: null, 0, and what is empty.
    pub(crate) fn or_default(mut self, keys: &[&str]) -> Self {
        if let Some(entries) = self.value.as_object_mut() {
            entries.retain(|key, value| !keys.contains(&key.as_str()) || is_true(value));
        }
        self
    }

    /// Refuses keys that are none of these.
    pub(crate) fn knows(&self, keys: &[&str]) -> Result<()> {
        let entries = self.value.as_object().into_iter().flatten();
        match entries.into_iter().find(|(key, _)| !keys.contains(&key.as_str())) {
            Some((key, value)) => {
                Err(self.unsupported(key, value.to_string(), &format!("the keys {}", keys.join(", "))))
            }
            None => Ok(()),
        }
    }

    /// Checks a size that must be at least 1.
    pub(crate) fn positive(&self, key: &str, value: usize) -> Result<usize> {
        if value == 0 { Err(self.error(key, "must be at least 1, got 0")) } else { Ok(value) }
    }

    /// Checks the eps of a norm. An integer is none, as for transformers: 0 would be a mistake.
    pub(crate) fn eps(&self, key: &str, value: f64) -> Result<f32> {
        let eps = value as f32;
        let is_integer = self.value.get(key).is_some_and(|filed| filed.is_i64() || filed.is_u64());
        let right = eps.is_finite() && eps >= 0.0 && !is_integer;
        if right {
            Ok(eps)
        } else {
            Err(self.error(key, format!("must be a float from 0.0 up, got {}", self.value[key])))
        }
    }
}

/// The bytes of a file that may be absent.
///
/// # Errors
/// [`Error::Io`] for what is no plain file (a pipe would never end), [`Error::InvalidConfig`] for one too large to be read
/// into memory, [`Error::Memory`].
pub(crate) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>> {
    /// The largest tokenizer.json known has less than a third of it.
    const MOST: u64 = 1 << 27;
    /// Bytes that a byte of JSON may take when it is parsed; without them the process aborts.
    const PARSED: usize = 16;
    let size = match plain_file_size(path) {
        Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => return Ok(None),
        size => size?,
    };
    if size > MOST {
        return Err(Error::config(path, "(whole file)", format!("must have at most {MOST} bytes, has {size}")));
    }
    alloc::check::<u8>(size as usize * PARSED, &path.display().to_string())?;
    let bytes = std::fs::read(path).map_err(|error| Error::io(path, error))?;
    match stand_in(&bytes) {
        Some(problem) => Err(Error::config(path, "(whole file)", problem)),
        None => Ok(Some(bytes)),
    }
}

/// Names what lies in the place of a model's file, by its first bytes.
pub(crate) fn stand_in(bytes: &[u8]) -> Option<&'static str> {
    const GIT_LFS: &[u8] = b"version https://git-lfs";
    const PAGES: [&[u8]; 2] = [b"<!doctype html", b"<html"];
    let bytes = bytes.trim_ascii_start();
    let begins = |start: &[u8]| bytes.get(..start.len()).is_some_and(|bytes| bytes.eq_ignore_ascii_case(start));
    if begins(GIT_LFS) {
        return Some("a pointer of git-lfs, not the file itself; `git lfs pull` fetches it");
    }
    let page = "a web page, not the file itself: the server answered with it; fetch the file again, by a link to it and \
                with the access that it needs";
    PAGES.iter().any(|start| begins(start)).then_some(page)
}

/// The size in bytes of a plain file, or of one that a link leads to.
pub(crate) fn plain_file_size(path: &Path) -> Result<u64> {
    let metadata = std::fs::metadata(path).map_err(|error| Error::io(path, error))?;
    if !metadata.is_file() {
        return Err(Error::io(path, std::io::Error::new(ErrorKind::InvalidInput, "not a plain file")));
    }
    Ok(metadata.len())
}

/// `folder/relative`, where a config names `relative`: it must stay in the folder.
pub(crate) fn inside(folder: &Path, relative: &str, file: &Path, key: &str) -> Result<PathBuf> {
    let stays = Path::new(relative).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !stays || relative.contains('\0') {
        let problem = format!("must be a path within the model's folder, got {relative:?}");
        return Err(Error::config(file, key, problem));
    }
    Ok(folder.join(relative))
}
