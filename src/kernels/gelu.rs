//! GELU in its exact form, x Φ(x) with Φ the normal distribution (Hendrycks and Gimpel, 2016), without a division.

use pulp::Simd;

use super::activation::Elementwise;

/// Beyond it Φ is 0 or 1 in float32.
const LIMIT: f32 = 5.3;
/// (Φ(c) - 1/2) / c on |c| <= [`LIMIT`], as a polynomial in t = 2 c² / LIMIT² - 1, highest power first: interpolated
/// at Chebyshev's points in 40 digits. In t, not in c², because there the coefficients stay small.
const COEFFICIENTS: [f32; 15] = [
    0.000_341_941_63,
    -0.000_793_779_15,
    0.000_542_599_9,
    -0.001_008_310_1,
    0.003_375_373_5,
    -0.005_949_964_7,
    0.008_677_929,
    -0.013_130_705,
    0.018_973_626,
    -0.025_312_677,
    0.032_072_354,
    -0.039_587_334,
    0.049_264_56,
    -0.066_518_55,
    0.133_392_56,
];

/// x Φ(x): absolute error at most 1e-6 on |x| <= 12, beyond that x or 0.
#[derive(Clone, Copy)]
pub(crate) struct Gelu;

impl Elementwise for Gelu {
    #[inline(always)]
    fn apply<S: Simd, const N: usize>(self, simd: S, x: &mut [S::f32s; N]) {
        let (mut c, mut t, mut q) = ([simd.splat_f32s(0.0); N], [simd.splat_f32s(0.0); N], [simd.splat_f32s(0.0); N]);
        for i in 0..N {
            c[i] = simd.min_f32s(simd.splat_f32s(LIMIT), simd.max_f32s(simd.splat_f32s(-LIMIT), x[i]));
            let square = simd.mul_f32s(c[i], c[i]);
            t[i] = simd.mul_add_e_f32s(square, simd.splat_f32s(2.0 / (LIMIT * LIMIT)), simd.splat_f32s(-1.0));
            q[i] = simd.splat_f32s(COEFFICIENTS[0]);
        }
        for coefficient in &COEFFICIENTS[1..] {
            for i in 0..N {
                q[i] = simd.mul_add_e_f32s(q[i], t[i], simd.splat_f32s(*coefficient));
            }
        }
        let half = simd.splat_f32s(0.5);
        for i in 0..N {
            let odd = simd.max_f32s(simd.splat_f32s(-0.5), simd.mul_f32s(c[i], q[i]));
            x[i] = simd.mul_f32s(x[i], simd.add_f32s(half, simd.min_f32s(half, odd)));
        }
    }
}
