//! Encoder that all families share (Vaswani et al., 2017): attention and feed-forward blocks, each with a residual and
//! a norm before or after it. Some families have a convolution in place of attention, or a third block.

use std::sync::Arc;

use super::Checkpoint;
use super::experts::Experts;
use super::per_layer_input::PerLayerInput;
use crate::config::Activation;
use crate::error::Result;
use crate::ops::{Attention, DeviceBatch, FeedForward, Ops, Residual, ShortConvolution, TokenSelection};
use crate::threads::place::load_parts;

/// Layer of attention and feed-forward blocks, configured by its parts.
pub(crate) struct Layer<O: Ops> {
    /// Norm of attention's input.
    pub(crate) attention_norm: Option<O::Norm>,
    /// Queries, keys and values, or a convolution's input.
    pub(crate) query_key_value: O::Linear,
    pub(crate) attention: Mixing<O>,
    pub(crate) attention_output: O::Linear,
    pub(crate) attention_residual: Residual<O>,
    /// Norm of the feed-forward block's input.
    pub(crate) feed_forward_norm: Option<O::Norm>,
    pub(crate) feed_forward: FeedForwardBlock<O>,
    pub(crate) feed_forward_residual: Residual<O>,
    /// Block that mixes the embeddings in again.
    pub(crate) per_layer_input: Option<PerLayerInput<O>>,
}

impl<O: Ops> Layer<O> {
    /// Maps the tokens `x` to those that `queries` selects. `embeddings` are the first layer's input, where a layer has use
    /// for it.
    fn forward(
        &self,
        ops: &O,
        mut x: O::Tensor,
        embeddings: Option<&O::Tensor>,
        batch: &DeviceBatch<'_, O>,
        queries: TokenSelection,
    ) -> Result<O::Tensor> {
        let selected = |x: &O::Tensor| queries.pooling().map(|mode| ops.pool(x, batch, &[mode])).transpose();
        let input = normed(ops, &x, self.attention_norm.as_ref())?;
        let input = input.as_ref().unwrap_or(&x);
        let qkv = ops.linear(input, &self.query_key_value, Activation::Identity)?;
        let attended = match &self.attention {
            Mixing::Attention(attention) => ops.attention(qkv, batch, attention, queries)?,
            Mixing::Convolution(convolution) => {
                let mixed = ops.short_convolution(&qkv, batch, convolution)?;
                selected(&mixed)?.unwrap_or(mixed)
            }
        };
        if let Some(selected) = selected(&x)? {
            x = selected;
        }
        x = ops.linear_residual(&attended, &self.attention_output, &x, &self.attention_residual)?;
        let input = normed(ops, &x, self.feed_forward_norm.as_ref())?;
        let input = input.as_ref().unwrap_or(&x);
        x = self.feed_forward.forward(ops, input, &x, &self.feed_forward_residual)?;
        if let (Some(block), Some(embeddings)) = (&self.per_layer_input, embeddings) {
            let selected = selected(embeddings)?;
            x = block.forward(ops, selected.as_ref().unwrap_or(embeddings), &x)?;
        }
        Ok(x)
    }
}

/// Returns what a norm makes of `x`, if there is one.
fn normed<O: Ops>(ops: &O, x: &O::Tensor, norm: Option<&O::Norm>) -> Result<Option<O::Tensor>> {
    norm.map(|norm| ops.norm(x, norm)).transpose()
}

/// Step in which tokens see others.
pub(crate) enum Mixing<O: Ops> {
    Attention(Attention<O>),
    Convolution(ShortConvolution<O>),
}

/// Block after attention.
pub(crate) enum FeedForwardBlock<O: Ops> {
    Dense(FeedForward<O>),
    Experts(Experts<O>),
}

impl<O: Ops> FeedForwardBlock<O> {
    fn forward(&self, ops: &O, x: &O::Tensor, residual: &O::Tensor, join: &Residual<O>) -> Result<O::Tensor> {
        match self {
            Self::Dense(block) => ops.feed_forward(x, block, residual, join),
            Self::Experts(experts) => join.of(ops, experts.forward(ops, x)?, residual),
        }
    }
}

pub(crate) struct Encoder<O: Ops> {
    layers: Vec<Arc<Layer<O>>>,
    /// Norm of the last layer's output.
    norm: Option<O::Norm>,
    /// Linear layer after that norm.
    projection: Option<O::Linear>,
    /// Weights of all layers' outputs, the embeddings' first, for a model that takes their weighted sum.
    mix: Option<Vec<f32>>,
}

impl<O: Ops> Encoder<O> {
    /// Loads layers by their numbers.
    pub(crate) fn load(layers: usize, load: impl Fn(usize) -> Result<Layer<O>> + Sync) -> Result<Self> {
        Ok(Self::new(load_parts(layers, |i| Ok(Arc::new(load(i)?)))?))
    }

    /// Adds a norm of the last layer's output.
    pub(crate) fn with_norm(self, norm: O::Norm) -> Self {
        Self { norm: Some(norm), ..self }
    }

    /// Adds a linear layer after the norm.
    pub(crate) fn with_projection(self, projection: O::Linear) -> Self {
        Self { projection: Some(projection), ..self }
    }

    /// Encoder of layers that may occur more than once.
    pub(crate) fn new(layers: Vec<Arc<Layer<O>>>) -> Self {
        Self { layers, norm: None, projection: None, mix: None }
    }

    pub(crate) fn layers(&self) -> usize {
        self.layers.len()
    }

    /// Makes the output a weighted sum of all layers' outputs, the embeddings' first. Returns false if there is a norm
    /// after the last layer, which makes that layer's output ambiguous.
    pub(crate) fn mix(&mut self, weights: Vec<f32>) -> bool {
        let can = self.norm.is_none() && weights.len() == self.layers.len() + 1;
        self.mix = can.then_some(weights);
        can
    }

    /// Maps embeddings `(tokens, hidden_size)` to those of the selected tokens, `(selected, hidden_size)`. In the last
    /// layer the other tokens are only keys and values.
    pub(crate) fn forward(
        &self,
        ops: &O,
        mut x: O::Tensor,
        batch: &DeviceBatch<'_, O>,
        selection: TokenSelection,
        checkpoint: &Checkpoint<'_>,
    ) -> Result<O::Tensor> {
        let again = self.layers.iter().any(|layer| layer.per_layer_input.is_some());
        let embeddings = again.then(|| ops.scale(&x, 1.0)).transpose()?;
        let mut sum = self.mixed(ops, None, &x, 0)?;
        for (i, layer) in self.layers.iter().enumerate() {
            checkpoint()?;
            let last = i + 1 == self.layers.len() && self.mix.is_none();
            let queries = if last { selection } else { TokenSelection::All };
            x = layer.forward(ops, x, embeddings.as_ref(), batch, queries)?;
            sum = self.mixed(ops, sum, &x, i + 1)?;
        }
        match (sum, selection.pooling()) {
            (Some(sum), Some(mode)) => ops.pool(&sum, batch, &[mode]),
            (Some(sum), None) => Ok(sum),
            (None, _) => {
                let x = normed(ops, &x, self.norm.as_ref())?.unwrap_or(x);
                match &self.projection {
                    Some(projection) => ops.linear(&x, projection, Activation::Identity),
                    None => Ok(x),
                }
            }
        }
    }

    /// Adds a layer's output to the weighted sum, in a model that takes one.
    fn mixed(&self, ops: &O, sum: Option<O::Tensor>, x: &O::Tensor, layer: usize) -> Result<Option<O::Tensor>> {
        let weight = self.mix.as_ref().map_or(0.0, |weights| weights[layer]);
        if weight == 0.0 {
            return Ok(sum);
        }
        let x = ops.scale(x, weight)?;
        Ok(Some(match sum {
            Some(sum) => ops.add(&sum, &x)?,
            None => x,
        }))
    }
}
