//! Gemma 3 (Gemma Team, 2025), its text model: Llama's layers with norms after each block too, and of every head's queries
//! and keys; layers that see what is near between some that see all. Embedding models see both ways.

use std::sync::Arc;

use serde::Deserialize;

use crate::config::{Activation, JsonFile, optional_integer};
use crate::error::Result;
use crate::layers::decoder::{DecoderShape, LayerType, Norms};
use crate::layers::embeddings::Embeddings;
use crate::layers::encoder::{Encoder, Layer};
use crate::layers::rope::{Rope, RopeByLayerType, RopeParameters};
use crate::layers::{Backbone, Limits, Parameters};
use crate::ops::{Attention, Ops, Relative, Residual, Window};
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
    num_key_value_heads: usize,
    head_dim: usize,
    hidden_activation: String,
    max_position_embeddings: usize,
    rms_norm_eps: f64,
    attention_bias: bool,
    query_pre_attn_scalar: f64,
    sliding_window: Option<usize>,
    layer_types: Option<Vec<LayerType>>,
    #[serde(deserialize_with = "optional_integer")]
    sliding_window_pattern: Option<usize>,
    use_bidirectional_attention: Option<bool>,
    rope_parameters: Option<RopeByLayerType>,
    rope_scaling: Option<RopeParameters>,
    rope_theta: f64,
    rope_local_base_freq: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            vocab_size: 262_208,
            hidden_size: 2304,
            intermediate_size: 9216,
            num_hidden_layers: 26,
            num_attention_heads: 8,
            num_key_value_heads: 4,
            head_dim: 256,
            hidden_activation: "gelu_pytorch_tanh".to_owned(),
            max_position_embeddings: 131_072,
            rms_norm_eps: 1e-6,
            attention_bias: false,
            query_pre_attn_scalar: 256.0,
            sliding_window: Some(4096),
            layer_types: None,
            sliding_window_pattern: Some(6),
            use_bidirectional_attention: None,
            rope_parameters: None,
            rope_scaling: None,
            rope_theta: 1_000_000.0,
            rope_local_base_freq: 10_000.0,
        }
    }
}

/// `model_type` gemma3_text.
pub(super) fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    file.only("attn_logit_softcapping", serde_json::Value::Null)?;
    file.only("is_causal", true)?;
    let config: Config = file.parse()?;
    let shape = DecoderShape {
        layers: config.num_hidden_layers,
        hidden_size: config.hidden_size,
        intermediate_size: config.intermediate_size,
        heads: config.num_attention_heads,
        key_value_heads: config.num_key_value_heads,
        head_width: config.head_dim,
        activation: Activation::from_transformers(&config.hidden_activation, &file.path, "hidden_activation")?,
        attention_bias: config.attention_bias,
        feed_forward_bias: false,
        norms: Norms { eps: file.eps("rms_norm_eps", config.rms_norm_eps)?, offset: 1.0 },
    };
    let shape = shape.checked(file)?;
    let vocab_size = file.positive("vocab_size", config.vocab_size)?;
    let max_position_embeddings = file.positive("max_position_embeddings", config.max_position_embeddings)?;
    let scale = 1.0 / config.query_pre_attn_scalar.sqrt();
    if !(scale.is_finite() && scale > 0.0) {
        let problem = format!("must be a number above 0, got {}", config.query_pre_attn_scalar);
        return Err(file.error("query_pre_attn_scalar", problem));
    }
    let both_ways = config.use_bidirectional_attention.unwrap_or(false);
    let (listed, period) = (config.layer_types.as_deref(), config.sliding_window_pattern);
    let period = LayerType::period(file, "sliding_window_pattern", period, listed)?;
    let by_place = |i: usize| match i % period {
        last if last + 1 == period => LayerType::FullAttention,
        _ => LayerType::SlidingAttention,
    };
    let layer_type = LayerType::of_layers(file, listed, shape.layers, by_place)?;
    let window = || match config.sliding_window {
        Some(window) => file.positive("sliding_window", window),
        None => Err(file.error("sliding_window", "is missing; a layer of layer_types is sliding_attention")),
    };
    let RopeByLayerType { full_attention, sliding_attention } = config.rope_parameters.unwrap_or_default();
    let (rope, key) = match (config.rope_scaling, full_attention) {
        (Some(scaling), Some(parameters)) if scaling != parameters => {
            return Err(file.unsupported("rope_scaling", "another than rope_parameters.full_attention", "one of them"));
        }
        (Some(scaling), _) => (Some(scaling), "rope_scaling"),
        (None, parameters) => (parameters, "rope_parameters.full_attention"),
    };
    let rotary = |key, parameters, theta| {
        let rope = Rope { key, theta, ..Rope::new(file, None, parameters, shape.head_width, max_position_embeddings) };
        rope.rotary().map(Arc::new)
    };
    let local = rotary("rope_parameters.sliding_attention", sliding_attention, config.rope_local_base_freq)?;
    let global = rotary(key, rope, config.rope_theta)?;

    let weights = weights.behind("model", "embed_tokens.weight");
    let parameters = Parameters::new(&weights, ops);
    let embeddings = Embeddings {
        factor: Some((shape.hidden_size as f32).sqrt()),
        ..Embeddings::of_words(parameters.table("embed_tokens", vocab_size, shape.hidden_size)?)
    };
    let encoder = Encoder::load(shape.layers, |i| {
        let layer = parameters.at("layers").at(&i.to_string());
        let (reach, rotary) = match (layer_type(i), both_ways) {
            (LayerType::FullAttention, true) => (Window::ALL, &global),
            (LayerType::FullAttention, false) => (Window::CAUSAL, &global),
            // Half of the window lies on each side.
            (LayerType::SlidingAttention, true) => (Window { before: window()? / 2, after: window()? / 2 }, &local),
            (LayerType::SlidingAttention, false) => (Window { before: window()? - 1, after: 0 }, &local),
        };
        let attention = Attention {
            scale: scale as f32,
            window: reach,
            query_key_norms: Some(shape.query_key_norms(&layer)?),
            relative: Relative::Rotary(Arc::clone(rotary)),
            ..shape.attention()
        };
        let after = |name| shape.norms.load(&layer, name, shape.hidden_size).map(Residual::NormAdd);
        Ok(Layer {
            attention_residual: after("post_attention_layernorm")?,
            feed_forward_residual: after("post_feedforward_layernorm")?,
            ..shape.layer(&layer, "pre_feedforward_layernorm", attention)?
        })
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
