//! Product of weights with values, whose tiles also scale what they add to.

use pulp::Simd;

use crate::kernels::matmul::{load, store};
use crate::kernels::multiply_add;
use crate::kernels::rows::{Rows, RowsMut};

/// Greatest number of vectors of a tile.
const VECTORS: usize = 2;

/// Product of the transpose of weights `(keys, queries)` with values `(keys, columns)`.
pub(super) struct WeightedSums<'a> {
    pub(super) weights: Rows<'a>,
    /// Values, whose columns are whole vectors.
    pub(super) values: Rows<'a>,
    /// Factor of each query's old output, or none where the product overwrites it.
    pub(super) before: Option<&'a [f32]>,
    /// Factor of each query's new output, or none.
    pub(super) after: Option<&'a [f32]>,
}

impl WeightedSums<'_> {
    /// Computes `(out * before + weightsᵀ · values) * after`, row by row.
    #[inline(always)]
    pub(super) fn compute<S: Simd>(&self, simd: S, mut out: RowsMut<'_>) {
        let width = self.values.width();
        for first in (0..width).step_by(VECTORS * S::F32_LANES) {
            let columns = first..out.width().min(first + VECTORS * S::F32_LANES);
            let strip = Self { values: self.values.columns(first..width.min(first + VECTORS * S::F32_LANES)), ..*self };
            match strip.values.width() / S::F32_LANES {
                1 => strip.tiles::<S, 1>(simd, out.columns(columns)),
                _ => strip.tiles::<S, VECTORS>(simd, out.columns(columns)),
            }
        }
    }

    /// Distributes the queries over tiles as evenly as possible.
    #[inline(always)]
    fn tiles<S: Simd, const V: usize>(&self, simd: S, mut out: RowsMut<'_>) {
        let most = if S::REGISTER_COUNT >= 32 || V == 1 { 8 } else { 6 };
        let (mut first, mut left) = (0, out.count().div_ceil(most));
        while left > 0 {
            let rows = (out.count() - first).div_ceil(left);
            match rows {
                8 if most == 8 => self.tile::<S, 8, V>(simd, first, &mut out),
                7 if most == 8 => self.tile::<S, 7, V>(simd, first, &mut out),
                6 => self.tile::<S, 6, V>(simd, first, &mut out),
                5 => self.tile::<S, 5, V>(simd, first, &mut out),
                4 => self.tile::<S, 4, V>(simd, first, &mut out),
                3 => self.tile::<S, 3, V>(simd, first, &mut out),
                2 => self.tile::<S, 2, V>(simd, first, &mut out),
                _ => self.tile::<S, 1, V>(simd, first, &mut out),
            }
            first += rows;
            left -= 1;
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const ROWS: usize, const V: usize>(&self, simd: S, first: usize, out: &mut RowsMut<'_>) {
        let sums = sums::<S, ROWS, V>(simd, self.weights.columns(first..first + ROWS), self.values);
        for (query, mut sums) in (first..).zip(sums) {
            let row = out.row(query);
            if let Some(before) = self.before {
                let old = load::<S, V>(simd, row);
                for (sum, old) in sums.iter_mut().zip(old) {
                    *sum = multiply_add(simd, old, simd.splat_f32s(before[query]), *sum);
                }
            }
            if let Some(after) = self.after {
                sums = sums.map(|sum| simd.mul_f32s(sum, simd.splat_f32s(after[query])));
            }
            store(simd, sums, row);
        }
    }
}

/// Computes the sums of a tile, each in the order of the keys.
#[inline(always)]
#[expect(unsafe_code, reason = "bounds checks in the innermost loop keep the sums out of registers")]
#[expect(clippy::needless_range_loop, reason = "iterators and closures keep the sums out of registers, too")]
fn sums<S: Simd, const ROWS: usize, const V: usize>(
    simd: S,
    weights: Rows<'_>,
    values: Rows<'_>,
) -> [[S::f32s; V]; ROWS] {
    assert!(weights.count() == values.count() && weights.width() == ROWS && values.width() == V * S::F32_LANES);
    let (mut weight, weight_stride) = weights.start();
    let (mut value, value_stride) = values.start();
    let mut sums = [[simd.splat_f32s(0.0); V]; ROWS];
    for _ in 0..values.count() {
        let mut vectors = [simd.splat_f32s(0.0); V];
        for j in 0..V {
            // SAFETY: this row of values has V vectors, which may be unaligned.
            vectors[j] = unsafe { value.add(j * S::F32_LANES).cast::<S::f32s>().read_unaligned() };
        }
        for i in 0..ROWS {
            // SAFETY: this row of weights has ROWS numbers.
            let a = simd.splat_f32s(unsafe { *weight.add(i) });
            for j in 0..V {
                sums[i][j] = multiply_add(simd, a, vectors[j], sums[i][j]);
            }
        }
        // The last steps may leave the rows, but then nothing is read.
        weight = weight.wrapping_add(weight_stride);
        value = value.wrapping_add(value_stride);
    }
    sums
}
