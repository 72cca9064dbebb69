//! The vocabulary of a transformer on packed tokens.
//!
//! Packed tokens are the tokens of several texts one after the other, with the offsets at which texts begin: there is no
//! padding, and so no mask. The ops are said twice: [`Cpu`] by our kernels, [`Portable`] by candle's tensors, which is for
//! every device, and on the CPU the other one's oracle; for attention and pooling it fills texts up that are nearly as long as
//! each other. Backbones and modules are written in this vocabulary only.

mod cpu;
mod portable;
mod rotary;

use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;

pub(crate) use cpu::Cpu;
pub(crate) use portable::Portable;
pub(crate) use rotary::Rotary;

pub(crate) use crate::kernels::attention::{PositionColumns, Window};

use crate::batch::{Batch, TokenBudget};
use crate::config::{Activation, PoolingMode};
use crate::error::Result;
use crate::threads::executor::lock;
use crate::threads::team::Team;
use crate::weights::Array;

/// A device that computes for one thread alone, until it is dropped.
pub(crate) struct Turn<'a>(&'a Mutex<Option<ThreadId>>);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *lock(self.0) = None;
    }
}

/// Operations on a device. Parameters are made once, when a model is loaded, and shared by its workers.
pub(crate) trait Ops: Sized + Send + Sync + 'static {
    /// Activations, `(rows, width)`: float32, or what a device was asked to compute in.
    type Tensor: Send + Sync;
    /// Embedding vectors, `(entries, width)`.
    type Table: Send + Sync;
    /// A linear layer's weight and bias.
    type Linear: Send + Sync;
    /// A norm's weight, bias and eps.
    type Norm: Send + Sync;
    /// What is added to attention scores by the distance of query and key.
    type Bias: Send + Sync;
    /// Vectors of distances, for disentangled attention.
    type Positions: Send + Sync;
    /// What the device is told of a micro-batch's texts.
    type Layout: Send + Sync;

    /// The same device for another thread, with scratch memory of its own.
    fn worker(&self) -> Self;

    /// How large micro-batches are.
    fn token_budget(&self) -> TokenBudget {
        TokenBudget::FOR_CACHE
    }

    /// The device for this thread alone, as long as it is held, where one thread at a time computes on it. It is waited for,
    /// unless the checkpoint says not to.
    fn turn(&self, _: &dyn Fn() -> Result<()>) -> Result<Option<Turn<'_>>> {
        Ok(None)
    }

    /// What the device must know of where texts begin and end.
    fn layout(&self, batch: &Batch) -> Result<Self::Layout>;

    /// Has the ops use the threads of a team from here on; those of a device have threads of their own.
    fn join(&mut self, _: Team) {}

    /// Embedding vectors of `(entries, width)`.
    fn table(&self, vectors: &Array) -> Result<Self::Table>;

    /// A linear layer of weights `(outputs, inputs)`, whose outputs stand side by side, and a bias of all outputs.
    fn linear_layer(&self, weights: &[Array], bias: Option<&Array>) -> Result<Self::Linear>;

    /// A layer norm of weight and bias `(width)`; without a bias, that is 0.
    fn layer_norm(&self, weight: &Array, bias: Option<&Array>, eps: f32) -> Result<Self::Norm>;

    /// An RMS norm of weight `(width)`.
    fn rms_norm(&self, weight: &Array, eps: f32) -> Result<Self::Norm>;

    /// Biases by distance: `table` is `(heads, 2 * longest - 1)`, the bias of key `k` for query `q` at column
    /// `k - q + longest - 1`. Greater distances have the biases of the greatest in it.
    fn distance_bias(&self, table: Array) -> Result<Self::Bias>;

    /// Keys and queries that stand for a position, each `(positions, heads * head_width)` where there are any, and which
    /// of them stands for a distance.
    fn positions(
        &self,
        keys: Option<&Self::Tensor>,
        queries: Option<&Self::Tensor>,
        head_width: usize,
        columns: Arc<PositionColumns>,
    ) -> Result<Self::Positions>;

    /// The sum of a vector of each table for every token, normalized where there is a norm: `(tokens, width)`.
    fn embed(&self, lookups: &[Lookup<'_, Self>], norm: Option<&Self::Norm>) -> Result<Self::Tensor>;

    /// `activation(x · weightᵀ + bias)`.
    fn linear(&self, x: &Self::Tensor, layer: &Self::Linear, activation: Activation) -> Result<Self::Tensor>;

    /// Attention of each text in itself: `qkv` is `(tokens, (heads + 2 key_value_heads) * head_width)`, the result
    /// `(queries, heads * head_width)`.
    fn attention(
        &self,
        qkv: Self::Tensor,
        batch: &DeviceBatch<'_, Self>,
        attention: &Attention<Self>,
        queries: TokenSelection,
    ) -> Result<Self::Tensor>;

    /// `x · weightᵀ + bias`, joined with the residual.
    fn linear_residual(
        &self,
        x: &Self::Tensor,
        layer: &Self::Linear,
        residual: &Self::Tensor,
        join: &Residual<Self>,
    ) -> Result<Self::Tensor>;

    /// `down(activation(up(x)))`, joined with the residual.
    fn feed_forward(
        &self,
        x: &Self::Tensor,
        layer: &FeedForward<Self>,
        residual: &Self::Tensor,
        join: &Residual<Self>,
    ) -> Result<Self::Tensor>;

    /// One row a text: the modes' vectors side by side, without the tokens that the batch excludes.
    fn pool(&self, x: &Self::Tensor, batch: &DeviceBatch<'_, Self>, modes: &[PoolingMode]) -> Result<Self::Tensor>;

    /// The norm of every row.
    fn norm(&self, x: &Self::Tensor, norm: &Self::Norm) -> Result<Self::Tensor>;

    /// Every row divided by its L2 norm, or by 1e-12 where that is more.
    fn normalize(&self, x: &Self::Tensor) -> Result<Self::Tensor>;

    /// `x * factor`.
    fn scale(&self, x: &Self::Tensor, factor: f32) -> Result<Self::Tensor>;

    /// `x + y`.
    fn add(&self, x: &Self::Tensor, y: &Self::Tensor) -> Result<Self::Tensor>;

    /// Rows of `width` numbers each, one after the other.
    fn tensor(&self, rows: Vec<f32>, width: usize) -> Result<Self::Tensor>;

    /// The numbers, row by row.
    fn to_vec(&self, x: &Self::Tensor) -> Result<Vec<f32>>;
}

/// A micro-batch, and what the device is told of it, once for all layers.
pub(crate) struct DeviceBatch<'a, O: Ops> {
    batch: &'a Batch,
    pub(crate) layout: O::Layout,
}

impl<'a, O: Ops> DeviceBatch<'a, O> {
    pub(crate) fn new(ops: &O, batch: &'a Batch) -> Result<Self> {
        Ok(Self { batch, layout: ops.layout(batch)? })
    }
}

impl<O: Ops> Deref for DeviceBatch<'_, O> {
    type Target = Batch;

    fn deref(&self) -> &Batch {
        self.batch
    }
}

/// A table and, for each token, the entry looked up in it.
pub(crate) struct Lookup<'a, O: Ops> {
    pub(crate) table: &'a O::Table,
    pub(crate) entries: &'a [u32],
}

/// The tokens of each text whose vectors are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenSelection {
    All,
    First,
    Last,
}

impl TokenSelection {
    /// Pooling that takes those tokens alone.
    pub(crate) fn pooling(self) -> Option<PoolingMode> {
        match self {
            Self::All => None,
            Self::First => Some(PoolingMode::Cls),
            Self::Last => Some(PoolingMode::LastToken),
        }
    }
}

/// How a layer attends.
pub(crate) struct Attention<O: Ops> {
    pub(crate) heads: usize,
    /// Heads of keys and values, each for as many neighbouring heads of queries.
    pub(crate) key_value_heads: usize,
    /// Columns of a head.
    pub(crate) head_width: usize,
    /// Factor of the scores before a bias.
    pub(crate) scale: f32,
    /// The keys that a query sees.
    pub(crate) reach: Window,
    /// Norms of every head's queries and keys.
    pub(crate) query_key_norms: Option<[O::Norm; 2]>,
    pub(crate) relative: Relative<O>,
}

impl<O: Ops> Attention<O> {
    /// As Vaswani et al. (2017) have it: as many heads of keys as of queries, all of which see all.
    pub(crate) fn full(heads: usize, head_width: usize) -> Self {
        Self {
            heads,
            key_value_heads: heads,
            head_width,
            scale: 1.0 / (head_width as f32).sqrt(),
            reach: Window::ALL,
            query_key_norms: None,
            relative: Relative::None,
        }
    }

    /// Columns of queries, of keys, and of values.
    pub(crate) fn widths(&self) -> [usize; 3] {
        [self.heads, self.key_value_heads, self.key_value_heads].map(|heads| heads.saturating_mul(self.head_width))
    }
}

/// How attention depends on where tokens stand; most of it is the same for many layers.
pub(crate) enum Relative<O: Ops> {
    /// It doesn't: embeddings have their positions in them.
    None,
    /// A bias on the scores by distance.
    Bias(Arc<O::Bias>),
    /// Queries and keys are turned by their positions.
    Rotary(Arc<Rotary>),
    /// Scores of content with position, and of position with content.
    Disentangled(O::Positions),
}

/// The linear layers of a feed-forward block.
pub(crate) struct FeedForward<O: Ops> {
    /// With a gate as wide again: what is activated stands before what it is multiplied by.
    pub(crate) up: O::Linear,
    pub(crate) gated: bool,
    pub(crate) activation: Activation,
    pub(crate) down: O::Linear,
}

/// How what a block computes and its residual become one.
pub(crate) enum Residual<O: Ops> {
    /// `residual + x`
    Add,
    /// `norm(residual + x)`
    AddNorm(O::Norm),
    /// `residual + norm(x)`
    NormAdd(O::Norm),
}
