//! The ops by our kernels.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Attention, FeedForward, Lookup, Ops, Queries};
use crate::batch::Batch;
use crate::config::{Activation, PoolingMode};
use crate::error::Result;
use crate::kernels::Isa;
use crate::kernels::attention::{self, DistanceBias, Heads, Span, attention};
use crate::kernels::buffer::Buffer;
use crate::kernels::matmul::{self, Epilogue, matmul};
use crate::kernels::norm::{layer_norm, normalize};
use crate::kernels::packed::Packed;
use crate::kernels::pool::pool;
use crate::kernels::rows::{Rows, RowsMut};
use crate::team::{Team, part};
use crate::weights::Array;

/// Rows of a feed-forward block done at once, so that its wide middle stays in the cache.
const FEED_FORWARD_ROWS: usize = 256;

/// The processor, as one micro-batch sees it: an instruction set, the threads to use, and memory to write over.
pub(crate) struct Cpu {
    isa: Isa,
    team: Team,
    scratch: Mutex<Vec<Scratch>>,
    spare: Arc<Mutex<Vec<Buffer>>>,
}

/// What one thread's kernels write over.
struct Scratch {
    attention: attention::Scratch,
    product: matmul::Scratch,
}

impl Cpu {
    pub(crate) fn new(isa: Isa) -> Self {
        Self { isa, team: Team::default(), scratch: Mutex::default(), spare: Arc::default() }
    }

    /// Room for activations; what they hold at first is arbitrary.
    fn room(&self, rows: usize, width: usize) -> Activations {
        let mut data = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        // Rows an odd number of cache lines apart: else those of a tile fall into few of the cache's sets.
        let stride = (width.div_ceil(LINE) | 1) * LINE;
        data.resize(rows * stride);
        Activations { data, rows, width, stride, home: Arc::clone(&self.spare) }
    }

    /// `x · weightᵀ` with the layer's bias and, where given, residual and activation.
    fn product(&self, x: Rows<'_>, layer: &Linear, more: Epilogue<'_>, out: RowsMut<'_>) {
        let bias = layer.bias.as_ref().map_or(&[][..], Array::as_slice);
        let mut rest = out;
        let mut tasks = Vec::new();
        for panels in part(layer.weight.panels(), self.team.size()) {
            let (mine, others) = rest.split_columns(layer.weight.columns_of(panels.clone()).len());
            tasks.push((panels, mine));
            rest = others;
        }
        self.for_each(tasks, |(panels, out), scratch| {
            matmul(self.isa, x, &layer.weight, panels, Epilogue { bias, ..more }, &mut scratch.product, out);
        });
    }

    /// Does the tasks on all threads.
    fn for_each<T: Send>(&self, tasks: Vec<T>, work: impl Fn(T, &mut Scratch) + Sync) {
        let idle = || self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        self.team.for_each(tasks, |task| {
            let waiting = idle().pop();
            let mut scratch = waiting.unwrap_or_else(|| Scratch {
                attention: attention::Scratch::new(self.isa),
                product: matmul::Scratch::default(),
            });
            work(task, &mut scratch);
            idle().push(scratch);
        });
    }

    fn normed(&self, mut x: Activations, norm: &Norm) -> Activations {
        layer_norm(self.isa, x.as_rows_mut(), norm.weight.as_slice(), norm.bias.as_slice(), norm.eps);
        x
    }

    fn copy(&self, x: &Activations) -> Activations {
        let mut out = self.room(x.rows, x.width);
        out.fill_from(x.as_rows());
        out
    }
}

/// Numbers in a cache line.
const LINE: usize = 16;

/// Activations, `(rows, width)`, whose memory goes back to its worker.
pub(crate) struct Activations {
    data: Buffer,
    rows: usize,
    width: usize,
    stride: usize,
    home: Arc<Mutex<Vec<Buffer>>>,
}

impl Activations {
    fn as_rows(&self) -> Rows<'_> {
        Rows::new(&self.data, self.rows, self.width, self.stride)
    }

    fn as_rows_mut(&mut self) -> RowsMut<'_> {
        RowsMut::new(&mut self.data, self.rows, self.width, self.stride)
    }

    fn fill_from(&mut self, rows: Rows<'_>) {
        let mut out = self.as_rows_mut();
        for (i, row) in rows.iter().enumerate() {
            out.row(i).copy_from_slice(row);
        }
    }
}

impl Drop for Activations {
    fn drop(&mut self) {
        let data = std::mem::take(&mut self.data);
        self.home.lock().unwrap_or_else(PoisonError::into_inner).push(data);
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

    fn join(&mut self, team: Team) {
        self.team = team;
    }

    fn table(&self, vectors: &Array) -> Result<Array> {
        Ok(vectors.clone())
    }

    fn linear_layer(&self, weights: &[Array], bias: Option<&Array>) -> Result<Linear> {
        let rows: Vec<_> = weights.iter().map(|weight| Rows::packed(weight.as_slice(), weight.shape[1])).collect();
        let linear = Linear { weight: Packed::transposed(self.isa, &rows), bias: bias.cloned() };
        weights.iter().for_each(Array::forget_pages);
        Ok(linear)
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
        let mut rows = out.as_rows_mut();
        for i in 0..rows.count() {
            let row = rows.row(i);
            row.fill(0.0);
            for lookup in lookups {
                let vector = &lookup.table.as_slice()[lookup.entries[i] as usize * width..][..width];
                row.iter_mut().zip(vector).for_each(|(out, x)| *out += x);
            }
        }
        Ok(self.normed(out, norm))
    }

    fn linear(&self, x: &Activations, layer: &Linear, activation: Activation) -> Result<Activations> {
        let mut out = self.room(x.rows, layer.weight.columns());
        self.product(x.as_rows(), layer, Epilogue { activation, ..Epilogue::default() }, out.as_rows_mut());
        Ok(out)
    }

    fn attention(
        &self,
        qkv: &Activations,
        batch: &Batch,
        shape: &Attention<Self>,
        queries: Queries,
    ) -> Result<Activations> {
        let hidden = qkv.width / 3;
        let first = match queries {
            Queries::All => None,
            Queries::First => Some(self.pool(qkv, batch, &[PoolingMode::Cls], 0)?),
        };
        let asking = first.as_ref().unwrap_or(qkv);
        let mut out = self.room(asking.rows, hidden);
        let parts = [(asking, 0), (qkv, 1), (qkv, 2)];
        let parts = parts.map(|(x, part)| x.as_rows().columns(part * hidden..(part + 1) * hidden));
        let span = |(i, (text, keys)): (usize, (Range<usize>, Range<usize>))| Span {
            queries: if queries == Queries::First { i..i + 1 } else { text },
            keys,
        };
        let spans: Vec<_> = batch.texts().zip(batch.keys()).enumerate().map(span).collect();
        let heads = Heads { width: shape.head_width, scale: shape.scale, bias: shape.bias.as_ref() };
        let mut rest = out.as_rows_mut();
        let mut tasks = Vec::new();
        for chosen in part(shape.heads, self.team.size()) {
            let (mine, others) = rest.split_columns(chosen.len() * shape.head_width);
            tasks.push((chosen, mine));
            rest = others;
        }
        self.for_each(tasks, |(chosen, out), scratch| {
            attention(self.isa, parts, &spans, heads, chosen, &mut scratch.attention, out);
        });
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
        let residual = Some(residual.as_rows());
        self.product(x.as_rows(), layer, Epilogue { residual, ..Epilogue::default() }, out.as_rows_mut());
        Ok(self.normed(out, norm))
    }

    fn feed_forward(&self, x: &Activations, layer: &FeedForward<Self>, norm: &Norm) -> Result<Activations> {
        let mut wide = self.room(FEED_FORWARD_ROWS.min(x.rows), layer.up.weight.columns());
        let mut out = self.room(x.rows, x.width);
        let mut out_rows = out.as_rows_mut();
        for first in (0..x.rows).step_by(FEED_FORWARD_ROWS) {
            let block = first..x.rows.min(first + FEED_FORWARD_ROWS);
            let input = x.as_rows().range(block.clone());
            let up = Epilogue { activation: layer.activation, ..Epilogue::default() };
            self.product(input, &layer.up, up, wide.as_rows_mut().range(0..block.len()));
            let down = Epilogue { residual: Some(input), ..Epilogue::default() };
            self.product(wide.as_rows().range(0..block.len()), &layer.down, down, out_rows.range(block));
        }
        Ok(self.normed(out, norm))
    }

    fn pool(&self, x: &Activations, batch: &Batch, modes: &[PoolingMode], skip: usize) -> Result<Activations> {
        let mut out = self.room(batch.len(), modes.len() * x.width);
        let mut rows = out.as_rows_mut();
        for (i, text) in batch.texts().enumerate() {
            for (mode, out) in modes.iter().zip(rows.row(i).chunks_exact_mut(x.width)) {
                pool(*mode, x.as_rows().range(text.clone()), skip, out);
            }
        }
        Ok(out)
    }

    fn layer_norm(&self, x: &Activations, norm: &Norm) -> Result<Activations> {
        Ok(self.normed(self.copy(x), norm))
    }

    fn normalize(&self, x: &Activations) -> Result<Activations> {
        let mut out = self.copy(x);
        normalize(out.as_rows_mut());
        Ok(out)
    }

    fn add(&self, x: &Activations, y: &Activations) -> Result<Activations> {
        let mut out = self.copy(x);
        let mut rows = out.as_rows_mut();
        for (i, y) in y.as_rows().iter().enumerate() {
            rows.row(i).iter_mut().zip(y).for_each(|(out, y)| *out += y);
        }
        Ok(out)
    }

    fn to_vec(&self, x: &Activations) -> Result<Vec<f32>> {
        Ok(x.as_rows().iter().flatten().copied().collect())
    }
}
