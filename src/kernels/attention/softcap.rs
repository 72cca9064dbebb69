//! Soft limit of scores (Gemma Team, 2024).

use pulp::Simd;

use super::super::exp::{LOG2_E, at_most, exp2};

/// Computes `limit * tanh(row * scale / limit)`.
#[inline(always)]
pub(super) fn cap<S: Simd>(simd: S, row: &mut [f32], scale: f32, limit: f32) {
    let capped = |x| {
        let x = simd.mul_f32s(x, simd.splat_f32s(scale / limit));
        simd.mul_f32s(tanh(simd, x), simd.splat_f32s(limit))
    };
    let (vectors, tail) = S::as_mut_simd_f32s(row);
    for x in vectors {
        *x = capped(*x);
    }
    let last = capped(simd.partial_load_f32s(tail));
    simd.partial_store_f32s(tail, last);
}

/// Computes the hyperbolic tangent with a relative error of at most 3e-7. The limit multiplies an absolute error, and most
/// scores are far below the limit.
#[inline(always)]
fn tanh<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let [one, two] = [1.0, 2.0].map(|x| simd.splat_f32s(x));
    // Lambert's continued fraction converges fast near 0.
    let square = simd.mul_f32s(x, x);
    let polynomial = |coefficients: [f32; 4]| {
        let [first, rest @ ..] = coefficients.map(|x| simd.splat_f32s(x));
        rest.into_iter().fold(first, |sum, coefficient| simd.mul_add_e_f32s(sum, square, coefficient))
    };
    let above = simd.mul_f32s(x, polynomial([1.0, 378.0, 17_325.0, 135_135.0]));
    let small = simd.div_f32s(above, polynomial([28.0, 3150.0, 62_370.0, 135_135.0]));
    // 2 / (1 + e^-2x) - 1; the power would overflow beyond 126.
    let [power] = exp2(simd, [at_most(simd, 126.0, simd.mul_f32s(simd.splat_f32s(-2.0 * LOG2_E), x))]);
    let large = simd.sub_f32s(simd.div_f32s(two, simd.add_f32s(one, power)), one);
    simd.select_f32s(simd.less_than_f32s(simd.abs_f32s(x), one), small, large)
}
