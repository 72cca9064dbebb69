//! Scores of a block of rows, by the kernels.

use std::ops::RangeInclusive;
use std::slice::from_mut;

use super::Similarity;
use crate::kernels::buffer::Buffer;
use crate::kernels::{Isa, dot, squares, unit};

/// Computes scores, in buffers that it reuses.
#[derive(Default)]
pub(crate) struct Scorer {
    a: Side,
    b: Side,
    sums: Buffer,
}

impl Scorer {
    /// Returns the scores of each row of `a` with each row of `b`.
    pub(crate) fn scores<'a>(
        &'a mut self,
        kind: Similarity,
        isa: Isa,
        a: &[f32],
        b: &[f32],
        width: usize,
    ) -> &'a [f32] {
        let Self { a: a_side, b: b_side, sums } = self;
        let columns = b.len() / width;
        sums.resize(a.len() / width * columns);
        match kind {
            Similarity::Cosine => {
                let ((a, a_scales), (b, b_scales)) = (a_side.rows(isa, a, width), b_side.rows(isa, b, width));
                dot::dots(isa, a, b, width, sums);
                for (sums, a_scale) in sums.chunks_exact_mut(columns).zip(a_scales) {
                    sums.iter_mut().zip(b_scales).for_each(|(sum, b_scale)| *sum = cosine(*sum, *a_scale, *b_scale));
                }
            }
            Similarity::Dot => dot::dots(isa, a, b, width, sums),
            Similarity::Euclidean => dot::squared_distances(isa, a, b, width, sums),
            Similarity::Manhattan => dot::manhattans(isa, a, b, width, sums),
        }
        sums.iter_mut().for_each(|sum| *sum = kind.score(*sum));
        sums
    }

    /// Writes the score of each row of `a` with the same row of `b`.
    pub(super) fn pairwise(&mut self, kind: Similarity, isa: Isa, a: &[f32], b: &[f32], width: usize, out: &mut [f32]) {
        let each = |a: &[f32], b: &[f32], kernel: fn(Isa, &[f32], &[f32]) -> f32, out: &mut [f32]| {
            for ((a, b), out) in a.chunks_exact(width).zip(b.chunks_exact(width)).zip(out) {
                *out = kernel(isa, a, b);
            }
        };
        match kind {
            Similarity::Cosine => {
                let ((a, a_scales), (b, b_scales)) = (self.a.rows(isa, a, width), self.b.rows(isa, b, width));
                each(a, b, dot::dot, out);
                let scales = a_scales.iter().zip(b_scales);
                out.iter_mut().zip(scales).for_each(|(sum, (a, b))| *sum = cosine(*sum, *a, *b));
            }
            Similarity::Dot => each(a, b, dot::dot, out),
            Similarity::Euclidean => each(a, b, dot::squared_distance, out),
            Similarity::Manhattan => each(a, b, dot::manhattan, out),
        }
        out.iter_mut().for_each(|sum| *sum = kind.score(*sum));
    }
}

/// The same from both sides, to the bit.
fn cosine(dot: f32, a_scale: f64, b_scale: f64) -> f32 {
    (f64::from(dot) * (a_scale * b_scale)) as f32
}

/// One side of a cosine.
#[derive(Default)]
struct Side {
    squares: Buffer,
    scales: Vec<f64>,
    scaled: Buffer,
}

/// Sums of squares with which no product of two rows leaves float32's range, nor loses digits at its lower end.
const ORDINARY: RangeInclusive<f32> = 1e-18..=1e18;

impl Side {
    /// Returns rows, and the factors that turn their dot products into cosines.
    ///
    /// Ordinary rows stay unchanged. Their factor is one over the norm, from the same sum as a dot product of the row
    /// with itself, so that this has the cosine 1. Rows with an extreme norm are first scaled by the norm in float64.
    /// The choice depends on the row alone, so its cosines have the same bits beside any others.
    fn rows<'a>(&'a mut self, isa: Isa, rows: &'a [f32], width: usize) -> (&'a [f32], &'a [f64]) {
        let Self { squares: sums, scales, scaled } = self;
        sums.resize(rows.len() / width);
        squares::squares(isa, rows, width, sums);
        scales.clear();
        scales.extend(sums.iter().map(|sum| 1.0 / f64::from(*sum).sqrt()));
        if sums.iter().all(|sum| ORDINARY.contains(sum)) {
            return (rows, scales);
        }
        scaled.resize(rows.len());
        scaled.copy_from_slice(rows);
        for ((row, scale), sum) in scaled.chunks_exact_mut(width).zip(scales.iter_mut()).zip(sums.iter()) {
            if !ORDINARY.contains(sum) {
                unit::inverse_norms(isa, row, width, from_mut(scale));
                unit::scale(row, std::mem::replace(scale, 1.0));
            }
        }
        (scaled, scales)
    }
}
