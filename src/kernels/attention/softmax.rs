//! Online softmax of a block of scores `(keys, queries)`: each lane is a query, so that no step needs other lanes.

use std::ops::Range;

use pulp::Simd;

use super::Window;
use crate::kernels::exp::exp2;
use crate::kernels::multiply_add;

/// Score of a key that a query doesn't see, and of no key.
pub(super) const UNSEEN: f32 = f32::MIN;
/// Keys whose weights are added up before they join the sum: long sums of small numbers lose precision.
const KEYS: usize = 16;

/// Block of scores of up to three vectors of queries.
pub(super) struct Block<'a> {
    pub(super) scores: &'a mut [f32],
    /// Factor of scores that makes them exponents of two.
    pub(super) factor: f32,
    pub(super) visible: Visible,
    /// The largest exponent so far, and the sum of the weights so far, of each query.
    pub(super) largest: &'a mut [f32],
    pub(super) sums: &'a mut [f32],
    /// Factor by which each query's output shrinks.
    pub(super) shrunk: &'a mut [f32],
}

/// Keys that the queries of a block see.
#[derive(Clone, Copy)]
pub(super) struct Visible {
    pub(super) window: Window,
    /// Positions of the queries.
    pub(super) queries: (usize, usize),
    /// Position of the first key.
    pub(super) first_key: usize,
}

impl Visible {
    /// Returns the positions that see a key, or none if all do.
    #[inline(always)]
    fn partly(self, key: usize) -> Option<Range<usize>> {
        let key = self.first_key + key;
        let seeing = key.saturating_sub(self.window.after)..key.saturating_add(self.window.before).saturating_add(1);
        let (first, end) = self.queries;
        (first < seeing.start || seeing.end < end).then_some(seeing)
    }
}

impl Block<'_> {
    /// Turns scores into weights, and updates the queries' largest exponents and sums.
    #[inline(always)]
    pub(super) fn softmax<S: Simd>(self, simd: S) {
        match self.largest.len() / S::F32_LANES {
            3 => self.of_vectors::<S, 3>(simd),
            2 => self.of_vectors::<S, 2>(simd),
            1 => self.of_vectors::<S, 1>(simd),
            vectors => unreachable!("a block of {vectors} vectors"),
        }
    }

    #[inline(always)]
    fn of_vectors<S: Simd, const V: usize>(self, simd: S) {
        let Self { scores, factor, visible, largest, sums, shrunk } = self;
        let rows = S::as_mut_simd_f32s(scores).0.as_chunks_mut::<V>().0;
        let [largest, sums, shrunk] = [largest, sums, shrunk].map(|all| whole::<S, V>(all));
        let (factor, zero, unseen) = (simd.splat_f32s(factor), simd.splat_f32s(0.0), simd.splat_f32s(UNSEEN));

        let mut greatest = [unseen; V];
        for (key, row) in rows.iter_mut().enumerate() {
            if let Some(seeing) = visible.partly(key) {
                keep::<S, V>(row, UNSEEN, visible.queries.0, seeing);
            }
            for i in 0..V {
                greatest[i] = simd.max_f32s(greatest[i], row[i]);
            }
        }
        let mut shift = [zero; V];
        for i in 0..V {
            let now = simd.max_f32s(largest[i], simd.mul_f32s(greatest[i], factor));
            [shrunk[i]] = exp2(simd, [simd.sub_f32s(largest[i], now)]);
            shift[i] = simd.neg_f32s(now);
            largest[i] = now;
        }
        let mut total = [zero; V];
        let mut first = 0;
        for rows in rows.chunks_mut(KEYS) {
            let mut part = [zero; V];
            for (key, row) in (first..).zip(rows) {
                let mut weights = *row;
                for i in 0..V {
                    weights[i] = multiply_add(simd, weights[i], factor, shift[i]);
                }
                weights = exp2(simd, weights);
                if let Some(seeing) = visible.partly(key) {
                    keep::<S, V>(&mut weights, 0.0, visible.queries.0, seeing);
                }
                for i in 0..V {
                    part[i] = simd.add_f32s(part[i], weights[i]);
                }
                *row = weights;
            }
            for i in 0..V {
                total[i] = simd.add_f32s(total[i], part[i]);
            }
            first += KEYS;
        }
        for i in 0..V {
            sums[i] = multiply_add(simd, sums[i], shrunk[i], total[i]);
        }
    }
}

/// Views the vectors of a block's queries.
#[inline(always)]
fn whole<S: Simd, const V: usize>(numbers: &mut [f32]) -> &mut [S::f32s; V] {
    match S::as_mut_simd_f32s(numbers).0.first_chunk_mut() {
        Some(vectors) => vectors,
        None => unreachable!("a block of {V} vectors"),
    }
}

/// Overwrites the numbers of queries that don't see a key. `first` is the position of the first query.
#[inline(always)]
fn keep<S: Simd, const V: usize>(row: &mut [S::f32s; V], other: f32, first: usize, seeing: Range<usize>) {
    let numbers = bytemuck::cast_slice_mut::<S::f32s, f32>(row);
    let begin = seeing.start.saturating_sub(first).min(numbers.len());
    let end = seeing.end.saturating_sub(first).clamp(begin, numbers.len());
    numbers[..begin].fill(other);
    numbers[end..].fill(other);
}
