//! The scores of a few rows, by the kernels.

use super::Similarity;
use crate::kernels::buffer::Buffer;
use crate::kernels::{Isa, dot, unit};

/// Memory that scores are computed in.
#[derive(Default)]
pub(crate) struct Scratch {
    a: Side,
    b: Side,
    sums: Buffer,
}

impl Scratch {
    /// The scores of each row of `a` with each row of `b`.
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

    /// The score of each row of `a` with the same row of `b`.
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
    scales: Vec<f64>,
    scaled: Buffer,
}

impl Side {
    /// Rows, and what their dot products with others are multiplied with to be cosines.
    ///
    /// Those are the rows as they are, read once, and one over their norms. A row whose products could leave float32's
    /// range, by its norm, is scaled first; it alone decides, so its cosines have the same bits beside any others.
    fn rows<'a>(&'a mut self, isa: Isa, rows: &'a [f32], width: usize) -> (&'a [f32], &'a [f64]) {
        self.scales.resize(rows.len() / width, 0.0);
        unit::inverse_norms(isa, rows, width, &mut self.scales);
        let ordinary = |scale: f64| (1e-9..=1e9).contains(&scale);
        if self.scales.iter().all(|scale| ordinary(*scale)) {
            return (rows, &self.scales);
        }
        self.scaled.resize(rows.len());
        self.scaled.copy_from_slice(rows);
        for (row, scale) in self.scaled.chunks_exact_mut(width).zip(&mut self.scales) {
            if !ordinary(*scale) {
                unit::scale(row, std::mem::replace(scale, 1.0));
            }
        }
        (&self.scaled, &self.scales)
    }
}
