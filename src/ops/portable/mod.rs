//! Ops by candle's tensors, for any of its devices.

mod attention;
mod convolution;
mod layout;
mod pool;

use std::sync::{Arc, Mutex};
use std::thread::ThreadId;
use std::time::Duration;

use candle_core::{D, DType, Device, Tensor};
use candle_nn::ops::sigmoid;

use super::{
    Attention, DeviceBatch, DeviceLock, FeedForward, Lookup, Ops, PositionColumns, Residual, ShortConvolution,
    TokenSelection,
};
use crate::batch::{Batch, TokenBudget};
use crate::config::{Activation, PoolingMode};
use crate::error::Result;
use crate::kernels::norm::Center;
use crate::threads::executor::lock;
use crate::weights::{Array, Table};

use attention::Positions;
use layout::Layout;

/// Interval at which a thread asks for a device in use.
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// A device of candle's, and the dtype of the computation. Norms and other long sums are always float32.
#[derive(Clone)]
pub(crate) struct Portable {
    device: Device,
    dtype: DType,
    /// Thread that uses the GPU: one at a time, so that its memory holds one micro-batch.
    owner: Arc<Mutex<Option<ThreadId>>>,
}

pub(crate) struct Linear {
    /// `(inputs, outputs)`
    weight: Tensor,
    bias: Option<Tensor>,
}

pub(crate) struct Norm {
    center: Center,
    weight: Tensor,
    bias: Option<Tensor>,
    eps: f64,
}

impl Norm {
    /// Normalizes every row.
    fn of(&self, x: &Tensor) -> Result<Tensor> {
        let dtype = x.dtype();
        let x = x.to_dtype(DType::F32)?;
        // Two passes, because a mean of squares minus the squared mean loses digits.
        let centered = match self.center {
            Center::Mean => x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?,
            Center::Zero => x,
        };
        let variance = centered.sqr()?.mean_keepdim(D::Minus1)?;
        let normed = centered.broadcast_div(&(variance + self.eps)?.sqrt()?)?.broadcast_mul(&self.weight)?;
        let normed = match &self.bias {
            Some(bias) => normed.broadcast_add(bias)?,
            None => normed,
        };
        Ok(normed.to_dtype(dtype)?)
    }
}

/// Computes `activation(x)`.
fn activated(x: Tensor, activation: Activation) -> Result<Tensor> {
    Ok(match activation {
        Activation::Identity => x,
        Activation::Gelu => x.gelu_erf()?,
        Activation::GeluTanh => x.gelu()?,
        // candle's own turns NaN into 0.
        Activation::Relu => (x.relu()? + (x * 0.0)?)?,
        Activation::QuickGelu => (&x * sigmoid(&(&x * 1.702)?)?)?,
        Activation::Silu => x.silu()?,
        Activation::Tanh => x.tanh()?,
        Activation::Sigmoid => sigmoid(&x)?,
        rare => {
            let numbers = x.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
            let numbers: Vec<_> = numbers.into_iter().map(|x| rare.of(f64::from(x)) as f32).collect();
            Tensor::from_vec(numbers, x.shape(), x.device())?.to_dtype(x.dtype())?
        }
    })
}

impl Portable {
    /// # Errors
    /// candle's error, where the device can't compute in this dtype.
    pub(crate) fn new(device: Device, dtype: DType) -> candle_core::Result<Self> {
        let one = Tensor::ones((1, 1), dtype, &device)?;
        one.matmul(&one)?.to_dtype(DType::F32)?.to_vec2::<f32>()?;
        Ok(Self { device, dtype, owner: Arc::default() })
    }

    fn parameter(&self, array: &Array) -> Result<Tensor> {
        Ok(self.float32(array)?.to_dtype(self.dtype)?)
    }

    fn float32(&self, array: &Array) -> Result<Tensor> {
        Ok(Tensor::from_slice(array.as_slice(), array.shape.as_slice(), &self.device)?)
    }
}

impl Ops for Portable {
    type Tensor = Tensor;
    type Table = Tensor;
    type Linear = Linear;
    type Norm = Norm;
    type Bias = Tensor;
    type Positions = Positions;
    type Layout = Layout;

    fn worker(&self) -> Self {
        self.clone()
    }

    fn token_budget(&self) -> TokenBudget {
        if self.device.is_cpu() { TokenBudget::FOR_CACHE } else { TokenBudget::FOR_GPU }
    }

    fn device_lock(&self, checkpoint: &dyn Fn() -> Result<()>) -> Result<Option<DeviceLock<'_>>> {
        let this = std::thread::current().id();
        while !self.device.is_cpu() {
            let mut owner = lock(&self.owner);
            match *owner {
                None => {
                    *owner = Some(this);
                    return Ok(Some(DeviceLock(&self.owner)));
                }
                // The observer of a forward pass, asked between layers, embeds too.
                Some(owner) if owner == this => break,
                Some(_) => {}
            }
            drop(owner);
            checkpoint()?;
            std::thread::sleep(POLL_INTERVAL);
        }
        Ok(None)
    }

    fn layout(&self, batch: &Batch) -> Result<Layout> {
        Layout::new(batch, &self.device, self.dtype)
    }

    fn table(&self, vectors: Table) -> Result<Tensor> {
        self.parameter(&vectors.to_array())
    }

    fn linear_layer(&self, weights: &[Array], bias: Option<&Array>) -> Result<Linear> {
        let bias = bias.map(|bias| self.parameter(bias)).transpose()?;
        let weights = weights.iter().map(|weight| self.parameter(weight)).collect::<Result<Vec<_>>>()?;
        Ok(Linear { weight: Tensor::cat(&weights, 0)?.t()?, bias })
    }

    fn layer_norm(&self, weight: &Array, bias: Option<&Array>, eps: f32) -> Result<Norm> {
        let bias = bias.map(|bias| self.float32(bias)).transpose()?;
        Ok(Norm { center: Center::Mean, weight: self.float32(weight)?, bias, eps: f64::from(eps) })
    }

    fn rms_norm(&self, weight: &Array, eps: f32) -> Result<Norm> {
        Ok(Norm { center: Center::Zero, weight: self.float32(weight)?, bias: None, eps: f64::from(eps) })
    }

    fn distance_bias(&self, table: Array) -> Result<Tensor> {
        self.parameter(&table)
    }

    fn positions(
        &self,
        keys: Option<&Tensor>,
        queries: Option<&Tensor>,
        head_width: usize,
        columns: Arc<PositionColumns>,
    ) -> Result<Positions> {
        let by_head = |x: &Tensor| -> Result<Tensor> {
            Ok(x.reshape((x.dim(0)?, (), head_width))?.transpose(0, 1)?.contiguous()?)
        };
        Ok(Positions { keys: keys.map(by_head).transpose()?, queries: queries.map(by_head).transpose()?, columns })
    }

    fn embed(&self, lookups: &[Lookup<'_, Self>], norm: Option<&Norm>) -> Result<Tensor> {
        let vectors = lookups.iter().map(|lookup| {
            let entries = Tensor::from_slice(lookup.entries, lookup.entries.len(), &self.device)?;
            Ok(lookup.table.index_select(&entries, 0)?)
        });
        let sum = vectors.reduce(|sum: Result<Tensor>, vectors| Ok((sum? + vectors?)?));
        let sum = sum.unwrap_or_else(|| Ok(Tensor::zeros((0, 0), self.dtype, &self.device)?))?;
        norm.map_or_else(|| Ok(sum.clone()), |norm| norm.of(&sum))
    }

    fn linear(&self, x: &Tensor, layer: &Linear, activation: Activation) -> Result<Tensor> {
        let mut y = x.matmul(&layer.weight)?;
        if let Some(bias) = &layer.bias {
            y = y.broadcast_add(bias)?;
        }
        activated(y, activation)
    }

    fn attention(
        &self,
        qkv: Tensor,
        batch: &DeviceBatch<'_, Self>,
        shape: &Attention<Self>,
        queries: TokenSelection,
    ) -> Result<Tensor> {
        self.attend(&qkv, batch, shape, queries)
    }

    fn short_convolution(
        &self,
        bcx: &Tensor,
        batch: &DeviceBatch<'_, Self>,
        convolution: &ShortConvolution<Self>,
    ) -> Result<Tensor> {
        self.convolved(bcx, batch, convolution)
    }

    fn linear_residual(&self, x: &Tensor, layer: &Linear, residual: &Tensor, join: &Residual<Self>) -> Result<Tensor> {
        join.of(self, self.linear(x, layer, Activation::Identity)?, residual)
    }

    fn feed_forward(
        &self,
        x: &Tensor,
        layer: &FeedForward<Self>,
        residual: &Tensor,
        join: &Residual<Self>,
    ) -> Result<Tensor> {
        let up = self.linear(x, &layer.up, Activation::Identity)?;
        let middle = if layer.gated {
            let width = up.dim(1)? / 2;
            (activated(up.narrow(1, 0, width)?.contiguous()?, layer.activation)? * up.narrow(1, width, width)?)?
        } else {
            activated(up, layer.activation)?
        };
        self.linear_residual(&middle, &layer.down, residual, join)
    }

    fn pool(&self, x: &Tensor, batch: &DeviceBatch<'_, Self>, modes: &[PoolingMode]) -> Result<Tensor> {
        let x = x.to_dtype(DType::F32)?;
        let pooled = modes.iter().map(|mode| self.pool_by(*mode, &x, batch)).collect::<Result<Vec<_>>>()?;
        Ok(Tensor::cat(&pooled, 1)?.to_dtype(self.dtype)?)
    }

    fn norm(&self, x: &Tensor, norm: &Norm) -> Result<Tensor> {
        norm.of(x)
    }

    fn normalize(&self, x: &Tensor) -> Result<Tensor> {
        let x = x.to_dtype(DType::F32)?;
        let norms = x.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?.maximum(1e-12)?;
        Ok(x.broadcast_div(&norms)?.to_dtype(self.dtype)?)
    }

    fn scale(&self, x: &Tensor, factor: f32) -> Result<Tensor> {
        Ok((x * f64::from(factor))?)
    }

    fn multiply(&self, x: &Tensor, y: &Tensor) -> Result<Tensor> {
        Ok((x * y)?)
    }

    fn add(&self, x: &Tensor, y: &Tensor) -> Result<Tensor> {
        Ok((x + y)?)
    }

    fn select_rows(&self, x: &Tensor, rows: &[u32]) -> Result<Tensor> {
        Ok(x.index_select(&Tensor::from_slice(rows, rows.len(), &self.device)?, 0)?)
    }

    fn add_rows(&self, x: Tensor, rows: &[u32], y: &Tensor, factors: &[f32]) -> Result<Tensor> {
        let rows = Tensor::from_slice(rows, rows.len(), &self.device)?;
        let factors = Tensor::from_slice(factors, (factors.len(), 1), &self.device)?.to_dtype(self.dtype)?;
        Ok(x.index_add(&rows, &y.broadcast_mul(&factors)?, 0)?)
    }

    fn tensor(&self, rows: Vec<f32>, width: usize) -> Result<Tensor> {
        Ok(Tensor::from_vec(rows, ((), width), &self.device)?.to_dtype(self.dtype)?)
    }

    fn to_vec(&self, x: &Tensor) -> Result<Vec<f32>> {
        Ok(x.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
    }
}
