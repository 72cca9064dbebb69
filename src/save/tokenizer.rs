//! The files of a tokenizer that say what was set since it was loaded.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::config::{JsonFile, Kind, ModuleKind};
use crate::engine::Engine;
use crate::error::{Error, Result};

/// A file's name, and what it is to say.
type File = (&'static str, Value);

/// Models of tokens' vectors have no file for their settings: `tokenizer.json` says how many tokens are kept.
pub(crate) fn cut(model: &Engine, folder: &Path) -> Result<File> {
    let path = folder.join("tokenizer.json");
    let mut tokenizer = JsonFile::read(path, "it holds the vocabulary")?.value;
    let direction = tokenizer.pointer("/truncation/direction").cloned().unwrap_or_else(|| "Right".into());
    let truncation = match model.reader(None).max_length() {
        usize::MAX => Value::Null,
        most => json!({ "direction": direction, "max_length": most, "strategy": "LongestFirst", "stride": 0 }),
    };
    if let Some(parts) = tokenizer.as_object_mut() {
        parts.insert("truncation".to_owned(), truncation);
    }
    Ok(("tokenizer.json", tokenizer))
}

/// The files that say something else than those in the folder: which tokens are special, and how many are kept where the
/// settings of a transformer don't say it to all versions.
pub(crate) fn changed(model: &Engine, folder: &Path) -> Result<Vec<File>> {
    let read = |name: &str| match JsonFile::read_if_there(folder.join(name))?.map(|file| file.value) {
        Some(Value::Object(file)) => Ok(file),
        _ => Ok::<_, Error>(Map::new()),
    };
    let promoted = model.tokenizer().promoted();
    let old_config = read("tokenizer_config.json")?;
    // It is large, and mostly stays as it is.
    let old_tokenizer = if promoted.is_empty() { Map::new() } else { read("tokenizer.json")? };
    let (mut config, mut tokenizer) = (old_config.clone(), old_tokenizer.clone());
    let by_tokenizer = model.loaded.kind == Kind::Reranker || model.loaded.first() == ModuleKind::SparseStaticEmbedding;
    if let Some(limit) = model.max_seq_length.filter(|_| by_tokenizer) {
        config.insert("model_max_length".to_owned(), limit.into());
    }
    name_as_before(&mut config, model.tokenizer().has_token_type_ids());
    for (id, token) in promoted {
        promote(*id, token, &mut config, &mut tokenizer);
    }
    let files = [("tokenizer_config.json", config, old_config), ("tokenizer.json", tokenizer, old_tokenizer)];
    Ok(files.into_iter().filter(|(_, new, old)| new != old).map(|(name, new, _)| (name, new.into())).collect())
}

/// Says what versions before transformers 5 know, too: its general class by an older name, and its list of tokens.
fn name_as_before(config: &mut Map<String, Value>, has_token_type_ids: bool) {
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
    // It means none, and is too large to be written as it was.
    if config.get("model_max_length").is_some_and(|length| length.is_f64()) {
        config.shift_remove("model_max_length");
    }
}

/// Makes a token special in the file that has the say: `added_tokens_decoder` silences the list of `tokenizer.json`.
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
        // The older key counts where the newer one lists nothing; a mapping gives names, and lists nothing either.
        let newer = config.get("extra_special_tokens").and_then(Value::as_array).is_some_and(|list| !list.is_empty());
        let key = if newer { "extra_special_tokens" } else { "additional_special_tokens" };
        match config.get_mut(key) {
            Some(Value::Array(listed)) => listed.push(token.into()),
            _ => drop(config.insert(key.to_owned(), json!([token]))),
        }
    }
}
