//! Exponentials, and the softmax of a row of attention scores.

use pulp::Simd;

const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// ln 2 in two parts, the first with so few bits that its multiples are exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;
/// Adding this to a small number leaves its nearest integer, plus the bias of an exponent, in the low bits.
const ROUND: f32 = 12_582_912.0 + 127.0;
/// Below this the result would be denormal; it is taken for this.
const LEAST: f32 = -87.0;
/// Taylor's coefficients of e^r from the sixth power down: on |r| <= ln 2 / 2 the rest is under 1.2e-7 of the value.
const POWERS: [f32; 5] = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5];

/// e^x in every lane, for x <= 88; relative error at most 3e-7, and below -87 the value at -87 (1.6e-38).
#[inline(always)]
pub(crate) fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let x = simd.max_f32s(simd.splat_f32s(LEAST), x);
    let shifted = simd.mul_add_e_f32s(x, simd.splat_f32s(LOG2_E), simd.splat_f32s(ROUND));
    let n = simd.sub_f32s(shifted, simd.splat_f32s(ROUND));
    let r = simd.mul_add_e_f32s(n, simd.splat_f32s(-LN_2_HIGH), x);
    let r = simd.mul_add_e_f32s(n, simd.splat_f32s(-LN_2_LOW), r);
    let mut power = simd.splat_f32s(POWERS[0]);
    for coefficient in &POWERS[1..] {
        power = simd.mul_add_e_f32s(power, r, simd.splat_f32s(*coefficient));
    }
    let power = simd.mul_add_e_f32s(simd.mul_f32s(power, r), r, simd.add_f32s(r, simd.splat_f32s(1.0)));
    let exponent = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    simd.mul_f32s(power, simd.transmute_f32s_u32s(exponent))
}

/// `row[i] = e^(row[i] - max) / sum`, in place.
#[inline(always)]
pub(crate) fn softmax<S: Simd>(simd: S, row: &mut [f32]) {
    let (vectors, tail) = S::as_mut_simd_f32s(row);
    let least = f32::NEG_INFINITY;
    let mut largest = simd.splat_f32s(least);
    for x in vectors.iter() {
        largest = simd.max_f32s(largest, *x);
    }
    let largest = tail.iter().fold(simd.reduce_max_f32s(largest), |largest, x| largest.max(*x));

    let shift = simd.splat_f32s(-largest);
    let mut sum = simd.splat_f32s(0.0);
    for x in vectors.iter_mut() {
        *x = exp(simd, simd.add_f32s(*x, shift));
        sum = simd.add_f32s(sum, *x);
    }
    let mut total = simd.reduce_sum_f32s(sum);
    if !tail.is_empty() {
        let powers = exp(simd, simd.add_f32s(simd.partial_load_f32s(tail), shift));
        simd.partial_store_f32s(tail, powers);
        total += tail.iter().sum::<f32>();
    }

    let scale = 1.0 / total;
    for x in vectors.iter_mut() {
        *x = simd.mul_f32s(*x, simd.splat_f32s(scale));
    }
    for x in tail {
        *x *= scale;
    }
}

#[cfg(test)]
mod tests {
    use pulp::WithSimd;

    use super::*;
    use crate::kernels::Isa;
    use crate::kernels::testing::noise;

    struct Exp<'a>(&'a mut [f32]);
    impl WithSimd for Exp<'_> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let (vectors, tail) = S::as_mut_simd_f32s(self.0);
            vectors.iter_mut().for_each(|x| *x = exp(simd, *x));
            simd.partial_store_f32s(tail, exp(simd, simd.partial_load_f32s(tail)));
        }
    }

    struct Softmax<'a>(&'a mut [f32]);
    impl WithSimd for Softmax<'_> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            softmax(simd, self.0);
        }
    }

    #[test]
    fn exp_is_within_its_relative_error() {
        for isa in Isa::available() {
            let mut x: Vec<f32> = (-86_999..=88_000).map(|i| i as f32 / 1000.0).collect();
            let truth: Vec<f64> = x.iter().map(|x| f64::from(*x).exp()).collect();
            isa.run(Exp(&mut x));
            for (got, want) in x.iter().zip(&truth) {
                assert!((f64::from(*got) / want - 1.0).abs() < 3e-7, "{}: {got} for {want}", isa.name());
            }
            let mut small = vec![-1e30, f32::NEG_INFINITY, -87.5, 0.0];
            isa.run(Exp(&mut small));
            assert!(small[..3].iter().all(|x| (0.0..2e-38).contains(x)) && small[3] == 1.0, "{small:?}");
        }
    }

    #[test]
    fn softmax_agrees_with_float64_at_all_lengths() {
        for isa in Isa::available() {
            for length in 1..=130 {
                let scores: Vec<f32> = noise(length, 7).iter().map(|x| x * 20.0).collect();
                let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let powers: Vec<f64> = scores.iter().map(|x| f64::from(x - largest).exp()).collect();
                let sum: f64 = powers.iter().sum();
                let mut row = scores;
                isa.run(Softmax(&mut row));
                for (got, power) in row.iter().zip(&powers) {
                    assert!((f64::from(*got) - power / sum).abs() < 3e-7, "{} at {length}", isa.name());
                }
            }
        }
    }

    #[test]
    fn softmax_of_far_apart_scores_is_one_hot() {
        for isa in Isa::available() {
            let mut row = vec![-1e30, 3e4, f32::MIN, 0.0, 0.0, -3e4, 1.0, 2.0, 5.0];
            isa.run(Softmax(&mut row));
            assert_eq!(row[1], 1.0);
            assert!(row.iter().enumerate().all(|(i, x)| i == 1 || *x < 1e-37), "{row:?}");
        }
    }
}
