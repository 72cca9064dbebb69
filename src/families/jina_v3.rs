//! Jina embeddings v3 (Sturua et al., 2024), without its adapters: BERT with rotary positions.

use std::sync::Arc;

use serde::Deserialize;

use super::bert::WORDS;
use crate::config::{Activation, JsonFile};
use crate::error::{Error, Result};
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
    lora_adaptations: Option<Vec<String>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            vocab_size: 250_002,
            hidden_size: 1024,
            num_hidden_layers: 24,
            num_attention_heads: 16,
            intermediate_size: 4096,
            hidden_act: "gelu".to_owned(),
            max_position_embeddings: 8194,
            type_vocab_size: 1,
            layer_norm_eps: 1e-5,
            rope_theta: 20_000.0,
            rope_scaling: None,
            rope_parameters: None,
            lora_adaptations: None,
        }
    }
}

const SPELLINGS: [Spelling; 2] = [
    Spelling {
        layers: "encoder.layers",
        embedding_norm: "emb_ln",
        layer: LayerNames {
            query_key_value: Projections::Together("mixer.Wqkv"),
            attention_output: "mixer.out_proj",
            attention_norm: "norm1",
            up: Up::Plain("mlp.fc1"),
            down: "mlp.fc2",
            output_norm: "norm2",
        },
    },
    Spelling::of_transformers(Up::Plain("mlp.fc1"), "mlp.fc2"),
];

/// `model_type` jina_embeddings_v3.
pub(super) fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    let config: Config = file.parse()?;
    if let Some(adapters) = config.lora_adaptations.filter(|adapters| !adapters.is_empty()) {
        return Err(file.unsupported("lora_adaptations", adapters.join(", "), "none: a model without adapters"));
    }
    if let Some(name) = weights.others(&[]).find(|name| name.contains("lora_")) {
        let what = format!("{}: an adapter's tensor", weights.file().display());
        return Err(Error::unsupported(what, name, "a model without adapters"));
    }
    let shape = EncoderShape {
        layers: file.positive("num_hidden_layers", config.num_hidden_layers)?,
        heads: config.num_attention_heads,
        hidden_size: file.positive("hidden_size", config.hidden_size)?,
        intermediate_size: file.positive("intermediate_size", config.intermediate_size)?,
        activation: Activation::from_transformers(&config.hidden_act, &file.path, "hidden_act")?,
        eps: file.eps("layer_norm_eps", config.layer_norm_eps)?,
    };
    let vocab_size = file.positive("vocab_size", config.vocab_size)?;
    let type_vocab_size = file.positive("type_vocab_size", config.type_vocab_size)?;
    let max_position_embeddings = file.positive("max_position_embeddings", config.max_position_embeddings)?;
    let (hidden_size, head_width) = (shape.hidden_size, shape.head_width(file, "num_attention_heads")?);
    file.only("head_dim", head_width)?;
    let rope = Rope {
        theta: config.rope_theta,
        ..Rope::new(file, config.rope_scaling, config.rope_parameters, head_width, max_position_embeddings)
    };
    let rotary = Arc::new(rope.rotary()?);

    let weights = weights.behind("roberta", WORDS).behind("jina_embeddings_v3", WORDS);
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
        layer(&layers.at(&i.to_string()), &shape, &spelling.layer, Biases::ALL, attention)
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
