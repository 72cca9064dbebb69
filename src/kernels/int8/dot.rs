//! Dot products of four u8 with four i8 in each lane of i32, by the instructions that processors have for them.

use super::codes::RowScale;

/// Instruction for dot products. A value proves that the machine has it. All give the same integers for the same codes.
pub(super) trait Dot: Copy {
    /// A vector of i32, or of four bytes for each.
    type Lanes: Copy;
    /// A vector of f32.
    type Numbers: Copy;
    /// Number of i32 in a vector.
    const LANES: usize;

    fn zeros(self) -> Self::Lanes;

    /// Returns the four bytes of `codes` in each lane.
    fn splat(self, codes: u32) -> Self::Lanes;

    /// Loads a vector from the beginning of `weights`.
    ///
    /// # Safety
    /// `weights` has at least [`Dot::LANES`] numbers.
    #[expect(unsafe_code, reason = "a bounds check for each load would cost as much as the product")]
    unsafe fn load(self, weights: &[u32]) -> Self::Lanes;

    /// Adds the dot products of unsigned codes and signed weights to the sums.
    fn add(self, sums: Self::Lanes, codes: Self::Lanes, weights: Self::Lanes) -> Self::Lanes;

    /// Returns `(sums - zero * totals) * (step * steps)`, the numbers that sums stand for. The differences are exact.
    fn numbers(self, sums: Self::Lanes, scale: RowScale, totals: &[i32], steps: &[f32]) -> Self::Numbers;

    /// Adds the first [`Dot::LANES`] numbers of a slice.
    fn plus(self, numbers: Self::Numbers, more: &[f32]) -> Self::Numbers;

    /// Stores numbers into the first [`Dot::LANES`] of `out`.
    fn store(self, numbers: Self::Numbers, out: &mut [f32]);
}

/// Plain code, which compilers turn into the vectors that all machines of an architecture have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain;

impl Dot for Plain {
    type Lanes = [u32; 4];
    type Numbers = [f32; 4];
    const LANES: usize = 4;

    #[inline(always)]
    fn zeros(self) -> Self::Lanes {
        [0; 4]
    }

    #[inline(always)]
    fn splat(self, codes: u32) -> Self::Lanes {
        [codes; 4]
    }

    #[inline(always)]
    #[expect(unsafe_code, reason = "the trait's")]
    unsafe fn load(self, weights: &[u32]) -> Self::Lanes {
        std::array::from_fn(|i| weights[i])
    }

    #[inline(always)]
    fn add(self, sums: Self::Lanes, codes: Self::Lanes, weights: Self::Lanes) -> Self::Lanes {
        std::array::from_fn(|lane| {
            let pairs = codes[lane].to_le_bytes().into_iter().zip(weights[lane].to_le_bytes());
            let dot: i32 = pairs.map(|(code, weight)| i32::from(code) * i32::from(weight.cast_signed())).sum();
            sums[lane].wrapping_add(dot.cast_unsigned())
        })
    }

    #[inline(always)]
    fn numbers(self, sums: Self::Lanes, scale: RowScale, totals: &[i32], steps: &[f32]) -> Self::Numbers {
        std::array::from_fn(|lane| {
            let exact = sums[lane].cast_signed().wrapping_sub(scale.zero.wrapping_mul(totals[lane]));
            exact as f32 * (scale.step * steps[lane])
        })
    }

    #[inline(always)]
    fn plus(self, numbers: Self::Numbers, more: &[f32]) -> Self::Numbers {
        std::array::from_fn(|lane| numbers[lane] + more[lane])
    }

    #[inline(always)]
    fn store(self, numbers: Self::Numbers, out: &mut [f32]) {
        out[..Self::LANES].copy_from_slice(&numbers);
    }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "intrinsics")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Dot, RowScale};

    /// AVX2: products of bytes, added in i16 by pairs, which `DotInstructions::greatest` keeps from saturating.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Avx2(());

    impl Avx2 {
        pub(in super::super) fn try_new() -> Option<Self> {
            is_x86_feature_detected!("avx2").then_some(Self(()))
        }
    }

    /// AVX-VNNI: 8 lanes.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct AvxVnni(());

    impl AvxVnni {
        pub(in super::super) fn try_new() -> Option<Self> {
            (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("avxvnni")).then_some(Self(()))
        }
    }

    /// AVX-512 VNNI: 16 lanes.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Avx512Vnni(());

    impl Avx512Vnni {
        pub(in super::super) fn try_new() -> Option<Self> {
            (pulp::x86::V4::try_new().is_some() && is_x86_feature_detected!("avx512vnni")).then_some(Self(()))
        }
    }

    /// Implements [`Dot`] for a vector, but for the sum of products, by its intrinsics.
    macro_rules! lanes {
        ($Ints:ty, $Floats:ty, $count:literal, $zeros:ident, $splat:ident, $load:ident, $sub:ident, $mul:ident,
         $float:ident, $splat_f32:ident, $load_f32:ident, $mul_f32:ident, $add_f32:ident, $store_f32:ident) => {
            type Lanes = $Ints;
            type Numbers = $Floats;
            const LANES: usize = $count;

            #[inline(always)]
            fn zeros(self) -> $Ints {
                // SAFETY: `self` proves that the machine has the instruction.
                unsafe { $zeros() }
            }

            #[inline(always)]
            fn splat(self, codes: u32) -> $Ints {
                // SAFETY: `self` proves that the machine has the instruction.
                unsafe { $splat(codes.cast_signed()) }
            }

            #[inline(always)]
            unsafe fn load(self, weights: &[u32]) -> $Ints {
                // SAFETY: the caller promises the numbers, `self` proves that the machine has the instruction.
                unsafe { $load(weights.as_ptr().cast()) }
            }

            #[inline(always)]
            fn numbers(self, sums: $Ints, scale: RowScale, totals: &[i32], steps: &[f32]) -> $Floats {
                let (totals, steps) = (&totals[..$count], &steps[..$count]);
                // SAFETY: the slices have that many numbers, `self` proves that the machine has the instructions.
                unsafe {
                    let totals = $load(totals.as_ptr().cast());
                    let exact = $sub(sums, $mul($splat(scale.zero), totals));
                    $mul_f32($float(exact), $mul_f32($splat_f32(scale.step), $load_f32(steps.as_ptr())))
                }
            }

            #[inline(always)]
            fn plus(self, numbers: $Floats, more: &[f32]) -> $Floats {
                let more = &more[..$count];
                // SAFETY: the slice has that many numbers, `self` proves that the machine has the instructions.
                unsafe { $add_f32(numbers, $load_f32(more.as_ptr())) }
            }

            #[inline(always)]
            fn store(self, numbers: $Floats, out: &mut [f32]) {
                let out = &mut out[..$count];
                // SAFETY: the slice has that many numbers, `self` proves that the machine has the instruction.
                unsafe { $store_f32(out.as_mut_ptr(), numbers) }
            }
        };
    }

    /// [`lanes`] of 256 bits.
    macro_rules! lanes_256 {
        () => {
            lanes!(
                __m256i,
                __m256,
                8,
                _mm256_setzero_si256,
                _mm256_set1_epi32,
                _mm256_loadu_si256,
                _mm256_sub_epi32,
                _mm256_mullo_epi32,
                _mm256_cvtepi32_ps,
                _mm256_set1_ps,
                _mm256_loadu_ps,
                _mm256_mul_ps,
                _mm256_add_ps,
                _mm256_storeu_ps
            );
        };
    }

    impl Dot for Avx2 {
        lanes_256!();

        #[inline(always)]
        fn add(self, sums: __m256i, codes: __m256i, weights: __m256i) -> __m256i {
            // SAFETY: `self` proves that the machine has the instructions.
            unsafe {
                let pairs = _mm256_maddubs_epi16(codes, weights);
                _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
            }
        }
    }

    impl Dot for AvxVnni {
        lanes_256!();

        #[inline(always)]
        fn add(self, sums: __m256i, codes: __m256i, weights: __m256i) -> __m256i {
            // SAFETY: `self` proves that the machine has the instruction.
            unsafe { _mm256_dpbusd_avx_epi32(sums, codes, weights) }
        }
    }

    impl Dot for Avx512Vnni {
        lanes!(
            __m512i,
            __m512,
            16,
            _mm512_setzero_si512,
            _mm512_set1_epi32,
            _mm512_loadu_si512,
            _mm512_sub_epi32,
            _mm512_mullo_epi32,
            _mm512_cvtepi32_ps,
            _mm512_set1_ps,
            _mm512_loadu_ps,
            _mm512_mul_ps,
            _mm512_add_ps,
            _mm512_storeu_ps
        );

        #[inline(always)]
        fn add(self, sums: __m512i, codes: __m512i, weights: __m512i) -> __m512i {
            // SAFETY: `self` proves that the machine has the instruction.
            unsafe { _mm512_dpbusd_epi32(sums, codes, weights) }
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512Vnni, AvxVnni};

#[cfg(target_arch = "aarch64")]
#[expect(unsafe_code, reason = "intrinsics, and an instruction that has none in stable Rust")]
mod aarch64 {
    use std::arch::aarch64::*;
    use std::arch::{asm, is_aarch64_feature_detected};

    use super::{Dot, RowScale};

    /// Signed dot products (FEAT_DotProd): 4 lanes. Codes less 128 are signed, and so is the row's zero less 128.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Sdot(());

    impl Sdot {
        pub(in super::super) fn try_new() -> Option<Self> {
            is_aarch64_feature_detected!("dotprod").then_some(Self(()))
        }
    }

    impl Dot for Sdot {
        type Lanes = int32x4_t;
        type Numbers = float32x4_t;
        const LANES: usize = 4;

        #[inline(always)]
        fn zeros(self) -> int32x4_t {
            // SAFETY: `self` proves that the machine has NEON.
            unsafe { vdupq_n_s32(0) }
        }

        #[inline(always)]
        fn splat(self, codes: u32) -> int32x4_t {
            // SAFETY: `self` proves that the machine has NEON.
            unsafe { vdupq_n_s32((codes ^ 0x8080_8080).cast_signed()) }
        }

        #[inline(always)]
        unsafe fn load(self, weights: &[u32]) -> int32x4_t {
            // SAFETY: the caller promises the numbers, `self` proves that the machine has NEON.
            unsafe { vld1q_s32(weights.as_ptr().cast()) }
        }

        #[inline(always)]
        fn add(self, mut sums: int32x4_t, codes: int32x4_t, weights: int32x4_t) -> int32x4_t {
            // SAFETY: `self` proves that the machine has the instruction, which touches these registers alone.
            unsafe {
                asm!(
                    ".arch_extension dotprod",
                    "sdot {sums:v}.4s, {codes:v}.16b, {weights:v}.16b",
                    sums = inout(vreg) sums,
                    codes = in(vreg) codes,
                    weights = in(vreg) weights,
                    options(pure, nomem, nostack, preserves_flags)
                );
            }
            sums
        }

        #[inline(always)]
        fn numbers(self, sums: int32x4_t, scale: RowScale, totals: &[i32], steps: &[f32]) -> float32x4_t {
            let (totals, steps) = (&totals[..Self::LANES], &steps[..Self::LANES]);
            // SAFETY: the slices have that many numbers, `self` proves that the machine has NEON.
            unsafe {
                let exact = vsubq_s32(sums, vmulq_n_s32(vld1q_s32(totals.as_ptr()), scale.zero - 128));
                vmulq_f32(vcvtq_f32_s32(exact), vmulq_n_f32(vld1q_f32(steps.as_ptr()), scale.step))
            }
        }

        #[inline(always)]
        fn plus(self, numbers: float32x4_t, more: &[f32]) -> float32x4_t {
            let more = &more[..Self::LANES];
            // SAFETY: the slice has that many numbers, `self` proves that the machine has NEON.
            unsafe { vaddq_f32(numbers, vld1q_f32(more.as_ptr())) }
        }

        #[inline(always)]
        fn store(self, numbers: float32x4_t, out: &mut [f32]) {
            let out = &mut out[..Self::LANES];
            // SAFETY: the slice has that many numbers, `self` proves that the machine has NEON.
            unsafe { vst1q_f32(out.as_mut_ptr(), numbers) }
        }
    }
}

#[cfg(target_arch = "aarch64")]
pub(super) use aarch64::Sdot;

/// Instructions of a machine for products of bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum DotInstructions {
    Plain(Plain),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    AvxVnni(AvxVnni),
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni(Avx512Vnni),
    #[cfg(target_arch = "aarch64")]
    Sdot(Sdot),
}
