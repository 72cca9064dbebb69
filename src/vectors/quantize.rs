//! Quantization: a byte or a bit for each dimension.

use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use crate::alloc;
use crate::error::{Error, Result};
use crate::kernels::nan::all_finite;
use crate::options::QuantizeOptions;
use crate::threads::schedule::{self, lock};
use crate::vectors::similarity::{MatrixView, Run};

mod coded;

pub use coded::{BinaryView, Int8View, QuantizedBytes};

/// Type of the numbers of quantized embeddings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
pub enum Precision {
    /// `"float32"`: as computed.
    #[default]
    Float32,
    /// `"int8"`: 256 codes for each dimension, from -128 up.
    Int8,
    /// `"uint8"`: 256 codes for each dimension, from 0 up.
    Uint8,
    /// `"binary"`: a bit for each dimension, eight in an `i8`.
    Binary,
    /// `"ubinary"`: a bit for each dimension, eight in a `u8`.
    Ubinary,
}

impl Precision {
    const ALL: [Self; 5] = [Self::Float32, Self::Int8, Self::Uint8, Self::Binary, Self::Ubinary];

    /// Returns its name in sentence-transformers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Int8 => "int8",
            Self::Uint8 => "uint8",
            Self::Binary => "binary",
            Self::Ubinary => "ubinary",
        }
    }

    /// Returns the number of values that an embedding of `dim` dimensions becomes.
    pub fn columns(self, dim: usize) -> usize {
        match self {
            Self::Float32 | Self::Int8 | Self::Uint8 => dim,
            Self::Binary | Self::Ubinary => dim.div_ceil(8),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Precision {
    type Err = Error;

    /// # Errors
    /// [`Error::InvalidArgument`] for an unknown name, with the known ones.
    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|precision| precision.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::argument("precision", format!("must be one of {known}, got {name:?}"))
        })
    }
}

/// Result of [`quantize`]: a matrix in row-major order.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Quantized {
    /// Number of embeddings.
    pub rows: usize,
    /// Number of values of each; see [`Precision::columns`].
    pub columns: usize,
    /// The `rows * columns` values.
    pub values: QuantizedValues,
}

/// Values of [`Quantized`] embeddings.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
pub enum QuantizedValues {
    /// Values of [`Precision::Float32`].
    Float32(Vec<f32>),
    /// Values of [`Precision::Int8`] and [`Precision::Binary`].
    Int8(Vec<i8>),
    /// Values of [`Precision::Uint8`] and [`Precision::Ubinary`].
    Uint8(Vec<u8>),
}

/// Quantizes embeddings.
///
/// - `Int8` and `Uint8` cut each dimension's range into 255 steps of one length, in float32:
///   `clip(floor((x - min) / step), 0, 255)`, with `step = (max - min) / 255`, or 1 where that is 0. `Int8` is the same
///   less 128. The range is [`QuantizeOptions::ranges`], else that of [`QuantizeOptions::calibration`], else that of the
///   embeddings themselves. The range of a single embedding has no width.
/// - `Binary` and `Ubinary` store `x > 0`: a row becomes `ceil(dim / 8)` bytes, the first dimension in the highest bit,
///   zeros after the last. `Binary` is the byte less 128.
/// - `Float32` copies.
///
/// # Errors
/// [`Error::InvalidArgument`] if ranges or calibration are of another width, or a calibration that is needed has no rows;
/// except for `Float32` also if a number is NaN or infinite, which would move the codes of all rows. [`Error::Memory`];
/// [`Error::Interrupted`].
///
/// # Examples
/// ```
/// use rushlight::{Matrix, Precision, QuantizedValues, quantize};
///
/// let embeddings = Matrix::from_rows([[0.1, -0.2, 0.3], [-0.4, 0.5, -0.6]])?;
/// let quantized = quantize(&embeddings, Precision::Ubinary, &Default::default())?;
/// assert_eq!(quantized.values, QuantizedValues::Uint8(vec![0b1010_0000, 0b0100_0000]));
/// # Ok::<(), rushlight::Error>(())
/// ```
#[doc(alias = "quantize_embeddings")]
pub fn quantize<'a>(
    embeddings: impl Into<MatrixView<'a>>,
    precision: Precision,
    options: &QuantizeOptions<'_>,
) -> Result<Quantized> {
    quantized(embeddings.into(), precision, options, Run::new(options.observer)?)
}

/// Returns the result of [`quantize`].
fn quantized(
    matrix: MatrixView<'_>,
    precision: Precision,
    options: &QuantizeOptions<'_>,
    run: Run<'_>,
) -> Result<Quantized> {
    let (embeddings, dim) = (matrix.as_slice(), matrix.columns());
    let &QuantizeOptions { ranges, calibration, .. } = options;
    if precision != Precision::Float32 {
        check_finite("embeddings", embeddings, dim)?;
    }
    let codes = |flip| codes(embeddings, dim, ranges, calibration, flip, run);
    let signed = |bytes: Vec<u8>| QuantizedValues::Int8(bytes.into_iter().map(|byte| byte as i8).collect());
    let values = match precision {
        Precision::Float32 => QuantizedValues::Float32(alloc::copied(embeddings, QUANTIZED)?),
        Precision::Int8 => signed(codes(FLIP)?),
        Precision::Uint8 => QuantizedValues::Uint8(codes(0)?),
        Precision::Binary => signed(bits(embeddings, dim, FLIP, run)?),
        Precision::Ubinary => QuantizedValues::Uint8(bits(embeddings, dim, 0, run)?),
    };
    Ok(Quantized { rows: matrix.rows(), columns: precision.columns(dim), values })
}

/// Bit whose flip subtracts 128 from a byte, as an `i8`.
const FLIP: u8 = 0x80;

/// Purpose of memory, for messages.
const QUANTIZED: &str = "quantized embeddings";

/// Size of a piece of work.
const NUMBERS: usize = 1 << 18;

/// Calls `work` with some rows of `embeddings` and their bytes, `columns` a row, on threads, until all are made.
fn by_rows(
    embeddings: &[f32],
    dim: usize,
    columns: usize,
    run: Run<'_>,
    work: impl Fn(&[f32], &mut [u8]) + Sync,
) -> Result<Vec<u8>> {
    let (dim, columns) = (dim.max(1), columns.max(1));
    let mut bytes = alloc::filled(0, embeddings.len() / dim * columns, QUANTIZED)?;
    let rows = (NUMBERS / dim).max(1);
    let threads = run.threads(embeddings.len().div_ceil(rows * dim), embeddings.len());
    let pieces = embeddings.chunks(rows * dim).zip(bytes.chunks_mut(rows * columns));
    schedule::run(pieces, threads, run.observer(), &|| {}, |(embeddings, bytes), _| {
        work(embeddings, bytes);
        Ok(())
    })?;
    Ok(bytes)
}

/// Returns the number of rows of `dim` numbers, which must all be finite.
fn check_finite(argument: &'static str, numbers: &[f32], dim: usize) -> Result<usize> {
    let rows = match numbers.len().checked_rem(dim) {
        Some(0) => numbers.len() / dim,
        None if numbers.is_empty() => 0,
        _ => return Err(Error::argument(argument, format!("must be rows of {dim} numbers, got {}", numbers.len()))),
    };
    match numbers.chunks_exact(dim.max(1)).position(|row| !all_finite(row)) {
        None => Ok(rows),
        Some(row) => Err(Error::argument(argument, format!("must be finite, row {row} is not"))),
    }
}

fn bits(embeddings: &[f32], dim: usize, flip: u8, run: Run<'_>) -> Result<Vec<u8>> {
    let byte = |part: &[f32]| part.iter().zip(0..).fold(0, |byte, (x, bit)| byte | u8::from(*x > 0.0) << (7 - bit));
    by_rows(embeddings, dim, dim.div_ceil(8), run, |rows, bytes| {
        let parts = rows.chunks(dim).flat_map(|row| row.chunks(8));
        bytes.iter_mut().zip(parts).for_each(|(out, part)| *out = byte(part) ^ flip);
    })
}

/// Returns the int8 codes of [`quantize`], or those of uint8 for a `flip` of 0.
fn codes(
    embeddings: &[f32],
    dim: usize,
    ranges: Option<(&[f32], &[f32])>,
    calibration: Option<&[f32]>,
    flip: u8,
    run: Run<'_>,
) -> Result<Vec<u8>> {
    let (min, max) = match ranges {
        Some((min, max)) => (bounds("min", min, dim)?, bounds("max", max, dim)?),
        None => extremes(embeddings, dim, calibration, run)?,
    };
    let steps: Vec<f32> = min.iter().zip(&max).map(|(min, max)| step(*min, *max)).collect();
    by_rows(embeddings, dim, dim, run, |rows, codes| {
        for (row, codes) in rows.chunks_exact(dim).zip(codes.chunks_exact_mut(dim)) {
            for (((code, x), min), step) in codes.iter_mut().zip(row).zip(&min).zip(&steps) {
                // The conversion rounds down, because numbers are at least 0.
                *code = ((x - min) / step).clamp(0.0, 255.0) as u8 ^ flip;
            }
        }
    })
}

fn step(min: f32, max: f32) -> f32 {
    let step = (max - min) / 255.0;
    if step == 0.0 { 1.0 } else { step }
}

fn bounds(which: &str, bounds: &[f32], dim: usize) -> Result<Vec<f32>> {
    if bounds.len() == dim && all_finite(bounds) {
        return Ok(bounds.to_vec());
    }
    if bounds.len() == dim {
        return Err(Error::argument("ranges", format!("must be finite, {which} has NaN or infinity")));
    }
    let problem = format!("must have {dim} numbers for {which}, one for each dimension, got {}", bounds.len());
    Err(Error::argument("ranges", problem))
}

/// Returns the smallest and the largest number of each dimension.
fn extremes(embeddings: &[f32], dim: usize, calibration: Option<&[f32]>, run: Run<'_>) -> Result<(Vec<f32>, Vec<f32>)> {
    let sample = calibration.unwrap_or(embeddings);
    if check_finite("calibration", sample, dim)? == 0 && !embeddings.is_empty() {
        return Err(Error::argument("calibration", "must have at least one row, got none"));
    }
    let dim = dim.max(1);
    let smaller = |min: &mut f32, x: f32| *min = if x < *min { x } else { *min };
    let larger = |max: &mut f32, x: f32| *max = if x > *max { x } else { *max };
    let found = Mutex::new((vec![f32::INFINITY; dim], vec![f32::NEG_INFINITY; dim]));
    let piece = (NUMBERS / dim).max(1) * dim;
    let threads = run.threads(sample.len().div_ceil(piece), sample.len());
    schedule::run(sample.chunks(piece), threads, run.observer(), &|| {}, |rows, _| {
        let (mut min, mut max) = (vec![f32::INFINITY; dim], vec![f32::NEG_INFINITY; dim]);
        for row in rows.chunks_exact(dim) {
            min.iter_mut().zip(row).for_each(|(min, x)| smaller(min, *x));
            max.iter_mut().zip(row).for_each(|(max, x)| larger(max, *x));
        }
        let mut found = lock(&found);
        found.0.iter_mut().zip(min).for_each(|(min, x)| smaller(min, x));
        found.1.iter_mut().zip(max).for_each(|(max, x)| larger(max, x));
        Ok(())
    })?;
    Ok(found.into_inner().unwrap_or_else(PoisonError::into_inner))
}

#[cfg(test)]
mod tests;
