//! Normalization by SentencePiece itself: the longest rule at each place, and single spaces as word boundaries.
//!
//! The step of the tokenizers crate applies other rules to letters with combining marks. Tokenizer classes that transformers
//! runs on SentencePiece need this one.

use tokenizers::NormalizedString;

/// The word boundary.
const BOUNDARY: char = '▁';

/// Rules, each a text and its replacement: a trie (Yata et al., 2007) and the replacements, each ended by a 0.
#[derive(Clone, Default)]
pub(super) struct Charsmap {
    trie: Vec<u32>,
    replacements: Vec<u8>,
}

impl Charsmap {
    /// Reads the size of the trie, the trie, and the replacements. An empty map has no rules.
    pub(super) fn new(bytes: &[u8]) -> Result<Self, &'static str> {
        /// Upper bound of bytes that replace one text. Unicode's longest have 33.
        const MAX_REPLACEMENT: usize = 256;
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let parts = bytes
            .split_first_chunk()
            .and_then(|(size, rest)| rest.split_at_checked(u32::from_le_bytes(*size) as usize));
        let Some((trie, replacements)) = parts.filter(|(trie, _)| trie.len() % 4 == 0) else {
            return Err("must begin with the size of its trie");
        };
        if std::str::from_utf8(replacements).is_err() {
            return Err("must have replacements in UTF-8");
        }
        if replacements.split(|byte| *byte == 0).any(|replacement| replacement.len() > MAX_REPLACEMENT) {
            return Err("must have no replacement of more than 256 bytes");
        }
        let trie = trie.as_chunks().0.iter().map(|unit| u32::from_le_bytes(*unit)).collect();
        Ok(Self { trie, replacements: replacements.to_vec() })
    }

    /// Returns the length in bytes of the longest rule that a text begins with, and its replacement.
    fn longest(&self, text: &str) -> Option<(usize, &str)> {
        let mut found = None;
        let mut at = self.trie.first().map_or(0, |unit| offset(*unit));
        for (length, byte) in (1..).zip(text.bytes()) {
            at ^= usize::from(byte);
            let Some(unit) = self.trie.get(at).copied().filter(|unit| unit & (1 << 31 | 0xFF) == u32::from(byte))
            else {
                break;
            };
            at ^= offset(unit);
            if unit >> 8 & 1 == 1 {
                let value = self.trie.get(at).map(|leaf| (leaf & !(1 << 31)) as usize);
                found = value.map(|value| (length, value)).or(found);
            }
        }
        let (length, value) = found.filter(|(length, _)| text.is_char_boundary(*length))?;
        let replacement = self.replacements.get(value..)?.split(|byte| *byte == 0).next()?;
        Some((length, std::str::from_utf8(replacement).ok()?))
    }

    /// Normalizes a text. Its first part gets a word boundary. Fails if the result exceeds `max` bytes.
    pub(super) fn normalize(&self, text: &mut NormalizedString, max: usize) -> Result<(), usize> {
        const PREFIX: &str = "▁";
        let is_first = text.offsets_original().0 == 0;
        let whole = if is_first { [PREFIX, text.get()].concat() } else { text.get().to_owned() };
        let (mut rest, mut given) = (&*whole, if is_first { PREFIX.len() } else { 0 });
        let mut changes = Changes::default();
        let mut after_space = false;
        while let Some(first) = rest.chars().next() {
            let mut own = [0; 4];
            let (length, replacement) = match self.longest(rest) {
                Some(rule) => rule,
                None => (first.len_utf8(), &*first.encode_utf8(&mut own)),
            };
            let kept = if after_space { replacement.trim_start_matches(' ') } else { replacement };
            // The prefix isn't among the letters that are replaced.
            let replaced = rest[given.min(length)..length].chars().count();
            given = given.saturating_sub(length);
            changes.replace(replaced, kept.chars().map(|c| if c == ' ' { BOUNDARY } else { c }));
            if !kept.is_empty() {
                after_space = kept.ends_with(' ');
            }
            if changes.bytes > max {
                return Err(changes.bytes);
            }
            rest = &rest[length..];
        }
        changes.trim_end(BOUNDARY);
        let Changes { chars, removed_first, .. } = changes;
        text.transform(chars, removed_first);
        Ok(())
    }
}

/// Returns the distance of a unit's children.
fn offset(unit: u32) -> usize {
    ((unit >> 10) << ((unit & (1 << 9)) >> 6)) as usize
}

/// Changes to a text, as the tokenizers crate takes them: each letter is 1 if it is new, else minus the number of letters
/// after the one that it replaces which go, too.
#[derive(Default)]
struct Changes {
    chars: Vec<(char, isize)>,
    /// Letters that go before the first.
    removed_first: usize,
    bytes: usize,
}

impl Changes {
    fn insert(&mut self, new: char) {
        self.bytes += new.len_utf8();
        self.chars.push((new, 1));
    }

    /// Replaces the next `count` letters.
    fn replace(&mut self, count: usize, mut by: impl Iterator<Item = char>) {
        match by.next() {
            None => self.remove(count),
            Some(first) => {
                self.insert(first);
                if let Some((_, change)) = self.chars.last_mut() {
                    *change = 1 - count as isize;
                }
                by.for_each(|new| self.insert(new));
            }
        }
    }

    /// Removes letters after those that are there.
    fn remove(&mut self, count: usize) {
        match self.chars.iter_mut().rev().find(|(_, change)| *change <= 0) {
            Some((_, change)) => *change -= count as isize,
            None => self.removed_first += count,
        }
    }

    /// Removes a letter from the end as often as it stands there.
    fn trim_end(&mut self, letter: char) {
        while let Some((_, change)) = self.chars.pop_if(|(last, _)| *last == letter) {
            self.remove(if change > 0 { 0 } else { (1 - change) as usize });
        }
    }
}

/// Lowercases a text as Python does: a Greek sigma at the end of a word has its own form.
pub(super) fn lowercase(text: &mut NormalizedString) {
    let lowered = text.get().to_lowercase();
    let counts = text.get().chars().flat_map(|c| (0..c.to_lowercase().count()).map(|i| isize::from(i > 0)));
    let changes: Vec<_> = lowered.chars().zip(counts).collect();
    text.transform(changes, 0);
}
