//! Kernels: loops over slices, one file for each job, one source for all instruction sets.
//!
//! Each kernel is generic over [`pulp::Simd`] and instantiated for every instruction set in [`Isa`]. The order of an output
//! row's sums depends on the row alone, not on its neighbours or on the tile. So a text has the same bits in any batch.

pub(crate) mod activation;
#[cfg(target_arch = "x86_64")]
mod amx;
pub(crate) mod attention;
#[cfg(feature = "bench")]
pub mod bench;
pub(crate) mod bf16;
pub(crate) mod buffer;
pub(crate) mod convolution;
pub(crate) mod dot;
pub(crate) mod exp;
pub(crate) mod gelu;
pub(crate) mod hamming;
pub(crate) mod int8;
pub(crate) mod int8_codes;
pub(crate) mod matmul;
pub(crate) mod nan;
pub(crate) mod norm;
pub(crate) mod numbers;
pub(crate) mod panels;
pub(crate) mod pool;
pub(crate) mod prefetch;
pub(crate) mod resample;
pub(crate) mod rotary;
pub(crate) mod rows;
pub(crate) mod squares;
pub(crate) mod unit;
pub(crate) mod weight;

/// Instruction set of this machine. A value proves that the machine has it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Isa {
    /// Scalar code, one number at a time.
    Scalar,
    /// SSE4.2, which AVX includes: 4 lanes.
    #[cfg(target_arch = "x86_64")]
    Sse42(pulp::x86::V2),
    /// AVX2 with FMA: 8 lanes.
    #[cfg(target_arch = "x86_64")]
    Avx2(pulp::x86::V3),
    /// AVX2 with AVX-VNNI for the products of int8.
    #[cfg(target_arch = "x86_64")]
    AvxVnni(pulp::x86::V3),
    /// AVX-512: 16 lanes.
    #[cfg(target_arch = "x86_64")]
    Avx512(pulp::x86::V4),
    /// AVX-512 with AMX for the matrix products.
    #[cfg(target_arch = "x86_64")]
    Amx(amx::Amx),
    /// NEON: 4 lanes.
    #[cfg(target_arch = "aarch64")]
    Neon(pulp::aarch64::Neon),
}

impl Isa {
    /// Returns the instruction sets of this machine, scalar first, best last.
    pub(crate) fn available() -> Vec<Self> {
        let mut sets = vec![Self::Scalar];
        #[cfg(target_arch = "x86_64")]
        {
            sets.extend(pulp::x86::V2::try_new().map(Self::Sse42));
            sets.extend(pulp::x86::V3::try_new().map(Self::Avx2));
            sets.extend(pulp::x86::V3::try_new().filter(|_| is_x86_feature_detected!("avxvnni")).map(Self::AvxVnni));
            sets.extend(pulp::x86::V4::try_new().map(Self::Avx512));
            sets.extend(amx::Amx::try_new().map(Self::Amx));
        }
        #[cfg(target_arch = "aarch64")]
        sets.extend(pulp::aarch64::Neon::try_new().map(Self::Neon));
        sets
    }

    /// Returns the name by which `RUSHLIGHT_CPU` chooses it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Self::Sse42(_) => "sse4.2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni(_) => "avxvnni",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Self::Amx(_) => "amx",
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => "neon",
        }
    }

    /// Describes the layout of packed weights of every form. Two sets of one layout pack the same bits of float32 and bfloat16;
    /// int8's also depend on the inputs that a calibration computes, so the set's name is part of it.
    pub(crate) fn layout(self) -> String {
        let (name, lanes, vectors) = (self.name(), self.lanes(), self.panel_vectors());
        format!("{name}: panels of {vectors} vectors of {lanes} numbers; int8: {}", int8::layout(self))
    }

    /// Runs a kernel with this instruction set.
    #[inline(always)]
    pub(crate) fn run<Op: pulp::WithSimd>(self, op: Op) -> Op::Output {
        match self {
            Self::Scalar => op.with_simd(pulp::Scalar),
            #[cfg(target_arch = "x86_64")]
            Self::Sse42(simd) => pulp::Simd::vectorize(simd, op),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(simd) | Self::AvxVnni(simd) => pulp::Simd::vectorize(simd, op),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(simd) | Self::Amx(amx::Amx(simd)) => pulp::Simd::vectorize(simd, op),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(simd) => pulp::Simd::vectorize(simd, op),
        }
    }

    /// Returns the number of vectors of columns in a panel. 3 vectors by 8 rows fill 32 registers, 3 by 4 fill 16.
    #[inline(always)]
    pub(crate) fn panel_vectors(self) -> usize {
        match self {
            Self::Scalar => 2,
            #[cfg(target_arch = "x86_64")]
            Self::Sse42(_) => 2,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) | Self::AvxVnni(_) | Self::Avx512(_) => 3,
            #[cfg(target_arch = "x86_64")]
            Self::Amx(_) => amx::VECTORS,
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => 3,
        }
    }

    /// Returns the number of `f32` in a vector.
    #[inline(always)]
    pub(crate) fn lanes(self) -> usize {
        match self {
            Self::Scalar => 1,
            #[cfg(target_arch = "x86_64")]
            Self::Sse42(_) => 4,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) | Self::AvxVnni(_) => 8,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) | Self::Amx(_) => 16,
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => 4,
        }
    }
}

/// Computes `a * b + c`, rounded once by instruction sets that can, otherwise after each operation.
#[inline(always)]
pub(crate) fn multiply_add<S: pulp::Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
    // SSE4.2 has no such instruction: pulp calls a function of libm for each number.
    if cfg!(target_arch = "x86_64") && S::F32_LANES == 4 {
        simd.add_f32s(simd.mul_f32s(a, b), c)
    } else {
        simd.mul_add_e_f32s(a, b, c)
    }
}

#[cfg(any(test, feature = "bench"))]
pub(crate) mod testing {
    /// Returns `count` pseudo-random numbers in -1..1, the same in every run.
    pub(crate) fn noise(count: usize, seed: u64) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    /// Returns the largest absolute difference of two slices of one length.
    #[cfg(test)]
    pub(crate) fn largest_difference(a: &[f32], b: &[f64]) -> f64 {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).map(|(x, y)| (f64::from(*x) - y).abs()).fold(0.0, f64::max)
    }
}
