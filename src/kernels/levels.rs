//! Numbers of their levels.

use pulp::{Simd, WithSimd};

use super::Isa;

/// What a dimension's level 0 stands for, and how far the next one is.
#[derive(Clone, Copy)]
pub(crate) struct Scale<'a> {
    pub(crate) min: &'a [f32],
    pub(crate) step: &'a [f32],
}

/// `min + level * step` for each of the rows of `levels`, `(n, width)`, into `out`; `width` is the scale's. A level is a byte,
/// or that with its highest bit flipped where it is of an `i8`.
pub(crate) fn numbers(isa: Isa, levels: &[u8], flip: u8, scale: Scale<'_>, out: &mut [f32]) {
    debug_assert_eq!(levels.len(), out.len());
    isa.run(Numbers { levels, flip, scale, out });
}

struct Numbers<'a> {
    levels: &'a [u8],
    flip: u8,
    scale: Scale<'a>,
    out: &'a mut [f32],
}

impl WithSimd for Numbers<'_> {
    type Output = ();
    // Plain loops: the compiler makes them vectors of the instruction set they are instantiated for.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Scale { min, step } = self.scale;
        let width = min.len().max(1);
        for (levels, out) in self.levels.chunks_exact(width).zip(self.out.chunks_exact_mut(width)) {
            for (((out, level), min), step) in out.iter_mut().zip(levels).zip(min).zip(step) {
                *out = min + f32::from(level ^ self.flip) * step;
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
                let levels: Vec<u8> = (0..3 * width).map(|i| (i * 37) as u8).collect();
                for (flip, offset) in [(0, 0), (0x80, 128)] {
                    let mut out = vec![f32::NAN; 3 * width];
                    numbers(isa, &levels, flip, Scale { min: &min, step: &step }, &mut out);
                    for (i, got) in out.into_iter().enumerate() {
                        let level = f32::from(levels[i].wrapping_add(offset));
                        assert_eq!(got, min[i % width] + level * step[i % width], "{} {width} {i}", isa.name());
                    }
                }
            }
        }
    }
}
