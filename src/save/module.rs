//! Writing of one module.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::staged::Staged;
use super::{KindSettings, tokenizer};
use crate::config::{
    AdapterSource, JsonFile, Kind, LogitScoreConfig, MessageFormat, ModuleEntry, ModuleInput, ModuleKind,
    PoolingConfig, SpladeConfig, TaskRoutes, TransformerTask, idf, is_behind, keep_layers, object,
};
use crate::engine::Engine;
use crate::engine::source_files::TRANSFORMER_FILES;
use crate::error::{Error, Result};
use crate::families::Family;
use crate::heads::{PROJECTION, yes_and_no};
use crate::inputs::ChatTemplate;
use crate::network::token_weights;
use crate::weights::Weights;

/// Writes a module of `model` into the folder `path`, with its current settings.
pub(crate) fn write(
    model: &Engine,
    entry: &ModuleEntry,
    own: &KindSettings,
    path: &Path,
    staged: &mut Staged<'_>,
) -> Result<()> {
    let parts = &model.loaded;
    // Files with only some of the weights would not load as the same model.
    if parts.folders.choices.layers.is_none() && !parts.has_projection() && parts.adapters.tasks.is_empty() {
        staged.renew(&entry.folder, path);
    }
    let read = || JsonFile::read(entry.folder.join("config.json"), "the module needs it");
    let config = path.join("config.json");
    let last = parts.folders.entries.as_deref().and_then(<[_]>::last);
    let on = match parts.folder_kind {
        Kind::MultiVector => ModuleInput::Tokens,
        Kind::Reranker if last.is_some_and(|last| last.folder == entry.folder) => ModuleInput::SentencesForScores,
        Kind::Reranker | Kind::Sentence | Kind::Sparse => ModuleInput::Sentences,
    };
    match entry.kind {
        ModuleKind::Transformer | ModuleKind::TaskTransformer | ModuleKind::ClipModel | ModuleKind::MlmTransformer => {
            write_transformer(model, &entry.folder, own, path, staged)
        }
        ModuleKind::StaticEmbedding => {
            write_files(&entry.folder, &[tokenizer::truncated(model, &entry.folder)?], path, staged)?;
            copy_weights(&entry.folder, path, staged)
        }
        ModuleKind::SparseStaticEmbedding => write_token_weights(model, &entry.folder, path, staged),
        ModuleKind::SparseAutoEncoder => {
            staged.write_json(config, &read()?.value)?;
            copy_weights(&entry.folder, path, staged)
        }
        ModuleKind::Normalize => staged.write_json(config, &on.settings().into()),
        ModuleKind::Pooling => {
            let pooling = match &entry.pooling {
                Some(asked) => asked.clone(),
                None => PoolingConfig::read(&entry.folder)?,
            };
            let include_prompt = model.include_prompt.unwrap_or(pooling.include_prompt);
            staged.write_json(config, &PoolingConfig { include_prompt, ..pooling }.to_json(model.hidden_size()))
        }
        ModuleKind::SpladePooling => {
            let pooling = match parts.folders.entries {
                Some(_) => SpladeConfig::read(&entry.folder)?,
                None => SpladeConfig::default(),
            };
            staged.write_json(config, &pooling.to_json(parts.network.width()))
        }
        // It has no settings. Its code is copied with the transformer's.
        ModuleKind::FlexibleQuantizer => Ok(()),
        ModuleKind::MultiVectorMask => staged.write_json(config, &parts.late_interaction.mask_settings()),
        ModuleKind::Dense if parts.has_projection() => {
            let mut settings = object([
                ("in_features", model.hidden_size().into()),
                ("out_features", parts.network.width().into()),
                ("bias", false.into()),
                ("activation_function", "torch.nn.modules.linear.Identity".into()),
            ]);
            settings.extend(on.settings());
            staged.write_json(config, &settings.into())?;
            save_weights(&Weights::open(&entry.folder)?, path, staged, |name| name == PROJECTION)
        }
        ModuleKind::Dense => {
            let known = ["in_features", "out_features", "bias", "activation_function", "use_residual"];
            let file = read()?;
            let keep = |(key, value): (&String, &Value)| known.contains(&&**key).then(|| (key.clone(), value.clone()));
            let mut settings: Map<_, _> = file.value.as_object().into_iter().flatten().filter_map(keep).collect();
            if settings.get("use_residual") == Some(&Value::Bool(false)) {
                // Old versions don't know this key.
                settings.shift_remove("use_residual");
            }
            settings.extend(on.settings());
            staged.write_json(config, &settings.into())?;
            copy_weights(&entry.folder, path, staged)
        }
        ModuleKind::LogitScore => {
            let tokens = match parts.folders.entries {
                Some(_) => LogitScoreConfig::read(&entry.folder)?,
                None => yes_and_no(model.tokenizer(), &entry.folder)?,
            };
            staged.write_json(config, &tokens.to_json())
        }
        ModuleKind::LayerNorm => {
            staged.write_json(config, &read()?.value)?;
            copy_weights(&entry.folder, path, staged)
        }
        ModuleKind::WeightedLayerPooling => {
            let mut settings = read()?.value;
            // All versions know the older key.
            if let Some(settings) = settings.as_object_mut()
                && let Some(width) = settings.shift_remove("embedding_dimension")
            {
                settings.insert("word_embedding_dimension".to_owned(), width);
            }
            staged.write_json(config, &settings)?;
            copy_weights(&entry.folder, path, staged)
        }
        ModuleKind::Router | ModuleKind::Asym => {
            let router = TaskRoutes::router(entry)?;
            staged.write_json(path.join(router.file_name()), router.json())?;
            router.modules().try_for_each(|(name, entry)| write(model, entry, own, &path.join(name), staged))
        }
    }
}

/// Writes a SparseStaticEmbedding. Weights of a JSON file become those of a tensor, which needs no path.
fn write_token_weights(model: &Engine, from: &Path, path: &Path, staged: &mut Staged<'_>) -> Result<()> {
    let mut changed = tokenizer::changed(model, from)?;
    let Some(file) = idf(from)? else {
        write_files(from, &changed, path, staged)?;
        return copy_weights(from, path, staged);
    };
    let mut config = JsonFile::read(from.join("config.json"), "the module needs it")?.value;
    config["path"] = Value::Null;
    changed.push(("config.json", config));
    write_files(from, &changed, path, staged)?;
    let weights = token_weights::by_token(&file, model.tokenizer())?;
    new_weights(path, staged, |staged_path| Weights::save_array(staged_path, token_weights::WEIGHT, &weights))
}

fn write_transformer(
    model: &Engine,
    from: &Path,
    own: &KindSettings,
    path: &Path,
    staged: &mut Staged<'_>,
) -> Result<()> {
    let parts = &model.loaded;
    let projection = parts.has_projection();
    let folders = parts.folders.adapter_folders.of(from);
    let mut config = parts.config()?;
    let task = TransformerTask::of(parts.folder_kind, parts.folders.entries.as_deref(), &config);
    let task = Family::of(&config, task)?.task(task);
    let original = config.value.clone();
    parts.folders.choices.layers.map_or(Ok(()), |layers| keep_layers(&mut config, layers))?;
    if let Some(config) = config.value.as_object_mut() {
        if projection {
            // It names the class with the projection.
            config.shift_remove("architectures");
        }
        config.extend(own.config.clone());
        add_old_rope_keys(config);
    }
    let mut changed = tokenizer::changed(model, folders.tokenizer)?;
    if config.value != original || folders.config != folders.tokenizer {
        changed.push(("config.json", config.value));
    }
    write_files(folders.tokenizer, &changed, path, staged)?;
    copy_code(folders.config, path, staged)?;

    let adapter = parts.variant.task.map(|task| parts.adapters.adapter(task)).filter(AdapterSource::is_folder);
    let weights = |from: &Path| match &adapter {
        Some(adapter) => Weights::open(from)?.adapted(adapter.clone()),
        None => Weights::open(from),
    };
    if parts.folders.choices.layers.is_none() && !projection && adapter.is_none() {
        copy_weights(folders.weights, path, staged)?;
    } else {
        let kept = |name: &str| {
            let behind = parts.folders.choices.layers.is_some_and(|layers| is_behind(name, layers));
            !(behind || projection && name == PROJECTION)
        };
        save_weights(&weights(folders.weights)?, path, staged, kept)?;
    }

    let mut settings = task_settings(model, task);
    settings.extend(object([
        ("max_seq_length", json!(model.max_seq_length)),
        ("do_lower_case", parts.settings.do_lower_case.into()),
    ]));
    if let Some(task) = parts.settings.default_task() {
        settings.insert("model_args".to_owned(), json!({ "default_task": task }));
    }
    settings.extend(own.transformer.clone());
    staged.write_json(path.join("sentence_bert_config.json"), &settings.into())
}

/// Returns the entries that describe the transformer's task and its chat template: none if older versions load the kind,
/// since those refuse these keys.
fn task_settings(model: &Engine, task: TransformerTask) -> Map<String, Value> {
    let chat = model.loaded.chat.as_ref().map(ChatTemplate::settings);
    let is_old = matches!(model.loaded.kind, Kind::Sentence | Kind::Sparse) && task != TransformerTask::Features;
    if chat.is_none() && is_old {
        return Map::new();
    }
    let mut settings = task.settings(chat.as_ref().and_then(|chat| chat.format).map(MessageFormat::name));
    let arguments = chat.map(|chat| chat.arguments()).filter(|arguments| !arguments.is_empty());
    if let Some(arguments) = arguments {
        settings.insert("processing_kwargs".to_owned(), json!({ "chat_template": arguments }));
    } else if model.loaded.settings.pads_to_max() {
        settings.insert("processing_kwargs".to_owned(), json!({ "text": { "padding": "max_length" } }));
    }
    settings
}

/// Adds the keys of transformers 4 for rotary embeddings, which silently ignores `rope_parameters` of version 5.
fn add_old_rope_keys(config: &mut Map<String, Value>) {
    let Some(Value::Object(parameters)) = config.get("rope_parameters").cloned() else { return };
    let of_layers = |kind: &str| parameters.get(kind).and_then(Value::as_object);
    let named = match (of_layers("full_attention"), of_layers("sliding_attention")) {
        (None, None) => vec![("rope_theta", &parameters)],
        (full, sliding) => {
            let modernbert = config.get("model_type").is_some_and(|name| name == "modernbert");
            let keys = if modernbert {
                ["global_rope_theta", "local_rope_theta"]
            } else {
                ["rope_theta", "rope_local_base_freq"]
            };
            keys.into_iter().zip([full, sliding]).filter_map(|(key, of)| Some((key, of?))).collect()
        }
    };
    for (key, parameters) in named {
        if let Some(theta) = parameters.get("rope_theta") {
            config.entry(key).or_insert_with(|| theta.clone());
        }
        if key == "rope_theta" && parameters.get("rope_type").is_some_and(|name| name != "default") {
            config.entry("rope_scaling").or_insert_with(|| parameters.clone().into());
        }
    }
}

/// Copies code that a config's `auto_map` may name, for libraries that run it.
fn copy_code(from: &Path, path: &Path, staged: &mut Staged<'_>) -> Result<()> {
    let files = std::fs::read_dir(from).map_err(|error| Error::io(from, error))?;
    for name in files.filter_map(|file| Some(file.ok()?.file_name())) {
        if Path::new(&name).extension().is_some_and(|extension| extension == "py") {
            staged.copy(&from.join(&name), &path.join(&name))?;
        }
    }
    Ok(())
}

/// Copies the first module's files, except those in `changed`, which are written.
fn write_files(from: &Path, changed: &[(&str, Value)], path: &Path, staged: &mut Staged<'_>) -> Result<()> {
    for (name, value) in changed {
        staged.write_json(path.join(name), value)?;
    }
    let copied = |name: &&&str| changed.iter().all(|(other, _)| other != *name) && from.join(name).exists();
    TRANSFORMER_FILES.iter().filter(copied).try_for_each(|name| staged.copy(&from.join(name), &path.join(name)))
}

/// Copies weights; converts torch's format to safetensors.
fn copy_weights(from: &Path, to: &Path, staged: &mut Staged<'_>) -> Result<()> {
    let files = Weights::files(from)?;
    if !Weights::are_safetensors(&files) {
        return save_weights(&Weights::open(from)?, to, staged, |_| true);
    }
    files.iter().try_for_each(|name| staged.copy(&from.join(name), &to.join(name)))
}

/// Writes the weights that `kept` selects.
fn save_weights(weights: &Weights, to: &Path, staged: &mut Staged<'_>, kept: impl Fn(&str) -> bool) -> Result<()> {
    new_weights(to, staged, |path| weights.save(path, kept))
}

/// Writes a file of weights by `save`.
fn new_weights(to: &Path, staged: &mut Staged<'_>, save: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let path = to.join(Weights::SAFETENSORS);
    let staged_path = staged.path(&path)?;
    // The permissions of a new file: safetensors would restrict them to the owner.
    let new = std::fs::File::create(&staged_path).and_then(|file| file.metadata());
    let permissions = new.map_err(|error| staged.failed(&path, error))?.permissions();
    save(&staged_path).map_err(|error| match error {
        Error::Io { cause, .. } => staged.failed(&path, cause),
        other => other,
    })?;
    std::fs::set_permissions(&staged_path, permissions).map_err(|error| staged.failed(&path, error))
}
