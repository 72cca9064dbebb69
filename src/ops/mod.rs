//! The vocabulary of a transformer on packed tokens.
//!
//! Packed tokens are the tokens of several texts one after the other, with the offsets at which texts begin: there is no
//! padding, and so no mask. The ops are said twice: [`Cpu`] by our kernels, [`Portable`] by candle's tensors, which is for
//! every device, and on the CPU the other one's oracle. Backbones and modules are written in this vocabulary only.

mod cpu;
mod portable;

pub(crate) use cpu::Cpu;
pub(crate) use portable::Portable;

use crate::batch::Batch;
use crate::config::{Activation, PoolingMode};
use crate::error::Result;
use crate::team::Team;
use crate::weights::Array;

/// Operations on a device. Parameters are made once, when a model is loaded, and shared by its workers.
pub(crate) trait Ops: Sized + Send + Sync + 'static {
    /// Activations, `(rows, width)`, float32.
    type Tensor;
    /// Embedding vectors, `(entries, width)`.
    type Table: Send + Sync;
    /// A linear layer's weight and bias.
    type Linear: Send + Sync;
    /// A layer norm's weight, bias and eps.
    type Norm: Send + Sync;
    /// What is added to attention scores by the distance of query and key.
    type Bias: Send + Sync;

    /// The same device for another thread, with scratch memory of its own.
    fn worker(&self) -> Self;

    /// Has the ops use the threads of a team from here on; those of a device have threads of their own.
    fn join(&mut self, _: Team) {}

    /// Embedding vectors of `(entries, width)`.
    fn table(&self, vectors: &Array) -> Result<Self::Table>;

    /// A linear layer of weights `(outputs, inputs)`, whose outputs stand side by side, and a bias of all outputs.
    fn linear_layer(&self, weights: &[Array], bias: Option<&Array>) -> Result<Self::Linear>;

    /// A layer norm of weight and bias `(width)`.
    fn norm(&self, weight: &Array, bias: &Array, eps: f32) -> Result<Self::Norm>;

    /// Biases by distance: `table` is `(heads, 2 * longest - 1)`, the bias of key `k` for query `q` at column
    /// `k - q + longest - 1`.
    fn distance_bias(&self, table: Array) -> Result<Self::Bias>;

    /// The sum of a vector of each table for every token, normalized: `(tokens, width)`.
    fn embed(&self, lookups: &[Lookup<'_, Self>], norm: &Self::Norm) -> Result<Self::Tensor>;

    /// `activation(x · weightᵀ + bias)`.
    fn linear(&self, x: &Self::Tensor, layer: &Self::Linear, activation: Activation) -> Result<Self::Tensor>;

    /// Attention of each text in itself: `qkv` is `(tokens, 3 hidden)`, the result `(queries, hidden)`.
    fn attention(
        &self,
        qkv: &Self::Tensor,
        batch: &Batch,
        attention: &Attention<Self>,
        queries: Queries,
    ) -> Result<Self::Tensor>;

    /// `norm(x · weightᵀ + bias + residual)`.
    fn linear_add_norm(
        &self,
        x: &Self::Tensor,
        layer: &Self::Linear,
        residual: &Self::Tensor,
        norm: &Self::Norm,
    ) -> Result<Self::Tensor>;

    /// `norm(down(activation(up(x))) + x)`.
    fn feed_forward(&self, x: &Self::Tensor, layer: &FeedForward<Self>, norm: &Self::Norm) -> Result<Self::Tensor>;

    /// One row a text: the modes' vectors side by side, without the first `skip` tokens of each text.
    fn pool(&self, x: &Self::Tensor, batch: &Batch, modes: &[PoolingMode], skip: usize) -> Result<Self::Tensor>;

    /// The layer norm of every row.
    fn layer_norm(&self, x: &Self::Tensor, norm: &Self::Norm) -> Result<Self::Tensor>;

    /// Every row divided by its L2 norm, or by 1e-12 where that is more.
    fn normalize(&self, x: &Self::Tensor) -> Result<Self::Tensor>;

    /// `x + y`.
    fn add(&self, x: &Self::Tensor, y: &Self::Tensor) -> Result<Self::Tensor>;

    /// The numbers, row by row.
    fn to_vec(&self, x: &Self::Tensor) -> Result<Vec<f32>>;
}

/// A table and, for each token, the entry looked up in it.
pub(crate) struct Lookup<'a, O: Ops> {
    pub(crate) table: &'a O::Table,
    pub(crate) entries: &'a [u32],
}

/// The tokens of each text whose vectors are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queries {
    All,
    First,
}

/// How a family attends.
pub(crate) struct Attention<O: Ops> {
    pub(crate) heads: usize,
    /// Columns of a head.
    pub(crate) head_width: usize,
    /// Factor of the scores before the bias.
    pub(crate) scale: f32,
    pub(crate) bias: Option<O::Bias>,
}

/// The two linear layers of a feed-forward block.
pub(crate) struct FeedForward<O: Ops> {
    pub(crate) up: O::Linear,
    pub(crate) activation: Activation,
    pub(crate) down: O::Linear,
}
