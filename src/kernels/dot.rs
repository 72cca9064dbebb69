//! Dot products and distances of rows: one pair, or every row of one matrix with every row of another.
//!
//! The order of a pair's sum is fixed: lane by lane over [`RUN`] vectors at a time, then over these runs, then the rest of
//! the row as one vector padded with zeros, then the lanes by halves. So a pair has the same bits alone and in a tile, with
//! its sides exchanged, and among any number of rows.
//!
//! For a row of `v` vectors, rounded up, the error is at most `(min(v, 32) + ceil(v / 32) + log2(lanes) + 3)` times 2⁻²⁴ of
//! the sum of the terms' absolute values, while all numbers are normal float32. A sum of squares overflows where a
//! difference passes 1.8e19.

use std::ops::Range;
use std::slice::from_ref;

use pulp::{Simd, WithSimd};

use super::{Isa, multiply_add};

/// Numbers of the right side that stay in the second-level cache while the left side passes: 256 KiB.
const BLOCK: usize = 1 << 16;

/// Number of vectors in a partial sum, which keeps long rows accurate with any number of lanes.
pub(super) const RUN: usize = 32;

/// Term that a pair of numbers adds to the sum. Two zeros must add nothing.
trait Term: Copy {
    fn add<S: Simd>(self, simd: S, sum: S::f32s, a: S::f32s, b: S::f32s) -> S::f32s;
}

#[derive(Clone, Copy)]
struct DotTerm;

impl Term for DotTerm {
    #[inline(always)]
    fn add<S: Simd>(self, simd: S, sum: S::f32s, a: S::f32s, b: S::f32s) -> S::f32s {
        multiply_add(simd, a, b, sum)
    }
}

#[derive(Clone, Copy)]
struct SquaredDifference;

impl Term for SquaredDifference {
    #[inline(always)]
    fn add<S: Simd>(self, simd: S, sum: S::f32s, a: S::f32s, b: S::f32s) -> S::f32s {
        let difference = simd.sub_f32s(a, b);
        multiply_add(simd, difference, difference, sum)
    }
}

#[derive(Clone, Copy)]
struct AbsoluteDifference;

impl Term for AbsoluteDifference {
    #[inline(always)]
    fn add<S: Simd>(self, simd: S, sum: S::f32s, a: S::f32s, b: S::f32s) -> S::f32s {
        // Clears the sign bit, because pulp's `abs_f32s` is not always inlined.
        let magnitude = simd.splat_f32s(f32::from_bits(0x7FFF_FFFF));
        simd.add_f32s(sum, simd.and_f32s(magnitude, simd.sub_f32s(a, b)))
    }
}

/// Computes `Σ aₖbₖ` of two rows of one width.
pub(crate) fn dot(isa: Isa, a: &[f32], b: &[f32]) -> f32 {
    pair(isa, DotTerm, a, b)
}

/// Computes `Σ (aₖ - bₖ)²` of two rows of one width.
pub(crate) fn squared_distance(isa: Isa, a: &[f32], b: &[f32]) -> f32 {
    pair(isa, SquaredDifference, a, b)
}

/// Computes `Σ |aₖ - bₖ|` of two rows of one width.
pub(crate) fn manhattan(isa: Isa, a: &[f32], b: &[f32]) -> f32 {
    pair(isa, AbsoluteDifference, a, b)
}

/// Computes [`dot`] of each row of `a`, `(n, width)`, with each row of `b`, `(m, width)`, into `out`, `(n, m)`.
pub(crate) fn dots(isa: Isa, a: &[f32], b: &[f32], width: usize, out: &mut [f32]) {
    pairs(isa, DotTerm, a, b, width, out);
}

/// Computes [`squared_distance`] of each row of `a` and each row of `b`; shapes as in [`dots`].
pub(crate) fn squared_distances(isa: Isa, a: &[f32], b: &[f32], width: usize, out: &mut [f32]) {
    pairs(isa, SquaredDifference, a, b, width, out);
}

/// Computes [`manhattan`] of each row of `a` and each row of `b`; shapes as in [`dots`].
pub(crate) fn manhattans(isa: Isa, a: &[f32], b: &[f32], width: usize, out: &mut [f32]) {
    pairs(isa, AbsoluteDifference, a, b, width, out);
}

fn pair(isa: Isa, term: impl Term, a: &[f32], b: &[f32]) -> f32 {
    debug_assert_eq!(a.len(), b.len());
    let mut out = [0.0];
    pairs(isa, term, a, b, a.len(), &mut out);
    out[0]
}

fn pairs(isa: Isa, term: impl Term, a: &[f32], b: &[f32], width: usize, out: &mut [f32]) {
    if width == 0 {
        return out.fill(0.0);
    }
    debug_assert_eq!(out.len(), a.len() / width * (b.len() / width));
    if !out.is_empty() {
        isa.run(Pairs { term, a, b, width, out });
    }
}

struct Pairs<'a, T> {
    term: T,
    a: &'a [f32],
    b: &'a [f32],
    width: usize,
    out: &'a mut [f32],
}

impl<T: Term> WithSimd for Pairs<'_, T> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // The registers must hold a sum for each pair of a tile, a vector for each column, and one of a row.
        if S::REGISTER_COUNT >= 32 { self.run::<S, 6, 4>(simd) } else { self.run::<S, 4, 3>(simd) }
    }
}

impl<T: Term> Pairs<'_, T> {
    /// Computes tiles of `R` rows by `C` columns, by blocks of the right side.
    #[inline(always)]
    fn run<S: Simd, const R: usize, const C: usize>(self, simd: S) {
        let Self { term, a, b, width, out } = self;
        let columns = b.len() / width;
        let block = (BLOCK / width / C).max(1) * C;
        for (b, first) in b.chunks(block * width).zip((0..).step_by(block)) {
            for (a, out) in a.chunks(R * width).zip(out.chunks_mut(R * columns)) {
                if a.len() == R * width {
                    strip::<S, T, R, C>(simd, term, a, b, width, out, first);
                    continue;
                }
                for (a, out) in a.chunks_exact(width).zip(out.chunks_exact_mut(columns)) {
                    strip::<S, T, 1, C>(simd, term, a, b, width, out, first);
                }
            }
        }
    }
}

/// Computes `R` rows with all of `b`, whose first row is the output's column `column`.
#[inline(always)]
fn strip<S: Simd, T: Term, const R: usize, const C: usize>(
    simd: S,
    term: T,
    a: &[f32],
    b: &[f32],
    width: usize,
    out: &mut [f32],
    mut column: usize,
) {
    for b in b.chunks(C * width) {
        if b.len() == C * width {
            tile::<S, T, R, C>(simd, term, a, b, width, out, column);
            column += C;
            continue;
        }
        for b in b.chunks_exact(width) {
            tile::<S, T, R, 1>(simd, term, a, b, width, out, column);
            column += 1;
        }
    }
}

/// Computes `R` rows with `C` rows, into the output's columns from `column` on.
#[inline(always)]
fn tile<S: Simd, T: Term, const R: usize, const C: usize>(
    simd: S,
    term: T,
    a: &[f32],
    b: &[f32],
    width: usize,
    out: &mut [f32],
    column: usize,
) {
    let (a, a_rest) = split::<S, R>(a, width);
    let (b, b_rest) = split::<S, C>(b, width);
    let mut sums = [[simd.splat_f32s(0.0); C]; R];
    let vectors = width / S::F32_LANES;
    for first in (0..vectors).step_by(RUN) {
        add_run(simd, term, &mut sums, a, b, first..vectors.min(first + RUN));
    }
    if !width.is_multiple_of(S::F32_LANES) {
        let (a, b) = (zero_padded(simd, a_rest), zero_padded(simd, b_rest));
        add_run(simd, term, &mut sums, a.each_ref().map(from_ref), b.each_ref().map(from_ref), 0..1);
    }
    let columns = out.len() / R;
    for (out, sums) in out.chunks_exact_mut(columns).zip(sums) {
        for (out, sum) in out[column..column + C].iter_mut().zip(sums) {
            *out = simd.reduce_sum_f32s(sum);
        }
    }
}

/// Splits rows into vectors and the rest of each.
#[inline(always)]
pub(super) fn split<S: Simd, const N: usize>(rows: &[f32], width: usize) -> ([&[S::f32s]; N], [&[f32]; N]) {
    let (mut vectors, mut rests): ([&[S::f32s]; N], [&[f32]; N]) = ([&[]; N], [&[]; N]);
    for i in 0..N {
        (vectors[i], rests[i]) = S::as_simd_f32s(&rows[i * width..][..width]);
    }
    (vectors, rests)
}

/// Loads the rests of rows as vectors that end in zeros.
#[inline(always)]
pub(super) fn zero_padded<S: Simd, const N: usize>(simd: S, rests: [&[f32]; N]) -> [S::f32s; N] {
    let mut vectors = [simd.splat_f32s(0.0); N];
    for (vector, rest) in vectors.iter_mut().zip(rests) {
        *vector = simd.partial_load_f32s(rest);
    }
    vectors
}

/// Adds the sums of one run of the vectors.
///
/// Loops, because an array's `map` is a call that keeps the sums out of registers.
#[inline(always)]
fn add_run<S: Simd, T: Term, const R: usize, const C: usize>(
    simd: S,
    term: T,
    sums: &mut [[S::f32s; C]; R],
    mut a: [&[S::f32s]; R],
    mut b: [&[S::f32s]; C],
    run: Range<usize>,
) {
    // One length for all lets the compiler drop the bounds checks of the loop.
    let length = run.len();
    a.iter_mut().for_each(|a| *a = &a[run.start..][..length]);
    b.iter_mut().for_each(|b| *b = &b[run.start..][..length]);
    let mut partial = [[simd.splat_f32s(0.0); C]; R];
    for k in 0..length {
        for (sums, a) in partial.iter_mut().zip(&a) {
            for (sum, b) in sums.iter_mut().zip(&b) {
                *sum = term.add(simd, *sum, a[k], b[k]);
            }
        }
    }
    for (sums, partial) in sums.iter_mut().zip(&partial) {
        for (sum, partial) in sums.iter_mut().zip(partial) {
            *sum = simd.add_f32s(*sum, *partial);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::noise;

    type One = fn(Isa, &[f32], &[f32]) -> f32;
    type Many = fn(Isa, &[f32], &[f32], usize, &mut [f32]);
    /// Name, kernel for one pair, kernel for many pairs, and the term in float64.
    type Kernel = (&'static str, One, Many, fn(f64, f64) -> f64);

    const KERNELS: [Kernel; 3] = [
        ("dot", dot, dots, |a, b| a * b),
        ("squared_distance", squared_distance, squared_distances, |a, b| (a - b) * (a - b)),
        ("manhattan", manhattan, manhattans, |a, b| (a - b).abs()),
    ];

    fn check(isa: Isa, (name, one, _, term): Kernel, a: &[f32], b: &[f32]) {
        let terms = || a.iter().zip(b).map(|(a, b)| term(f64::from(*a), f64::from(*b)));
        let (truth, size) = (terms().sum::<f64>(), terms().map(f64::abs).sum::<f64>());
        let got = one(isa, a, b);
        let vectors = a.len().div_ceil(isa.lanes());
        let adds = vectors.min(32) + vectors.div_ceil(32) + isa.lanes().ilog2() as usize + 3;
        // A denormal term or sum is off by half of the smallest denormal.
        let limit = adds as f64 * size * 2f64.powi(-24) + a.len() as f64 * 2f64.powi(-149);
        let error = (f64::from(got) - truth).abs();
        assert!(error <= limit, "{} {name} at {}: {got}, not {truth}", isa.name(), a.len());
        assert_eq!(got.to_bits(), one(isa, b, a).to_bits(), "{} {name} exchanged", isa.name());
    }

    #[test]
    fn agrees_with_float64_at_all_lengths_and_alignments() {
        let (a, b) = (noise(1_100, 1), noise(1_100, 2));
        for (isa, kernel) in Isa::available().into_iter().flat_map(|isa| KERNELS.map(|kernel| (isa, kernel))) {
            for length in (0..=130).chain([384, 768, 1_024, 1_033]) {
                for (i, j) in [(0, 0), (1, 0), (3, 2), (7, 7)] {
                    check(isa, kernel, &a[i..][..length], &b[j..][..length]);
                }
            }
        }
    }

    #[test]
    fn holds_its_bound_where_all_terms_have_one_sign() {
        for (isa, kernel) in Isa::available().into_iter().flat_map(|isa| KERNELS.map(|kernel| (isa, kernel))) {
            for length in [1, 15, 64, 1_024, 20_000] {
                check(isa, kernel, &vec![0.1; length], &vec![0.7; length]);
            }
        }
    }

    #[test]
    fn zeros_and_denormals() {
        let denormals: Vec<f32> = (0..67).map(|i| f32::from_bits(i * 7_919)).collect();
        for (isa, kernel) in Isa::available().into_iter().flat_map(|isa| KERNELS.map(|kernel| (isa, kernel))) {
            for length in 0..=67 {
                let (denormals, ones, zeros) = (&denormals[..length], vec![1.0; length], vec![-0.0; length]);
                check(isa, kernel, denormals, &ones);
                check(isa, kernel, denormals, &zeros);
                check(isa, kernel, denormals, denormals);
                assert_eq!(kernel.1(isa, &zeros, &zeros).to_bits(), 0);
            }
        }
        // Denormals are not flushed to zero.
        for isa in Isa::available() {
            assert_eq!(dot(isa, &[f32::from_bits(5); 40], &[1.0; 40]).to_bits(), 200);
        }
    }

    #[test]
    fn infinity_and_nan_reach_the_result_from_any_index() {
        for (isa, (name, one, ..)) in Isa::available().into_iter().flat_map(|isa| KERNELS.map(|k| (isa, k))) {
            for place in 0..67 {
                let (mut a, b) = (vec![1.0; 67], vec![2.0; 67]);
                a[place] = f32::NAN;
                assert!(one(isa, &a, &b).is_nan() && one(isa, &b, &a).is_nan(), "{} {name}", isa.name());
                a[place] = f32::INFINITY;
                assert_eq!(one(isa, &a, &b), f32::INFINITY, "{} {name}", isa.name());
                a[place] = f32::MAX;
                assert_eq!(one(isa, &a, &b).is_finite(), name == "manhattan", "{} {name}", isa.name());
            }
            let infinite = [f32::INFINITY, f32::NEG_INFINITY];
            assert!(one(isa, &infinite, &[f32::INFINITY, f32::INFINITY]).is_nan());
        }
    }

    #[test]
    fn a_pair_has_the_same_bits_in_any_tile() {
        let (a, b) = (noise(20 * 400, 3), noise(400 * 400, 4));
        for (isa, (name, one, many, _)) in Isa::available().into_iter().flat_map(|isa| KERNELS.map(|k| (isa, k))) {
            // The greatest width needs more than one block.
            for width in [1, 7, 16, 33, 400] {
                for (n, m) in [(1, 1), (1, 9), (5, 3), (6, 4), (7, 5), (13, 8), (20, 1), (2, 400)] {
                    let mut out = vec![f32::NAN; n * m];
                    many(isa, &a[..n * width], &b[..m * width], width, &mut out);
                    for (place, got) in out.iter().enumerate() {
                        let (i, j) = (place / m, place % m);
                        let alone = one(isa, &a[i * width..][..width], &b[j * width..][..width]);
                        assert_eq!(got.to_bits(), alone.to_bits(), "{} {name} {width} {i} {j}", isa.name());
                    }
                }
            }
        }
    }

    #[test]
    fn no_rows_and_no_width() {
        for (isa, (_, _, many, _)) in Isa::available().into_iter().flat_map(|isa| KERNELS.map(|k| (isa, k))) {
            many(isa, &[], &[1.0, 2.0], 2, &mut []);
            many(isa, &[1.0, 2.0], &[], 2, &mut []);
            let mut out = [f32::NAN; 6];
            many(isa, &[], &[], 0, &mut out);
            assert_eq!(out, [0.0; 6]);
        }
    }
}
