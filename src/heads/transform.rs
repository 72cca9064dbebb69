//! Dense layer with an activation, and a norm in some families.

use crate::config::Activation;
use crate::error::Result;
use crate::families::heads::{NormLayer, TransformLayer};
use crate::layers::Parameters;
use crate::ops::Ops;

/// `norm(activation(x · weightᵀ + bias))`
pub(super) struct Transform<O: Ops> {
    dense: O::Linear,
    activation: Activation,
    norm: Option<O::Norm>,
}

impl<O: Ops> Transform<O> {
    pub(super) fn load(
        parameters: &Parameters<'_, O>,
        layer: &TransformLayer,
        inputs: usize,
        outputs: usize,
    ) -> Result<Self> {
        let norm = |norm: &NormLayer| parameters.norm(norm.name, outputs, norm.eps, norm.bias);
        Ok(Self {
            dense: parameters.stacked_linear(&[(layer.dense, outputs)], inputs, layer.dense_bias)?,
            activation: layer.activation,
            norm: layer.norm.as_ref().map(norm).transpose()?,
        })
    }

    pub(super) fn forward(&self, ops: &O, x: &O::Tensor) -> Result<O::Tensor> {
        let x = ops.linear(x, &self.dense, self.activation)?;
        match &self.norm {
            Some(norm) => ops.norm(&x, norm),
            None => Ok(x),
        }
    }
}
