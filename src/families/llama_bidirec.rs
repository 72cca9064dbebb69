//! NVIDIA's bidirectional Llama (Moreira et al., 2024): Llama's layers (Touvron et al., 2023), whose queries see the whole
//! text.

use super::heads::{ClassificationHead, Summary};
use super::llama::shape;
use super::{Family, RemoteCode};
use crate::config::JsonFile;
use crate::error::Result;
use crate::layers::rope::Rope;
use crate::layers::{Backbone, Parameters};
use crate::ops::Ops;
use crate::tokenize::class::{self, DefaultClass};
use crate::weights::Weights;

pub(super) const LLAMA_BIDIREC: Family = Family {
    model_type: "llama_bidirec",
    load: load_by!(load),
    classifier: Some(classifier),
    masked_lm: None,
    tokenizer: DefaultClass::Undeclared(&class::GENERIC),
    images: None,
    remote_code: RemoteCode::Same(&[
        "LlamaBidirectionalConfig",
        "LlamaBidirectionalModel",
        "LlamaBidirectionalForSequenceClassification",
    ]),
};

fn classifier(file: &JsonFile) -> Result<ClassificationHead> {
    file.only("pooling", "avg")?;
    let key = "temperature";
    let temperature: f64 = file.get(key, 1.0)?;
    if !((1.0 / temperature) as f32).is_normal() {
        return Err(file.error(key, format!("must be a number other than 0, got {temperature}")));
    }
    Ok(ClassificationHead {
        summary: Summary::Mean,
        temperature: temperature as f32,
        ..ClassificationHead::last("score")
    })
}

fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    let shape = shape(file)?;
    let rotary = Rope::read(file, 10_000.0, shape.heads.width, shape.max_position_embeddings)?.rotary()?;
    let weights = weights.behind("model", "embed_tokens.weight");
    shape.load(&Parameters::new(&weights, ops), |_, layer| {
        shape.layer(layer, "post_attention_layernorm", shape.attention(&rotary))
    })
}
