//! Qwen3 (Yang et al., 2025): Llama's causal layers, with norms of every head's queries and keys.

use std::sync::Arc;

use serde::Deserialize;

use crate::config::{Activation, JsonFile};
use crate::error::Result;
use crate::layers::decoder::{DecoderShape, LayerType, Norms};
use crate::layers::embeddings::Embeddings;
use crate::layers::encoder::Encoder;
use crate::layers::rope::{Rope, RopeParameters};
use crate::layers::{Backbone, Limits, Parameters};
use crate::ops::{Attention, Ops, Relative, Window};
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
    num_key_value_heads: Option<usize>,
    head_dim: usize,
    hidden_act: String,
    max_position_embeddings: usize,
    rms_norm_eps: f64,
    attention_bias: bool,
    use_sliding_window: bool,
    sliding_window: Option<usize>,
    max_window_layers: usize,
    layer_types: Option<Vec<LayerType>>,
    rope_theta: f64,
    rope_scaling: Option<RopeParameters>,
    rope_parameters: Option<RopeParameters>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            vocab_size: 151_936,
            hidden_size: 4096,
            intermediate_size: 22_016,
            num_hidden_layers: 32,
            num_attention_heads: 32,
            num_key_value_heads: Some(32),
            head_dim: 128,
            hidden_act: "silu".to_owned(),
            max_position_embeddings: 32_768,
            rms_norm_eps: 1e-6,
            attention_bias: false,
            use_sliding_window: false,
            sliding_window: Some(4096),
            max_window_layers: 28,
            layer_types: None,
            rope_theta: 10_000.0,
            rope_scaling: None,
            rope_parameters: None,
        }
    }
}

/// `model_type` qwen3.
pub(super) fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    file.only("is_causal", true)?;
    let config: Config = file.parse()?;
    let shape = DecoderShape {
        layers: config.num_hidden_layers,
        hidden_size: config.hidden_size,
        intermediate_size: config.intermediate_size,
        heads: config.num_attention_heads,
        key_value_heads: config.num_key_value_heads.unwrap_or(config.num_attention_heads),
        head_width: config.head_dim,
        activation: Activation::from_transformers(&config.hidden_act, &file.path, "hidden_act")?,
        attention_bias: config.attention_bias,
        feed_forward_bias: false,
        norms: Norms { eps: file.eps("rms_norm_eps", config.rms_norm_eps)?, offset: 0.0 },
    };
    let shape = shape.checked(file)?;
    let vocab_size = file.positive("vocab_size", config.vocab_size)?;
    let max_position_embeddings = file.positive("max_position_embeddings", config.max_position_embeddings)?;
    let window = config.sliding_window.filter(|_| config.use_sliding_window);
    let by_place = |i| match window {
        Some(_) if i >= config.max_window_layers => LayerType::SlidingAttention,
        _ => LayerType::FullAttention,
    };
    let layer_type = LayerType::of_layers(file, config.layer_types.as_deref(), shape.layers, by_place)?;
    let reach = |i| match (layer_type(i), window) {
        (LayerType::FullAttention, _) => Ok(Window::CAUSAL),
        // The query's own place is one of the window's.
        (LayerType::SlidingAttention, Some(window)) => {
            Ok(Window { before: file.positive("sliding_window", window)? - 1, after: 0 })
        }
        (LayerType::SlidingAttention, None) => {
            Err(file.error("layer_types", "lists sliding_attention, but there is no sliding_window in use"))
        }
    };
    let rope = Rope {
        theta: config.rope_theta,
        ..Rope::new(file, config.rope_scaling, config.rope_parameters, shape.head_width, max_position_embeddings)
    };
    let rotary = Arc::new(rope.rotary()?);

    let weights = weights.behind("model", "embed_tokens.weight");
    let parameters = Parameters::new(&weights, ops);
    let embeddings = Embeddings::of_words(parameters.table("embed_tokens", vocab_size, shape.hidden_size)?);
    let layers = parameters.at("layers");
    let encoder = Encoder::load(shape.layers, |i| {
        let layer = layers.at(&i.to_string());
        let attention = Attention {
            window: reach(i)?,
            query_key_norms: Some(shape.query_key_norms(&layer)?),
            relative: Relative::Rotary(Arc::clone(&rotary)),
            ..shape.attention()
        };
        shape.layer(&layer, "post_attention_layernorm", attention)
    })?;
    let norm = shape.norms.load(&parameters, "norm", shape.hidden_size)?;
    let limits = Limits {
        hidden_size: shape.hidden_size,
        vocab_size,
        type_vocab_size: None,
        max_tokens: None,
        max_position_embeddings: Some(max_position_embeddings),
    };
    Ok(Backbone { embeddings, encoder: encoder.with_norm(norm), limits })
}
