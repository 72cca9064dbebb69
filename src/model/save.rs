//! Saving a model as a folder that this crate and sentence-transformers, old and new, load.
//!
//! The weights are those of the folder that the model was loaded from, and so are copied; the files that say how they are
//! used are written anew, with the keys that old versions know too.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Map, Value, json};

use super::Model;
use crate::config::{JsonFile, ModuleEntry, ModuleKind, PoolingConfig, is_behind, keep_layers};
use crate::error::{Error, Result};
use crate::modules::pooling;
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
    if model.other.is_some() {
        let what = format!("{}: to save, a module", model.folder().display());
        return Err(Error::unsupported(what, ModuleKind::Router.name(), "models that embed all texts alike"));
    }
    let mut staged = Staged::below(folder)?;
    let transformer = model.parts.transformer();
    let first = model.parts.entries.as_ref().and_then(|entries| entries.first()).map(|entry| entry.kind);
    let first = first.unwrap_or(ModuleKind::Transformer);
    for name in TRANSFORMER_FILES {
        let own = *name != "config.json" || model.parts.layers.is_none();
        if own && transformer.join(name).exists() && (first == ModuleKind::Transformer || *name != "tokenizer.json") {
            staged.copy(&transformer.join(name), Path::new(name))?;
        }
    }
    match model.parts.layers {
        Some(layers) => save_first_layers(transformer, layers, &mut staged)?,
        None => copy_weights(transformer, Path::new(""), &mut staged)?,
    }
    let do_lower_case = model.parts.settings.do_lower_case;
    let settings = json!({ "max_seq_length": model.max_seq_length(), "do_lower_case": do_lower_case });
    match first {
        ModuleKind::Transformer => staged.write_json("sentence_bert_config.json", &settings)?,
        _ => save_cut_tokenizer(model, &mut staged)?,
    }
    staged.write_json("config_sentence_transformers.json", &sentence_settings(model))?;

    let mut modules = vec![module(0, first, "")];
    match &model.parts.entries {
        Some(entries) => {
            for (i, entry) in entries.iter().enumerate().skip(1) {
                let path = format!("{i}_{}", entry.kind.name());
                save_module(model, entry, Path::new(&path), &mut staged)?;
                modules.push(module(i, entry.kind, &path));
            }
        }
        None => {
            let config = JsonFile::read(model.transformer().join("config.json"), "it describes the transformer")?;
            let pooling = pooling(None, model.folder(), &config, model.hidden_size())?;
            staged.write_json("1_Pooling/config.json", &pooling_settings(model, pooling))?;
            modules.push(module(1, ModuleKind::Pooling, "1_Pooling"));
        }
    }
    // Last, since it is what makes a folder a model.
    staged.write_json("modules.json", &Value::Array(modules))?;
    staged.publish()
}

/// Models without a transformer have no file for their settings: tokenizer.json says how many tokens are kept.
fn save_cut_tokenizer(model: &Model, staged: &mut Staged<'_>) -> Result<()> {
    let path = model.parts.transformer().join("tokenizer.json");
    let mut tokenizer = JsonFile::read(path, "it holds the vocabulary")?.value;
    let direction = tokenizer.pointer("/truncation/direction").cloned().unwrap_or_else(|| "Right".into());
    let truncation = match model.max_length() {
        usize::MAX => Value::Null,
        most => json!({ "direction": direction, "max_length": most, "strategy": "LongestFirst", "stride": 0 }),
    };
    if let Some(parts) = tokenizer.as_object_mut() {
        parts.insert("truncation".to_owned(), truncation);
    }
    staged.write_json("tokenizer.json", &tokenizer)
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

/// The transformer without the layers behind the first ones, which the folder has and the model hasn't.
fn save_first_layers(transformer: &Path, layers: usize, staged: &mut Staged<'_>) -> Result<()> {
    let mut config = JsonFile::read(transformer.join("config.json"), "it describes the transformer")?;
    keep_layers(&mut config, layers)?;
    staged.write_json("config.json", &config.value)?;
    let place = staged.place(Path::new(Weights::NAMES[0]))?;
    Weights::open(transformer)?.save(&place, |name| !is_behind(name, layers))
}

/// A pooling module's settings, with what was set since.
fn pooling_settings(model: &Model, pooling: PoolingConfig) -> Value {
    let include_prompt = model.include_prompt.unwrap_or(pooling.include_prompt);
    PoolingConfig { include_prompt, ..pooling }.to_json(model.hidden_size())
}

fn save_module(model: &Model, entry: &ModuleEntry, path: &Path, staged: &mut Staged<'_>) -> Result<()> {
    let read = || JsonFile::read(entry.folder.join("config.json"), "the module needs it");
    let config = path.join("config.json");
    match entry.kind {
        // It has no settings of its own that we take.
        ModuleKind::Normalize => Ok(()),
        ModuleKind::Pooling => {
            let pooling = match &entry.pooling {
                Some(asked) => asked.clone(),
                None => PoolingConfig::read(&entry.folder, model.hidden_size())?,
            };
            staged.write_json(config, &pooling_settings(model, pooling))
        }
        ModuleKind::Dense => {
            let known = ["in_features", "out_features", "bias", "activation_function", "use_residual"];
            let file = read()?;
            let keep = |(key, value): (&String, &Value)| known.contains(&&**key).then(|| (key.clone(), value.clone()));
            let settings: Map<_, _> = file.value.as_object().into_iter().flatten().filter_map(keep).collect();
            staged.write_json(config, &Value::Object(settings))?;
            copy_weights(&entry.folder, path, staged)
        }
        ModuleKind::LayerNorm | ModuleKind::WeightedLayerPooling => {
            staged.write_json(config, &read()?.value)?;
            copy_weights(&entry.folder, path, staged)
        }
        other => {
            let what = format!("{}: to save, a module", entry.folder.display());
            Err(Error::unsupported(what, other.name(), "Pooling, Dense, LayerNorm, Normalize"))
        }
    }
}

fn copy_weights(from: &Path, to: &Path, staged: &mut Staged<'_>) -> Result<()> {
    for name in Weights::files(from)? {
        staged.copy(&from.join(&name), &to.join(&name))?;
    }
    Ok(())
}

/// Files on their way into a folder: written beside their places, so that nothing there changes before all are whole,
/// and then renamed: whoever has mapped an old one keeps it whole, and the model itself may be loaded from there.
struct Staged<'a> {
    folder: &'a Path,
    staging: PathBuf,
    written: Vec<PathBuf>,
}

impl<'a> Staged<'a> {
    fn below(folder: &'a Path) -> Result<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let unique = format!(".saving-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let staging = folder.join(unique);
        std::fs::create_dir_all(&staging).map_err(|error| Error::io(&staging, error))?;
        Ok(Self { folder, staging, written: Vec::new() })
    }

    /// The place to write what is to become `path` of the folder.
    fn place(&mut self, path: &Path) -> Result<PathBuf> {
        let place = self.staging.join(path);
        if let Some(parent) = place.parent() {
            std::fs::create_dir_all(parent).map_err(|error| Error::io(parent, error))?;
        }
        self.written.push(path.to_path_buf());
        Ok(place)
    }

    fn copy(&mut self, from: &Path, path: &Path) -> Result<()> {
        let place = self.place(path)?;
        std::fs::copy(from, place).map(drop).map_err(|error| Error::io(from, error))
    }

    fn write_json(&mut self, path: impl AsRef<Path>, value: &Value) -> Result<()> {
        let place = self.place(path.as_ref())?;
        std::fs::write(&place, format!("{value:#}\n")).map_err(|error| Error::io(place, error))
    }

    /// Moves all files to their places, in the order in which they were written, and takes away what another model that
    /// was there before has left and would be read in place of this one's.
    fn publish(self) -> Result<()> {
        let modules = self.written.iter().filter_map(|path| path.parent()).filter(|parent| *parent != Path::new(""));
        let weights = |folder: &Path| Weights::NAMES.map(|name| folder.join(name));
        let stale = TRANSFORMER_FILES.iter().map(PathBuf::from).chain(weights(Path::new("")));
        for path in stale.chain(modules.flat_map(weights)).filter(|path| !self.written.contains(path)) {
            let path = self.folder.join(path);
            if path.exists() {
                std::fs::remove_file(&path).map_err(|error| Error::io(path, error))?;
            }
        }
        for path in &self.written {
            let place = self.folder.join(path);
            if let Some(parent) = place.parent() {
                std::fs::create_dir_all(parent).map_err(|error| Error::io(parent, error))?;
            }
            std::fs::rename(self.staging.join(path), &place).map_err(|error| Error::io(place, error))?;
        }
        Ok(())
    }
}

impl Drop for Staged<'_> {
    fn drop(&mut self) {
        // What can't be removed is of no consequence to the model.
        let _ = std::fs::remove_dir_all(&self.staging);
    }
}
