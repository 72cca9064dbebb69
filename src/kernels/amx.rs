//! The matrix product by AMX, the tile instructions of x86-64, at float32's precision.
//!
//! They multiply tiles of bfloat16 and add up in float32, at 16 times the rate at which AVX-512 multiplies and adds
//! float32. A float32 has 24 significant bits and a bfloat16 8, so that any float32 is the exact sum of three:
//! x = x₀ + x₁ + x₂. Of the nine products of two numbers' pieces the six largest are taken; the other three are less than
//! 2⁻²¹ of the product, and 2⁻²⁵ of it on average. (Henry, Tang, Heinecke: *Leveraging the bfloat16 Artificial
//! Intelligence Datatype For Higher-Precision Computations*, 2019.)
//!
//! As in the other products, the order of a sum depends on the inner dimension alone. Unlike there, pieces below 2⁻¹²⁶
//! count as zero, and what is infinite may become no number.

use std::arch::asm;
use std::marker::PhantomData;
use std::ops::Range;

use bytemuck::cast;
use pulp::x86::V4;
use pulp::{NullaryFnOnce, Simd, f32x16, u32x16};

use super::activation;
use super::matmul::{Epilogue, Start, add, load, store};
use super::packed::Packed;
use super::prefetch::prefetch;
use super::rows::{Rows, RowsMut};

/// That this machine has AVX-512 and AMX, and that the system lets this process use them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amx(pub(super) V4);

impl Amx {
    pub(crate) fn try_new() -> Option<Self> {
        /// AMX-BF16 and AMX-TILE in CPUID's leaf 7, EDX.
        const FEATURES: u32 = 1 << 22 | 1 << 24;
        let simd = V4::try_new()?;
        let features = std::arch::x86_64::__cpuid_count(7, 0).edx;
        (features & FEATURES == FEATURES && permitted()).then_some(Self(simd))
    }
}

/// Asks the system for the tile registers, which it must save at each switch between threads.
#[cfg(target_os = "linux")]
fn permitted() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XFEATURE_XTILE_DATA: libc::c_long = 18;
    #[expect(unsafe_code, reason = "a system call that libc has no function for")]
    // SAFETY: the call takes two numbers, and changes nothing but what this process may do.
    let refused = unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILE_DATA) };
    refused == 0
}

#[cfg(not(target_os = "linux"))]
fn permitted() -> bool {
    false
}

/// Rows of a tile, and numbers in each: float32, or pairs of bfloat16.
const SIDE: usize = 16;
/// What one product of tiles takes of the inner dimension.
const STEP: usize = 2 * SIDE;
/// Steps of which the right side's pieces are at hand, for many rows and for few, whose sums stay at hand too: pieces in
/// use and those to come share the first-level cache.
const STEPS: usize = 4;
const FEW_STEPS: usize = 1;
const FEW_TILES: usize = 4;
/// What is done of the inner dimension for all columns before the rest of it, and for how many rows: the left side's
/// pieces stay in the second-level cache.
const DEPTH: usize = 12 * STEP;
const ROWS: usize = 256;
/// Tiles of columns in a panel.
pub(super) const VECTORS: usize = 2;
/// Rows of a panel that are fetched ahead of their use.
const AHEAD: usize = 32;

/// bfloat16 that make up a float32.
const PIECES: usize = 3;
/// Products of pieces that are taken.
const PRODUCTS: usize = 6;

/// What a register holds.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Tile([u32x16; SIDE]);

impl Tile {
    const ZERO: Self = Self([u32x16(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0); SIDE]);
}

/// Pieces of the left side, for some rows and one step.
type Left = [Tile; PIECES];
/// Pieces of the right side, for one step and the columns of a panel.
type Right = [[Tile; VECTORS]; PIECES];
/// For some rows and the columns of a panel.
type Sums = [Tile; VECTORS];

/// Memory to write over.
#[derive(Default)]
pub(super) struct Scratch {
    /// For each tile of rows, all steps.
    left: Vec<Left>,
    /// The steps at hand, and those that come next.
    right: [Vec<Right>; 2],
    /// For each tile of rows.
    sums: Vec<Sums>,
}

/// [`super::matmul::matmul`] by AMX.
pub(super) fn matmul(
    amx: Amx,
    a: Rows<'_>,
    b: &Packed,
    panels: Range<usize>,
    epilogue: Epilogue<'_>,
    scratch: &mut Scratch,
    out: RowsMut<'_>,
) {
    assert!(a.width() == b.depth() && a.count() == out.count());
    assert!(out.width() == b.columns_of(panels.clone()).len());
    if panels.is_empty() {
        return;
    }
    amx.0.vectorize(Product { amx, a, b, panels, epilogue, scratch, out });
}

struct Product<'a> {
    amx: Amx,
    a: Rows<'a>,
    b: &'a Packed,
    panels: Range<usize>,
    epilogue: Epilogue<'a>,
    scratch: &'a mut Scratch,
    out: RowsMut<'a>,
}

impl NullaryFnOnce for Product<'_> {
    type Output = ();
    #[inline(always)]
    fn call(mut self) {
        let registers = Registers::configure(self.amx);
        for row in (0..self.a.count()).step_by(ROWS) {
            let rows = row..self.a.count().min(row + ROWS);
            for k in (0..self.a.width()).step_by(DEPTH) {
                self.block(&registers, &rows, &(k..self.a.width().min(k + DEPTH)));
            }
        }
    }
}

impl Product<'_> {
    /// Some rows, all columns, some of the inner dimension.
    #[inline(always)]
    fn block(&mut self, registers: &Registers, rows: &Range<usize>, inner: &Range<usize>) {
        let simd = self.amx.0;
        let steps = inner.len().div_ceil(STEP);
        let tiles = rows.len().div_ceil(SIDE);
        let pairs = tiles.div_ceil(2);
        let at_hand = if tiles <= FEW_TILES { FEW_STEPS } else { STEPS };
        let parts = steps.div_ceil(at_hand);
        let steps_of = |part: usize| part * at_hand..steps.min((part + 1) * at_hand);
        let rows_of = |part: usize| {
            let steps = steps_of(part);
            inner.start + steps.start * STEP..inner.end.min(inner.start + steps.end * STEP)
        };
        let Scratch { left, right, sums } = &mut *self.scratch;
        left.resize(left.len().max(tiles * steps), [Tile::ZERO; PIECES]);
        sums.resize(sums.len().max(tiles), [Tile::ZERO; VECTORS]);
        split_left(simd, self.a.range(rows.clone()).columns(inner.clone()), left, steps);

        let [mut here, mut there] = right.each_mut();
        here.resize(STEPS, [[Tile::ZERO; VECTORS]; PIECES]);
        there.resize(STEPS, [[Tile::ZERO; VECTORS]; PIECES]);
        let mut next = Part::new(self.b, self.panels.start, rows_of(0));
        next.split(simd, here, usize::MAX);
        for panel in self.panels.clone() {
            for part in 0..parts {
                let end = part + 1 == parts;
                next = match end {
                    false => Part::new(self.b, panel, rows_of(part + 1)),
                    true if panel + 1 < self.panels.end => Part::new(self.b, panel + 1, rows_of(0)),
                    true => Part::default(),
                };
                let chosen = steps_of(part);
                let right = &here[..chosen.len()];
                // So many that all of the next part is split while this one is multiplied.
                let at_once = (at_hand * SIDE).div_ceil(pairs * right.len() * PRODUCTS);
                let mut meanwhile = Meanwhile { simd, part: &mut next, to: there, at_once };
                // The only sums stay in the registers.
                let start = if part == 0 {
                    Load::Zero
                } else if pairs > 1 {
                    Load::Sums
                } else {
                    Load::Nothing
                };
                let keep = end || pairs > 1;
                for (sums, left) in sums[..tiles].chunks_mut(2).zip(left.chunks(2 * steps)) {
                    let (first, second) = left.split_at(steps);
                    let first = &first[chosen.clone()];
                    match sums {
                        [upper, lower] => {
                            let left = [first, &second[chosen.clone()]];
                            registers.add_products(left, right, [upper, lower], start, keep, &mut meanwhile);
                        }
                        [sums, ..] => registers.add_products([first], right, [sums], start, keep, &mut meanwhile),
                        [] => {}
                    }
                }
                next.split(simd, there, usize::MAX);
                std::mem::swap(&mut here, &mut there);
            }
            let columns = self.b.columns_of(panel..panel + 1);
            let residual = self.epilogue.residual.map(|residual| residual.range(rows.clone()));
            let epilogue = Epilogue { residual, ..self.epilogue }.columns(columns.clone());
            let first = self.b.columns_of(self.panels.clone()).start;
            let mut out = self.out.range(rows.clone());
            let mut out = out.columns(columns.start - first..columns.end - first);
            let start = if inner.start == 0 { Start::Zero } else { Start::Output };
            put(simd, sums, start, epilogue, out.reborrow());
            if inner.end == self.a.width() {
                activation::apply(simd, epilogue.activation, out);
            }
        }
    }
}

/// Puts sums into the output, or adds them to it; the bias and the residual with the first.
#[inline(always)]
fn put(simd: V4, sums: &[Sums], start: Start, epilogue: Epilogue<'_>, mut out: RowsMut<'_>) {
    let bias = load::<V4, VECTORS>(simd, epilogue.bias);
    for i in 0..out.count() {
        let [first, second] = &sums[i / SIDE];
        let mut row: [f32x16; VECTORS] = [cast(first.0[i % SIDE]), cast(second.0[i % SIDE])];
        match (start, epilogue.residual) {
            (Start::Output, _) => add(simd, &mut row, &load(simd, out.row(i))),
            (Start::Zero, None) => add(simd, &mut row, &bias),
            (Start::Zero, Some(residual)) => {
                add(simd, &mut row, &bias);
                add(simd, &mut row, &load(simd, residual.row(i)));
            }
        }
        store(simd, row, out.row(i));
    }
}

/// Splits rows' numbers into pieces, `steps` tiles for each tile of rows.
#[inline(always)]
fn split_left(simd: V4, rows: Rows<'_>, left: &mut [Left], steps: usize) {
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

/// Numbers of a panel that are split into pieces by and by.
#[derive(Default)]
struct Part<'a> {
    /// Row after row.
    numbers: &'a [f32x16],
    vectors: usize,
    /// Pairs of rows that are split.
    done: usize,
}

impl<'a> Part<'a> {
    #[inline(always)]
    fn new(b: &'a Packed, panel: usize, rows: Range<usize>) -> Self {
        let panel = b.panel(panel);
        let width = panel.len() / b.depth();
        let (numbers, _) = V4::as_simd_f32s(&panel[rows.start * width..rows.end * width]);
        Self { numbers, vectors: width / SIDE, done: 0 }
    }

    /// Splits as many pairs of rows at most.
    #[inline(always)]
    fn split(&mut self, simd: V4, to: &mut [Right], at_most: usize) {
        match self.vectors {
            0 => {}
            1 => self.split_rows::<1>(simd, to, at_most),
            _ => self.split_rows::<2>(simd, to, at_most),
        }
    }

    #[inline(always)]
    fn split_rows<const VECTORS: usize>(&mut self, simd: V4, to: &mut [Right], at_most: usize) {
        let (rows, _) = self.numbers.as_chunks::<VECTORS>();
        let end = (rows.len().div_ceil(STEP) * SIDE).min(self.done.saturating_add(at_most));
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

/// Pairs of bfloat16 that make up pairs of numbers, of `x` in the low halves and of `y` in the high ones: what is left of
/// a number is cut to a float32's upper half, three times.
///
/// A product of tiles takes sums over pairs. Which numbers are one doesn't matter, as long as both sides have the same.
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

/// What is done while the tiles are multiplied, which leaves the rest of the processor idle.
struct Meanwhile<'a, 'b> {
    simd: V4,
    part: &'a mut Part<'b>,
    to: &'a mut [Right],
    at_once: usize,
}

impl Meanwhile<'_, '_> {
    #[inline(always)]
    fn split(&mut self) {
        self.part.split(self.simd, self.to, self.at_once);
    }
}

/// What the sums' registers hold at first.
#[derive(Clone, Copy)]
enum Load {
    Zero,
    /// What they hold.
    Nothing,
    Sums,
}

/// The tile registers, of 16 rows of 64 bytes each.
struct Registers(PhantomData<*mut ()>);

#[expect(unsafe_code, reason = "Rust has no stable intrinsics for AMX")]
impl Registers {
    #[inline(always)]
    fn configure(_: Amx) -> Self {
        #[repr(C)]
        struct Config {
            palette: u8,
            start_row: u8,
            reserved: [u8; 14],
            row_bytes: [u16; 16],
            rows: [u8; 16],
        }
        let config = Config {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: std::array::from_fn(|i| if i < 8 { 64 } else { 0 }),
            rows: std::array::from_fn(|i| if i < 8 { SIDE as u8 } else { 0 }),
        };
        // SAFETY: `Amx` is proof that the registers may be used, and the configuration is one that they have.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &config, options(nostack, preserves_flags, readonly)) };
        Self(PhantomData)
    }

    #[inline(always)]
    fn zero<const REGISTER: usize>(&self) {
        // SAFETY: the registers are configured, and no other code uses them.
        unsafe { asm!("tilezero tmm{}", const REGISTER, options(nostack, preserves_flags, nomem)) };
    }

    #[inline(always)]
    fn load<const REGISTER: usize>(&self, tile: &Tile) {
        // SAFETY: as above; it reads 16 rows, which are 64 bytes apart.
        unsafe {
            asm!("tileloadd tmm{}, [{} + {}]", const REGISTER, in(reg) tile, in(reg) 64_usize,
                options(nostack, preserves_flags, readonly));
        }
    }

    #[inline(always)]
    fn store<const REGISTER: usize>(&self, tile: &mut Tile) {
        // SAFETY: as above; it writes 16 rows, which are 64 bytes apart.
        unsafe {
            asm!("tilestored [{} + {}], tmm{}", in(reg) tile, in(reg) 64_usize, const REGISTER,
                options(nostack, preserves_flags));
        }
    }

    /// Adds to the sums the products of two registers, one of rows and one of columns.
    #[inline(always)]
    fn add_product<const SUMS: usize, const ROWS: usize, const COLUMNS: usize>(&self) {
        // SAFETY: as above.
        unsafe {
            asm!("tdpbf16ps tmm{}, tmm{}, tmm{}", const SUMS, const ROWS, const COLUMNS,
                options(nostack, preserves_flags, nomem));
        }
    }

    #[inline(always)]
    fn load_rows<const TILES: usize>(&self, left: [&[Left]; TILES], k: usize, piece: usize) {
        self.load::<4>(&left[0][k][piece]);
        if TILES == 2 {
            self.load::<5>(&left[1][k][piece]);
        }
    }

    #[inline(always)]
    fn load_columns(&self, tiles: &[Tile; VECTORS]) {
        self.load::<6>(&tiles[0]);
        self.load::<7>(&tiles[1]);
    }

    #[inline(always)]
    fn multiply(&self, two: bool) {
        self.add_product::<0, 4, 6>();
        self.add_product::<1, 4, 7>();
        if two {
            self.add_product::<2, 5, 6>();
            self.add_product::<3, 5, 7>();
        }
    }

    /// Adds the products of some steps to the sums of one or two tiles of rows.
    #[inline(always)]
    fn add_products<const TILES: usize>(
        &self,
        left: [&[Left]; TILES],
        right: &[Right],
        sums: [&mut Sums; TILES],
        load: Load,
        store: bool,
        meanwhile: &mut Meanwhile<'_, '_>,
    ) {
        let two = TILES == 2;
        match load {
            Load::Nothing => {}
            Load::Zero => {
                self.zero::<0>();
                self.zero::<1>();
                self.zero::<2>();
                self.zero::<3>();
            }
            Load::Sums => {
                self.load::<0>(&sums[0][0]);
                self.load::<1>(&sums[0][1]);
                if two {
                    self.load::<2>(&sums[1][0]);
                    self.load::<3>(&sums[1][1]);
                }
            }
        }
        let left = left.map(|left| &left[..right.len()]);
        for (k, right) in right.iter().enumerate() {
            // Small ones first; one side changes at a time.
            self.load_rows(left, k, 2);
            self.load_columns(&right[0]);
            self.multiply(two);
            meanwhile.split();
            self.load_rows(left, k, 1);
            self.multiply(two);
            meanwhile.split();
            self.load_columns(&right[1]);
            self.multiply(two);
            meanwhile.split();
            self.load_rows(left, k, 0);
            self.multiply(two);
            meanwhile.split();
            self.load_columns(&right[0]);
            self.multiply(two);
            meanwhile.split();
            self.load_columns(&right[2]);
            self.multiply(two);
            meanwhile.split();
        }
        if store {
            self.store::<0>(&mut sums[0][0]);
            self.store::<1>(&mut sums[0][1]);
            if two {
                self.store::<2>(&mut sums[1][0]);
                self.store::<3>(&mut sums[1][1]);
            }
        }
    }
}

#[expect(unsafe_code, reason = "Rust has no stable intrinsics for AMX")]
impl Drop for Registers {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: it sets the registers back to what they were before.
        unsafe { asm!("tilerelease", options(nostack, preserves_flags, nomem)) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::noise;

    #[test]
    fn pieces_are_bfloat16_that_add_up_to_the_number() {
        let Some(simd) = V4::try_new() else { return };
        let mut numbers = noise(10_000, 9);
        // Of any size whose smallest piece is no subnormal number.
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
