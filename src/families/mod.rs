//! Families of transformers: from token ids to token embeddings, one architecture a file.
//!
//! A family is a value, [`Family`]: everything that tells it from the others. [`FAMILIES`] lists them.

/// Makes the `Load` of a function that is generic over the ops.
macro_rules! load_by {
    ($load:ident) => {
        $crate::families::Load {
            cpu: $load,
            #[cfg(feature = "portable")]
            portable: $load,
        }
    };
}

mod albert;
mod bert;
mod clip;
mod deberta_v2;
mod distilbert;
mod electra;
mod embedding_gemma2;
mod eurobert;
mod gemma;
mod gemma2;
mod gemma3;
mod gte;
pub(crate) mod heads;
mod jina_bert;
mod jina_v3;
mod lfm2;
mod llama;
mod llama_bidirec;
mod ministral3;
mod mistral;
mod modernbert;
mod mpnet;
mod nomic_bert;
mod qwen2;
mod qwen3;
mod remote_code;
mod siglip;
mod t5;

use serde_json::Value;

use crate::config::{JsonFile, TransformerTask};
use crate::error::{Error, Result};
use crate::heads::Feature;
use crate::images::{Defaults, ImageShape};
use crate::layers::Backbone;
#[cfg(feature = "portable")]
use crate::ops::Portable;
use crate::ops::{Cpu, Ops};
use crate::tokenize::class::DefaultClass;
use crate::weights::Weights;

use heads::{ClassificationHead, MaskedLmHead};
use remote_code::{NamedCode, RemoteCode};

/// Every family. A new one is a file beside this one and a line here.
static FAMILIES: &[Family] = &[
    albert::ALBERT,
    bert::BERT,
    jina_bert::JINA_BERT,
    qwen3::PPLX_QWEN3,
    bert::CAMEMBERT,
    clip::CLIP,
    deberta_v2::DEBERTA_V2,
    distilbert::DISTILBERT,
    electra::ELECTRA,
    embedding_gemma2::EMBEDDING_GEMMA2,
    embedding_gemma2::EMBEDDING_GEMMA2_TEXT,
    eurobert::EUROBERT,
    gemma::GEMMA,
    gemma2::GEMMA2,
    gemma3::GEMMA3,
    gte::GTE,
    gte::SNOWFLAKE_GTE,
    jina_v3::JINA_V3,
    lfm2::LFM2,
    llama::LLAMA,
    llama_bidirec::LLAMA_BIDIREC,
    ministral3::MINISTRAL3,
    mistral::MISTRAL,
    modernbert::MODERNBERT,
    mpnet::MPNET,
    gte::NEW,
    nomic_bert::NOMIC_BERT,
    qwen2::QWEN2,
    qwen2::GTE_QWEN2,
    qwen3::QWEN3,
    qwen3::VOYAGE_QWEN3,
    bert::ROBERTA,
    siglip::SIGLIP,
    t5::T5,
    bert::XLM_ROBERTA,
    jina_v3::JINA_XLM_ROBERTA,
];

/// An architecture, with its heads and its tokenizer.
pub(crate) struct Family {
    /// Its name in `config.json`. Families that share it differ in their `remote_code`.
    model_type: &'static str,
    load: Load,
    /// Its `…ForSequenceClassification`, if supported.
    classifier: Option<Describe<ClassificationHead>>,
    /// Its `…ForMaskedLM`, if supported.
    masked_lm: Option<Describe<MaskedLmHead>>,
    pub(crate) tokenizer: DefaultClass,
    /// Its image tower, if it embeds texts and images in one space.
    pub(crate) images: Option<ImageTower>,
    remote_code: RemoteCode,
}

/// Transformer for images beside a family's transformer for texts.
pub(crate) struct ImageTower {
    load: Load,
    /// Reads the sizes of its images.
    pub(crate) shape: fn(&JsonFile) -> Result<ImageShape>,
    pub(crate) processor: Defaults,
    /// Returns the token whose embedding is that of the text.
    pub(crate) text_feature: fn(&JsonFile) -> Result<Feature>,
}

/// Loads a backbone, with either version of the ops.
pub(crate) struct Load {
    cpu: LoadWith<Cpu>,
    #[cfg(feature = "portable")]
    portable: LoadWith<Portable>,
}

type LoadWith<O> = fn(&JsonFile, Weights, &O) -> Result<Backbone<O>>;

/// Reads the description of a head in `config.json`.
type Describe<T> = fn(&JsonFile) -> Result<T>;

/// Ops that families can be loaded with.
pub(crate) trait LoadOps: Ops {
    fn select(load: &Load) -> LoadWith<Self>;
}

impl LoadOps for Cpu {
    fn select(load: &Load) -> LoadWith<Self> {
        load.cpu
    }
}

#[cfg(feature = "portable")]
impl LoadOps for Portable {
    fn select(load: &Load) -> LoadWith<Self> {
        load.portable
    }
}

impl Family {
    /// Returns the family that a `config.json` names: by its `model_type` and by the code for this task.
    pub(crate) fn of(config: &JsonFile, task: TransformerTask) -> Result<&'static Self> {
        let key = "model_type";
        let model_type = match config.value.get(key) {
            Some(name) => name.as_str().ok_or_else(|| config.error(key, format!("must be a string, got {name}")))?,
            None => return Err(config.error(key, "is missing: it names the architecture")),
        };
        let code = NamedCode::read(config, task)?;
        let mut of_type = FAMILIES.iter().filter(|family| family.model_type == model_type).peekable();
        if of_type.peek().is_none() {
            return Err(config.unsupported(key, model_type, &names(|_| true)));
        }
        let found = of_type.find(|family| family.remote_code.is(&code));
        found.ok_or_else(|| code.unknown(config, model_type, task))
    }

    /// Returns its name for messages: the `model_type`, and the code where that tells it apart.
    fn name(&self) -> String {
        match self.remote_code.distinction() {
            Some(class) => format!("{} with {class}", self.model_type),
            None => self.model_type.to_owned(),
        }
    }

    /// Loads the backbone that a `config.json` of this family describes.
    pub(crate) fn load<O: LoadOps>(&self, config: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
        O::select(&self.load)(config, weights, ops)
    }

    /// Returns the task of a transformer of this family: embeddings of whole inputs, if it has an image tower.
    pub(crate) fn task(&self, task: TransformerTask) -> TransformerTask {
        match task {
            TransformerTask::FeatureExtraction if self.images.is_some() => TransformerTask::Features,
            other => other,
        }
    }

    /// Describes the head that a reranker needs.
    pub(crate) fn classification_head(&self, config: &JsonFile) -> Result<ClassificationHead> {
        // transformers reads the names of a classifier's folder.
        config.get::<Option<Vec<String>>>("architectures", None)?;
        check_architecture(config, "Reranker", "ForSequenceClassification", "sequence classifiers")?;
        let missing = || self.without_head(config, "Reranker", |family| family.classifier.is_some());
        self.classifier.ok_or_else(missing)?(config)
    }

    /// Describes the head that a sparse model needs.
    pub(crate) fn masked_lm_head(&self, config: &JsonFile) -> Result<MaskedLmHead> {
        check_architecture(config, "SparseModel", "ForMaskedLM", "masked language models")?;
        let missing = || self.without_head(config, "SparseModel", |family| family.masked_lm.is_some());
        self.masked_lm.ok_or_else(missing)?(config)
    }

    /// Returns true if a sparse model of this config weighs tokens by a classifier, which only published code does.
    pub(crate) fn weighs_tokens(&self, config: &JsonFile) -> bool {
        const SUFFIX: &str = "ForTokenClassification";
        let listed = config.value.get("architectures").and_then(Value::as_array).into_iter().flatten();
        let has_classifier = listed.filter_map(Value::as_str).any(|name| name.ends_with(SUFFIX));
        has_classifier && self.remote_code.classes().iter().any(|class| class.ends_with(SUFFIX))
    }

    fn without_head(&self, config: &JsonFile, model: &str, has: fn(&Self) -> bool) -> Error {
        let what = format!("{}: for {model}, model_type", config.path.display());
        Error::unsupported(what, self.name(), names(has))
    }
}

impl ImageTower {
    /// Loads the tower that a family's `config.json` describes.
    pub(crate) fn load<O: LoadOps>(&self, config: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
        O::select(&self.load)(config, weights, ops)
    }
}

/// Reads the config of a part of a model, an object in its `config.json`; absent means defaults.
fn part(config: &JsonFile, key: &str) -> Result<JsonFile> {
    let value = config.get(key, serde_json::Map::new())?.into();
    Ok(JsonFile { path: config.path.clone(), value })
}

/// Refuses a class of transformers that has another head. `kind` names the right ones.
fn check_architecture(config: &JsonFile, model: &str, suffix: &str, kind: &str) -> Result<()> {
    match config.architecture().filter(|name| !name.ends_with(suffix)) {
        Some(other) => {
            let what = format!("{}: for {model}, architecture", config.path.display());
            Err(Error::unsupported(what, other, format!("{kind} (names in …{suffix})")))
        }
        None => Ok(()),
    }
}

/// Returns the names of some families, for messages.
fn names(of: fn(&Family) -> bool) -> String {
    FAMILIES.iter().filter(|family| of(family)).map(Family::name).collect::<Vec<_>>().join(", ")
}
