//! `adapter_config.json`: what peft saves beside an adapter's weights.

use std::path::Path;

use serde_json::Value;

use super::JsonFile;
use crate::error::Result;

/// Refuses a transformer's folder that holds an adapter, by whatever else is or isn't in it.
pub(super) fn refuse(folder: &Path) -> Result<()> {
    let Some(file) = JsonFile::read_if_there(folder.join("adapter_config.json"))? else { return Ok(()) };
    let said = |key: &str| file.value.get(key).and_then(Value::as_str).unwrap_or("unknown");
    let base = said("base_model_name_or_path");
    let supported =
        "whole models: peft's merge_and_unload puts the adapter into its base model, to be saved and loaded";
    Err(file.unsupported(&format!("an adapter of the model {base:?}, peft_type"), said("peft_type"), supported))
}
