//! The ops by candle's tensors, for any of its devices.

use candle_core::{D, DType, Device, Tensor};
use candle_nn::ops::{sigmoid, softmax_last_dim};

use super::{Attention, FeedForward, Lookup, Ops, Queries};
use crate::batch::Batch;
use crate::config::{Activation, PoolingMode};
use crate::error::{Error, Result};
use crate::weights::Array;

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
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl Portable {
    pub(crate) fn new(device: Device) -> Self {
        Self { device }
    }

    fn tensor(&self, array: &Array) -> Result<Tensor> {
        Ok(Tensor::from_slice(array.as_slice(), array.shape.as_slice(), &self.device)?)
    }

    /// Scores' biases for texts of one length, `(heads, length, length)`.
    fn biases(&self, table: &Tensor, length: usize) -> Result<Tensor> {
        let (heads, columns) = table.dims2()?;
        let longest = columns.div_ceil(2);
        let column = |query: usize, key: usize| (key + longest - 1 - query) as u32;
        let columns: Vec<u32> = (0..length).flat_map(|query| (0..length).map(move |key| column(query, key))).collect();
        let columns = Tensor::from_vec(columns, length * length, &self.device)?;
        Ok(table.index_select(&columns, 1)?.reshape((heads, length, length))?)
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

    fn norm(&self, weight: &Array, bias: &Array, eps: f32) -> Result<Norm> {
        Ok(Norm { weight: self.tensor(weight)?, bias: self.tensor(bias)?, eps: f64::from(eps) })
    }

    fn distance_bias(&self, table: Array) -> Result<Tensor> {
        self.tensor(&table)
    }

    fn embed(&self, lookups: &[Lookup<'_, Self>], norm: &Norm) -> Result<Tensor> {
        let vectors = lookups.iter().map(|lookup| {
            let entries = Tensor::from_slice(lookup.entries, lookup.entries.len(), &self.device)?;
            Ok(lookup.table.index_select(&entries, 0)?)
        });
        let sum = vectors.reduce(|sum: Result<Tensor>, vectors| Ok((sum? + vectors?)?));
        let none = || Ok(Tensor::zeros((0, norm.weight.elem_count()), DType::F32, &self.device)?);
        self.layer_norm(&sum.unwrap_or_else(none)?, norm)
    }

    fn linear(&self, x: &Tensor, layer: &Linear, activation: Activation) -> Result<Tensor> {
        let mut y = x.matmul(&layer.weight)?;
        if let Some(bias) = &layer.bias {
            y = y.broadcast_add(bias)?;
        }
        Ok(match activation {
            Activation::Identity => y,
            Activation::Gelu => y.gelu_erf()?,
            Activation::GeluTanh => y.gelu()?,
            Activation::Relu => y.relu()?,
            Activation::Silu => y.silu()?,
            Activation::Tanh => y.tanh()?,
            Activation::Sigmoid => sigmoid(&y)?,
        })
    }

    /// Texts of one length are next to each other in a batch, and are done together.
    fn attention(&self, qkv: &Tensor, batch: &Batch, shape: &Attention<Self>, queries: Queries) -> Result<Tensor> {
        let Attention { heads, head_width, scale, bias } = shape;
        let attend = |(rows, length): (std::ops::Range<usize>, usize)| -> Result<Tensor> {
            let count = rows.len() / length;
            let qkv = qkv.narrow(0, rows.start, rows.len())?.reshape((count, length, 3, *heads, *head_width))?;
            let part = |i: usize| qkv.narrow(2, i, 1)?.squeeze(2)?.transpose(1, 2)?.contiguous();
            let asking = if queries == Queries::First { 1 } else { length };
            let attended = batch.attended_at(rows.start);
            let some = |i: usize, tokens: usize| Ok::<_, Error>(part(i)?.narrow(2, 0, tokens)?.contiguous()?);
            let (queries, keys, values) = (some(0, asking)?, some(1, attended)?, some(2, attended)?);
            let mut scores = (queries.matmul(&keys.t()?.contiguous()?)? * f64::from(*scale))?;
            if let Some(table) = bias {
                let biases = self.biases(table, length)?.narrow(1, 0, asking)?.narrow(2, 0, attended)?;
                scores = scores.broadcast_add(&biases)?;
            }
            let attended = softmax_last_dim(&scores)?.matmul(&values)?;
            Ok(attended.transpose(1, 2)?.reshape((count * asking, heads * head_width))?)
        };
        let parts = batch.runs().map(attend).collect::<Result<Vec<_>>>()?;
        Ok(Tensor::cat(&parts, 0)?)
    }

    fn linear_add_norm(&self, x: &Tensor, layer: &Linear, residual: &Tensor, norm: &Norm) -> Result<Tensor> {
        let y = self.linear(x, layer, Activation::Identity)?;
        self.layer_norm(&(y + residual)?, norm)
    }

    fn feed_forward(&self, x: &Tensor, layer: &FeedForward<Self>, norm: &Norm) -> Result<Tensor> {
        let middle = self.linear(x, &layer.up, layer.activation)?;
        self.linear_add_norm(&middle, &layer.down, x, norm)
    }

    fn pool(&self, x: &Tensor, batch: &Batch, modes: &[PoolingMode], skip: usize) -> Result<Tensor> {
        let parts = batch.runs().map(|(rows, length)| {
            let texts = x.narrow(0, rows.start, rows.len())?.reshape((rows.len() / length, length, ()))?;
            let pooled = modes.iter().map(|mode| pool_texts(*mode, &texts, skip)).collect::<Result<Vec<_>>>()?;
            Ok(Tensor::cat(&pooled, 1)?)
        });
        Ok(Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 0)?)
    }

    fn layer_norm(&self, x: &Tensor, norm: &Norm) -> Result<Tensor> {
        // In two passes: the variance as a mean of squares less the mean's square loses digits.
        let centered = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let variance = centered.sqr()?.mean_keepdim(D::Minus1)?;
        let normed = centered.broadcast_div(&(variance + norm.eps)?.sqrt()?)?;
        Ok(normed.broadcast_mul(&norm.weight)?.broadcast_add(&norm.bias)?)
    }

    fn normalize(&self, x: &Tensor) -> Result<Tensor> {
        let norms = x.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?.maximum(1e-12)?;
        Ok(x.broadcast_div(&norms)?)
    }

    fn add(&self, x: &Tensor, y: &Tensor) -> Result<Tensor> {
        Ok((x + y)?)
    }

    fn to_vec(&self, x: &Tensor) -> Result<Vec<f32>> {
        Ok(x.flatten_all()?.to_vec1()?)
    }
}
