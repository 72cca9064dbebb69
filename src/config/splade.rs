//! `config.json` of a SpladePooling module.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::JsonFile;
use super::modules::DIMENSION;
use crate::error::{Error, Result};

/// Reduction of the weights that the tokens of a text give one token of the vocabulary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SpladePooling {
    #[default]
    Max,
    Sum,
}

/// Settings of a SpladePooling module. Weights are log(1 + relu(logit)).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SpladeConfig {
    pub(crate) pooling: SpladePooling,
    /// True if log(1 + x) is applied twice.
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

    /// Returns the file's content, with the keys that all versions know.
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
