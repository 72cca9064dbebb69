//! Embeddings in fewer bits: a byte, or a bit, for each dimension.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

mod coded;

#[cfg(feature = "python")]
pub(crate) use coded::Bytes;
pub use coded::{Bits, Levels};

/// The type of an embedding's numbers in the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// `"float32"`: as computed.
    #[default]
    Float32,
    /// `"int8"`: 256 levels for each dimension, from -128 up.
    Int8,
    /// `"uint8"`: 256 levels for each dimension, from 0 up.
    Uint8,
    /// `"binary"`: a bit for each dimension, eight in an `i8`.
    Binary,
    /// `"ubinary"`: a bit for each dimension, eight in a `u8`.
    Ubinary,
}

impl Precision {
    const ALL: [Self; 5] = [Self::Float32, Self::Int8, Self::Uint8, Self::Binary, Self::Ubinary];

    /// Its name in sentence-transformers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Int8 => "int8",
            Self::Uint8 => "uint8",
            Self::Binary => "binary",
            Self::Ubinary => "ubinary",
        }
    }

    /// How many numbers an embedding of `dim` dimensions becomes.
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

/// What [`quantize`] gives: a matrix in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantized {
    /// Number of embeddings.
    pub rows: usize,
    /// Numbers in each: see [`Precision::columns`].
    pub columns: usize,
    /// `rows * columns` numbers.
    pub values: QuantizedValues,
}

/// The numbers of a [`Quantized`].
#[derive(Clone, Debug, PartialEq)]
pub enum QuantizedValues {
    /// Of [`Precision::Float32`].
    Float32(Vec<f32>),
    /// Of [`Precision::Int8`] and [`Precision::Binary`].
    Int8(Vec<i8>),
    /// Of [`Precision::Uint8`] and [`Precision::Ubinary`].
    Uint8(Vec<u8>),
}

/// Quantizes `embeddings`, `(n, dim)` in row-major order.
///
/// - `Int8` and `Uint8` cut each dimension's range into 255 steps of one length, in float32:
///   `clip(floor((x - min) / step), 0, 255)`, with `step = (max - min) / 255`, or 1 where that is 0. `Int8` is the same
///   less 128. The range is that of `ranges`, `(min, max)` of `dim` numbers each; else that of the rows of
///   `calibration`, `(any, dim)`; else that of the embeddings themselves, which for a single one has no width.
/// - `Binary` and `Ubinary` look at nothing but `x > 0`: a row becomes `ceil(dim / 8)` bytes, the first dimension in the
///   highest bit, what is missing at the end 0. `Binary` is the byte less 128.
/// - `Float32` copies.
///
/// NaN is on the lowest level, and its bit is 0. A dimension in whose range a bound is NaN or infinite has levels
/// without a meaning, as far as that arithmetic gives NaN all on the lowest; the others are not affected.
///
/// # Errors
/// [`Error::InvalidArgument`] where a length is not a multiple of `dim`, a range has not `dim` numbers, or the
/// calibration that would be needed has no rows.
pub fn quantize(
    embeddings: &[f32],
    dim: usize,
    precision: Precision,
    ranges: Option<(&[f32], &[f32])>,
    calibration: Option<&[f32]>,
) -> Result<Quantized> {
    let rows = rows("embeddings", embeddings, dim)?;
    let levels = || levels(embeddings, dim, ranges, calibration);
    let values = match precision {
        Precision::Float32 => QuantizedValues::Float32(embeddings.to_vec()),
        Precision::Int8 => QuantizedValues::Int8(signed(&levels()?)),
        Precision::Uint8 => QuantizedValues::Uint8(levels()?),
        Precision::Binary => QuantizedValues::Int8(signed(&bits(embeddings, dim))),
        Precision::Ubinary => QuantizedValues::Uint8(bits(embeddings, dim)),
    };
    Ok(Quantized { rows, columns: precision.columns(dim), values })
}

/// The number of rows of `dim` numbers, which for a `dim` of 0 is 0.
fn rows(argument: &'static str, numbers: &[f32], dim: usize) -> Result<usize> {
    match numbers.len().checked_rem(dim) {
        Some(0) => Ok(numbers.len() / dim),
        None if numbers.is_empty() => Ok(0),
        _ => Err(Error::argument(argument, format!("{} numbers are not rows of {dim}", numbers.len()))),
    }
}

fn signed(bytes: &[u8]) -> Vec<i8> {
    bytes.iter().map(|byte| byte.wrapping_sub(128) as i8).collect()
}

fn bits(embeddings: &[f32], dim: usize) -> Vec<u8> {
    let byte = |part: &[f32]| part.iter().zip(0..).fold(0, |byte, (x, place)| byte | u8::from(*x > 0.0) << (7 - place));
    embeddings.chunks(dim.max(1)).flat_map(|row| row.chunks(8).map(byte)).collect()
}

fn levels(
    embeddings: &[f32],
    dim: usize,
    ranges: Option<(&[f32], &[f32])>,
    calibration: Option<&[f32]>,
) -> Result<Vec<u8>> {
    let (min, max) = match ranges {
        Some((min, max)) => (bounds("min", min, dim)?, bounds("max", max, dim)?),
        None => extremes(embeddings, dim, calibration)?,
    };
    let steps: Vec<f32> = min.iter().zip(&max).map(|(min, max)| step(*min, *max)).collect();
    let mut levels = vec![0; embeddings.len()];
    for (row, levels) in embeddings.chunks(dim.max(1)).zip(levels.chunks_mut(dim.max(1))) {
        for (((level, x), min), step) in levels.iter_mut().zip(row).zip(&min).zip(&steps) {
            // From 0 up, the conversion rounds down, and it makes NaN 0.
            *level = ((x - min) / step).clamp(0.0, 255.0) as u8;
        }
    }
    Ok(levels)
}

fn step(min: f32, max: f32) -> f32 {
    let step = (max - min) / 255.0;
    if step == 0.0 { 1.0 } else { step }
}

fn bounds(which: &str, bounds: &[f32], dim: usize) -> Result<Vec<f32>> {
    if bounds.len() == dim {
        return Ok(bounds.to_vec());
    }
    let problem = format!("must have {dim} numbers for {which}, one for each dimension, got {}", bounds.len());
    Err(Error::argument("ranges", problem))
}

/// The smallest and the largest number of each dimension; NaN where there is one among them.
fn extremes(embeddings: &[f32], dim: usize, calibration: Option<&[f32]>) -> Result<(Vec<f32>, Vec<f32>)> {
    let sample = calibration.unwrap_or(embeddings);
    if rows("calibration_embeddings", sample, dim)? == 0 && !embeddings.is_empty() {
        return Err(Error::argument("calibration_embeddings", "must have at least one row, got none"));
    }
    let (mut min, mut max) = (vec![f32::INFINITY; dim], vec![f32::NEG_INFINITY; dim]);
    for row in sample.chunks(dim.max(1)) {
        for ((x, min), max) in row.iter().zip(&mut min).zip(&mut max) {
            *min = if *x < *min || x.is_nan() { *x } else { *min };
            *max = if *x > *max || x.is_nan() { *x } else { *max };
        }
    }
    Ok((min, max))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // Computed with numpy's float32 by the rules of sentence-transformers 6.2.
    const ROWS: [[f32; 10]; 3] = [
        [-1.0, 0.0, 0.5, 2.0, 1e-3, -0.0, 3.0, 1.0, -2.0, 0.1],
        [1.0, 0.0, 0.25, -2.0, 2e-3, 5.0, 3.5, 1.0, 2.0, 0.2],
        [0.1, 0.0, 1.0, 0.7, -1e-3, 2.5, -3.0, 1.0, 0.3, -0.7],
    ];
    const LEVELS: [[u8; 10]; 3] = [
        [0, 0, 85, 254, 170, 0, 235, 0, 0, 226],
        [254, 0, 0, 0, 255, 254, 255, 0, 254, 255],
        [140, 0, 255, 172, 0, 127, 0, 0, 146, 0],
    ];

    fn values(precision: Precision) -> QuantizedValues {
        let quantized = quantize(ROWS.as_flattened(), 10, precision, None, None).unwrap();
        assert_eq!((quantized.rows, quantized.columns), (3, precision.columns(10)));
        quantized.values
    }

    #[test]
    fn agrees_with_numpy() {
        let levels = LEVELS.as_flattened();
        assert_eq!(values(Precision::Uint8), QuantizedValues::Uint8(levels.to_vec()));
        let signed = levels.iter().map(|level| (i32::from(*level) - 128) as i8).collect();
        assert_eq!(values(Precision::Int8), QuantizedValues::Int8(signed));
        assert_eq!(values(Precision::Binary), QuantizedValues::Int8(vec![-69, -64, 47, 64, 53, 0]));
        assert_eq!(values(Precision::Ubinary), QuantizedValues::Uint8(vec![59, 64, 175, 192, 181, 128]));
        assert_eq!(values(Precision::Float32), QuantizedValues::Float32(ROWS.as_flattened().to_vec()));
    }

    #[test]
    fn ranges_win_over_calibration_and_calibration_over_the_rows_themselves() {
        let first = &ROWS[0];
        let rest = ROWS[1..].as_flattened();
        let quantized = |ranges, calibration| quantize(first, 10, Precision::Int8, ranges, calibration).unwrap().values;
        let by_rest = vec![-128, -128, -43, 127, 42, -128, 107, -128, -128, 98];
        assert_eq!(quantized(None, Some(rest)), QuantizedValues::Int8(by_rest));
        let by_ranges = vec![-128, -128, -1, 127, -128, -128, 127, 126, -128, -103];
        let ranges = Some((&[0.0; 10][..], &[1.0; 10][..]));
        assert_eq!(quantized(ranges, Some(rest)), QuantizedValues::Int8(by_ranges.clone()));
        assert_eq!(quantized(ranges, None), QuantizedValues::Int8(by_ranges));
        assert_eq!(quantized(None, None), QuantizedValues::Int8(vec![-128; 10]));
    }

    #[test]
    fn no_rows_and_no_dimensions() {
        for precision in Precision::ALL {
            for dim in [0, 1, 8, 9] {
                let quantized = quantize(&[], dim, precision, None, None).unwrap();
                assert_eq!((quantized.rows, quantized.columns), (0, precision.columns(dim)));
            }
        }
    }

    #[test]
    fn not_a_number_is_on_the_lowest_level_and_spoils_only_its_dimension() {
        let rows = [f32::NAN, 1.0, 2.0, 65.5, f32::INFINITY, 256.0];
        let level = |values: &[f32], dim| match quantize(values, dim, Precision::Uint8, None, None).unwrap().values {
            QuantizedValues::Uint8(levels) => levels,
            other => panic!("{other:?}"),
        };
        assert_eq!(level(&rows, 2), [0, 0, 0, 64, 0, 255]);
        let ranges = Some((&[0.0][..], &[2.0][..]));
        let rows = [f32::NAN, f32::NEG_INFINITY, f32::INFINITY, -0.0, f32::MAX];
        let quantized = quantize(&rows, 1, Precision::Int8, ranges, None).unwrap().values;
        assert_eq!(quantized, QuantizedValues::Int8(vec![-128, -128, 127, -128, 127]));
        assert_eq!(bits(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-45, -1e-45], 5), [0b0101_0000]);
    }

    #[test]
    fn bad_shapes_are_refused() {
        let refused = |result: Result<Quantized>, word: &str| {
            let message = result.unwrap_err().to_string();
            assert!(message.contains(word), "{message}");
        };
        for precision in Precision::ALL {
            refused(quantize(&[1.0; 7], 2, precision, None, None), "embeddings: 7 numbers");
            refused(quantize(&[1.0; 7], 0, precision, None, None), "embeddings: 7 numbers");
        }
        let (one, two) = (&[0.0][..], &[0.0; 2][..]);
        refused(quantize(&[1.0; 6], 2, Precision::Int8, Some((one, two)), None), "2 numbers for min");
        refused(quantize(&[1.0; 6], 2, Precision::Int8, Some((two, one)), None), "2 numbers for max");
        refused(quantize(&[1.0; 6], 2, Precision::Uint8, None, Some(one)), "calibration_embeddings: 1 numbers");
        refused(quantize(&[1.0; 6], 2, Precision::Uint8, None, Some(&[])), "at least one row");
    }

    #[test]
    fn names_go_there_and_back() {
        for precision in Precision::ALL {
            assert_eq!(precision.to_string().parse::<Precision>().unwrap(), precision);
        }
        let message = "Int8".parse::<Precision>().unwrap_err().to_string();
        assert_eq!(message, "precision: must be one of float32, int8, uint8, binary, ubinary, got \"Int8\"");
        assert_eq!(Precision::default(), Precision::Float32);
    }

    /// The same rules said plainly, one number at a time.
    fn plain(row: &[f32], sample: &[f32], precision: Precision) -> Vec<i32> {
        let dim = row.len();
        if matches!(precision, Precision::Binary | Precision::Ubinary) {
            let offset = if precision == Precision::Binary { 128 } else { 0 };
            let bit = |i: usize| if row.get(i).is_some_and(|x| *x > 0.0) { '1' } else { '0' };
            let byte = |first: usize| (first..first + 8).map(bit).collect::<String>();
            return (0..dim).step_by(8).map(|i| i32::from_str_radix(&byte(i), 2).unwrap() - offset).collect();
        }
        let level = |i: usize| {
            let column = || sample.iter().skip(i).step_by(dim).copied();
            let (min, max) = (column().reduce(f32::min).unwrap(), column().reduce(f32::max).unwrap());
            let step = if (max - min) / 255.0 == 0.0 { 1.0 } else { (max - min) / 255.0 };
            let level = match ((row[i] - min) / step).floor() {
                above if above > 255.0 => 255,
                level if level > 0.0 => level as i32,
                _ => 0,
            };
            level - if precision == Precision::Int8 { 128 } else { 0 }
        };
        (0..dim).map(level).collect()
    }

    fn number() -> impl Strategy<Value = f32> {
        prop_oneof![4 => -2.0f32..2.0, 1 => Just(0.0f32), 1 => Just(-0.0f32), 1 => -1e-40f32..1e-40, 1 => -1e38f32..1e38]
    }

    fn problem() -> impl Strategy<Value = (usize, Vec<f32>, Option<Vec<f32>>)> {
        (1usize..20, 1usize..6, 0usize..5).prop_flat_map(|(dim, rows, sample)| {
            let numbers = |rows| prop::collection::vec(number(), rows * dim);
            let sample = numbers(sample).prop_map(|sample| (!sample.is_empty()).then_some(sample));
            (Just(dim), numbers(rows), sample)
        })
    }

    proptest! {
        #[test]
        fn agrees_with_the_plain_rules((dim, rows, sample) in problem()) {
            for precision in &Precision::ALL[1..] {
                let numbers: Vec<i32> = match quantize(&rows, dim, *precision, None, sample.as_deref()).unwrap().values {
                    QuantizedValues::Int8(values) => values.into_iter().map(i32::from).collect(),
                    QuantizedValues::Uint8(values) => values.into_iter().map(i32::from).collect(),
                    QuantizedValues::Float32(_) => unreachable!(),
                };
                let sample = sample.as_deref().unwrap_or(&rows);
                let truth: Vec<i32> = rows.chunks(dim).flat_map(|row| plain(row, sample, *precision)).collect();
                prop_assert_eq!(&numbers, &truth, "{}", precision);
            }
        }

        #[test]
        fn any_bits_at_all_are_taken(bits in prop::collection::vec(any::<u32>(), 12), dim in 1usize..=12) {
            let rows: Vec<f32> = bits.into_iter().map(f32::from_bits).collect();
            let rows = &rows[..12 / dim * dim];
            for precision in Precision::ALL {
                prop_assert_eq!(quantize(rows, dim, precision, None, None).unwrap().rows, 12 / dim);
            }
        }
    }
}
