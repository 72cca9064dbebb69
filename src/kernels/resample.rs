//! Resampling of 8-bit RGB images along one axis, by integer weights as Pillow does it.

use pulp::{Simd, WithSimd};

use super::Isa;

/// Bytes of a pixel.
pub(crate) const CHANNELS: usize = 3;
/// Fractional bits of a weight.
pub(crate) const BITS: u32 = 32 - 8 - 2;
/// One half, which rounds sums.
const HALF: i32 = 1 << (BITS - 1);
/// Rows that are resampled side by side, so that their pixels fill vectors.
const ROWS: usize = 8;
/// Bytes of a column of a block of rows.
const LANES: usize = ROWS * CHANNELS;

/// Pixels that an output pixel is a weighted sum of, along one axis.
pub(crate) struct Taps {
    pub(crate) first: usize,
    pub(crate) weights: Vec<i32>,
}

/// Returns the rounded byte of a sum.
#[inline(always)]
fn byte(sum: i32) -> u8 {
    (sum >> BITS).clamp(0, 255) as u8
}

/// Resamples every row: `image` has rows of `width` pixels, `out` rows of one pixel for each of the taps.
pub(crate) fn rows(isa: Isa, image: &[u8], width: usize, taps: &[Taps], out: &mut [u8]) {
    isa.run(Horizontal { image, width, taps, out });
}

/// Resamples every column: `image` and `out` have rows of `stride` bytes; `out` has one row for each of the taps.
pub(crate) fn columns(isa: Isa, image: &[u8], stride: usize, taps: &[Taps], out: &mut [u8]) {
    isa.run(Vertical { image, stride, taps, out });
}

struct Horizontal<'a> {
    image: &'a [u8],
    width: usize,
    taps: &'a [Taps],
    out: &'a mut [u8],
}

impl WithSimd for Horizontal<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { image, width, taps, out } = self;
        let stride = taps.len() * CHANNELS;
        let mut block = vec![[0; LANES]; width];
        let blocks = image.chunks(ROWS * width * CHANNELS).zip(out.chunks_mut(ROWS * stride));
        for (rows, out) in blocks {
            for (row, bytes) in rows.chunks_exact(width * CHANNELS).enumerate() {
                for (column, pixel) in block.iter_mut().zip(bytes.as_chunks::<CHANNELS>().0) {
                    column[row * CHANNELS..][..CHANNELS].copy_from_slice(pixel);
                }
            }
            for (x, taps) in taps.iter().enumerate() {
                let sums = weighted(&block[taps.first..], &taps.weights);
                for (row, sums) in out.chunks_exact_mut(stride).zip(sums.as_chunks::<CHANNELS>().0) {
                    row[x * CHANNELS..][..CHANNELS].copy_from_slice(&sums.map(byte));
                }
            }
        }
    }
}

/// Adds up the weighted columns of a block.
#[inline(always)]
fn weighted(columns: &[[u8; LANES]], weights: &[i32]) -> [i32; LANES] {
    let mut sums = [HALF; LANES];
    for (column, weight) in columns.iter().zip(weights) {
        for (sum, byte) in sums.iter_mut().zip(column) {
            *sum += weight * i32::from(*byte);
        }
    }
    sums
}

struct Vertical<'a> {
    image: &'a [u8],
    stride: usize,
    taps: &'a [Taps],
    out: &'a mut [u8],
}

impl WithSimd for Vertical<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { image, stride, taps, out } = self;
        let mut sums = vec![HALF; stride];
        for (taps, out) in taps.iter().zip(out.chunks_exact_mut(stride)) {
            sums.fill(HALF);
            for (row, weight) in image[taps.first * stride..].chunks_exact(stride).zip(&taps.weights) {
                for (sum, byte) in sums.iter_mut().zip(row) {
                    *sum += weight * i32::from(*byte);
                }
            }
            out.iter_mut().zip(&sums).for_each(|(out, sum)| *out = byte(*sum));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Taps of random weights, which add up to one.
    fn taps(from: usize, to: usize) -> Vec<Taps> {
        let of = |i: usize| {
            let first = i * 7 % from;
            let count = (1 + i % 5).min(from - first);
            let part = (1 << BITS) / count as i32;
            let weights = (0..count as i32).map(|j| part + if j % 2 == 0 { 9999 } else { -9999 });
            Taps { first, weights: weights.collect() }
        };
        (0..to).map(of).collect()
    }

    #[test]
    fn all_instruction_sets_agree_with_the_plain_sum() {
        for (width, height, to) in [(1, 1, 1), (5, 3, 4), (9, 17, 20), (40, 8, 7)] {
            let image: Vec<u8> = (0..width * height * CHANNELS).map(|i| (i * i * 31 % 251) as u8).collect();
            let at = |x: usize, y: usize, channel: usize| i64::from(image[(y * width + x) * CHANNELS + channel]);
            let rounded = |sum: i64| ((sum + i64::from(HALF)) >> BITS).clamp(0, 255) as u8;
            let (along, down) = (taps(width, to), taps(height, to));
            for isa in Isa::available() {
                let mut out = vec![0; to * height * CHANNELS];
                rows(isa, &image, width, &along, &mut out);
                for (i, byte) in out.iter().enumerate() {
                    let (channel, x, y) = (i % CHANNELS, i / CHANNELS % to, i / CHANNELS / to);
                    let terms = along[x].weights.iter().enumerate();
                    let sum = terms.map(|(j, weight)| i64::from(*weight) * at(along[x].first + j, y, channel)).sum();
                    assert_eq!(*byte, rounded(sum), "{} {width} {height}", isa.name());
                }
                let mut out = vec![0; width * to * CHANNELS];
                columns(isa, &image, width * CHANNELS, &down, &mut out);
                for (i, byte) in out.iter().enumerate() {
                    let (channel, x, y) = (i % CHANNELS, i / CHANNELS % width, i / CHANNELS / width);
                    let terms = down[y].weights.iter().enumerate();
                    let sum = terms.map(|(j, weight)| i64::from(*weight) * at(x, down[y].first + j, channel)).sum();
                    assert_eq!(*byte, rounded(sum), "{} {width} {height}", isa.name());
                }
            }
        }
    }
}
