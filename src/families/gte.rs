//! GTE (Zhang et al., 2024): BERT with rotary positions and a gated feed-forward block.

use std::sync::Arc;

use serde::Deserialize;

use super::bert::WORDS;
use crate::config::{Activation, JsonFile};
use crate::error::Result;
use crate::layers::embeddings::Embeddings;
use crate::layers::encoder::Encoder;
use crate::layers::post_norm::{Biases, EncoderShape, LayerNames, Projections, Spelling, Up, layer};
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
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    hidden_act: String,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    layer_norm_eps: f64,
    rope_theta: f64,
    rope_scaling: Option<RopeParameters>,
    rope_parameters: Option<RopeParameters>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            vocab_size: 250_048,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: "gelu".to_owned(),
            max_position_embeddings: 8192,
            type_vocab_size: 1,
            layer_norm_eps: 1e-12,
            rope_theta: 160_000.0,
            rope_scaling: None,
            rope_parameters: None,
        }
    }
}

const SPELLINGS: [Spelling; 2] = [
    Spelling {
        layers: "encoder.layer",
        embedding_norm: "embeddings.LayerNorm",
        layer: LayerNames {
            query_key_value: Projections::Together("attention.qkv_proj"),
            attention_output: "attention.o_proj",
            attention_norm: "attn_ln",
            up: Up::Swapped("mlp.up_gate_proj"),
            down: "mlp.down_proj",
            output_norm: "mlp_ln",
        },
    },
    Spelling::of_transformers(Up::Gated { gate: "mlp.gate_proj", up: "mlp.up_proj" }, "mlp.down_proj"),
];

/// Values that the code of its models on the hub takes and transformers' class doesn't.
fn check_variants(file: &JsonFile) -> Result<()> {
    file.only("layer_norm_type", "layer_norm")?;
    file.only("position_embedding_type", "rope")?;
    file.only("logn_attention_scale", false)
}

/// `model_type` gte.
pub(super) fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    let config: Config = file.parse()?;
    check_variants(file)?;
    let shape = EncoderShape {
        layers: file.positive("num_hidden_layers", config.num_hidden_layers)?,
        heads: config.num_attention_heads,
        hidden_size: file.positive("hidden_size", config.hidden_size)?,
        intermediate_size: file.positive("intermediate_size", config.intermediate_size)?,
        activation: Activation::from_transformers(&config.hidden_act, &file.path, "hidden_act")?,
        eps: file.eps("layer_norm_eps", config.layer_norm_eps)?,
    };
    let vocab_size = file.positive("vocab_size", config.vocab_size)?;
    let max_position_embeddings = file.positive("max_position_embeddings", config.max_position_embeddings)?;
    let (hidden_size, head_width) = (shape.hidden_size, shape.head_width(file, "num_attention_heads")?);
    file.only("head_dim", head_width)?;
    let rope = Rope {
        theta: config.rope_theta,
        ..Rope::new(file, config.rope_scaling, config.rope_parameters, head_width, max_position_embeddings)
    };
    let rotary = Arc::new(rope.rotary()?);

    let weights = weights.behind("new", WORDS).behind("gte", WORDS);
    let spelling = Spelling::of(&SPELLINGS, &weights);
    let parameters = Parameters::new(&weights, ops);
    let tables = parameters.at("embeddings");
    // Some have none: then the config says 0.
    let types = Some(config.type_vocab_size).filter(|types| *types > 0);
    let token_types = types.map(|types| tables.table("token_type_embeddings", types, hidden_size)).transpose()?;
    let embeddings = Embeddings {
        token_types,
        norm: Some(parameters.layer_norm(spelling.embedding_norm, hidden_size, shape.eps)?),
        ..Embeddings::of_words(tables.table("word_embeddings", vocab_size, hidden_size)?)
    };
    let layers = parameters.at(spelling.layers);
    let encoder = Encoder::load(shape.layers, |i| {
        let relative = Relative::Rotary(Arc::clone(&rotary));
        let attention = Attention { relative, ..Attention::full(shape.heads, head_width) };
        layer(&layers.at(&i.to_string()), &shape, &spelling.layer, Biases { up: false, ..Biases::ALL }, attention)
    })?;
    let limits = Limits {
        hidden_size,
        vocab_size,
        type_vocab_size: types,
        max_tokens: None,
        max_position_embeddings: Some(max_position_embeddings),
    };
    Ok(Backbone { embeddings, encoder, limits })
}
