//! Dot products of rows with themselves.

use std::slice::from_mut;

use pulp::{Simd, WithSimd};

use super::dot::{RUN, split, zero_padded};
use super::{Isa, multiply_add};

/// Computes [`dot`](super::dot::dot) of each row of `rows`, `(n, width)`, with itself, into `out`, `(n,)`.
pub(crate) fn squares(isa: Isa, rows: &[f32], width: usize, out: &mut [f32]) {
    if width == 0 {
        return out.fill(0.0);
    }
    isa.run(Squares { rows, width, out });
}

struct Squares<'a> {
    rows: &'a [f32],
    width: usize,
    out: &'a mut [f32],
}

impl WithSimd for Squares<'_> {
    type Output = ();
    /// Several rows at a time: the sums of a single row wait for each other.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        const ROWS: usize = 4;
        let Self { rows, width, out } = self;
        for (rows, out) in rows.chunks(ROWS * width).zip(out.chunks_mut(ROWS)) {
            if out.len() == ROWS {
                squares_of::<S, ROWS>(simd, rows, width, out);
                continue;
            }
            for (row, out) in rows.chunks_exact(width).zip(out) {
                squares_of::<S, 1>(simd, row, width, from_mut(out));
            }
        }
    }
}

/// Sums in the order of all sums of `dot.rs`.
#[inline(always)]
fn squares_of<S: Simd, const N: usize>(simd: S, rows: &[f32], width: usize, out: &mut [f32]) {
    let (vectors, rests) = split::<S, N>(rows, width);
    let last = zero_padded(simd, rests);
    let mut sums = [simd.splat_f32s(0.0); N];
    let count = width / S::F32_LANES;
    for first in (0..count).step_by(RUN) {
        let mut partial = [simd.splat_f32s(0.0); N];
        for k in first..count.min(first + RUN) {
            for (sum, vectors) in partial.iter_mut().zip(&vectors) {
                *sum = multiply_add(simd, vectors[k], vectors[k], *sum);
            }
        }
        for (sum, partial) in sums.iter_mut().zip(partial) {
            *sum = simd.add_f32s(*sum, partial);
        }
    }
    for ((sum, last), out) in sums.into_iter().zip(last).zip(out) {
        let sum = if width.is_multiple_of(S::F32_LANES) { sum } else { simd.add_f32s(sum, simd.mul_f32s(last, last)) };
        *out = simd.reduce_sum_f32s(sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::dot::dot;
    use crate::kernels::testing::noise;

    #[test]
    fn squares_have_the_bits_of_a_row_with_itself() {
        let rows = noise(9 * 1_100, 5);
        for isa in Isa::available() {
            for width in (0..=130).chain([384, 1_033, 1_100]) {
                let mut out = [f32::NAN; 9];
                squares(isa, &rows[..9 * width], width, &mut out);
                for (i, got) in out.into_iter().enumerate() {
                    let row = &rows[i * width..][..width];
                    assert_eq!(got.to_bits(), dot(isa, row, row).to_bits(), "{} {width} {i}", isa.name());
                }
            }
        }
    }
}
