//! Tile registers and their instructions, for which Rust has no stable intrinsics.

use std::arch::asm;
use std::marker::PhantomData;

use pulp::u32x16;

use super::Amx;

/// Rows of a tile, and numbers in a row: float32, or pairs of bfloat16.
pub(super) const SIDE: usize = 16;

/// Contents of a register.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Tile(pub(super) [u32x16; SIDE]);

impl Tile {
    pub(super) const ZERO: Self = Self([u32x16(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0); SIDE]);
}

/// Tile registers, each of 16 rows of 64 bytes.
pub(super) struct Registers(PhantomData<*mut ()>);

#[expect(unsafe_code, reason = "Rust has no stable intrinsics for AMX")]
impl Registers {
    /// Configures the registers of this thread.
    #[inline(always)]
    pub(super) fn configure(_: Amx) -> Self {
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
        // SAFETY: `Amx` proves that the process may use the registers, and the configuration is valid for them.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &config, options(nostack, preserves_flags, readonly)) };
        Self(PhantomData)
    }

    #[inline(always)]
    pub(super) fn zero<const REGISTER: usize>(&self) {
        // SAFETY: the registers are configured, and no other code uses them.
        unsafe { asm!("tilezero tmm{}", const REGISTER, options(nostack, preserves_flags, nomem)) };
    }

    #[inline(always)]
    pub(super) fn load<const REGISTER: usize>(&self, tile: &Tile) {
        // SAFETY: as above; the instruction reads 16 rows, 64 bytes apart.
        unsafe {
            asm!("tileloadd tmm{}, [{} + {}]", const REGISTER, in(reg) tile, in(reg) 64_usize,
                options(nostack, preserves_flags, readonly));
        }
    }

    #[inline(always)]
    pub(super) fn store<const REGISTER: usize>(&self, tile: &mut Tile) {
        // SAFETY: as above; the instruction writes 16 rows, 64 bytes apart.
        unsafe {
            asm!("tilestored [{} + {}], tmm{}", in(reg) tile, in(reg) 64_usize, const REGISTER,
                options(nostack, preserves_flags));
        }
    }

    /// Adds the product of a register of rows and one of columns to the sums.
    #[inline(always)]
    pub(super) fn add_product<const SUMS: usize, const ROWS: usize, const COLUMNS: usize>(&self) {
        // SAFETY: as above.
        unsafe {
            asm!("tdpbf16ps tmm{}, tmm{}, tmm{}", const SUMS, const ROWS, const COLUMNS,
                options(nostack, preserves_flags, nomem));
        }
    }
}

#[expect(unsafe_code, reason = "Rust has no stable intrinsics for AMX")]
impl Drop for Registers {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: the instruction resets the registers, which this value configured.
        unsafe { asm!("tilerelease", options(nostack, preserves_flags, nomem)) };
    }
}
