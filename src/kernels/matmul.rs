//! Matrix product of rows with float32 panels, followed by an epilogue: bias, residual, activation.
//!
//! A tile is several rows by one panel. Its sums stay in registers over the whole inner dimension, so every output is
//! one sum in the order of that dimension, for any tile it falls in.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::Isa;
use super::activation;
#[cfg(target_arch = "x86_64")]
use super::amx;
use super::panels::Panels;
use super::prefetch::{LINE, prefetch, prefetch_behind};
use super::rows::{Rows, RowsMut};
use crate::config::Activation;

/// Rows of a panel to prefetch. A tile reads a whole panel, which is larger than the first-level cache.
const AHEAD: usize = 8;

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
            strip_of_floats(simd, a, b.panel(panel), start, epilogue.columns(columns), out);
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
    panel: &[f32],
    start: Accumulate,
    epilogue: Epilogue<'_>,
    out: RowsMut<'_>,
) {
    struct Floats<'a>(Rows<'a>, &'a [f32], Accumulate, Epilogue<'a>, RowsMut<'a>);
    impl WithSimd for Floats<'_> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let Self(a, panel, start, epilogue, out) = self;
            strip(simd, a, panel, start, epilogue, out);
        }
    }
    simd.vectorize(Floats(a, panel, start, epilogue, out));
}

/// Computes the product of all rows with one panel, whose numbers are in some form.
#[inline(always)]
pub(super) fn strip<S: Simd>(
    simd: S,
    a: Rows<'_>,
    panel: impl PanelForm<S>,
    start: Accumulate,
    epilogue: Epilogue<'_>,
    mut out: RowsMut<'_>,
) {
    match out.width().div_ceil(S::F32_LANES) {
        // Panels are this wide only for instruction sets with 32 registers: see `Isa::panel_vectors`.
        3 if S::REGISTER_COUNT >= 32 => {
            Strip::<S, _, 3>::new(simd, a, panel, start, epilogue, out.reborrow()).run(simd)
        }
        2 => Strip::<S, _, 2>::new(simd, a, panel, start, epilogue, out.reborrow()).run(simd),
        1 => Strip::<S, _, 1>::new(simd, a, panel, start, epilogue, out.reborrow()).run(simd),
        vectors => unreachable!("a panel of {vectors} vectors"),
    }
    // Measured: slower within a tile, whose registers are full of sums.
    activation::apply(simd, epilogue.activation, out);
}

/// Form of a panel's numbers.
pub(super) trait PanelForm<S: Simd>: Copy {
    /// Computes the sums of a tile, each in the order of the inner dimension: a broadcast of each row's number times a vector
    /// of the panel. `tile` is the tile's index in the strip.
    ///
    /// # Panics
    /// Panics if the rows are not as wide as the panel is deep.
    fn sums<const ROWS: usize, const VECTORS: usize>(
        self,
        simd: S,
        rows: [&[f32]; ROWS],
        tile: usize,
    ) -> [[S::f32s; VECTORS]; ROWS];
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

/// Rows of a tile. Its sums, a panel's vectors and a broadcast must fit into the registers, and the sums must be enough for
/// multiply-adds to overlap.
const fn tile_rows<S: Simd>(vectors: usize) -> usize {
    match (S::REGISTER_COUNT, vectors) {
        (32.., _) | (_, 1) => 8,
        _ => 6,
    }
}

/// All rows by one panel.
struct Strip<'a, S: Simd, P, const VECTORS: usize> {
    a: Rows<'a>,
    panel: P,
    start: Accumulate,
    bias: [S::f32s; VECTORS],
    epilogue: Epilogue<'a>,
    out: RowsMut<'a>,
}

impl<'a, S: Simd, P: PanelForm<S>, const VECTORS: usize> Strip<'a, S, P, VECTORS> {
    #[inline(always)]
    fn new(simd: S, a: Rows<'a>, panel: P, start: Accumulate, epilogue: Epilogue<'a>, out: RowsMut<'a>) -> Self {
        Self { a, panel, start, bias: load(simd, epilogue.bias), epilogue, out }
    }

    #[inline(always)]
    fn run(mut self, simd: S) {
        match tile_rows::<S>(VECTORS) {
            8 => self.tiles::<8>(simd),
            _ => self.tiles::<6>(simd),
        }
    }

    #[inline(always)]
    fn tiles<const ROWS: usize>(&mut self, simd: S) {
        let rest = self.a.count() % ROWS;
        let whole = self.a.count() - rest;
        for row in (0..whole).step_by(ROWS) {
            self.tile::<ROWS>(simd, row);
        }
        match rest {
            7 => self.tile::<7>(simd, whole),
            6 => self.tile::<6>(simd, whole),
            5 => self.tile::<5>(simd, whole),
            4 => self.tile::<4>(simd, whole),
            3 => self.tile::<3>(simd, whole),
            2 => self.tile::<2>(simd, whole),
            1 => self.tile::<1>(simd, whole),
            _ => {}
        }
    }

    #[inline(always)]
    fn tile<const ROWS: usize>(&mut self, simd: S, first: usize) {
        let mut rows: [&[f32]; ROWS] = [&[]; ROWS];
        for (i, row) in rows.iter_mut().enumerate() {
            *row = self.a.row(first + i);
        }
        for (row, mut sums) in (first..).zip(self.panel.sums::<ROWS, VECTORS>(simd, rows, first / ROWS)) {
            add(simd, &mut sums, &self.bias);
            if self.start == Accumulate::Output {
                add(simd, &mut sums, &load(simd, self.out.row(row)));
            }
            if let Some(residual) = self.epilogue.residual {
                add(simd, &mut sums, &load(simd, residual.row(row)));
            }
            store(simd, sums, self.out.row(row));
        }
    }
}

impl<S: Simd> PanelForm<S> for &[f32] {
    #[inline(always)]
    #[expect(unsafe_code, reason = "bounds checks in the innermost loop keep the sums out of registers")]
    #[expect(clippy::needless_range_loop, reason = "iterators and closures keep the sums out of registers, too")]
    fn sums<const ROWS: usize, const VECTORS: usize>(
        self,
        simd: S,
        mut rows: [&[f32]; ROWS],
        tile: usize,
    ) -> [[S::f32s; VECTORS]; ROWS] {
        let panel = S::as_simd_f32s(self).0.as_chunks::<VECTORS>().0;
        for i in 0..ROWS {
            assert!(rows[i].len() == panel.len());
            rows[i] = &rows[i][..panel.len()];
        }
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
        // A macro, because loops and functions keep the sums in memory.
        macro_rules! step {
            ($k:expr, $b:expr) => {
                for i in 0..ROWS {
                    // SAFETY: `k` is below the panel's length, and every row was cut to that length above.
                    let a = simd.splat_f32s(unsafe { *rows[i].get_unchecked($k) });
                    for j in 0..VECTORS {
                        sums[i][j] = simd.mul_add_e_f32s(a, $b[j], sums[i][j]);
                    }
                }
            };
        }
        // Two steps for each check of the end, because a check takes the slot of a multiply-add.
        let (pairs, rest) = panel.as_chunks::<2>();
        // The first tiles prefetch the next panel, which follows this one in memory. One cache line for two steps: prefetching
        // it all at once would stall on memory.
        let behind = tile * pairs.len() * LINE;
        let behind = if behind < size_of_val(panel) { behind } else { 0 };
        let mut k = 0;
        for [b, next] in pairs {
            prefetch(panel, k + AHEAD);
            step!(k, b);
            k = apart(k + 1);
            prefetch_behind(panel, behind + k * (LINE / 2));
            prefetch(panel, k + AHEAD);
            step!(k, next);
            k += 1;
        }
        if let [b] = rest {
            step!(k, b);
        }
        sums
    }
}

/// Returns `k` unchanged, but hides its value from the compiler, so that loads that need it aren't moved up.
#[inline(always)]
fn apart(mut k: usize) -> usize {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    #[expect(unsafe_code, reason = "assembly")]
    // SAFETY: the assembly has no instructions.
    unsafe {
        std::arch::asm!("/* {} */", inout(reg) k, options(nostack, preserves_flags));
    }
    k
}

/// Loads up to a panel's width of numbers, zeros after the last.
#[inline(always)]
pub(super) fn load<S: Simd, const VECTORS: usize>(simd: S, numbers: &[f32]) -> [S::f32s; VECTORS] {
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

/// Stores as many numbers as fit into `out`.
#[inline(always)]
pub(super) fn store<S: Simd, const VECTORS: usize>(simd: S, numbers: [S::f32s; VECTORS], out: &mut [f32]) {
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

#[inline(always)]
pub(super) fn add<S: Simd, const VECTORS: usize>(simd: S, sums: &mut [S::f32s; VECTORS], more: &[S::f32s; VECTORS]) {
    for (sum, x) in sums.iter_mut().zip(more) {
        *sum = simd.add_f32s(*sum, *x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{largest_difference, noise};

    /// Returns `epilogue(a · wᵀ)` for a weight `(columns, depth)`.
    fn product(isa: Isa, a: Rows<'_>, w: &[f32], epilogue: Epilogue<'_>) -> Vec<f32> {
        let panels = Panels::transposed(isa, &[Rows::packed(w, a.width())]).unwrap();
        let mut out = vec![f32::NAN; a.count() * panels.columns()];
        let rows = RowsMut::packed(&mut out, panels.columns());
        matmul(isa, a, &panels, 0..panels.count(), epilogue, &mut MatmulScratch::default(), rows);
        out
    }

    /// Returns `relu(a · wᵀ + bias + residual)` in float64.
    fn truth(a: &[f32], w: &[f32], depth: usize, bias: &[f32], residual: &[f32]) -> Vec<f64> {
        let dot = |a: &[f32], w: &[f32]| a.iter().zip(w).map(|(a, w)| f64::from(*a) * f64::from(*w)).sum::<f64>();
        let mut out = Vec::new();
        for a in a.chunks(depth) {
            for (w, bias) in w.chunks(depth).zip(bias) {
                let residual = f64::from(residual[out.len()]);
                out.push((dot(a, w) + f64::from(*bias) + residual).max(0.0));
            }
        }
        out
    }

    #[test]
    fn products_of_all_small_shapes_agree_with_float64() {
        for isa in Isa::available() {
            for (rows, depth) in (1..=17).flat_map(|r| [1, 3, 32].map(|d| (r, d))) {
                for columns in [1, 5, 16, 24, 31, 47, 48, 50, 130] {
                    let (a, w) = (noise(rows * depth, 1), noise(columns * depth, 2));
                    let (bias, residual) = (noise(columns, 3), noise(rows * columns, 4));
                    let rest = Some(Rows::packed(&residual, columns));
                    let epilogue = Epilogue { bias: &bias, activation: Activation::Relu, residual: rest };
                    let out = product(isa, Rows::packed(&a, depth), &w, epilogue);
                    let error = largest_difference(&out, &truth(&a, &w, depth, &bias, &residual));
                    assert!(error < 3e-6, "{} {rows}x{depth}x{columns}: {error}", isa.name());
                }
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_in_any_tile_and_a_column_in_any_share() {
        for isa in Isa::available() {
            let (rows, depth, columns) = (23, 130, 170);
            let (a, w) = (noise(rows * depth, 5), noise(columns * depth, 6));
            let a = Rows::packed(&a, depth);
            let all = product(isa, a, &w, Epilogue::default());
            for first in 0..rows {
                for count in 1..=rows - first {
                    let part = product(isa, a.range(first..first + count), &w, Epilogue::default());
                    assert!(part == all[first * columns..(first + count) * columns], "{} {first}+{count}", isa.name());
                }
            }
            let panels = Panels::transposed(isa, &[Rows::packed(&w, depth)]).unwrap();
            for at in 0..=panels.count() {
                let mut out = vec![0.0; rows * columns];
                let whole = RowsMut::packed(&mut out, columns);
                let (left, right) = whole.split_columns(panels.columns_of(0..at).len());
                matmul(isa, a, &panels, at..panels.count(), Epilogue::default(), &mut MatmulScratch::default(), right);
                matmul(isa, a, &panels, 0..at, Epilogue::default(), &mut MatmulScratch::default(), left);
                assert!(out == all, "{} split at panel {at}", isa.name());
            }
        }
    }

    /// Sizes beyond one block of rows, of columns and of the inner dimension.
    #[test]
    fn large_products_agree_with_float64_and_have_the_same_bits_in_any_rows() {
        let (rows, depth, columns) = (290, 807, 75);
        let (a, w) = (noise(rows * depth, 7), noise(columns * depth, 8));
        let (bias, residual) = (noise(columns, 3), noise(rows * columns, 4));
        let truth = truth(&a, &w, depth, &bias, &residual);
        for isa in Isa::available() {
            let some = |rows: Range<usize>| {
                let residual = Some(Rows::packed(&residual, columns).range(rows.clone()));
                let epilogue = Epilogue { bias: &bias, activation: Activation::Relu, residual };
                product(isa, Rows::packed(&a, depth).range(rows), &w, epilogue)
            };
            let all = some(0..rows);
            let error = largest_difference(&all, &truth);
            // Sums of 807 terms in sequence; AMX adds up shorter sums.
            let bound = if isa.name() == "amx" { 1e-5 } else { 4e-5 };
            assert!(error < bound, "{}: {error}", isa.name());
            for part in [0..1, 3..17, 5..70, 0..65, 100..229, 17..290] {
                let same = some(part.clone()) == all[part.start * columns..part.end * columns];
                assert!(same, "{} {part:?}", isa.name());
            }
        }
    }

    #[test]
    fn products_can_be_added_to_the_output() {
        for isa in Isa::available() {
            let (rows, depth, columns) = (11, 20, 37);
            let (a, b) = (noise(rows * depth, 1), noise(depth * columns, 2));
            let (a, b) = (Rows::packed(&a, depth), Rows::packed(&b, columns));
            struct Steps<'a>(Rows<'a>, &'a [Panels], &'a mut [f32]);
            impl WithSimd for Steps<'_> {
                type Output = ();
                #[inline(always)]
                fn with_simd<S: Simd>(self, simd: S) {
                    let mut done = 0;
                    for (step, b) in self.1.iter().enumerate() {
                        let a = self.0.columns(done..done + b.depth());
                        let start = if step == 0 { Accumulate::Zero } else { Accumulate::Output };
                        let out = RowsMut::packed(self.2, b.columns());
                        multiply(simd, a, b, 0..b.count(), start, out);
                        done += b.depth();
                    }
                }
            }
            let run = |cuts: &[usize]| {
                let mut parts = Vec::new();
                for cut in cuts.windows(2) {
                    let mut part = Panels::empty(isa);
                    part.pack(b.range(cut[0]..cut[1]));
                    parts.push(part);
                }
                let mut out = vec![f32::NAN; rows * columns];
                isa.run(Steps(a, &parts, &mut out));
                out
            };
            let whole: Vec<f64> = run(&[0, 20]).into_iter().map(f64::from).collect();
            assert!(largest_difference(&run(&[0, 7, 8, 20]), &whole) < 1e-6, "{}", isa.name());
        }
    }

    #[test]
    fn nan_and_infinity_stay_in_their_row() {
        for isa in Isa::available() {
            let mut a = noise(10 * 16, 1);
            a[3 * 16 + 2] = f32::NAN;
            a[5 * 16] = f32::INFINITY;
            let out = product(isa, Rows::packed(&a, 16), &[1.0; 16 * 48], Epilogue::default());
            for (i, row) in out.chunks(48).enumerate() {
                let right = |x: &f32| match i {
                    3 => x.is_nan(),
                    // AMX may turn it into NaN.
                    5 => !x.is_finite(),
                    _ => x.is_finite(),
                };
                assert!(row.iter().all(right), "{} row {i}", isa.name());
            }
        }
    }
}
