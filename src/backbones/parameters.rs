//! Parameters by name and shape, put on a device.

use crate::error::Result;
use crate::ops::Ops;
use crate::weights::{Array, Weights};

/// The tensors under a name, and the device they are for.
pub(crate) struct Parameters<'a, O> {
    pub(crate) weights: &'a Weights,
    pub(crate) ops: &'a O,
    pub(crate) prefix: String,
}

impl<'a, O: Ops> Parameters<'a, O> {
    pub(crate) fn new(weights: &'a Weights, ops: &'a O) -> Self {
        Self { weights, ops, prefix: String::new() }
    }

    /// Those under `name`.
    pub(crate) fn at(&self, name: &str) -> Self {
        Self { weights: self.weights, ops: self.ops, prefix: format!("{}{name}.", self.prefix) }
    }

    pub(crate) fn array(&self, name: &str, shape: &[usize]) -> Result<Array> {
        self.weights.array(&format!("{}{name}", self.prefix), shape)
    }

    /// An embedding table of `(entries, width)`.
    pub(crate) fn table(&self, name: &str, entries: usize, width: usize) -> Result<O::Table> {
        self.ops.table(&self.array(&format!("{name}.weight"), &[entries, width])?)
    }

    /// A linear layer with a bias.
    pub(crate) fn linear(&self, name: &str, inputs: usize, outputs: usize) -> Result<O::Linear> {
        self.stacked_linear(&[name], inputs, outputs)
    }

    /// Linear layers of one input as one layer, their outputs side by side.
    pub(crate) fn stacked_linear(&self, names: &[&str], inputs: usize, outputs: usize) -> Result<O::Linear> {
        let arrays = |what: &str, shape: &[usize]| -> Result<Vec<Array>> {
            names.iter().map(|name| self.array(&format!("{name}.{what}"), shape)).collect()
        };
        let bias = Array::stack(&arrays("bias", &[outputs])?);
        self.ops.linear_layer(&arrays("weight", &[outputs, inputs])?, Some(&bias))
    }

    pub(crate) fn norm(&self, name: &str, width: usize, eps: f32) -> Result<O::Norm> {
        let weight = self.array(&format!("{name}.weight"), &[width])?;
        let bias = self.array(&format!("{name}.bias"), &[width])?;
        self.ops.norm(&weight, &bias, eps)
    }
}
