//! Towers of CLIP (Radford et al., 2021) and its descendants: transformers of texts or of images, with norms before each block.

use super::attention_heads::AttentionHeads;
use super::embeddings::{Embeddings, PositionRule};
use super::encoder::{Encoder, FeedForwardBlock, Layer, Mixing};
use super::patches::Patches;
use super::{Backbone, Limits, Parameters};
use crate::config::{Activation, JsonFile};
use crate::error::Result;
use crate::images::ImageShape;
use crate::ops::{Attention, FeedForward, Ops, Residual, Window};
use crate::weights::Array;

/// Sizes of a tower.
pub(crate) struct Tower {
    pub(crate) hidden_size: usize,
    pub(crate) layers: usize,
    heads: AttentionHeads,
    intermediate_size: usize,
    activation: Activation,
    pub(crate) eps: f32,
}

/// Values of a tower's absent keys. The others are 12 layers, and a feed-forward block four times as wide.
#[derive(Clone, Copy)]
pub(crate) struct TowerDefaults {
    pub(crate) hidden_size: usize,
    pub(crate) heads: usize,
    pub(crate) activation: &'static str,
    pub(crate) eps: f64,
}

impl Tower {
    /// Reads a tower's config.
    pub(crate) fn read(file: &JsonFile, defaults: TowerDefaults) -> Result<Self> {
        let hidden_size = file.size("hidden_size", defaults.hidden_size)?;
        Ok(Self {
            hidden_size,
            layers: file.size("num_hidden_layers", 12)?,
            heads: AttentionHeads::of(file, "num_attention_heads", defaults.heads, hidden_size)?,
            intermediate_size: file.size("intermediate_size", 4 * defaults.hidden_size)?,
            activation: file.activation("hidden_act", defaults.activation)?,
            eps: file.eps("layer_norm_eps", defaults.eps)?,
        })
    }

    /// Loads a tower of texts. The last argument has the default numbers of tokens and positions.
    pub(crate) fn load_text<O: Ops>(
        &self,
        file: &JsonFile,
        parameters: &Parameters<'_, O>,
        window: Window,
        [vocab_size, positions]: [usize; 2],
    ) -> Result<Backbone<O>> {
        let vocab_size = file.size("vocab_size", vocab_size)?;
        let positions = file.size("max_position_embeddings", positions)?;
        let tables = parameters.at("embeddings");
        let words = tables.table("token_embedding", vocab_size, self.hidden_size)?;
        let table = tables.table("position_embedding", positions, self.hidden_size)?;
        let embeddings = Embeddings { positions: Some((table, PositionRule::FromZero)), ..Embeddings::of_words(words) };
        let norm = parameters.layer_norm("final_layer_norm", self.hidden_size, self.eps)?;
        let encoder = self.encoder(parameters, window)?.with_norm(norm);
        Ok(Backbone { embeddings, encoder, limits: self.limits(vocab_size, positions) })
    }

    /// Loads the embeddings of images, without a norm.
    pub(crate) fn image_embeddings<O: Ops>(
        &self,
        parameters: &Parameters<'_, O>,
        shape: ImageShape,
        biased: bool,
    ) -> Result<Embeddings<O>> {
        let hidden = self.hidden_size;
        let own = parameters.at("embeddings");
        // Patches are added to the vector of 0.
        let mut tokens = vec![Array::zeros(&[1, hidden])];
        if shape.has_class {
            let mut class = own.array("class_embedding", &[hidden])?;
            class.shape = vec![1, hidden];
            tokens.push(class);
        }
        let positions = own.table("position_embedding", shape.tokens(), hidden)?;
        Ok(Embeddings {
            positions: Some((positions, PositionRule::FromZero)),
            patches: Some(Patches::load(&own, "patch_embedding", shape, hidden, biased)?),
            ..Embeddings::of_words(own.ops.table(Array::stack(&tokens).into())?)
        })
    }

    pub(crate) fn image_limits(&self, shape: ImageShape) -> Limits {
        self.limits(1 + usize::from(shape.has_class), shape.tokens())
    }

    fn limits(&self, vocab_size: usize, positions: usize) -> Limits {
        Limits {
            hidden_size: self.hidden_size,
            vocab_size,
            type_vocab_size: None,
            max_tokens: Some(positions),
            max_position_embeddings: Some(positions),
        }
    }

    /// Loads the layers.
    pub(crate) fn encoder<O: Ops>(&self, parameters: &Parameters<'_, O>, window: Window) -> Result<Encoder<O>> {
        let layers = parameters.at("encoder.layers");
        Encoder::load(self.layers, |i| self.layer(&layers.at(&i.to_string()), window))
    }

    pub(crate) fn layer<O: Ops>(&self, parameters: &Parameters<'_, O>, window: Window) -> Result<Layer<O>> {
        let hidden = self.hidden_size;
        let attention = parameters.at("self_attn");
        let parts = ["q_proj", "k_proj", "v_proj"].map(|name| (name, hidden));
        Ok(Layer {
            attention_norm: Some(parameters.layer_norm("layer_norm1", hidden, self.eps)?),
            query_key_value: attention.stacked_linear(&parts, hidden, true)?,
            attention: Mixing::Attention(Attention { window, ..self.heads.attention() }),
            attention_output: attention.linear("out_proj", hidden, hidden)?,
            attention_residual: Residual::Add,
            feed_forward_norm: Some(parameters.layer_norm("layer_norm2", hidden, self.eps)?),
            feed_forward: self.feed_forward(parameters)?,
            feed_forward_residual: Residual::Add,
            per_layer_input: None,
        })
    }

    /// Loads the layer that pools an image's tokens by a learned query, which takes the place of the first token's.
    pub(crate) fn pooling_layer<O: Ops>(&self, parameters: &Parameters<'_, O>) -> Result<Layer<O>> {
        let hidden = self.hidden_size;
        let head = parameters.at("head");
        let attention = head.at("attention");
        let probe = head.array("probe", &[1, 1, hidden])?;
        let weight = attention.array("in_proj_weight", &[3 * hidden, hidden])?;
        let bias = attention.array("in_proj_bias", &[3 * hidden])?;
        // All tokens have the same query, so its weights are 0.
        let mut biases = bias.as_slice().to_vec();
        for (bias, row) in biases.iter_mut().zip(weight.as_slice().chunks_exact(hidden)).take(hidden) {
            let products = row.iter().zip(probe.as_slice()).map(|(a, b)| f64::from(*a) * f64::from(*b));
            *bias = (f64::from(*bias) + products.sum::<f64>()) as f32;
        }
        let weights = [Array::zeros(&[hidden, hidden]), weight.rows(hidden..3 * hidden)];
        Ok(Layer {
            attention_norm: Some(parameters.layer_norm("post_layernorm", hidden, self.eps)?),
            query_key_value: head.ops.linear_layer(&weights, Some(&Array::new(bias.shape.clone(), biases)))?,
            attention: Mixing::Attention(self.heads.attention()),
            attention_output: attention.linear("out_proj", hidden, hidden)?,
            attention_residual: Residual::None,
            feed_forward_norm: Some(head.layer_norm("layernorm", hidden, self.eps)?),
            feed_forward: self.feed_forward(&head)?,
            feed_forward_residual: Residual::Add,
            per_layer_input: None,
        })
    }

    fn feed_forward<O: Ops>(&self, parameters: &Parameters<'_, O>) -> Result<FeedForwardBlock<O>> {
        let mlp = parameters.at("mlp");
        Ok(FeedForwardBlock::Dense(FeedForward {
            up: mlp.linear("fc1", self.hidden_size, self.intermediate_size)?,
            gated: false,
            activation: self.activation,
            down: mlp.linear("fc2", self.intermediate_size, self.hidden_size)?,
        }))
    }
}
