//! Layer norm (Ba, Kiros and Hinton, 2016), RMS norm (Zhang and Sennrich, 2019) and L2 normalization of rows.

use pulp::{Simd, WithSimd};

use super::nan::at_least;
use super::rows::RowsMut;
use super::{Isa, multiply_add};

/// Number of vectors summed side by side: a single sum would wait for itself.
const UNROLL: usize = 4;

/// Sums a function of each number of a row, in an order that depends on the row's length alone.
#[inline(always)]
fn sum<S: Simd>(
    simd: S,
    row: &[f32],
    mut add: impl FnMut(S::f32s, S::f32s) -> S::f32s,
    last: impl Fn(f32) -> f32,
) -> f32 {
    let (vectors, tail) = S::as_simd_f32s(row);
    let (unrolled, rest) = vectors.as_chunks::<UNROLL>();
    let mut sums = [simd.splat_f32s(0.0); UNROLL];
    for vectors in unrolled {
        for i in 0..UNROLL {
            sums[i] = add(sums[i], vectors[i]);
        }
    }
    for (sum, vector) in sums.iter_mut().zip(rest) {
        *sum = add(*sum, *vector);
    }
    let sum = simd.add_f32s(simd.add_f32s(sums[0], sums[1]), simd.add_f32s(sums[2], sums[3]));
    simd.reduce_sum_f32s(sum) + tail.iter().map(|x| last(*x)).sum::<f32>()
}

/// Parameters of a norm.
#[derive(Clone, Copy)]
pub(crate) struct NormParameters<'a> {
    /// Center of the variance.
    pub(crate) center: Center,
    pub(crate) weight: &'a [f32],
    pub(crate) bias: &'a [f32],
    pub(crate) eps: f32,
}

/// Center of a norm's variance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Center {
    /// The row's mean: layer norm.
    Mean,
    /// Zero: RMS norm.
    Zero,
}

struct Normalized<'a> {
    x: RowsMut<'a>,
    norm: NormParameters<'a>,
}

impl WithSimd for Normalized<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { mut x, norm: NormParameters { center, weight, bias, eps } } = self;
        let width = weight.len() as f32;
        let (weights, last_weights) = S::as_simd_f32s(weight);
        let (biases, last_biases) = S::as_simd_f32s(bias);
        for i in 0..x.count() {
            let row = x.row(i);
            let mean = match center {
                Center::Mean => sum(simd, row, |sum, x| simd.add_f32s(sum, x), |x| x) / width,
                Center::Zero => 0.0,
            };
            let center = simd.splat_f32s(mean);
            let square = |sum, x| {
                let x = simd.sub_f32s(x, center);
                multiply_add(simd, x, x, sum)
            };
            let variance = sum(simd, row, square, |x| (x - mean) * (x - mean)) / width;
            let scale = 1.0 / (variance + eps).sqrt();

            let factor = simd.splat_f32s(scale);
            let (vectors, tail) = S::as_mut_simd_f32s(row);
            for ((x, weight), bias) in vectors.iter_mut().zip(weights).zip(biases) {
                *x = multiply_add(simd, simd.mul_f32s(simd.sub_f32s(*x, center), factor), *weight, *bias);
            }
            for ((x, weight), bias) in tail.iter_mut().zip(last_weights).zip(last_biases) {
                *x = (*x - mean) * scale * weight + bias;
            }
        }
    }
}

/// Computes `(x - center) / sqrt(variance + eps) * weight + bias` for each row of `x`, in place.
pub(crate) fn norm(isa: Isa, x: RowsMut<'_>, norm: NormParameters<'_>) {
    assert!(x.width() == norm.weight.len() && x.width() == norm.bias.len());
    if !norm.weight.is_empty() {
        isa.run(Normalized { x, norm });
    }
}

/// Divides each row of `x` by its L2 norm, or by `1e-12` where that is larger.
///
/// Sums the squares in float64, so that no row overflows or underflows whose norm is a float32.
pub(crate) fn normalize(mut x: RowsMut<'_>) {
    for i in 0..x.count() {
        let row = x.row(i);
        let norm = row.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
        let norm = at_least(norm, 1e-12);
        for x in row {
            *x = (f64::from(*x) / norm) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{largest_difference, noise};

    #[test]
    fn norms_agree_with_float64_at_all_widths() {
        for isa in Isa::available() {
            for (width, center) in (1..=130).flat_map(|width| [Center::Mean, Center::Zero].map(|c| (width, c))) {
                let (rows, eps) = (3, 1e-12);
                let mut x: Vec<f32> = noise(rows * width, 1).iter().map(|x| x * 3.0 + 1.0).collect();
                let (weight, bias) = (noise(width, 2), noise(width, 3));
                let mut truth = Vec::new();
                for row in x.chunks(width) {
                    let row: Vec<f64> = row.iter().map(|x| f64::from(*x)).collect();
                    let mean = if center == Center::Mean { row.iter().sum::<f64>() / width as f64 } else { 0.0 };
                    let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width as f64;
                    for ((x, w), b) in row.iter().zip(&weight).zip(&bias) {
                        truth.push((x - mean) / (variance + f64::from(eps)).sqrt() * f64::from(*w) + f64::from(*b));
                    }
                }
                norm(isa, RowsMut::packed(&mut x, width), NormParameters { center, weight: &weight, bias: &bias, eps });
                // Two numbers of a row may differ little, and their rounding is large beside the difference.
                let limit = if width < 4 { 1e-4 } else { 3e-6 };
                let error = largest_difference(&x, &truth);
                assert!(error < limit, "{} at width {width}: {error}", isa.name());
            }
        }
    }

    #[test]
    fn a_constant_row_becomes_the_bias() {
        for isa in Isa::available() {
            let mut x = vec![0.5; 48];
            let parameters = NormParameters { center: Center::Mean, weight: &[2.0; 48], bias: &[0.25; 48], eps: 1e-12 };
            norm(isa, RowsMut::packed(&mut x, 48), parameters);
            assert_eq!(x, [0.25; 48]);
        }
    }

    #[test]
    fn normalize_gives_unit_rows_and_leaves_zeros() {
        let mut x = vec![3e30, 4e30, 0.0, 0.0];
        normalize(RowsMut::packed(&mut x, 2));
        assert!((x[0] - 0.6).abs() < 1e-7 && (x[1] - 0.8).abs() < 1e-7, "{x:?}");
        assert_eq!(x[2..], [0.0, 0.0]);
        let mut x = [f32::NAN, 1.0, 3.0, 4.0];
        normalize(RowsMut::packed(&mut x, 2));
        assert!(x[..2].iter().all(|x| x.is_nan()) && x[2..] == [0.6, 0.8], "{x:?}");
        let mut x = [3e-30, 4e-30];
        normalize(RowsMut::packed(&mut x, 2));
        // A norm below 1e-12 counts as 1e-12.
        assert!(x.iter().all(|x| *x < 1e-17), "{x:?}");
    }
}
