//! Scaling of rows to norm 1.

use pulp::{Simd, WithSimd};

use super::Isa;
use super::nan::at_least;

/// Number of sums side by side: enough vectors to keep a processor busy.
const LANES: usize = 16;

/// Computes the factor that gives each row of `rows`, `(n, width)`, the L2 norm 1: one over its norm, or over `1e-12` where
/// that is larger.
///
/// Sums the squares in float64, so that no norm overflows or underflows.
pub(crate) fn inverse_norms(isa: Isa, rows: &[f32], width: usize, out: &mut [f64]) {
    isa.run(InverseNorms { rows, width, out });
}

struct InverseNorms<'a> {
    rows: &'a [f32],
    width: usize,
    out: &'a mut [f64],
}

impl WithSimd for InverseNorms<'_> {
    type Output = ();
    // The compiler vectorizes these plain loops for each instruction set.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (row, out) in self.rows.chunks_exact(self.width.max(1)).zip(self.out) {
            *out = 1.0 / at_least(sum_of_squares(row).sqrt(), 1e-12);
        }
    }
}

#[inline(always)]
fn sum_of_squares(row: &[f32]) -> f64 {
    let (chunks, rest) = row.as_chunks::<LANES>();
    let mut last = [0.0; LANES];
    last[..rest.len()].copy_from_slice(rest);
    let mut sums = [0.0; LANES];
    for chunk in chunks {
        add_squares(&mut sums, chunk);
    }
    add_squares(&mut sums, &last);
    sums.iter().sum()
}

#[inline(always)]
fn add_squares(sums: &mut [f64; LANES], numbers: &[f32; LANES]) {
    for (sum, x) in sums.iter_mut().zip(numbers) {
        let x = f64::from(*x);
        *sum += x * x;
    }
}

/// Multiplies each number by `scale`, rounding once.
pub(crate) fn scale(row: &mut [f32], scale: f64) {
    row.iter_mut().for_each(|x| *x = (f64::from(*x) * scale) as f32);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::noise;

    #[test]
    fn rows_of_any_size_are_scaled_to_norm_1() {
        for isa in Isa::available() {
            for width in 1..=130 {
                for size in [1e-30, 1e-8, 1.0, 1e30] {
                    let rows: Vec<f32> = noise(3 * width, 5).iter().map(|x| x * size).collect();
                    let mut scales = [f64::NAN; 3];
                    inverse_norms(isa, &rows, width, &mut scales);
                    for (row, got) in rows.chunks(width).zip(scales) {
                        let norm = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt().max(1e-12);
                        assert!((got * norm - 1.0).abs() < 1e-14, "{} {width}: {got}, not 1 / {norm}", isa.name());
                    }
                }
            }
            let mut scales = [0.0; 2];
            inverse_norms(isa, &[0.0, -0.0, f32::INFINITY, 1.0], 2, &mut scales);
            assert_eq!(scales, [1.0 / 1e-12, 0.0]);
            inverse_norms(isa, &[f32::NAN, 1.0, 0.0, 2.0], 2, &mut scales);
            assert!(scales[0].is_nan() && scales[1] == 0.5, "{}: {scales:?}", isa.name());
        }
    }

    #[test]
    fn scaled_numbers_are_rounded_once() {
        let mut row = [3.0 * 2f32.powi(126), 1e-44, -0.0];
        scale(&mut row, 2f64.powi(-40));
        assert_eq!(row.map(f32::to_bits), [3.0 * 2f32.powi(86), 0.0, -0.0].map(f32::to_bits));
    }
}
