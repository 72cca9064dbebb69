//! Tiles: several rows by one panel, whose sums stay in registers over the whole inner dimension.

use pulp::Simd;

use super::{Accumulate, Epilogue};
use crate::kernels::prefetch::{Spread, Upcoming};
use crate::kernels::rows::{Rows, RowsMut};
use crate::kernels::{activation, multiply_add};

/// Computes the product of all rows with one panel, whose numbers are in some form.
#[inline(always)]
pub(in crate::kernels) fn strip<S: Simd>(
    simd: S,
    a: Rows<'_>,
    panel: impl PanelForm<S>,
    start: Accumulate,
    epilogue: Epilogue<'_>,
    mut out: RowsMut<'_>,
) {
    match out.width().div_ceil(S::F32_LANES) {
        3 if widest::<S>() == 3 => Strip::<S, _, 3>::new(simd, a, panel, start, epilogue, out.reborrow()).run(simd),
        2 => Strip::<S, _, 2>::new(simd, a, panel, start, epilogue, out.reborrow()).run(simd),
        1 => Strip::<S, _, 1>::new(simd, a, panel, start, epilogue, out.reborrow()).run(simd),
        vectors => unreachable!("a panel of {vectors} vectors"),
    }
    // Measured: slower within a tile, whose registers are full of sums.
    activation::apply(simd, epilogue.activation, out);
}

/// Form of a panel's numbers.
pub(in crate::kernels) trait PanelForm<S: Simd>: Copy {
    /// Returns the memory of the next panel.
    fn next(self) -> Upcoming;

    /// Computes the sums of a tile, each in the order of the inner dimension: a broadcast of each row's number times a vector
    /// of the panel. Each step prefetches a line of the next panel.
    ///
    /// # Panics
    /// Panics if the rows are not as wide as the panel is deep.
    fn sums<const ROWS: usize, const VECTORS: usize>(
        self,
        simd: S,
        rows: [&[f32]; ROWS],
        next: Spread,
    ) -> [[S::f32s; VECTORS]; ROWS];
}

/// Greatest number of vectors in a panel, by which [`Isa::panel_vectors`](crate::kernels::Isa::panel_vectors) lays panels out.
const fn widest<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 || S::F32_LANES == 8 { 3 } else { 2 }
}

/// Greatest number of rows of a tile. Its sums, a panel's vectors and a broadcast must fit into the registers, and the sums
/// must be enough for multiply-adds to overlap.
const fn tile_rows<S: Simd>(vectors: usize) -> usize {
    match (S::REGISTER_COUNT, S::F32_LANES, vectors) {
        (32.., ..) | (_, 8, 1) => 8,
        (_, 8, 2) => 6,
        // Without a fused multiply-add, products take registers, too.
        (_, _, 1) => 6,
        _ => 4,
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

    /// Distributes the rows over tiles as evenly as possible: a tile of few rows has too few sums.
    #[inline(always)]
    fn run(mut self, simd: S) {
        let most = tile_rows::<S>(VECTORS);
        let count = self.a.count();
        let tiles = count.div_ceil(most);
        let next = Spread::over(self.panel.next(), tiles * self.a.width());
        let (mut first, mut left) = (0, tiles);
        while left > 0 {
            let rows = (count - first).div_ceil(left);
            let next = next.after((tiles - left) * self.a.width());
            match rows {
                8 if most == 8 => self.tile::<8>(simd, first, next),
                7 if most == 8 => self.tile::<7>(simd, first, next),
                6 if most >= 6 => self.tile::<6>(simd, first, next),
                5 if most >= 6 => self.tile::<5>(simd, first, next),
                4 => self.tile::<4>(simd, first, next),
                3 => self.tile::<3>(simd, first, next),
                2 => self.tile::<2>(simd, first, next),
                _ => self.tile::<1>(simd, first, next),
            }
            first += rows;
            left -= 1;
        }
    }

    #[inline(always)]
    fn tile<const ROWS: usize>(&mut self, simd: S, first: usize, next: Spread) {
        let mut rows: [&[f32]; ROWS] = [&[]; ROWS];
        for (i, row) in rows.iter_mut().enumerate() {
            *row = self.a.row(first + i);
        }
        for (row, mut sums) in (first..).zip(self.panel.sums::<ROWS, VECTORS>(simd, rows, next)) {
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

/// A panel of float32.
#[derive(Clone, Copy)]
pub(in crate::kernels) struct FloatPanel<'a> {
    pub(in crate::kernels) numbers: &'a [f32],
    /// The next panel, in whatever form it is stored.
    pub(in crate::kernels) next: Upcoming,
}

impl<S: Simd> PanelForm<S> for FloatPanel<'_> {
    #[inline(always)]
    fn next(self) -> Upcoming {
        self.next
    }

    #[inline(always)]
    #[expect(unsafe_code, reason = "bounds checks in the innermost loop keep the sums out of registers")]
    #[expect(clippy::needless_range_loop, reason = "iterators and closures keep the sums out of registers, too")]
    fn sums<const ROWS: usize, const VECTORS: usize>(
        self,
        simd: S,
        mut rows: [&[f32]; ROWS],
        mut next: Spread,
    ) -> [[S::f32s; VECTORS]; ROWS] {
        #[cfg(target_arch = "x86_64")]
        if let Some(sums) = super::avx2::sums_of_floats(simd, rows, self.numbers, next) {
            return sums;
        }
        let panel = S::as_simd_f32s(self.numbers).0.as_chunks::<VECTORS>().0;
        for i in 0..ROWS {
            assert!(rows[i].len() == panel.len());
            rows[i] = &rows[i][..panel.len()];
        }
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
        // A macro, because loops and functions keep the sums in memory.
        macro_rules! step {
            ($k:expr, $b:expr) => {
                next.prefetch();
                for i in 0..ROWS {
                    // SAFETY: `k` is below the panel's length, and every row was cut to that length above.
                    let a = simd.splat_f32s(unsafe { *rows[i].get_unchecked($k) });
                    for j in 0..VECTORS {
                        sums[i][j] = multiply_add(simd, a, $b[j], sums[i][j]);
                    }
                }
            };
        }
        // Two steps for each check of the end, because a check takes the slot of a multiply-add.
        let (pairs, rest) = panel.as_chunks::<2>();
        let mut k = 0;
        for [first, second] in pairs {
            step!(k, first);
            k = apart(k + 1);
            step!(k, second);
            k += 1;
        }
        if let [last] = rest {
            step!(k, last);
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
pub(in crate::kernels) fn load<S: Simd, const VECTORS: usize>(simd: S, numbers: &[f32]) -> [S::f32s; VECTORS] {
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
pub(in crate::kernels) fn store<S: Simd, const VECTORS: usize>(simd: S, numbers: [S::f32s; VECTORS], out: &mut [f32]) {
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
pub(in crate::kernels) fn add<S: Simd, const VECTORS: usize>(
    simd: S,
    sums: &mut [S::f32s; VECTORS],
    more: &[S::f32s; VECTORS],
) {
    for (sum, x) in sums.iter_mut().zip(more) {
        *sum = simd.add_f32s(*sum, *x);
    }
}
