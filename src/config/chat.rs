//! Settings of chat templates in `sentence_bert_config.json`.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{JsonFile, WHOLE_FILE, is_truthy, read_if_there};
use crate::error::{Error, Result};

/// Form of a message's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessageFormat {
    /// A string.
    Flat,
    /// A list of parts, each with its type.
    Structured,
}

impl MessageFormat {
    /// Returns the name in `sentence_bert_config.json`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Flat => "flat",
            Self::Structured => "structured",
        }
    }
}

/// Settings of the chat template that every input goes through.
#[derive(Clone, Debug)]
pub(crate) struct ChatSettings {
    /// `None` is the format that the template's text suggests.
    pub(crate) format: Option<MessageFormat>,
    /// Variables of the template.
    pub(crate) variables: Map<String, Value>,
    /// Puts the template's tail back where truncation cuts it off.
    pub(crate) restore_suffix: bool,
}

impl Default for ChatSettings {
    fn default() -> Self {
        Self { format: None, variables: Map::new(), restore_suffix: true }
    }
}

const RESTORE: &str = "restore_suffix";
/// Arguments that have no effect on the tokens of one input.
const OF_BATCHES: [&str; 2] = ["padding", "return_tensors"];
/// Arguments that transformers doesn't pass to the template, and that change the tokens.
const REFUSED: [&str; 5] = ["truncation", "max_length", "chat_template", "continue_final_message", "tokenizer_kwargs"];

impl ChatSettings {
    /// Reads the `message` entry of `modality_config`, and the template's arguments in `processing_kwargs`.
    pub(super) fn read(file: &JsonFile, message: &Value, arguments: Option<&Value>) -> Result<Self> {
        let key = "modality_config.message.format";
        let format = match message.get("format").and_then(Value::as_str) {
            Some("flat") => Some(MessageFormat::Flat),
            Some("structured") => Some(MessageFormat::Structured),
            None if message.get("format").is_none() => None,
            Some("auto") => None,
            _ => return Err(file.unsupported(key, message["format"].to_string(), "flat, structured, auto")),
        };
        let mut variables = match arguments {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(arguments)) => arguments.clone(),
            Some(other) => return Err(file.mismatch("processing_kwargs.chat_template", "an object", other)),
        };
        for key in REFUSED {
            if let Some(value) = variables.get(key).filter(|value| !value.is_null()) {
                let key = format!("processing_kwargs.chat_template.{key}");
                return Err(file.unsupported(&key, value.to_string(), "null"));
            }
        }
        variables.retain(|key, _| !OF_BATCHES.contains(&key.as_str()) && !REFUSED.contains(&key.as_str()));
        let restore_suffix = variables.shift_remove(RESTORE).is_none_or(|value| is_truthy(&value));
        Ok(Self { format, variables, restore_suffix })
    }

    /// Returns the template's arguments as `processing_kwargs` has them.
    pub(crate) fn arguments(&self) -> Map<String, Value> {
        let mut arguments = self.variables.clone();
        if !self.restore_suffix {
            arguments.insert(RESTORE.to_owned(), false.into());
        }
        arguments
    }
}

/// Source text of a chat template, and its place for messages.
pub(crate) struct TemplateSource {
    pub(crate) text: String,
    pub(crate) file: PathBuf,
    pub(crate) key: &'static str,
}

impl TemplateSource {
    /// Name of the file that holds only a template.
    pub(crate) const FILE: &str = "chat_template.jinja";

    /// Reads the template of a tokenizer's folder, if it has one: `chat_template.jinja`, else the entry of
    /// `tokenizer_config.json`.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>> {
        const KEY: &str = "chat_template";
        let file = folder.join(Self::FILE);
        if let Some(bytes) = read_if_there(&file)? {
            let text = String::from_utf8(bytes)
                .map_err(|error| Error::config(&file, WHOLE_FILE, format!("must be UTF-8: {}", error.utf8_error())))?;
            return Ok(Some(Self { text, file, key: WHOLE_FILE }));
        }
        let Some(config) = JsonFile::read_if_there(folder.join("tokenizer_config.json"))? else { return Ok(None) };
        let text = match config.value.get(KEY) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(named)) => {
                let default = named.iter().find(|entry| entry.get("name").is_some_and(|name| name == "default"));
                let text = default.and_then(|entry| entry.get("template")).and_then(Value::as_str);
                text.ok_or_else(|| config.error(KEY, "must have an entry named \"default\" with a template"))?
                    .to_owned()
            }
            Some(other) => return Err(config.mismatch(KEY, "a template, or a list of named ones", other)),
        };
        Ok(Some(Self { text, file: config.path, key: KEY }))
    }
}
