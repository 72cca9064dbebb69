//! Tiles of 4 rows by 3 vectors for AVX2, in assembly: they need all 16 registers, which compilers don't manage.

use std::any::Any;
use std::arch::x86_64::*;

use pulp::Simd;
use pulp::x86::V3;

use crate::kernels::bf16::UPPER;
use crate::kernels::prefetch::Spread;

/// Rows and vectors of a tile.
const ROWS: usize = 4;
const VECTORS: usize = 3;

type Sums = [[__m256; VECTORS]; ROWS];

/// Returns the sums of a tile with a panel of float32, or none for other tiles and instruction sets.
///
/// # Panics
/// Panics if the rows are not as wide as the panel is deep.
#[inline(always)]
pub(super) fn sums_of_floats<S: Simd, const R: usize, const V: usize>(
    simd: S,
    rows: [&[f32]; R],
    panel: &[f32],
    next: Spread,
) -> Option<[[S::f32s; V]; R]> {
    let rows = whole_tile::<S, R, V>(simd, rows)?;
    let depth = rows[0].len();
    assert!(rows.iter().all(|row| row.len() == depth) && panel.len() == depth * VECTORS * 8);
    #[expect(unsafe_code, reason = "an instruction set of this machine, and pointers for assembly")]
    // SAFETY: `simd` proves that the machine has AVX2 and FMA. Rows and panel are as long as was just checked.
    Some(converted::<S, R, V>(unsafe { float_tile(rows.map(<[f32]>::as_ptr), panel.as_ptr(), depth, next) }))
}

/// Returns the sums of a tile with a panel of pairs of bfloat16, or none for other tiles and instruction sets.
///
/// # Panics
/// Panics if the rows are not as wide as the panel is deep.
#[inline(always)]
pub(in crate::kernels) fn sums_of_pairs<S: Simd, const R: usize, const V: usize>(
    simd: S,
    rows: [&[f32]; R],
    panel: &[u32],
    next: Spread,
) -> Option<[[S::f32s; V]; R]> {
    let rows = whole_tile::<S, R, V>(simd, rows)?;
    let depth = rows[0].len();
    assert!(rows.iter().all(|row| row.len() == depth) && panel.len() == depth.div_ceil(2) * VECTORS * 8);
    #[expect(unsafe_code, reason = "an instruction set of this machine, and pointers for assembly")]
    // SAFETY: `simd` proves that the machine has AVX2 and FMA. Rows and panel are as long as was just checked.
    Some(converted::<S, R, V>(unsafe { pair_tile(rows.map(<[f32]>::as_ptr), panel.as_ptr(), depth, next) }))
}

/// Returns the rows if they are those of a whole tile for AVX2.
#[inline(always)]
fn whole_tile<S: Simd, const R: usize, const V: usize>(simd: S, rows: [&[f32]; R]) -> Option<[&[f32]; ROWS]> {
    let avx2 = (&simd as &dyn Any).is::<V3>();
    if avx2 && V == VECTORS { rows.as_slice().try_into().ok() } else { None }
}

/// Converts sums to the types of the instruction set, which is AVX2.
#[inline(always)]
fn converted<S: Simd, const R: usize, const V: usize>(sums: Sums) -> [[S::f32s; V]; R] {
    std::array::from_fn(|i| std::array::from_fn(|j| bytemuck::cast(sums[i][j])))
}

/// Code that adds the products of four rows' numbers with the vectors in registers 12 to 14.
macro_rules! multiply_adds {
    ($offset:literal) => {
        concat!(
            "vbroadcastss ymm15, dword ptr [{row0} + {k} + ",
            $offset,
            "]\n",
            "vfmadd231ps ymm0, ymm15, ymm12\n",
            "vfmadd231ps ymm1, ymm15, ymm13\n",
            "vfmadd231ps ymm2, ymm15, ymm14\n",
            "vbroadcastss ymm15, dword ptr [{row1} + {k} + ",
            $offset,
            "]\n",
            "vfmadd231ps ymm3, ymm15, ymm12\n",
            "vfmadd231ps ymm4, ymm15, ymm13\n",
            "vfmadd231ps ymm5, ymm15, ymm14\n",
            "vbroadcastss ymm15, dword ptr [{row2} + {k} + ",
            $offset,
            "]\n",
            "vfmadd231ps ymm6, ymm15, ymm12\n",
            "vfmadd231ps ymm7, ymm15, ymm13\n",
            "vfmadd231ps ymm8, ymm15, ymm14\n",
            "vbroadcastss ymm15, dword ptr [{row3} + {k} + ",
            $offset,
            "]\n",
            "vfmadd231ps ymm9, ymm15, ymm12\n",
            "vfmadd231ps ymm10, ymm15, ymm13\n",
            "vfmadd231ps ymm11, ymm15, ymm14\n",
            "prefetcht1 byte ptr [{next}]\n",
            "add {next}, {stride}",
        )
    };
}

/// Runs two steps of the inner dimension at a time: the code for each loads three vectors of the panel into registers 12 to
/// 14. `$bytes` is the panel's size for two steps. `$rest` is the sum for the last step of an odd depth.
macro_rules! tile {
    ($rows:ident, $panel:ident, $depth:ident, $next:ident, $bytes:literal, [$($first:literal),*], [$($second:literal),*],
     $($operands:tt)*) => {{
        let pairs = $depth / 2;
        let zero = _mm256_setzero_ps();
        let mut sums = [[zero; VECTORS]; ROWS];
        if pairs > 0 {
            let [[s0, s1, s2], [s3, s4, s5], [s6, s7, s8], [s9, s10, s11]] = &mut sums;
            let ends = $rows.map(|row| row.wrapping_add(2 * pairs));
            let (line, stride) = $next.parts();
            std::arch::asm!(
                "2:",
                $($first,)*
                multiply_adds!("0"),
                $($second,)*
                multiply_adds!("4"),
                concat!("add {panel}, ", $bytes),
                "add {k}, 8",
                "jnz 2b",
                row0 = in(reg) ends[0],
                row1 = in(reg) ends[1],
                row2 = in(reg) ends[2],
                row3 = in(reg) ends[3],
                k = inout(reg) -8 * pairs as isize => _,
                panel = inout(reg) $panel => _,
                next = inout(reg) line => _,
                stride = in(reg) stride,
                $($operands)*
                inout("ymm0") *s0, inout("ymm1") *s1, inout("ymm2") *s2, inout("ymm3") *s3,
                inout("ymm4") *s4, inout("ymm5") *s5, inout("ymm6") *s6, inout("ymm7") *s7,
                inout("ymm8") *s8, inout("ymm9") *s9, inout("ymm10") *s10, inout("ymm11") *s11,
                out("ymm12") _, out("ymm13") _, out("ymm14") _, out("ymm15") _,
                options(nostack, readonly),
            );
        }
        sums
    }};
}

/// Adds the products of the last step of an odd depth.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn add_last(sums: &mut Sums, numbers: [f32; ROWS], vectors: [__m256; VECTORS]) {
    for (sums, number) in sums.iter_mut().zip(numbers) {
        for (sum, vector) in sums.iter_mut().zip(vectors) {
            *sum = _mm256_fmadd_ps(_mm256_set1_ps(number), vector, *sum);
        }
    }
}

/// Computes a tile of float32.
///
/// # Safety
/// Each row has `depth` numbers, the panel `depth` times 24.
#[inline]
#[target_feature(enable = "avx2,fma")]
#[expect(unsafe_code, reason = "assembly")]
unsafe fn float_tile(rows: [*const f32; ROWS], panel: *const f32, depth: usize, next: Spread) -> Sums {
    // SAFETY: the code reads whole pairs of steps of the rows and the panel, which the caller promises.
    let mut sums = unsafe {
        tile!(
            rows,
            panel,
            depth,
            next,
            "192",
            [
                "vmovups ymm12, ymmword ptr [{panel}]",
                "vmovups ymm13, ymmword ptr [{panel} + 32]",
                "vmovups ymm14, ymmword ptr [{panel} + 64]"
            ],
            [
                "vmovups ymm12, ymmword ptr [{panel} + 96]",
                "vmovups ymm13, ymmword ptr [{panel} + 128]",
                "vmovups ymm14, ymmword ptr [{panel} + 160]"
            ],
        )
    };
    if depth % 2 == 1 {
        // SAFETY: there is one more step, as the caller promises.
        let (numbers, vectors) = unsafe {
            let panel = panel.add((depth - 1) * VECTORS * 8);
            (rows.map(|row| *row.add(depth - 1)), [0, 8, 16].map(|column| _mm256_loadu_ps(panel.add(column))))
        };
        add_last(&mut sums, numbers, vectors);
    }
    sums
}

/// Computes a tile of pairs of bfloat16: the numbers of the first step are lower halves, those of the second one upper
/// halves.
///
/// # Safety
/// Each row has `depth` numbers, the panel half of `depth`, rounded up, times 24.
#[inline]
#[target_feature(enable = "avx2,fma")]
#[expect(unsafe_code, reason = "assembly")]
unsafe fn pair_tile(rows: [*const f32; ROWS], panel: *const u32, depth: usize, next: Spread) -> Sums {
    let upper = [UPPER; 8];
    // SAFETY: the code reads whole pairs of steps of the rows and the panel, which the caller promises.
    let mut sums = unsafe {
        tile!(
            rows, panel, depth, next, "96",
            ["vmovdqu ymm12, ymmword ptr [{panel}]", "vpslld ymm12, ymm12, 16",
             "vmovdqu ymm13, ymmword ptr [{panel} + 32]", "vpslld ymm13, ymm13, 16",
             "vmovdqu ymm14, ymmword ptr [{panel} + 64]", "vpslld ymm14, ymm14, 16"],
            ["vmovups ymm14, ymmword ptr [{upper}]", "vandps ymm12, ymm14, ymmword ptr [{panel}]",
             "vandps ymm13, ymm14, ymmword ptr [{panel} + 32]", "vandps ymm14, ymm14, ymmword ptr [{panel} + 64]"],
            upper = in(reg) &raw const upper,
        )
    };
    if depth % 2 == 1 {
        // SAFETY: there is one more step, as the caller promises.
        let (numbers, vectors) = unsafe {
            let panel = panel.add(depth / 2 * VECTORS * 8);
            let widened = |column| {
                let pairs = _mm256_loadu_si256(panel.add(column).cast());
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(pairs))
            };
            (rows.map(|row| *row.add(depth - 1)), [widened(0), widened(8), widened(16)])
        };
        add_last(&mut sums, numbers, vectors);
    }
    sums
}
