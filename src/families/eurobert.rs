//! EuroBERT (Boizard et al., 2025): Llama's layers, whose queries see the whole text.

use std::sync::Arc;

use serde::Deserialize;

use crate::config::{Activation, JsonFile};
use crate::error::Result;
use crate::layers::decoder::{DecoderShape, Norms};
use crate::layers::embeddings::Embeddings;
use crate::layers::encoder::Encoder;
use crate::layers::rope::{Rope, RopeParameters};
use crate::layers::{Backbone, Limits, Parameters};
use crate::ops::{Attention, Ops, Relative};
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
    head_dim: Option<usize>,
    hidden_act: String,
    max_position_embeddings: usize,
    rms_norm_eps: f64,
    attention_bias: bool,
    mlp_bias: bool,
    rope_theta: f64,
    rope_scaling: Option<RopeParameters>,
    rope_parameters: Option<RopeParameters>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            vocab_size: 128_256,
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            num_key_value_heads: None,
            head_dim: None,
            hidden_act: "silu".to_owned(),
            max_position_embeddings: 8192,
            rms_norm_eps: 1e-5,
            attention_bias: false,
            mlp_bias: false,
            rope_theta: 10_000.0,
            rope_scaling: None,
            rope_parameters: None,
        }
    }
}

/// `model_type` eurobert.
pub(super) fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    let config: Config = file.parse()?;
    let heads = file.positive("num_attention_heads", config.num_attention_heads)?;
    if !config.hidden_size.is_multiple_of(heads) {
        let problem = format!("must divide the hidden size, {}, got {heads}", config.hidden_size);
        return Err(file.error("num_attention_heads", problem));
    }
    let shape = DecoderShape {
        layers: config.num_hidden_layers,
        hidden_size: config.hidden_size,
        intermediate_size: config.intermediate_size,
        heads,
        key_value_heads: config.num_key_value_heads.unwrap_or(heads),
        head_width: config.head_dim.unwrap_or(config.hidden_size / heads),
        activation: Activation::from_transformers(&config.hidden_act, &file.path, "hidden_act")?,
        attention_bias: config.attention_bias,
        feed_forward_bias: config.mlp_bias,
        norms: Norms { eps: file.eps("rms_norm_eps", config.rms_norm_eps)?, offset: 0.0 },
    };
    let shape = shape.checked(file)?;
    let vocab_size = file.positive("vocab_size", config.vocab_size)?;
    let max_position_embeddings = file.positive("max_position_embeddings", config.max_position_embeddings)?;
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
        let attention = Attention { relative: Relative::Rotary(Arc::clone(&rotary)), ..shape.attention() };
        shape.layer(&layers.at(&i.to_string()), "post_attention_layernorm", attention)
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
