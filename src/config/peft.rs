//! `adapter_config.json` of peft: an adapter of low rank (Hu et al., 2022) for the weights of a base model.

use std::path::{Path, PathBuf};

use fancy_regex::Regex;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{JsonFile, is_truthy};
use crate::error::{Error, Result};

/// Settings of an adapter.
pub(crate) struct PeftConfig {
    file: JsonFile,
    /// Name or folder of the base model.
    pub(crate) base: Option<String>,
    rank: usize,
    alpha: f64,
    /// Divides by the square root of the rank instead of the rank.
    rank_stabilized: bool,
    ranks: Patterns<usize>,
    alphas: Patterns<f64>,
}

/// Key of the patterns, and the value of each pattern that a module's path may match.
struct Patterns<T> {
    key: &'static str,
    values: Vec<(Regex, T)>,
}

/// Kinds of adapters and of modules that change the computation in other ways, or the base's weights.
const REFUSED: [&str; 8] = [
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "layer_replication",
    "target_parameters",
    "trainable_token_indices",
    "use_bdlora",
    "use_qalora",
];

/// Initializations that leave the base's weights as they are.
const INITIALIZATIONS: [&str; 3] = ["gaussian", "eva", "orthogonal"];

impl PeftConfig {
    pub(crate) const FILE: &str = "adapter_config.json";

    /// Reads the settings of the adapter in a folder, if there is one.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for adapters that can't be merged.
    pub(crate) fn read_if_there(folder: &Path) -> Result<Option<Self>> {
        let Some(file) = JsonFile::read_if_there(folder.join(Self::FILE))? else { return Ok(None) };
        file.parse::<Map<String, Value>>()?;
        refuse(&file)?;
        let rank = file.size("r", 8)?;
        Ok(Some(Self {
            base: file.get("base_model_name_or_path", None)?,
            rank,
            alpha: file.get("lora_alpha", 8.0)?,
            rank_stabilized: file.get("use_rslora", None)?.unwrap_or(false),
            ranks: Patterns::read(&file, "rank_pattern")?,
            alphas: Patterns::read(&file, "alpha_pattern")?,
            file,
        }))
    }

    /// Returns the path of the settings, for messages.
    pub(crate) fn path(&self) -> &PathBuf {
        &self.file.path
    }

    /// Returns the rank of a module's matrices, and the factor of their product.
    pub(crate) fn scaling(&self, module: &str) -> Result<(usize, f32)> {
        let rank = self.ranks.find(&self.file, module)?.unwrap_or(self.rank);
        let rank = self.file.positive(self.ranks.key, rank)?;
        let alpha = self.alphas.find(&self.file, module)?.unwrap_or(self.alpha);
        let divisor = if self.rank_stabilized { (rank as f64).sqrt() } else { rank as f64 };
        Ok((rank, (alpha / divisor) as f32))
    }
}

impl<T: DeserializeOwned + Copy> Patterns<T> {
    fn read(file: &JsonFile, key: &'static str) -> Result<Self> {
        let patterns: Option<serde_json::Map<String, Value>> = file.get(key, None)?;
        let compile = |(pattern, value): (String, Value)| {
            let key = format!("{key}.{pattern}");
            let regex = Regex::new(&format!(r"^(?:.*\.)?(?:{pattern})$"));
            let regex = regex.map_err(|error| file.error(&key, format!("must be a regular expression: {error}")))?;
            let value = serde_json::from_value(value).map_err(|error| file.error(&key, error.to_string()))?;
            Ok((regex, value))
        };
        let values = patterns.unwrap_or_default().into_iter().map(compile).collect::<Result<_>>()?;
        Ok(Self { key, values })
    }

    /// Returns the value of the first pattern that matches a module's path.
    fn find(&self, file: &JsonFile, module: &str) -> Result<Option<T>> {
        for (pattern, value) in &self.values {
            if pattern.is_match(module).map_err(|error| file.error(self.key, error.to_string()))? {
                return Ok(Some(*value));
            }
        }
        Ok(None)
    }
}

/// Refuses adapters that can't be merged by their kind.
fn refuse(file: &JsonFile) -> Result<()> {
    let adapter = |key: &str| format!("an adapter's {key}");
    let unsupported = |key: &str, got: String, supported: &str| -> Result<()> {
        Err(Error::unsupported(format!("{}: {}", file.path.display(), adapter(key)), got, supported))
    };
    match file.value.get("peft_type").and_then(Value::as_str) {
        Some("LORA") => {}
        other => {
            let supported =
                "LORA; merge others into their base model with peft's merge_and_unload, then save and load that";
            return unsupported("peft_type", other.unwrap_or("none").to_owned(), supported);
        }
    }
    for key in REFUSED {
        if let Some(value) = file.value.get(key).filter(|value| is_truthy(value)) {
            return unsupported(key, value.to_string(), "null");
        }
    }
    match file.value.get("init_lora_weights") {
        Some(Value::String(name)) if !INITIALIZATIONS.contains(&name.as_str()) => {
            let supported = "true, false, gaussian, eva, orthogonal, which leave the base's weights as they are";
            unsupported("init_lora_weights", name.clone(), supported)
        }
        _ => Ok(()),
    }
}
