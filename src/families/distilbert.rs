//! DistilBERT (Sanh et al., 2019): BERT without token types, and with names of its own.

use serde::Deserialize;

use crate::config::{Activation, JsonFile};
use crate::error::Result;
use crate::layers::embeddings::{Embeddings, PositionRule};
use crate::layers::encoder::Encoder;
use crate::layers::post_norm::{Biases, EncoderShape, LayerNames, Projections, Up, layer};
use crate::layers::{Backbone, Limits, Parameters};
use crate::ops::{Attention, Ops};
use crate::weights::Weights;

/// `config.json`; what is absent is as in transformers' class.
#[derive(Deserialize)]
#[serde(default)]
struct Config {
    vocab_size: usize,
    dim: usize,
    n_layers: usize,
    n_heads: usize,
    hidden_dim: usize,
    activation: String,
    max_position_embeddings: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            vocab_size: 30_522,
            dim: 768,
            n_layers: 6,
            n_heads: 12,
            hidden_dim: 3072,
            activation: "gelu".to_owned(),
            max_position_embeddings: 512,
        }
    }
}

/// The eps of its norms is not configured.
const EPS: f32 = 1e-12;

const NAMES: LayerNames = LayerNames {
    query_key_value: Projections::Apart(["attention.q_lin", "attention.k_lin", "attention.v_lin"]),
    attention_output: "attention.out_lin",
    attention_norm: "sa_layer_norm",
    up: Up::Plain("ffn.lin1"),
    down: "ffn.lin2",
    output_norm: "output_layer_norm",
};

/// `model_type` distilbert.
pub(super) fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    let config: Config = file.parse()?;
    let shape = EncoderShape {
        layers: file.positive("n_layers", config.n_layers)?,
        heads: config.n_heads,
        hidden_size: file.positive("dim", config.dim)?,
        intermediate_size: file.positive("hidden_dim", config.hidden_dim)?,
        activation: Activation::from_transformers(&config.activation, &file.path, "activation")?,
        eps: EPS,
    };
    let vocab_size = file.positive("vocab_size", config.vocab_size)?;
    let max_tokens = file.positive("max_position_embeddings", config.max_position_embeddings)?;
    let (hidden_size, head_width) = (shape.hidden_size, shape.head_width(file, "n_heads")?);

    let weights = weights.behind("distilbert", "embeddings.word_embeddings.weight");
    let parameters = Parameters::new(&weights, ops);
    let tables = parameters.at("embeddings");
    let embeddings = Embeddings {
        positions: Some((tables.table("position_embeddings", max_tokens, hidden_size)?, PositionRule::FromZero)),
        norm: Some(tables.layer_norm("LayerNorm", hidden_size, EPS)?),
        ..Embeddings::of_words(tables.table("word_embeddings", vocab_size, hidden_size)?)
    };
    let layers = parameters.at("transformer.layer");
    let encoder = Encoder::load(shape.layers, |i| {
        layer(&layers.at(&i.to_string()), &shape, &NAMES, Biases::ALL, Attention::full(shape.heads, head_width))
    })?;
    let limits = Limits {
        hidden_size,
        vocab_size,
        type_vocab_size: None,
        max_tokens: Some(max_tokens),
        max_position_embeddings: Some(max_tokens),
    };
    Ok(Backbone { embeddings, encoder, limits })
}
