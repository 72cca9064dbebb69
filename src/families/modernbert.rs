//! ModernBERT (Warner et al., 2024): norms before each block, rotary positions, a gated feed-forward block, and layers
//! that see the whole text between some that see what is near.

use std::sync::Arc;

use serde::Deserialize;

use crate::config::{Activation, JsonFile, optional_integer};
use crate::error::Result;
use crate::layers::decoder::LayerType;
use crate::layers::embeddings::Embeddings;
use crate::layers::encoder::{Encoder, Layer};
use crate::layers::rope::{Rope, RopeByLayerType};
use crate::layers::{Backbone, Limits, Parameters};
use crate::ops::{Attention, FeedForward, Ops, Relative, Residual, Window};
use crate::weights::Weights;

/// `config.json`; what is absent is as in transformers' class.
#[derive(Deserialize)]
#[serde(default)]
struct Config {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    hidden_activation: String,
    max_position_embeddings: usize,
    norm_eps: f64,
    norm_bias: bool,
    attention_bias: bool,
    mlp_bias: bool,
    local_attention: usize,
    layer_types: Option<Vec<LayerType>>,
    #[serde(deserialize_with = "optional_integer")]
    global_attn_every_n_layers: Option<usize>,
    rope_parameters: Option<RopeByLayerType>,
    global_rope_theta: f64,
    local_rope_theta: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            vocab_size: 50_368,
            hidden_size: 768,
            intermediate_size: 1152,
            num_hidden_layers: 22,
            num_attention_heads: 12,
            hidden_activation: "gelu".to_owned(),
            max_position_embeddings: 8192,
            norm_eps: 1e-5,
            norm_bias: false,
            attention_bias: false,
            mlp_bias: false,
            local_attention: 128,
            layer_types: None,
            global_attn_every_n_layers: Some(3),
            rope_parameters: None,
            global_rope_theta: 160_000.0,
            local_rope_theta: 10_000.0,
        }
    }
}

/// `model_type` modernbert.
pub(super) fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    file.only("rope_scaling", serde_json::Value::Null)?;
    let config: Config = file.parse()?;
    let layers = file.positive("num_hidden_layers", config.num_hidden_layers)?;
    let hidden = file.positive("hidden_size", config.hidden_size)?;
    let middle = file.positive("intermediate_size", config.intermediate_size)?;
    let vocab_size = file.positive("vocab_size", config.vocab_size)?;
    let max_position_embeddings = file.positive("max_position_embeddings", config.max_position_embeddings)?;
    let window = file.positive("local_attention", config.local_attention)? / 2;
    let (listed, period) = (config.layer_types.as_deref(), config.global_attn_every_n_layers);
    let period = LayerType::period(file, "global_attn_every_n_layers", period, listed)?;
    let activation = Activation::from_transformers(&config.hidden_activation, &file.path, "hidden_activation")?;
    let eps = file.eps("norm_eps", config.norm_eps)?;
    let heads = file.positive("num_attention_heads", config.num_attention_heads)?;
    if !hidden.is_multiple_of(heads) {
        let problem = format!("must divide the hidden size, {hidden}, got {heads}");
        return Err(file.error("num_attention_heads", problem));
    }
    let head_width = hidden / heads;
    let by_place =
        |i: usize| if i.is_multiple_of(period) { LayerType::FullAttention } else { LayerType::SlidingAttention };
    let layer_type = LayerType::of_layers(file, listed, layers, by_place)?;
    let rotary = |key, parameters, theta| {
        let rope = Rope { key, theta, ..Rope::new(file, None, parameters, head_width, max_position_embeddings) };
        rope.rotary().map(Arc::new)
    };
    let RopeByLayerType { full_attention, sliding_attention } = config.rope_parameters.unwrap_or_default();
    let global = rotary("rope_parameters.full_attention", full_attention, config.global_rope_theta)?;
    let local = rotary("rope_parameters.sliding_attention", sliding_attention, config.local_rope_theta)?;

    let weights = weights.behind("model", "embeddings.tok_embeddings.weight");
    let parameters = Parameters::new(&weights, ops);
    let norm = |parameters: &Parameters<'_, O>, name: &str| {
        let bias = config.norm_bias.then(|| parameters.array(&format!("{name}.bias"), &[hidden])).transpose()?;
        ops.layer_norm(&parameters.array(&format!("{name}.weight"), &[hidden])?, bias.as_ref(), eps)
    };
    let tables = parameters.at("embeddings");
    let embeddings = Embeddings {
        norm: Some(norm(&tables, "norm")?),
        ..Embeddings::of_words(tables.table("tok_embeddings", vocab_size, hidden)?)
    };
    let encoder = Encoder::load(layers, |i| {
        let layer = parameters.at("layers").at(&i.to_string());
        let (own, mlp) = (layer.at("attn"), layer.at("mlp"));
        let (reach, rotary) = match layer_type(i) {
            LayerType::FullAttention => (Window::ALL, &global),
            LayerType::SlidingAttention => (Window { before: window, after: window }, &local),
        };
        let relative = Relative::Rotary(Arc::clone(rotary));
        Ok(Layer {
            // The embeddings are normalized already.
            attention_norm: (i > 0).then(|| norm(&layer, "attn_norm")).transpose()?,
            query_key_value: own.stacked_linear(
                &[("Wqkv", hidden.saturating_mul(3))],
                hidden,
                config.attention_bias,
            )?,
            attention: Attention { window: reach, relative, ..Attention::full(heads, head_width) },
            attention_output: own.stacked_linear(&[("Wo", hidden)], hidden, config.attention_bias)?,
            attention_residual: Residual::Add,
            feed_forward_norm: Some(norm(&layer, "mlp_norm")?),
            feed_forward: FeedForward {
                up: mlp.stacked_linear(&[("Wi", middle.saturating_mul(2))], hidden, config.mlp_bias)?,
                gated: true,
                activation,
                down: mlp.stacked_linear(&[("Wo", hidden)], middle, config.mlp_bias)?,
            },
            feed_forward_residual: Residual::Add,
        })
    })?;
    let limits = Limits {
        hidden_size: hidden,
        vocab_size,
        type_vocab_size: None,
        max_tokens: None,
        max_position_embeddings: Some(max_position_embeddings),
    };
    Ok(Backbone { embeddings, encoder: encoder.with_norm(norm(&parameters, "final_norm")?), limits })
}
