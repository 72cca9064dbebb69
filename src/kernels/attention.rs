//! Attention on packed tokens: softmax(Q Kᵀ / √d + bias) V, one text and head at a time (Vaswani et al., 2017).
//!
//! Long texts go through in blocks of keys, whose softmax is taken on the way (Milakov and Gimelshein, 2018).

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::Isa;
use super::buffer::Buffer;
use super::exp::{LOG2_E, exp2, largest, powers};
use super::matmul::{Epilogue, Start, multiply};
use super::packed::Packed;
use super::rows::{Rows, RowsMut};

/// Rows of queries whose scores are held at once: they stay in the first-level cache for texts of usual lengths.
const QUERIES: usize = 32;
/// Keys that are packed at once: with their values and the scores they stay in the second-level cache.
const KEYS: usize = 512;

/// Scores' bias by the distance from query to key, for each head.
pub(crate) struct DistanceBias {
    /// `(heads, 2 * longest - 1)`: the bias of key `k` for query `q` is at column `k - q + longest - 1`.
    pub(crate) table: Vec<f32>,
    /// The longest text it covers, in tokens.
    pub(crate) longest: usize,
}

impl DistanceBias {
    /// Biases of some keys for the query, in a row.
    #[inline(always)]
    fn row(&self, head: usize, query: usize, keys: Range<usize>) -> &[f32] {
        let columns = 2 * self.longest - 1;
        &self.table[head * columns + self.longest - 1 - query + keys.start..][..keys.len()]
    }
}

/// What attention needs beside its input.
#[derive(Clone, Copy)]
pub(crate) struct Heads<'a> {
    /// Columns of a head.
    pub(crate) width: usize,
    /// Factor of the scores.
    pub(crate) scale: f32,
    /// Added to the scaled scores.
    pub(crate) bias: Option<&'a DistanceBias>,
}

/// A text's rows: those of its queries, which are its first tokens or all of them, and those of its keys and values.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) queries: Range<usize>,
    pub(crate) keys: Range<usize>,
}

/// Memory that attention writes over: the panels of a head's keys and values, a block of scores, and of every query the
/// largest score and the sum of the weights so far.
pub(crate) struct Scratch {
    keys: Packed,
    values: Packed,
    scores: Buffer,
    largest: Vec<f32>,
    sums: Vec<f32>,
}

impl Scratch {
    pub(crate) fn new(isa: Isa) -> Self {
        let (keys, values) = (Packed::empty(isa), Packed::empty(isa));
        Self { keys, values, scores: Buffer::default(), largest: Vec::new(), sums: Vec::new() }
    }
}

/// Some heads' attention of every text in itself.
///
/// `queries`, `keys` and `values` are `(rows, heads * width)`, of all heads; `out` is as wide as `chosen` heads are, and
/// has as many rows as `queries`.
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
            for head in chosen.clone() {
                let columns = head * width..(head + 1) * width;
                let place = (head - chosen.start) * width..(head - chosen.start + 1) * width;
                Head {
                    queries: queries.range(span.queries.clone()).columns(columns.clone()),
                    keys: keys.range(span.keys.clone()).columns(columns.clone()),
                    values: values.range(span.keys.clone()).columns(columns),
                    heads,
                    head,
                    scratch: &mut *scratch,
                    out: out.range(span.queries.clone()).columns(place),
                }
                .attend(simd);
            }
        }
    }
}

/// One head of one text.
struct Head<'a> {
    queries: Rows<'a>,
    keys: Rows<'a>,
    values: Rows<'a>,
    heads: Heads<'a>,
    head: usize,
    scratch: &'a mut Scratch,
    out: RowsMut<'a>,
}

impl Head<'_> {
    #[inline(always)]
    fn attend<S: Simd>(mut self, simd: S) {
        let (queries, keys) = (self.queries.count(), self.keys.count());
        self.scratch.largest.clear();
        self.scratch.largest.resize(queries, f32::NEG_INFINITY);
        self.scratch.sums.clear();
        self.scratch.sums.resize(queries, 0.0);
        for first in (0..keys).step_by(KEYS) {
            let block = first..keys.min(first + KEYS);
            self.scratch.keys.pack_block_transposed(simd, self.keys.range(block.clone()));
            self.scratch.values.pack_block(simd, self.values.range(block.clone()));
            for first in (0..queries).step_by(QUERIES) {
                self.block(simd, first..queries.min(first + QUERIES), block.clone());
            }
        }
    }

    /// Some queries with some keys, after those with all keys before.
    #[inline(always)]
    fn block<S: Simd>(&mut self, simd: S, queries: Range<usize>, keys: Range<usize>) {
        let Self { heads, head, scratch, out, .. } = self;
        let Scratch { keys: key_panels, values: value_panels, scores, largest: all_largest, sums } = &mut **scratch;
        let mut out = out.range(queries.clone());
        let stride = keys.len().next_multiple_of(S::F32_LANES);
        scores.resize(queries.len() * stride);
        let block = RowsMut::new(scores, queries.len(), keys.len(), stride);
        let panels = 0..key_panels.panels();
        multiply(
            simd,
            self.queries.range(queries.clone()),
            key_panels,
            panels,
            Start::Zero,
            Epilogue::default(),
            block,
        );

        // With a bias the scores are scaled before it is added; else together with what makes powers of two of e's.
        let factor = if heads.bias.is_some() { LOG2_E } else { heads.scale * LOG2_E };
        for (i, query) in queries.clone().enumerate() {
            let row = &mut scores[i * stride..][..keys.len()];
            if let Some(bias) = heads.bias {
                add_scaled(simd, row, heads.scale, bias.row(*head, query, keys.clone()));
            }
            let before = all_largest[query];
            let now = before.max(largest(simd, row) * factor);
            let sum = powers(simd, row, factor, now);
            let [shrunk] = exp2(simd, [simd.splat_f32s(before - now)]);
            if keys.start > 0 {
                multiply_by(simd, out.row(i), shrunk);
            }
            sums[query] = sums[query] * bytemuck::cast_slice::<S::f32s, f32>(&[shrunk])[0] + sum;
            all_largest[query] = now;
        }

        let start = if keys.start == 0 { Start::Zero } else { Start::Output };
        let weights = Rows::new(scores, queries.len(), keys.len(), stride);
        let panels = 0..value_panels.panels();
        multiply(simd, weights, value_panels, panels, start, Epilogue::default(), out.reborrow());
        if keys.end == self.keys.count() {
            for (i, query) in queries.enumerate() {
                multiply_by(simd, out.row(i), simd.splat_f32s(1.0 / sums[query]));
            }
        }
    }
}

/// `row = row * factor + more`
#[inline(always)]
fn add_scaled<S: Simd>(simd: S, row: &mut [f32], factor: f32, more: &[f32]) {
    let (vectors, tail) = S::as_mut_simd_f32s(row);
    let (more, last) = S::as_simd_f32s(more);
    for (x, more) in vectors.iter_mut().zip(more) {
        *x = simd.mul_add_e_f32s(*x, simd.splat_f32s(factor), *more);
    }
    let last = simd.mul_add_e_f32s(simd.partial_load_f32s(tail), simd.splat_f32s(factor), simd.partial_load_f32s(last));
    simd.partial_store_f32s(tail, last);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{largest_difference, noise};

    /// `(tokens, heads * width)` each, in float64.
    fn truth(qkv: [&[f32]; 3], texts: &[Range<usize>], count: usize, heads: Heads<'_>) -> Vec<f64> {
        let (width, hidden) = (heads.width, count * heads.width);
        let at = |part: usize, token: usize, column: usize| f64::from(qkv[part][token * hidden + column]);
        let mut out = vec![0.0; qkv[0].len()];
        for text in texts {
            for (head, query) in (0..count).flat_map(|h| text.clone().map(move |q| (h, q))) {
                let columns = head * width..(head + 1) * width;
                let score = |key: usize| {
                    let dot: f64 = columns.clone().map(|i| at(0, query, i) * at(1, key, i)).sum();
                    let place = key as isize - query as isize;
                    let bias = heads.bias.map_or(0.0, |bias| {
                        bias.table[head * (2 * bias.longest - 1) + (place + bias.longest as isize - 1) as usize]
                    });
                    (dot * f64::from(heads.scale) + f64::from(bias)).exp()
                };
                let weights: Vec<f64> = text.clone().map(score).collect();
                let sum: f64 = weights.iter().sum();
                for i in columns.clone() {
                    let values = text.clone().map(|key| at(2, key, i));
                    out[query * hidden + i] =
                        values.zip(&weights).map(|(value, weight)| value * weight).sum::<f64>() / sum;
                }
            }
        }
        out
    }

    fn attend(isa: Isa, qkv: [&[f32]; 3], spans: &[Span], count: usize, heads: Heads<'_>) -> Vec<f32> {
        let hidden = count * heads.width;
        let mut out = vec![f32::NAN; qkv[0].len()];
        let qkv = qkv.map(|part| Rows::packed(part, hidden));
        let mut scratch = Scratch::new(isa);
        // The heads parted between two, as between threads.
        let (left, right) = RowsMut::packed(&mut out, hidden).split_columns(count / 2 * heads.width);
        attention(isa, qkv, spans, heads, 0..count / 2, &mut scratch, left);
        attention(isa, qkv, spans, heads, count / 2..count, &mut scratch, right);
        out
    }

    fn whole(text: &Range<usize>) -> Span {
        Span { queries: text.clone(), keys: text.clone() }
    }

    #[test]
    fn attention_agrees_with_float64_whatever_the_lengths_and_biases() {
        for isa in Isa::available() {
            for (count, width, lengths) in [
                (1, 8, vec![1, 2, 7, 16, 65, 130]),
                (4, 8, vec![1, 2, 7, 16, 65, 130]),
                (3, 20, vec![3, 33, 48]),
                (2, 33, vec![31, 70]),
                (2, 16, vec![512, 513, 1200]), // several blocks of keys
            ] {
                let texts: Vec<_> = lengths.iter().scan(0, |end, n| (*end += n, Some(*end - n..*end)).1).collect();
                let spans: Vec<_> = texts.iter().map(whole).collect();
                let tokens = lengths.iter().sum::<usize>();
                let parts = [3, 4, 5].map(|seed| noise(tokens * count * width, seed));
                let scaled: Vec<f32> = parts[0].iter().map(|x| x * 4.0).collect();
                let qkv = [&scaled[..], &parts[1], &parts[2]];
                let bias = DistanceBias { table: noise(count * 2399, 4), longest: 1200 };
                for bias in [None, Some(&bias)] {
                    let heads = Heads { width, scale: 1.0 / (width as f32).sqrt(), bias };
                    let out = attend(isa, qkv, &spans, count, heads);
                    let error = largest_difference(&out, &truth(qkv, &texts, count, heads));
                    assert!(error < 2e-6, "{} {count}x{width}: {error}", isa.name());
                }
            }
        }
    }

    #[test]
    fn a_text_has_the_same_bits_whatever_its_neighbours_and_with_fewer_queries() {
        for isa in Isa::available() {
            let heads = Heads { width: 16, scale: 0.25, bias: None };
            let parts = [3, 4, 5].map(|seed| noise(100 * 32, seed));
            let run = |rows: Range<usize>, spans: &[Span]| {
                let qkv = [0, 1, 2].map(|i| &parts[i][rows.start * 32..rows.end * 32]);
                attend(isa, qkv, spans, 2, heads)
            };
            let together = run(0..100, &[0..30, 30..37, 37..100].map(|text| whole(&text)));
            let alone = run(30..37, &[whole(&(0..7))]);
            assert!(together[30 * 32..37 * 32] == alone);
            let first = run(30..37, &[Span { queries: 0..1, keys: 0..7 }]);
            assert!(first[..32] == alone[..32]);
        }
    }

    #[test]
    fn scores_that_lie_far_apart_choose_one_key() {
        for isa in Isa::available() {
            let (keys, values) = (vec![-1e15, 1e15, 0.0], vec![1.0, 2.0, 3.0]);
            let heads = Heads { width: 1, scale: 1.0, bias: None };
            let out = attend(isa, [&[1e15, -1e15, 0.0], &keys, &values], &[whole(&(0..3))], 1, heads);
            assert_eq!(out, [2.0, 1.0, 2.0], "{}", isa.name());
        }
    }
}
