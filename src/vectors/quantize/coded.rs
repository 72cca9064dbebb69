//! Quantized embeddings, and what their bytes stand for.

use super::{FLIP, Quantized, QuantizedValues, bits, step};
use crate::error::{Error, Result};
use crate::kernels::Isa;
use crate::kernels::buffer::Buffer;
use crate::kernels::int8_codes::{self, Scale};
use crate::vectors::similarity::{MatrixView, Rows, Run};

/// Bytes as they are in a `u8`; those of an `i8` are 128 less, and get back to it by a flip of the highest bit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes<'a> {
    bytes: &'a [u8],
    flip: u8,
}

impl<'a> From<&'a [u8]> for Bytes<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self { bytes, flip: 0 }
    }
}

impl<'a> From<&'a [i8]> for Bytes<'a> {
    fn from(bytes: &'a [i8]) -> Self {
        Self { bytes: bytemuck::cast_slice(bytes), flip: FLIP }
    }
}

impl<'a> Bytes<'a> {
    /// Those of `quantized`, which must have `columns` of them in a row.
    fn of(quantized: &'a Quantized, columns: usize) -> Result<Self> {
        let refused = |problem| Err(Error::argument("quantized", problem));
        let bytes: Self = match &quantized.values {
            QuantizedValues::Int8(values) => values.as_slice().into(),
            QuantizedValues::Uint8(values) => values.as_slice().into(),
            QuantizedValues::Float32(_) => return refused("must be of int8 or uint8, got float32".to_owned()),
        };
        if quantized.columns != columns || Some(bytes.bytes.len()) != quantized.rows.checked_mul(columns) {
            let Quantized { rows, columns: got, .. } = quantized;
            let count = bytes.bytes.len();
            return refused(format!("must have {columns} bytes in a row, got {rows} rows of {got} in {count} bytes"));
        }
        Ok(bytes)
    }

    fn rows(&self, first: usize, count: usize, columns: usize) -> &'a [u8] {
        &self.bytes[first * columns..][..count * columns]
    }
}

/// Embeddings of [`Precision::Int8`](crate::Precision::Int8) or [`Precision::Uint8`](crate::Precision::Uint8), borrowed, with
/// the ranges of their dimensions. A level stands for `min + level * step`, the lower end of what [`quantize`](crate::vectors::quantize())
/// puts on it.
#[derive(Clone, Copy, Debug)]
pub struct Levels<'a> {
    bytes: Bytes<'a>,
    rows: usize,
    min: &'a [f32],
    max: &'a [f32],
}

impl<'a> Levels<'a> {
    /// Of what [`quantize`](crate::vectors::quantize()) gave by these `ranges`, the smallest and the largest number of each dimension.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where both ends of the ranges or the rows differ in their lengths, or `quantized` is of
    /// float32.
    pub fn new(quantized: &'a Quantized, (min, max): (&'a [f32], &'a [f32])) -> Result<Self> {
        if min.len() != max.len() {
            let problem = format!("must be as many for min as for max, got {} and {}", min.len(), max.len());
            return Err(Error::argument("ranges", problem));
        }
        Ok(Self::of_bytes(Bytes::of(quantized, min.len())?, quantized.rows, (min, max)))
    }

    /// `rows` rows of as many bytes as there are ranges.
    pub(crate) fn of_bytes(bytes: Bytes<'a>, rows: usize, (min, max): (&'a [f32], &'a [f32])) -> Self {
        Self { bytes, rows, min, max }
    }
}

impl Rows for Levels<'_> {
    fn rows(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> usize {
        self.min.len()
    }

    fn read<'b>(&'b self, isa: Isa, first: usize, count: usize, buffer: &'b mut Buffer) -> &'b [f32] {
        let step: Vec<f32> = self.min.iter().zip(self.max).map(|(min, max)| step(*min, *max)).collect();
        let bytes = self.bytes.rows(first, count, self.columns());
        buffer.resize(bytes.len());
        int8_codes::decode(isa, bytes, self.bytes.flip, Scale { min: self.min, step: &step }, buffer);
        buffer
    }
}

/// Embeddings of [`Precision::Binary`](crate::Precision::Binary) or [`Precision::Ubinary`](crate::Precision::Ubinary),
/// borrowed. A bit stands for 1 where it is set, for -1 where it isn't.
#[derive(Clone, Copy, Debug)]
pub struct Bits<'a> {
    bytes: Bytes<'a>,
    rows: usize,
    dim: usize,
}

impl<'a> Bits<'a> {
    /// Of what [`quantize`](crate::vectors::quantize()) gave for embeddings of `dim` dimensions.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where a row has not `ceil(dim / 8)` bytes, or `quantized` is of float32.
    pub fn new(quantized: &'a Quantized, dim: usize) -> Result<Self> {
        Ok(Self::of_bytes(Bytes::of(quantized, dim.div_ceil(8))?, quantized.rows, dim))
    }

    /// `rows` rows of `ceil(dim / 8)` bytes.
    pub(crate) fn of_bytes(bytes: Bytes<'a>, rows: usize, dim: usize) -> Self {
        Self { bytes, rows, dim }
    }

    /// The bytes of some rows.
    pub(crate) fn packed(&self, first: usize, count: usize) -> &'a [u8] {
        self.bytes.rows(first, count, self.bytes_in_row())
    }

    pub(crate) fn bytes_in_row(&self) -> usize {
        self.dim.div_ceil(8)
    }

    /// The bits of other embeddings, packed as these are.
    pub(crate) fn pack(&self, embeddings: MatrixView<'_>, run: Run<'_>) -> Result<Vec<u8>> {
        bits(embeddings.as_slice(), embeddings.columns(), self.bytes.flip, run)
    }
}

impl Rows for Bits<'_> {
    fn rows(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> usize {
        self.dim
    }

    fn read<'b>(&'b self, _: Isa, first: usize, count: usize, buffer: &'b mut Buffer) -> &'b [f32] {
        buffer.resize(count * self.dim);
        let bytes = self.packed(first, count).chunks_exact(self.bytes_in_row().max(1));
        for (out, bytes) in buffer.chunks_exact_mut(self.dim.max(1)).zip(bytes) {
            for (out, byte) in out.chunks_mut(8).zip(bytes) {
                let byte = byte ^ self.bytes.flip;
                out.iter_mut().zip(0..).for_each(|(out, i)| *out = if byte >> (7 - i) & 1 == 1 { 1.0 } else { -1.0 });
            }
        }
        buffer
    }
}
