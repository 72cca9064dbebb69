//! LFM2 (Liquid AI, 2025): layers of short causal convolutions, and some of causal attention.

use std::sync::Arc;

use serde::Deserialize;

use super::{Family, RemoteCode};
use crate::config::{Activation, JsonFile};
use crate::error::Result;
use crate::layers::attention_heads::AttentionHeads;
use crate::layers::decoder::{LayerTypes, Sight};
use crate::layers::embeddings::Embeddings;
use crate::layers::encoder::{Encoder, FeedForwardBlock, Layer, Mixing};
use crate::layers::rope::Rope;
use crate::layers::{Backbone, Limits, Parameters};
use crate::ops::{Attention, FeedForward, Ops, QueryKeyNorms, Residual, Rotary, ShortConvolution, Window};
use crate::tokenize::class::{self, DefaultClass};
use crate::weights::{Array, Weights};

pub(super) const LFM2: Family = Family {
    model_type: "lfm2",
    load: load_by!(load),
    classifier: None,
    masked_lm: None,
    tokenizer: DefaultClass::Undeclared(&class::GENERIC),
    images: None,
    remote_code: RemoteCode::None,
};

/// Step in which a layer's tokens see others.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Operator {
    Conv,
    FullAttention,
}

struct Config {
    vocab_size: usize,
    hidden_size: usize,
    layers: usize,
    heads: AttentionHeads,
    key_value_heads: usize,
    middle: usize,
    max_position_embeddings: usize,
    eps: f32,
    conv_bias: bool,
    taps: usize,
    window: Window,
    types: LayerTypes<Operator>,
    /// Layers with attention, where `layer_types` is absent; none means all.
    attending: Option<Vec<usize>>,
}

impl Config {
    /// Reads `config.json`; absent keys have the defaults of transformers' class.
    fn read(file: &JsonFile) -> Result<Self> {
        let (hidden_size, layers) = (file.size("hidden_size", 2560)?, file.size("num_hidden_layers", 32)?);
        let heads = AttentionHeads::with_head_dim(file, 32, None, hidden_size)?;
        let config = Self {
            vocab_size: file.size("vocab_size", 65_536)?,
            hidden_size,
            layers,
            heads,
            key_value_heads: file.get("num_key_value_heads", 8)?,
            middle: middle(file)?,
            max_position_embeddings: file.size("max_position_embeddings", 128_000)?,
            eps: file.eps("norm_eps", 1e-5)?,
            conv_bias: file.get("conv_bias", false)?,
            taps: file.size("conv_L_cache", 3)?,
            window: Sight::read(file)?.window(),
            types: LayerTypes::read(file, layers)?,
            attending: file.get("full_attn_idxs", None)?,
        };
        file.positive("head_dim", heads.width)?;
        if config.key_value_heads == 0 || !heads.count.is_multiple_of(config.key_value_heads) {
            let problem = format!("must divide num_attention_heads, {}, got {}", heads.count, config.key_value_heads);
            return Err(file.error("num_key_value_heads", problem));
        }
        Ok(config)
    }

    fn operator(&self, layer: usize) -> Operator {
        self.types.of(layer, || match &self.attending {
            Some(attending) if !attending.contains(&layer) => Operator::Conv,
            _ => Operator::FullAttention,
        })
    }

    fn layer<O: Ops>(&self, layer: &Parameters<'_, O>, operator: Operator, rotary: &Arc<Rotary>) -> Result<Layer<O>> {
        let Self { hidden_size: hidden, middle, eps, .. } = *self;
        let (query_key_value, attention, attention_output) = match operator {
            Operator::Conv => self.convolution(&layer.at("conv"))?,
            Operator::FullAttention => self.attention(&layer.at("self_attn"), rotary)?,
        };
        let feed_forward = layer.at("feed_forward");
        Ok(Layer {
            attention_norm: Some(layer.rms_norm("operator_norm", hidden, eps)?),
            query_key_value,
            attention,
            attention_output,
            attention_residual: Residual::Add,
            feed_forward_norm: Some(layer.rms_norm("ffn_norm", hidden, eps)?),
            feed_forward: FeedForwardBlock::Dense(FeedForward {
                up: feed_forward.stacked_linear(&[("w1", middle), ("w3", middle)], hidden, false)?,
                gated: true,
                activation: Activation::Silu,
                down: feed_forward.linear_without_bias("w2", middle, hidden)?,
            }),
            feed_forward_residual: Residual::Add,
            per_layer_input: None,
        })
    }

    /// Loads attention between its two linear layers.
    fn attention<O: Ops>(
        &self,
        own: &Parameters<'_, O>,
        rotary: &Arc<Rotary>,
    ) -> Result<(O::Linear, Mixing<O>, O::Linear)> {
        let norm = |name| own.rms_norm(name, self.heads.width, self.eps);
        let attention = Attention {
            key_value_heads: self.key_value_heads,
            window: self.window,
            query_key_norms: Some(QueryKeyNorms::EachHead([norm("q_layernorm")?, norm("k_layernorm")?])),
            ..self.heads.rotary_attention(rotary)
        };
        let [queries, keys, values] = attention.widths();
        let projections = [("q_proj", queries), ("k_proj", keys), ("v_proj", values)];
        Ok((
            own.stacked_linear(&projections, self.hidden_size, false)?,
            Mixing::Attention(attention),
            own.linear_without_bias("out_proj", queries, self.hidden_size)?,
        ))
    }

    /// Loads a convolution between its two linear layers.
    fn convolution<O: Ops>(&self, own: &Parameters<'_, O>) -> Result<(O::Linear, Mixing<O>, O::Linear)> {
        let (width, bias) = (self.hidden_size, self.conv_bias);
        let weight = own.array("conv.weight", &[width, 1, self.taps])?;
        let taps = Array::new(vec![width, self.taps], weight.as_slice().to_vec()).transposed();
        let row = |bias: Array| Array::new(vec![1, width], bias.as_slice().to_vec());
        let conv_bias = bias.then(|| own.ops.table(row(own.array("conv.bias", &[width])?).into()));
        Ok((
            own.stacked_linear(&[("in_proj", width.saturating_mul(3))], width, bias)?,
            Mixing::Convolution(ShortConvolution { taps: own.ops.table(taps.into())?, bias: conv_bias.transpose()? }),
            own.stacked_linear(&[("out_proj", width)], width, bias)?,
        ))
    }
}

/// Returns the width of the feed-forward block.
fn middle(file: &JsonFile) -> Result<usize> {
    let key = if file.value.get("block_ff_dim").is_some() { "block_ff_dim" } else { "intermediate_size" };
    let width = file.size(key, 12_288)?;
    if !file.get("block_auto_adjust_ff_dim", true)? {
        return Ok(width);
    }
    let width = width.saturating_mul(2) / 3;
    let multiplier = "block_ffn_dim_multiplier";
    let width = match file.get(multiplier, Some(1.0))? {
        None => width,
        Some(factor) if factor > 0.0 && f64::is_finite(factor) => ((factor * width as f64) as usize)
            .checked_next_multiple_of(file.size("block_multiple_of", 256)?)
            .unwrap_or(0),
        Some(factor) => return Err(file.error(multiplier, format!("must be a number above 0, got {factor}"))),
    };
    file.positive(key, width)
}

fn load<O: Ops>(file: &JsonFile, weights: Weights, ops: &O) -> Result<Backbone<O>> {
    let config = Config::read(file)?;
    let (hidden_size, vocab_size) = (config.hidden_size, config.vocab_size);
    let rotary = Rope::read(file, 1_000_000.0, config.heads.width, config.max_position_embeddings)?.rotary()?;

    let weights = weights.behind("model", "embed_tokens.weight");
    let parameters = Parameters::new(&weights, ops);
    let embeddings = Embeddings::of_words(parameters.table("embed_tokens", vocab_size, hidden_size)?);
    let layers = parameters.at("layers");
    let encoder =
        Encoder::load(config.layers, |i| config.layer(&layers.at(&i.to_string()), config.operator(i), &rotary))?;
    let norm = parameters.rms_norm("embedding_norm", hidden_size, config.eps)?;
    let limits = Limits {
        hidden_size,
        vocab_size,
        type_vocab_size: None,
        max_tokens: None,
        max_position_embeddings: Some(config.max_position_embeddings),
    };
    Ok(Backbone { embeddings, encoder: encoder.with_norm(norm), limits })
}
