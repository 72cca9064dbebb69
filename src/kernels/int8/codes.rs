//! Rows quantized to u8, each with its own scale.

use pulp::{Simd, WithSimd};

use super::{GROUP, ROUND};
use crate::kernels::Isa;
use crate::kernels::buffer::Buffer;
use crate::kernels::rows::Rows;

/// Scale of a row: a code `q` stands for `step * (q - zero)`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct RowScale {
    pub(super) step: f32,
    pub(super) zero: i32,
}

/// Number of steps in a row's range. One less than codes allow, because `zero` is rounded.
const STEPS: f32 = 254.0;

/// Rows of u8, four of them in each `u32`; the last ones are completed by zeros of the row.
#[derive(Default)]
pub(crate) struct QuantizedRows {
    codes: Buffer,
    scales: Vec<RowScale>,
    groups: usize,
}

impl QuantizedRows {
    /// Makes place for the codes of `count` rows.
    pub(crate) fn resize(&mut self, count: usize, width: usize) {
        self.groups = width.div_ceil(GROUP);
        self.codes.resize(count * self.groups);
        self.scales.resize(count, RowScale::default());
    }

    pub(super) fn count(&self) -> usize {
        self.scales.len()
    }

    /// Returns a row's codes, four in each number.
    #[inline(always)]
    pub(super) fn row(&self, i: usize) -> &[u32] {
        &bytemuck::cast_slice(&self.codes)[i * self.groups..][..self.groups]
    }

    #[inline(always)]
    pub(super) fn scale(&self, i: usize) -> RowScale {
        self.scales[i]
    }

    /// Returns parts of the rows, of at most `count` rows each, for threads to write.
    pub(crate) fn parts(&mut self, count: usize) -> impl Iterator<Item = CodesMut<'_>> {
        let groups = self.groups;
        let codes = bytemuck::cast_slice_mut::<f32, u8>(&mut self.codes).chunks_mut((count * groups * GROUP).max(1));
        let scales = self.scales.chunks_mut(count);
        codes.zip(scales).map(move |(codes, scales)| CodesMut { codes, scales, groups })
    }
}

/// Some of the rows, to write.
pub(crate) struct CodesMut<'a> {
    codes: &'a mut [u8],
    scales: &'a mut [RowScale],
    groups: usize,
}

impl CodesMut<'_> {
    /// Number of rows.
    pub(crate) fn count(&self) -> usize {
        self.scales.len()
    }

    /// Quantizes rows, whose columns are multiplied by `factors` before.
    pub(super) fn quantize(self, isa: Isa, x: Rows<'_>, factors: &[f32]) {
        assert!(x.count() == self.count() && x.width() == factors.len() && x.width().div_ceil(GROUP) == self.groups);
        isa.run(Quantize { x, factors, codes: self });
    }
}

struct Quantize<'a> {
    x: Rows<'a>,
    factors: &'a [f32],
    codes: CodesMut<'a>,
}

impl WithSimd for Quantize<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, factors, codes } = self;
        let mut scaled = Buffer::default();
        scaled.resize(x.width());
        let stride = codes.groups * GROUP;
        for ((x, codes), scale) in x.iter().zip(codes.codes.chunks_exact_mut(stride)).zip(codes.scales) {
            let [least, greatest] = scale_columns(simd, x, factors, &mut scaled);
            // NaN where a number isn't finite: then all of the row's products are NaN.
            let range = greatest - least;
            let inverse = if range == 0.0 { 0.0 } else { STEPS / range };
            let zero = (0.0 - least * inverse).round_ties_even();
            *scale = RowScale { step: range / STEPS, zero: zero as i32 };
            let (codes, rest) = codes.split_at_mut(x.len());
            for (code, x) in codes.iter_mut().zip(&*scaled) {
                *code = (x * inverse + (ROUND + zero)).to_bits() as u8;
            }
            rest.fill(0);
        }
    }
}

/// Multiplies a row by the factors of its columns. Returns the least and the greatest number, at most and at least 0; NaN
/// if a number is not finite.
#[inline(always)]
fn scale_columns<S: Simd>(simd: S, x: &[f32], factors: &[f32], out: &mut [f32]) -> [f32; 2] {
    let zero = simd.splat_f32s(0.0);
    let (mut least, mut greatest, mut lost) = ([zero; 2], [zero; 2], zero);
    let (x, x_tail) = S::as_simd_f32s(x);
    let (factors, factors_tail) = S::as_simd_f32s(factors);
    let (out, out_tail) = S::as_mut_simd_f32s(out);
    let mut each = |x, factor, i: usize| {
        let scaled = simd.mul_f32s(x, factor);
        least[i % 2] = simd.min_f32s(scaled, least[i % 2]);
        greatest[i % 2] = simd.max_f32s(scaled, greatest[i % 2]);
        // 0, or NaN for a number that is not finite, which a minimum may lose.
        lost = simd.add_f32s(lost, simd.sub_f32s(scaled, scaled));
        scaled
    };
    for (i, ((x, factor), out)) in x.iter().zip(factors).zip(out).enumerate() {
        *out = each(*x, *factor, i);
    }
    if !x_tail.is_empty() {
        let scaled = each(simd.partial_load_f32s(x_tail), simd.partial_load_f32s(factors_tail), 0);
        simd.partial_store_f32s(out_tail, scaled);
    }
    let lost = simd.reduce_sum_f32s(lost);
    let least = simd.reduce_min_f32s(simd.min_f32s(least[0], least[1]));
    let greatest = simd.reduce_max_f32s(simd.max_f32s(greatest[0], greatest[1]));
    [least + lost, greatest + lost]
}
