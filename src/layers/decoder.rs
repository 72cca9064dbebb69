//! Decoder layer of Llama and its descendants (Touvron et al., 2023): RMS norms before attention and before a gated
//! feed-forward block, rotary positions, and grouped-query attention.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::attention_heads::AttentionHeads;
use super::embeddings::Embeddings;
use super::encoder::{Encoder, FeedForwardBlock, Layer, Mixing};
use super::{Backbone, Limits, Parameters};
use crate::config::{Activation, JsonFile, optional_integer};
use crate::error::Result;
use crate::ops::{Attention, FeedForward, Ops, QueryKeyNorms, Residual, Rotary, Window};

/// Sizes of a decoder and of its layers.
#[derive(Clone, Copy)]
pub(crate) struct DecoderShape {
    pub(crate) vocab_size: usize,
    pub(crate) hidden_size: usize,
    pub(crate) layers: usize,
    pub(crate) heads: AttentionHeads,
    pub(crate) key_value_heads: usize,
    pub(crate) intermediate_size: usize,
    pub(crate) activation: Activation,
    pub(crate) query_key_value_bias: bool,
    pub(crate) attention_output_bias: bool,
    pub(crate) feed_forward_bias: bool,
    pub(crate) max_position_embeddings: usize,
    pub(crate) norms: Norms,
}

/// Settings of the RMS norms.
#[derive(Clone, Copy)]
pub(crate) struct Norms {
    pub(crate) eps: f32,
    /// Added to all of their weights.
    pub(crate) offset: f32,
}

impl Norms {
    pub(crate) fn load<O: Ops>(self, parameters: &Parameters<'_, O>, name: &str, width: usize) -> Result<O::Norm> {
        if self.offset == 0.0 {
            return parameters.rms_norm(name, width, self.eps);
        }
        let weight = parameters.array(&format!("{name}.weight"), &[width])?;
        parameters.ops.rms_norm(&weight.map(|weight| weight + self.offset), self.eps)
    }
}

impl DecoderShape {
    /// Checks the sizes whose keys may be absent or null.
    pub(crate) fn checked(self, file: &JsonFile) -> Result<Self> {
        file.positive("num_key_value_heads", self.key_value_heads)?;
        file.positive("head_dim", self.heads.width)?;
        if !self.heads.count.is_multiple_of(self.key_value_heads) {
            let problem =
                format!("must divide num_attention_heads, {}, got {}", self.heads.count, self.key_value_heads);
            return Err(file.error("num_key_value_heads", problem));
        }
        Ok(self)
    }

    /// Loads the transformer: the embedding table, its layers by number, and a norm after the last.
    pub(crate) fn load<O: Ops>(
        &self,
        parameters: &Parameters<'_, O>,
        layer: impl Fn(usize, &Parameters<'_, O>) -> Result<Layer<O>> + Sync,
    ) -> Result<Backbone<O>> {
        let (hidden_size, vocab_size) = (self.hidden_size, self.vocab_size);
        let embeddings = Embeddings::of_words(parameters.table("embed_tokens", vocab_size, hidden_size)?);
        let layers = parameters.at("layers");
        let encoder = Encoder::load(self.layers, |i| layer(i, &layers.at(&i.to_string())))?;
        let norm = self.norms.load(parameters, "norm", hidden_size)?;
        let limits = Limits {
            hidden_size,
            vocab_size,
            type_vocab_size: None,
            max_tokens: None,
            max_position_embeddings: Some(self.max_position_embeddings),
        };
        Ok(Backbone { embeddings, encoder: encoder.with_norm(norm), limits })
    }

    /// Makes full attention with these rotary positions.
    pub(crate) fn attention<O: Ops>(&self, rotary: &Arc<Rotary>) -> Attention<O> {
        Attention { key_value_heads: self.key_value_heads, ..self.heads.rotary_attention(rotary) }
    }

    /// Loads a layer. `feed_forward_norm` names the norm before its feed-forward block.
    pub(crate) fn layer<O: Ops>(
        &self,
        parameters: &Parameters<'_, O>,
        feed_forward_norm: &str,
        attention: Attention<O>,
    ) -> Result<Layer<O>> {
        let (hidden, middle) = (self.hidden_size, self.intermediate_size);
        let [queries, keys, values] = attention.widths();
        let projections = [("q_proj", queries), ("k_proj", keys), ("v_proj", values)];
        let own = parameters.at("self_attn");
        let mlp = parameters.at("mlp");
        Ok(Layer {
            attention_norm: Some(self.norms.load(parameters, "input_layernorm", hidden)?),
            query_key_value: own.stacked_linear(&projections, hidden, self.query_key_value_bias)?,
            attention: Mixing::Attention(attention),
            attention_output: own.stacked_linear(&[("o_proj", hidden)], queries, self.attention_output_bias)?,
            attention_residual: Residual::Add,
            feed_forward_norm: Some(self.norms.load(parameters, feed_forward_norm, hidden)?),
            feed_forward: FeedForwardBlock::Dense(FeedForward {
                up: mlp.stacked_linear(
                    &[("gate_proj", middle), ("up_proj", middle)],
                    hidden,
                    self.feed_forward_bias,
                )?,
                gated: true,
                activation: self.activation,
                down: mlp.stacked_linear(&[("down_proj", hidden)], middle, self.feed_forward_bias)?,
            }),
            feed_forward_residual: Residual::Add,
            per_layer_input: None,
        })
    }

    /// Loads the norms of every head's queries and keys, which some families have.
    pub(crate) fn query_key_norms<O: Ops>(&self, parameters: &Parameters<'_, O>) -> Result<QueryKeyNorms<O>> {
        let own = parameters.at("self_attn");
        let norm = |name| self.norms.load(&own, name, self.heads.width);
        Ok(QueryKeyNorms::EachHead([norm("q_norm")?, norm("k_norm")?]))
    }
}

/// Keys that a layer's queries see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LayerType {
    FullAttention,
    SlidingAttention,
}

/// Type of each layer: `layer_types` lists them, or the family has a rule.
pub(crate) struct LayerTypes<T = LayerType> {
    listed: Option<Vec<T>>,
}

impl<T: Copy + DeserializeOwned> LayerTypes<T> {
    pub(crate) fn read(file: &JsonFile, layers: usize) -> Result<Self> {
        let key = "layer_types";
        let listed: Option<Vec<_>> = file.get(key, None)?;
        if let Some(listed) = listed.as_ref().filter(|listed| listed.len() != layers) {
            let problem = format!("must list {layers} layers, got {}", listed.len());
            return Err(file.error(key, problem));
        }
        Ok(Self { listed })
    }

    /// Reads the period of layers with full attention. It has no effect if `layer_types` lists all layers.
    pub(crate) fn period(&self, file: &JsonFile, key: &str, default: usize) -> Result<usize> {
        match (&self.listed, file.get_with(key, Some(default), optional_integer)?) {
            (Some(_), _) => Ok(1),
            (None, Some(period)) => file.positive(key, period),
            (None, None) => Err(file.error(key, "must be a whole number if layer_types is absent, got null")),
        }
    }

    /// Returns the type of a layer: as listed, or by the rule.
    pub(crate) fn of(&self, layer: usize, rule: impl FnOnce() -> T) -> T {
        self.listed.as_ref().map_or_else(rule, |listed| listed[layer])
    }
}

/// Keys that queries see without a sliding window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// Keys up to the query.
    Causal,
    /// All of the text.
    BothWays,
}

impl Sight {
    /// Reads the keys that make a causal architecture look both ways.
    pub(crate) fn read(file: &JsonFile) -> Result<Self> {
        let both_ways = file.get("use_bidirectional_attention", None)?.unwrap_or(false);
        Ok(if both_ways || !file.get("is_causal", true)? { Self::BothWays } else { Self::Causal })
    }

    /// Returns the keys that a query sees without a sliding window.
    pub(crate) fn window(self) -> Window {
        match self {
            Self::Causal => Window::CAUSAL,
            Self::BothWays => Window::ALL,
        }
    }

    /// Returns the keys that a query sees with a sliding window. A causal one counts the query's own position; the other is
    /// a radius.
    pub(crate) fn sliding_window(self, file: &JsonFile, key: &str, width: usize) -> Result<Window> {
        let width = file.positive(key, width)?;
        Ok(match self {
            Self::Causal => Window { before: width - 1, after: 0 },
            Self::BothWays => Window { before: width, after: width },
        })
    }
}

/// Keys that each layer's queries see, as Qwen's configs describe them.
pub(crate) struct QwenWindows {
    types: LayerTypes,
    sight: Sight,
    /// Width of sliding windows, where they are in use.
    sliding: Option<usize>,
    /// Layers before the first sliding window, unless all are listed.
    full_layers: usize,
}

impl QwenWindows {
    const SLIDING: &'static str = "sliding_window";

    pub(crate) fn read(file: &JsonFile, layers: usize, sight: Sight) -> Result<Self> {
        let (sliding, used) = (file.get(Self::SLIDING, Some(4096))?, file.get("use_sliding_window", false)?);
        Ok(Self {
            types: LayerTypes::read(file, layers)?,
            sight,
            sliding: sliding.filter(|_| used),
            full_layers: file.get("max_window_layers", 28)?,
        })
    }

    /// Returns the window of a layer.
    pub(crate) fn of(&self, file: &JsonFile, layer: usize) -> Result<Window> {
        let by_number = || match self.sliding {
            Some(_) if layer >= self.full_layers => LayerType::SlidingAttention,
            _ => LayerType::FullAttention,
        };
        match (self.types.of(layer, by_number), self.sliding) {
            (LayerType::FullAttention, _) => Ok(self.sight.window()),
            (LayerType::SlidingAttention, Some(width)) => self.sight.sliding_window(file, Self::SLIDING, width),
            (LayerType::SlidingAttention, None) => {
                Err(file.error("layer_types", "lists sliding_attention, but there is no sliding_window in use"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// By transformers' masks: `q - k < width` for causal models, `|q - k| <= width` for others.
    #[test]
    fn a_sliding_window_is_a_width_for_causal_models_and_a_radius_for_others() {
        for (causal, expected) in [(true, Window { before: 7, after: 0 }), (false, Window { before: 8, after: 8 })] {
            let file = JsonFile { path: "config.json".into(), value: json!({ "is_causal": causal }) };
            let sight = Sight::read(&file).unwrap();
            assert_eq!(sight.sliding_window(&file, "sliding_window", 8).unwrap(), expected);
        }
    }
}
