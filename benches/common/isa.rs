//! Instruction sets, by rushlight's names.

/// Instruction set of this machine.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Isa {
    /// Plain code, one number at a time.
    Scalar,
    /// SSE4.2: 4 lanes, without fused multiply-adds.
    #[cfg(target_arch = "x86_64")]
    Sse42(pulp::x86::V2),
    /// AVX2 with FMA: 8 lanes.
    #[cfg(target_arch = "x86_64")]
    Avx2(pulp::x86::V3),
    /// AVX-512: 16 lanes.
    #[cfg(target_arch = "x86_64")]
    Avx512(pulp::x86::V4),
    /// NEON: 4 lanes.
    #[cfg(target_arch = "aarch64")]
    Neon(pulp::aarch64::Neon),
}

impl Isa {
    /// Returns the instruction set that `RUSHLIGHT_CPU` names; the default is the best one. The error lists valid
    /// values.
    pub(crate) fn chosen() -> Result<Self, String> {
        let mut sets = Self::available();
        let Some(name) = std::env::var("RUSHLIGHT_CPU").ok().filter(|name| !name.is_empty()) else {
            return sets.pop().ok_or_else(String::new);
        };
        // AMX and VNNI multiply other numbers, but this measures float32 multiply-adds.
        let name = match name.as_str() {
            "amx" => "avx512".to_owned(),
            "avxvnni" => "avx2".to_owned(),
            _ => name,
        };
        let names = || sets.iter().map(|isa| isa.name()).collect::<Vec<_>>().join(", ");
        let chosen = sets.iter().find(|isa| isa.name() == name).copied();
        chosen.ok_or_else(|| format!("RUSHLIGHT_CPU: must be one of {} on this machine, got {name:?}", names()))
    }

    /// Returns all instruction sets of this machine, plain code first, the best last.
    fn available() -> Vec<Self> {
        let mut sets = vec![Self::Scalar];
        #[cfg(target_arch = "x86_64")]
        {
            sets.extend(pulp::x86::V2::try_new().map(Self::Sse42));
            sets.extend(pulp::x86::V3::try_new().map(Self::Avx2));
            sets.extend(pulp::x86::V4::try_new().map(Self::Avx512));
        }
        #[cfg(target_arch = "aarch64")]
        sets.extend(pulp::aarch64::Neon::try_new().map(Self::Neon));
        sets
    }

    /// Returns the name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Self::Sse42(_) => "sse4.2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512",
            #[cfg(target_arch = "aarch64")]
            Self::Neon(_) => "neon",
        }
    }

    /// Runs a loop with this instruction set.
    #[inline(always)]
    pub(crate) fn run<Op: pulp::WithSimd>(self, op: Op) -> Op::Output {
        match self {
            Self::Scalar => op.with_simd(pulp::Scalar),
            #[cfg(target_arch = "x86_64")]
            Self::Sse42(simd) => pulp::Simd::vectorize(simd, op),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(simd) => pulp::Simd::vectorize(simd, op),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(simd) => pulp::Simd::vectorize(simd, op),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(simd) => pulp::Simd::vectorize(simd, op),
        }
    }
}
