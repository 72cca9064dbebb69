//! BERT (Devlin et al., 2019), and RoBERTa (Liu et al., 2019) with its multilingual and French sisters XLM-R and
//! CamemBERT, which differ from it in nothing but where positions begin.

use serde::Deserialize;

use crate::config::{Activation, JsonFile, token_id};
use crate::error::Result;
use crate::layers::embeddings::{Embeddings, PositionRule};
use crate::layers::encoder::Encoder;
use crate::layers::post_norm::{Biases, EncoderShape, LayerNames, Projections, Up, layer};
use crate::layers::{Backbone, Limits, Parameters};
use crate::ops::{Attention, Ops};
use crate::weights::Weights;

/// `config.json`; what is absent is as in transformers' classes.
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
    #[serde(deserialize_with = "token_id")]
    pad_token_id: Option<u32>,
    position_embedding_type: Option<String>,
    is_decoder: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            vocab_size: 30_522,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: "gelu".to_owned(),
            max_position_embeddings: 512,
            type_vocab_size: 2,
            layer_norm_eps: 1e-12,
            // RoBERTa's; nothing but its positions depends on it.
            pad_token_id: Some(1),
            position_embedding_type: None,
            is_decoder: false,
        }
    }
}

/// `model_type` bert.
pub(super) fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    load_with(file, file.parse()?, weights.behind("bert", WORDS), ops, PositionRule::FromZero)
}

/// `model_type` roberta, xlm-roberta and camembert.
pub(super) fn load_roberta<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    let config: Config = file.parse()?;
    let Some(pad) = config.pad_token_id else {
        return Err(file.error("pad_token_id", "must be a token's id: positions are counted from it on"));
    };
    let rule = PositionRule::AfterPadding { pad };
    load_with(file, config, weights.behind("roberta", WORDS), ops, rule)
}

pub(super) const WORDS: &str = "embeddings.word_embeddings.weight";

pub(super) const NAMES: LayerNames = LayerNames {
    query_key_value: Projections::Apart(["attention.self.query", "attention.self.key", "attention.self.value"]),
    attention_output: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    up: Up::Plain("intermediate.dense"),
    down: "output.dense",
    output_norm: "output.LayerNorm",
};

fn load_with<O: Ops>(
    file: &JsonFile,
    config: Config,
    weights: Weights,
    ops: &O,
    rule: PositionRule,
) -> Result<Backbone<O>> {
    if let Some(kind) = config.position_embedding_type.filter(|kind| kind != "absolute") {
        return Err(file.unsupported("position_embedding_type", &kind, "absolute"));
    }
    if config.is_decoder {
        return Err(file.unsupported("is_decoder", "true", "false"));
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
    let (width, positions) = (shape.hidden_size, config.max_position_embeddings);
    let max_tokens = rule.room(file, positions)?;
    let head_width = shape.head_width(file, "num_attention_heads")?;

    let parameters = Parameters::new(&weights, ops);
    let tables = parameters.at("embeddings");
    let embeddings = Embeddings {
        token_types: Some(tables.table("token_type_embeddings", type_vocab_size, width)?),
        positions: Some((tables.table("position_embeddings", positions, width)?, rule)),
        norm: Some(tables.layer_norm("LayerNorm", width, shape.eps)?),
        ..Embeddings::of_words(tables.table("word_embeddings", vocab_size, width)?)
    };
    let layers = parameters.at("encoder.layer");
    let encoder = Encoder::load(shape.layers, |i| {
        layer(&layers.at(&i.to_string()), &shape, &NAMES, Biases::ALL, Attention::full(shape.heads, head_width))
    })?;
    let limits = Limits {
        hidden_size: width,
        vocab_size,
        type_vocab_size: Some(type_vocab_size),
        max_tokens: Some(max_tokens),
        max_position_embeddings: Some(positions),
    };
    Ok(Backbone { embeddings, encoder, limits })
}
