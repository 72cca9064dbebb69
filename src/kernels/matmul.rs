//! The matrix product on packed weights, with what follows it done while a tile is still at hand.
//!
//! The right side is packed once into panels of a few vectors of columns. A tile is a few rows by one panel, kept
//! in registers over the whole inner dimension, so every output is one sum in the order of that dimension, whatever the
//! tile it falls in.

use pulp::{Simd, WithSimd};

use super::Isa;
use super::activation;
use super::buffer::Buffer;
use crate::config::Activation;

/// A matrix `(depth, columns)` for the right side of a product, in panels padded with zero columns.
pub(crate) struct Packed {
    panels: Buffer,
    depth: usize,
    columns: usize,
    width: usize,
}

impl Packed {
    /// Packs a linear layer's weight, `(outputs, inputs)`: its transpose is the right side.
    pub(crate) fn transposed(isa: Isa, weight: &[f32], outputs: usize, inputs: usize) -> Self {
        let mut packed = Self::empty(isa);
        packed.pack_transposed(weight, inputs, outputs, inputs);
        packed
    }

    /// Room for a matrix to come.
    pub(crate) fn empty(isa: Isa) -> Self {
        Self { panels: Buffer::default(), depth: 0, columns: 0, width: panel_width(isa) }
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    fn reshape(&mut self, depth: usize, columns: usize) {
        (self.depth, self.columns) = (depth, columns);
        self.panels.resize(columns.div_ceil(self.width) * self.width * depth);
    }

    /// Packs the transpose of `columns` rows of `depth` numbers, which begin `stride` apart.
    pub(crate) fn pack_transposed(&mut self, rows: &[f32], stride: usize, columns: usize, depth: usize) {
        self.reshape(depth, columns);
        let width = self.width;
        for (panel, first) in self.panels.chunks_exact_mut((width * depth).max(1)).zip((0..).step_by(width)) {
            for column in 0..width {
                let source = match first + column {
                    row if row < columns => &rows[row * stride..][..depth],
                    _ => &[],
                };
                let target = panel[column..].iter_mut().step_by(width);
                target.zip(source.iter().copied().chain(std::iter::repeat(0.0))).for_each(|(to, x)| *to = x);
            }
        }
    }

    /// Packs `depth` rows of `columns` numbers, which begin `stride` apart, as they are.
    pub(crate) fn pack(&mut self, rows: &[f32], stride: usize, depth: usize, columns: usize) {
        self.reshape(depth, columns);
        let width = self.width;
        for (panel, first) in self.panels.chunks_exact_mut((width * depth).max(1)).zip((0..).step_by(width)) {
            let used = width.min(columns - first);
            for (to, row) in panel.chunks_exact_mut(width).zip(0..depth) {
                to[..used].copy_from_slice(&rows[row * stride + first..][..used]);
                to[used..].fill(0.0);
            }
        }
    }
}

/// Columns of a panel.
fn panel_width(isa: Isa) -> usize {
    struct Width;
    impl WithSimd for Width {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES * if many_registers::<S>() { 3 } else { 2 }
        }
    }
    isa.run(Width)
}

/// Whether tiles are 8 rows by 3 vectors, or 6 rows by 2: the sums, a panel's vectors and a broadcast must fit into the
/// registers, with one to spare.
const fn many_registers<S: Simd>() -> bool {
    S::REGISTER_COUNT >= 32
}

/// What becomes of a product's sums before they are stored.
#[derive(Clone, Copy, Default)]
pub(crate) struct Epilogue<'a> {
    /// Added to every row: `columns` numbers, or none.
    pub(crate) bias: &'a [f32],
    /// Applied after the bias.
    pub(crate) activation: Activation,
    /// Added last: laid out as the output, or empty.
    pub(crate) residual: &'a [f32],
}

/// The left side of a product: rows that begin `stride` apart.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) stride: usize,
    pub(crate) count: usize,
}

/// `out = epilogue(a · b)`; the output's rows begin `out_stride` apart.
pub(crate) fn matmul(isa: Isa, a: Rows<'_>, b: &Packed, epilogue: Epilogue<'_>, out: &mut [f32], out_stride: usize) {
    isa.run(Product { a, b, epilogue, out, out_stride });
}

struct Product<'a> {
    a: Rows<'a>,
    b: &'a Packed,
    epilogue: Epilogue<'a>,
    out: &'a mut [f32],
    out_stride: usize,
}

impl WithSimd for Product<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        multiply(simd, self.a, self.b, self.epilogue, self.out, self.out_stride);
    }
}

/// [`matmul`] for kernels that have chosen their instruction set.
#[inline(always)]
pub(crate) fn multiply<S: Simd>(
    simd: S,
    a: Rows<'_>,
    b: &Packed,
    epilogue: Epilogue<'_>,
    out: &mut [f32],
    out_stride: usize,
) {
    let product = Product { a, b, epilogue, out, out_stride };
    if many_registers::<S>() { product.by_strips::<S, 8, 3>(simd) } else { product.by_strips::<S, 6, 2>(simd) }
}

impl Product<'_> {
    /// All rows by one panel, then by the next.
    #[inline(always)]
    fn by_strips<S: Simd, const ROWS: usize, const VECTORS: usize>(self, simd: S) {
        let Self { a, b, epilogue, out, out_stride } = self;
        let panels = S::as_simd_f32s(&b.panels).0.as_chunks::<VECTORS>().0;
        for (panel, column) in panels.chunks_exact(b.depth.max(1)).zip((0..).step_by(b.width)) {
            let columns = column..b.columns.min(column + b.width);
            let bias = if epilogue.bias.is_empty() { &[] } else { &epilogue.bias[columns.clone()] };
            let bias = load(simd, bias);
            Strip { a, panel, columns, bias, epilogue, out: &mut *out, out_stride }.run::<ROWS>(simd);
        }
    }
}

/// Up to a panel's width of numbers; zeros where there are fewer.
#[inline(always)]
fn load<S: Simd, const VECTORS: usize>(simd: S, numbers: &[f32]) -> [S::f32s; VECTORS] {
    let (vectors, _) = S::as_simd_f32s(numbers);
    match vectors.first_chunk() {
        Some(all) => *all,
        None => {
            let mut loaded = [simd.splat_f32s(0.0); VECTORS];
            for (vector, part) in loaded.iter_mut().zip(numbers.chunks(S::F32_LANES)) {
                *vector = simd.partial_load_f32s(part);
            }
            loaded
        }
    }
}

/// Stores as many numbers as there is room for.
#[inline(always)]
fn store<S: Simd, const VECTORS: usize>(simd: S, numbers: [S::f32s; VECTORS], out: &mut [f32]) {
    let (vectors, _) = S::as_mut_simd_f32s(out);
    match vectors.first_chunk_mut() {
        Some(all) => *all = numbers,
        None => {
            for (vector, part) in numbers.into_iter().zip(out.chunks_mut(S::F32_LANES)) {
                simd.partial_store_f32s(part, vector);
            }
        }
    }
}

/// All rows by one panel.
struct Strip<'a, S: Simd, const VECTORS: usize> {
    a: Rows<'a>,
    panel: &'a [[S::f32s; VECTORS]],
    columns: std::ops::Range<usize>,
    bias: [S::f32s; VECTORS],
    epilogue: Epilogue<'a>,
    out: &'a mut [f32],
    out_stride: usize,
}

impl<S: Simd, const VECTORS: usize> Strip<'_, S, VECTORS> {
    #[inline(always)]
    fn run<const ROWS: usize>(&mut self, simd: S) {
        let mut row = 0;
        while row + ROWS <= self.a.count {
            self.tile::<ROWS>(simd, row);
            row += ROWS;
        }
        match self.a.count - row {
            7 => self.tile::<7>(simd, row),
            6 => self.tile::<6>(simd, row),
            5 => self.tile::<5>(simd, row),
            4 => self.tile::<4>(simd, row),
            3 => self.tile::<3>(simd, row),
            2 => self.tile::<2>(simd, row),
            1 => self.tile::<1>(simd, row),
            _ => {}
        }
    }

    #[inline(always)]
    fn tile<const ROWS: usize>(&mut self, simd: S, first: usize) {
        // By value: were a row reached through the array's address, the sums would be kept in memory, not in registers.
        for (i, sums) in self.sums::<ROWS>(simd, first).into_iter().enumerate() {
            self.finish(simd, first + i, sums);
        }
    }

    /// The sums of a tile: a broadcast of each row's number times a vector of the panel, in the order of the inner
    /// dimension.
    #[inline(always)]
    #[expect(unsafe_code, reason = "bounds checks in the innermost loop keep the sums out of registers")]
    fn sums<const ROWS: usize>(&self, simd: S, first: usize) -> [[S::f32s; VECTORS]; ROWS] {
        let depth = self.panel.len();
        let rows: [&[f32]; ROWS] = std::array::from_fn(|i| &self.a.data[(first + i) * self.a.stride..][..depth]);
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
        for (k, b) in self.panel.iter().enumerate() {
            for i in 0..ROWS {
                // SAFETY: every row has `depth` numbers, as many as the panel has entries, and `k` counts those.
                let a = simd.splat_f32s(unsafe { *rows[i].get_unchecked(k) });
                for j in 0..VECTORS {
                    sums[i][j] = simd.mul_add_e_f32s(a, b[j], sums[i][j]);
                }
            }
        }
        sums
    }

    /// The epilogue of one row of a tile.
    #[inline(always)]
    fn finish(&mut self, simd: S, row: usize, mut sums: [S::f32s; VECTORS]) {
        let Epilogue { bias, activation, residual } = self.epilogue;
        let place = row * self.out_stride + self.columns.start..row * self.out_stride + self.columns.end;
        if !bias.is_empty() {
            add(simd, &mut sums, &self.bias);
        }
        activation::apply(simd, activation, &mut sums);
        if !residual.is_empty() {
            add(simd, &mut sums, &load(simd, &residual[place.clone()]));
        }
        store(simd, sums, &mut self.out[place]);
    }
}

#[inline(always)]
fn add<S: Simd, const VECTORS: usize>(simd: S, sums: &mut [S::f32s; VECTORS], more: &[S::f32s; VECTORS]) {
    for (sum, x) in sums.iter_mut().zip(more) {
        *sum = simd.add_f32s(*sum, *x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{largest_difference, noise};

    /// `act(a · wᵀ + bias) + residual` in float64.
    fn truth(a: &[f32], w: &[f32], depth: usize, columns: usize, bias: &[f32], residual: &[f32]) -> Vec<f64> {
        let dot = |a: &[f32], w: &[f32]| a.iter().zip(w).map(|(a, w)| f64::from(*a) * f64::from(*w)).sum::<f64>();
        let mut out = Vec::new();
        for a in a.chunks(depth) {
            for (w, bias) in w.chunks(depth).zip(bias) {
                let residual = f64::from(residual[out.len()]);
                out.push((dot(a, w) + f64::from(*bias)).max(0.0) + residual);
            }
        }
        assert_eq!(out.len(), a.len() / depth * columns);
        out
    }

    #[test]
    fn products_of_all_small_shapes_agree_with_float64() {
        for isa in Isa::available() {
            for (rows, depth, columns) in
                (1..=17).flat_map(|r| [1, 3, 32].map(|d| [1, 5, 24, 47, 48, 50].map(|c| (r, d, c)))).flatten()
            {
                let (a, w) = (noise(rows * depth, 1), noise(columns * depth, 2));
                let (bias, residual) = (noise(columns, 3), noise(rows * columns, 4));
                let packed = Packed::transposed(isa, &w, columns, depth);
                let mut out = vec![f32::NAN; rows * columns];
                let epilogue = Epilogue { bias: &bias, activation: Activation::Relu, residual: &residual };
                matmul(isa, Rows { data: &a, stride: depth, count: rows }, &packed, epilogue, &mut out, columns);
                let error = largest_difference(&out, &truth(&a, &w, depth, columns, &bias, &residual));
                assert!(error < 3e-6, "{} {rows}x{depth}x{columns}: {error}", isa.name());
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_in_any_tile() {
        for isa in Isa::available() {
            let (rows, depth, columns) = (23, 130, 75);
            let (a, w) = (noise(rows * depth, 5), noise(columns * depth, 6));
            let packed = Packed::transposed(isa, &w, columns, depth);
            let product = |first: usize, count: usize| {
                let mut out = vec![0.0; count * columns];
                let rows = Rows { data: &a[first * depth..], stride: depth, count };
                matmul(isa, rows, &packed, Epilogue::default(), &mut out, columns);
                out
            };
            let all = product(0, rows);
            for first in 0..rows {
                for count in 1..=rows - first {
                    let part = product(first, count);
                    assert!(part == all[first * columns..(first + count) * columns], "{} {first}+{count}", isa.name());
                }
            }
        }
    }

    #[test]
    fn both_ways_of_packing_give_the_same_product() {
        for isa in Isa::available() {
            let (rows, depth, columns) = (9, 20, 33);
            let (a, w) = (noise(rows * depth, 7), noise(columns * depth, 8));
            let straight: Vec<f32> = (0..depth * columns).map(|i| w[i % columns * depth + i / columns]).collect();
            let transposed = Packed::transposed(isa, &w, columns, depth);
            let mut as_is = Packed::empty(isa);
            // Packed into a buffer that held something larger before.
            as_is.pack(&noise(4000, 9), 50, 80, 50);
            as_is.pack(&straight, columns, depth, columns);
            let product = |b: &Packed| {
                let mut out = vec![0.0; rows * columns];
                let a = Rows { data: &a, stride: depth, count: rows };
                matmul(isa, a, b, Epilogue::default(), &mut out, columns);
                out
            };
            assert!(product(&transposed) == product(&as_is));
        }
    }

    #[test]
    fn not_a_number_stays_in_its_row() {
        for isa in Isa::available() {
            let mut a = noise(10 * 16, 1);
            a[3 * 16 + 2] = f32::NAN;
            a[5 * 16] = f32::INFINITY;
            let packed = Packed::transposed(isa, &[1.0; 16 * 48], 48, 16);
            let mut out = vec![0.0; 10 * 48];
            let rows = Rows { data: &a, stride: 16, count: 10 };
            matmul(isa, rows, &packed, Epilogue::default(), &mut out, 48);
            for (i, row) in out.chunks(48).enumerate() {
                let right = |x: &f32| if i == 3 { x.is_nan() } else { x.is_infinite() == (i == 5) && !x.is_nan() };
                assert!(row.iter().all(right), "{} row {i}", isa.name());
            }
        }
    }
}
