//! `config.json` of the modules that follow a transformer.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Activation, JsonFile, ModuleEntry, TransformerTask, is_truthy, object, truthy};
use crate::error::{Error, Result};

/// Reduction of a text's token embeddings to one vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum PoolingMode {
    /// The first token's embedding.
    #[serde(rename = "cls")]
    Cls,
    /// The maximum of each column.
    #[serde(rename = "max")]
    Max,
    /// The mean.
    #[serde(rename = "mean")]
    Mean,
    /// The sum divided by the square root of the number of tokens.
    #[serde(rename = "mean_sqrt_len_tokens")]
    MeanSqrtLen,
    /// The mean with weights of 1, 2, 3, … from the first token to the last.
    #[serde(rename = "weightedmean")]
    WeightedMean,
    /// The last token's embedding.
    #[serde(rename = "lasttoken")]
    LastToken,
}

impl PoolingMode {
    /// All modes.
    pub const ALL: [Self; 6] =
        [Self::Cls, Self::Max, Self::Mean, Self::MeanSqrtLen, Self::WeightedMean, Self::LastToken];

    fn name(self) -> &'static str {
        match self {
            Self::Cls => "cls",
            Self::Max => "max",
            Self::Mean => "mean",
            Self::MeanSqrtLen => "mean_sqrt_len_tokens",
            Self::WeightedMean => "weightedmean",
            Self::LastToken => "lasttoken",
        }
    }
}

impl fmt::Display for PoolingMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for PoolingMode {
    type Err = Error;

    /// Parses sentence-transformers' name, such as `mean`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an unknown name.
    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::argument("pooling", format!("must be one of {known}, got {name:?}"))
        })
    }
}

/// Flags of old configs with their modes, in the order in which the modes' vectors are concatenated.
const FLAGS: [(&str, PoolingMode); 6] = [
    ("pooling_mode_cls_token", PoolingMode::Cls),
    ("pooling_mode_max_tokens", PoolingMode::Max),
    ("pooling_mode_mean_tokens", PoolingMode::Mean),
    ("pooling_mode_mean_sqrt_len_tokens", PoolingMode::MeanSqrtLen),
    ("pooling_mode_weightedmean_tokens", PoolingMode::WeightedMean),
    ("pooling_mode_lasttoken", PoolingMode::LastToken),
];

/// Settings of a Pooling module: the modes, whose vectors are concatenated.
#[derive(Clone, Debug)]
pub(crate) struct PoolingConfig {
    pub(crate) modes: Vec<PoolingMode>,
    /// True if the prompt's tokens are pooled too.
    pub(crate) include_prompt: bool,
}

impl PoolingConfig {
    /// Reads `config.json` in the module's folder, in its new or its old form.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Modes {
            One(PoolingMode),
            Several(Vec<PoolingMode>),
        }
        #[derive(Deserialize)]
        struct Raw {
            #[serde(default = "yes", deserialize_with = "truthy")]
            include_prompt: bool,
        }
        let file = JsonFile::read(folder.join("config.json"), "a Pooling module needs it")?;
        let raw: Raw = file.parse()?;
        let keys = ["include_prompt", "pooling_mode"].into_iter().chain(DIMENSION).chain(FLAGS.map(|(flag, _)| flag));
        file.knows(&keys.collect::<Vec<_>>())?;
        if dimension(&file)?.is_null() {
            return Err(file.error("embedding_dimension", "must be the transformer's hidden size, got null"));
        }
        let modes = match file.value.get("pooling_mode") {
            Some(modes) => match serde_json::from_value(modes.clone()) {
                Ok(Modes::One(mode)) => vec![mode],
                Ok(Modes::Several(modes)) if modes.len() > FLAGS.len() => {
                    let problem = format!("must be at most {} modes, got {}", FLAGS.len(), modes.len());
                    return Err(file.error("pooling_mode", problem));
                }
                Ok(Modes::Several(modes)) if !modes.is_empty() => modes,
                _ => {
                    let what = format!("{}: pooling_mode", file.path.display());
                    let supported = "cls, max, mean, mean_sqrt_len_tokens, weightedmean, lasttoken, or a list of them";
                    return Err(Error::unsupported(what, modes.to_string(), supported));
                }
            },
            None => Self::by_flags(&file),
        };
        Ok(Self { modes, include_prompt: raw.include_prompt })
    }

    /// Returns the file's content in the old form, unless the modes are in another order than the old form's flags.
    pub(crate) fn to_json(&self, hidden_size: usize) -> Value {
        let mut settings = serde_json::Map::new();
        settings.insert("word_embedding_dimension".to_owned(), hidden_size.into());
        settings.insert("include_prompt".to_owned(), self.include_prompt.into());
        let set = FLAGS.map(|(flag, mode)| (flag, self.modes.contains(&mode)));
        if FLAGS.iter().filter(|(_, mode)| self.modes.contains(mode)).map(|(_, mode)| mode).eq(&self.modes) {
            settings.extend(set.map(|(flag, on)| (flag.to_owned(), on.into())));
        } else {
            settings.remove("word_embedding_dimension");
            settings.insert("embedding_dimension".to_owned(), hidden_size.into());
            let names: Vec<_> = self.modes.iter().map(|mode| mode.name()).collect();
            settings.insert("pooling_mode".to_owned(), names.into());
        }
        settings.into()
    }

    fn by_flags(file: &JsonFile) -> Vec<PoolingMode> {
        let is_set = |flag: &str| file.value.get(flag).is_some_and(is_truthy);
        let modes: Vec<_> = FLAGS.iter().filter(|(flag, _)| is_set(flag)).map(|(_, mode)| *mode).collect();
        if modes.is_empty() { vec![PoolingMode::Mean] } else { modes }
    }
}

fn yes() -> bool {
    true
}

/// Newer and older key of the width of a module's input.
pub(super) const DIMENSION: [&str; 2] = ["embedding_dimension", "word_embedding_dimension"];

/// Returns that width, which must be present. It is informative: nothing is computed from it.
fn dimension(file: &JsonFile) -> Result<&Value> {
    let value = DIMENSION.iter().find_map(|key| file.value.get(key));
    value.ok_or_else(|| file.error(DIMENSION[0], "is missing; must be the transformer's hidden size"))
}

/// Settings of a WeightedLayerPooling module: a weighted mean of several layers' token embeddings.
#[derive(Clone, Debug)]
pub(crate) struct LayerPoolingConfig {
    /// The first layer of the mean; the embeddings are layer 0.
    pub(crate) first: usize,
    pub(crate) layers: usize,
}

impl LayerPoolingConfig {
    /// Reads `config.json` in the module's folder, for a transformer with `layers` layers.
    pub(crate) fn read(folder: &Path, layers: usize) -> Result<Self> {
        #[derive(Deserialize)]
        struct Raw {
            #[serde(default = "twelve")]
            num_hidden_layers: usize,
            #[serde(default = "four")]
            layer_start: usize,
        }
        fn twelve() -> usize {
            12
        }
        fn four() -> usize {
            4
        }
        let file = JsonFile::read(folder.join("config.json"), "a WeightedLayerPooling module needs it")?;
        let raw: Raw = file.parse()?;
        let keys = ["num_hidden_layers", "layer_start"].into_iter().chain(DIMENSION);
        file.knows(&keys.collect::<Vec<_>>())?;
        dimension(&file)?;
        if raw.num_hidden_layers != layers {
            let problem =
                format!("must equal the transformer's number of layers ({layers}), got {}", raw.num_hidden_layers);
            return Err(file.error("num_hidden_layers", problem));
        }
        if raw.layer_start > layers {
            return Err(file.error(
                "layer_start",
                format!("must be at most num_hidden_layers ({layers}), got {}", raw.layer_start),
            ));
        }
        Ok(Self { first: raw.layer_start, layers })
    }
}

/// Input and output of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ModuleInput {
    Sentences,
    /// Sentence embeddings, of which the module makes a reranker's scores.
    SentencesForScores,
    Tokens,
}

/// Keys of a module's file that name its input and its output. The default of the output is the input.
const INPUT: &str = "module_input_name";
const OUTPUT: &str = "module_output_name";

impl ModuleInput {
    fn name(self) -> &'static str {
        match self {
            Self::Sentences | Self::SentencesForScores => "sentence_embedding",
            Self::Tokens => "token_embeddings",
        }
    }

    fn output(self) -> &'static str {
        match self {
            Self::Sentences | Self::Tokens => self.name(),
            Self::SentencesForScores => TransformerTask::SequenceClassification.module_output(),
        }
    }

    /// Returns the keys of a module's file that name them: none for the default, the only one that old versions know.
    pub(crate) fn settings(self) -> Map<String, Value> {
        match self {
            Self::Sentences => Map::new(),
            Self::SentencesForScores | Self::Tokens => {
                object([(INPUT, self.name().into()), (OUTPUT, self.output().into())])
            }
        }
    }

    /// Checks the names in a module's file.
    fn check(self, file: &JsonFile, input: Option<&str>, output: Option<&str>) -> Result<()> {
        let input = input.unwrap_or(self.name());
        for (key, name, expected) in [(INPUT, input, self.name()), (OUTPUT, output.unwrap_or(input), self.output())] {
            if name != expected {
                return Err(Error::unsupported(format!("{}: {key}", file.path.display()), name, expected));
            }
        }
        Ok(())
    }
}

/// Settings of a Dense module: a linear layer with an activation.
#[derive(Clone, Debug)]
pub(crate) struct DenseConfig {
    pub(crate) in_features: usize,
    pub(crate) out_features: usize,
    pub(crate) bias: bool,
    pub(crate) activation: Activation,
    pub(crate) residual: bool,
}

impl DenseConfig {
    /// Reads the module's `config.json`; `width` is the width of the module's input.
    pub(crate) fn read(entry: &ModuleEntry, on: ModuleInput, width: usize) -> Result<Self> {
        #[derive(Deserialize)]
        struct Raw {
            in_features: usize,
            out_features: usize,
            #[serde(default = "yes", deserialize_with = "truthy")]
            bias: bool,
            #[serde(default = "tanh")]
            activation_function: String,
            #[serde(default, deserialize_with = "truthy")]
            use_residual: bool,
            #[serde(default)]
            module_input_name: Option<String>,
            #[serde(default)]
            module_output_name: Option<String>,
        }
        fn tanh() -> String {
            "torch.nn.modules.activation.Tanh".to_owned()
        }
        let file = JsonFile::read(entry.folder.join("config.json"), "a Dense module needs it")?;
        let raw: Raw = file.parse()?;
        if !entry.on_tokens {
            on.check(&file, raw.module_input_name.as_deref(), raw.module_output_name.as_deref())?;
        }
        if raw.in_features != width {
            let problem = format!("must equal the width of the module's input ({width}), got {}", raw.in_features);
            return Err(file.error("in_features", problem));
        }
        Ok(Self {
            in_features: raw.in_features,
            out_features: file.positive("out_features", raw.out_features)?,
            bias: raw.bias,
            activation: Activation::from_torch(&raw.activation_function, &file.path, "activation_function")?,
            residual: raw.use_residual,
        })
    }
}

/// Settings of a LayerNorm module.
pub(crate) struct LayerNormConfig;

impl LayerNormConfig {
    /// Epsilon of the norm: torch's default, which the module always uses.
    pub(crate) const EPS: f32 = 1e-5;

    /// Checks `config.json` in the module's folder; `width` is the width of the module's input, a sentence embedding.
    pub(crate) fn check(folder: &Path, on: ModuleInput, width: usize) -> Result<()> {
        #[derive(Deserialize)]
        struct Raw {
            dimension: usize,
        }
        let file = JsonFile::read(folder.join("config.json"), "a LayerNorm module needs it")?;
        let raw: Raw = file.parse()?;
        file.knows(&["dimension"])?;
        on.check(&file, Some(ModuleInput::Sentences.name()), None)?;
        if raw.dimension == width {
            return Ok(());
        }
        Err(file
            .error("dimension", format!("must equal the width of the module's input ({width}), got {}", raw.dimension)))
    }
}

/// Settings of a Normalize module: L2 normalization.
pub(crate) struct NormalizeConfig;

impl NormalizeConfig {
    /// Returns true if the module normalizes the sentence embedding, which is the default.
    pub(super) fn is_of_sentences(folder: &Path) -> Result<bool> {
        let read = Self::read(folder)?;
        Ok(read.is_none_or(|(_, raw)| raw.module_input_name == ModuleInput::Sentences.name()))
    }

    /// Checks `config.json` in the module's folder, which is often absent.
    pub(crate) fn check(folder: &Path, on: ModuleInput) -> Result<()> {
        match Self::read(folder)? {
            Some((file, raw)) => on.check(&file, Some(&raw.module_input_name), raw.module_output_name.as_deref()),
            None => Ok(()),
        }
    }

    fn read(folder: &Path) -> Result<Option<(JsonFile, RawNormalize)>> {
        let Some(file) = JsonFile::read_if_there(folder.join("config.json"))? else { return Ok(None) };
        let raw = file.parse()?;
        Ok(Some((file, raw)))
    }
}

#[derive(Deserialize)]
struct RawNormalize {
    #[serde(default = "of_sentences")]
    module_input_name: String,
    #[serde(default)]
    module_output_name: Option<String>,
}

fn of_sentences() -> String {
    ModuleInput::Sentences.name().to_owned()
}
