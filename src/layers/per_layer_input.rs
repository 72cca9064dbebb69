//! Third block of a layer, which mixes a projection of the embeddings in again (Gemma 3n and EmbeddingGemma 2; Gemma Team,
//! 2025).

use crate::config::Activation;
use crate::error::Result;
use crate::ops::{Ops, Residual};

/// `x + norm(output(activation(gate(x)) * input_norm(input(embeddings))))`, times a factor.
pub(crate) struct PerLayerInput<O: Ops> {
    pub(crate) input: O::Linear,
    pub(crate) input_norm: O::Norm,
    pub(crate) gate: O::Linear,
    pub(crate) activation: Activation,
    pub(crate) output: O::Linear,
    pub(crate) residual: Residual<O>,
    pub(crate) factor: f32,
}

impl<O: Ops> PerLayerInput<O> {
    pub(super) fn forward(&self, ops: &O, embeddings: &O::Tensor, x: &O::Tensor) -> Result<O::Tensor> {
        let input = ops.norm(&ops.linear(embeddings, &self.input, Activation::Identity)?, &self.input_norm)?;
        let gate = ops.linear(x, &self.gate, self.activation)?;
        let x = ops.linear_residual(&ops.multiply(&gate, &input)?, &self.output, x, &self.residual)?;
        ops.scale(&x, self.factor)
    }
}
