//! Parameters by name and shape, on a device.

use crate::error::Result;
use crate::observer::ask_while_loading;
use crate::ops::Ops;
use crate::weights::{Array, Weights};

/// Tensors under a prefix, and the ops that take them to a device.
pub(crate) struct Parameters<'a, O> {
    pub(crate) weights: &'a Weights,
    pub(crate) ops: &'a O,
    pub(crate) prefix: String,
}

impl<'a, O: Ops> Parameters<'a, O> {
    pub(crate) fn new(weights: &'a Weights, ops: &'a O) -> Self {
        Self { weights, ops, prefix: String::new() }
    }

    /// Returns the parameters under `name`.
    pub(crate) fn at(&self, name: &str) -> Self {
        Self { weights: self.weights, ops: self.ops, prefix: format!("{}{name}.", self.prefix) }
    }

    /// Reads a tensor, unless the load's observer stops it.
    pub(crate) fn array(&self, name: &str, shape: &[usize]) -> Result<Array> {
        ask_while_loading()?;
        self.weights.array(&format!("{}{name}", self.prefix), shape)
    }

    /// Loads an embedding table of `(entries, width)`.
    pub(crate) fn table(&self, name: &str, entries: usize, width: usize) -> Result<O::Table> {
        ask_while_loading()?;
        self.ops.table(self.weights.table(&format!("{}{name}.weight", self.prefix), [entries, width])?)
    }

    /// Loads a linear layer with a bias.
    pub(crate) fn linear(&self, name: &str, inputs: usize, outputs: usize) -> Result<O::Linear> {
        self.stacked_linear(&[(name, outputs)], inputs, true)
    }

    /// Loads a linear layer without a bias.
    pub(crate) fn linear_without_bias(&self, name: &str, inputs: usize, outputs: usize) -> Result<O::Linear> {
        self.stacked_linear(&[(name, outputs)], inputs, false)
    }

    /// Loads linear layers of one input, each with its number of outputs, as one layer with the outputs side by side.
    pub(crate) fn stacked_linear(&self, parts: &[(&str, usize)], inputs: usize, biased: bool) -> Result<O::Linear> {
        let weight = |(name, outputs): &(&str, usize)| self.array(&format!("{name}.weight"), &[*outputs, inputs]);
        let bias = |(name, outputs): &(&str, usize)| self.array(&format!("{name}.bias"), &[*outputs]);
        let biases = biased.then(|| parts.iter().map(bias).collect::<Result<Vec<_>>>()).transpose()?;
        let weights = parts.iter().map(weight).collect::<Result<Vec<_>>>()?;
        self.ops.linear_layer(&weights, biases.as_deref().map(Array::stack).as_ref())
    }

    /// Loads a linear layer without a bias and with twice as many outputs, the second half before the first.
    pub(crate) fn swapped_linear(&self, name: &str, inputs: usize, outputs: usize) -> Result<O::Linear> {
        let both = self.array(&format!("{name}.weight"), &[outputs.saturating_mul(2), inputs])?;
        self.ops.linear_layer(&[both.rows(outputs..2 * outputs), both.rows(0..outputs)], None)
    }

    /// Loads an RMS norm.
    pub(crate) fn rms_norm(&self, name: &str, width: usize, eps: f32) -> Result<O::Norm> {
        self.ops.rms_norm(&self.array(&format!("{name}.weight"), &[width])?, eps)
    }

    /// Loads a layer norm with a bias.
    pub(crate) fn layer_norm(&self, name: &str, width: usize, eps: f32) -> Result<O::Norm> {
        self.norm(name, width, eps, true)
    }

    /// Loads a layer norm, with a bias or without.
    pub(crate) fn norm(&self, name: &str, width: usize, eps: f32, biased: bool) -> Result<O::Norm> {
        let weight = self.array(&format!("{name}.weight"), &[width])?;
        let bias = biased.then(|| self.array(&format!("{name}.bias"), &[width])).transpose()?;
        self.ops.layer_norm(&weight, bias.as_ref(), eps)
    }
}
