//! Attention by candle's tensors: for each group of texts of similar lengths a few products, whatever their number. candle
//! has kernels for packed tokens on CUDA alone, in float16 and bfloat16 alone, and they need sources that its build fetches.

use std::sync::Arc;

use candle_core::{D, Tensor};
use candle_nn::ops::softmax_last_dim;

use super::Portable;
use super::layout::{Group, Made, forbidden};
use crate::error::Result;
use crate::kernels::rows::Rows;
use crate::ops::{Attention, DeviceBatch, PositionColumns, Queries, Reach, Relative, Rotary};

/// Vectors of positions, `(heads, positions, width)`, where there are any.
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
        asking: Queries,
    ) -> Result<Tensor> {
        let parts = batch.layout.groups.iter().map(|group| self.attend_in(group, qkv, shape, asking));
        Ok(Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 0)?)
    }

    /// The texts of a group.
    fn attend_in(&self, group: &Group, qkv: &Tensor, shape: &Attention<Self>, asking: Queries) -> Result<Tensor> {
        let Attention { heads, key_value_heads, head_width, scale, .. } = shape;
        let (count, length) = (group.count(), group.length);
        let qkv = group.filled(qkv)?.reshape((count, length, (), *head_width))?;
        // (count, heads, length, width)
        let part = |first: usize, heads: usize| qkv.narrow(2, first, heads)?.transpose(1, 2)?.contiguous();
        let mut queries = part(0, *heads)?;
        let mut keys = part(*heads, *key_value_heads)?;
        let values = self.shared(&part(heads + key_value_heads, *key_value_heads)?, *heads)?;
        if let Some([of_queries, of_keys]) = &shape.query_key_norms {
            (queries, keys) = (of_queries.of(&queries)?, of_keys.of(&keys)?);
        }
        if let Relative::Rotary(rotary) = &shape.relative {
            (queries, keys) = (self.turned(group, &queries, rotary)?, self.turned(group, &keys, rotary)?);
        }
        // Last tokens are at different places, so all ask.
        let places = if asking == Queries::First { 1 } else { length };
        let queries = queries.narrow(2, 0, places)?.contiguous()?;
        let keys = self.shared(&keys, *heads)?;

        let mut scores = queries.matmul(&keys.t()?.contiguous()?)?;
        if let Relative::Disentangled(positions) = &shape.relative {
            scores = (scores + self.by_position(group, positions, &queries, &keys)?)?;
        }
        scores = (scores * f64::from(*scale))?;
        if let Relative::Bias(table) = &shape.relative {
            scores = scores.broadcast_add(&self.biases(group, table, places)?)?;
        }
        if shape.reach != Reach::ALL {
            scores = scores.broadcast_add(&self.unseen(group, shape.reach, places)?)?;
        }
        if let Some(unattended) = &group.unattended {
            scores = scores.broadcast_add(unattended)?;
        }
        let attended = softmax_last_dim(&scores)?.matmul(&values)?;
        let attended = attended.transpose(1, 2)?.reshape((count, places, heads * head_width))?;
        match asking {
            Queries::All => group.unfilled(&attended),
            Queries::First => Ok(attended.squeeze(1)?),
            Queries::Last => group.last(&attended),
        }
    }

    /// Keys or values, as many times as there are heads of queries for each of theirs.
    fn shared(&self, x: &Tensor, heads: usize) -> Result<Tensor> {
        let (count, own, length, width) = x.dims4()?;
        if own == heads {
            return Ok(x.clone());
        }
        let x = x.unsqueeze(2)?.expand((count, own, heads / own, length, width))?;
        Ok(x.reshape((count, heads, length, width))?)
    }

    /// Heads' rows, the first of each text at position 0.
    fn turned(&self, group: &Group, x: &Tensor, rotary: &Arc<Rotary>) -> Result<Tensor> {
        let turns = rotary.turns(group.length);
        let made = |what: fn(usize) -> Made, rows: Rows<'_>| {
            group.make(what(Arc::as_ptr(rotary) as usize), || {
                let numbers: Vec<f32> = rows.iter().take(group.length).flatten().copied().collect();
                let turns = Tensor::from_vec(numbers, (group.length, rows.width()), &self.device)?;
                Ok(turns.to_dtype(self.dtype)?)
            })
        };
        let (cos, sin) = (made(Made::Cosines, turns.cos())?, made(Made::Sines, turns.sin())?);
        let (half, width) = (turns.cos().width(), x.dim(D::Minus1)?);
        let (left, right) = (x.narrow(D::Minus1, 0, half)?, x.narrow(D::Minus1, half, half)?);
        let rest = x.narrow(D::Minus1, 2 * half, width - 2 * half)?;
        let new_left = (left.broadcast_mul(&cos)? - right.broadcast_mul(&sin)?)?;
        let new_right = (right.broadcast_mul(&cos)? + left.broadcast_mul(&sin)?)?;
        Ok(Tensor::cat(&[new_left, new_right, rest], D::Minus1)?)
    }

    /// Scores' biases by distance, `(heads, queries, keys)`.
    fn biases(&self, group: &Group, table: &Tensor, queries: usize) -> Result<Tensor> {
        group.make(Made::Biases(table.id(), queries), || {
            let (heads, columns) = table.dims2()?;
            let longest = columns.div_ceil(2);
            let column = |query: usize, key: usize| (key + longest - 1).saturating_sub(query).min(columns - 1) as u32;
            let index = self.index(queries, group.length, column)?.flatten_all()?;
            Ok(table.index_select(&index, 1)?.reshape((heads, queries, group.length))?)
        })
    }

    /// `-infinity` for the keys that a query doesn't see, else 0: `(queries, keys)`.
    fn unseen(&self, group: &Group, reach: Reach, queries: usize) -> Result<Tensor> {
        group.make(Made::Unseen(reach, queries), || {
            let keys = group.length;
            let row = |query| (0..keys).map(move |key| forbidden(!reach.seen(query, keys).contains(&key)));
            let scores = (0..queries).flat_map(row).collect::<Vec<_>>();
            Ok(Tensor::from_vec(scores, (queries, keys), &self.device)?.to_dtype(self.dtype)?)
        })
    }

    /// Scores of content with position and of position with content, `(count, heads, queries, keys)`.
    fn by_position(&self, group: &Group, positions: &Positions, queries: &Tensor, keys: &Tensor) -> Result<Tensor> {
        let (count, heads, asking, _) = queries.dims4()?;
        let columns = &positions.columns;
        let index = group.make(Made::Columns(Arc::as_ptr(columns) as usize, asking), || {
            self.index(asking, group.length, |query, key| columns.of(query, key) as u32)
        })?;
        let gather = |x: &Tensor, vectors: &Tensor, index: &Tensor| -> Result<Tensor> {
            let products = x.contiguous()?.broadcast_matmul(&vectors.t()?.contiguous()?)?;
            let index = index.expand((count, heads, index.dim(0)?, index.dim(1)?))?.contiguous()?;
            Ok(products.gather(&index, D::Minus1)?)
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

    /// A number for each query and key, `(queries, keys)`.
    fn index(&self, queries: usize, keys: usize, number: impl Fn(usize, usize) -> u32) -> Result<Tensor> {
        let numbers = (0..queries).flat_map(|query| (0..keys).map(move |key| (query, key)));
        let numbers = numbers.map(|(query, key)| number(query, key)).collect::<Vec<_>>();
        Ok(Tensor::from_vec(numbers, (queries, keys), &self.device)?)
    }
}
