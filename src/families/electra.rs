//! ELECTRA (Clark et al., 2020): BERT, its embeddings projected to the layers' width where they are narrower.

use serde::Deserialize;

use super::bert::{NAMES, WORDS};
use crate::config::{Activation, JsonFile};
use crate::error::Result;
use crate::layers::embeddings::{Embeddings, PositionRule};
use crate::layers::encoder::Encoder;
use crate::layers::post_norm::{Biases, EncoderShape, layer};
use crate::layers::{Backbone, Limits, Parameters};
use crate::ops::{Attention, Ops};
use crate::weights::Weights;

/// `config.json`; what is absent is as in transformers' class.
#[derive(Deserialize)]
#[serde(default)]
struct Config {
    vocab_size: usize,
    embedding_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    hidden_act: String,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    layer_norm_eps: f64,
    position_embedding_type: Option<String>,
    is_decoder: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            vocab_size: 30_522,
            embedding_size: 128,
            hidden_size: 256,
            num_hidden_layers: 12,
            num_attention_heads: 4,
            intermediate_size: 1024,
            hidden_act: "gelu".to_owned(),
            max_position_embeddings: 512,
            type_vocab_size: 2,
            layer_norm_eps: 1e-12,
            position_embedding_type: None,
            is_decoder: false,
        }
    }
}

/// `model_type` electra.
pub(super) fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    let config: Config = file.parse()?;
    if let Some(kind) = config.position_embedding_type.filter(|kind| kind != "absolute") {
        return Err(file.unsupported("position_embedding_type", kind, "absolute"));
    }
    if config.is_decoder {
        return Err(file.unsupported("is_decoder", "true", "false"));
    }
    let shape = EncoderShape {
        layers: file.positive("num_hidden_layers", config.num_hidden_layers)?,
        heads: config.num_attention_heads,
        hidden_size: file.positive("hidden_size", config.hidden_size)?,
        intermediate_size: file.positive("intermediate_size", config.intermediate_size)?,
        activation: Activation::from_transformers(&config.hidden_act, &file.path, "hidden_act")?,
        eps: file.eps("layer_norm_eps", config.layer_norm_eps)?,
    };
    let width = file.positive("embedding_size", config.embedding_size)?;
    let vocab_size = file.positive("vocab_size", config.vocab_size)?;
    let type_vocab_size = file.positive("type_vocab_size", config.type_vocab_size)?;
    let positions = file.positive("max_position_embeddings", config.max_position_embeddings)?;
    let (hidden_size, head_width) = (shape.hidden_size, shape.head_width(file, "num_attention_heads")?);

    let weights = weights.behind("electra", WORDS);
    let parameters = Parameters::new(&weights, ops);
    let tables = parameters.at("embeddings");
    let project = || parameters.linear("embeddings_project", width, hidden_size);
    let embeddings = Embeddings {
        token_types: Some(tables.table("token_type_embeddings", type_vocab_size, width)?),
        positions: Some((tables.table("position_embeddings", positions, width)?, PositionRule::FromZero)),
        norm: Some(tables.layer_norm("LayerNorm", width, shape.eps)?),
        projection: (width != hidden_size).then(project).transpose()?,
        ..Embeddings::of_words(tables.table("word_embeddings", vocab_size, width)?)
    };
    let layers = parameters.at("encoder.layer");
    let encoder = Encoder::load(shape.layers, |i| {
        layer(&layers.at(&i.to_string()), &shape, &NAMES, Biases::ALL, Attention::full(shape.heads, head_width))
    })?;
    let limits = Limits {
        hidden_size,
        vocab_size,
        type_vocab_size: Some(type_vocab_size),
        max_tokens: Some(positions),
        max_position_embeddings: Some(positions),
    };
    Ok(Backbone { embeddings, encoder, limits })
}
