//! Attention on packed tokens: softmax(Q Kᵀ / √d + bias) V, one text and head at a time (Vaswani et al., 2017).
//!
//! Long texts are computed in blocks of keys, with an online softmax (Milakov and Gimelshein, 2018).

mod disentangled;
mod distance;
mod linear;
mod softcap;
#[cfg(test)]
mod tests;

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::Isa;
use super::buffer::Buffer;
use super::exp::{LOG2_E, exp2, largest, powers};
use super::matmul::{Accumulate, multiply};
use super::panels::Panels;
use super::rows::{Rows, RowsMut};
use crate::alloc;
use crate::error::Result;

pub(crate) use disentangled::{Disentangled, PositionColumns};
pub(crate) use distance::DistanceBias;

/// Queries whose scores are held at once: those of usual texts stay in the first-level cache.
const QUERIES: usize = 32;
/// Keys that are packed at once: they, their values and the scores stay in the second-level cache.
const KEYS: usize = 512;
/// The same with a sliding window: smaller blocks skip more of the keys outside it.
const WINDOW_KEYS: usize = 64;

/// Sliding window: the number of keys that a query sees before and after its own position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Window {
    pub(crate) before: usize,
    pub(crate) after: usize,
}

impl Window {
    pub(crate) const ALL: Self = Self { before: usize::MAX, after: usize::MAX };
    /// The query's own position and those before it.
    pub(crate) const CAUSAL: Self = Self { before: usize::MAX, after: 0 };

    /// Returns the keys of a text that the query at `position` sees.
    #[inline(always)]
    pub(crate) fn seen(self, position: usize, keys: usize) -> Range<usize> {
        position.saturating_sub(self.before)..keys.min(position.saturating_add(self.after).saturating_add(1))
    }
}

/// Term that scores have for the positions of query and key.
#[derive(Clone, Copy)]
pub(crate) enum PositionScores<'a> {
    None,
    /// A bias by distance, added to the scaled scores.
    Bias(&'a DistanceBias),
    /// A bias that falls linearly with the distance: the slope of each head.
    Slopes(&'a [f32]),
    /// Products with vectors of the distance, added before scaling.
    Disentangled(&'a Disentangled),
}

/// Parameters of attention.
#[derive(Clone, Copy)]
pub(crate) struct Heads<'a> {
    /// Columns of a head.
    pub(crate) width: usize,
    /// Heads of queries for each head of keys and values (Ainslie et al., 2023).
    pub(crate) sharing: usize,
    /// Factor of the scores.
    pub(crate) scale: f32,
    pub(crate) window: Window,
    /// Limit that scaled scores approach, before a bias.
    pub(crate) softcap: Option<f32>,
    pub(crate) positions: PositionScores<'a>,
}

/// Rows of a text: its queries, which are consecutive in the text, and its keys and values.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) queries: Range<usize>,
    pub(crate) keys: Range<usize>,
    /// Position of the first query in the text.
    pub(crate) position: usize,
}

/// Scratch memory of attention.
pub(crate) struct AttentionScratch {
    /// Block of a head's keys and values.
    keys: Panels,
    values: Panels,
    /// Block of scores.
    scores: Buffer,
    /// The largest score so far, and the sum of the weights so far, of every query.
    largest: Vec<f32>,
    sums: Vec<f32>,
    positions: disentangled::PositionScratch,
}

impl AttentionScratch {
    pub(crate) fn new(isa: Isa) -> Self {
        Self {
            keys: Panels::empty(isa),
            values: Panels::empty(isa),
            scores: Buffer::default(),
            largest: Vec::new(),
            sums: Vec::new(),
            positions: disentangled::PositionScratch::default(),
        }
    }

    /// Reserves the only memory that grows with the texts; blocks bound the rest.
    fn reserve(&mut self, spans: &[Span], heads: usize) -> Result<()> {
        let queries = spans.iter().map(|span| span.queries.len()).max().unwrap_or(0).saturating_mul(heads);
        for numbers in [&mut self.largest, &mut self.sums] {
            numbers.clear();
            alloc::reserve(numbers, queries, "the softmax of a text")?;
        }
        Ok(())
    }
}

/// Computes the self-attention of every text for the `chosen` heads.
///
/// `queries` is `(rows, heads * width)`, for all heads; `keys` and `values` are as wide as their heads. `out` is as wide as
/// the `chosen` heads and has as many rows as `queries`.
///
/// # Errors
/// [`Error::Memory`](crate::Error::Memory).
pub(crate) fn attention(
    isa: Isa,
    [queries, keys, values]: [Rows<'_>; 3],
    spans: &[Span],
    heads: Heads<'_>,
    chosen: Range<usize>,
    scratch: &mut AttentionScratch,
    out: RowsMut<'_>,
) -> Result<()> {
    scratch.reserve(spans, heads.sharing.min(chosen.len()))?;
    isa.run(Attend { queries, keys, values, spans, heads, chosen, scratch, out });
    Ok(())
}

struct Attend<'a> {
    queries: Rows<'a>,
    keys: Rows<'a>,
    values: Rows<'a>,
    spans: &'a [Span],
    heads: Heads<'a>,
    chosen: Range<usize>,
    scratch: &'a mut AttentionScratch,
    out: RowsMut<'a>,
}

impl WithSimd for Attend<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { queries, keys, values, spans, heads, chosen, scratch, mut out } = self;
        let width = heads.width;
        for span in spans {
            let mut head = chosen.start;
            while head < chosen.end {
                let shared = head / heads.sharing;
                let group = head..chosen.end.min((shared + 1) * heads.sharing);
                let columns = shared * width..(shared + 1) * width;
                let own_columns = (group.start - chosen.start) * width..(group.end - chosen.start) * width;
                head = group.end;
                Group {
                    queries: queries.range(span.queries.clone()).columns(group.start * width..group.end * width),
                    keys: keys.range(span.keys.clone()).columns(columns.clone()),
                    values: values.range(span.keys.clone()).columns(columns),
                    heads,
                    group,
                    position: span.position,
                    scratch: &mut *scratch,
                    out: out.range(span.queries.clone()).columns(own_columns),
                }
                .attend(simd);
            }
        }
    }
}

/// Heads of one text that share a head of keys and values.
struct Group<'a> {
    queries: Rows<'a>,
    keys: Rows<'a>,
    values: Rows<'a>,
    heads: Heads<'a>,
    group: Range<usize>,
    /// Position of the first query in the text.
    position: usize,
    scratch: &'a mut AttentionScratch,
    out: RowsMut<'a>,
}

impl Group<'_> {
    #[inline(always)]
    fn attend<S: Simd>(mut self, simd: S) {
        let (queries, keys) = (self.queries.count(), self.keys.count());
        self.scratch.largest.clear();
        self.scratch.largest.resize(self.group.len() * queries, f32::NEG_INFINITY);
        self.scratch.sums.clear();
        self.scratch.sums.resize(self.group.len() * queries, 0.0);
        let step = if self.heads.window == Window::ALL { KEYS } else { WINDOW_KEYS };
        for first in (0..keys).step_by(step) {
            let block = first..keys.min(first + step);
            self.scratch.keys.pack_block_transposed(simd, self.keys.range(block.clone()));
            self.scratch.values.pack_block(simd, self.values.range(block.clone()));
            for head in 0..self.group.len() {
                if let PositionScores::Disentangled(positions) = self.heads.positions {
                    let keys = self.keys.range(block.clone());
                    positions.by_key(
                        simd,
                        keys,
                        self.keys.count(),
                        self.group.start + head,
                        &mut self.scratch.positions,
                    );
                }
                for first in (0..queries).step_by(QUERIES) {
                    self.block(simd, head, first..queries.min(first + QUERIES), block.clone());
                }
            }
        }
    }

    /// Adds a block of keys to the attention of some queries of a head, after all keys before the block.
    #[inline(always)]
    fn block<S: Simd>(&mut self, simd: S, head: usize, queries: Range<usize>, keys: Range<usize>) {
        let Self { heads, scratch, out, .. } = self;
        let (position, all_keys, window) = (self.position, self.keys.count(), heads.window);
        // The first query's window begins first, and the last one's ends last.
        let begin = window.seen(position + queries.start, all_keys).start;
        let end = window.seen(position + queries.end - 1, all_keys).end;
        if end <= keys.start || keys.end <= begin {
            return;
        }
        let width = heads.width;
        let asking = self.queries.range(queries.clone()).columns(head * width..(head + 1) * width);
        let AttentionScratch { keys: key_panels, values: value_panels, scores, largest: all_largest, sums, positions } =
            &mut **scratch;
        let so_far = head * self.queries.count();
        let mut out = out.range(queries.clone());
        let mut out = out.columns(head * width..(head + 1) * width);
        let stride = keys.len().next_multiple_of(S::F32_LANES);
        scores.resize(queries.len() * stride);
        let block = RowsMut::new(scores, queries.len(), keys.len(), stride);
        multiply(simd, asking, key_panels, 0..key_panels.count(), Accumulate::Zero, block);
        if let PositionScores::Disentangled(table) = heads.positions {
            let block = RowsMut::new(scores, queries.len(), keys.len(), stride);
            table.add(
                simd,
                asking,
                position + queries.start,
                keys.clone(),
                all_keys,
                self.group.start + head,
                positions,
                block,
            );
        }

        // A limit or a bias needs scaled scores. Otherwise scaling joins the conversion from powers of e to powers of two.
        let biased = matches!(heads.positions, PositionScores::Bias(_) | PositionScores::Slopes(_));
        let factor = if biased || heads.softcap.is_some() { LOG2_E } else { heads.scale * LOG2_E };
        let scale = if heads.softcap.is_some() { 1.0 } else { heads.scale };
        for (i, query) in queries.clone().enumerate() {
            let row = &mut scores[i * stride..][..keys.len()];
            let seen = window.seen(position + query, all_keys);
            let seen = seen.start.max(keys.start)..seen.end.min(keys.end);
            if seen.is_empty() {
                row.fill(0.0);
                continue;
            }
            row[..seen.start - keys.start].fill(0.0);
            row[seen.end - keys.start..].fill(0.0);
            let row = &mut row[seen.start - keys.start..seen.end - keys.start];
            let (head, place) = (self.group.start + head, position + query);
            if let Some(limit) = heads.softcap {
                softcap::cap(simd, row, heads.scale, limit);
            }
            match heads.positions {
                PositionScores::Bias(bias) => bias.add(simd, row, scale, head, place, seen),
                PositionScores::Slopes(slopes) => linear::add(simd, row, scale, slopes[head], place, seen.start),
                PositionScores::None | PositionScores::Disentangled(_) => {}
            }
            let query = so_far + query;
            let before = all_largest[query];
            let now = before.max(largest(simd, row) * factor);
            let sum = powers(simd, row, factor, now);
            let [shrunk] = exp2(simd, [simd.splat_f32s(before - now)]);
            if keys.start > begin {
                multiply_by(simd, out.row(i), shrunk);
            }
            sums[query] = sums[query] * bytemuck::cast_slice::<S::f32s, f32>(&[shrunk])[0] + sum;
            all_largest[query] = now;
        }

        let start = if keys.start <= begin { Accumulate::Zero } else { Accumulate::Output };
        let weights = Rows::new(scores, queries.len(), keys.len(), stride);
        multiply(simd, weights, value_panels, 0..value_panels.count(), start, out.reborrow());
        if keys.end >= end {
            for (i, query) in queries.enumerate() {
                multiply_by(simd, out.row(i), simd.splat_f32s(1.0 / sums[so_far + query]));
            }
        }
    }
}

/// Multiplies a row by a factor.
#[inline(always)]
fn multiply_by<S: Simd>(simd: S, row: &mut [f32], factor: S::f32s) {
    let (vectors, tail) = S::as_mut_simd_f32s(row);
    for x in vectors {
        *x = simd.mul_f32s(*x, factor);
    }
    simd.partial_store_f32s(tail, simd.mul_f32s(simd.partial_load_f32s(tail), factor));
}
