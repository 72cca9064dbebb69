//! Quantized embeddings to search in, owned or borrowed, and the numbers that their bytes stand for.

use super::{FLIP, Quantized, QuantizedValues, bits, step};
use crate::error::{Error, Result};
use crate::kernels::Isa;
use crate::kernels::buffer::Buffer;
use crate::kernels::int8_codes::{self, Scale};
use crate::vectors::similarity::{MatrixView, RowSource, Run};

/// Borrowed bytes of quantized embeddings: a `&[i8]` or a `&[u8]`, for example of mapped memory.
#[derive(Clone, Copy, Debug)]
pub struct QuantizedBytes<'a> {
    bytes: &'a [u8],
    /// Bits to flip, which make a code of an `i8`.
    flip: u8,
}

impl<'a> From<&'a [u8]> for QuantizedBytes<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self { bytes, flip: 0 }
    }
}

impl<'a> From<&'a [i8]> for QuantizedBytes<'a> {
    fn from(bytes: &'a [i8]) -> Self {
        Self { bytes: bytemuck::cast_slice(bytes), flip: FLIP }
    }
}

impl<'a> QuantizedBytes<'a> {
    /// Checks that there are `rows` rows of `columns` bytes.
    fn check(self, rows: usize, columns: usize) -> Result<Self> {
        if Some(self.bytes.len()) == rows.checked_mul(columns) {
            return Ok(self);
        }
        let problem = format!("must be {rows} rows of {columns} bytes, got {} bytes", self.bytes.len());
        Err(Error::argument("bytes", problem))
    }

    fn rows(&self, first: usize, count: usize, columns: usize) -> &'a [u8] {
        &self.bytes[first * columns..][..count * columns]
    }
}

/// Borrowed embeddings of [`Precision::Int8`](crate::Precision::Int8) or [`Precision::Uint8`](crate::Precision::Uint8) with
/// the ranges of their dimensions. A code from 0 to 255 stands for `min + code * step`, the lower end of its step.
#[derive(Clone, Copy, Debug)]
pub struct Int8View<'a> {
    bytes: QuantizedBytes<'a>,
    rows: usize,
    min: &'a [f32],
    max: &'a [f32],
}

impl<'a> Int8View<'a> {
    /// Borrows `rows` rows of a byte for each dimension, quantized by these ranges: the smallest and the largest number of
    /// each dimension.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if both ends of the ranges or the bytes differ in length.
    pub fn new(rows: usize, (min, max): (&'a [f32], &'a [f32]), bytes: impl Into<QuantizedBytes<'a>>) -> Result<Self> {
        if min.len() != max.len() {
            let problem = format!("must be as many for min as for max, got {} and {}", min.len(), max.len());
            return Err(Error::argument("ranges", problem));
        }
        Ok(Self { bytes: bytes.into().check(rows, min.len())?, rows, min, max })
    }
}

impl RowSource for Int8View<'_> {
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

/// Borrowed embeddings of [`Precision::Binary`](crate::Precision::Binary) or
/// [`Precision::Ubinary`](crate::Precision::Ubinary). A bit that is set stands for 1, another for -1.
///
/// # Examples
/// ```
/// use rushlight::{BinaryView, SearchOptions, vectors};
///
/// // Bytes of a file, for example, or of mapped memory.
/// let bytes: &[u8] = &[0b1010_0000, 0b0100_0000];
/// let corpus = BinaryView::new(2, 3, bytes)?;
/// let hits = vectors::semantic_search(&[0.1, -0.2, 0.3], corpus, &SearchOptions::default().with_top_k(1))?;
/// assert_eq!(hits[0][0].corpus_id, 0);
/// # Ok::<(), rushlight::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct BinaryView<'a> {
    bytes: QuantizedBytes<'a>,
    rows: usize,
    dim: usize,
}

impl<'a> BinaryView<'a> {
    /// Borrows `rows` rows of `ceil(dim / 8)` bytes.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if there are more or fewer bytes.
    pub fn new(rows: usize, dim: usize, bytes: impl Into<QuantizedBytes<'a>>) -> Result<Self> {
        Ok(Self { bytes: bytes.into().check(rows, dim.div_ceil(8))?, rows, dim })
    }

    /// Returns the bytes of some rows.
    pub(crate) fn packed(&self, first: usize, count: usize) -> &'a [u8] {
        self.bytes.rows(first, count, self.bytes_in_row())
    }

    pub(crate) fn bytes_in_row(&self) -> usize {
        self.dim.div_ceil(8)
    }

    /// Packs the bits of other embeddings as these are packed.
    pub(crate) fn pack(&self, embeddings: MatrixView<'_>, run: Run<'_>) -> Result<Vec<u8>> {
        bits(embeddings.as_slice(), embeddings.columns(), self.bytes.flip, run)
    }
}

impl RowSource for BinaryView<'_> {
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

impl Quantized {
    /// Borrows embeddings that [`quantize`](crate::vectors::quantize()) made with these ranges, to search in.
    ///
    /// # Errors
    /// The errors of [`Int8View::new`]; [`Error::InvalidArgument`] for float32.
    pub fn int8_view<'a>(&'a self, ranges: (&'a [f32], &'a [f32])) -> Result<Int8View<'a>> {
        Int8View::new(self.rows, ranges, self.bytes()?)
    }

    /// Borrows embeddings that [`quantize`](crate::vectors::quantize()) made of `dim` dimensions, to search in.
    ///
    /// # Errors
    /// The errors of [`BinaryView::new`]; [`Error::InvalidArgument`] for float32.
    pub fn binary_view(&self, dim: usize) -> Result<BinaryView<'_>> {
        BinaryView::new(self.rows, dim, self.bytes()?)
    }

    fn bytes(&self) -> Result<QuantizedBytes<'_>> {
        match &self.values {
            QuantizedValues::Int8(values) => Ok(values.as_slice().into()),
            QuantizedValues::Uint8(values) => Ok(values.as_slice().into()),
            QuantizedValues::Float32(_) => Err(Error::argument("values", "must be int8 or uint8, got float32")),
        }
    }
}
