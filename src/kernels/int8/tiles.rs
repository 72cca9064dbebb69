//! Product of quantized rows with quantized weights. A tile is several rows by one panel; its sums are exact.

use super::codes::QuantizedRows;
use super::dot::{Dot, DotInstructions};
use super::{Int8Weight, MAX_WIDTH};
use crate::kernels::matmul::Epilogue;
use crate::kernels::prefetch::{LINE, prefetch_behind};
use crate::kernels::rows::RowsMut;

/// One panel of a product: `x · weightᵀ`, then bias and residual.
pub(super) struct Strip<'a> {
    pub(super) x: &'a QuantizedRows,
    pub(super) weight: &'a Int8Weight,
    pub(super) panel: usize,
    /// Bias and residual of the panel's columns. Its activation isn't applied.
    pub(super) epilogue: Epilogue<'a>,
    pub(super) out: RowsMut<'a>,
}

impl DotInstructions {
    /// Computes a strip.
    #[inline]
    pub(super) fn run(self, strip: Strip<'_>) {
        match self {
            Self::Plain(dot) => strip.tiles::<_, 4, 2>(dot),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the value proves that the machine has the instructions.
            #[expect(unsafe_code, reason = "instruction sets of this machine")]
            Self::Avx2(dot) => unsafe { by_avx2(dot, strip) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the value proves that the machine has the instructions.
            #[expect(unsafe_code, reason = "instruction sets of this machine")]
            Self::AvxVnni(dot) => unsafe { by_avx_vnni(dot, strip) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the value proves that the machine has the instructions.
            #[expect(unsafe_code, reason = "instruction sets of this machine")]
            Self::Avx512Vnni(dot) => unsafe { by_avx512_vnni(dot, strip) },
            #[cfg(target_arch = "aarch64")]
            Self::Sdot(dot) => strip.tiles::<_, 8, 3>(dot),
        }
    }

    /// Returns lanes and vectors of a panel.
    #[inline(always)]
    pub(super) fn panel(self) -> (usize, usize) {
        match self {
            Self::Plain(_) => (4, 2),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) | Self::AvxVnni(_) => (8, 2),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni(_) => (16, 3),
            #[cfg(target_arch = "aarch64")]
            Self::Sdot(_) => (4, 3),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn by_avx2(dot: super::dot::Avx2, strip: Strip<'_>) {
    // A product takes a register for the sums of pairs, and there is one for the ones that add them.
    strip.tiles::<_, 4, 2>(dot);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,avxvnni")]
fn by_avx_vnni(dot: super::dot::AvxVnni, strip: Strip<'_>) {
    strip.tiles::<_, 6, 2>(dot);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn by_avx512_vnni(dot: super::dot::Avx512Vnni, strip: Strip<'_>) {
    strip.tiles::<_, 8, 3>(dot);
}

impl Strip<'_> {
    /// Computes all rows in tiles of at most `ROWS`.
    #[inline(always)]
    fn tiles<D: Dot, const ROWS: usize, const VECTORS: usize>(self, dot: D) {
        let panel = self.weight.panel(self.panel);
        let vectors = panel.len() / (self.weight.groups() * D::LANES).max(1);
        match vectors {
            3 if VECTORS == 3 => self.tiles_of::<D, ROWS, 3>(dot, panel),
            2 => self.tiles_of::<D, ROWS, 2>(dot, panel),
            1 => self.tiles_of::<D, ROWS, 1>(dot, panel),
            vectors => unreachable!("a panel of {vectors} vectors"),
        }
    }

    #[inline(always)]
    fn tiles_of<D: Dot, const ROWS: usize, const VECTORS: usize>(mut self, dot: D, panel: &[u32]) {
        let mut first = 0;
        while first < self.x.count() {
            let rows = self.x.count() - first;
            match rows {
                7.. if ROWS == 8 => self.tile::<D, 8, VECTORS>(dot, panel, first),
                5.. if ROWS >= 6 => self.tile::<D, 6, VECTORS>(dot, panel, first),
                3.. => self.tile::<D, 4, VECTORS>(dot, panel, first),
                _ => self.tile::<D, 2, VECTORS>(dot, panel, first),
            }
            first += match rows {
                7.. if ROWS == 8 => 8,
                5.. if ROWS >= 6 => 6,
                3.. => 4,
                _ => 2,
            };
        }
    }

    /// Computes up to `ROWS` rows; the last one stands in for those that lack.
    #[inline(always)]
    fn tile<D: Dot, const ROWS: usize, const VECTORS: usize>(&mut self, dot: D, panel: &[u32], first: usize) {
        let last = self.x.count() - 1;
        let rows: [&[u32]; ROWS] = std::array::from_fn(|i| self.x.row((first + i).min(last)));
        let sums = sums::<D, ROWS, VECTORS>(dot, rows, panel, first / ROWS);
        for (row, sums) in (first..=last).zip(sums) {
            self.finish::<D, VECTORS>(dot, row, sums);
        }
    }

    /// Stores the numbers that a row's sums stand for, with bias and residual.
    #[inline(always)]
    fn finish<D: Dot, const VECTORS: usize>(&mut self, dot: D, row: usize, sums: [D::Lanes; VECTORS]) {
        let first = self.weight.columns_of(self.panel..self.panel + 1).start;
        let (steps, totals, offsets) = self.weight.scales(first);
        let Epilogue { bias, residual, .. } = self.epilogue;
        let residual = residual.map(|residual| residual.row(row));
        let (scale, out) = (self.x.scale(row), self.out.row(row));
        if out.len() == VECTORS * D::LANES {
            for (j, sums) in sums.into_iter().enumerate() {
                let column = j * D::LANES;
                let mut numbers = dot.numbers(sums, scale, &totals[column..], &steps[column..]);
                numbers = dot.plus(numbers, &offsets[column..]);
                if !bias.is_empty() {
                    numbers = dot.plus(numbers, &bias[column..]);
                }
                if let Some(residual) = residual {
                    numbers = dot.plus(numbers, &residual[column..]);
                }
                dot.store(numbers, &mut out[column..]);
            }
            return;
        }
        let mut whole = [0.0; MAX_WIDTH];
        for (j, sums) in sums.into_iter().enumerate() {
            let column = j * D::LANES;
            let numbers = dot.numbers(sums, scale, &totals[column..], &steps[column..]);
            dot.store(dot.plus(numbers, &offsets[column..]), &mut whole[column..]);
        }
        out.copy_from_slice(&whole[..out.len()]);
        out.iter_mut().zip(bias).for_each(|(x, bias)| *x += bias);
        if let Some(residual) = residual {
            out.iter_mut().zip(residual).for_each(|(x, residual)| *x += residual);
        }
    }
}

/// Computes the sums of a tile: four codes of each row times four weights of each column, group after group.
#[inline(always)]
#[expect(unsafe_code, reason = "bounds checks in the innermost loop keep the sums out of registers")]
#[expect(clippy::needless_range_loop, reason = "iterators and closures keep the sums out of registers, too")]
fn sums<D: Dot, const ROWS: usize, const VECTORS: usize>(
    dot: D,
    rows: [&[u32]; ROWS],
    panel: &[u32],
    tile: usize,
) -> [[D::Lanes; VECTORS]; ROWS] {
    let width = VECTORS * D::LANES;
    let groups = panel.len() / width;
    assert!(rows.iter().all(|row| row.len() == groups));
    // The first tiles prefetch the next panel, which follows this one in memory, one cache line for each group.
    let behind = tile * groups * LINE;
    let behind = if behind < size_of_val(panel) { behind } else { 0 };
    let mut sums = [[dot.zeros(); VECTORS]; ROWS];
    for group in 0..groups {
        prefetch_behind(panel, behind + group * LINE);
        let mut weights = [dot.zeros(); VECTORS];
        for j in 0..VECTORS {
            // SAFETY: the panel has `groups * VECTORS` vectors of as many numbers as there are lanes.
            weights[j] = unsafe { dot.load(panel.get_unchecked(group * width + j * D::LANES..)) };
        }
        for i in 0..ROWS {
            // SAFETY: every row has `groups` numbers.
            let codes = dot.splat(unsafe { *rows[i].get_unchecked(group) });
            for j in 0..VECTORS {
                sums[i][j] = dot.add(sums[i][j], codes, weights[j]);
            }
        }
    }
    sums
}
