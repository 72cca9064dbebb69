//! `config.json` of LogitScore, which scores a pair by the logits of one token or two.

use std::path::Path;

use serde_json::{Value, json};

use super::{JsonFile, TransformerTask};
use crate::error::Result;

/// Tokens whose logits score a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogitScoreConfig {
    /// Token of a relevant document.
    pub(crate) true_token: u32,
    /// Token whose logit is subtracted.
    pub(crate) false_token: Option<u32>,
}

impl LogitScoreConfig {
    /// Reads `config.json` in the module's folder.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let input = TransformerTask::TextGeneration.module_output();
        let file = JsonFile::read(folder.join("config.json"), "a LogitScore module needs it")?;
        file.parse::<serde_json::Map<String, Value>>()?;
        file.knows(&["true_token_id", "false_token_id", "module_input_name"])?;
        file.only("module_input_name", input)?;
        Ok(Self { true_token: file.required("true_token_id")?, false_token: file.get("false_token_id", None)? })
    }

    /// Returns the file's content.
    pub(crate) fn to_json(self) -> Value {
        json!({
            "true_token_id": self.true_token,
            "false_token_id": self.false_token,
            "module_input_name": TransformerTask::TextGeneration.module_output(),
        })
    }
}
