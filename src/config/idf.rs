//! `idf.json`: weights of tokens by their texts, which a SparseStaticEmbedding module may name.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{JsonFile, inside};
use crate::error::{Error, Result};

/// Name of the file in a module's folder.
pub(crate) const IDF: &str = "idf.json";

/// Reads the file of weights that the `config.json` in a module's folder names, if it names one.
///
/// sentence-transformers looks for the path from the working directory; here the module's folder comes first.
pub(crate) fn idf(folder: &Path) -> Result<Option<JsonFile>> {
    const PATH: &str = "path";
    let Some(config) = JsonFile::read_if_there(folder.join("config.json"))? else { return Ok(None) };
    config.knows(&["frozen", PATH])?;
    let path = match config.value.get(PATH) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(path)) if !path.is_empty() => path,
        Some(other) => return Err(config.error(PATH, format!("must be the name of a JSON file, got {other}"))),
    };
    let name = Path::new(path).file_name().unwrap_or_default();
    let elsewhere = inside(Path::new(""), path, &config.path, PATH);
    let places: Vec<PathBuf> = std::iter::once(folder.join(name)).chain(elsewhere.ok()).collect();
    for place in &places {
        if let Some(file) = JsonFile::read_if_there(place.clone())? {
            return Ok(Some(file));
        }
    }
    let needed = format!("{}: {PATH} names it", config.path.display());
    Err(Error::FileNotFound { path: places[0].clone(), needed })
}

impl JsonFile {
    /// Returns tokens with their weights, in the order of the file.
    pub(crate) fn token_weights(&self) -> Result<Vec<(&str, f32)>> {
        let Some(entries) = self.value.as_object() else {
            return Err(self.mismatch(super::WHOLE_FILE, "a JSON object of weights by token", &self.value));
        };
        let weight = |(token, weight): (&'_ String, &Value)| match weight.as_f64().map(|weight| weight as f32) {
            Some(weight) if weight.is_finite() => Ok(weight),
            _ => Err(self.error(token, format!("must be a finite number, got {weight}"))),
        };
        entries.iter().map(|(token, value)| Ok((token.as_str(), weight((token, value))?))).collect()
    }
}
