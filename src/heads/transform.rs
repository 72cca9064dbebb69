//! A dense layer with its activation, and the norm that some families put after it.

use crate::backbones::Parameters;
use crate::config::Activation;
use crate::error::Result;
use crate::ops::Ops;
use crate::weights::Array;

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
            let bias = match norm.bias {
                true => parameters.array(&format!("{}.bias", norm.name), &[outputs])?,
                false => Array::new(vec![outputs], vec![0.0; outputs]),
            };
            parameters.ops.norm(&weight, &bias, norm.eps)
        };
        Ok(Self {
            dense: linear(parameters, names.dense, names.dense_bias, inputs, outputs)?,
            activation: names.activation,
            norm: names.norm.as_ref().map(norm).transpose()?,
        })
    }

    pub(super) fn forward(&self, ops: &O, x: &O::Tensor) -> Result<O::Tensor> {
        let x = ops.linear(x, &self.dense, self.activation)?;
        match &self.norm {
            Some(norm) => ops.layer_norm(&x, norm),
            None => Ok(x),
        }
    }
}

/// A linear layer, of which the family says whether it has a bias.
pub(super) fn linear<O: Ops>(
    parameters: &Parameters<'_, O>,
    name: &str,
    bias: bool,
    inputs: usize,
    outputs: usize,
) -> Result<O::Linear> {
    let bias = bias.then(|| parameters.array(&format!("{name}.bias"), &[outputs])).transpose()?;
    let weight = parameters.array(&format!("{name}.weight"), &[outputs, inputs])?;
    parameters.ops.linear_layer(&[weight], bias.as_ref())
}
