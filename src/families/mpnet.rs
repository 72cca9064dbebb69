//! MPNet (Song et al., 2020): BERT without token types, with biases on the attention scores by bucketed distance, which
//! all layers share.

use std::sync::Arc;

use serde::Deserialize;

use crate::config::{Activation, JsonFile};
use crate::error::Result;
use crate::layers::distance::Buckets;
use crate::layers::embeddings::{Embeddings, PositionRule};
use crate::layers::encoder::Encoder;
use crate::layers::post_norm::{Biases, EncoderShape, LayerNames, Projections, Up, layer};
use crate::layers::{Backbone, Limits, Parameters};
use crate::ops::{Attention, Ops, Relative};
use crate::weights::Weights;

/// `config.json`; what is absent is as in transformers' class.
#[derive(Deserialize)]
#[serde(default)]
struct Config {
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    hidden_act: String,
    max_position_embeddings: usize,
    layer_norm_eps: f64,
    relative_attention_num_buckets: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            vocab_size: 30_527,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: "gelu".to_owned(),
            max_position_embeddings: 512,
            layer_norm_eps: 1e-12,
            relative_attention_num_buckets: 32,
        }
    }
}

/// Where positions begin is not configured.
const POSITIONS: PositionRule = PositionRule::AfterPadding { pad: 1 };
/// The distance from which on all share the last bucket.
const MAX_DISTANCE: usize = 128;

const NAMES: LayerNames = LayerNames {
    query_key_value: Projections::Apart(["attention.attn.q", "attention.attn.k", "attention.attn.v"]),
    attention_output: "attention.attn.o",
    attention_norm: "attention.LayerNorm",
    up: Up::Plain("intermediate.dense"),
    down: "output.dense",
    output_norm: "output.LayerNorm",
};

/// `model_type` mpnet.
pub(super) fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    let config: Config = file.parse()?;
    let shape = EncoderShape {
        layers: file.positive("num_hidden_layers", config.num_hidden_layers)?,
        heads: config.num_attention_heads,
        hidden_size: file.positive("hidden_size", config.hidden_size)?,
        intermediate_size: file.positive("intermediate_size", config.intermediate_size)?,
        activation: Activation::from_transformers(&config.hidden_act, &file.path, "hidden_act")?,
        eps: file.eps("layer_norm_eps", config.layer_norm_eps)?,
    };
    let vocab_size = file.positive("vocab_size", config.vocab_size)?;
    let (hidden_size, head_width) = (shape.hidden_size, shape.head_width(file, "num_attention_heads")?);
    let max_tokens = POSITIONS.room(file, config.max_position_embeddings)?;
    let buckets = Buckets::new(
        file,
        ("relative_attention_num_buckets", config.relative_attention_num_buckets),
        ("(max distance)", MAX_DISTANCE),
    )?;

    let weights = weights.behind("mpnet", "embeddings.word_embeddings.weight");
    let parameters = Parameters::new(&weights, ops);
    let tables = parameters.at("embeddings");
    let positions = tables.table("position_embeddings", config.max_position_embeddings, hidden_size)?;
    let by_bucket = parameters.array("encoder.relative_attention_bias.weight", &[buckets.count, shape.heads])?;
    let bias =
        Arc::new(ops.distance_bias(buckets.by_distance(file, "max_position_embeddings", &by_bucket, max_tokens)?)?);
    let embeddings = Embeddings {
        positions: Some((positions, POSITIONS)),
        norm: Some(tables.layer_norm("LayerNorm", hidden_size, shape.eps)?),
        ..Embeddings::of_words(tables.table("word_embeddings", vocab_size, hidden_size)?)
    };
    let layers = parameters.at("encoder.layer");
    let encoder = Encoder::load(shape.layers, |i| {
        let relative = Relative::Bias(Arc::clone(&bias));
        let attention = Attention { relative, ..Attention::full(shape.heads, head_width) };
        layer(&layers.at(&i.to_string()), &shape, &NAMES, Biases::ALL, attention)
    })?;
    let limits = Limits {
        hidden_size,
        vocab_size,
        type_vocab_size: None,
        max_tokens: Some(max_tokens),
        max_position_embeddings: Some(config.max_position_embeddings),
    };
    Ok(Backbone { embeddings, encoder, limits })
}
