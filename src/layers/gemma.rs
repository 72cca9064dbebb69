//! Parts that Gemma's generations share: scaled embeddings, norms after blocks, and their own scale of attention scores.

use super::attention_heads::AttentionHeads;
use super::decoder::{DecoderShape, Norms};
use super::embeddings::Embeddings;
use super::encoder::Layer;
use super::{Backbone, Parameters};
use crate::config::JsonFile;
use crate::error::Result;
use crate::ops::{Attention, Ops, Residual};

impl DecoderShape {
    /// Reads `config.json` of Gemma 2 or 3; absent keys have the defaults of transformers' classes, which differ in the two that
    /// are given.
    pub(crate) fn of_gemma(file: &JsonFile, vocab_size: usize, max_position_embeddings: usize) -> Result<Self> {
        let attention_bias = file.get("attention_bias", false)?;
        let shape = Self {
            vocab_size: file.size("vocab_size", vocab_size)?,
            hidden_size: file.size("hidden_size", 2304)?,
            layers: file.size("num_hidden_layers", 26)?,
            heads: AttentionHeads { count: file.size("num_attention_heads", 8)?, width: file.get("head_dim", 256)? },
            key_value_heads: file.get("num_key_value_heads", 4)?,
            intermediate_size: file.size("intermediate_size", 9216)?,
            activation: file.activation("hidden_activation", "gelu_pytorch_tanh")?,
            query_key_value_bias: attention_bias,
            attention_output_bias: attention_bias,
            feed_forward_bias: false,
            max_position_embeddings: file.size("max_position_embeddings", max_position_embeddings)?,
            norms: Norms { eps: file.eps("rms_norm_eps", 1e-6)?, offset: 1.0 },
        };
        shape.checked(file)
    }

    /// Loads a transformer whose embeddings are scaled by the root of the hidden size.
    pub(crate) fn load_scaled<O: Ops>(
        &self,
        parameters: &Parameters<'_, O>,
        layer: impl Fn(usize, &Parameters<'_, O>) -> Result<Layer<O>> + Sync,
    ) -> Result<Backbone<O>> {
        let backbone = self.load(parameters, layer)?;
        let factor = Some((self.hidden_size as f32).sqrt());
        Ok(Backbone { embeddings: Embeddings { factor, ..backbone.embeddings }, ..backbone })
    }

    /// Loads a layer with norms before and after each block.
    pub(crate) fn layer_with_four_norms<O: Ops>(
        &self,
        layer: &Parameters<'_, O>,
        attention: Attention<O>,
    ) -> Result<Layer<O>> {
        let after = |name| self.norms.load(layer, name, self.hidden_size).map(Residual::NormAdd);
        Ok(Layer {
            attention_residual: after("post_attention_layernorm")?,
            feed_forward_residual: after("post_feedforward_layernorm")?,
            ..self.layer(layer, "pre_feedforward_layernorm", attention)?
        })
    }
}

/// Reads the factor of attention scores.
pub(crate) fn attention_scale(file: &JsonFile) -> Result<f32> {
    let key = "query_pre_attn_scalar";
    let scalar: f64 = file.get(key, 256.0)?;
    let scale = 1.0 / scalar.sqrt();
    if scale.is_finite() && scale > 0.0 {
        return Ok(scale as f32);
    }
    Err(file.error(key, format!("must be a number above 0, got {scalar}")))
}
