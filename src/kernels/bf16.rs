//! Products with weights of bfloat16, computed in float32: half the memory to read, which is what a single text waits for.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::Isa;
use super::buffer::Buffer;
use super::matmul::{Accumulate, Epilogue, strip};
use super::panels::{PanelShape, Panels};
use super::rows::{Rows, RowsMut};
use crate::alloc;
use crate::error::Result;

/// A matrix of bfloat16 in panels, like [`Panels`].
pub(crate) struct Bf16Panels {
    numbers: Vec<u16>,
    shape: PanelShape,
}

impl Bf16Panels {
    /// Packs and rounds the transpose of matrices of one width, stacked, like [`Panels::transposed`].
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory).
    pub(crate) fn transposed(isa: Isa, rows: &[Rows<'_>]) -> Result<Self> {
        let exact = Panels::transposed(isa, rows)?;
        let numbers = alloc::collected(exact.numbers().iter().map(|x| rounded(*x)), "a weight matrix")?;
        Ok(Self { numbers, shape: exact.shape() })
    }

    /// Number of panels.
    pub(crate) fn count(&self) -> usize {
        self.shape.count()
    }

    /// Returns the columns of some panels.
    pub(crate) fn columns_of(&self, panels: Range<usize>) -> Range<usize> {
        self.shape.columns_of(panels)
    }

    /// Computes the columns of `epilogue(a · b)` that some panels hold. `scratch` holds a panel in float32.
    pub(crate) fn product(
        &self,
        isa: Isa,
        a: Rows<'_>,
        panels: Range<usize>,
        epilogue: Epilogue<'_>,
        scratch: &mut Buffer,
        out: RowsMut<'_>,
    ) {
        isa.run(Product { a, b: self, panels, epilogue, scratch, out });
    }
}

/// Rounds to the nearest bfloat16, ties to even. NaN stays NaN.
fn rounded(x: f32) -> u16 {
    half::bf16::from_f32(x).to_bits()
}

struct Product<'a> {
    a: Rows<'a>,
    b: &'a Bf16Panels,
    panels: Range<usize>,
    epilogue: Epilogue<'a>,
    scratch: &'a mut Buffer,
    out: RowsMut<'a>,
}

impl WithSimd for Product<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { a, b, panels, epilogue, scratch, mut out } = self;
        let all = b.columns_of(panels.clone());
        assert!(a.width() == b.shape.depth() && a.count() == out.count() && out.width() == all.len());
        for panel in panels {
            let columns = b.columns_of(panel..panel + 1);
            let out = out.columns(columns.start - all.start..columns.end - all.start);
            let numbers = &b.numbers[b.shape.numbers_of(panel)];
            scratch.resize(numbers.len());
            // Measured: as fast as widening the numbers within a tile, and one tile for both precisions.
            scratch.iter_mut().zip(numbers).for_each(|(x, bits)| *x = f32::from_bits(u32::from(*bits) << 16));
            strip(simd, a, scratch, Accumulate::Zero, epilogue.columns(columns), out);
        }
    }
}
