//! In how many bits rows differ.

use pulp::{Simd, WithSimd};

use super::Isa;

/// The number of bits in which `query` differs from each row of `rows`, `(n, query.len())`, into `out`, `(n,)`.
///
/// As float32, which holds them exactly up to 2²⁴, for those who order scores.
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
    // The instruction sets differ in how they count a word's bits; the compiler knows.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let (words, rest) = self.query.as_chunks::<8>();
        for (row, out) in self.rows.chunks_exact(self.query.len()).zip(self.out) {
            let (row_words, row_rest) = row.as_chunks::<8>();
            let count = words.iter().zip(row_words).map(|(a, b)| differing(*a, *b)).sum::<u32>();
            *out = (count + differing(word(rest), word(row_rest))) as f32;
        }
    }
}

#[inline(always)]
fn differing(a: [u8; 8], b: [u8; 8]) -> u32 {
    (u64::from_ne_bytes(a) ^ u64::from_ne_bytes(b)).count_ones()
}

/// Fewer than eight bytes, filled up with zeros.
#[inline(always)]
fn word(rest: &[u8]) -> [u8; 8] {
    let mut word = [0; 8];
    word.iter_mut().zip(rest).for_each(|(word, byte)| *word = *byte);
    word
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
