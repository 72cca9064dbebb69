//! Saving a model as a folder that this crate and sentence-transformers, old and new, load.
//!
//! The weights are those of the folder that the model was loaded from, and so are copied; the files that say how they are
//! used are written anew, with the keys that old versions know too.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::Model;
use crate::config::{JsonFile, ModuleEntry, ModuleKind, PoolingConfig};
use crate::error::{Error, Result};
use crate::weights::Weights;

/// Files beside the weights that make up the transformer; those that are there are copied.
const TRANSFORMER_FILES: &[&str] = &[
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "sentencepiece.bpe.model",
    "spiece.model",
];

/// Writes `model` into `folder`, which is made where it is absent.
pub(super) fn save(model: &Model, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
    let transformer = model.parts.transformer();
    for name in TRANSFORMER_FILES {
        if transformer.join(name).exists() {
            copy(&transformer.join(name), &folder.join(name))?;
        }
    }
    copy_weights(transformer, folder)?;
    let settings =
        json!({ "max_seq_length": model.max_seq_length(), "do_lower_case": model.parts.settings.do_lower_case });
    write_json(&folder.join("sentence_bert_config.json"), &settings)?;
    write_json(&folder.join("config_sentence_transformers.json"), &sentence_settings(model))?;

    let mut modules = vec![module(0, ModuleKind::Transformer, "")];
    match &model.parts.entries {
        Some(entries) => {
            for (i, entry) in entries.iter().enumerate().skip(1) {
                let path = format!("{i}_{}", entry.kind.name());
                save_module(entry, &folder.join(&path))?;
                modules.push(module(i, entry.kind, &path));
            }
        }
        None => {
            let path = "1_Pooling";
            write_json(&folder.join(path).join("config.json"), &PoolingConfig::mean().to_json(model.hidden_size()))?;
            modules.push(module(1, ModuleKind::Pooling, path));
        }
    }
    // Last, since it is what makes a folder a model.
    write_json(&folder.join("modules.json"), &Value::Array(modules))
}

fn module(i: usize, kind: ModuleKind, path: &str) -> Value {
    let class = format!("sentence_transformers.models.{}", kind.name());
    json!({ "idx": i, "name": i.to_string(), "path": path, "type": class })
}

fn sentence_settings(model: &Model) -> Value {
    json!({
        "__version__": { "rushlight": env!("CARGO_PKG_VERSION") },
        "model_type": "SentenceTransformer",
        "prompts": model.prompts(),
        "default_prompt_name": model.default_prompt_name(),
        "similarity_fn_name": model.similarity_fn().to_string(),
        "truncate_dim": model.truncate_dim(),
    })
}

fn save_module(entry: &ModuleEntry, folder: &Path) -> Result<()> {
    let config = entry.folder.join("config.json");
    let read = || JsonFile::read(config.clone(), "the module needs it");
    match entry.kind {
        // It has no settings of its own that we take.
        ModuleKind::Normalize | ModuleKind::Transformer => Ok(()),
        ModuleKind::Pooling => {
            let file = read()?;
            let width = ["embedding_dimension", "word_embedding_dimension"].iter().find_map(|key| file.value.get(key));
            let width = width.and_then(Value::as_u64).unwrap_or_default() as usize;
            let pooling = PoolingConfig::read(&entry.folder, width)?;
            write_json(&folder.join("config.json"), &pooling.to_json(width))
        }
        ModuleKind::Dense => {
            let known = ["in_features", "out_features", "bias", "activation_function", "use_residual"];
            let file = read()?;
            let keep = |(key, value): (&String, &Value)| known.contains(&&**key).then(|| (key.clone(), value.clone()));
            let settings: Map<_, _> = file.value.as_object().into_iter().flatten().filter_map(keep).collect();
            write_json(&folder.join("config.json"), &Value::Object(settings))?;
            copy_weights(&entry.folder, folder)
        }
        ModuleKind::LayerNorm => {
            write_json(&folder.join("config.json"), &read()?.value)?;
            copy_weights(&entry.folder, folder)
        }
    }
}

fn copy_weights(from: &Path, to: &Path) -> Result<()> {
    for name in Weights::files(from)? {
        copy(&from.join(&name), &to.join(&name))?;
    }
    Ok(())
}

/// Copies a file, unless it is the same one.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let same = matches!((from.canonicalize(), to.canonicalize()), (Ok(from), Ok(to)) if from == to);
    if same {
        return Ok(());
    }
    in_place_of(to, |temporary| std::fs::copy(from, temporary).map(|_| ()).map_err(|error| Error::io(from, error)))
}

fn write_json(path: &Path, value: &Value) -> Result<()> {
    in_place_of(path, |temporary| {
        let write = || std::fs::File::create(temporary)?.write_all(format!("{value:#}\n").as_bytes());
        write().map_err(|error| Error::io(temporary, error))
    })
}

/// Has `write` make a file beside `path`, and renames it to `path`: whoever has mapped the old one keeps it whole.
fn in_place_of(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new(""));
    std::fs::create_dir_all(parent).map_err(|error| Error::io(parent, error))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary: PathBuf = parent.join(format!(".{name}.{}.part", std::process::id()));
    let renamed =
        write(&temporary).and_then(|()| std::fs::rename(&temporary, path).map_err(|error| Error::io(path, error)));
    if renamed.is_err() {
        match std::fs::remove_file(&temporary) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(Error::io(temporary, error)),
            _ => {}
        }
    }
    renamed
}
