//! Conversion of pixels to RGB as Pillow does it. Transparent pixels lie over white.

use super::Rgb;
use super::resize::Size;
use crate::alloc;
use crate::error::Result;
use crate::kernels::resample::CHANNELS;

/// Converts rows of pixels of 1 to 4 channels: grey, grey and alpha, RGB, RGBA.
pub(super) fn to_rgb(data: &[u8], channels: usize, size: Size) -> Result<Rgb> {
    let pixels = data.chunks_exact(channels);
    let mut rgb = alloc::with_capacity(pixels.len().saturating_mul(CHANNELS), "an image")?;
    match channels {
        1 => pixels.for_each(|pixel| rgb.extend([pixel[0]; CHANNELS])),
        2 => pixels.for_each(|pixel| rgb.extend([over_white(pixel[0], pixel[1]); CHANNELS])),
        4 => pixels.for_each(|pixel| rgb.extend([0, 1, 2].map(|i| over_white(pixel[i], pixel[3])))),
        _ => rgb.extend_from_slice(data),
    }
    Ok(Rgb { size, data: rgb })
}

/// Lays a color over white by Pillow's integers.
fn over_white(color: u8, alpha: u8) -> u8 {
    const BITS: u32 = 7;
    let (color, alpha) = (u32::from(color), u32::from(alpha));
    let sum = (color * alpha + 255 * (255 - alpha)) << BITS;
    let sum = sum + (0x80 << BITS);
    ((((sum >> 8) + sum) >> 8) >> BITS) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transparent_pixels_lie_over_white() {
        assert_eq!([over_white(7, 0), over_white(7, 255), over_white(0, 128), over_white(255, 3)], [255, 7, 127, 255]);
        let size = Size { width: 1, height: 1 };
        let rgb = |data: &[u8]| to_rgb(data, data.len(), size).unwrap().data;
        assert_eq!(
            [rgb(&[9]), rgb(&[9, 255]), rgb(&[1, 2, 3]), rgb(&[1, 2, 3, 0])],
            [[9; 3], [9; 3], [1, 2, 3], [255; 3]]
        );
    }
}
