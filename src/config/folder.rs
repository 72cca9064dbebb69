//! Files that describe the whole model: `modules.json`, `config_sentence_transformers.json`, and
//! `sentence_bert_config.json` with its older names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::{
    ChatSettings, JsonFile, Kind, PeftConfig, PoolingConfig, TransformerTask, inside, is_truthy, optional_integer,
    truthy,
};
use crate::error::{Error, Result};

/// Kind of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ModuleKind {
    Transformer,
    /// A transformer whose own class strips texts and takes a task.
    TaskTransformer,
    /// CLIP, as older versions of sentence-transformers name it.
    ClipModel,
    /// A transformer with its masked-language-model head.
    MlmTransformer,
    WeightedLayerPooling,
    Pooling,
    SpladePooling,
    SparseStaticEmbedding,
    /// A sparse code of a sentence embedding.
    SparseAutoEncoder,
    StaticEmbedding,
    Dense,
    LayerNorm,
    Normalize,
    /// Rounding to int8 of published code, in pplx-embed-v1.
    FlexibleQuantizer,
    /// Selection of the tokens whose vectors are kept.
    MultiVectorMask,
    /// Score of a pair by the logits of a causal language model.
    LogitScore,
    /// Other modules for queries than for documents, or for each task if it isn't first.
    Router,
    /// Older form of a Router, by task.
    Asym,
}

/// Packages of sentence-transformers that hold module classes.
const PACKAGES: [&str; 5] = ["base", "sentence_transformer", "cross_encoder", "sparse_encoder", "multi_vector_encoder"];

/// A class of published code, in a file of the model.
const QUANTIZER: &str = "st_quantize.FlexibleQuantizer";
/// The first module of jina-embeddings-v3, in a file of its folder.
const TASK_TRANSFORMER: &str = "custom_st.Transformer";

/// A class that does nothing at inference; its entries are skipped.
const DROPOUT: &str = "Dropout";

impl ModuleKind {
    const ALL: [(&str, Self); 18] = [
        ("Transformer", Self::Transformer),
        (TASK_TRANSFORMER, Self::TaskTransformer),
        ("CLIPModel", Self::ClipModel),
        ("MLMTransformer", Self::MlmTransformer),
        ("WeightedLayerPooling", Self::WeightedLayerPooling),
        ("Pooling", Self::Pooling),
        ("SpladePooling", Self::SpladePooling),
        ("SparseStaticEmbedding", Self::SparseStaticEmbedding),
        ("SparseAutoEncoder", Self::SparseAutoEncoder),
        ("StaticEmbedding", Self::StaticEmbedding),
        ("MultiVectorMask", Self::MultiVectorMask),
        ("LogitScore", Self::LogitScore),
        ("Router", Self::Router),
        ("Asym", Self::Asym),
        ("Dense", Self::Dense),
        ("LayerNorm", Self::LayerNorm),
        ("Normalize", Self::Normalize),
        ("FlexibleQuantizer", Self::FlexibleQuantizer),
    ];

    /// Returns the class's name.
    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// Returns true for modules that hold others.
    pub(crate) fn is_router(self) -> bool {
        matches!(self, Self::Router | Self::Asym)
    }

    /// Returns true for the transformers, which are first modules.
    pub(crate) fn is_transformer(self) -> bool {
        matches!(self, Self::Transformer | Self::TaskTransformer | Self::ClipModel | Self::MlmTransformer)
    }

    /// Returns the class's dotted name, in the spelling that all versions with this class know.
    pub(crate) fn class(self) -> String {
        let package = match self {
            Self::FlexibleQuantizer => return QUANTIZER.to_owned(),
            Self::TaskTransformer => return TASK_TRANSFORMER.to_owned(),
            Self::MlmTransformer | Self::SpladePooling | Self::SparseStaticEmbedding | Self::SparseAutoEncoder => {
                "sparse_encoder.models"
            }
            Self::MultiVectorMask => "multi_vector_encoder.modules.multi_vector_mask",
            Self::LogitScore => "cross_encoder.modules.logit_score",
            _ => "models",
        };
        format!("sentence_transformers.{package}.{}", self.name())
    }

    /// Returns the class in a dotted name, in any spelling that sentence-transformers has used.
    fn class_in(name: &str) -> Option<&str> {
        match name.split('.').collect::<Vec<_>>()[..] {
            ["sentence_transformers", "models", class] => Some(class),
            ["sentence_transformers", "models", _, class] => Some(class),
            ["sentence_transformers", "sparse_encoder", "models", class] => Some(class),
            ["sentence_transformers", "sparse_encoder", "models", _, class] => Some(class),
            ["sentence_transformers", package, "modules", _, class] if PACKAGES.contains(&package) => Some(class),
            ["custom_st", "Transformer"] => Some(TASK_TRANSFORMER),
            ["pylate", "models", "Dense", "Dense"] => Some("Dense"),
            _ if name == QUANTIZER => Some("FlexibleQuantizer"),
            _ => None,
        }
    }
}

/// A module of a model: its kind, and the folder with its files.
#[derive(Clone, Debug)]
pub(crate) struct ModuleEntry {
    pub(crate) kind: ModuleKind,
    pub(crate) folder: PathBuf,
    /// Settings of a Pooling module without a file.
    pub(crate) pooling: Option<PoolingConfig>,
    /// True for a Dense module on each token, whatever input its file names.
    pub(crate) on_tokens: bool,
}

impl ModuleEntry {
    pub(crate) fn new(kind: ModuleKind, folder: PathBuf) -> Self {
        Self { kind, folder, pooling: None, on_tokens: false }
    }

    /// Returns the module as one on token embeddings; `None` for those that only sentence embeddings have.
    pub(crate) fn on_tokens(self) -> Option<Self> {
        let on_tokens = self.kind == ModuleKind::Dense;
        (self.kind != ModuleKind::Pooling).then_some(Self { on_tokens, ..self })
    }

    /// Makes the entry of a listed module, given its class's dotted name, which stands under `key`, and its folder. Returns
    /// `None` for a module that does nothing at inference. An adapter that can't be merged is refused before any other complaint.
    pub(super) fn listed(class: &str, folder: PathBuf, file: &JsonFile, key: &str) -> Result<Option<Self>> {
        let name = ModuleKind::class_in(class);
        if name == Some(DROPOUT) {
            return Ok(None);
        }
        let Some((_, kind)) = ModuleKind::ALL.into_iter().find(|(known, _)| Some(*known) == name) else {
            let supported: Vec<_> = ModuleKind::ALL.into_iter().map(|(name, _)| name).chain([DROPOUT]).collect();
            return Err(file.unsupported(key, class, &supported.join(", ")));
        };
        if kind.is_transformer() {
            PeftConfig::read_if_there(&folder)?;
        }
        Ok(Some(Self::new(kind, folder)))
    }
}

/// Reads the modules in their order from `modules.json`. Returns `None` if it is absent, which means a transformer with mean
/// pooling.
pub(crate) fn modules(folder: &Path) -> Result<Option<Vec<ModuleEntry>>> {
    #[derive(Deserialize)]
    struct Entry {
        path: String,
        r#type: String,
    }
    let Some(file) = JsonFile::read_if_there(folder.join("modules.json"))? else {
        PeftConfig::read_if_there(folder)?;
        return Ok(None);
    };
    let entries: Vec<Entry> = file.parse_list()?;
    let read = |(i, entry): (usize, Entry)| {
        let folder = inside(folder, &entry.path, &file.path, &format!("[{i}].path"))?;
        ModuleEntry::listed(&entry.r#type, folder, &file, &format!("[{i}].type"))
    };
    entries.into_iter().enumerate().filter_map(|entry| read(entry).transpose()).collect::<Result<_>>().map(Some)
}

/// `config_sentence_transformers.json`: defaults of `encode` chosen by the model's author.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ModelSettings {
    /// Prompts by name; null counts as empty.
    pub(crate) prompts: Option<BTreeMap<String, Option<String>>>,
    pub(crate) default_prompt_name: Option<String>,
    pub(crate) similarity_fn_name: Option<String>,
    pub(crate) truncate_dim: Option<usize>,
    pub(crate) model_type: Option<String>,
    /// Number of weights kept of a sparse embedding.
    pub(crate) max_active_dims: Option<usize>,
}

impl ModelSettings {
    /// Reads a folder's settings, and returns the file's path; an absent file means defaults.
    pub(crate) fn read(folder: &Path) -> Result<(Self, PathBuf)> {
        let path = folder.join("config_sentence_transformers.json");
        let Some(file) = JsonFile::read_if_there(path.clone())? else { return Ok((Self::default(), path)) };
        let file = file.or_default(&["prompts", "similarity_fn_name"]);
        let settings: Self = file.parse()?;
        for (key, value) in [("truncate_dim", settings.truncate_dim), ("max_active_dims", settings.max_active_dims)] {
            file.positive(key, value.unwrap_or(1))?;
        }
        Ok((settings, path))
    }
}

/// `sentence_bert_config.json`: settings of the transformer.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TransformerSettings {
    #[serde(deserialize_with = "optional_integer")]
    pub(crate) max_seq_length: Option<usize>,
    #[serde(deserialize_with = "truthy")]
    pub(crate) do_lower_case: bool,
    transformer_task: Option<String>,
    modality_config: Option<Value>,
    module_output_name: Option<String>,
    processing_kwargs: Option<Value>,
    #[serde(rename = "unpad_inputs")]
    _unpad_inputs: Option<bool>,
    query_length: Option<Value>,
    document_length: Option<Value>,
    query_expansion: Option<Value>,
    model_args: Option<Value>,
    tokenizer_args: Option<Value>,
    config_args: Option<Value>,
    /// Settings of the chat template, if inputs go through one.
    #[serde(skip)]
    pub(crate) chat: Option<ChatSettings>,
}

/// Reads the file of the transformer's settings: the first non-empty one.
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

/// Reads the settings of a transformer with this task. Without a list of modules there are none, and the inputs go through
/// the chat template, if there is one.
pub(crate) fn transformer_settings(
    folder: &Path,
    kind: Kind,
    task: Option<TransformerTask>,
) -> Result<TransformerSettings> {
    let Some(task) = task else {
        let chat = takes_messages(kind).then(ChatSettings::default);
        return Ok(TransformerSettings { chat, ..TransformerSettings::default() });
    };
    let Some(file) = transformer_file(folder)? else { return Ok(TransformerSettings::default()) };
    let mut settings: TransformerSettings = file.parse()?;
    settings.check(&file, kind, task)?;
    settings.chat = settings.chat_settings(&file)?;
    Ok(settings)
}

/// Returns true for kinds whose inputs may go through a chat template.
fn takes_messages(kind: Kind) -> bool {
    matches!(kind, Kind::Sentence | Kind::Reranker)
}

/// Key of `modality_config`: inputs go through the chat template.
const MESSAGE: &str = "message";
/// Key of `processing_kwargs`.
const CHAT_TEMPLATE: &str = "chat_template";
/// Key of `processing_kwargs` and of `modality_config`.
const TEXT: &str = "text";
/// Key of the arguments of a text, and its value for the model's greatest length.
const PADDING: &str = "padding";
const MAX_LENGTH: &str = "max_length";
/// Key of `model_args`.
const DEFAULT_TASK: &str = "default_task";

/// Returns a transformer's arguments without those that are read, or that change no result.
fn without_known(arguments: &Value) -> Value {
    let mut rest = arguments.clone();
    if let Some(rest) = rest.as_object_mut() {
        rest.retain(|key, value| !(key == "trust_remote_code" || key == DEFAULT_TASK && value.is_string()));
    }
    rest
}

impl TransformerSettings {
    /// Task of calls that name none.
    pub(crate) fn default_task(&self) -> Option<&str> {
        self.model_args.as_ref()?.get(DEFAULT_TASK)?.as_str()
    }

    /// Reads the settings of the chat template.
    fn chat_settings(&self, file: &JsonFile) -> Result<Option<ChatSettings>> {
        let Some(message) = self.modality_config.as_ref().and_then(|modalities| modalities.get(MESSAGE)) else {
            return Ok(None);
        };
        let arguments = self.processing_kwargs.as_ref().and_then(|kwargs| kwargs.get(CHAT_TEMPLATE));
        ChatSettings::read(file, message, arguments).map(Some)
    }

    /// Returns true if texts are padded to the model's greatest length, which models with an image tower see.
    pub(crate) fn pads_to_max(&self) -> bool {
        let text = self.processing_kwargs.as_ref().and_then(|kwargs| kwargs.get(TEXT));
        text.is_some_and(|text| text.get(PADDING).is_some_and(|padding| padding == MAX_LENGTH))
    }

    /// Returns the arguments of processing that aren't read and might change the results.
    fn unknown_processing(&self, task: TransformerTask) -> Option<Value> {
        let mut rest = self.processing_kwargs.clone()?;
        let templated = self.modality_config.as_ref().is_some_and(|modalities| modalities.get(MESSAGE).is_some());
        if let Some(rest) = rest.as_object_mut() {
            if let Some(Value::Object(text)) = rest.get_mut(TEXT)
                && task == TransformerTask::Features
            {
                // Without padding to the greatest length, a text is computed as in a batch of its own.
                text.retain(|key, value| key != PADDING || *value != MAX_LENGTH && !value.is_boolean());
            }
            rest.retain(|key, value| is_truthy(value) && !(templated && key == CHAT_TEMPLATE));
        }
        Some(rest)
    }

    /// Refuses unsupported settings that would change the results.
    fn check(&self, file: &JsonFile, kind: Kind, expected: TransformerTask) -> Result<()> {
        let refuse = |key: &str, got: &str, supported: &str| {
            Err(Error::unsupported(format!("{}: {key}", file.path.display()), got, supported))
        };
        if let Some(task) = self.transformer_task.as_deref().filter(|task| *task != expected.name()) {
            return refuse("transformer_task", task, expected.name());
        }
        if let Some(output) = self.module_output_name.as_deref().filter(|output| *output != expected.module_output()) {
            return refuse("module_output_name", output, expected.module_output());
        }
        if let Some(modalities) = &self.modality_config {
            // Inputs are texts; the ways of other modalities have no effect on them.
            let others = ["image", "audio", "video"];
            let known = |key: &String| key == "text" || key == MESSAGE && takes_messages(kind);
            let output = |entry: &Value| {
                let name = entry.get("method_output_name").and_then(Value::as_str);
                name.is_none_or(|name| name == expected.method_output())
            };
            let supported = modalities.as_object().is_some_and(|all| {
                let mut ways = all.iter().filter(|(key, _)| !others.contains(&key.as_str())).peekable();
                (all.is_empty() || ways.peek().is_some()) && ways.all(|(key, entry)| known(key) && output(entry))
            });
            if !supported {
                let message = if takes_messages(kind) { " or message" } else { "" };
                let supported = format!("text{message} with {}", expected.method_output());
                return refuse("modality_config", &modalities.to_string(), &supported);
            }
        }
        let unused = [
            ("processing_kwargs", &self.unknown_processing(expected)),
            ("model_args", &self.model_args.as_ref().map(without_known)),
            ("query_length", &self.query_length),
            ("document_length", &self.document_length),
            ("query_expansion", &self.query_expansion),
            ("tokenizer_args", &self.tokenizer_args),
            ("config_args", &self.config_args),
        ];
        // LateInteraction reads these.
        let late = |key: &str| kind == Kind::MultiVector && (key.starts_with("query_") || key == "document_length");
        // No code of the model runs, with this permission or without.
        let permission = |key: &str| key == "trust_remote_code";
        let says = |value: &Value| {
            !value.is_null() && value.as_object().is_none_or(|object| !object.keys().all(|key| permission(key)))
        };
        let unused = unused.iter().filter(|(key, _)| !late(key));
        match unused.into_iter().find_map(|(key, value)| value.as_ref().filter(|v| says(v)).map(|v| (*key, v))) {
            Some((key, value)) => refuse(key, &value.to_string(), "null"),
            None if self.max_seq_length == Some(0) => Err(file.error("max_seq_length", "must be at least 1, got 0")),
            None => Ok(()),
        }
    }
}
