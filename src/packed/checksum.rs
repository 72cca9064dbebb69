//! Checksum of packed weights, which reads them as fast as memory gives them.

use super::LINE;

/// Checksum against damage by chance: bits that flipped, pages that were never written. It is none against an attacker.
///
/// Each of its lanes takes every eighth number of 64 bits. A step is a bijection of the lane, so that no change of a single
/// number is lost.
#[derive(Clone)]
pub(crate) struct Checksum {
    lanes: [u64; LANES],
    lines: u64,
}

const LANES: usize = LINE / size_of::<u64>();
/// An odd number, by which a product is a bijection: 2⁶⁴ divided by the golden ratio.
const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
/// Brings the highest bits, which a product doesn't spread, among the lower ones.
const TURN: u32 = 29;

impl Default for Checksum {
    fn default() -> Self {
        Self { lanes: std::array::from_fn(|lane| step(FACTOR, lane as u64)), lines: 0 }
    }
}

fn step(state: u64, number: u64) -> u64 {
    (state ^ number).wrapping_mul(FACTOR).rotate_left(TURN)
}

impl Checksum {
    /// Returns the checksum of bytes.
    pub(crate) fn of(bytes: &[u8]) -> u64 {
        let mut checksum = Self::default();
        checksum.add(bytes);
        checksum.value()
    }

    /// Adds bytes, completed by zeros to whole lines.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        let (lines, rest) = bytes.as_chunks::<LINE>();
        lines.iter().for_each(|line| self.add_line(line));
        if !rest.is_empty() {
            let mut last = [0; LINE];
            last[..rest.len()].copy_from_slice(rest);
            self.add_line(&last);
        }
    }

    #[inline(always)]
    fn add_line(&mut self, line: &[u8; LINE]) {
        for (lane, number) in self.lanes.iter_mut().zip(line.as_chunks().0) {
            *lane = step(*lane, u64::from_le_bytes(*number));
        }
        self.lines += 1;
    }

    pub(crate) fn value(&self) -> u64 {
        let mixed = self.lanes.iter().fold(self.lines, |sum, lane| step(sum, *lane));
        step(step(mixed, 0), 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_counts_and_parts_give_the_sum_of_the_whole() {
        let bytes: Vec<u8> = (0..5 * LINE).map(|i| (i * 37) as u8).collect();
        let whole = Checksum::of(&bytes);
        let mut in_parts = Checksum::default();
        bytes.chunks(2 * LINE).for_each(|part| in_parts.add(part));
        assert_eq!(in_parts.value(), whole);
        for bit in 0..8 * bytes.len() {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(Checksum::of(&damaged), whole, "bit {bit}");
            // The highest bits of two numbers of one lane, which a plain product would let cancel out.
            damaged[7] ^= 0x80;
            damaged[LINE + 7] ^= 0x80;
            assert_ne!(Checksum::of(&damaged), whole, "bit {bit} and two more");
        }
        assert_ne!(Checksum::of(&bytes[..4 * LINE]), whole);
        assert_ne!(Checksum::of(&[]), Checksum::of(&[0]));
        assert_ne!(Checksum::of(&[0; LINE]), Checksum::of(&[0; 2 * LINE]));
    }
}
