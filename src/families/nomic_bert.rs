//! NomicBERT (Nussbaum et al., 2024): BERT with rotary positions and a gated feed-forward block, without biases.
//!
//! Its config has two forms: that of transformers, and that of its own code, which is on the hub.

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
use crate::ops::{Attention, Ops, Relative, Rotary};
use crate::weights::Weights;

/// `config.json` as transformers has it; what is absent is as in its class.
#[derive(Deserialize)]
#[serde(default)]
struct Config {
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    hidden_act: String,
    head_dim: Option<usize>,
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
            vocab_size: 30_528,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: "silu".to_owned(),
            head_dim: None,
            max_position_embeddings: 2048,
            type_vocab_size: 2,
            layer_norm_eps: 1e-12,
            rope_theta: 1000.0,
            rope_scaling: None,
            rope_parameters: None,
        }
    }
}

/// `config.json` as the hub's models have it.
#[derive(Deserialize)]
struct HubConfig {
    vocab_size: usize,
    n_embd: usize,
    n_layer: usize,
    n_head: usize,
    n_inner: usize,
    n_positions: usize,
    type_vocab_size: usize,
    layer_norm_epsilon: f64,
    #[serde(default = "theta")]
    rotary_emb_base: f64,
    rotary_emb_fraction: f64,
    #[serde(default)]
    qkv_proj_bias: bool,
    #[serde(default)]
    mlp_fc1_bias: bool,
    #[serde(default)]
    mlp_fc2_bias: bool,
}

fn theta() -> f64 {
    10_000.0
}

const SPELLINGS: [Spelling; 2] = [
    Spelling {
        layers: "encoder.layers",
        embedding_norm: "emb_ln",
        layer: LayerNames {
            query_key_value: Projections::Together("attn.Wqkv"),
            attention_output: "attn.out_proj",
            attention_norm: "norm1",
            up: Up::Gated { gate: "mlp.fc12", up: "mlp.fc11" },
            down: "mlp.fc2",
            output_norm: "norm2",
        },
    },
    Spelling::of_transformers(Up::Gated { gate: "mlp.gate_proj", up: "mlp.up_proj" }, "mlp.down_proj"),
];

/// What both forms of the config say.
struct Sizes {
    shape: EncoderShape,
    head_width: usize,
    vocab_size: usize,
    type_vocab_size: usize,
    max_position_embeddings: usize,
    biases: Biases,
    rotary: Rotary,
}

/// `model_type` nomic_bert.
pub(super) fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    let sizes = if file.value.get("n_embd").is_some() { of_hub(file)? } else { of_transformers(file)? };
    let Sizes { shape, head_width, vocab_size, type_vocab_size, max_position_embeddings, biases, rotary } = sizes;
    let (hidden_size, rotary) = (shape.hidden_size, Arc::new(rotary));

    let weights = weights.behind("bert", WORDS).behind("nomic_bert", WORDS);
    let spelling = Spelling::of(&SPELLINGS, &weights);
    let parameters = Parameters::new(&weights, ops);
    let tables = parameters.at("embeddings");
    let embeddings = Embeddings {
        token_types: Some(tables.table("token_type_embeddings", type_vocab_size, hidden_size)?),
        norm: Some(parameters.layer_norm(spelling.embedding_norm, hidden_size, shape.eps)?),
        ..Embeddings::of_words(tables.table("word_embeddings", vocab_size, hidden_size)?)
    };
    let layers = parameters.at(spelling.layers);
    let encoder = Encoder::load(shape.layers, |i| {
        let relative = Relative::Rotary(Arc::clone(&rotary));
        let attention = Attention { relative, ..Attention::full(shape.heads, head_width) };
        layer(&layers.at(&i.to_string()), &shape, &spelling.layer, biases, attention)
    })?;
    let limits = Limits {
        hidden_size,
        vocab_size,
        type_vocab_size: Some(type_vocab_size),
        max_tokens: None,
        max_position_embeddings: Some(max_position_embeddings),
    };
    Ok(Backbone { embeddings, encoder, limits })
}

fn of_transformers(file: &JsonFile) -> Result<Sizes> {
    let config: Config = file.parse()?;
    let shape = EncoderShape {
        layers: file.positive("num_hidden_layers", config.num_hidden_layers)?,
        heads: file.positive("num_attention_heads", config.num_attention_heads)?,
        hidden_size: file.positive("hidden_size", config.hidden_size)?,
        intermediate_size: file.positive("intermediate_size", config.intermediate_size)?,
        activation: Activation::from_transformers(&config.hidden_act, &file.path, "hidden_act")?,
        eps: file.eps("layer_norm_eps", config.layer_norm_eps)?,
    };
    let max_position_embeddings = file.positive("max_position_embeddings", config.max_position_embeddings)?;
    let head_width = match config.head_dim {
        Some(width) => file.positive("head_dim", width)?,
        None => shape.head_width(file, "num_attention_heads")?,
    };
    let rope = Rope {
        theta: config.rope_theta,
        ..Rope::new(file, config.rope_scaling, config.rope_parameters, head_width, max_position_embeddings)
    };
    Ok(Sizes {
        rotary: rope.rotary()?,
        vocab_size: file.positive("vocab_size", config.vocab_size)?,
        type_vocab_size: file.positive("type_vocab_size", config.type_vocab_size)?,
        max_position_embeddings,
        biases: Biases { attention: false, up: false, down: false },
        shape,
        head_width,
    })
}

fn of_hub(file: &JsonFile) -> Result<Sizes> {
    file.only("activation_function", "swiglu")?;
    for key in [
        "prenorm",
        "parallel_block",
        "causal",
        "use_rms_norm",
        "rotary_emb_interleaved",
        "scale_attn_by_inverse_layer_idx",
    ] {
        file.only(key, false)?;
    }
    file.only("scale_attn_weights", true)?;
    for key in ["rotary_emb_scale_base", "rotary_scaling_factor"] {
        file.only(key, serde_json::Value::Null)?;
    }
    for key in ["moe_every_n_layers", "num_shared_experts"] {
        file.only(key, 0)?;
    }
    let config: HubConfig = file.parse()?;
    let shape = EncoderShape {
        layers: file.positive("n_layer", config.n_layer)?,
        heads: config.n_head,
        hidden_size: file.positive("n_embd", config.n_embd)?,
        intermediate_size: file.positive("n_inner", config.n_inner)?,
        activation: Activation::Silu,
        eps: file.eps("layer_norm_epsilon", config.layer_norm_epsilon)?,
    };
    let head_width = shape.head_width(file, "n_head")?;
    // The first columns of a head are turned; without any, positions would have a table.
    let turned = head_width as f64 * config.rotary_emb_fraction;
    if !(turned >= 1.0 && config.rotary_emb_fraction <= 1.0) {
        return Err(file.unsupported(
            "rotary_emb_fraction",
            config.rotary_emb_fraction.to_string(),
            "above 0, up to 1",
        ));
    }
    let max_position_embeddings = file.positive("n_positions", config.n_positions)?;
    let rope = Rope {
        key: "rotary_emb_fraction",
        theta: config.rotary_emb_base,
        ..Rope::new(file, None, None, turned as usize, max_position_embeddings)
    };
    Ok(Sizes {
        rotary: rope.rotary()?,
        vocab_size: file.positive("vocab_size", config.vocab_size)?,
        type_vocab_size: file.positive("type_vocab_size", config.type_vocab_size)?,
        max_position_embeddings,
        biases: Biases { attention: config.qkv_proj_bias, up: config.mlp_fc1_bias, down: config.mlp_fc2_bias },
        shape,
        head_width,
    })
}
