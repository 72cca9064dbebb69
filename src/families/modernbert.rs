//! ModernBERT (Warner et al., 2024): norms before each block, rotary positions, a gated feed-forward block, and layers
//! with a sliding window between layers that see the whole text.

use std::sync::Arc;

use serde_json::Value;

use super::heads::{ClassificationHead, MaskedLmHead, NormLayer, OutputBias, Summary, TransformLayer};
use super::{Family, RemoteCode};
use crate::config::{Activation, JsonFile};
use crate::error::Result;
use crate::layers::attention_heads::AttentionHeads;
use crate::layers::decoder::{LayerType, LayerTypes};
use crate::layers::embeddings::Embeddings;
use crate::layers::encoder::{Encoder, FeedForwardBlock, Layer, Mixing};
use crate::layers::rope::{Rope, RopeByLayerType};
use crate::layers::{Backbone, Limits, Parameters};
use crate::ops::{Attention, FeedForward, Ops, Residual, Rotary, Window};
use crate::tokenize::class::{self, DefaultClass};
use crate::weights::Weights;

pub(super) const MODERNBERT: Family = Family {
    model_type: "modernbert",
    load: load_by!(load),
    classifier: Some(|file| {
        Ok(ClassificationHead {
            summary: match file.text("classifier_pooling", "cls")?.as_str() {
                "cls" => Summary::First,
                "mean" => Summary::Mean,
                other => return Err(file.unsupported("classifier_pooling", other, "cls, mean")),
            },
            transform: Some(transform(file)?),
            output: "classifier",
            output_bias: true,
            temperature: 1.0,
        })
    }),
    masked_lm: Some(|file| {
        let output_bias = file.get("decoder_bias", true)?;
        Ok(MaskedLmHead {
            transform: transform(file)?,
            width: Config::read(file)?.hidden_size,
            words: "model.embeddings.tok_embeddings",
            output: "decoder",
            bias: if output_bias { OutputBias::OfLayer } else { OutputBias::Absent },
        })
    }),
    tokenizer: DefaultClass::Always(&class::GENERIC),
    images: None,
    remote_code: RemoteCode::None,
};

/// The layer that both heads begin with.
fn transform(file: &JsonFile) -> Result<TransformLayer> {
    let Config { norm_bias, eps, .. } = Config::read(file)?;
    Ok(TransformLayer {
        dense: "head.dense",
        dense_bias: file.get("classifier_bias", false)?,
        activation: file.activation("classifier_activation", "gelu")?,
        norm: Some(NormLayer { name: "head.norm", bias: norm_bias, eps }),
    })
}

struct Config {
    vocab_size: usize,
    hidden_size: usize,
    layers: usize,
    heads: AttentionHeads,
    intermediate_size: usize,
    activation: Activation,
    max_position_embeddings: usize,
    eps: f32,
    norm_bias: bool,
    attention_bias: bool,
    feed_forward_bias: bool,
}

impl Config {
    /// Reads `config.json`; absent keys have the defaults of transformers' class.
    fn read(file: &JsonFile) -> Result<Self> {
        let hidden_size = file.size("hidden_size", 768)?;
        Ok(Self {
            vocab_size: file.size("vocab_size", 50_368)?,
            hidden_size,
            layers: file.size("num_hidden_layers", 22)?,
            heads: AttentionHeads::of(file, "num_attention_heads", 12, hidden_size)?,
            intermediate_size: file.size("intermediate_size", 1152)?,
            activation: file.activation("hidden_activation", "gelu")?,
            max_position_embeddings: file.size("max_position_embeddings", 8192)?,
            eps: file.eps("norm_eps", 1e-5)?,
            norm_bias: file.get("norm_bias", false)?,
            attention_bias: file.get("attention_bias", false)?,
            feed_forward_bias: file.get("mlp_bias", false)?,
        })
    }

    fn norm<O: Ops>(&self, parameters: &Parameters<'_, O>, name: &str) -> Result<O::Norm> {
        parameters.norm(name, self.hidden_size, self.eps, self.norm_bias)
    }
}

/// Keys that a layer's queries see, and the positions that they know.
struct Layers {
    types: LayerTypes,
    /// Full attention comes again after as many layers, unless all are listed.
    period: usize,
    /// Sliding window on either side.
    sliding: usize,
    global: Arc<Rotary>,
    local: Arc<Rotary>,
}

impl Layers {
    fn read(file: &JsonFile, config: &Config) -> Result<Self> {
        let types = LayerTypes::read(file, config.layers)?;
        let parameters: Option<RopeByLayerType> = file.get("rope_parameters", None)?;
        let RopeByLayerType { full_attention, sliding_attention } = parameters.unwrap_or_default();
        let rotary = |key, parameters, theta| {
            let rope = Rope::new(file, config.heads.width, config.max_position_embeddings);
            Rope { key, parameters, theta, ..rope }.rotary()
        };
        let [global_theta, local_theta] =
            [file.get("global_rope_theta", 160_000.0)?, file.get("local_rope_theta", 10_000.0)?];
        Ok(Self {
            period: types.period(file, "global_attn_every_n_layers", 3)?,
            types,
            sliding: file.size("local_attention", 128)? / 2,
            global: rotary("rope_parameters.full_attention", full_attention, global_theta)?,
            local: rotary("rope_parameters.sliding_attention", sliding_attention, local_theta)?,
        })
    }

    fn of(&self, layer: usize) -> (Window, &Arc<Rotary>) {
        let by_number = || match layer % self.period {
            0 => LayerType::FullAttention,
            _ => LayerType::SlidingAttention,
        };
        match self.types.of(layer, by_number) {
            LayerType::FullAttention => (Window::ALL, &self.global),
            LayerType::SlidingAttention => (Window { before: self.sliding, after: self.sliding }, &self.local),
        }
    }
}

fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    file.only("rope_scaling", Value::Null)?;
    let config = Config::read(file)?;
    let layers = Layers::read(file, &config)?;
    let (hidden_size, middle) = (config.hidden_size, config.intermediate_size);

    let weights = weights.behind("model", "embeddings.tok_embeddings.weight");
    let parameters = Parameters::new(&weights, ops);
    let tables = parameters.at("embeddings");
    let embeddings = Embeddings {
        norm: Some(config.norm(&tables, "norm")?),
        ..Embeddings::of_words(tables.table("tok_embeddings", config.vocab_size, hidden_size)?)
    };
    let encoder = Encoder::load(config.layers, |i| {
        let layer = parameters.at("layers").at(&i.to_string());
        let (attention, mlp) = (layer.at("attn"), layer.at("mlp"));
        let (window, rotary) = layers.of(i);
        let query_key_value = &[("Wqkv", hidden_size.saturating_mul(3))];
        Ok(Layer {
            // The embeddings are normalized already.
            attention_norm: (i > 0).then(|| config.norm(&layer, "attn_norm")).transpose()?,
            query_key_value: attention.stacked_linear(query_key_value, hidden_size, config.attention_bias)?,
            attention: Mixing::Attention(Attention { window, ..config.heads.rotary_attention(rotary) }),
            attention_output: attention.stacked_linear(&[("Wo", hidden_size)], hidden_size, config.attention_bias)?,
            attention_residual: Residual::Add,
            feed_forward_norm: Some(config.norm(&layer, "mlp_norm")?),
            feed_forward: FeedForwardBlock::Dense(FeedForward {
                up: mlp.stacked_linear(&[("Wi", middle.saturating_mul(2))], hidden_size, config.feed_forward_bias)?,
                gated: true,
                activation: config.activation,
                down: mlp.stacked_linear(&[("Wo", hidden_size)], middle, config.feed_forward_bias)?,
            }),
            feed_forward_residual: Residual::Add,
            per_layer_input: None,
        })
    })?;
    let limits = Limits {
        hidden_size,
        vocab_size: config.vocab_size,
        type_vocab_size: None,
        max_tokens: None,
        max_position_embeddings: Some(config.max_position_embeddings),
    };
    Ok(Backbone { embeddings, encoder: encoder.with_norm(config.norm(&parameters, "final_norm")?), limits })
}
