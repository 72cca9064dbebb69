//! Writing one module.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::super::Model;
use super::staged::Staged;
use super::{Own, tokenizer};
use crate::config::{
    JsonFile, Kind, ModuleEntry, ModuleKind, On, PoolingConfig, SpladeConfig, is_behind, keep_layers, object,
};
use crate::error::{Error, Result};
use crate::heads::PROJECTION;
use crate::weights::Weights;

/// Files beside the weights that make up the first module; those that are there are copied.
pub(super) const TRANSFORMER_FILES: [&str; 10] = [
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

/// Writes a module of `model` into the folder `path`, with what was set since it was loaded.
pub(super) fn write(model: &Model, entry: &ModuleEntry, own: &Own, path: &Path, staged: &mut Staged<'_>) -> Result<()> {
    let parts = &model.parts;
    let read = || JsonFile::read(entry.folder.join("config.json"), "the module needs it");
    let config = path.join("config.json");
    let on = if parts.kind == Kind::MultiVector { On::Tokens } else { On::Sentences };
    match entry.kind {
        ModuleKind::Transformer | ModuleKind::MlmTransformer => {
            write_transformer(model, &entry.folder, own, path, staged)
        }
        ModuleKind::StaticEmbedding => {
            write_files(&entry.folder, &[tokenizer::cut(model, &entry.folder)?], path, staged)?;
            copy_weights(&entry.folder, path, staged)
        }
        ModuleKind::SparseStaticEmbedding => {
            write_files(&entry.folder, &tokenizer::changed(model, &entry.folder)?, path, staged)?;
            copy_weights(&entry.folder, path, staged)
        }
        ModuleKind::Normalize if on.settings().is_empty() => Ok(()),
        ModuleKind::Normalize => staged.write_json(config, &on.settings().into()),
        ModuleKind::Pooling => {
            let pooling = match &entry.pooling {
                Some(asked) => asked.clone(),
                None => PoolingConfig::read(&entry.folder, model.hidden_size())?,
            };
            let include_prompt = model.include_prompt.unwrap_or(pooling.include_prompt);
            staged.write_json(config, &PoolingConfig { include_prompt, ..pooling }.to_json(model.hidden_size()))
        }
        ModuleKind::SpladePooling => {
            let pooling = match parts.entries {
                Some(_) => SpladeConfig::read(&entry.folder)?,
                None => SpladeConfig::default(),
            };
            staged.write_json(config, &pooling.to_json())
        }
        ModuleKind::MultiVectorMask => staged.write_json(config, &parts.late_interaction.mask_settings()),
        ModuleKind::Dense if parts.entries.is_none() => {
            let mut settings = object([
                ("in_features", model.hidden_size().into()),
                ("out_features", parts.network.embedding_dimension().into()),
                ("bias", false.into()),
                ("activation_function", "torch.nn.modules.linear.Identity".into()),
            ]);
            settings.extend(on.settings());
            staged.write_json(config, &settings.into())?;
            let weights = staged.place(&path.join(Weights::NAMES[0]))?;
            Weights::open(&entry.folder)?.save(&weights, |name| name == PROJECTION)
        }
        ModuleKind::Dense => {
            let known = ["in_features", "out_features", "bias", "activation_function", "use_residual"];
            let file = read()?;
            let keep = |(key, value): (&String, &Value)| known.contains(&&**key).then(|| (key.clone(), value.clone()));
            let mut settings: Map<_, _> = file.value.as_object().into_iter().flatten().filter_map(keep).collect();
            settings.extend(on.settings());
            staged.write_json(config, &settings.into())?;
            copy_weights(&entry.folder, path, staged)
        }
        ModuleKind::LayerNorm => {
            staged.write_json(config, &read()?.value)?;
            copy_weights(&entry.folder, path, staged)
        }
        ModuleKind::WeightedLayerPooling => {
            let mut settings = read()?.value;
            // By its older name, which new versions know, too.
            if let Some(settings) = settings.as_object_mut()
                && let Some(width) = settings.remove("embedding_dimension")
            {
                settings.insert("word_embedding_dimension".to_owned(), width);
            }
            staged.write_json(config, &settings)?;
            copy_weights(&entry.folder, path, staged)
        }
        // A Router's modules are written one by one, and there is none within another.
        ModuleKind::Router => {
            let what = format!("{}: to save, a module", entry.folder.display());
            Err(Error::unsupported(what, ModuleKind::Router.name(), "others than it"))
        }
    }
}

fn write_transformer(model: &Model, from: &Path, own: &Own, path: &Path, staged: &mut Staged<'_>) -> Result<()> {
    let parts = &model.parts;
    // Of a folder that lists no modules, it is among the transformer's weights.
    let projection = parts.kind == Kind::MultiVector && parts.entries.is_none();
    let mut anew = tokenizer::changed(model, from)?;
    if parts.layers.is_some() || projection || !own.config.is_empty() {
        let mut config = JsonFile::read(from.join("config.json"), "it describes the transformer")?;
        parts.layers.map_or(Ok(()), |layers| keep_layers(&mut config, layers))?;
        if let Some(config) = config.value.as_object_mut() {
            if projection {
                // It names what has the projection.
                config.remove("architectures");
            }
            config.extend(own.config.clone());
        }
        anew.push(("config.json", config.value));
    }
    write_files(from, &anew, path, staged)?;

    if parts.layers.is_none() && !projection {
        copy_weights(from, path, staged)?;
    } else {
        let kept = |name: &str| {
            let behind = parts.layers.is_some_and(|layers| is_behind(name, layers));
            !(behind || projection && name == PROJECTION)
        };
        let weights = staged.place(&path.join(Weights::NAMES[0]))?;
        Weights::open(from)?.save(&weights, kept)?;
    }

    let mut settings = parts.kind.task_settings();
    settings.extend(object([
        ("max_seq_length", json!(model.max_seq_length())),
        ("do_lower_case", parts.settings.do_lower_case.into()),
    ]));
    settings.extend(own.transformer.clone());
    staged.write_json(path.join("sentence_bert_config.json"), &settings.into())
}

/// Copies the first module's files, but for those that are written anew.
fn write_files(from: &Path, anew: &[(&str, Value)], path: &Path, staged: &mut Staged<'_>) -> Result<()> {
    for (name, value) in anew {
        staged.write_json(path.join(name), value)?;
    }
    let copied = |name: &&&str| anew.iter().all(|(other, _)| other != *name) && from.join(name).exists();
    TRANSFORMER_FILES.iter().filter(copied).try_for_each(|name| staged.copy(&from.join(name), &path.join(name)))
}

fn copy_weights(from: &Path, to: &Path, staged: &mut Staged<'_>) -> Result<()> {
    Weights::files(from)?.iter().try_for_each(|name| staged.copy(&from.join(name), &to.join(name)))
}
