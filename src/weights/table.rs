//! Embedding tables, whose rows are read or computed when they are looked up.

use std::ops::Range;
use std::sync::Arc;

use super::Array;
use super::file::Contents;
use super::lora::LowRank;

/// Embedding table, `(entries, width)`. An adapter's table has no copy of the original one, which stays in the file's
/// memory map: the tables of several tasks share it.
pub(crate) struct Table {
    pub(super) shape: [usize; 2],
    pub(super) original: Original,
    pub(super) adapter: Option<LowRank>,
}

/// Numbers of a table without its adapter.
pub(super) enum Original {
    Float32(Array),
    /// Numbers of 16 bits in a mapped file.
    Half(Arc<Contents>, Range<usize>, fn([u8; 2]) -> f32),
}

impl From<Array> for Table {
    fn from(vectors: Array) -> Self {
        let (rows, width) = (vectors.shape[0], vectors.shape[1]);
        Self { shape: [rows, width], original: Original::Float32(vectors), adapter: None }
    }
}

impl Table {
    /// Number of columns.
    pub(crate) fn width(&self) -> usize {
        self.shape[1]
    }

    /// Adds an entry's vector to a sum, `(width)`. It has the bits of the merged table's row.
    pub(crate) fn add_row(&self, entry: usize, sum: &mut [f32]) {
        let width = self.width();
        match &self.original {
            Original::Float32(vectors) => {
                let row = vectors.as_slice()[entry * width..][..width].iter();
                self.add(entry, row.copied(), sum);
            }
            Original::Half(file, bytes, decode) => {
                let row = file[bytes.clone()][2 * entry * width..][..2 * width].as_chunks().0;
                self.add(entry, row.iter().map(|x| decode(*x)), sum);
            }
        }
    }

    #[inline]
    fn add(&self, entry: usize, row: impl Iterator<Item = f32>, sum: &mut [f32]) {
        match &self.adapter {
            None => sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x),
            Some(adapter) => {
                let delta = adapter.row(entry);
                sum.iter_mut().zip(row).enumerate().for_each(|(i, (sum, x))| *sum += x + adapter.scale * delta(i));
            }
        }
    }

    /// Returns all rows.
    pub(crate) fn to_array(&self) -> Array {
        if let (Original::Float32(vectors), None) = (&self.original, &self.adapter) {
            return vectors.clone();
        }
        let width = self.width();
        let mut vectors = vec![0.0; self.shape[0] * width];
        vectors.chunks_exact_mut(width).enumerate().for_each(|(entry, row)| self.add_row(entry, row));
        Array::new(self.shape.to_vec(), vectors)
    }
}

#[cfg(test)]
mod tests {
    use super::super::lora::merged;
    use super::*;

    fn numbers(shape: &[usize], step: usize) -> Array {
        let count = shape.iter().product();
        Array::new(shape.to_vec(), (0..count).map(|i| (i * step % 19) as f32 / 7.0 - 1.3).collect())
    }

    #[test]
    fn rows_have_the_bits_of_a_merged_table() {
        let (rows, width) = (5, 33);
        for rank in [1, 4, 8, 11] {
            let original = numbers(&[rows, width], 3);
            let adapter = || LowRank { left: numbers(&[rows, rank], 5), right: numbers(&[rank, width], 7), scale: 0.3 };
            let expected = merged(&original, &adapter());
            let table = Table { adapter: Some(adapter()), ..original.into() };
            assert_eq!(table.to_array().as_slice(), expected.as_slice(), "rank {rank}");
            let mut sum = vec![0.5; width];
            table.add_row(3, &mut sum);
            let by_hand: Vec<_> = expected.as_slice()[3 * width..][..width].iter().map(|x| 0.5 + x).collect();
            assert_eq!(sum, by_hand, "rank {rank}");
        }
    }

    #[test]
    fn numbers_of_16_bits_are_converted_when_they_are_read() {
        let values = [1.5, -0.25, 3.0, 0.0, 7.0, -2.0].map(half::bf16::from_f32);
        let bytes = values.iter().flat_map(|x| x.to_le_bytes());
        // Something precedes them in the file.
        let file = Arc::new(Contents::Read([9, 9].into_iter().chain(bytes).collect()));
        let decode: fn([u8; 2]) -> f32 = |x| half::bf16::from_le_bytes(x).to_f32();
        let table = Table { shape: [2, 3], original: Original::Half(file, 2..14, decode), adapter: None };
        assert_eq!(table.to_array().as_slice(), values.map(half::bf16::to_f32));
    }
}
