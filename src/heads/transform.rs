//! A dense layer with its activation, and the norm that some families put after it.

use crate::config::Activation;
use crate::error::Result;
use crate::layers::Parameters;
use crate::ops::Ops;

/// A transform's layers by name, and what else a family says of them.
pub(super) struct TransformNames {
    pub(super) dense: &'static str,
    pub(super) dense_bias: bool,
    pub(super) activation: Activation,
    pub(super) norm: Option<NormNames>,
}

pub(super) struct NormNames {
    pub(super) name: &'static str,
    pub(super) bias: bool,
    pub(super) eps: f32,
}

/// `norm(activation(x · weightᵀ + bias))`
pub(super) struct Transform<O: Ops> {
    dense: O::Linear,
    activation: Activation,
    norm: Option<O::Norm>,
}

impl<O: Ops> Transform<O> {
    pub(super) fn load(
        parameters: &Parameters<'_, O>,
        names: &TransformNames,
        inputs: usize,
        outputs: usize,
    ) -> Result<Self> {
        let norm = |norm: &NormNames| {
            let weight = parameters.array(&format!("{}.weight", norm.name), &[outputs])?;
            let bias = norm.bias.then(|| parameters.array(&format!("{}.bias", norm.name), &[outputs])).transpose()?;
            parameters.ops.layer_norm(&weight, bias.as_ref(), norm.eps)
        };
        Ok(Self {
            dense: parameters.stacked_linear(&[(names.dense, outputs)], inputs, names.dense_bias)?,
            activation: names.activation,
            norm: names.norm.as_ref().map(norm).transpose()?,
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
