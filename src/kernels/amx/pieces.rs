//! Splits numbers into pieces: a float32 is the exact sum of three bfloat16.

use std::ops::Range;

use bytemuck::cast;
use pulp::x86::V4;
use pulp::{Simd, f32x16, u32x16};

use super::VECTORS;
use super::registers::{SIDE, Tile};
use crate::kernels::matmul::load;
use crate::kernels::panels::Panels;
use crate::kernels::prefetch::prefetch;
use crate::kernels::rows::Rows;

/// Length of the inner dimension of one product of tiles.
pub(super) const STEP: usize = 2 * SIDE;
/// Number of bfloat16 in a float32.
pub(super) const PIECES: usize = 3;
/// Rows of a panel to prefetch.
const AHEAD: usize = 32;

/// Pieces of the left side: a tile of rows, one step.
pub(super) type Left = [Tile; PIECES];
/// Pieces of the right side: one step, the columns of a panel.
pub(super) type Right = [[Tile; VECTORS]; PIECES];

/// Splits rows into pieces, `steps` tiles for each tile of rows.
#[inline(always)]
pub(super) fn split_left(simd: V4, rows: Rows<'_>, left: &mut [Left], steps: usize) {
    for (tile, left) in left.chunks_mut(steps).enumerate().take(rows.count().div_ceil(SIDE)) {
        let first = tile * SIDE;
        let rows = rows.range(first..rows.count().min(first + SIDE));
        for (step, left) in left.iter_mut().enumerate() {
            let columns = rows.columns(step * STEP..rows.width().min((step + 1) * STEP));
            for i in 0..columns.count() {
                let [x, y] = load(simd, columns.row(i));
                let pieces = split(simd, x, y);
                for p in 0..PIECES {
                    left[p].0[i] = pieces[p];
                }
            }
        }
    }
}

/// Rows of a panel that are split into pieces, a few at a time.
#[derive(Default)]
pub(super) struct RightBlock<'a> {
    /// The numbers, row after row.
    numbers: &'a [f32x16],
    vectors: usize,
    /// Number of pairs of rows already split.
    done: usize,
}

impl<'a> RightBlock<'a> {
    #[inline(always)]
    pub(super) fn new(b: &'a Panels, panel: usize, rows: Range<usize>) -> Self {
        let panel = b.panel(panel);
        let width = panel.len() / b.depth();
        let (numbers, _) = V4::as_simd_f32s(&panel[rows.start * width..rows.end * width]);
        Self { numbers, vectors: width / SIDE, done: 0 }
    }

    /// Splits at most `count` pairs of rows.
    #[inline(always)]
    pub(super) fn split(&mut self, simd: V4, to: &mut [Right], count: usize) {
        match self.vectors {
            0 => {}
            1 => self.split_rows::<1>(simd, to, count),
            _ => self.split_rows::<2>(simd, to, count),
        }
    }

    #[inline(always)]
    fn split_rows<const VECTORS: usize>(&mut self, simd: V4, to: &mut [Right], count: usize) {
        let (rows, _) = self.numbers.as_chunks::<VECTORS>();
        let end = (rows.len().div_ceil(STEP) * SIDE).min(self.done.saturating_add(count));
        let zeros = [simd.splat_f32s(0.0); VECTORS];
        for pair in self.done..end {
            let (step, i) = (pair / SIDE, pair % SIDE);
            let first = step * STEP + i;
            let second = first + SIDE;
            prefetch(rows, first + AHEAD);
            prefetch(rows, second + AHEAD);
            let x = rows.get(first).unwrap_or(&zeros);
            let y = rows.get(second).unwrap_or(&zeros);
            for j in 0..VECTORS {
                let pieces = split(simd, x[j], y[j]);
                for p in 0..PIECES {
                    to[step][p][j].0[i] = pieces[p];
                }
            }
        }
        self.done = self.done.max(end);
    }
}

/// Splits two vectors into pairs of bfloat16: pieces of `x` in the low halves, of `y` in the high ones. Each piece is the
/// upper half of the remaining float32.
///
/// A product of tiles sums over pairs. The choice of pairs doesn't matter, as long as both sides have the same.
#[inline(always)]
fn split(simd: V4, mut x: f32x16, mut y: f32x16) -> [u32x16; PIECES] {
    let upper = simd.splat_u32s(0xFFFF_0000);
    let mut pieces = [simd.splat_u32s(0); PIECES];
    for piece in &mut pieces {
        let (low, high) = (simd.and_u32s(cast(x), upper), simd.and_u32s(cast(y), upper));
        *piece = simd.or_u32s(simd.wrapping_dyn_shr_u32s(low, simd.splat_u32s(16)), high);
        (x, y) = (simd.sub_f32s(x, cast(low)), simd.sub_f32s(y, cast(high)));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::noise;

    #[test]
    fn pieces_are_bfloat16_that_add_up_to_the_number() {
        let Some(simd) = V4::try_new() else { return };
        let mut numbers = noise(10_000, 9);
        // Sizes whose smallest piece is not subnormal.
        for (i, x) in numbers.iter_mut().enumerate() {
            *x *= 2f32.powi(i as i32 % 220 - 100);
        }
        numbers.extend([0.0, -0.0, 1.0, f32::MAX, f32::MIN, f32::from_bits(0x3FFF_FFFF), 1e-30]);
        numbers.resize(numbers.len().next_multiple_of(STEP), 0.0);
        for numbers in numbers.as_chunks::<STEP>().0 {
            let [x, y]: [[f32; SIDE]; 2] = cast(*numbers);
            let pieces = split(simd, cast(x), cast(y)).map(cast::<_, [[u16; 2]; SIDE]>);
            for (i, both) in x.into_iter().zip(y).enumerate() {
                for (half, number) in [both.0, both.1].into_iter().enumerate() {
                    let sum: f64 = pieces.iter().map(|p| f64::from(f32::from_bits(u32::from(p[i][half]) << 16))).sum();
                    assert_eq!(sum, f64::from(number));
                }
            }
        }
    }
}
