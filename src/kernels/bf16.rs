//! Products with weights of bfloat16, computed in float32: half the memory to read, which is what a single text waits for.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::buffer::Buffer;
#[cfg(target_arch = "x86_64")]
use super::matmul::sums_of_pairs;
use super::matmul::{Accumulate, Epilogue, FloatPanel, PanelForm, strip, strip_of_floats};
use super::numbers::{MappedNumbers, Numbers};
use super::panels::{PanelShape, Panels};
use super::prefetch::{Spread, Upcoming};
use super::rows::{Rows, RowsMut};
use super::{Isa, multiply_add};
use crate::error::Result;

/// Greatest number of rows for which tiles widen the numbers of a panel themselves. For more, widening the panel once before
/// is faster.
const FEW: usize = 24;

/// Bits of a number's upper half.
pub(super) const UPPER: u32 = 0xFFFF_0000;

/// A matrix of bfloat16 in panels, like [`Panels`]. A `u32` holds the numbers of a column in two steps of the inner
/// dimension, the first one in the lower half.
pub(crate) struct Bf16Panels {
    pairs: Numbers,
    shape: PanelShape,
}

impl Bf16Panels {
    /// Packs and rounds the transpose of matrices of one width, stacked, like [`Panels::transposed`].
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory).
    pub(crate) fn transposed(isa: Isa, rows: &[Rows<'_>]) -> Result<Self> {
        let outputs = rows.iter().map(|rows| rows.count()).sum();
        let shape = PanelShape::new(isa, rows.first().map_or(0, |rows| rows.width()), outputs);
        let mut packed = Self { pairs: Numbers::default(), shape };
        let len = shape.all_columns() * packed.depth();
        packed.pairs.own().try_resize(len, "a weight matrix")?;
        for panel in 0..shape.count() {
            let exact = Panels::transposed(isa, &some(rows, shape.columns_of(panel..panel + 1)))?;
            let width = shape.whole_columns(panel).len();
            let numbers = packed.numbers_of(panel);
            let pairs = bytemuck::cast_slice_mut::<f32, u32>(&mut packed.pairs.own()[numbers]);
            for (pair, steps) in pairs.chunks_exact_mut(width).zip(exact.panel(0).chunks(2 * width)) {
                let (first, second) = steps.split_at(width);
                for (column, pair) in pair.iter_mut().enumerate() {
                    *pair = rounded(first[column]) | rounded(second.get(column).copied().unwrap_or(0.0)) << 16;
                }
            }
        }
        Ok(packed)
    }

    /// Returns panels whose pairs are in a file; `None` if it holds another count.
    pub(super) fn mapped(shape: PanelShape, pairs: MappedNumbers) -> Option<Self> {
        let panels = Self { pairs: pairs.into(), shape };
        (panels.pairs.len() == shape.all_columns() * panels.depth()).then_some(panels)
    }

    /// All pairs, panel after panel.
    pub(super) fn pairs(&self) -> &[f32] {
        &self.pairs
    }

    /// Number of pairs of steps of the inner dimension.
    fn depth(&self) -> usize {
        self.shape.depth().div_ceil(2)
    }

    fn numbers_of(&self, panel: usize) -> Range<usize> {
        let columns = self.shape.whole_columns(panel);
        columns.start * self.depth()..columns.end * self.depth()
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

/// Returns some rows of stacked matrices.
fn some<'a>(matrices: &[Rows<'a>], rows: Range<usize>) -> Vec<Rows<'a>> {
    let mut next = 0;
    let part = |matrix: &Rows<'a>| {
        let first = next;
        next += matrix.count();
        let inside = |row: usize| row.clamp(first, next) - first;
        matrix.range(inside(rows.start)..inside(rows.end))
    };
    matrices.iter().map(part).collect()
}

/// Rounds to the nearest bfloat16, ties to even. NaN stays NaN.
fn rounded(x: f32) -> u32 {
    half::bf16::from_f32(x).to_bits().into()
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
            let epilogue = epilogue.columns(columns);
            let pairs = bytemuck::cast_slice::<f32, u32>(&b.pairs[b.numbers_of(panel)]);
            if a.count() <= FEW {
                strip(simd, a, Pairs(pairs), Accumulate::Zero, epilogue, out);
            } else {
                let width = b.shape.whole_columns(panel).len();
                scratch.resize(a.width() * width);
                widen(pairs, width, scratch);
                let panel = FloatPanel { numbers: scratch, next: Upcoming::behind(pairs) };
                strip_of_floats(simd, a, panel, Accumulate::Zero, epilogue, out);
            }
        }
    }
}

/// Widens a panel to float32.
#[inline(always)]
fn widen(pairs: &[u32], width: usize, out: &mut [f32]) {
    for (pairs, steps) in pairs.chunks_exact(width).zip(out.chunks_mut(2 * width)) {
        let (first, second) = steps.split_at_mut(width);
        first.iter_mut().zip(pairs).for_each(|(x, pair)| *x = f32::from_bits(pair << 16));
        second.iter_mut().zip(pairs).for_each(|(x, pair)| *x = f32::from_bits(pair & UPPER));
    }
}

/// A panel of pairs, which tiles widen themselves.
#[derive(Clone, Copy)]
struct Pairs<'a>(&'a [u32]);

impl<S: Simd> PanelForm<S> for Pairs<'_> {
    #[inline(always)]
    fn next(self) -> Upcoming {
        Upcoming::behind(self.0)
    }

    #[inline(always)]
    #[expect(unsafe_code, reason = "bounds checks in the innermost loop keep the sums out of registers")]
    fn sums<const ROWS: usize, const VECTORS: usize>(
        self,
        simd: S,
        rows: [&[f32]; ROWS],
        mut next: Spread,
    ) -> [[S::f32s; VECTORS]; ROWS] {
        #[cfg(target_arch = "x86_64")]
        if let Some(sums) = sums_of_pairs(simd, rows, self.0, next) {
            return sums;
        }
        let panel = S::as_simd_u32s(self.0).0.as_chunks::<VECTORS>().0;
        let depth = rows[0].len();
        assert!(panel.len() == depth.div_ceil(2) && rows.iter().all(|row| row.len() == depth));
        let (sixteen, upper) = (simd.splat_u32s(16), simd.splat_u32s(UPPER));
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
        // A macro, because loops and functions keep the sums in memory.
        macro_rules! step {
            ($k:expr, $b:expr) => {
                next.prefetch();
                for i in 0..ROWS {
                    // SAFETY: `k` is below the depth, which is every row's length.
                    let a = simd.splat_f32s(unsafe { *rows[i].get_unchecked($k) });
                    for j in 0..VECTORS {
                        sums[i][j] = multiply_add(simd, a, $b[j], sums[i][j]);
                    }
                }
            };
        }
        let mut numbers = [simd.splat_f32s(0.0); VECTORS];
        for (pair, bits) in panel[..depth / 2].iter().enumerate() {
            for j in 0..VECTORS {
                numbers[j] = simd.transmute_f32s_u32s(simd.wrapping_dyn_shl_u32s(bits[j], sixteen));
            }
            step!(2 * pair, numbers);
            for j in 0..VECTORS {
                numbers[j] = simd.transmute_f32s_u32s(simd.and_u32s(bits[j], upper));
            }
            step!(2 * pair + 1, numbers);
        }
        if depth % 2 == 1 {
            for j in 0..VECTORS {
                numbers[j] = simd.transmute_f32s_u32s(simd.wrapping_dyn_shl_u32s(panel[depth / 2][j], sixteen));
            }
            step!(depth - 1, numbers);
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::matmul::{MatmulScratch, matmul};
    use crate::kernels::testing::noise;

    /// Weights that bfloat16 holds exactly give the bits of float32, with few rows and with many.
    #[test]
    fn products_have_the_bits_of_float32_with_rounded_weights() {
        for isa in Isa::available().into_iter().filter(|isa| isa.name() != "amx") {
            for (rows, depth) in [1, 7, 12, 24, 25, 40].into_iter().flat_map(|rows| [1, 2, 31, 70].map(|d| (rows, d))) {
                for columns in [1, 16, 31, 48, 130] {
                    let (x, bias) = (noise(rows * depth, 1), noise(columns, 3));
                    let weights: Vec<f32> =
                        noise(columns * depth, 2).iter().map(|x| f32::from_bits(rounded(*x) << 16)).collect();
                    let (x, weights) = (Rows::packed(&x, depth), [Rows::packed(&weights, depth)]);
                    let epilogue = Epilogue { bias: &bias, ..Epilogue::default() };
                    let [mut got, mut expected] = [vec![f32::NAN; rows * columns], vec![0.0; rows * columns]];
                    let packed = Bf16Panels::transposed(isa, &weights).unwrap();
                    let out = RowsMut::packed(&mut got, columns);
                    packed.product(isa, x, 0..packed.count(), epilogue, &mut Buffer::default(), out);
                    let panels = Panels::transposed(isa, &weights).unwrap();
                    let out = RowsMut::packed(&mut expected, columns);
                    matmul(isa, x, &panels, 0..panels.count(), epilogue, &mut MatmulScratch::default(), out);
                    assert!(got == expected, "{} {rows}x{depth}x{columns}", isa.name());
                }
            }
        }
    }

    #[test]
    fn numbers_are_rounded_to_even() {
        for (x, bits) in [(1.0, 0x3F80), (1.0 + 1.0 / 256.0, 0x3F80), (1.0 + 3.0 / 256.0, 0x3F82), (-1.0, 0xBF80)] {
            assert_eq!(rounded(x), bits, "{x}");
        }
        assert!(f32::from_bits(rounded(f32::NAN) << 16).is_nan());
    }
}
