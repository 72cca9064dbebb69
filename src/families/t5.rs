//! T5's encoder (Raffel et al., 2020): RMS norms before each block, no biases, scores that aren't scaled, and a bias on
//! them by bucketed distance, which all layers share.

use std::sync::Arc;

use serde::Deserialize;

use crate::config::{Activation, JsonFile};
use crate::error::Result;
use crate::layers::distance::Buckets;
use crate::layers::embeddings::Embeddings;
use crate::layers::encoder::{Encoder, Layer};
use crate::layers::{Backbone, Limits, Parameters};
use crate::ops::{Attention, FeedForward, Ops, Relative, Residual};
use crate::weights::Weights;

/// `config.json`; what is absent is as in transformers' class.
#[derive(Deserialize)]
#[serde(default)]
struct Config {
    vocab_size: usize,
    d_model: usize,
    d_kv: usize,
    d_ff: usize,
    num_layers: usize,
    num_heads: usize,
    relative_attention_num_buckets: usize,
    relative_attention_max_distance: usize,
    layer_norm_epsilon: f64,
    feed_forward_proj: String,
    is_decoder: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            vocab_size: 32_128,
            d_model: 512,
            d_kv: 64,
            d_ff: 2048,
            num_layers: 6,
            num_heads: 8,
            relative_attention_num_buckets: 32,
            relative_attention_max_distance: 128,
            layer_norm_epsilon: 1e-6,
            feed_forward_proj: "relu".to_owned(),
            is_decoder: false,
        }
    }
}

/// `model_type` t5.
pub(super) fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    let config: Config = file.parse()?;
    if config.is_decoder {
        return Err(file.unsupported("is_decoder", "true", "false"));
    }
    let layers = file.positive("num_layers", config.num_layers)?;
    let hidden = file.positive("d_model", config.d_model)?;
    let middle = file.positive("d_ff", config.d_ff)?;
    let heads = file.positive("num_heads", config.num_heads)?;
    let head_width = file.positive("d_kv", config.d_kv)?;
    let vocab_size = file.positive("vocab_size", config.vocab_size)?;
    let eps = file.eps("layer_norm_epsilon", config.layer_norm_epsilon)?;
    let (gated, name) = match config.feed_forward_proj.strip_prefix("gated-") {
        // As transformers has it, for models older than their names.
        Some("gelu") => (true, "gelu_new"),
        Some(name) => (true, name),
        None => (false, &*config.feed_forward_proj),
    };
    let activation = Activation::from_transformers(name, &file.path, "feed_forward_proj")?;
    let buckets = Buckets::new(
        file,
        ("relative_attention_num_buckets", config.relative_attention_num_buckets),
        ("relative_attention_max_distance", config.relative_attention_max_distance),
    )?;

    let parameters = Parameters::new(&weights, ops);
    // Checkpoints have the table under one of its two names, or under both.
    let words = if weights.has("shared.weight") { "shared" } else { "encoder.embed_tokens" };
    let embeddings = Embeddings::of_words(parameters.table(words, vocab_size, hidden)?);
    let own = parameters.at("encoder");
    let by_bucket = "block.0.layer.0.SelfAttention.relative_attention_bias.weight";
    let by_bucket = own.array(by_bucket, &[buckets.count, heads])?;
    let bias = Arc::new(ops.distance_bias(buckets.by_distance(
        file,
        "relative_attention_max_distance",
        &by_bucket,
        buckets.longest(),
    )?)?);
    let encoder = Encoder::load(layers, |i| {
        let layer = own.at("block").at(&i.to_string()).at("layer");
        let (projections, mlp) = (layer.at("0.SelfAttention"), layer.at("1.DenseReluDense"));
        let relative = Relative::Bias(Arc::clone(&bias));
        let attention = Attention { scale: 1.0, relative, ..Attention::full(heads, head_width) };
        let [queries, keys, values] = attention.widths();
        let up = if gated { vec![("wi_0", middle), ("wi_1", middle)] } else { vec![("wi", middle)] };
        Ok(Layer {
            attention_norm: Some(layer.rms_norm("0.layer_norm", hidden, eps)?),
            query_key_value: projections.stacked_linear(
                &[("q", queries), ("k", keys), ("v", values)],
                hidden,
                false,
            )?,
            attention,
            attention_output: projections.linear_without_bias("o", queries, hidden)?,
            attention_residual: Residual::Add,
            feed_forward_norm: Some(layer.rms_norm("1.layer_norm", hidden, eps)?),
            feed_forward: FeedForward {
                up: mlp.stacked_linear(&up, hidden, false)?,
                gated,
                activation,
                down: mlp.linear_without_bias("wo", middle, hidden)?,
            },
            feed_forward_residual: Residual::Add,
        })
    })?;
    let limits = Limits {
        hidden_size: hidden,
        vocab_size,
        type_vocab_size: None,
        max_tokens: None,
        max_position_embeddings: None,
    };
    Ok(Backbone { embeddings, encoder: encoder.with_norm(own.rms_norm("final_layer_norm", hidden, eps)?), limits })
}
