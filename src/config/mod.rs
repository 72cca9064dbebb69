//! What the files of a model's folder say. Pure serde: no tensors, and no IO but reading the file.

mod activation;
mod folder;
mod modules;

use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) use activation::Activation;
pub(crate) use folder::{ModuleEntry, ModuleKind, Settings, TransformerSettings, modules, transformer_settings};
pub(crate) use modules::{DenseConfig, LayerNormConfig, NormalizeConfig, PoolingConfig, PoolingMode};

use crate::error::{Error, Result};

/// A JSON file, read and not yet interpreted.
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
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io(path, error)),
        };
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Some(Self { path, value })),
            Err(error) => {
                let place = format!("line {} column {}", error.line(), error.column());
                Err(Error::config(path, place, format!("not JSON: {error}")))
            }
        }
    }

    /// The file's content as a `T`; an error names the key.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        if !self.value.is_object() && !self.value.is_array() {
            return Err(self.error("(whole file)", "must be a JSON object"));
        }
        serde_path_to_error::deserialize(&self.value).map_err(|error| {
            let key = error.path().to_string();
            let key = if key == "." { "(top level)".to_owned() } else { key };
            self.error(key, error.into_inner().to_string())
        })
    }

    pub(crate) fn error(&self, key: impl Into<String>, problem: impl Into<String>) -> Error {
        Error::config(&self.path, key, problem)
    }

    /// Checks a size that must be at least 1.
    pub(crate) fn positive(&self, key: &str, value: usize) -> Result<usize> {
        if value == 0 { Err(self.error(key, "must be at least 1, got 0")) } else { Ok(value) }
    }

    /// Checks the eps of a norm.
    pub(crate) fn eps(&self, key: &str, value: f64) -> Result<f32> {
        let eps = value as f32;
        let right = eps.is_finite() && eps >= 0.0;
        if right { Ok(eps) } else { Err(self.error(key, format!("must be a number from 0 up, got {value}"))) }
    }
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
