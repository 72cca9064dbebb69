//! Attention by candle's tensors: a few products for each group of texts of similar lengths.
//!
//! candle has kernels for packed tokens only on CUDA in float16 and bfloat16, and its build fetches their sources.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{D, Tensor};
use candle_nn::ops::softmax_last_dim;

use super::Portable;
use super::layout::{Group, Made, mask};
use crate::error::Result;
use crate::kernels::rows::Rows;
use crate::ops::{Attention, DeviceBatch, PositionColumns, QueryKeyNorms, Relative, Rotary, TokenSelection, Window};

/// Scores that a GPU holds at once: a gigabyte of float32, within the range of kernels that count in 32 bits.
const GPU_SCORES: usize = 1 << 28;
/// Scores that stay in a CPU's caches.
const CACHE_SCORES: usize = 1 << 16;

/// Vectors of positions, `(heads, positions, width)`, or none.
pub(crate) struct Positions {
    pub(super) keys: Option<Tensor>,
    pub(super) queries: Option<Tensor>,
    pub(super) columns: Arc<PositionColumns>,
}

impl Portable {
    pub(super) fn attend(
        &self,
        qkv: &Tensor,
        batch: &DeviceBatch<'_, Self>,
        shape: &Attention<Self>,
        asking: TokenSelection,
    ) -> Result<Tensor> {
        let attended = batch.layout.groups.iter().map(|group| self.attend_in(group, qkv, shape, asking));
        Ok(Tensor::cat(&attended.collect::<Result<Vec<_>>>()?, 0)?)
    }

    /// Computes the attention of a group.
    fn attend_in(
        &self,
        group: &Group,
        qkv: &Tensor,
        shape: &Attention<Self>,
        asking: TokenSelection,
    ) -> Result<Tensor> {
        let Attention { heads, key_value_heads, head_width, .. } = shape;
        let (count, length) = (group.count(), group.length);
        let mut qkv = group.padded(qkv)?;
        if let Some(QueryKeyNorms::AllHeads([of_queries, of_keys])) = &shape.query_key_norms {
            let [queries, keys, values] = shape.widths();
            let normed = [of_queries.of(&qkv.narrow(1, 0, queries)?)?, of_keys.of(&qkv.narrow(1, queries, keys)?)?];
            let [queries_and_keys, values] = [Tensor::cat(&normed, 1)?, qkv.narrow(1, queries + keys, values)?];
            qkv = Tensor::cat(&[queries_and_keys, values], 1)?;
        }
        let qkv = qkv.reshape((count, length, (), *head_width))?;
        // (count, heads, length, width)
        let heads_from = |first: usize, heads: usize| qkv.narrow(2, first, heads)?.transpose(1, 2)?.contiguous();
        let mut queries = heads_from(0, *heads)?;
        let mut keys = heads_from(*heads, *key_value_heads)?;
        let mut values = heads_from(heads + key_value_heads, *key_value_heads)?;
        if let Some(norm) = &shape.value_norm {
            values = norm.of(&values)?;
        }
        let values = self.shared(&values, *heads)?;
        if let Some(QueryKeyNorms::EachHead([of_queries, of_keys])) = &shape.query_key_norms {
            (queries, keys) = (of_queries.of(&queries)?, of_keys.of(&keys)?);
        }
        if let Relative::Rotary(rotary) = &shape.relative {
            (queries, keys) = (self.rotated(group, &queries, rotary)?, self.rotated(group, &keys, rotary)?);
        }
        if let Some(scale) = shape.query_scale {
            queries = queries.broadcast_mul(&group.scales(scale, &self.device)?.to_dtype(self.dtype)?)?;
        }
        // Last tokens stand at different positions, so all tokens are queries.
        let query_count = if asking == TokenSelection::First { 1 } else { length };
        let keys = self.shared(&keys, *heads)?;
        let scores = if self.device.is_cpu() { CACHE_SCORES } else { GPU_SCORES };
        let block = (scores / (count * heads * length).max(1)).clamp(1, query_count);
        let blocks = (0..query_count).step_by(block).map(|first| {
            let block = first..query_count.min(first + block);
            let queries = queries.narrow(2, block.start, block.len())?.contiguous()?;
            self.attend_from(group, block, shape, [&queries, &keys, &values])
        });
        let attended = Tensor::cat(&blocks.collect::<Result<Vec<_>>>()?, 2)?;
        let attended = attended.transpose(1, 2)?.reshape((count, query_count, heads * head_width))?;
        match asking {
            TokenSelection::All => group.unpadded(&attended),
            TokenSelection::First => Ok(attended.squeeze(1)?),
            TokenSelection::Last => group.last(&attended),
        }
    }

    /// Computes the attention of a range of queries: `(count, heads, queries, width)`.
    fn attend_from(
        &self,
        group: &Group,
        range: Range<usize>,
        shape: &Attention<Self>,
        [queries, keys, values]: [&Tensor; 3],
    ) -> Result<Tensor> {
        let mut scores = queries.matmul(&keys.t()?.contiguous()?)?;
        if let Relative::Disentangled(positions) = &shape.relative {
            scores = (scores + self.by_position(group, positions, queries, keys, range.clone())?)?;
        }
        scores = (scores * f64::from(shape.scale))?;
        if let Some(limit) = shape.softcap.map(f64::from) {
            scores = ((scores / limit)?.tanh()? * limit)?;
        }
        if let Relative::Bias(table) = &shape.relative {
            scores = scores.broadcast_add(&self.biases(group, table, range.clone())?)?;
        }
        if let Relative::Slopes(slopes) = &shape.relative {
            scores = scores.broadcast_add(&self.linear_biases(group, slopes, range.clone())?)?;
        }
        if shape.window != Window::ALL {
            scores = scores.broadcast_add(&self.window_mask(group, shape.window, range)?)?;
        }
        if let Some(key_mask) = &group.key_mask {
            scores = scores.broadcast_add(key_mask)?;
        }
        Ok(softmax_last_dim(&scores)?.matmul(values)?)
    }

    /// Repeats each head of keys or values for the heads of queries that share it.
    fn shared(&self, x: &Tensor, heads: usize) -> Result<Tensor> {
        let (count, own, length, width) = x.dims4()?;
        if own == heads {
            return Ok(x.clone());
        }
        let x = x.unsqueeze(2)?.expand((count, own, heads / own, length, width))?;
        Ok(x.reshape((count, heads, length, width))?)
    }

    /// Rotates the rows of heads by their positions, which start at 0 in each text.
    fn rotated(&self, group: &Group, x: &Tensor, rotary: &Arc<Rotary>) -> Result<Tensor> {
        let rotations = rotary.rotations(group.length)?;
        let made = |what: fn(usize) -> Made, rows: Rows<'_>| {
            group.make(what(Arc::as_ptr(rotary) as usize), || {
                let numbers: Vec<f32> = rows.iter().take(group.length).flatten().copied().collect();
                let rotations = Tensor::from_vec(numbers, (group.length, rows.width()), &self.device)?;
                Ok(rotations.to_dtype(self.dtype)?)
            })
        };
        let (cos, sin) = (made(Made::Cosines, rotations.cos())?, made(Made::Sines, rotations.sin())?);
        let (half, width) = (rotations.cos().width(), x.dim(D::Minus1)?);
        let (left, right) = (x.narrow(D::Minus1, 0, half)?, x.narrow(D::Minus1, half, half)?);
        let rest = x.narrow(D::Minus1, 2 * half, width - 2 * half)?;
        let new_left = (left.broadcast_mul(&cos)? - right.broadcast_mul(&sin)?)?;
        let new_right = (right.broadcast_mul(&cos)? + left.broadcast_mul(&sin)?)?;
        Ok(Tensor::cat(&[new_left, new_right, rest], D::Minus1)?)
    }

    /// Returns the biases of scores by distance, `(heads, queries, keys)`.
    fn biases(&self, group: &Group, table: &Tensor, queries: Range<usize>) -> Result<Tensor> {
        group.make(Made::Biases(table.id(), queries.start, queries.end), || {
            let (heads, columns) = table.dims2()?;
            let longest = columns.div_ceil(2);
            let column = |query: usize, key: usize| (key + longest - 1).saturating_sub(query).min(columns - 1) as u32;
            let index = self.index(queries.clone(), group.length, column)?.flatten_all()?;
            Ok(table.index_select(&index, 1)?.reshape((heads, queries.len(), group.length))?)
        })
    }

    /// Returns the biases of scores that fall linearly with the distance, `(heads, queries, keys)`. They aren't kept: all
    /// of them together grow with the square of the length.
    fn linear_biases(&self, group: &Group, slopes: &Arc<[f32]>, queries: Range<usize>) -> Result<Tensor> {
        let negative = group.make(Made::Slopes(slopes.as_ptr() as usize), || {
            let negative: Vec<_> = slopes.iter().map(|slope| -slope).collect();
            Ok(Tensor::from_vec(negative, (slopes.len(), 1, 1), &self.device)?)
        })?;
        let positions = |of: Range<usize>| Tensor::arange(of.start as f32, of.end as f32, &self.device);
        let (queries, keys) = (positions(queries)?.unsqueeze(1)?, positions(0..group.length)?.unsqueeze(0)?);
        let distances = queries.broadcast_sub(&keys)?.abs()?.unsqueeze(0)?;
        Ok(negative.broadcast_mul(&distances)?.to_dtype(self.dtype)?)
    }

    /// Returns the mask of a sliding window, `(queries, keys)`: `-infinity` for keys outside it, else 0.
    fn window_mask(&self, group: &Group, window: Window, queries: Range<usize>) -> Result<Tensor> {
        group.make(Made::WindowMask(window, queries.start, queries.end), || {
            let (count, keys) = (queries.len(), group.length);
            let row = |query| (0..keys).map(move |key| mask(!window.seen(query, keys).contains(&key)));
            let scores = queries.flat_map(row).collect::<Vec<_>>();
            Ok(Tensor::from_vec(scores, (count, keys), &self.device)?.to_dtype(self.dtype)?)
        })
    }

    /// Returns the scores of content with position and of position with content, `(count, heads, queries, keys)`.
    fn by_position(
        &self,
        group: &Group,
        positions: &Positions,
        queries: &Tensor,
        keys: &Tensor,
        range: Range<usize>,
    ) -> Result<Tensor> {
        let (count, heads, asking, _) = queries.dims4()?;
        let columns = &positions.columns;
        let index = group.make(Made::Columns(Arc::as_ptr(columns) as usize, range.start, range.end), || {
            self.index(range, group.length, |query, key| columns.of(query, key) as u32)
        })?;
        // Texts share the vectors of positions, so one product takes a head's rows of all texts.
        let gather = |x: &Tensor, vectors: &Tensor, index: &Tensor| -> Result<Tensor> {
            let (rows, others) = index.dims2()?;
            let x = x.transpose(0, 1)?.reshape((heads, count * rows, ()))?;
            let products = x.matmul(&vectors.t()?.contiguous()?)?;
            let index = index.expand((heads, count, rows, others))?.reshape((heads, count * rows, others))?;
            let scores = products.gather(&index, D::Minus1)?.reshape((heads, count, rows, others))?;
            Ok(scores.transpose(0, 1)?.contiguous()?)
        };
        let mut scores = Tensor::zeros((count, heads, asking, group.length), self.dtype, &self.device)?;
        if let Some(vectors) = &positions.keys {
            scores = (scores + gather(queries, vectors, &index)?)?;
        }
        if let Some(vectors) = &positions.queries {
            scores = (scores + gather(keys, vectors, &index.t()?.contiguous()?)?.t()?)?;
        }
        Ok(scores)
    }

    /// Returns a number for each query and key, `(queries, keys)`.
    fn index(&self, queries: Range<usize>, keys: usize, number: impl Fn(usize, usize) -> u32) -> Result<Tensor> {
        let count = queries.len();
        let numbers = queries.flat_map(|query| (0..keys).map(move |key| (query, key)));
        let numbers = numbers.map(|(query, key)| number(query, key)).collect::<Vec<_>>();
        Ok(Tensor::from_vec(numbers, (count, keys), &self.device)?)
    }
}
