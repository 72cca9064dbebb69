//! The families of transformers: from token ids to token embeddings. One architecture a file, each written in the ops' words.

mod albert;
mod bert;
mod deberta_v2;
mod distilbert;
mod electra;
mod eurobert;
mod gemma3;
mod gte;
mod jina_v3;
mod modernbert;
mod mpnet;
mod nomic_bert;
mod qwen3;
mod t5;

use crate::config::{JsonFile, Kind, auto_map};
use crate::error::Result;
use crate::layers::Backbone;
use crate::ops::{Cpu, Ops};
use crate::weights::Weights;

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
