//! Attention by candle's tensors. Texts of one length are next to each other in a batch, and are done together.

use std::ops::Range;

use candle_core::{D, DType, Tensor};
use candle_nn::ops::softmax_last_dim;

use super::Portable;
use crate::batch::Batch;
use crate::error::Result;
use crate::kernels::rows::Rows;
use crate::ops::{Attention, PositionColumns, Queries, Reach, Relative, Rotary};

/// Vectors of positions, `(heads, positions, width)`, where there are any.
pub(crate) struct Positions {
    pub(super) keys: Option<Tensor>,
    pub(super) queries: Option<Tensor>,
    pub(super) columns: PositionColumns,
}

impl Portable {
    pub(super) fn attend(
        &self,
        qkv: &Tensor,
        batch: &Batch,
        shape: &Attention<Self>,
        asking: Queries,
    ) -> Result<Tensor> {
        let run = |(rows, length): (Range<usize>, usize)| {
            let attended = batch.attended_at(rows.start);
            self.attend_run(qkv, rows, [length, attended], shape, asking)
        };
        let parts = batch.runs().map(run);
        Ok(Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 0)?)
    }

    /// The texts in some rows, all of one length and with as many tokens that are attended to.
    fn attend_run(
        &self,
        qkv: &Tensor,
        rows: Range<usize>,
        [length, attended]: [usize; 2],
        shape: &Attention<Self>,
        asking: Queries,
    ) -> Result<Tensor> {
        let Attention { heads, key_value_heads, head_width, scale, .. } = shape;
        let count = rows.len() / length;
        let qkv = qkv.narrow(0, rows.start, rows.len())?.reshape((count, length, (), *head_width))?;
        // (count, heads, length, width)
        let part = |first: usize, heads: usize| qkv.narrow(2, first, heads)?.transpose(1, 2)?.contiguous();
        let mut queries = part(0, *heads)?;
        let mut keys = part(*heads, *key_value_heads)?;
        let values = self.shared(&part(heads + key_value_heads, *key_value_heads)?, *heads)?;
        if let Some([of_queries, of_keys]) = &shape.query_key_norms {
            (queries, keys) = (of_queries.of(&queries)?, of_keys.of(&keys)?);
        }
        if let Relative::Rotary(rotary) = &shape.relative {
            (queries, keys) = (self.turned(&queries, rotary)?, self.turned(&keys, rotary)?);
        }
        let places = match asking {
            Queries::All => 0..length,
            Queries::First => 0..1,
            Queries::Last => length - 1..length,
        };
        let queries = queries.narrow(2, places.start, places.len())?.contiguous()?;
        let keys = self.shared(&keys, *heads)?.narrow(2, 0, attended)?;
        let values = values.narrow(2, 0, attended)?.contiguous()?;

        let mut scores = queries.matmul(&keys.t()?.contiguous()?)?;
        if let Relative::Disentangled(positions) = &shape.relative {
            scores = (scores + self.by_position(positions, &queries, &keys, places.clone())?)?;
        }
        scores = (scores * f64::from(*scale))?;
        if let Relative::Bias(table) = &shape.relative {
            scores = scores.broadcast_add(&self.biases(table, places.clone(), attended)?)?;
        }
        if shape.reach != Reach::ALL {
            scores = scores.broadcast_add(&self.unseen(shape.reach, places.clone(), attended)?)?;
        }
        let attended = softmax_last_dim(&scores)?.matmul(&values)?;
        Ok(attended.transpose(1, 2)?.reshape((count * places.len(), heads * head_width))?)
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
    fn turned(&self, x: &Tensor, rotary: &Rotary) -> Result<Tensor> {
        let (_, _, length, width) = x.dims4()?;
        let turns = rotary.turns(length);
        let first = |rows: Rows<'_>| -> Result<Tensor> {
            let numbers: Vec<f32> = rows.iter().take(length).flatten().copied().collect();
            Ok(Tensor::from_vec(numbers, (length, rows.width()), &self.device)?)
        };
        let (cos, sin) = (first(turns.cos())?, first(turns.sin())?);
        let half = turns.cos().width();
        let (left, right) = (x.narrow(D::Minus1, 0, half)?, x.narrow(D::Minus1, half, half)?);
        let rest = x.narrow(D::Minus1, 2 * half, width - 2 * half)?;
        let new_left = (left.broadcast_mul(&cos)? - right.broadcast_mul(&sin)?)?;
        let new_right = (right.broadcast_mul(&cos)? + left.broadcast_mul(&sin)?)?;
        Ok(Tensor::cat(&[new_left, new_right, rest], D::Minus1)?)
    }

    /// Scores' biases by distance, `(heads, queries, keys)`.
    fn biases(&self, table: &Tensor, queries: Range<usize>, keys: usize) -> Result<Tensor> {
        let (heads, columns) = table.dims2()?;
        let longest = columns.div_ceil(2);
        let column = |query: usize, key: usize| (key + longest - 1).saturating_sub(query).min(columns - 1) as u32;
        let index = self.index(queries.clone(), keys, column)?.flatten_all()?;
        Ok(table.index_select(&index, 1)?.reshape((heads, queries.len(), keys))?)
    }

    /// `-infinity` for the keys that a query doesn't see, else 0: `(queries, keys)`.
    fn unseen(&self, reach: Reach, queries: Range<usize>, keys: usize) -> Result<Tensor> {
        let count = queries.len();
        let row = |query| (0..keys).map(move |key| reach.seen(query, keys).contains(&key));
        let mask = queries.flat_map(row).map(|seen| if seen { 0.0 } else { f32::NEG_INFINITY }).collect::<Vec<_>>();
        Ok(Tensor::from_vec(mask, (count, keys), &self.device)?)
    }

    /// Scores of content with position and of position with content, `(count, heads, queries, keys)`.
    fn by_position(
        &self,
        positions: &Positions,
        queries: &Tensor,
        keys: &Tensor,
        places: Range<usize>,
    ) -> Result<Tensor> {
        let (count, heads, asking, _) = queries.dims4()?;
        let length = keys.dim(2)?;
        let index = self.index(places, length, |query, key| positions.columns.of(query, key) as u32)?;
        let gather = |x: &Tensor, vectors: &Tensor, index: &Tensor| -> Result<Tensor> {
            let products = x.contiguous()?.broadcast_matmul(&vectors.t()?.contiguous()?)?;
            let index = index.expand((count, heads, index.dim(0)?, index.dim(1)?))?.contiguous()?;
            Ok(products.gather(&index, D::Minus1)?)
        };
        let mut scores = Tensor::zeros((count, heads, asking, length), DType::F32, &self.device)?;
        if let Some(vectors) = &positions.keys {
            scores = (scores + gather(queries, vectors, &index)?)?;
        }
        if let Some(vectors) = &positions.queries {
            scores = (scores + gather(keys, vectors, &index.t()?.contiguous()?)?.t()?)?;
        }
        Ok(scores)
    }

    /// A number for each query and key, `(queries, keys)`.
    fn index(&self, queries: Range<usize>, keys: usize, number: impl Fn(usize, usize) -> u32) -> Result<Tensor> {
        let count = queries.len();
        let numbers: Vec<u32> =
            queries.flat_map(|query| (0..keys).map(move |key| (query, key))).map(|(q, k)| number(q, k)).collect();
        Ok(Tensor::from_vec(numbers, (count, keys), &self.device)?)
    }
}
