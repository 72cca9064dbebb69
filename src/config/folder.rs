//! The files that speak of the whole model: `modules.json`, `config_sentence_transformers.json`, and
//! `sentence_bert_config.json` with its older names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::{JsonFile, Kind, PoolingConfig, adapter, inside, truth, whole};
use crate::error::{Error, Result};

/// A kind of module that rushlight has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ModuleKind {
    Transformer,
    /// A transformer with its masked-language-model head.
    MlmTransformer,
    WeightedLayerPooling,
    Pooling,
    SpladePooling,
    SparseStaticEmbedding,
    StaticEmbedding,
    Dense,
    LayerNorm,
    Normalize,
    /// Which tokens' vectors are kept.
    MultiVectorMask,
    /// Modules that depend on whether a text is a query or a document.
    Router,
}

/// Where sentence-transformers keeps its modules.
const ROOMS: [&str; 4] = ["base", "sentence_transformer", "sparse_encoder", "multi_vector_encoder"];

/// A class that changes nothing at inference: entries of it are left out when a folder is read.
const DROPOUT: &str = "Dropout";

impl ModuleKind {
    const ALL: [(&str, Self); 12] = [
        ("Transformer", Self::Transformer),
        ("MLMTransformer", Self::MlmTransformer),
        ("WeightedLayerPooling", Self::WeightedLayerPooling),
        ("Pooling", Self::Pooling),
        ("SpladePooling", Self::SpladePooling),
        ("SparseStaticEmbedding", Self::SparseStaticEmbedding),
        ("StaticEmbedding", Self::StaticEmbedding),
        ("MultiVectorMask", Self::MultiVectorMask),
        ("Router", Self::Router),
        ("Dense", Self::Dense),
        ("LayerNorm", Self::LayerNorm),
        ("Normalize", Self::Normalize),
    ];

    /// The class's name.
    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// The class's dotted name, in the spelling that all versions know which have the class.
    pub(crate) fn class(self) -> String {
        let room = match self {
            Self::MlmTransformer | Self::SpladePooling | Self::SparseStaticEmbedding => "sparse_encoder.models",
            Self::MultiVectorMask => "multi_vector_encoder.modules.multi_vector_mask",
            _ => "models",
        };
        format!("sentence_transformers.{room}.{}", self.name())
    }

    /// The class in a dotted name, which has any of the spellings that sentence-transformers has had.
    fn class_in(name: &str) -> Option<&str> {
        match name.split('.').collect::<Vec<_>>()[..] {
            ["sentence_transformers", "models", class] => Some(class),
            ["sentence_transformers", "models", _, class] => Some(class),
            ["sentence_transformers", "sparse_encoder", "models", class] => Some(class),
            ["sentence_transformers", "sparse_encoder", "models", _, class] => Some(class),
            ["sentence_transformers", room, "modules", _, class] if ROOMS.contains(&room) => Some(class),
            ["pylate", "models", "Dense", "Dense"] => Some("Dense"),
            _ => None,
        }
    }
}

/// A module of the model: its kind, and the folder with its files.
#[derive(Clone, Debug)]
pub(crate) struct ModuleEntry {
    pub(crate) kind: ModuleKind,
    pub(crate) folder: PathBuf,
    /// Of a Pooling module that has no file: what is asked for.
    pub(crate) pooling: Option<PoolingConfig>,
}

impl ModuleEntry {
    pub(crate) fn new(kind: ModuleKind, folder: PathBuf) -> Self {
        Self { kind, folder, pooling: None }
    }

    /// The module that a file lists: its class's dotted name under `key`, and its folder. `None` is a module that changes
    /// nothing at inference.
    pub(super) fn listed(class: &str, folder: PathBuf, file: &JsonFile, key: &str) -> Result<Option<Self>> {
        let name = ModuleKind::class_in(class);
        if name == Some(DROPOUT) {
            return Ok(None);
        }
        let Some((_, kind)) = ModuleKind::ALL.into_iter().find(|(known, _)| Some(*known) == name) else {
            let supported: Vec<_> = ModuleKind::ALL.into_iter().map(|(name, _)| name).chain([DROPOUT]).collect();
            return Err(file.unsupported(key, class, &supported.join(", ")));
        };
        if matches!(kind, ModuleKind::Transformer | ModuleKind::MlmTransformer) {
            adapter::refuse(&folder)?;
        }
        Ok(Some(Self::new(kind, folder)))
    }
}

/// The modules in their order, by `modules.json`; where that is absent, a transformer with mean pooling is meant:
/// `None`.
pub(crate) fn modules(folder: &Path) -> Result<Option<Vec<ModuleEntry>>> {
    #[derive(Deserialize)]
    struct Entry {
        path: String,
        r#type: String,
    }
    let Some(file) = JsonFile::read_if_there(folder.join("modules.json"))? else {
        adapter::refuse(folder)?;
        return Ok(None);
    };
    let entries: Vec<Entry> = file.parse_list()?;
    let read = |(i, entry): (usize, Entry)| {
        let folder = inside(folder, &entry.path, &file.path, &format!("[{i}].path"))?;
        ModuleEntry::listed(&entry.r#type, folder, &file, &format!("[{i}].type"))
    };
    entries.into_iter().enumerate().filter_map(|entry| read(entry).transpose()).collect::<Result<_>>().map(Some)
}

/// `config_sentence_transformers.json`: what the model's author chose for `encode`.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Settings {
    /// A prompt that is null counts as empty.
    #[serde(default)]
    pub(crate) prompts: Option<BTreeMap<String, Option<String>>>,
    #[serde(default)]
    pub(crate) default_prompt_name: Option<String>,
    #[serde(default)]
    pub(crate) similarity_fn_name: Option<String>,
    #[serde(default)]
    pub(crate) truncate_dim: Option<usize>,
    #[serde(default)]
    pub(crate) model_type: Option<String>,
    /// Of sparse models: how many weights of an embedding are kept.
    #[serde(default)]
    pub(crate) max_active_dims: Option<usize>,
}

impl Settings {
    /// The folder's, with the file they are from; none where the file is absent. The model must be of that kind.
    pub(crate) fn read(folder: &Path, kind: Kind) -> Result<(Self, PathBuf)> {
        let path = folder.join("config_sentence_transformers.json");
        let Some(file) = JsonFile::read_if_there(path.clone())? else { return Ok((Self::default(), path)) };
        let file = file.or_default(&["prompts", "similarity_fn_name"]);
        let settings: Self = file.parse()?;
        if let Some(other) = settings.model_type.as_deref().filter(|name| Kind::named(name) != Some(kind)) {
            let what = format!("{}: for {}, model_type", path.display(), kind.class());
            let hint = Kind::named(other).map(|kind| format!(" (this one is for {})", kind.class()));
            let supported = format!("{}{}", kind.model_type(), hint.unwrap_or_default());
            return Err(Error::unsupported(what, other, supported));
        }
        for (key, value) in [("truncate_dim", settings.truncate_dim), ("max_active_dims", settings.max_active_dims)] {
            file.positive(key, value.unwrap_or(1))?;
        }
        Ok((settings, path))
    }
}

/// `sentence_bert_config.json`: how the transformer is used.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TransformerSettings {
    #[serde(default, deserialize_with = "whole")]
    pub(crate) max_seq_length: Option<usize>,
    #[serde(default, deserialize_with = "truth")]
    pub(crate) do_lower_case: bool,
    #[serde(default)]
    transformer_task: Option<String>,
    #[serde(default)]
    modality_config: Option<Value>,
    #[serde(default)]
    module_output_name: Option<String>,
    #[serde(default)]
    processing_kwargs: Option<Value>,
    #[serde(default, rename = "unpad_inputs")]
    _unpad_inputs: Option<bool>,
    #[serde(default)]
    query_length: Option<Value>,
    #[serde(default)]
    document_length: Option<Value>,
    #[serde(default)]
    query_expansion: Option<Value>,
    #[serde(default)]
    model_args: Option<Value>,
    #[serde(default)]
    tokenizer_args: Option<Value>,
    #[serde(default)]
    config_args: Option<Value>,
}

/// The file of the transformer's settings: the first that is there and says anything.
pub(super) fn transformer_file(folder: &Path) -> Result<Option<JsonFile>> {
    const FILES: [&str; 7] = ["bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"];
    for name in FILES {
        let Some(file) = JsonFile::read_if_there(folder.join(format!("sentence_{name}_config.json")))? else {
            continue;
        };
        if file.value.as_object().is_some_and(serde_json::Map::is_empty) {
            continue;
        }
        return Ok(Some(file));
    }
    Ok(None)
}

/// The transformer's settings.
pub(crate) fn transformer_settings(folder: &Path, kind: Kind) -> Result<TransformerSettings> {
    let Some(file) = transformer_file(folder)? else { return Ok(TransformerSettings::default()) };
    let settings: TransformerSettings = file.parse()?;
    settings.check(&file, kind)?;
    Ok(settings)
}

impl TransformerSettings {
    /// Refuses what would change the numbers and isn't built.
    fn check(&self, file: &JsonFile, kind: Kind) -> Result<()> {
        let refuse = |key: &str, got: &str, supported: &str| {
            Err(Error::unsupported(format!("{}: {key}", file.path.display()), got, supported))
        };
        let wanted = kind.task();
        if let Some(task) = self.transformer_task.as_deref().filter(|task| *task != wanted.name) {
            return refuse("transformer_task", task, wanted.name);
        }
        if let Some(output) = self.module_output_name.as_deref().filter(|output| *output != wanted.module_output) {
            return refuse("module_output_name", output, wanted.module_output);
        }
        if let Some(modalities) = &self.modality_config {
            let text = modalities.as_object().is_some_and(|modalities| modalities.keys().all(|key| key == "text"));
            let output = modalities.pointer("/text/method_output_name").and_then(Value::as_str);
            if !text || output.is_some_and(|output| output != wanted.method_output) {
                let supported = format!("text with {}", wanted.method_output);
                return refuse("modality_config", &modalities.to_string(), &supported);
            }
        }
        let unused = [
            ("processing_kwargs", &self.processing_kwargs),
            ("query_length", &self.query_length),
            ("document_length", &self.document_length),
            ("query_expansion", &self.query_expansion),
            ("model_args", &self.model_args),
            ("tokenizer_args", &self.tokenizer_args),
            ("config_args", &self.config_args),
        ];
        // Those are read elsewhere.
        let late = |key: &str| kind == Kind::MultiVector && (key.starts_with("query_") || key == "document_length");
        let says = |value: &Value| !value.is_null() && value.as_object().is_none_or(|object| !object.is_empty());
        let unused = unused.iter().filter(|(key, _)| !late(key));
        match unused.into_iter().find_map(|(key, value)| value.as_ref().filter(|v| says(v)).map(|v| (*key, v))) {
            Some((key, value)) => refuse(key, &value.to_string(), "null"),
            None if self.max_seq_length == Some(0) => Err(file.error("max_seq_length", "must be at least 1, got 0")),
            None => Ok(()),
        }
    }
}
