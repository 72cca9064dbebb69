//! The reader of every JSON file: one size limit, one set of messages, each with the file and the key.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::is_truthy;
use crate::alloc;
use crate::error::{Error, Result};

/// Key of an error about a file as a whole.
pub(crate) const WHOLE_FILE: &str = "(whole file)";

/// Makes a JSON object of these entries.
pub(crate) fn object<const N: usize>(entries: [(&str, Value); N]) -> Map<String, Value> {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Names the type of a JSON value, for messages.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A parsed JSON file.
#[derive(Clone, Debug)]
pub(crate) struct JsonFile {
    pub(crate) path: PathBuf,
    pub(crate) value: Value,
}

impl JsonFile {
    /// Reads a required file. `purpose` describes it in the error.
    pub(crate) fn read(path: PathBuf, purpose: &str) -> Result<Self> {
        match Self::read_if_there(path.clone())? {
            Some(file) => Ok(file),
            None => Err(Error::FileNotFound { path, needed: purpose.to_owned() }),
        }
    }

    /// Reads a file that may be absent.
    pub(crate) fn read_if_there(path: PathBuf) -> Result<Option<Self>> {
        let Some(bytes) = read_if_there(&path)? else { return Ok(None) };
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Some(Self { path, value })),
            Err(error) => {
                let position = format!("line {} column {}", error.line(), error.column());
                Err(Error::config(path, position, format!("not JSON: {error}")))
            }
        }
    }

    /// Parses the file's object as a `T`; an error names the key.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        // serde would also take an array for a struct, with the fields in their order.
        if !self.value.is_object() {
            return Err(self.mismatch(WHOLE_FILE, "a JSON object", &self.value));
        }
        self.parse_value()
    }

    /// Parses the file's array of objects as `T`s; an error names the key.
    pub(crate) fn parse_list<T: DeserializeOwned>(&self) -> Result<Vec<T>> {
        if !self.value.as_array().is_some_and(|list| list.iter().all(Value::is_object)) {
            return Err(self.error(WHOLE_FILE, "must be a JSON array of objects"));
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

    /// Makes an error about a key's value.
    pub(crate) fn error(&self, key: impl Into<String>, problem: impl Into<String>) -> Error {
        Error::config(&self.path, key, problem)
    }

    /// Makes an error about a value of the wrong type.
    pub(crate) fn mismatch(&self, key: impl Into<String>, expected: &str, got: &Value) -> Error {
        self.error(key, format!("must be {expected}, got {}", type_name(got)))
    }

    /// Returns the class of transformers that a `config.json` names first.
    pub(crate) fn architecture(&self) -> Option<&str> {
        self.value.pointer("/architectures/0").and_then(Value::as_str)
    }

    /// Returns true if a `config.json` names a causal language model.
    pub(crate) fn is_causal_lm(&self) -> bool {
        self.architecture().is_some_and(|name| name.ends_with("ForCausalLM"))
    }

    /// Makes an error about a value that rushlight doesn't support.
    pub(crate) fn unsupported(&self, key: &str, got: impl Into<String>, supported: &str) -> Error {
        Error::unsupported(format!("{}: {key}", self.path.display()), got, supported)
    }

    /// Refuses all values of a key but one; null and no value count as that one.
    pub(crate) fn only(&self, key: &str, supported: impl Into<Value>) -> Result<()> {
        let supported = supported.into();
        match self.value.get(key).filter(|value| !value.is_null()) {
            // 1 equals 1.0.
            Some(value)
                if *value != supported && (value.as_f64().is_none() || value.as_f64() != supported.as_f64()) =>
            {
                Err(self.unsupported(key, plain(value), &plain(&supported)))
            }
            _ => Ok(()),
        }
    }

    /// Drops falsy values of these keys (null, 0, and empty ones), as Python's `value or default` does.
    pub(crate) fn or_default(mut self, keys: &[&str]) -> Self {
        if let Some(entries) = self.value.as_object_mut() {
            entries.retain(|key, value| !keys.contains(&key.as_str()) || is_truthy(value));
        }
        self
    }

    /// Refuses keys outside this list.
    pub(crate) fn knows(&self, keys: &[&str]) -> Result<()> {
        let entries = self.value.as_object().into_iter().flatten();
        match entries.into_iter().find(|(key, _)| !keys.contains(&key.as_str())) {
            Some((key, value)) => {
                Err(self.unsupported(key, value.to_string(), &format!("the keys {}", keys.join(", "))))
            }
            None => Ok(()),
        }
    }

    /// Checks that a size is at least 1.
    pub(crate) fn positive(&self, key: &str, value: usize) -> Result<usize> {
        if value == 0 { Err(self.error(key, "must be at least 1, got 0")) } else { Ok(value) }
    }
}

/// Returns a value for a message, a text without quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Reads the bytes of a file that may be absent.
///
/// # Errors
/// [`Error::Io`] for anything but a regular file (a pipe would never end), [`Error::InvalidConfig`] for a file over the size
/// limit, [`Error::Memory`].
pub(crate) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>> {
    /// More than three times the size of the largest known tokenizer.json.
    const MAX_BYTES: u64 = 1 << 27;
    /// Memory that a byte of JSON may take when parsed: tokenizers of short tokens, with the maps of their vocabulary, need
    /// most. Without the check the process would abort.
    const BYTES_PER_PARSED_BYTE: usize = 40;
    let size = match plain_file_size(path) {
        Err(Error::Io { cause, .. }) if cause.kind() == ErrorKind::NotFound => return Ok(None),
        size => size?,
    };
    if size > MAX_BYTES {
        return Err(Error::config(path, WHOLE_FILE, format!("must have at most {MAX_BYTES} bytes, got {size}")));
    }
    alloc::check::<u8>(size as usize * BYTES_PER_PARSED_BYTE, &path.display().to_string())?;
    let bytes = std::fs::read(path).map_err(|error| Error::io(path, error))?;
    match stand_in(&bytes) {
        Some(problem) => Err(Error::config(path, WHOLE_FILE, problem)),
        None => Ok(Some(bytes)),
    }
}

/// Recognizes, by the first bytes, a git-lfs pointer or a web page instead of a model's file.
pub(crate) fn stand_in(bytes: &[u8]) -> Option<&'static str> {
    const GIT_LFS: &[u8] = b"version https://git-lfs";
    const PAGES: [&[u8]; 2] = [b"<!doctype html", b"<html"];
    let bytes = bytes.trim_ascii_start();
    let begins = |start: &[u8]| bytes.get(..start.len()).is_some_and(|bytes| bytes.eq_ignore_ascii_case(start));
    if begins(GIT_LFS) {
        return Some("a pointer of git-lfs, not the file itself; `git lfs pull` fetches it");
    }
    let page = "a web page, not the file itself: the server sent it instead; download the file again, from a link to the \
                file and with the access that it needs";
    PAGES.iter().any(|start| begins(start)).then_some(page)
}

/// Returns the size in bytes of a regular file; links are followed.
pub(crate) fn plain_file_size(path: &Path) -> Result<u64> {
    let metadata = std::fs::metadata(path).map_err(|error| Error::io(path, error))?;
    if !metadata.is_file() {
        return Err(Error::io(path, std::io::Error::new(ErrorKind::InvalidInput, "not a plain file")));
    }
    Ok(metadata.len())
}
