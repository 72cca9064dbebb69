//! Attention on packed tokens: softmax(Q Kᵀ / √d + bias) V, one text and head at a time (Vaswani et al., 2017).

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::Isa;
use super::buffer::Buffer;
use super::exp::softmax;
use super::matmul::{Epilogue, Packed, Rows, multiply};

/// Rows of queries whose scores are held at once: they stay in the cache however long the text is.
const QUERIES: usize = 64;

/// Scores' bias by the distance from query to key, for each head.
pub(crate) struct DistanceBias {
    /// `(heads, 2 * longest - 1)`: the bias of key `k` for query `q` is at column `k - q + longest - 1`.
    pub(crate) table: Vec<f32>,
    /// The longest text it covers, in tokens.
    pub(crate) longest: usize,
}

impl DistanceBias {
    /// Biases of keys `0..length` for the query, in a row.
    fn row(&self, head: usize, query: usize, length: usize) -> &[f32] {
        let columns = 2 * self.longest - 1;
        &self.table[head * columns + self.longest - 1 - query..][..length]
    }
}

/// What attention needs beside its input.
#[derive(Clone, Copy)]
pub(crate) struct Heads<'a> {
    /// How many heads.
    pub(crate) count: usize,
    /// Columns of a head.
    pub(crate) width: usize,
    /// Factor of the scores.
    pub(crate) scale: f32,
    /// Added to the scaled scores.
    pub(crate) bias: Option<&'a DistanceBias>,
}

/// Memory that attention writes over: the panels of a head's keys and values, and a block of scores.
pub(crate) struct Scratch {
    keys: Packed,
    values: Packed,
    scores: Buffer,
}

impl Scratch {
    pub(crate) fn new(isa: Isa) -> Self {
        Self { keys: Packed::empty(isa), values: Packed::empty(isa), scores: Buffer::default() }
    }
}

/// Attention of every text in itself.
///
/// `qkv` is `(tokens, 3 * heads.count * heads.width)`: queries, keys, values side by side. `texts` are the rows of each
/// text. `out` is `(tokens, heads.count * heads.width)`.
pub(crate) fn attention(
    isa: Isa,
    qkv: &[f32],
    texts: impl Iterator<Item = Range<usize>>,
    heads: Heads<'_>,
    scratch: &mut Scratch,
    out: &mut [f32],
) {
    let hidden = heads.count * heads.width;
    for text in texts {
        for head in 0..heads.count {
            let qkv = &qkv[text.start * 3 * hidden..text.end * 3 * hidden];
            let out = &mut out[text.start * hidden..text.end * hidden];
            isa.run(Head { qkv, heads, head, length: text.len(), scratch: &mut *scratch, out });
        }
    }
}

/// One head of one text.
struct Head<'a> {
    qkv: &'a [f32],
    heads: Heads<'a>,
    head: usize,
    length: usize,
    scratch: &'a mut Scratch,
    out: &'a mut [f32],
}

impl WithSimd for Head<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { qkv, heads, head, length, scratch, out } = self;
        let Scratch { keys, values, scores } = scratch;
        let (width, hidden) = (heads.width, heads.count * heads.width);
        let (stride, column) = (3 * hidden, head * width);
        keys.pack_transposed(&qkv[hidden + column..], stride, length, width);
        values.pack(&qkv[2 * hidden + column..], stride, length, width);
        for first in (0..length).step_by(QUERIES) {
            let count = QUERIES.min(length - first);
            scores.resize(count * length);
            let queries = Rows { data: &qkv[first * stride + column..], stride, count };
            multiply(simd, queries, keys, Epilogue::default(), scores, length);
            for (row, query) in scores.chunks_exact_mut(length).zip(first..) {
                row.iter_mut().for_each(|score| *score *= heads.scale);
                if let Some(bias) = heads.bias {
                    row.iter_mut().zip(bias.row(head, query, length)).for_each(|(score, bias)| *score += bias);
                }
                softmax(simd, row);
            }
            let scores = Rows { data: scores, stride: length, count };
            multiply(simd, scores, values, Epilogue::default(), &mut out[first * hidden + column..], hidden);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{largest_difference, noise};

    fn truth(qkv: &[f32], texts: &[Range<usize>], heads: Heads<'_>) -> Vec<f64> {
        let (width, hidden) = (heads.width, heads.count * heads.width);
        let at = |token: usize, part: usize, head: usize, i: usize| {
            f64::from(qkv[token * 3 * hidden + part * hidden + head * width + i])
        };
        let mut out = vec![0.0; qkv.len() / 3];
        for text in texts {
            for (head, query) in (0..heads.count).flat_map(|h| text.clone().map(move |q| (h, q))) {
                let score = |key: usize| {
                    let dot: f64 = (0..width).map(|i| at(query, 0, head, i) * at(key, 1, head, i)).sum();
                    let bias = heads
                        .bias
                        .map_or(0.0, |bias| bias.table[head * (2 * bias.longest - 1) + key + bias.longest - 1 - query]);
                    (dot * f64::from(heads.scale) + f64::from(bias)).exp()
                };
                let weights: Vec<f64> = text.clone().map(score).collect();
                let sum: f64 = weights.iter().sum();
                for i in 0..width {
                    let values = text.clone().map(|key| at(key, 2, head, i));
                    out[query * hidden + head * width + i] =
                        values.zip(&weights).map(|(value, weight)| value * weight).sum::<f64>() / sum;
                }
            }
        }
        out
    }

    #[test]
    fn attention_agrees_with_float64_whatever_the_lengths_and_biases() {
        for isa in Isa::available() {
            for (count, width) in [(1, 8), (4, 8), (3, 20), (2, 33)] {
                let lengths = [1, 2, 7, 16, 65, 130];
                let texts: Vec<_> = lengths.iter().scan(0, |end, n| (*end += n, Some(*end - n..*end)).1).collect();
                let tokens = lengths.iter().sum::<usize>();
                let qkv: Vec<f32> = noise(tokens * 3 * count * width, 3).iter().map(|x| x * 2.0).collect();
                let bias = DistanceBias { table: noise(count * 299, 4), longest: 150 };
                for bias in [None, Some(&bias)] {
                    let heads = Heads { count, width, scale: 1.0 / (width as f32).sqrt(), bias };
                    let mut out = vec![f32::NAN; tokens * count * width];
                    attention(isa, &qkv, texts.iter().cloned(), heads, &mut Scratch::new(isa), &mut out);
                    let error = largest_difference(&out, &truth(&qkv, &texts, heads));
                    assert!(error < 2e-6, "{} {count}x{width}: {error}", isa.name());
                }
            }
        }
    }

    #[test]
    fn a_text_has_the_same_bits_whatever_its_neighbours() {
        for isa in Isa::available() {
            let heads = Heads { count: 2, width: 16, scale: 0.25, bias: None };
            let qkv = noise(100 * 96, 3);
            let run = |qkv: &[f32], texts: Vec<Range<usize>>| {
                let mut out = vec![0.0; qkv.len() / 3];
                attention(isa, qkv, texts.into_iter(), heads, &mut Scratch::new(isa), &mut out);
                out
            };
            let together = run(&qkv, vec![0..30, 30..37, 37..100]);
            let alone = run(&qkv[30 * 96..37 * 96], std::iter::once(0..7).collect());
            assert!(together[30 * 32..37 * 32] == alone);
        }
    }
}
