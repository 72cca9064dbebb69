//! The ops by candle's tensors, for any of its devices.

mod attention;

use candle_core::{D, DType, Device, Tensor};
use candle_nn::ops::sigmoid;

use super::{Attention, FeedForward, Join, Lookup, Ops, PositionColumns, Queries};
use crate::batch::Batch;
use crate::config::{Activation, PoolingMode};
use crate::error::Result;
use crate::kernels::norm::Center;
use crate::weights::Array;

use attention::Positions;

/// A device of candle's.
#[derive(Clone)]
pub(crate) struct Portable {
    device: Device,
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
    /// The norm of every row.
    fn of(&self, x: &Tensor) -> Result<Tensor> {
        // In two passes: the variance as a mean of squares less the mean's square loses digits.
        let centered = match self.center {
            Center::Mean => x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?,
            Center::Zero => x.clone(),
        };
        let variance = centered.sqr()?.mean_keepdim(D::Minus1)?;
        let normed = centered.broadcast_div(&(variance + self.eps)?.sqrt()?)?.broadcast_mul(&self.weight)?;
        Ok(match &self.bias {
            Some(bias) => normed.broadcast_add(bias)?,
            None => normed,
        })
    }
}

/// `activation(x)`
fn activated(x: Tensor, activation: Activation) -> Result<Tensor> {
    Ok(match activation {
        Activation::Identity => x,
        Activation::Gelu => x.gelu_erf()?,
        Activation::GeluTanh => x.gelu()?,
        Activation::Relu => x.relu()?,
        Activation::Silu => x.silu()?,
        Activation::Tanh => x.tanh()?,
        Activation::Sigmoid => sigmoid(&x)?,
    })
}

impl Portable {
    pub(crate) fn new(device: Device) -> Self {
        Self { device }
    }

    fn tensor(&self, array: &Array) -> Result<Tensor> {
        Ok(Tensor::from_slice(array.as_slice(), array.shape.as_slice(), &self.device)?)
    }
}

/// `tokens` of `count` texts of one length, skipping the prompt, as one row a text.
fn pool_texts(mode: PoolingMode, tokens: &Tensor, skip: usize) -> Result<Tensor> {
    let (count, length, width) = tokens.dims3()?;
    let skip = skip.min(length);
    let kept = length - skip;
    let nothing = |value: f32| Tensor::full(value, (count, width), tokens.device());
    let rows = |first: usize, n: usize| tokens.narrow(1, first, n);
    Ok(match mode {
        PoolingMode::Cls => rows(if kept == 0 { 0 } else { skip }, 1)?.squeeze(1)?,
        PoolingMode::Max if kept == 0 => nothing(f32::NEG_INFINITY)?,
        _ if kept == 0 => nothing(0.0)?,
        PoolingMode::LastToken => rows(length - 1, 1)?.squeeze(1)?,
        PoolingMode::Max => rows(skip, kept)?.max(1)?,
        PoolingMode::Mean => (rows(skip, kept)?.sum(1)? / kept as f64)?,
        PoolingMode::MeanSqrtLen => (rows(skip, kept)?.sum(1)? / (kept as f64).sqrt())?,
        PoolingMode::WeightedMean => {
            let weights: Vec<f32> = (skip + 1..=length).map(|place| place as f32).collect();
            let sum: f32 = weights.iter().sum();
            let weights = Tensor::from_vec(weights, (1, kept, 1), tokens.device())?;
            (rows(skip, kept)?.broadcast_mul(&weights)?.sum(1)? / f64::from(sum))?
        }
    })
}

impl Ops for Portable {
    type Tensor = Tensor;
    type Table = Tensor;
    type Linear = Linear;
    type Norm = Norm;
    type Bias = Tensor;
    type Positions = Positions;

    fn worker(&self) -> Self {
        self.clone()
    }

    fn table(&self, vectors: &Array) -> Result<Tensor> {
        self.tensor(vectors)
    }

    fn linear_layer(&self, weights: &[Array], bias: Option<&Array>) -> Result<Linear> {
        let bias = bias.map(|bias| self.tensor(bias)).transpose()?;
        let weights = weights.iter().map(|weight| self.tensor(weight)).collect::<Result<Vec<_>>>()?;
        Ok(Linear { weight: Tensor::cat(&weights, 0)?.t()?, bias })
    }

    fn layer_norm(&self, weight: &Array, bias: Option<&Array>, eps: f32) -> Result<Norm> {
        let bias = bias.map(|bias| self.tensor(bias)).transpose()?;
        Ok(Norm { center: Center::Mean, weight: self.tensor(weight)?, bias, eps: f64::from(eps) })
    }

    fn rms_norm(&self, weight: &Array, eps: f32) -> Result<Norm> {
        Ok(Norm { center: Center::Zero, weight: self.tensor(weight)?, bias: None, eps: f64::from(eps) })
    }

    fn distance_bias(&self, table: Array) -> Result<Tensor> {
        self.tensor(&table)
    }

    fn positions(
        &self,
        keys: Option<&Tensor>,
        queries: Option<&Tensor>,
        head_width: usize,
        columns: PositionColumns,
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
        let sum = sum.unwrap_or_else(|| Ok(Tensor::zeros((0, 0), DType::F32, &self.device)?))?;
        norm.map_or_else(|| Ok(sum.clone()), |norm| norm.of(&sum))
    }

    fn linear(&self, x: &Tensor, layer: &Linear, activation: Activation) -> Result<Tensor> {
        let mut y = x.matmul(&layer.weight)?;
        if let Some(bias) = &layer.bias {
            y = y.broadcast_add(bias)?;
        }
        activated(y, activation)
    }

    fn attention(&self, qkv: Tensor, batch: &Batch, shape: &Attention<Self>, queries: Queries) -> Result<Tensor> {
        self.attend(&qkv, batch, shape, queries)
    }

    fn linear_join(&self, x: &Tensor, layer: &Linear, residual: &Tensor, join: &Join<Self>) -> Result<Tensor> {
        let y = self.linear(x, layer, Activation::Identity)?;
        match join {
            Join::Add => Ok((y + residual)?),
            Join::AddNorm(norm) => norm.of(&(y + residual)?),
            Join::NormAdd(norm) => Ok((norm.of(&y)? + residual)?),
        }
    }

    fn feed_forward(
        &self,
        x: &Tensor,
        layer: &FeedForward<Self>,
        residual: &Tensor,
        join: &Join<Self>,
    ) -> Result<Tensor> {
        let up = self.linear(x, &layer.up, Activation::Identity)?;
        let middle = if layer.gated {
            let width = up.dim(1)? / 2;
            (activated(up.narrow(1, 0, width)?.contiguous()?, layer.activation)? * up.narrow(1, width, width)?)?
        } else {
            activated(up, layer.activation)?
        };
        self.linear_join(&middle, &layer.down, residual, join)
    }

    fn pool(&self, x: &Tensor, batch: &Batch, modes: &[PoolingMode], skip: usize) -> Result<Tensor> {
        let parts = batch.runs().map(|(rows, length)| {
            let texts = x.narrow(0, rows.start, rows.len())?.reshape((rows.len() / length, length, ()))?;
            let pooled = modes.iter().map(|mode| pool_texts(*mode, &texts, skip)).collect::<Result<Vec<_>>>()?;
            Ok(Tensor::cat(&pooled, 1)?)
        });
        Ok(Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 0)?)
    }

    fn norm(&self, x: &Tensor, norm: &Norm) -> Result<Tensor> {
        norm.of(x)
    }

    fn normalize(&self, x: &Tensor) -> Result<Tensor> {
        let norms = x.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?.maximum(1e-12)?;
        Ok(x.broadcast_div(&norms)?)
    }

    fn scale(&self, x: &Tensor, factor: f32) -> Result<Tensor> {
        Ok((x * f64::from(factor))?)
    }

    fn add(&self, x: &Tensor, y: &Tensor) -> Result<Tensor> {
        Ok((x + y)?)
    }

    fn tensor(&self, rows: Vec<f32>, width: usize) -> Result<Tensor> {
        Ok(Tensor::from_vec(rows, ((), width), &self.device)?)
    }

    fn to_vec(&self, x: &Tensor) -> Result<Vec<f32>> {
        Ok(x.flatten_all()?.to_vec1()?)
    }
}
