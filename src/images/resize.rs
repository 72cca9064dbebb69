//! Resizing as Pillow 12 and older do it, to the last bit: horizontally first, with antialiasing, on bytes.

use std::f64::consts::PI;
use std::ops::Range;

use super::Rgb;
use crate::alloc;
use crate::error::Result;
use crate::kernels::Isa;
use crate::kernels::resample::{self, BITS, CHANNELS, Taps};
use crate::process;

/// Filter of resizing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    Nearest,
    Lanczos,
    Bilinear,
    Bicubic,
    Box,
    Hamming,
}

impl Filter {
    /// Filters by Pillow's numbers.
    pub(crate) const ALL: [Self; 6] =
        [Self::Nearest, Self::Lanczos, Self::Bilinear, Self::Bicubic, Self::Box, Self::Hamming];

    /// Returns the distance from which on the filter is 0.
    fn support(self) -> f64 {
        match self {
            Self::Nearest | Self::Box => 0.5,
            Self::Bilinear | Self::Hamming => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    /// Returns the weight of a pixel at a distance.
    fn weight(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let distance = x.abs();
        match self {
            Self::Nearest | Self::Box => f64::from(x > -0.5 && x <= 0.5),
            Self::Bilinear => (1.0 - distance).max(0.0),
            Self::Hamming if distance == 0.0 => 1.0,
            Self::Hamming if distance < 1.0 => {
                (distance * PI).sin() / (distance * PI) * (0.54 + 0.46 * (distance * PI).cos())
            }
            Self::Bicubic if distance < 1.0 => ((A + 2.0) * distance - (A + 3.0)) * distance * distance + 1.0,
            Self::Bicubic if distance < 2.0 => (((distance - 5.0) * distance + 8.0) * distance - 4.0) * A,
            Self::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            Self::Hamming | Self::Bicubic | Self::Lanczos => 0.0,
        }
    }

    /// Returns the taps of some output pixels, when `from` pixels become `to`.
    fn taps(self, from: usize, to: usize, pixels: Range<usize>) -> Vec<Taps> {
        let scale = from as f64 / to as f64;
        pixels.map(|pixel| self.taps_of(from, scale, pixel)).collect()
    }

    fn taps_of(self, from: usize, scale: f64, pixel: usize) -> Taps {
        if self == Self::Nearest {
            // Pillow adds up steps, whose rounding decides between neighbours.
            let at = (0..pixel).fold(0.5 * scale, |at, _| at + scale);
            return Taps { first: (at as usize).min(from - 1), weights: vec![1 << BITS] };
        }
        let center = (pixel as f64 + 0.5) * scale;
        let stretch = scale.max(1.0);
        let support = self.support() * stretch;
        let first = (center - support + 0.5).max(0.0) as usize;
        let end = ((center + support + 0.5) as usize).min(from);
        // Pillow multiplies by the inverse, which rounds otherwise than a division.
        let inverse = 1.0 / stretch;
        let weights: Vec<_> = (first..end).map(|tap| self.weight((tap as f64 - center + 0.5) * inverse)).collect();
        let sum: f64 = weights.iter().sum();
        let fixed = |weight: f64| {
            let weight = if sum == 0.0 { weight } else { weight / sum } * f64::from(1 << BITS);
            (weight + 0.5_f64.copysign(weight)) as i32
        };
        Taps { first, weights: weights.into_iter().map(fixed).collect() }
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) }
}

/// Size of an image in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: usize,
    pub(crate) height: usize,
}

/// Part of a resized image.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) columns: Range<usize>,
    pub(crate) rows: Range<usize>,
}

/// Resizes an image, and returns a part of the result. The rest isn't computed.
pub(super) fn resize(image: &Rgb, to: Size, part: &Part, filter: Filter) -> Result<Rgb> {
    let isa = process::isa()?;
    let from = image.size;
    let down = filter.taps(from.height, to.height, part.rows.clone());
    // Only these rows are read.
    let first = down.iter().map(|taps| taps.first).min().unwrap_or(0);
    let end = down.iter().map(|taps| taps.first + taps.weights.len()).max().unwrap_or(0);
    let (first, end) = if from.height == to.height { (part.rows.start, part.rows.end) } else { (first, end) };
    let wide = horizontally(isa, image, to.width, first..end, part, filter)?;
    if from.height == to.height {
        return Ok(wide);
    }
    let down: Vec<_> = down.into_iter().map(|taps| Taps { first: taps.first - first, ..taps }).collect();
    let (stride, size) = (wide.size.width * CHANNELS, Size { width: part.columns.len(), height: part.rows.len() });
    let mut out = Rgb::alloc(size)?;
    resample::columns(isa, &wide.data, stride, &down, &mut out.data);
    Ok(out)
}

/// Resizes the rows of an image to the columns of a part.
fn horizontally(isa: Isa, image: &Rgb, to: usize, rows: Range<usize>, part: &Part, filter: Filter) -> Result<Rgb> {
    let from = image.size.width;
    let bytes = &image.data[rows.start * from * CHANNELS..rows.end * from * CHANNELS];
    let size = Size { width: part.columns.len(), height: rows.len() };
    if from != to {
        let mut out = Rgb::alloc(size)?;
        resample::rows(isa, bytes, from, &filter.taps(from, to, part.columns.clone()), &mut out.data);
        return Ok(out);
    }
    let columns = part.columns.start * CHANNELS..part.columns.end * CHANNELS;
    let mut data = alloc::with_capacity(size.width * size.height * CHANNELS, "an image")?;
    bytes.chunks_exact(from * CHANNELS).for_each(|row| data.extend_from_slice(&row[columns.clone()]));
    Ok(Rgb { size, data })
}
