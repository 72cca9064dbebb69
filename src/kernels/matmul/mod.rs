//! Matrix product of rows with float32 panels, followed by an epilogue: bias, residual, activation.
//!
//! A tile is several rows by one panel. Its sums stay in registers over the whole inner dimension, so every output is
//! one sum in the order of that dimension, for any tile it falls in.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(test)]
mod tests;
mod tiles;

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::Isa;
#[cfg(target_arch = "x86_64")]
use super::amx;
use super::panels::Panels;
use super::prefetch::Upcoming;
use super::rows::{Rows, RowsMut};
use crate::config::Activation;

#[cfg(target_arch = "x86_64")]
pub(super) use avx2::sums_of_pairs;
pub(super) use tiles::{FloatPanel, PanelForm, add, load, store, strip};

/// Operations on a product's sums before they are stored.
#[derive(Clone, Copy, Default)]
pub(crate) struct Epilogue<'a> {
    /// Added to every row: a number for each column of the right side, or none.
    pub(crate) bias: &'a [f32],
    /// Added after the bias: a matrix of the product's shape.
    pub(crate) residual: Option<Rows<'a>>,
    /// Applied last.
    pub(crate) activation: Activation,
}

impl Epilogue<'_> {
    /// Returns the epilogue of some columns.
    #[inline(always)]
    pub(super) fn columns(self, columns: Range<usize>) -> Self {
        let bias = if self.bias.is_empty() { self.bias } else { &self.bias[columns.clone()] };
        Self { bias, residual: self.residual.map(|rows| rows.columns(columns)), ..self }
    }
}

/// Start of a product's sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accumulate {
    /// Zeros: the product overwrites the output.
    Zero,
    /// The output's values: the product is added to them.
    Output,
}

/// Scratch memory of a product, of a bounded size.
#[derive(Default)]
pub(crate) struct MatmulScratch {
    #[cfg(target_arch = "x86_64")]
    amx: amx::AmxScratch,
}

/// Computes the columns of `epilogue(a · b)` that some of `b`'s panels hold.
pub(crate) fn matmul(
    isa: Isa,
    a: Rows<'_>,
    b: &Panels,
    panels: Range<usize>,
    epilogue: Epilogue<'_>,
    #[cfg_attr(not(target_arch = "x86_64"), expect(unused_variables, reason = "AMX alone needs it"))]
    scratch: &mut MatmulScratch,
    out: RowsMut<'_>,
) {
    let product = Product { a, b, panels, start: Accumulate::Zero, epilogue, out };
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Amx(amx) => amx::matmul(amx, product, &mut scratch.amx),
        isa => isa.run(product),
    }
}

/// Operands and output of a product.
pub(super) struct Product<'a> {
    pub(super) a: Rows<'a>,
    pub(super) b: &'a Panels,
    pub(super) panels: Range<usize>,
    pub(super) start: Accumulate,
    pub(super) epilogue: Epilogue<'a>,
    pub(super) out: RowsMut<'a>,
}

impl WithSimd for Product<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { a, b, panels, start, epilogue, mut out } = self;
        assert!(a.width() == b.depth() && a.count() == out.count());
        let all = b.columns_of(panels.clone());
        assert!(out.width() == all.len());
        for panel in panels {
            let columns = b.columns_of(panel..panel + 1);
            let out = out.columns(columns.start - all.start..columns.end - all.start);
            let numbers = b.panel(panel);
            let panel = FloatPanel { numbers, next: Upcoming::behind(numbers) };
            strip_of_floats(simd, a, panel, start, epilogue.columns(columns), out);
        }
    }
}

/// Computes the product of all rows with one panel of float32.
///
/// Not inlined: the tiles are most of the code to compile, and every kernel that multiplies would have a copy.
#[inline(never)]
pub(super) fn strip_of_floats<S: Simd>(
    simd: S,
    a: Rows<'_>,
    panel: FloatPanel<'_>,
    start: Accumulate,
    epilogue: Epilogue<'_>,
    out: RowsMut<'_>,
) {
    struct Strip<'a>(Rows<'a>, FloatPanel<'a>, Accumulate, Epilogue<'a>, RowsMut<'a>);
    impl WithSimd for Strip<'_> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let Self(a, panel, start, epilogue, out) = self;
            strip(simd, a, panel, start, epilogue, out);
        }
    }
    simd.vectorize(Strip(a, panel, start, epilogue, out));
}

/// Computes the columns of `a · b` that some of `b`'s panels hold, for kernels that have chosen their instruction set.
#[inline(always)]
pub(crate) fn multiply<S: Simd>(
    simd: S,
    a: Rows<'_>,
    b: &Panels,
    panels: Range<usize>,
    start: Accumulate,
    out: RowsMut<'_>,
) {
    Product { a, b, panels, start, epilogue: Epilogue::default(), out }.with_simd(simd);
}
