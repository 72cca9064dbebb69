//! The backbones: from token ids to token embeddings. One architecture a file, each written in the ops' words.

mod albert;
mod bert;
mod deberta_v2;
mod decoder;
mod distance;
mod distilbert;
mod electra;
mod embeddings;
mod encoder;
mod eurobert;
mod gemma3;
mod gte;
mod jina_v3;
mod modernbert;
mod mpnet;
mod nomic_bert;
mod parameters;
mod post_norm;
mod qwen3;
mod rope;
mod t5;

use crate::config::{JsonFile, Kind, auto_map};
use crate::error::Result;
use crate::ops::{Cpu, DeviceBatch, Ops, Queries};
use crate::weights::Weights;

use embeddings::Embeddings;
use encoder::Encoder;
pub(crate) use parameters::Parameters;

/// Called before each layer; an error stops the forward pass.
pub(crate) type Checkpoint<'a> = dyn Fn() -> Result<()> + 'a;

/// A transformer. Families differ in the parts that they make it of.
pub(crate) struct Backbone<O: Ops> {
    embeddings: Embeddings<O>,
    encoder: Encoder<O>,
    limits: Limits,
}

impl<O: Ops> Backbone<O> {
    /// The embeddings of the tokens that are wanted, `(tokens, hidden_size)`.
    pub(crate) fn forward(
        &self,
        ops: &O,
        batch: &DeviceBatch<'_, O>,
        wanted: Queries,
        checkpoint: &Checkpoint<'_>,
    ) -> Result<O::Tensor> {
        self.encoder.forward(ops, self.embeddings.forward(ops, batch)?, batch, wanted, checkpoint)
    }

    /// How many layers it has.
    pub(crate) fn layers(&self) -> usize {
        self.encoder.layers()
    }

    /// Has it give a mean of all layers' outputs by these weights, the embeddings' first.
    pub(crate) fn mix(&mut self, weights: Vec<f32>, config: &JsonFile) -> Result<()> {
        // Else sentence-transformers has no layers to mix, and takes the last.
        if config.value.get("output_hidden_states") != Some(&true.into()) {
            return Err(config.error("output_hidden_states", "must be true for a WeightedLayerPooling module"));
        }
        if !self.encoder.mix(weights) {
            let supported = "with WeightedLayerPooling: families without a norm after the last layer";
            return Err(config.unsupported("model_type", model_type(config)?, supported));
        }
        Ok(())
    }

    /// What a caller must know of it.
    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }
}

/// What a backbone takes and gives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Columns of the token embeddings.
    pub(crate) hidden_size: usize,
    /// Rows of the embedding table: ids must be below.
    pub(crate) vocab_size: usize,
    /// Rows of the token type table, where there is one.
    pub(crate) type_vocab_size: Option<usize>,
    /// Tokens that a text may have at most, where that is limited.
    pub(crate) max_tokens: Option<usize>,
    /// As transformers' config says it, which may be more than `max_tokens`.
    pub(crate) max_position_embeddings: Option<usize>,
}

/// Makes a backbone of its config and weights.
type Load<O> = fn(&JsonFile, Weights, &O) -> Result<Backbone<O>>;

/// Every architecture by its `model_type`. A new family is a line here and a file beside.
fn families<O: Ops>() -> Vec<(&'static str, Load<O>)> {
    vec![
        ("albert", albert::load),
        ("bert", bert::load),
        ("camembert", bert::load_roberta),
        ("deberta-v2", deberta_v2::load),
        ("distilbert", distilbert::load),
        ("electra", electra::load),
        ("eurobert", eurobert::load),
        ("gemma3_text", gemma3::load),
        ("gte", gte::load),
        ("jina_embeddings_v3", jina_v3::load),
        ("modernbert", modernbert::load),
        ("mpnet", mpnet::load),
        ("nomic_bert", nomic_bert::load),
        ("qwen3", qwen3::load),
        ("roberta", bert::load_roberta),
        ("t5", t5::load),
        ("xlm-roberta", bert::load_roberta),
    ]
}

/// The `model_type` of a `config.json`.
pub(crate) fn model_type(config: &JsonFile) -> Result<&str> {
    match config.value.get("model_type") {
        Some(name) => name.as_str().ok_or_else(|| config.error("model_type", format!("must be a string, got {name}"))),
        None => Err(config.error("model_type", "is missing: it names the architecture")),
    }
}

/// Checks that there is a backbone for a `config.json`, before anything that it needs is read.
pub(crate) fn check(config: &JsonFile, kind: Kind) -> Result<()> {
    family::<Cpu>(config)?;
    auto_map::check(config, model_type(config)?, kind)
}

/// Loads the backbone that a `config.json` describes.
pub(crate) fn load<O: Ops>(config: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    family(config)?(config, weights, ops)
}

fn family<O: Ops>(config: &JsonFile) -> Result<Load<O>> {
    let name = model_type(config)?;
    let families = families::<O>();
    families.iter().find(|(family, _)| *family == name).map(|(_, load)| *load).ok_or_else(|| {
        let supported: Vec<_> = families.iter().map(|(name, _)| *name).collect();
        config.unsupported("model_type", name, &supported.join(", "))
    })
}
