//! Files of a tokenizer with the model's current settings.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::config::{JsonFile, Kind, ModuleKind};
use crate::engine::Engine;
use crate::error::{Error, Result};

/// Name and content of a file.
type NamedJson = (&'static str, Value);

/// Returns `tokenizer.json` with the model's length limit. Static embeddings have no other file for it.
pub(crate) fn truncated(model: &Engine, folder: &Path) -> Result<NamedJson> {
    let path = folder.join("tokenizer.json");
    let mut tokenizer = JsonFile::read(path, "it holds the vocabulary")?.value;
    let direction = tokenizer.pointer("/truncation/direction").cloned().unwrap_or_else(|| "Right".into());
    let limits = [model.max_seq_length, model.tokenizer().limit_of_file()];
    let truncation = match limits.into_iter().flatten().min() {
        None => Value::Null,
        Some(limit) => json!({ "direction": direction, "max_length": limit, "strategy": "LongestFirst", "stride": 0 }),
    };
    if let Some(entries) = tokenizer.as_object_mut() {
        entries.insert("truncation".to_owned(), truncation);
    }
    Ok(("tokenizer.json", tokenizer))
}

/// Returns the files that differ from those in the folder: special tokens, and the length limit if not all versions read it
/// from the transformer's settings.
pub(crate) fn changed(model: &Engine, folder: &Path) -> Result<Vec<NamedJson>> {
    let read = |name: &str| match JsonFile::read_if_there(folder.join(name))?.map(|file| file.value) {
        Some(Value::Object(file)) => Ok(file),
        _ => Ok::<_, Error>(Map::new()),
    };
    let promoted = model.tokenizer().promoted();
    let old_config = read("tokenizer_config.json")?;
    // The file is large and mostly unchanged.
    let old_tokenizer = if promoted.is_empty() { Map::new() } else { read("tokenizer.json")? };
    let (mut config, mut tokenizer) = (old_config.clone(), old_tokenizer.clone());
    let by_tokenizer =
        model.loaded.kind == Kind::Reranker || model.loaded.folders.first() == Some(ModuleKind::SparseStaticEmbedding);
    if let Some(limit) = model.max_seq_length.filter(|_| by_tokenizer) {
        config.insert("model_max_length".to_owned(), limit.into());
    }
    use_old_names(&mut config, model.tokenizer().has_token_type_ids());
    for (id, token) in promoted {
        promote(*id, token, &mut config, &mut tokenizer);
    }
    let files = [("tokenizer_config.json", config, old_config), ("tokenizer.json", tokenizer, old_tokenizer)];
    Ok(files.into_iter().filter(|(_, new, old)| new != old).map(|(name, new, _)| (name, new.into())).collect())
}

/// Renames keys and values for versions before transformers 5: the generic class, and the list of extra tokens.
fn use_old_names(config: &mut Map<String, Value>, has_token_type_ids: bool) {
    if config.get("tokenizer_class").is_some_and(|class| class == "TokenizersBackend") {
        config.insert("tokenizer_class".to_owned(), "PreTrainedTokenizerFast".into());
        let type_ids = has_token_type_ids.then_some("token_type_ids");
        let names: Vec<_> = [Some("input_ids"), type_ids, Some("attention_mask")].into_iter().flatten().collect();
        config.entry("model_input_names").or_insert_with(|| names.into());
    }
    if config.get("extra_special_tokens").is_some_and(Value::is_array)
        && !config.contains_key("additional_special_tokens")
        && let Some(tokens) = config.shift_remove("extra_special_tokens")
    {
        config.insert("additional_special_tokens".to_owned(), tokens);
    }
    // A huge float means no limit, and would not be written as it was.
    if config.get("model_max_length").is_some_and(|length| length.is_f64()) {
        config.shift_remove("model_max_length");
    }
}

/// Makes a token special in the file that counts: `added_tokens_decoder` overrides the list of `tokenizer.json`.
fn promote(id: u32, token: &str, config: &mut Map<String, Value>, tokenizer: &mut Map<String, Value>) {
    let mut special = json!({
        "content": token, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true,
    });
    if let Some(Value::Object(decoder)) = config.get_mut("added_tokens_decoder") {
        decoder.insert(id.to_string(), special);
    } else if let Some(Value::Array(added)) = tokenizer.get_mut("added_tokens") {
        special["id"] = id.into();
        added.retain(|entry| entry["id"] != id);
        added.push(special);
        added.sort_by_key(|entry| entry["id"].as_u64());
    } else {
        // The older key counts if the newer one lists nothing; a mapping only gives names.
        let newer = config.get("extra_special_tokens").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
        let key = if newer { "extra_special_tokens" } else { "additional_special_tokens" };
        match config.get_mut(key) {
            Some(Value::Array(listed)) => listed.push(token.into()),
            _ => drop(config.insert(key.to_owned(), json!([token]))),
        }
    }
}
