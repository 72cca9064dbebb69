//! Exact GELU, x Φ(x) with the normal distribution Φ (Hendrycks and Gimpel, 2016), without a division.

use pulp::Simd;

use super::activation::Elementwise;
use super::exp::{at_least, at_most};
use super::multiply_add;

/// Function x Φ(x) by a polynomial of (Φ(c) - 1/2) / c in t = 2 c² / limit² - 1, where c is x clamped to the limit. In t the
/// coefficients stay small, in c² they don't.
#[derive(Clone, Copy)]
pub(crate) struct Gelu<const TERMS: usize> {
    /// Bound beyond which Φ is taken for 0 or 1.
    limit: f32,
    /// Highest power first.
    coefficients: [f32; TERMS],
}

/// Absolute error at most 1e-6 on |x| <= 12; beyond that x, or 0 to 4e-7. Interpolated at Chebyshev points in 40 digits; the
/// last coefficient is rounded so that Φ is exactly 1 at the limit.
pub(crate) const GELU: Gelu<15> = Gelu {
    limit: 5.3,
    coefficients: [
        0.000_328_462_43,
        -0.000_792_539_9,
        0.000_589_668_6,
        -0.001_012_328_7,
        0.003_310_829_9,
        -0.005_944_955,
        0.008_721_792,
        -0.013_133_701,
        0.018_958_334,
        -0.025_311_807,
        0.032_074_89,
        -0.039_587_44,
        0.049_264_405,
        -0.066_518_55,
        0.133_392_56,
    ],
};

/// Error at most 4.2e-5 of the larger of 4 and |x|, a hundredth of a step of int8. Fitted for the least maximum error.
pub(crate) const GELU_FOR_INT8: Gelu<8> = Gelu {
    limit: 4.0,
    coefficients: [
        -0.002_729_01,
        0.008_211_28,
        -0.013_259_98,
        0.021_621_71,
        -0.036_495_38,
        0.056_050_81,
        -0.084_357_47,
        0.175_947_75,
    ],
};

impl<const TERMS: usize> Elementwise for Gelu<TERMS> {
    #[inline(always)]
    fn apply<S: Simd, const N: usize>(self, simd: S, x: &mut [S::f32s; N]) {
        let zero = simd.splat_f32s(0.0);
        let (mut c, mut t, mut q) = ([zero; N], [zero; N], [zero; N]);
        for i in 0..N {
            // Clamps to the limit, where Φ is 0.
            x[i] = at_least(simd, -self.limit, x[i]);
            c[i] = at_most(simd, self.limit, x[i]);
            let square = simd.mul_f32s(c[i], c[i]);
            t[i] = multiply_add(simd, square, simd.splat_f32s(2.0 / (self.limit * self.limit)), simd.splat_f32s(-1.0));
            q[i] = simd.splat_f32s(self.coefficients[0]);
        }
        for coefficient in &self.coefficients[1..] {
            for i in 0..N {
                q[i] = multiply_add(simd, q[i], t[i], simd.splat_f32s(*coefficient));
            }
        }
        for i in 0..N {
            let distribution = multiply_add(simd, c[i], q[i], simd.splat_f32s(0.5));
            x[i] = simd.mul_f32s(x[i], distribution);
        }
    }
}
