//! `adapter_config.json`, which peft saves beside an adapter's weights.

use std::path::Path;

use serde_json::Value;

use super::JsonFile;
use crate::error::Result;

/// Refuses a transformer's folder that holds an adapter, whatever else is in it.
pub(super) fn refuse(folder: &Path) -> Result<()> {
    let Some(file) = JsonFile::read_if_there(folder.join("adapter_config.json"))? else { return Ok(()) };
    let text = |key: &str| file.value.get(key).and_then(Value::as_str).unwrap_or("unknown");
    let base = text("base_model_name_or_path");
    let supported =
        "whole models; merge the adapter into its base model with peft's merge_and_unload, then save and load that";
    Err(file.unsupported(&format!("an adapter of the model {base:?}, peft_type"), text("peft_type"), supported))
}
