//! Powers of two.

use pulp::Simd;

use super::multiply_add;

pub(crate) const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// Addend that leaves a small number's nearest integer, plus an exponent's bias, in the low bits.
const ROUND: f32 = 12_582_912.0 + 127.0;
/// Smallest exponent: smaller ones, whose result would be denormal, are raised to it.
const MIN_EXPONENT: f32 = -126.0;
/// Polynomial of (2^r - 1) / r on |r| <= 1/2, highest power first, interpolated at Chebyshev points in 40 digits.
const COEFFICIENTS: [f32; 6] =
    [0.000_154_531_63, 0.001_339_086_3, 0.009_618_083, 0.055_503_57, 0.240_226_5, std::f32::consts::LN_2];

/// Returns `x`, or `min` where it is smaller; NaN stays NaN.
#[inline(always)]
pub(crate) fn at_least<S: Simd>(simd: S, min: f32, x: S::f32s) -> S::f32s {
    let min = simd.splat_f32s(min);
    // The maximum of vectors returns its second operand where one is NaN; that of scalars drops NaN.
    match S::F32_LANES {
        1 => simd.select_f32s(simd.less_than_f32s(x, min), min, x),
        _ => simd.max_f32s(min, x),
    }
}

/// Returns `x`, or `max` where it is larger; NaN stays NaN.
#[inline(always)]
pub(crate) fn at_most<S: Simd>(simd: S, max: f32, x: S::f32s) -> S::f32s {
    let max = simd.splat_f32s(max);
    match S::F32_LANES {
        1 => simd.select_f32s(simd.less_than_f32s(max, x), max, x),
        _ => simd.min_f32s(max, x),
    }
}

/// Computes 2^x for x <= 127: relative error at most 1.5e-7, and below -126 the value at -126 (1.2e-38).
#[inline(always)]
pub(crate) fn exp2<S: Simd, const N: usize>(simd: S, x: [S::f32s; N]) -> [S::f32s; N] {
    let (mut shifted, mut r, mut power) = (x, x, x);
    for i in 0..N {
        let x = at_least(simd, MIN_EXPONENT, x[i]);
        shifted[i] = simd.add_f32s(x, simd.splat_f32s(ROUND));
        r[i] = simd.sub_f32s(x, simd.sub_f32s(shifted[i], simd.splat_f32s(ROUND)));
        power[i] = simd.splat_f32s(COEFFICIENTS[0]);
    }
    for coefficient in &COEFFICIENTS[1..] {
        for i in 0..N {
            power[i] = multiply_add(simd, power[i], r[i], simd.splat_f32s(*coefficient));
        }
    }
    for i in 0..N {
        let exponent = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted[i]), simd.splat_u32s(23));
        power[i] = multiply_add(simd, power[i], r[i], simd.splat_f32s(1.0));
        power[i] = simd.mul_f32s(power[i], simd.transmute_f32s_u32s(exponent));
    }
    power
}

#[cfg(test)]
mod tests {
    use pulp::WithSimd;

    use super::*;
    use crate::kernels::Isa;

    struct Exp2<'a>(&'a mut [f32]);
    impl WithSimd for Exp2<'_> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let (vectors, tail) = S::as_mut_simd_f32s(self.0);
            vectors.iter_mut().for_each(|x| [*x] = exp2(simd, [*x]));
            let [last] = exp2(simd, [simd.partial_load_f32s(tail)]);
            simd.partial_store_f32s(tail, last);
        }
    }

    #[test]
    fn exp2_is_within_its_relative_error() {
        for isa in Isa::available() {
            let mut x: Vec<f32> = (-126_000..=127_000).map(|i| i as f32 / 1000.0).collect();
            let truth: Vec<f64> = x.iter().map(|x| f64::from(*x).exp2()).collect();
            isa.run(Exp2(&mut x));
            for (got, want) in x.iter().zip(&truth) {
                assert!((f64::from(*got) / want - 1.0).abs() < 1.5e-7, "{}: {got} for {want}", isa.name());
            }
            let mut small = vec![-1e30, f32::NEG_INFINITY, -127.5, 0.0];
            isa.run(Exp2(&mut small));
            assert!(small[..3].iter().all(|x| (0.0..2e-38).contains(x)) && small[3] == 1.0, "{small:?}");
        }
    }
}
