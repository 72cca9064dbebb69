//! The ops by our kernels.

mod activations;
mod attention;

use std::sync::{Arc, Mutex, PoisonError};

use super::{Attention, DeviceBatch, FeedForward, Lookup, Ops, PositionColumns, Residual, TokenSelection};
use crate::batch::Batch;
use crate::config::{Activation, PoolingMode};
use crate::error::Result;
use crate::kernels::activation::gate;
use crate::kernels::attention::{Disentangled, DistanceBias, Scratch as AttentionScratch};
use crate::kernels::buffer::Buffer;
use crate::kernels::matmul::{self, Epilogue, matmul};
use crate::kernels::norm::{Center, normalize};
use crate::kernels::packed::Packed;
use crate::kernels::pool::pool;
use crate::kernels::rows::{Rows, RowsMut};
use crate::kernels::{self, Isa};
use crate::threads::team::{Team, part};
use crate::weights::Array;

use activations::{Activations, LINE};

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
    attention: AttentionScratch,
    product: matmul::Scratch,
}

impl Cpu {
    pub(crate) fn new(isa: Isa) -> Self {
        Self { isa, team: Team::default(), scratch: Mutex::default(), spare: Arc::default() }
    }

    fn room(&self, rows: usize, width: usize) -> Activations {
        Activations::room(&self.spare, rows, width)
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
                attention: AttentionScratch::new(self.isa),
                product: matmul::Scratch::default(),
            });
            work(task, &mut scratch);
            idle().push(scratch);
        });
    }

    fn normed(&self, mut x: Activations, norm: &Norm) -> Activations {
        kernels::norm::norm(self.isa, x.as_rows_mut(), norm.parameters());
        x
    }

    /// What a block computed, with the residual already added where the join has it so.
    fn joined(&self, x: Activations, residual: &Activations, join: &Residual<Self>) -> Activations {
        match join {
            Residual::Add => x,
            Residual::AddNorm(norm) => self.normed(x, norm),
            Residual::NormAdd(norm) => added(self.normed(x, norm), residual),
        }
    }

    /// The wide middle of a feed-forward block, in `wide`.
    fn middle<'a>(&self, x: Rows<'_>, layer: &FeedForward<Self>, wide: &'a mut Activations) -> Rows<'a> {
        let rows = x.count();
        if !layer.gated {
            let up = Epilogue { activation: layer.activation, ..Epilogue::default() };
            self.product(x, &layer.up, up, wide.as_rows_mut().range(0..rows));
            return wide.as_rows().range(0..rows);
        }
        self.product(x, &layer.up, Epilogue::default(), wide.as_rows_mut().range(0..rows));
        let width = wide.width / 2;
        let mut all = wide.as_rows_mut();
        let (mut left, mut right) = all.range(0..rows).split_columns(width);
        let mut tasks = Vec::new();
        for columns in part(width.div_ceil(LINE), self.team.size()) {
            let columns = (LINE * columns.len()).min(left.width());
            let (x, gates);
            (x, left) = left.split_columns(columns);
            (gates, right) = right.split_columns(columns);
            tasks.push((x, gates));
        }
        self.for_each(tasks, |(x, gates), _| gate(self.isa, layer.activation, x, gates));
        wide.as_rows().range(0..rows).columns(0..width)
    }

    /// One row a text, the modes' vectors side by side, without so many of each text's first tokens.
    fn pooled(&self, x: &Activations, batch: &Batch, modes: &[PoolingMode], excluded: &[usize]) -> Activations {
        let mut out = self.room(batch.len(), modes.len() * x.width);
        let mut rows = out.as_rows_mut();
        for (i, text) in batch.texts().enumerate() {
            for (mode, out) in modes.iter().zip(rows.row(i).chunks_exact_mut(x.width)) {
                pool(*mode, x.as_rows().range(text.clone()), excluded[i], out);
            }
        }
        out
    }

    fn copy(&self, x: &Activations) -> Activations {
        let mut out = self.room(x.rows, x.width);
        out.fill_from(x.as_rows());
        out
    }
}

pub(crate) struct Linear {
    weight: Packed,
    bias: Option<Array>,
}

pub(crate) struct Norm {
    center: Center,
    weight: Array,
    bias: Array,
    eps: f32,
}

impl Norm {
    fn parameters(&self) -> kernels::norm::Norm<'_> {
        let (weight, bias) = (self.weight.as_slice(), self.bias.as_slice());
        kernels::norm::Norm { center: self.center, weight, bias, eps: self.eps }
    }
}

/// The residual that a product adds itself: before a norm, it is part of what is normalized.
fn before_norm<'a>(residual: Rows<'a>, join: &Residual<Cpu>) -> Option<Rows<'a>> {
    match join {
        Residual::Add | Residual::AddNorm(_) => Some(residual),
        Residual::NormAdd(_) => None,
    }
}

/// `x + y`
fn added(mut x: Activations, y: &Activations) -> Activations {
    let mut rows = x.as_rows_mut();
    for (i, y) in y.as_rows().iter().enumerate() {
        rows.row(i).iter_mut().zip(y).for_each(|(x, y)| *x += y);
    }
    x
}

impl Ops for Cpu {
    type Tensor = Activations;
    type Table = Array;
    type Linear = Linear;
    type Norm = Norm;
    type Bias = DistanceBias;
    type Positions = Disentangled;
    type Layout = ();

    fn worker(&self) -> Self {
        Self::new(self.isa)
    }

    fn join(&mut self, team: Team) {
        self.team = team;
    }

    fn layout(&self, _: &Batch) -> Result<()> {
        Ok(())
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

    fn layer_norm(&self, weight: &Array, bias: Option<&Array>, eps: f32) -> Result<Norm> {
        let bias = bias.cloned().unwrap_or_else(|| Array::zeros(&weight.shape));
        Ok(Norm { center: Center::Mean, weight: weight.clone(), bias, eps })
    }

    fn rms_norm(&self, weight: &Array, eps: f32) -> Result<Norm> {
        Ok(Norm { center: Center::Zero, weight: weight.clone(), bias: Array::zeros(&weight.shape), eps })
    }

    fn distance_bias(&self, table: Array) -> Result<DistanceBias> {
        let longest = table.shape[1].div_ceil(2);
        Ok(DistanceBias { table: table.as_slice().to_vec(), longest })
    }

    fn positions(
        &self,
        keys: Option<&Activations>,
        queries: Option<&Activations>,
        head_width: usize,
        columns: Arc<PositionColumns>,
    ) -> Result<Disentangled> {
        let (keys, queries) = (keys.map(Activations::as_rows), queries.map(Activations::as_rows));
        Ok(Disentangled::new(self.isa, keys, queries, head_width, columns))
    }

    fn embed(&self, lookups: &[Lookup<'_, Self>], norm: Option<&Norm>) -> Result<Activations> {
        let width = lookups.first().map_or(0, |lookup| lookup.table.shape[1]);
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
        Ok(match norm {
            Some(norm) => self.normed(out, norm),
            None => out,
        })
    }

    fn linear(&self, x: &Activations, layer: &Linear, activation: Activation) -> Result<Activations> {
        let mut out = self.room(x.rows, layer.weight.columns());
        self.product(x.as_rows(), layer, Epilogue { activation, ..Epilogue::default() }, out.as_rows_mut());
        Ok(out)
    }

    fn attention(
        &self,
        qkv: Activations,
        batch: &DeviceBatch<'_, Self>,
        shape: &Attention<Self>,
        queries: TokenSelection,
    ) -> Result<Activations> {
        self.attend(qkv, batch, shape, queries)
    }

    fn linear_residual(
        &self,
        x: &Activations,
        layer: &Linear,
        residual: &Activations,
        join: &Residual<Self>,
    ) -> Result<Activations> {
        let mut out = self.room(x.rows, layer.weight.columns());
        let epilogue = Epilogue { residual: before_norm(residual.as_rows(), join), ..Epilogue::default() };
        self.product(x.as_rows(), layer, epilogue, out.as_rows_mut());
        Ok(self.joined(out, residual, join))
    }

    fn feed_forward(
        &self,
        x: &Activations,
        layer: &FeedForward<Self>,
        residual: &Activations,
        join: &Residual<Self>,
    ) -> Result<Activations> {
        let mut wide = self.room(FEED_FORWARD_ROWS.min(x.rows), layer.up.weight.columns());
        let mut out = self.room(x.rows, layer.down.weight.columns());
        let mut out_rows = out.as_rows_mut();
        for first in (0..x.rows).step_by(FEED_FORWARD_ROWS) {
            let block = first..x.rows.min(first + FEED_FORWARD_ROWS);
            let middle = self.middle(x.as_rows().range(block.clone()), layer, &mut wide);
            let residual = before_norm(residual.as_rows().range(block.clone()), join);
            let down = Epilogue { residual, ..Epilogue::default() };
            self.product(middle, &layer.down, down, out_rows.range(block));
        }
        Ok(self.joined(out, residual, join))
    }

    fn pool(&self, x: &Activations, batch: &DeviceBatch<'_, Self>, modes: &[PoolingMode]) -> Result<Activations> {
        Ok(self.pooled(x, batch, modes, &batch.excluded))
    }

    fn norm(&self, x: &Activations, norm: &Norm) -> Result<Activations> {
        Ok(self.normed(self.copy(x), norm))
    }

    fn normalize(&self, x: &Activations) -> Result<Activations> {
        let mut out = self.copy(x);
        normalize(out.as_rows_mut());
        Ok(out)
    }

    fn scale(&self, x: &Activations, factor: f32) -> Result<Activations> {
        let mut out = self.copy(x);
        let mut rows = out.as_rows_mut();
        for i in 0..rows.count() {
            rows.row(i).iter_mut().for_each(|x| *x *= factor);
        }
        Ok(out)
    }

    fn add(&self, x: &Activations, y: &Activations) -> Result<Activations> {
        Ok(added(self.copy(x), y))
    }

    fn tensor(&self, rows: Vec<f32>, width: usize) -> Result<Activations> {
        let rows = Rows::packed(&rows, width);
        let mut out = self.room(rows.count(), width);
        out.fill_from(rows);
        Ok(out)
    }

    fn to_vec(&self, x: &Activations) -> Result<Vec<f32>> {
        Ok(x.as_rows().iter().flatten().copied().collect())
    }
}
