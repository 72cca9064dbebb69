//! The encoder that BERT and its descendants share: attention and feed-forward blocks, each with its residual and the
//! norm after it (Devlin et al., 2019, after Vaswani et al., 2017).

use super::{Checkpoint, Parameters};
use crate::batch::Batch;
use crate::config::{Activation, JsonFile, PoolingMode};
use crate::error::Result;
use crate::ops::{Attention, FeedForward, Ops, Queries};
use crate::team::by_free_threads;

/// The sizes of an encoder.
pub(crate) struct EncoderShape {
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    pub(crate) hidden_size: usize,
    pub(crate) intermediate_size: usize,
    pub(crate) activation: Activation,
    pub(crate) eps: f32,
}

impl EncoderShape {
    /// Columns of a head; the config names the keys in a message.
    pub(crate) fn head_width(&self, config: &JsonFile, heads_key: &str) -> Result<usize> {
        if self.heads == 0 || !self.hidden_size.is_multiple_of(self.heads) {
            let problem = format!("must divide the hidden size, {}, got {}", self.hidden_size, self.heads);
            return Err(config.error(heads_key, problem));
        }
        Ok(self.hidden_size / self.heads)
    }
}

/// What a family calls the parts of a layer.
pub(crate) struct LayerNames {
    pub(crate) query_key_value: [&'static str; 3],
    pub(crate) attention_output: &'static str,
    pub(crate) attention_norm: &'static str,
    pub(crate) up: &'static str,
    pub(crate) down: &'static str,
    pub(crate) output_norm: &'static str,
}

struct Layer<O: Ops> {
    query_key_value: O::Linear,
    attention_output: O::Linear,
    attention_norm: O::Norm,
    feed_forward: FeedForward<O>,
    output_norm: O::Norm,
}

pub(crate) struct Encoder<O: Ops> {
    attention: Attention<O>,
    layers: Vec<Layer<O>>,
}

impl<O: Ops> Encoder<O> {
    /// Loads the layers `0`, `1`, … under `parameters`.
    pub(crate) fn load(
        parameters: &Parameters<'_, O>,
        shape: &EncoderShape,
        names: &LayerNames,
        head_width: usize,
        bias: Option<O::Bias>,
    ) -> Result<Self> {
        let (hidden, middle) = (shape.hidden_size, shape.intermediate_size);
        let load = |i: usize| {
            let layer = parameters.at(&i.to_string());
            Ok(Layer {
                query_key_value: layer.stacked_linear(&names.query_key_value, hidden, hidden)?,
                attention_output: layer.linear(names.attention_output, hidden, hidden)?,
                attention_norm: layer.norm(names.attention_norm, hidden, shape.eps)?,
                feed_forward: FeedForward {
                    up: layer.linear(names.up, hidden, middle)?,
                    activation: shape.activation,
                    down: layer.linear(names.down, middle, hidden)?,
                },
                output_norm: layer.norm(names.output_norm, hidden, shape.eps)?,
            })
        };
        let scale = 1.0 / (head_width as f32).sqrt();
        let attention = Attention { heads: shape.heads, head_width, scale, bias };
        Ok(Self { attention, layers: by_free_threads(shape.layers, load)? })
    }

    /// `(tokens, hidden_size)` to the same, of the tokens that are wanted: in the last layer the others are keys alone.
    pub(crate) fn forward(
        &self,
        ops: &O,
        mut x: O::Tensor,
        batch: &Batch,
        wanted: Queries,
        checkpoint: &Checkpoint<'_>,
    ) -> Result<O::Tensor> {
        for (i, layer) in self.layers.iter().enumerate() {
            checkpoint()?;
            let queries = if i + 1 == self.layers.len() { wanted } else { Queries::All };
            let qkv = ops.linear(&x, &layer.query_key_value, Activation::Identity)?;
            let attended = ops.attention(&qkv, batch, &self.attention, queries)?;
            if queries == Queries::First {
                x = ops.pool(&x, batch, &[PoolingMode::Cls], 0)?;
            }
            x = ops.linear_add_norm(&attended, &layer.attention_output, &x, &layer.attention_norm)?;
            x = ops.feed_forward(&x, &layer.feed_forward, &layer.output_norm)?;
        }
        Ok(x)
    }
}
