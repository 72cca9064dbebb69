//! Parts of transformers that families share, each written in terms of the ops.

pub(crate) mod attention_heads;
pub(crate) mod decoder;
pub(crate) mod distance;
pub(crate) mod embeddings;
pub(crate) mod encoder;
pub(crate) mod experts;
pub(crate) mod gemma;
pub(crate) mod ntk;
mod parameters;
pub(crate) mod patches;
pub(crate) mod per_layer_input;
pub(crate) mod post_norm;
pub(crate) mod rope;
pub(crate) mod tower;

use crate::config::JsonFile;
use crate::error::Result;
use crate::ops::{DeviceBatch, Ops, TokenSelection};
use crate::tokenize::Tokens;

use embeddings::Embeddings;
use encoder::Encoder;
pub(crate) use parameters::Parameters;

/// Called before each layer; an error stops the forward pass.
pub(crate) type Checkpoint<'a> = dyn Fn() -> Result<()> + 'a;

/// Transformer, composed of the parts that its family chooses.
pub(crate) struct Backbone<O: Ops> {
    pub(crate) embeddings: Embeddings<O>,
    pub(crate) encoder: Encoder<O>,
    pub(crate) limits: Limits,
}

impl<O: Ops> Backbone<O> {
    /// Returns the embeddings of the selected tokens, `(selected, hidden_size)`.
    pub(crate) fn forward(
        &self,
        ops: &O,
        batch: &DeviceBatch<'_, O>,
        selection: TokenSelection,
        checkpoint: &Checkpoint<'_>,
    ) -> Result<O::Tensor> {
        self.encoder.forward(ops, self.embeddings.forward(ops, batch)?, batch, selection, checkpoint)
    }

    /// Returns the number of layers.
    pub(crate) fn layers(&self) -> usize {
        self.encoder.layers()
    }

    /// Makes the output a weighted mean of all layers' outputs, the embeddings' first.
    pub(crate) fn mix(&mut self, weights: Vec<f32>, config: &JsonFile) -> Result<()> {
        // Without this key, sentence-transformers gets no hidden states and uses the last layer.
        if config.value.get("output_hidden_states") != Some(&true.into()) {
            return Err(config.error("output_hidden_states", "must be true for a WeightedLayerPooling module"));
        }
        if !self.encoder.mix(weights) {
            let supported = "with WeightedLayerPooling: families without a norm after the last layer";
            return Err(config.unsupported("model_type", config.value["model_type"].to_string(), supported));
        }
        Ok(())
    }

    /// Adds a linear layer after the last norm, to another width.
    pub(crate) fn projected(self, projection: O::Linear, hidden_size: usize) -> Self {
        let Self { embeddings, encoder, limits } = self;
        Self { embeddings, encoder: encoder.with_projection(projection), limits: Limits { hidden_size, ..limits } }
    }

    /// Returns its limits.
    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }
}

/// Limits of a backbone's input, and the width of its output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Columns of the token embeddings.
    pub(crate) hidden_size: usize,
    /// Rows of the embedding table: ids must be below.
    pub(crate) vocab_size: usize,
    /// Rows of the token type table, if there is one.
    pub(crate) type_vocab_size: Option<usize>,
    /// Maximum number of tokens in a text, if limited.
    pub(crate) max_tokens: Option<usize>,
    /// Value in transformers' config, which may be more than `max_tokens`.
    pub(crate) max_position_embeddings: Option<usize>,
}

impl Limits {
    /// Checks that the embedding tables have a row for every id. Returns the problem with the first that lacks one.
    pub(crate) fn check_ids(&self, tokens: &Tokens) -> std::result::Result<(), String> {
        if let Some(id) = tokens.ids.iter().find(|id| **id as usize >= self.vocab_size) {
            return Err(format!("token id {id} is beyond the model's vocabulary of {}", self.vocab_size));
        }
        let types = tokens.type_ids.iter().flatten();
        match (types.max(), self.type_vocab_size) {
            (Some(id), Some(size)) if *id as usize >= size => {
                Err(format!("token type id {id} is beyond the model's {size}"))
            }
            _ => Ok(()),
        }
    }
}
