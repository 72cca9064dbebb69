//! Drawn images, by which int8 is calibrated: plain areas, gradients, edges, textures and noise, in many colors.

use crate::kernels::resample::CHANNELS;

/// Number of images.
const IMAGES: u32 = 10;

/// Returns the pixels of square images with `side` pixels in a row.
pub(crate) fn drawn(side: usize) -> impl Iterator<Item = Vec<u8>> {
    (0..IMAGES).map(move |image| {
        let pixel = |at: usize| {
            let [x, y] = [at % side, at / side].map(|at| at as f32 / side as f32);
            color(image, x, y, at as u32).map(|channel| (channel.clamp(0.0, 1.0) * 255.0) as u8)
        };
        (0..side * side).flat_map(pixel).collect()
    })
}

/// Returns the color at a place from 0 to 1; `seed` differs from pixel to pixel.
fn color(image: u32, x: f32, y: f32, seed: u32) -> [f32; CHANNELS] {
    let noise = |salt: u32| random(seed ^ salt << 24 ^ image << 28);
    let wave = |fx: f32, fy: f32, phase: f32| 0.5 + 0.5 * (fx * x + fy * y + phase).sin();
    let disc = |cx: f32, cy: f32, radius: f32| (x - cx).hypot(y - cy) < radius;
    match image {
        // A sun over a meadow.
        0 if disc(0.7, 0.25, 0.12) => [1.0, 0.9, 0.4],
        0 if y < 0.6 => [0.3 + 0.5 * y, 0.5 + 0.5 * y, 0.95],
        0 => [0.2, 0.6 - 0.3 * y + 0.2 * noise(0), 0.15],
        // Checks and stripes.
        1 => [((x * 8.0) as u32 + (y * 8.0) as u32).is_multiple_of(2), x > 0.5, y > 0.5].map(f32::from),
        2 => [wave(60.0, 20.0, 0.0), wave(-30.0, 45.0, 1.0), wave(5.0, 90.0, 2.0)],
        // Noise of pixels, and of large clouds.
        3 => [noise(0), noise(1), noise(2)],
        4 => [0.0, 1.5, 3.0]
            .map(|hue| 0.5 * wave(7.0, 4.0, hue) + 0.3 * wave(-11.0, 17.0, 2.0 * hue) + 0.2 * wave(31.0, 9.0, hue)),
        // Dark lines on paper, as of a text.
        5 if (y * 24.0).fract() < 0.5 && random((x * 60.0) as u32 ^ ((y * 24.0) as u32) << 8) < 0.6 => [0.1; CHANNELS],
        5 => [0.97, 0.96, 0.92],
        // A face-like shape, a night with stars, a plain wall, a grey photo with a vignette.
        6 if disc(0.4, 0.4, 0.05) || disc(0.6, 0.4, 0.05) => [0.15, 0.1, 0.1],
        6 if disc(0.5, 0.5, 0.3) => [0.85 - 0.3 * x, 0.65 - 0.2 * x, 0.5 - 0.2 * y],
        6 => [0.35, 0.4, 0.55 + 0.1 * noise(0)],
        7 if noise(0) > 0.995 => [1.0; CHANNELS],
        7 => [0.02, 0.02, 0.08 + 0.1 * y],
        8 => [0.8 + 0.02 * noise(0), 0.3, 0.25],
        _ => [0.9 - 1.2 * (x - 0.5).hypot(y - 0.5) + 0.1 * wave(80.0, 0.0, 0.0); CHANNELS],
    }
}

/// Returns a number from 0 to 1 that looks random, but is always the same.
fn random(seed: u32) -> f32 {
    let mixed = (seed ^ seed >> 16).wrapping_mul(0x7feb_352d);
    let mixed = (mixed ^ mixed >> 15).wrapping_mul(0x846c_a68b);
    (mixed >> 8) as f32 / (1 << 24) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_full_and_differ() {
        let images: Vec<_> = drawn(32).collect();
        assert_eq!(images.len(), IMAGES as usize);
        for (i, image) in images.iter().enumerate() {
            assert_eq!(image.len(), 32 * 32 * CHANNELS);
            assert!(images[..i].iter().all(|other| other != image), "{i}");
        }
    }
}
