//! Attention on packed tokens: softmax(Q Kᵀ / √d + bias) V, one text and head at a time (Vaswani et al., 2017).
//!
//! Scores are computed as `(keys, queries)`: then the largest one and the sum of a query's weights need no other lane, and
//! neither keys nor values need packing. Long texts are computed in blocks of keys, with an online softmax (Milakov and
//! Gimelshein, 2018).

mod disentangled;
mod distance;
mod linear;
mod softcap;
mod softmax;
#[cfg(test)]
mod tests;
mod values;

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::Isa;
use super::buffer::Buffer;
use super::exp::LOG2_E;
use super::matmul::{Accumulate, multiply};
use super::panels::Panels;
use super::prefetch::prefetch_rows;
use super::rows::{Rows, RowsMut};
use crate::alloc;
use crate::error::Result;

pub(crate) use disentangled::{Disentangled, PositionColumns};
pub(crate) use distance::DistanceBias;
use softmax::{Block, UNSEEN, Visible};
use values::WeightedSums;

/// Keys of a block: they, their values and the scores stay in the second-level cache.
const KEYS: usize = 512;
/// The same with a sliding window: smaller blocks skip more of the keys outside it.
const WINDOW_KEYS: usize = 64;

/// Rows of the next head that are prefetched: a head's rows are too short, and too far apart, for the processor to see them
/// coming. More would not stay in the first-level cache.
const PREFETCHED: usize = 64;

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

/// Number of queries in a block: those of a tile's vectors.
const fn block_queries<S: Simd>() -> usize {
    let vectors = if S::F32_LANES == 8 { 3 } else { 2 };
    vectors * S::F32_LANES
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
    /// Block of a head's queries.
    queries: Panels,
    /// Block of a head's values, one row after the other in whole vectors.
    values: Buffer,
    /// Block of scores.
    scores: Buffer,
    /// The largest exponent so far, and the sum of the weights so far, of every query.
    largest: Vec<f32>,
    sums: Vec<f32>,
    /// Factors of the output of a block's queries.
    factors: Vec<f32>,
    positions: disentangled::PositionScratch,
}

impl AttentionScratch {
    pub(crate) fn new(isa: Isa) -> Self {
        Self {
            queries: Panels::empty(isa),
            values: Buffer::default(),
            scores: Buffer::default(),
            largest: Vec::new(),
            sums: Vec::new(),
            factors: Vec::new(),
            positions: disentangled::PositionScratch::default(),
        }
    }

    /// Reserves the only memory that grows with the texts; blocks bound the rest.
    fn reserve(&mut self, lanes: usize, spans: &[Span], heads: usize) -> Result<()> {
        let queries = spans.iter().map(|span| span.queries.len().next_multiple_of(lanes)).max().unwrap_or(0);
        for numbers in [&mut self.largest, &mut self.sums] {
            numbers.clear();
            alloc::reserve(numbers, queries.saturating_mul(heads), "the softmax of a text")?;
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
    scratch.reserve(isa.lanes(), spans, heads.sharing.min(chosen.len()))?;
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
        let columns = |heads: &Range<usize>| heads.start * width..heads.end * width;
        let operands = |span: &Span, group: &Range<usize>| {
            let shared = group.start / heads.sharing;
            let shared = columns(&(shared..shared + 1));
            let queries = queries.range(span.queries.clone()).columns(columns(group));
            [
                queries,
                keys.range(span.keys.clone()).columns(shared.clone()),
                values.range(span.keys.clone()).columns(shared),
            ]
        };
        let groups = spans.iter().flat_map(|span| heads.groups(chosen.clone()).map(move |group| (span, group)));
        let mut groups = groups.peekable();
        while let Some((span, group)) = groups.next() {
            if let Some((span, group)) = groups.peek() {
                operands(span, group)
                    .into_iter()
                    .for_each(|rows| prefetch_rows(rows.range(0..rows.count().min(PREFETCHED))));
            }
            let [queries, keys, values] = operands(span, &group);
            let mut out = out.range(span.queries.clone());
            let out = out.columns(columns(&(group.start - chosen.start..group.end - chosen.start)));
            let position = span.position;
            Group { queries, keys, values, heads, group, position, scratch: &mut *scratch, out }.attend(simd);
        }
    }
}

impl Heads<'_> {
    /// Groups the chosen heads by the keys and values that they share.
    #[inline(always)]
    fn groups(self, chosen: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let mut head = chosen.start;
        std::iter::from_fn(move || {
            let end = chosen.end.min((head / self.sharing + 1) * self.sharing);
            let group = std::mem::replace(&mut head, end)..end;
            (!group.is_empty()).then_some(group)
        })
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
        let lanes = self.group.len() * queries.next_multiple_of(S::F32_LANES);
        self.scratch.largest.clear();
        self.scratch.largest.resize(lanes, UNSEEN);
        self.scratch.sums.clear();
        self.scratch.sums.resize(lanes, 0.0);
        self.scratch.factors.resize(block_queries::<S>(), 0.0);
        let step = if self.heads.window == Window::ALL { KEYS } else { WINDOW_KEYS };
        for first in (0..keys).step_by(step) {
            let block = first..keys.min(first + step);
            if self.copies_values::<S>() {
                self.copy_values::<S>(block.clone());
            }
            for head in 0..self.group.len() {
                if let PositionScores::Disentangled(positions) = self.heads.positions {
                    let rows = self.keys.range(block.clone());
                    positions.by_key(simd, rows, keys, self.group.start + head, &mut self.scratch.positions);
                }
                for first in (0..queries).step_by(block_queries::<S>()) {
                    let queries = first..queries.min(first + block_queries::<S>());
                    self.block(simd, head, queries, block.clone());
                }
            }
        }
    }

    /// Returns true if values are copied: rows that are no whole vectors, or that several blocks of queries read.
    #[inline(always)]
    fn copies_values<S: Simd>(&self) -> bool {
        !self.heads.width.is_multiple_of(S::F32_LANES) || self.queries.count() > block_queries::<S>()
    }

    /// Copies a block of values, and completes its rows by zeros.
    #[inline(always)]
    fn copy_values<S: Simd>(&mut self, keys: Range<usize>) {
        let width = self.heads.width;
        let whole = width.next_multiple_of(S::F32_LANES);
        self.scratch.values.resize(keys.len() * whole);
        for (target, row) in self.scratch.values.chunks_exact_mut(whole).zip(self.values.range(keys).iter()) {
            target[..width].copy_from_slice(row);
            target[width..].fill(0.0);
        }
    }

    /// Adds a block of keys to the attention of some queries of a head, after all keys before the block.
    #[inline(always)]
    fn block<S: Simd>(&mut self, simd: S, head: usize, queries: Range<usize>, keys: Range<usize>) {
        let copied = self.copies_values::<S>();
        let Self { heads, scratch, out, .. } = self;
        let (all_keys, window, width) = (self.keys.count(), heads.window, heads.width);
        let positions = self.position + queries.start..self.position + queries.end;
        // The first query's window begins first, and the last one's ends last.
        let begin = window.seen(positions.start, all_keys).start;
        let end = window.seen(positions.end - 1, all_keys).end;
        if end <= keys.start || keys.end <= begin {
            return;
        }
        let asking = self.queries.range(queries.clone()).columns(head * width..(head + 1) * width);
        let AttentionScratch { queries: panel, values, scores, largest, sums, factors, positions: table_scratch } =
            &mut **scratch;
        let lanes = queries.len().next_multiple_of(S::F32_LANES);
        panel.pack_block_transposed(simd, asking, lanes);
        scores.resize(keys.len() * lanes);
        let asked = self.keys.range(keys.clone());
        multiply(simd, asked, panel, 0..panel.count(), Accumulate::Zero, RowsMut::packed(scores, lanes));

        let (first, head_in_all) = (positions.start, self.group.start + head);
        // A limit or a bias needs scaled scores. Otherwise scaling joins the conversion from powers of e to powers of two.
        let (mut scale, mut factor) = (heads.scale, heads.scale * LOG2_E);
        if let Some(limit) = heads.softcap {
            softcap::cap(simd, scores, scale, limit);
            (scale, factor) = (1.0, LOG2_E);
        }
        match heads.positions {
            PositionScores::None => {}
            PositionScores::Disentangled(table) => {
                let scores = RowsMut::new(scores, keys.len(), queries.len(), lanes);
                table.add(simd, asking, first, keys.clone(), all_keys, head_in_all, table_scratch, scores);
            }
            PositionScores::Bias(bias) => {
                factor = LOG2_E;
                for (key, row) in keys.clone().zip(scores.chunks_exact_mut(lanes)) {
                    bias.add(simd, row, scale, head_in_all, key, first..first + lanes);
                }
            }
            PositionScores::Slopes(slopes) => {
                factor = LOG2_E;
                for (key, row) in keys.clone().zip(scores.chunks_exact_mut(lanes)) {
                    linear::add(simd, row, scale, slopes[head_in_all], key, first);
                }
            }
        }

        let state = head * self.queries.count().next_multiple_of(S::F32_LANES) + queries.start;
        let sums = &mut sums[state..state + lanes];
        let visible = Visible { window, queries: (positions.start, positions.end), first_key: keys.start };
        let largest = &mut largest[state..state + lanes];
        let shrunk = &mut factors[..lanes];
        Block { scores: &mut *scores, factor, visible, largest, sums, shrunk }.softmax(simd);

        let last = keys.end >= end;
        if last {
            sums.iter_mut().for_each(|sum| *sum = 1.0 / *sum);
        }
        let whole = width.next_multiple_of(S::F32_LANES);
        let product = WeightedSums {
            weights: Rows::packed(scores, lanes),
            values: if copied { Rows::packed(values, whole) } else { self.values.range(keys.clone()) },
            before: (keys.start > begin).then_some(&factors[..lanes]),
            after: last.then_some(&*sums),
        };
        product.compute(simd, out.range(queries).columns(head * width..(head + 1) * width));
    }
}
