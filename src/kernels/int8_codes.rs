//! Decoding of int8 codes into float32 (scalar quantization).

use pulp::{Simd, WithSimd};

use super::Isa;

/// Range of each dimension: the number of code 0, and the step between codes.
#[derive(Clone, Copy)]
pub(crate) struct Scale<'a> {
    pub(crate) min: &'a [f32],
    pub(crate) step: &'a [f32],
}

/// Computes `min + code * step` for each row of `codes`, `(n, width)`, into `out`. `width` is the scale's. `flip` is 0 for
/// codes that are `u8`, and 0x80, the highest bit, for codes that are `i8`.
pub(crate) fn decode(isa: Isa, codes: &[u8], flip: u8, scale: Scale<'_>, out: &mut [f32]) {
    debug_assert_eq!(codes.len(), out.len());
    isa.run(Decode { codes, flip, scale, out });
}

struct Decode<'a> {
    codes: &'a [u8],
    flip: u8,
    scale: Scale<'a>,
    out: &'a mut [f32],
}

impl WithSimd for Decode<'_> {
    type Output = ();
    // The compiler vectorizes these plain loops for each instruction set.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Scale { min, step } = self.scale;
        let width = min.len().max(1);
        for (codes, out) in self.codes.chunks_exact(width).zip(self.out.chunks_exact_mut(width)) {
            for (((out, code), min), step) in out.iter_mut().zip(codes).zip(min).zip(step) {
                *out = min + f32::from(code ^ self.flip) * step;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::noise;

    #[test]
    fn agrees_with_plain_arithmetic_at_all_lengths() {
        for isa in Isa::available() {
            for width in 1..=70 {
                let (min, step) = (noise(width, 1), noise(width, 2));
                let codes: Vec<u8> = (0..3 * width).map(|i| (i * 37) as u8).collect();
                for (flip, offset) in [(0, 0), (0x80, 128)] {
                    let mut out = vec![f32::NAN; 3 * width];
                    decode(isa, &codes, flip, Scale { min: &min, step: &step }, &mut out);
                    for (i, got) in out.into_iter().enumerate() {
                        let code = f32::from(codes[i].wrapping_add(offset));
                        assert_eq!(got, min[i % width] + code * step[i % width], "{} {width} {i}", isa.name());
                    }
                }
            }
        }
    }
}
