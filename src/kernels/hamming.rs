//! Hamming distances: the number of bits in which rows differ.

use pulp::{Simd, WithSimd};

use super::Isa;

/// Counts the bits in which `query` differs from each row of `rows`, `(n, query.len())`, into `out`, `(n,)`.
///
/// The counts are float32, like all scores; it is exact up to 2²⁴.
pub(crate) fn distances(isa: Isa, query: &[u8], rows: &[u8], out: &mut [f32]) {
    if query.is_empty() {
        return out.fill(0.0);
    }
    debug_assert_eq!(rows.len(), query.len() * out.len());
    isa.run(Distances { query, rows, out });
}

struct Distances<'a> {
    query: &'a [u8],
    rows: &'a [u8],
    out: &'a mut [f32],
}

impl WithSimd for Distances<'_> {
    type Output = ();
    // The compiler chooses each instruction set's way to count a word's bits.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { query, rows, out } = self;
        let (words, rest) = query.as_chunks::<8>();
        let last = last_word(query);
        // The last word overlaps the one before it. Its new bytes are the higher ones, as numbers are little endian.
        let shift = 8 * (8 - rest.len() as u32);
        for (row, out) in rows.chunks_exact(query.len()).zip(out) {
            let (row_words, _) = row.as_chunks::<8>();
            let mut count = 0;
            for (a, b) in words.iter().zip(row_words) {
                count += (u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b)).count_ones();
            }
            if !rest.is_empty() {
                count += ((last ^ last_word(row)) >> shift).count_ones();
            }
            *out = count as f32;
        }
    }
}

/// Returns the last eight bytes, with zeros before a shorter row.
#[inline(always)]
fn last_word(row: &[u8]) -> u64 {
    match row.last_chunk::<8>() {
        Some(last) => u64::from_le_bytes(*last),
        None => row.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)) << (8 * (8 - row.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::noise;

    #[test]
    fn every_bit_is_counted_at_all_lengths_and_alignments() {
        let bytes: Vec<u8> = noise(2_000, 1).into_iter().map(|x| (x * 128.0) as i8 as u8).collect();
        for isa in Isa::available() {
            for width in (0..=130).chain([384]) {
                let (query, rows) = (&bytes[..width], &bytes[width % 3..][..4 * width]);
                let mut got = [f32::NAN; 4];
                distances(isa, query, rows, &mut got);
                for (i, got) in got.into_iter().enumerate() {
                    let row = &rows[i * width..][..width];
                    let bits = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:08b}")).collect::<String>();
                    let truth = bits(query).chars().zip(bits(row).chars()).filter(|(a, b)| a != b).count();
                    assert_eq!(got, truth as f32, "{} {width} {i}", isa.name());
                }
            }
        }
    }
}
