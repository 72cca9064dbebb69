//! `config.json` of a model2vec folder, which implies the modules that other folders list.

use std::path::Path;

use serde_json::Value;

use super::{JsonFile, ModuleEntry, ModuleKind};
use crate::error::Result;

/// Returns the modules of a model2vec folder; `None` for another folder.
pub(crate) fn model2vec_modules(folder: &Path) -> Result<Option<Vec<ModuleEntry>>> {
    let Some(config) = JsonFile::read_if_there(folder.join("config.json"))? else { return Ok(None) };
    if config.value.get("model_type").is_none_or(|kind| kind != "model2vec") {
        return Ok(None);
    }
    let mut entries = vec![ModuleEntry::new(ModuleKind::StaticEmbedding, folder.to_path_buf())];
    match config.value.get("normalize") {
        None | Some(Value::Null | Value::Bool(false)) => {}
        Some(Value::Bool(true)) => {
            entries.push(ModuleEntry::new(ModuleKind::Normalize, folder.join("1_Normalize")));
        }
        Some(other) => return Err(config.error("normalize", format!("must be true or false, got {other}"))),
    }
    Ok(Some(entries))
}

/// Returns model2vec's maximum number of tokens per text.
pub(crate) fn model2vec_length(folder: &Path) -> Result<Option<usize>> {
    const DEFAULT: usize = 512;
    let Some(config) = JsonFile::read_if_there(folder.join("config.json"))? else { return Ok(Some(DEFAULT)) };
    match config.value.get("max_length") {
        None => Ok(Some(DEFAULT)),
        Some(Value::Null) => Ok(None),
        Some(length) => match length.as_u64().filter(|length| *length > 0) {
            Some(length) => Ok(Some(length as usize)),
            None => Err(config.error("max_length", format!("must be a whole number of at least 1, got {length}"))),
        },
    }
}
