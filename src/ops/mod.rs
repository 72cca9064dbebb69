//! Steps of a transformer on packed tokens, in which backbones and modules are written.
//!
//! Packed tokens are the tokens of several texts one after the other, with the offset of each text: no padding, no mask.
//! There are two implementations. [`Cpu`] uses rushlight's kernels. [`Portable`] uses candle's tensors: it runs on every
//! device, pads texts of similar lengths for attention and pooling, and is the oracle of [`Cpu`] on the CPU.

mod cpu;
#[cfg(feature = "portable")]
mod portable;
mod rotary;

use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;

pub(crate) use cpu::{Cpu, MappedWeights, Noted, Packing};
#[cfg(feature = "portable")]
pub(crate) use portable::Portable;
pub(crate) use rotary::Rotary;

pub(crate) use crate::kernels::attention::{PositionColumns, Window};

use crate::batch::{Batch, TokenBudget};
use crate::config::{Activation, PoolingMode};
use crate::error::Result;
use crate::threads::executor::lock;
use crate::threads::intra_op::IntraOpThreads;
use crate::weights::{Array, Table};

/// Exclusive use of a device by one thread, until it is dropped.
pub(crate) struct DeviceLock<'a>(&'a Mutex<Option<ThreadId>>);

impl Drop for DeviceLock<'_> {
    fn drop(&mut self) {
        *lock(self.0) = None;
    }
}

/// Operations on a device. Workers share the parameters, which are made when the model is loaded.
pub(crate) trait Ops: Sized + Send + Sync + 'static {
    /// Activations, `(rows, width)`, in the dtype of the computation.
    type Tensor: Send + Sync;
    /// Embedding vectors, `(entries, width)`.
    type Table: Send + Sync;
    /// Weight and bias of a linear layer.
    type Linear: Send + Sync;
    /// Weight, bias and eps of a norm.
    type Norm: Send + Sync;
    /// Biases of attention scores by the distance of query and key.
    type Bias: Send + Sync;
    /// Vectors of distances, for disentangled attention.
    type Positions: Send + Sync;
    /// Description of a micro-batch's texts for the device.
    type Layout: Send + Sync;

    /// Returns the same device for another thread, with scratch memory of its own.
    fn worker(&self) -> Self;

    /// Returns a worker whose linear layers choose how they quantize by the inputs that they see, unless they know; none
    /// where nothing is to be chosen.
    fn calibrating(&self) -> Option<Self> {
        None
    }

    /// Returns ops for layers that take one row of a text, where less precision would gain nothing.
    #[must_use]
    fn in_full_precision(&self) -> Self {
        self.worker()
    }

    /// Returns the size of micro-batches.
    fn token_budget(&self) -> TokenBudget {
        TokenBudget::FOR_CACHE
    }

    /// Waits for exclusive use of a device on which one thread at a time computes; returns none for other devices.
    ///
    /// # Errors
    /// The error of the checkpoint, which is called while waiting.
    fn device_lock(&self, _: &dyn Fn() -> Result<()>) -> Result<Option<DeviceLock<'_>>> {
        Ok(None)
    }

    /// Describes the texts of a micro-batch to the device.
    fn layout(&self, batch: &Batch) -> Result<Self::Layout>;

    /// Sets the threads that ops split their work over. Devices with threads of their own ignore them.
    fn use_threads(&mut self, _: IntraOpThreads) {}

    /// Makes a table of `(entries, width)`.
    fn table(&self, vectors: Table) -> Result<Self::Table>;

    /// Makes a linear layer of weights `(outputs, inputs)`, whose outputs stand side by side, and a bias for all outputs.
    fn linear_layer(&self, weights: &[Array], bias: Option<&Array>) -> Result<Self::Linear>;

    /// Makes a layer norm of weight and bias `(width)`. A missing bias is 0.
    fn layer_norm(&self, weight: &Array, bias: Option<&Array>, eps: f32) -> Result<Self::Norm>;

    /// Makes an RMS norm of weight `(width)`.
    fn rms_norm(&self, weight: &Array, eps: f32) -> Result<Self::Norm>;

    /// Makes biases by distance. `table` is `(heads, 2 * longest - 1)`, with the bias of key `k` for query `q` at column
    /// `k - q + longest - 1`. Greater distances share the biases of the greatest one.
    fn distance_bias(&self, table: Array) -> Result<Self::Bias>;

    /// Makes the vectors of disentangled attention: keys and queries of positions, each `(positions, heads * head_width)` or
    /// absent, and the position for each distance.
    fn positions(
        &self,
        keys: Option<&Self::Tensor>,
        queries: Option<&Self::Tensor>,
        head_width: usize,
        columns: Arc<PositionColumns>,
    ) -> Result<Self::Positions>;

    /// Adds up a vector of each table for every token, and normalizes with the norm, if any: `(tokens, width)`.
    fn embed(&self, lookups: &[Lookup<'_, Self>], norm: Option<&Self::Norm>) -> Result<Self::Tensor>;

    /// Computes `activation(x · weightᵀ + bias)`.
    fn linear(&self, x: &Self::Tensor, layer: &Self::Linear, activation: Activation) -> Result<Self::Tensor>;

    /// Computes self-attention of each text. `qkv` is `(tokens, (heads + 2 key_value_heads) * head_width)`, the result
    /// `(queries, heads * head_width)`.
    fn attention(
        &self,
        qkv: Self::Tensor,
        batch: &DeviceBatch<'_, Self>,
        attention: &Attention<Self>,
        queries: TokenSelection,
    ) -> Result<Self::Tensor>;

    /// Computes a short convolution along each text. `bcx` is `(tokens, 3 * width)`: `b`, `c` and `x` side by side. The
    /// result is `(tokens, width)`.
    fn short_convolution(
        &self,
        bcx: &Self::Tensor,
        batch: &DeviceBatch<'_, Self>,
        convolution: &ShortConvolution<Self>,
    ) -> Result<Self::Tensor>;

    /// Computes `x · weightᵀ + bias` with a residual connection.
    fn linear_residual(
        &self,
        x: &Self::Tensor,
        layer: &Self::Linear,
        residual: &Self::Tensor,
        join: &Residual<Self>,
    ) -> Result<Self::Tensor>;

    /// Computes `down(activation(up(x)))` with a residual connection.
    fn feed_forward(
        &self,
        x: &Self::Tensor,
        layer: &FeedForward<Self>,
        residual: &Self::Tensor,
        join: &Residual<Self>,
    ) -> Result<Self::Tensor>;

    /// Pools each text into one row: the modes' vectors side by side, without the tokens that the batch excludes.
    fn pool(&self, x: &Self::Tensor, batch: &DeviceBatch<'_, Self>, modes: &[PoolingMode]) -> Result<Self::Tensor>;

    /// Normalizes every row with a norm.
    fn norm(&self, x: &Self::Tensor, norm: &Self::Norm) -> Result<Self::Tensor>;

    /// Divides every row by its L2 norm, or by 1e-12 where that is larger.
    fn normalize(&self, x: &Self::Tensor) -> Result<Self::Tensor>;

    /// Computes `x * factor`.
    fn scale(&self, x: &Self::Tensor, factor: f32) -> Result<Self::Tensor>;

    /// Computes `x * y`, element by element.
    fn multiply(&self, x: &Self::Tensor, y: &Self::Tensor) -> Result<Self::Tensor>;

    /// Computes `x + y`.
    fn add(&self, x: &Self::Tensor, y: &Self::Tensor) -> Result<Self::Tensor>;

    /// Returns some rows, `(rows, width)`.
    fn select_rows(&self, x: &Self::Tensor, rows: &[u32]) -> Result<Self::Tensor>;

    /// Adds `y`, `(rows, width)`, to some rows of `x`, each multiplied by its factor. The rows differ.
    fn add_rows(&self, x: Self::Tensor, rows: &[u32], y: &Self::Tensor, factors: &[f32]) -> Result<Self::Tensor>;

    /// Makes activations of contiguous rows of `width` numbers.
    fn tensor(&self, rows: Vec<f32>, width: usize) -> Result<Self::Tensor>;

    /// Returns the numbers, row by row.
    fn to_vec(&self, x: &Self::Tensor) -> Result<Vec<f32>>;
}

/// A micro-batch and its description for the device, made once for all layers.
pub(crate) struct DeviceBatch<'a, O: Ops> {
    batch: &'a Batch,
    #[cfg_attr(not(feature = "portable"), expect(dead_code, reason = "candle's operations read it"))]
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

/// A table, and the entry of each token in it.
pub(crate) struct Lookup<'a, O: Ops> {
    pub(crate) table: &'a O::Table,
    pub(crate) entries: &'a [u32],
}

/// Tokens of each text whose vectors are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenSelection {
    All,
    First,
    Last,
}

impl TokenSelection {
    /// Returns the pooling that takes those tokens alone.
    pub(crate) fn pooling(self) -> Option<PoolingMode> {
        match self {
            Self::All => None,
            Self::First => Some(PoolingMode::Cls),
            Self::Last => Some(PoolingMode::LastToken),
        }
    }
}

/// Parameters of a layer's attention.
pub(crate) struct Attention<O: Ops> {
    pub(crate) heads: usize,
    /// Heads of keys and values, each shared by as many neighbouring heads of queries.
    pub(crate) key_value_heads: usize,
    /// Columns of a head.
    pub(crate) head_width: usize,
    /// Factor of the scores, before a bias.
    pub(crate) scale: f32,
    /// Keys that a query sees.
    pub(crate) window: Window,
    pub(crate) query_key_norms: Option<QueryKeyNorms<O>>,
    /// Norm of each head's values.
    pub(crate) value_norm: Option<O::Norm>,
    /// Factor of the queries, after their rotation.
    pub(crate) query_scale: Option<QueryScale>,
    /// Limit that scores approach: `limit * tanh(score / limit)`.
    pub(crate) softcap: Option<f32>,
    pub(crate) relative: Relative<O>,
}

impl<O: Ops> Attention<O> {
    /// Returns full attention with a head of keys for each head of queries (Vaswani et al., 2017).
    pub(crate) fn full(heads: usize, head_width: usize) -> Self {
        Self {
            heads,
            key_value_heads: heads,
            head_width,
            scale: 1.0 / (head_width as f32).sqrt(),
            window: Window::ALL,
            query_key_norms: None,
            value_norm: None,
            query_scale: None,
            softcap: None,
            relative: Relative::None,
        }
    }

    /// Returns the numbers of columns of queries, keys and values.
    pub(crate) fn widths(&self) -> [usize; 3] {
        [self.heads, self.key_value_heads, self.key_value_heads].map(|heads| heads.saturating_mul(self.head_width))
    }
}

/// Factor of a query by its text or its position.
#[derive(Clone, Copy, Debug)]
pub(crate) enum QueryScale {
    ByLength(LengthScale),
    ByPosition(PositionScale),
}

impl QueryScale {
    /// Returns the factor of the query at a position of a text of `tokens`.
    pub(crate) fn of(self, position: usize, tokens: usize) -> f32 {
        match self {
            Self::ByLength(scale) => scale.of(tokens),
            Self::ByPosition(scale) => scale.of(position),
        }
    }
}

/// Factor that grows with the logarithm of the number of whole periods before a position, as in Llama 4.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PositionScale {
    pub(crate) beta: f32,
    pub(crate) period: f32,
}

impl PositionScale {
    fn of(self, position: usize) -> f32 {
        1.0 + self.beta * (1.0 + (position as f32 / self.period).floor()).ln()
    }
}

/// Factor of the queries that grows with the logarithm of their text's length (Su, 2021): 1 at the reference length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LengthScale {
    /// Length whose factor is 1, at least 2.
    pub(crate) reference: usize,
    /// Raises factors of shorter texts to 1.
    pub(crate) at_least_one: bool,
}

impl LengthScale {
    /// Returns the factor for a text of `tokens`.
    fn of(self, tokens: usize) -> f32 {
        let factor = (tokens as f32).ln() / (self.reference as f32).ln();
        if self.at_least_one { factor.max(1.0) } else { factor }
    }
}

/// Norms of queries and of keys.
pub(crate) enum QueryKeyNorms<O: Ops> {
    /// Norms of each head's vectors.
    EachHead([O::Norm; 2]),
    /// Norms of the vectors of all heads together.
    AllHeads([O::Norm; 2]),
}

/// Dependence of attention on positions. Layers share most of the parameters.
pub(crate) enum Relative<O: Ops> {
    /// None: the embeddings carry absolute positions.
    None,
    /// A bias on the scores by distance.
    Bias(Arc<O::Bias>),
    /// A bias on the scores that falls linearly with the distance: the slope of each head.
    Slopes(Arc<[f32]>),
    /// Rotation of queries and keys by their positions.
    Rotary(Arc<Rotary>),
    /// Scores of content with position, and of position with content.
    Disentangled(O::Positions),
}

/// Causal convolution of each column of `b * x`, times `c` (LFM2; Liquid AI, 2025).
pub(crate) struct ShortConvolution<O: Ops> {
    /// Weights of the columns, `(taps, width)`: the last row's are those of the token itself, the one before those of the
    /// token before.
    pub(crate) taps: O::Table,
    /// `(1, width)`
    pub(crate) bias: Option<O::Table>,
}

/// Linear layers of a feed-forward block.
pub(crate) struct FeedForward<O: Ops> {
    /// First layer. With a gate it is twice as wide, and the activated columns precede those of the gate.
    pub(crate) up: O::Linear,
    pub(crate) gated: bool,
    pub(crate) activation: Activation,
    pub(crate) down: O::Linear,
}

/// Residual connection of a block.
pub(crate) enum Residual<O: Ops> {
    /// `x`
    None,
    /// `residual + x`
    Add,
    /// `norm(residual + x)`
    AddNorm(O::Norm),
    /// `norm₂(residual + norm₁(residual + x))`
    AddNormTwice([O::Norm; 2]),
    /// `residual + norm(x)`
    NormAdd(O::Norm),
}

impl<O: Ops> Residual<O> {
    /// Connects a block's output to its residual.
    pub(crate) fn of(&self, ops: &O, x: O::Tensor, residual: &O::Tensor) -> Result<O::Tensor> {
        match self {
            Self::None => Ok(x),
            Self::Add => ops.add(&x, residual),
            Self::AddNorm(norm) => ops.norm(&ops.add(&x, residual)?, norm),
            Self::AddNormTwice(norms) => norms.iter().try_fold(x, |x, norm| ops.norm(&ops.add(&x, residual)?, norm)),
            Self::NormAdd(norm) => ops.add(&ops.norm(&x, norm)?, residual),
        }
    }
}
