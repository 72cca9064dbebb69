//! ALBERT (Lan et al., 2020): BERT with embeddings narrower than its layers, and few layers that are used again and again.

use std::sync::Arc;

use serde::Deserialize;

use crate::config::{Activation, JsonFile};
use crate::error::Result;
use crate::layers::embeddings::{Embeddings, PositionRule};
use crate::layers::encoder::Encoder;
use crate::layers::post_norm::{Biases, EncoderShape, LayerNames, Projections, Up, layer};
use crate::layers::{Backbone, Limits, Parameters};
use crate::ops::{Attention, Ops};
use crate::threads::intra_op::parallel_map;
use crate::weights::Weights;

/// `config.json`; what is absent is as in transformers' class.
#[derive(Deserialize)]
#[serde(default)]
struct Config {
    vocab_size: usize,
    embedding_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_hidden_groups: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    inner_group_num: usize,
    hidden_act: String,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    layer_norm_eps: f64,
    position_embedding_type: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            vocab_size: 30_000,
            embedding_size: 128,
            hidden_size: 4096,
            num_hidden_layers: 12,
            num_hidden_groups: 1,
            num_attention_heads: 64,
            intermediate_size: 16_384,
            inner_group_num: 1,
            hidden_act: "gelu_new".to_owned(),
            max_position_embeddings: 512,
            type_vocab_size: 2,
            layer_norm_eps: 1e-12,
            position_embedding_type: None,
        }
    }
}

const NAMES: LayerNames = LayerNames {
    query_key_value: Projections::Apart(["attention.query", "attention.key", "attention.value"]),
    attention_output: "attention.dense",
    attention_norm: "attention.LayerNorm",
    up: Up::Plain("ffn"),
    down: "ffn_output",
    output_norm: "full_layer_layer_norm",
};

/// Layers that are used one after the other; none is known with more.
const MOST_LAYERS: usize = 1000;

/// `model_type` albert.
pub(super) fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    let config: Config = file.parse()?;
    if let Some(kind) = config.position_embedding_type.as_deref().filter(|kind| *kind != "absolute") {
        return Err(file.unsupported("position_embedding_type", kind, "absolute"));
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
    let order = order(file, &config)?;

    let weights = weights.behind("albert", "embeddings.word_embeddings.weight");
    let parameters = Parameters::new(&weights, ops);
    let tables = parameters.at("embeddings");
    let embeddings = Embeddings {
        token_types: Some(tables.table("token_type_embeddings", type_vocab_size, width)?),
        positions: Some((tables.table("position_embeddings", positions, width)?, PositionRule::FromZero)),
        norm: Some(tables.layer_norm("LayerNorm", width, shape.eps)?),
        projection: Some(parameters.linear("encoder.embedding_hidden_mapping_in", width, hidden_size)?),
        ..Embeddings::of_words(tables.table("word_embeddings", vocab_size, width)?)
    };
    let groups = parameters.at("encoder.albert_layer_groups");
    let (inner, count) = (config.inner_group_num, order.iter().max().map_or(0, |last| last + 1));
    let own = parallel_map(count, |i| {
        let layers = groups.at(&(i / inner).to_string()).at("albert_layers");
        let attention = Attention::full(shape.heads, head_width);
        Ok(Arc::new(layer(&layers.at(&(i % inner).to_string()), &shape, &NAMES, Biases::ALL, attention)?))
    })?;
    let limits = Limits {
        hidden_size,
        vocab_size,
        type_vocab_size: Some(type_vocab_size),
        max_tokens: Some(positions),
        max_position_embeddings: Some(positions),
    };
    let encoder = Encoder::new(order.into_iter().map(|i| Arc::clone(&own[i])).collect());
    Ok(Backbone { embeddings, encoder, limits })
}

/// Which of its own layers are used, one after the other: groups take turns of equal length, and a turn goes through all
/// layers of a group.
fn order(file: &JsonFile, config: &Config) -> Result<Vec<usize>> {
    let (turns, groups, inner) = (config.num_hidden_layers, config.num_hidden_groups, config.inner_group_num);
    if groups == 0 || groups > turns {
        let problem = format!("must be from 1 to num_hidden_layers, {turns}, got {groups}");
        return Err(file.error("num_hidden_groups", problem));
    }
    let inner = file.positive("inner_group_num", inner)?;
    if turns.saturating_mul(inner) > MOST_LAYERS {
        let problem = format!("must be at most {MOST_LAYERS} with inner_group_num, {inner}, got {turns}");
        return Err(file.error("num_hidden_layers", problem));
    }
    // As the reference divides, so that rounding is the same.
    let group = |turn: usize| (turn as f64 / (turns as f64 / groups as f64)) as usize;
    Ok((0..turns).flat_map(|turn| (0..inner).map(move |i| group(turn) * inner + i)).collect())
}
