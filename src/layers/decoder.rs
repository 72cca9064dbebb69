//! The layer of Llama and its descendants (Touvron et al., 2023): RMS norms before attention and before a gated
//! feed-forward block, rotary positions, and heads that share keys and values.

use serde::Deserialize;

use super::Parameters;
use super::encoder::Layer;
use crate::config::{Activation, JsonFile};
use crate::error::Result;
use crate::ops::{Attention, FeedForward, Ops, Residual};

/// The sizes of a decoder's layers, and what they have.
pub(crate) struct DecoderShape {
    pub(crate) layers: usize,
    pub(crate) hidden_size: usize,
    pub(crate) intermediate_size: usize,
    pub(crate) heads: usize,
    pub(crate) key_value_heads: usize,
    pub(crate) head_width: usize,
    pub(crate) activation: Activation,
    pub(crate) attention_bias: bool,
    pub(crate) feed_forward_bias: bool,
    pub(crate) norms: Norms,
}

/// Its RMS norms.
#[derive(Clone, Copy)]
pub(crate) struct Norms {
    pub(crate) eps: f32,
    /// What is added to all of their weights.
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
    /// Checks sizes that don't depend on weights, by the keys that all these families' configs have.
    pub(crate) fn checked(self, file: &JsonFile) -> Result<Self> {
        for (key, size) in [
            ("num_hidden_layers", self.layers),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_attention_heads", self.heads),
            ("num_key_value_heads", self.key_value_heads),
            ("head_dim", self.head_width),
        ] {
            file.positive(key, size)?;
        }
        if !self.heads.is_multiple_of(self.key_value_heads) {
            let problem = format!("must divide num_attention_heads, {}, got {}", self.heads, self.key_value_heads);
            return Err(file.error("num_key_value_heads", problem));
        }
        Ok(self)
    }

    /// Attention with its heads, in which queries see all keys and don't know where they are.
    pub(crate) fn attention<O: Ops>(&self) -> Attention<O> {
        Attention { key_value_heads: self.key_value_heads, ..Attention::full(self.heads, self.head_width) }
    }

    /// Loads a layer, whose feed-forward block comes after the norm of that name.
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
            query_key_value: own.stacked_linear(&projections, hidden, self.attention_bias)?,
            attention,
            attention_output: own.stacked_linear(&[("o_proj", hidden)], queries, self.attention_bias)?,
            attention_residual: Residual::Add,
            feed_forward_norm: Some(self.norms.load(parameters, feed_forward_norm, hidden)?),
            feed_forward: FeedForward {
                up: mlp.stacked_linear(
                    &[("gate_proj", middle), ("up_proj", middle)],
                    hidden,
                    self.feed_forward_bias,
                )?,
                gated: true,
                activation: self.activation,
                down: mlp.stacked_linear(&[("down_proj", hidden)], middle, self.feed_forward_bias)?,
            },
            feed_forward_residual: Residual::Add,
        })
    }

    /// The norms of every head's queries and keys, which some families have.
    pub(crate) fn query_key_norms<O: Ops>(&self, parameters: &Parameters<'_, O>) -> Result<[O::Norm; 2]> {
        let own = parameters.at("self_attn");
        Ok([self.norms.load(&own, "q_norm", self.head_width)?, self.norms.load(&own, "k_norm", self.head_width)?])
    }
}

/// What a layer's queries see: `layer_types` lists it for each layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LayerType {
    FullAttention,
    SlidingAttention,
}

impl LayerType {
    /// Returns after how many layers full attention comes again. It is not looked at where `layer_types` lists all layers.
    pub(crate) fn period(file: &JsonFile, key: &str, period: Option<usize>, listed: Option<&[Self]>) -> Result<usize> {
        match (listed, period) {
            (Some(_), _) => Ok(1),
            (None, Some(period)) => file.positive(key, period),
            (None, None) => Err(file.error(key, "must be a whole number where layer_types is absent, got null")),
        }
    }

    /// That of each layer as listed; else by a rule.
    pub(crate) fn of_layers<'a>(
        file: &JsonFile,
        listed: Option<&'a [Self]>,
        layers: usize,
        rule: impl Fn(usize) -> Self + 'a,
    ) -> Result<impl Fn(usize) -> Self + 'a> {
        if let Some(listed) = listed.filter(|listed| listed.len() != layers) {
            let problem = format!("must list as many layers as there are, {layers}, lists {}", listed.len());
            return Err(file.error("layer_types", problem));
        }
        Ok(move |i: usize| listed.map_or_else(|| rule(i), |listed| listed[i]))
    }
}
