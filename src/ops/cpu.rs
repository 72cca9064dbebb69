//! The ops by our kernels.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Attention, FeedForward, Lookup, Ops};
use crate::batch::Batch;
use crate::config::{Activation, PoolingMode};
use crate::error::Result;
use crate::kernels::Isa;
use crate::kernels::attention::{DistanceBias, Heads, Scratch, attention};
use crate::kernels::buffer::Buffer;
use crate::kernels::matmul::{Epilogue, Packed, Rows, matmul};
use crate::kernels::norm::{layer_norm, normalize};
use crate::kernels::pool::pool;
use crate::weights::Array;

/// Rows of a feed-forward block done at once, so that its wide middle stays in the cache.
const FEED_FORWARD_ROWS: usize = 96;

/// The processor, as one thread sees it: an instruction set, and memory to write over.
pub(crate) struct Cpu {
    isa: Isa,
    attention: Mutex<Scratch>,
    spare: Arc<Mutex<Vec<Buffer>>>,
}

impl Cpu {
    pub(crate) fn new(isa: Isa) -> Self {
        Self { isa, attention: Mutex::new(Scratch::new(isa)), spare: Arc::default() }
    }

    /// Room for activations; what they hold at first is arbitrary.
    fn room(&self, rows: usize, width: usize) -> Activations {
        let mut data = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        data.resize(rows * width);
        Activations { data, rows, width, home: Arc::clone(&self.spare) }
    }

    /// `epilogue(x · weightᵀ)`, with the layer's bias.
    fn product(&self, x: Rows<'_>, layer: &Linear, activation: Activation, residual: &[f32], out: &mut [f32]) {
        let epilogue = Epilogue { bias: layer.bias.as_ref().map_or(&[], Array::as_slice), activation, residual };
        matmul(self.isa, x, &layer.weight, epilogue, out, layer.weight.columns());
    }

    fn normed(&self, mut x: Activations, norm: &Norm) -> Activations {
        layer_norm(self.isa, &mut x, norm.weight.as_slice(), norm.bias.as_slice(), norm.eps);
        x
    }
}

/// Activations, `(rows, width)`, whose memory goes back to its worker.
pub(crate) struct Activations {
    data: Buffer,
    rows: usize,
    width: usize,
    home: Arc<Mutex<Vec<Buffer>>>,
}

impl Activations {
    fn as_rows(&self) -> Rows<'_> {
        Rows { data: self, stride: self.width, count: self.rows }
    }
}

impl Drop for Activations {
    fn drop(&mut self) {
        let data = std::mem::take(&mut self.data);
        self.home.lock().unwrap_or_else(PoisonError::into_inner).push(data);
    }
}

impl Deref for Activations {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.data
    }
}

impl DerefMut for Activations {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }
}

pub(crate) struct Linear {
    weight: Packed,
    bias: Option<Array>,
}

pub(crate) struct Norm {
    weight: Array,
    bias: Array,
    eps: f32,
}

impl Ops for Cpu {
    type Tensor = Activations;
    type Table = Array;
    type Linear = Linear;
    type Norm = Norm;
    type Bias = DistanceBias;

    fn worker(&self) -> Self {
        Self::new(self.isa)
    }

    fn table(&self, vectors: &Array) -> Result<Array> {
        Ok(vectors.clone())
    }

    fn linear_layer(&self, weight: &Array, bias: Option<&Array>) -> Result<Linear> {
        let packed = Packed::transposed(self.isa, weight.as_slice(), weight.shape[0], weight.shape[1]);
        Ok(Linear { weight: packed, bias: bias.cloned() })
    }

    fn norm(&self, weight: &Array, bias: &Array, eps: f32) -> Result<Norm> {
        Ok(Norm { weight: weight.clone(), bias: bias.clone(), eps })
    }

    fn distance_bias(&self, table: Array) -> Result<DistanceBias> {
        let longest = table.shape[1].div_ceil(2);
        Ok(DistanceBias { table: table.as_slice().to_vec(), longest })
    }

    fn embed(&self, lookups: &[Lookup<'_, Self>], norm: &Norm) -> Result<Activations> {
        let width = norm.weight.as_slice().len();
        let mut out = self.room(lookups.first().map_or(0, |lookup| lookup.entries.len()), width);
        out.fill(0.0);
        for lookup in lookups {
            let table = lookup.table.as_slice();
            for (out, entry) in out.chunks_exact_mut(width).zip(lookup.entries) {
                let vector = &table[*entry as usize * width..][..width];
                out.iter_mut().zip(vector).for_each(|(out, x)| *out += x);
            }
        }
        Ok(self.normed(out, norm))
    }

    fn linear(&self, x: &Activations, layer: &Linear, activation: Activation) -> Result<Activations> {
        let mut out = self.room(x.rows, layer.weight.columns());
        self.product(x.as_rows(), layer, activation, &[], &mut out);
        Ok(out)
    }

    fn attention(&self, qkv: &Activations, batch: &Batch, shape: &Attention<Self>) -> Result<Activations> {
        let mut out = self.room(qkv.rows, qkv.width / 3);
        let heads =
            Heads { count: shape.heads, width: shape.head_width, scale: shape.scale, bias: shape.bias.as_ref() };
        let mut scratch = self.attention.lock().unwrap_or_else(PoisonError::into_inner);
        attention(self.isa, qkv, batch.texts(), heads, &mut scratch, &mut out);
        Ok(out)
    }

    fn linear_add_norm(
        &self,
        x: &Activations,
        layer: &Linear,
        residual: &Activations,
        norm: &Norm,
    ) -> Result<Activations> {
        let mut out = self.room(x.rows, layer.weight.columns());
        self.product(x.as_rows(), layer, Activation::Identity, residual, &mut out);
        Ok(self.normed(out, norm))
    }

    fn feed_forward(&self, x: &Activations, layer: &FeedForward<Self>, norm: &Norm) -> Result<Activations> {
        let middle = layer.up.weight.columns();
        let mut wide = self.room(FEED_FORWARD_ROWS.min(x.rows), middle);
        let mut out = self.room(x.rows, x.width);
        let block = FEED_FORWARD_ROWS * x.width;
        for (x_block, out) in x.chunks(block).zip(out.chunks_mut(block)) {
            let count = x_block.len() / x.width;
            let rows = Rows { data: x_block, stride: x.width, count };
            self.product(rows, &layer.up, layer.activation, &[], &mut wide);
            let rows = Rows { data: &wide, stride: middle, count };
            self.product(rows, &layer.down, Activation::Identity, x_block, out);
        }
        Ok(self.normed(out, norm))
    }

    fn pool(&self, x: &Activations, batch: &Batch, modes: &[PoolingMode], skip: usize) -> Result<Activations> {
        let width = x.width;
        let mut out = self.room(batch.len(), modes.len() * width);
        let places = batch.texts().flat_map(|text| modes.iter().map(move |mode| (text.clone(), *mode)));
        for ((text, mode), out) in places.zip(out.chunks_exact_mut(width)) {
            pool(mode, &x[text.start * width..text.end * width], width, skip, out);
        }
        Ok(out)
    }

    fn layer_norm(&self, x: &Activations, norm: &Norm) -> Result<Activations> {
        Ok(self.normed(self.copy(x), norm))
    }

    fn normalize(&self, x: &Activations) -> Result<Activations> {
        let mut out = self.copy(x);
        normalize(&mut out, x.width);
        Ok(out)
    }

    fn add(&self, x: &Activations, y: &Activations) -> Result<Activations> {
        let mut out = self.copy(x);
        out.iter_mut().zip(y.iter()).for_each(|(out, y)| *out += y);
        Ok(out)
    }

    fn to_vec(&self, x: &Activations) -> Result<Vec<f32>> {
        Ok(x.to_vec())
    }
}

impl Cpu {
    fn copy(&self, x: &Activations) -> Activations {
        let mut out = self.room(x.rows, x.width);
        out.copy_from_slice(x);
        out
    }
}
