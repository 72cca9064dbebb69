//! T5's encoder (Raffel et al., 2020): RMS norms before each block, no biases, scores that aren't scaled, and a bias on
//! them by bucketed distance, which all layers share.

use std::sync::Arc;

use super::{Family, RemoteCode};
use crate::config::{Activation, JsonFile};
use crate::error::Result;
use crate::layers::attention_heads::AttentionHeads;
use crate::layers::distance::Buckets;
use crate::layers::embeddings::Embeddings;
use crate::layers::encoder::{Encoder, FeedForwardBlock, Layer, Mixing};
use crate::layers::{Backbone, Limits, Parameters};
use crate::ops::{Attention, FeedForward, Ops, Relative, Residual};
use crate::tokenize::class::{self, DefaultClass};
use crate::weights::Weights;

pub(super) const T5: Family = Family {
    model_type: "t5",
    load: load_by!(load),
    classifier: None,
    masked_lm: None,
    tokenizer: DefaultClass::Undeclared(&class::T5),
    images: None,
    remote_code: RemoteCode::None,
};

/// Reads the activation function of the feed-forward block, and returns true as well where the block is gated.
fn feed_forward(file: &JsonFile) -> Result<(Activation, bool)> {
    let key = "feed_forward_proj";
    let name = file.text(key, "relu")?;
    let (name, gated) = match name.as_str() {
        // transformers maps this older name, too.
        "gated-gelu" => ("gelu_new", true),
        name => name.strip_prefix("gated-").map_or((name, false), |name| (name, true)),
    };
    Ok((Activation::from_transformers(name, &file.path, key)?, gated))
}

fn buckets(file: &JsonFile) -> Result<Buckets> {
    let key = "relative_attention_num_buckets";
    Buckets::new(file, (key, file.get(key, 32)?), (MAX_DISTANCE, file.get(MAX_DISTANCE, 128)?))
}

const MAX_DISTANCE: &str = "relative_attention_max_distance";

fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    file.refuse("is_decoder")?;
    // Absent keys have the defaults of transformers' class.
    let layers = file.size("num_layers", 6)?;
    let hidden = file.size("d_model", 512)?;
    let middle = file.size("d_ff", 2048)?;
    let heads = AttentionHeads { count: file.size("num_heads", 8)?, width: file.size("d_kv", 64)? };
    let vocab_size = file.size("vocab_size", 32_128)?;
    let eps = file.eps("layer_norm_epsilon", 1e-6)?;
    let (activation, gated) = feed_forward(file)?;
    let buckets = buckets(file)?;

    let parameters = Parameters::new(&weights, ops);
    // Checkpoints have the table under one of its two names, or under both.
    let words = if weights.has("shared.weight") { "shared" } else { "encoder.embed_tokens" };
    let embeddings = Embeddings::of_words(parameters.table(words, vocab_size, hidden)?);
    let own = parameters.at("encoder");
    let by_bucket = "block.0.layer.0.SelfAttention.relative_attention_bias.weight";
    let by_bucket = own.array(by_bucket, &[buckets.count, heads.count])?;
    let by_distance = buckets.by_distance(file, MAX_DISTANCE, &by_bucket, buckets.longest())?;
    let bias = Arc::new(ops.distance_bias(by_distance)?);
    let encoder = Encoder::load(layers, |i| {
        let layer = own.at("block").at(&i.to_string()).at("layer");
        let (projections, mlp) = (layer.at("0.SelfAttention"), layer.at("1.DenseReluDense"));
        let relative = Relative::Bias(Arc::clone(&bias));
        let attention = Attention { scale: 1.0, relative, ..heads.attention() };
        let [queries, keys, values] = attention.widths();
        let up = if gated { vec![("wi_0", middle), ("wi_1", middle)] } else { vec![("wi", middle)] };
        Ok(Layer {
            attention_norm: Some(layer.rms_norm("0.layer_norm", hidden, eps)?),
            query_key_value: projections.stacked_linear(
                &[("q", queries), ("k", keys), ("v", values)],
                hidden,
                false,
            )?,
            attention: Mixing::Attention(attention),
            attention_output: projections.linear_without_bias("o", queries, hidden)?,
            attention_residual: Residual::Add,
            feed_forward_norm: Some(layer.rms_norm("1.layer_norm", hidden, eps)?),
            feed_forward: FeedForwardBlock::Dense(FeedForward {
                up: mlp.stacked_linear(&up, hidden, false)?,
                gated,
                activation,
                down: mlp.linear_without_bias("wo", middle, hidden)?,
            }),
            feed_forward_residual: Residual::Add,
            per_layer_input: None,
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
