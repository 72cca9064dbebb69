//! Matrix product by AMX, the tile instructions of x86-64, at float32's precision.
//!
//! AMX multiplies tiles of bfloat16 and adds up in float32, at 16 times the rate of AVX-512 in float32. A float32 has 24
//! significant bits and a bfloat16 8, so any float32 is the exact sum of three: x = x₀ + x₁ + x₂. Of the nine products of
//! two numbers' pieces, the kernel takes the six largest. The other three are less than 2⁻²¹ of the product, and 2⁻²⁵ on
//! average. (Henry, Tang, Heinecke: *Leveraging the bfloat16 Artificial Intelligence Datatype For Higher-Precision
//! Computations*, 2019.)
//!
//! The order of a sum depends on the inner dimension alone, as in the other products. Unlike there, pieces below 2⁻¹²⁶
//! count as zero, and infinity may become NaN.

mod pieces;
mod registers;

use std::ops::Range;

use bytemuck::cast;
use pulp::x86::V4;
use pulp::{NullaryFnOnce, f32x16};

use super::activation;
use super::matmul::{Accumulate, Epilogue, Product, add, load, store};
use super::rows::RowsMut;
use pieces::{Left, PIECES, Right, RightBlock, STEP, split_left};
use registers::{Registers, SIDE, Tile};

/// Proof that this machine has AVX-512 and AMX, and that the system lets this process use them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amx(pub(super) V4);

impl Amx {
    /// Returns the proof, or none.
    pub(crate) fn try_new() -> Option<Self> {
        /// AMX-BF16 and AMX-TILE in CPUID's leaf 7, EDX.
        const FEATURES: u32 = 1 << 22 | 1 << 24;
        let simd = V4::try_new()?;
        let features = std::arch::x86_64::__cpuid_count(7, 0).edx;
        (features & FEATURES == FEATURES && permitted()).then_some(Self(simd))
    }
}

/// Asks the system for the tile registers, which it must save at each switch of threads.
#[cfg(target_os = "linux")]
fn permitted() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XFEATURE_XTILE_DATA: libc::c_long = 18;
    #[expect(unsafe_code, reason = "a system call that libc has no function for")]
    // SAFETY: the call takes two numbers and changes nothing but this process's permissions.
    let refused = unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILE_DATA) };
    refused == 0
}

#[cfg(not(target_os = "linux"))]
fn permitted() -> bool {
    false
}

/// Steps whose pieces of the right side are held at once, for tall and short left sides. The pieces in use and the next
/// ones share the first-level cache; with short sides, so do the sums.
const STEPS: usize = 4;
const FEW_STEPS: usize = 1;
const FEW_TILES: usize = 4;
/// Block of the inner dimension and of rows that goes through all columns before the next: its pieces of the left side stay
/// in the second-level cache.
const DEPTH: usize = 12 * STEP;
const ROWS: usize = 256;
/// Tiles of columns in a panel.
pub(super) const VECTORS: usize = 2;
/// Number of products of pieces.
const PRODUCTS: usize = 6;

/// Sums of a tile of rows with the columns of a panel.
type Sums = [Tile; VECTORS];

/// Scratch memory, of a bounded size.
#[derive(Default)]
pub(super) struct AmxScratch {
    /// All steps of each tile of rows.
    left: Vec<Left>,
    /// The steps in use, and the next ones.
    right: [Vec<Right>; 2],
    /// Sums of each tile of rows.
    sums: Vec<Sums>,
}

/// Computes [`super::matmul::matmul`] by AMX.
pub(super) fn matmul(amx: Amx, product: Product<'_>, scratch: &mut AmxScratch) {
    let Product { a, b, panels, out, .. } = &product;
    assert!(a.width() == b.depth() && a.count() == out.count());
    assert!(out.width() == b.columns_of(panels.clone()).len());
    if panels.is_empty() {
        return;
    }
    amx.0.vectorize(ByTiles { amx, product, scratch });
}

struct ByTiles<'a> {
    amx: Amx,
    product: Product<'a>,
    scratch: &'a mut AmxScratch,
}

impl NullaryFnOnce for ByTiles<'_> {
    type Output = ();
    #[inline(always)]
    fn call(mut self) {
        let registers = Registers::configure(self.amx);
        let (count, depth) = (self.product.a.count(), self.product.a.width());
        for row in (0..count).step_by(ROWS) {
            let rows = row..count.min(row + ROWS);
            for k in (0..depth).step_by(DEPTH) {
                self.block(&registers, &rows, &(k..depth.min(k + DEPTH)));
            }
        }
    }
}

impl ByTiles<'_> {
    /// Multiplies some rows by all columns, over a block of the inner dimension.
    #[inline(always)]
    fn block(&mut self, registers: &Registers, rows: &Range<usize>, inner: &Range<usize>) {
        let simd = self.amx.0;
        let Product { a, b, panels, epilogue, out, .. } = &mut self.product;
        let steps = inner.len().div_ceil(STEP);
        let tiles = rows.len().div_ceil(SIDE);
        let pairs = tiles.div_ceil(2);
        let held = if tiles <= FEW_TILES { FEW_STEPS } else { STEPS };
        let blocks = steps.div_ceil(held);
        let steps_of = |block: usize| block * held..steps.min((block + 1) * held);
        let rows_of = |block: usize| {
            let steps = steps_of(block);
            inner.start + steps.start * STEP..inner.end.min(inner.start + steps.end * STEP)
        };
        let AmxScratch { left, right, sums } = &mut *self.scratch;
        left.resize(left.len().max(tiles * steps), [Tile::ZERO; PIECES]);
        sums.resize(sums.len().max(tiles), [Tile::ZERO; VECTORS]);
        split_left(simd, a.range(rows.clone()).columns(inner.clone()), left, steps);

        let [mut here, mut there] = right.each_mut();
        here.resize(STEPS, [[Tile::ZERO; VECTORS]; PIECES]);
        there.resize(STEPS, [[Tile::ZERO; VECTORS]; PIECES]);
        let mut next = RightBlock::new(b, panels.start, rows_of(0));
        next.split(simd, here, usize::MAX);
        for panel in panels.clone() {
            for block in 0..blocks {
                let end = block + 1 == blocks;
                next = match end {
                    false => RightBlock::new(b, panel, rows_of(block + 1)),
                    true if panel + 1 < panels.end => RightBlock::new(b, panel + 1, rows_of(0)),
                    true => RightBlock::default(),
                };
                let chosen = steps_of(block);
                let right = &here[..chosen.len()];
                // Enough that the whole next block is split while this one is multiplied.
                let concurrent = (held * SIDE).div_ceil(pairs * right.len() * PRODUCTS);
                let mut meanwhile = Meanwhile { simd, block: &mut next, to: there, concurrent };
                // The sums of a single pair of tiles stay in the registers.
                let start = if block == 0 {
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
            let columns = b.columns_of(panel..panel + 1);
            let residual = epilogue.residual.map(|residual| residual.range(rows.clone()));
            let epilogue = Epilogue { residual, ..*epilogue }.columns(columns.clone());
            let first = b.columns_of(panels.clone()).start;
            let mut out = out.range(rows.clone());
            let mut out = out.columns(columns.start - first..columns.end - first);
            let start = if inner.start == 0 { Accumulate::Zero } else { Accumulate::Output };
            put(simd, sums, start, epilogue, out.reborrow());
            if inner.end == a.width() {
                activation::apply(simd, epilogue.activation, out);
            }
        }
    }
}

/// Stores sums in the output or adds them to it. The first block adds the bias and the residual.
#[inline(always)]
fn put(simd: V4, sums: &[Sums], start: Accumulate, epilogue: Epilogue<'_>, mut out: RowsMut<'_>) {
    let bias = load::<V4, VECTORS>(simd, epilogue.bias);
    for i in 0..out.count() {
        let [first, second] = &sums[i / SIDE];
        let mut row: [f32x16; VECTORS] = [cast(first.0[i % SIDE]), cast(second.0[i % SIDE])];
        match (start, epilogue.residual) {
            (Accumulate::Output, _) => add(simd, &mut row, &load(simd, out.row(i))),
            (Accumulate::Zero, None) => add(simd, &mut row, &bias),
            (Accumulate::Zero, Some(residual)) => {
                add(simd, &mut row, &bias);
                add(simd, &mut row, &load(simd, residual.row(i)));
            }
        }
        store(simd, row, out.row(i));
    }
}

/// Splitting of the next block, done between tile instructions, which leave the vector units idle.
struct Meanwhile<'a, 'b> {
    simd: V4,
    block: &'a mut RightBlock<'b>,
    to: &'a mut [Right],
    concurrent: usize,
}

impl Meanwhile<'_, '_> {
    #[inline(always)]
    fn split(&mut self) {
        self.block.split(self.simd, self.to, self.concurrent);
    }
}

/// Initial values of the sums' registers.
#[derive(Clone, Copy)]
enum Load {
    Zero,
    /// The registers' present values.
    Nothing,
    /// The sums in memory.
    Sums,
}

impl Registers {
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
            // Small products first; each step reloads one side only.
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
