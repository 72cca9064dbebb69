//! Ops on the CPU by rushlight's kernels.

mod activations;
mod attention;
mod convolution;
mod linear;
mod packing;

use std::sync::{Arc, Mutex};

use super::{
    Attention, DeviceBatch, FeedForward, Lookup, Ops, PositionColumns, Residual, ShortConvolution, TokenSelection,
};
use crate::alloc;
use crate::batch::Batch;
use crate::config::{Activation, PoolingMode};
use crate::error::Result;
use crate::kernels::activation::gate;
use crate::kernels::attention::{AttentionScratch, Disentangled, DistanceBias};
use crate::kernels::int8::QuantizedRows;
use crate::kernels::matmul::Epilogue;
use crate::kernels::norm::{Center, NormParameters, normalize};
use crate::kernels::pool::pool;
use crate::kernels::rows::Rows;
use crate::kernels::weight::{ProductScratch, WeightForm};
use crate::kernels::{self, Isa};
use crate::threads::executor::lock;
use crate::threads::intra_op::{IntraOpThreads, split_evenly};
use crate::weights::{Array, Table};

use activations::{Activations, LINE, Spares};
use linear::Linear;
pub(crate) use packing::{MappedWeights, Noted, Packing};

/// Rows of a feed-forward block that are computed at once, so that its wide middle stays in the cache.
const FEED_FORWARD_ROWS: usize = 256;

/// The CPU as one micro-batch sees it: an instruction set, the form of weights, threads, and scratch memory.
pub(crate) struct Cpu {
    isa: Isa,
    form: WeightForm,
    packing: Packing,
    /// True while linear layers that are not packed yet are packed by the inputs that they see.
    calibrating: bool,
    threads: IntraOpThreads,
    scratch: Mutex<Vec<KernelScratch>>,
    /// Memory for the quantized input of a linear layer.
    codes: Mutex<QuantizedRows>,
    spares: Spares,
}

/// Scratch memory of one thread's kernels.
struct KernelScratch {
    attention: AttentionScratch,
    product: ProductScratch,
}

impl Cpu {
    pub(crate) fn new(isa: Isa, form: WeightForm, packing: Packing) -> Self {
        Self {
            isa,
            form,
            packing,
            calibrating: false,
            threads: IntraOpThreads::default(),
            scratch: Mutex::default(),
            codes: Mutex::default(),
            spares: Arc::default(),
        }
    }

    fn alloc(&self, rows: usize, width: usize) -> Result<Activations> {
        Activations::alloc(&self.spares, rows, width)
    }

    /// Runs the tasks on all threads.
    fn for_each<T: Send>(&self, tasks: Vec<T>, work: impl Fn(T, &mut KernelScratch) + Sync) {
        self.threads.for_each(tasks, |task| {
            let idle = lock(&self.scratch).pop();
            let mut scratch = idle.unwrap_or_else(|| KernelScratch {
                attention: AttentionScratch::new(self.isa),
                product: ProductScratch::default(),
            });
            work(task, &mut scratch);
            lock(&self.scratch).push(scratch);
        });
    }

    /// Runs tasks that can fail on all threads. Returns the first error.
    fn try_for_each<T: Send>(
        &self,
        tasks: Vec<T>,
        work: impl Fn(T, &mut KernelScratch) -> Result<()> + Sync,
    ) -> Result<()> {
        let failure = Mutex::new(None);
        self.for_each(tasks, |task, scratch| {
            if let Err(error) = work(task, scratch) {
                lock(&failure).get_or_insert(error);
            }
        });
        lock(&failure).take().map_or(Ok(()), Err)
    }

    fn normed(&self, mut x: Activations, norm: &Norm) -> Activations {
        kernels::norm::norm(self.isa, x.as_rows_mut(), norm.parameters());
        x
    }

    /// Completes the residual connection of a block's output. Where it precedes a norm, the product has added the residual.
    fn joined(&self, x: Activations, residual: &Activations, join: &Residual<Self>) -> Activations {
        match join {
            Residual::None | Residual::Add => x,
            Residual::AddNorm(norm) => self.normed(x, norm),
            Residual::AddNormTwice([first, second]) => self.normed(added(self.normed(x, first), residual), second),
            Residual::NormAdd(norm) => added(self.normed(x, norm), residual),
        }
    }

    /// Computes the wide middle of a feed-forward block, in `wide`.
    fn middle<'a>(&self, x: Rows<'_>, layer: &FeedForward<Self>, wide: &'a mut Activations) -> Result<Rows<'a>> {
        let rows = x.count();
        if !layer.gated {
            let up = Epilogue { activation: layer.activation, ..Epilogue::default() };
            self.product(x, &layer.up, up, wide.as_rows_mut().range(0..rows))?;
            return Ok(wide.as_rows().range(0..rows));
        }
        self.product(x, &layer.up, Epilogue::default(), wide.as_rows_mut().range(0..rows))?;
        let width = wide.width / 2;
        let mut all = wide.as_rows_mut();
        let (mut left, mut right) = all.range(0..rows).split_columns(width);
        let mut tasks = Vec::new();
        for columns in split_evenly(width.div_ceil(LINE), self.threads.size()) {
            let columns = (LINE * columns.len()).min(left.width());
            let (x, gates);
            (x, left) = left.split_columns(columns);
            (gates, right) = right.split_columns(columns);
            tasks.push((x, gates));
        }
        self.for_each(tasks, |(x, gates), _| gate(self.isa, layer.activation, x, gates));
        Ok(wide.as_rows().range(0..rows).columns(0..width))
    }

    /// Pools each text into one row, the modes' vectors side by side, without the `excluded` first tokens of each.
    fn pooled(&self, x: &Activations, batch: &Batch, modes: &[PoolingMode], excluded: &[usize]) -> Result<Activations> {
        let mut out = self.alloc(batch.len(), modes.len() * x.width)?;
        let mut rows = out.as_rows_mut();
        for (i, text) in batch.texts().enumerate() {
            for (mode, out) in modes.iter().zip(rows.row(i).chunks_exact_mut(x.width)) {
                pool(*mode, x.as_rows().range(text.clone()), excluded[i], out);
            }
        }
        Ok(out)
    }

    fn copy(&self, x: &Activations) -> Result<Activations> {
        let mut out = self.alloc(x.rows, x.width)?;
        out.fill_from(x.as_rows());
        Ok(out)
    }
}

pub(crate) struct Norm {
    center: Center,
    weight: Array,
    bias: Array,
    eps: f32,
}

impl Norm {
    fn parameters(&self) -> NormParameters<'_> {
        let (weight, bias) = (self.weight.as_slice(), self.bias.as_slice());
        NormParameters { center: self.center, weight, bias, eps: self.eps }
    }
}

/// Returns the residual for the product to add: one that precedes a norm.
fn before_norm<'a>(residual: Rows<'a>, join: &Residual<Cpu>) -> Option<Rows<'a>> {
    match join {
        Residual::Add | Residual::AddNorm(_) | Residual::AddNormTwice(_) => Some(residual),
        Residual::None | Residual::NormAdd(_) => None,
    }
}

/// Computes `x + y`.
fn added(mut x: Activations, y: &Activations) -> Activations {
    let mut rows = x.as_rows_mut();
    for (i, y) in y.as_rows().iter().enumerate() {
        rows.row(i).iter_mut().zip(y).for_each(|(x, y)| *x += y);
    }
    x
}

impl Ops for Cpu {
    type Tensor = Activations;
    type Table = Table;
    type Linear = Linear;
    type Norm = Norm;
    type Bias = DistanceBias;
    type Positions = Disentangled;
    type Layout = ();

    fn worker(&self) -> Self {
        Self::new(self.isa, self.form, self.packing.clone())
    }

    fn calibrating(&self) -> Option<Self> {
        (self.form == WeightForm::Int8).then(|| Self { calibrating: true, ..self.worker() })
    }

    fn in_full_precision(&self) -> Self {
        Self::new(self.isa, WeightForm::F32, self.packing.clone())
    }

    fn use_threads(&mut self, threads: IntraOpThreads) {
        self.threads = threads;
    }

    fn layout(&self, _: &Batch) -> Result<()> {
        Ok(())
    }

    fn table(&self, vectors: Table) -> Result<Table> {
        Ok(vectors)
    }

    fn linear_layer(&self, weights: &[Array], bias: Option<&Array>) -> Result<Linear> {
        Linear::new(self.isa, self.form, &self.packing, weights, bias)
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
        Ok(DistanceBias::new(table.as_slice(), longest))
    }

    fn positions(
        &self,
        keys: Option<&Activations>,
        queries: Option<&Activations>,
        head_width: usize,
        columns: Arc<PositionColumns>,
    ) -> Result<Disentangled> {
        let (keys, queries) = (keys.map(Activations::as_rows), queries.map(Activations::as_rows));
        Disentangled::new(self.isa, keys, queries, head_width, columns)
    }

    fn embed(&self, lookups: &[Lookup<'_, Self>], norm: Option<&Norm>) -> Result<Activations> {
        let width = lookups.first().map_or(0, |lookup| lookup.table.width());
        let mut out = self.alloc(lookups.first().map_or(0, |lookup| lookup.entries.len()), width)?;
        let mut rows = out.as_rows_mut();
        for i in 0..rows.count() {
            let row = rows.row(i);
            row.fill(0.0);
            for lookup in lookups {
                lookup.table.add_row(lookup.entries[i] as usize, row);
            }
        }
        Ok(match norm {
            Some(norm) => self.normed(out, norm),
            None => out,
        })
    }

    fn linear(&self, x: &Activations, layer: &Linear, activation: Activation) -> Result<Activations> {
        let mut out = self.alloc(x.rows, layer.outputs())?;
        self.product(x.as_rows(), layer, Epilogue { activation, ..Epilogue::default() }, out.as_rows_mut())?;
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

    fn short_convolution(
        &self,
        bcx: &Activations,
        batch: &DeviceBatch<'_, Self>,
        convolution: &ShortConvolution<Self>,
    ) -> Result<Activations> {
        self.convolved(bcx, batch, convolution)
    }

    fn linear_residual(
        &self,
        x: &Activations,
        layer: &Linear,
        residual: &Activations,
        join: &Residual<Self>,
    ) -> Result<Activations> {
        let mut out = self.alloc(x.rows, layer.outputs())?;
        let epilogue = Epilogue { residual: before_norm(residual.as_rows(), join), ..Epilogue::default() };
        self.product(x.as_rows(), layer, epilogue, out.as_rows_mut())?;
        Ok(self.joined(out, residual, join))
    }

    fn feed_forward(
        &self,
        x: &Activations,
        layer: &FeedForward<Self>,
        residual: &Activations,
        join: &Residual<Self>,
    ) -> Result<Activations> {
        let mut wide = self.alloc(FEED_FORWARD_ROWS.min(x.rows), layer.up.outputs())?;
        let mut out = self.alloc(x.rows, layer.down.outputs())?;
        let mut out_rows = out.as_rows_mut();
        for first in (0..x.rows).step_by(FEED_FORWARD_ROWS) {
            let block = first..x.rows.min(first + FEED_FORWARD_ROWS);
            let middle = self.middle(x.as_rows().range(block.clone()), layer, &mut wide)?;
            let residual = before_norm(residual.as_rows().range(block.clone()), join);
            let down = Epilogue { residual, ..Epilogue::default() };
            self.product(middle, &layer.down, down, out_rows.range(block))?;
        }
        Ok(self.joined(out, residual, join))
    }

    fn pool(&self, x: &Activations, batch: &DeviceBatch<'_, Self>, modes: &[PoolingMode]) -> Result<Activations> {
        self.pooled(x, batch, modes, &batch.excluded)
    }

    fn norm(&self, x: &Activations, norm: &Norm) -> Result<Activations> {
        Ok(self.normed(self.copy(x)?, norm))
    }

    fn normalize(&self, x: &Activations) -> Result<Activations> {
        let mut out = self.copy(x)?;
        normalize(out.as_rows_mut());
        Ok(out)
    }

    fn scale(&self, x: &Activations, factor: f32) -> Result<Activations> {
        let mut out = self.copy(x)?;
        let mut rows = out.as_rows_mut();
        for i in 0..rows.count() {
            rows.row(i).iter_mut().for_each(|x| *x *= factor);
        }
        Ok(out)
    }

    fn multiply(&self, x: &Activations, y: &Activations) -> Result<Activations> {
        let mut out = self.copy(x)?;
        let mut rows = out.as_rows_mut();
        for (i, y) in y.as_rows().iter().enumerate() {
            rows.row(i).iter_mut().zip(y).for_each(|(x, y)| *x *= y);
        }
        Ok(out)
    }

    fn add(&self, x: &Activations, y: &Activations) -> Result<Activations> {
        Ok(added(self.copy(x)?, y))
    }

    fn select_rows(&self, x: &Activations, rows: &[u32]) -> Result<Activations> {
        let mut out = self.alloc(rows.len(), x.width)?;
        let mut selected = out.as_rows_mut();
        for (i, row) in rows.iter().enumerate() {
            selected.row(i).copy_from_slice(x.as_rows().row(*row as usize));
        }
        Ok(out)
    }

    fn add_rows(&self, mut x: Activations, rows: &[u32], y: &Activations, factors: &[f32]) -> Result<Activations> {
        let mut sums = x.as_rows_mut();
        for ((row, y), factor) in rows.iter().zip(y.as_rows().iter()).zip(factors) {
            sums.row(*row as usize).iter_mut().zip(y).for_each(|(sum, y)| *sum += factor * y);
        }
        Ok(x)
    }

    fn tensor(&self, rows: Vec<f32>, width: usize) -> Result<Activations> {
        let rows = Rows::packed(&rows, width);
        let mut out = self.alloc(rows.count(), width)?;
        out.fill_from(rows);
        Ok(out)
    }

    fn to_vec(&self, x: &Activations) -> Result<Vec<f32>> {
        let mut numbers = alloc::with_capacity(x.rows.saturating_mul(x.width), "the result of a micro-batch")?;
        x.as_rows().iter().for_each(|row| numbers.extend_from_slice(row));
        Ok(numbers)
    }
}
