//! Attention on packed tokens: softmax(Q Kᵀ / √d + bias) V, one text and head at a time (Vaswani et al., 2017).
//!
//! Long texts go through in blocks of keys, whose softmax is taken on the way (Milakov and Gimelshein, 2018).

mod disentangled;
mod distance;
#[cfg(test)]
mod tests;

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::Isa;
use super::buffer::Buffer;
use super::exp::{LOG2_E, exp2, largest, powers};
use super::matmul::{Accumulate, multiply};
use super::packed::Packed;
use super::rows::{Rows, RowsMut};

pub(crate) use disentangled::{Disentangled, PositionColumns};
pub(crate) use distance::DistanceBias;

/// Rows of queries whose scores are held at once: they stay in the first-level cache for texts of usual lengths.
const QUERIES: usize = 32;
/// Keys that are packed at once: with their values and the scores they stay in the second-level cache.
const KEYS: usize = 512;
/// The same where queries don't see all keys: smaller blocks leave out more of those that no query sees.
const NEAR_KEYS: usize = 64;

/// The keys that a query sees, by how many places they lie before and after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Window {
    pub(crate) before: usize,
    pub(crate) after: usize,
}

impl Window {
    pub(crate) const ALL: Self = Self { before: usize::MAX, after: usize::MAX };
    /// The query's own place and those before it.
    pub(crate) const CAUSAL: Self = Self { before: usize::MAX, after: 0 };

    /// The keys of a text that are seen from a place in it.
    #[inline(always)]
    pub(crate) fn seen(self, place: usize, keys: usize) -> Range<usize> {
        place.saturating_sub(self.before)..keys.min(place.saturating_add(self.after).saturating_add(1))
    }
}

/// How scores depend on where queries and keys stand.
#[derive(Clone, Copy)]
pub(crate) enum Relative<'a> {
    /// They don't.
    None,
    /// By a bias, which is added to the scaled scores.
    Bias(&'a DistanceBias),
    /// By products with vectors of the distance, which are added before scaling.
    Disentangled(&'a Disentangled),
}

/// What attention needs beside its input.
#[derive(Clone, Copy)]
pub(crate) struct Heads<'a> {
    /// Columns of a head.
    pub(crate) width: usize,
    /// How many heads of queries there are to one of keys and values (Ainslie et al., 2023).
    pub(crate) sharing: usize,
    /// Factor of the scores.
    pub(crate) scale: f32,
    pub(crate) reach: Window,
    pub(crate) relative: Relative<'a>,
}

/// A text's rows: those of its queries, which are one after the other in the text, and those of its keys and values.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) queries: Range<usize>,
    pub(crate) keys: Range<usize>,
    /// The first query's place in the text.
    pub(crate) place: usize,
}

/// Memory that attention writes over: the panels of a head's keys and values, a block of scores, of every query the
/// largest score and the sum of the weights so far, and scores by position.
pub(crate) struct Scratch {
    keys: Packed,
    values: Packed,
    scores: Buffer,
    largest: Vec<f32>,
    sums: Vec<f32>,
    positions: disentangled::Scratch,
}

impl Scratch {
    pub(crate) fn new(isa: Isa) -> Self {
        Self {
            keys: Packed::empty(isa),
            values: Packed::empty(isa),
            scores: Buffer::default(),
            largest: Vec::new(),
            sums: Vec::new(),
            positions: disentangled::Scratch::default(),
        }
    }
}

/// Some heads' attention of every text in itself.
///
/// `queries` is `(rows, heads * width)`, of all heads, `keys` and `values` are as wide as their heads; `out` is as wide as
/// `chosen` heads are, and has as many rows as `queries`.
pub(crate) fn attention(
    isa: Isa,
    [queries, keys, values]: [Rows<'_>; 3],
    spans: &[Span],
    heads: Heads<'_>,
    chosen: Range<usize>,
    scratch: &mut Scratch,
    out: RowsMut<'_>,
) {
    isa.run(Attend { queries, keys, values, spans, heads, chosen, scratch, out });
}

struct Attend<'a> {
    queries: Rows<'a>,
    keys: Rows<'a>,
    values: Rows<'a>,
    spans: &'a [Span],
    heads: Heads<'a>,
    chosen: Range<usize>,
    scratch: &'a mut Scratch,
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
                let place = (group.start - chosen.start) * width..(group.end - chosen.start) * width;
                head = group.end;
                Group {
                    queries: queries.range(span.queries.clone()).columns(group.start * width..group.end * width),
                    keys: keys.range(span.keys.clone()).columns(columns.clone()),
                    values: values.range(span.keys.clone()).columns(columns),
                    heads,
                    group,
                    place: span.place,
                    scratch: &mut *scratch,
                    out: out.range(span.queries.clone()).columns(place),
                }
                .attend(simd);
            }
        }
    }
}

/// The heads of one text that share a head of keys and values.
struct Group<'a> {
    queries: Rows<'a>,
    keys: Rows<'a>,
    values: Rows<'a>,
    heads: Heads<'a>,
    group: Range<usize>,
    place: usize,
    scratch: &'a mut Scratch,
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
        let step = if self.heads.reach == Window::ALL { KEYS } else { NEAR_KEYS };
        for first in (0..keys).step_by(step) {
            let block = first..keys.min(first + step);
            self.scratch.keys.pack_block_transposed(simd, self.keys.range(block.clone()));
            self.scratch.values.pack_block(simd, self.values.range(block.clone()));
            for head in 0..self.group.len() {
                if let Relative::Disentangled(positions) = self.heads.relative {
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

    /// Some queries of a head with some keys, after those with all keys before.
    #[inline(always)]
    fn block<S: Simd>(&mut self, simd: S, head: usize, queries: Range<usize>, keys: Range<usize>) {
        let Self { heads, scratch, out, .. } = self;
        let (place, all_keys, reach) = (self.place, self.keys.count(), heads.reach);
        // What the first of them sees begins first, what the last of them sees ends last.
        let begin = reach.seen(place + queries.start, all_keys).start;
        let end = reach.seen(place + queries.end - 1, all_keys).end;
        if end <= keys.start || keys.end <= begin {
            return;
        }
        let width = heads.width;
        let asking = self.queries.range(queries.clone()).columns(head * width..(head + 1) * width);
        let Scratch { keys: key_panels, values: value_panels, scores, largest: all_largest, sums, positions } =
            &mut **scratch;
        let so_far = head * self.queries.count();
        let mut out = out.range(queries.clone());
        let mut out = out.columns(head * width..(head + 1) * width);
        let stride = keys.len().next_multiple_of(S::F32_LANES);
        scores.resize(queries.len() * stride);
        let block = RowsMut::new(scores, queries.len(), keys.len(), stride);
        multiply(simd, asking, key_panels, 0..key_panels.panels(), Accumulate::Zero, block);
        if let Relative::Disentangled(table) = heads.relative {
            let block = RowsMut::new(scores, queries.len(), keys.len(), stride);
            table.add(
                simd,
                asking,
                place + queries.start,
                keys.clone(),
                all_keys,
                self.group.start + head,
                positions,
                block,
            );
        }

        // With a bias the scores are scaled before it is added; else together with what makes powers of two of e's.
        let biased = matches!(heads.relative, Relative::Bias(_));
        let factor = if biased { LOG2_E } else { heads.scale * LOG2_E };
        for (i, query) in queries.clone().enumerate() {
            let row = &mut scores[i * stride..][..keys.len()];
            let seen = reach.seen(place + query, all_keys);
            let seen = seen.start.max(keys.start)..seen.end.min(keys.end);
            if seen.is_empty() {
                row.fill(0.0);
                continue;
            }
            row[..seen.start - keys.start].fill(0.0);
            row[seen.end - keys.start..].fill(0.0);
            let row = &mut row[seen.start - keys.start..seen.end - keys.start];
            if let Relative::Bias(bias) = heads.relative {
                bias.add(simd, row, heads.scale, self.group.start + head, place + query, seen);
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
        multiply(simd, weights, value_panels, 0..value_panels.panels(), start, out.reborrow());
        if keys.end >= end {
            for (i, query) in queries.enumerate() {
                multiply_by(simd, out.row(i), simd.splat_f32s(1.0 / sums[so_far + query]));
            }
        }
    }
}

/// `row = row * factor`
#[inline(always)]
fn multiply_by<S: Simd>(simd: S, row: &mut [f32], factor: S::f32s) {
    let (vectors, tail) = S::as_mut_simd_f32s(row);
    for x in vectors {
        *x = simd.mul_f32s(*x, factor);
    }
    simd.partial_store_f32s(tail, simd.mul_f32s(simd.partial_load_f32s(tail), factor));
}
