//! The `config.json` of a SpladePooling module.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::JsonFile;
use super::modules::DIMENSION;
use crate::error::{Error, Result};

/// How the weights of a vocabulary's token, one for each token of a text, become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SpladePooling {
    #[default]
    Max,
    Sum,
}

/// Weights are log(1 + relu(logit)).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SpladeConfig {
    pub(crate) pooling: SpladePooling,
    /// Whether they are log(1 + that).
    pub(crate) twice: bool,
}

impl SpladeConfig {
    /// Reads `config.json` in the module's folder.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Raw {
            #[serde(default = "max")]
            pooling_strategy: String,
            #[serde(default = "relu")]
            activation_function: String,
        }
        fn max() -> String {
            "max".to_owned()
        }
        fn relu() -> String {
            "relu".to_owned()
        }
        let file = JsonFile::read(folder.join("config.json"), "a SpladePooling module needs it")?;
        let raw: Raw = file.parse()?;
        let keys = ["pooling_strategy", "activation_function", "chunk_size"].into_iter().chain(DIMENSION);
        file.knows(&keys.collect::<Vec<_>>())?;
        let refuse = |key: &str, got: &str, supported: &str| {
            Err(Error::unsupported(format!("{}: {key}", file.path.display()), got, supported))
        };
        let pooling = match raw.pooling_strategy.as_str() {
            "max" => SpladePooling::Max,
            "sum" => SpladePooling::Sum,
            other => return refuse("pooling_strategy", other, "max, sum"),
        };
        let twice = match raw.activation_function.as_str() {
            "relu" => false,
            "log1p_relu" => true,
            other => return refuse("activation_function", other, "relu, log1p_relu"),
        };
        Ok(Self { pooling, twice })
    }

    /// The file's content, in the keys that all versions know.
    pub(crate) fn to_json(self, width: usize) -> Value {
        let pooling = match self.pooling {
            SpladePooling::Max => "max",
            SpladePooling::Sum => "sum",
        };
        json!({
            "pooling_strategy": pooling,
            "activation_function": if self.twice { "log1p_relu" } else { "relu" },
            "word_embedding_dimension": width,
        })
    }
}
