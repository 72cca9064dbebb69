//! Layouts of special tokens around one text or two, and truncation of both to a length limit.

use std::iter::repeat_n;

use tokenizers::{Encoding, PostProcessor, Token};

use super::steps::Steps;
use crate::catch_panic::catch_panic;

/// Placeholders of the first and the second text. Passing them through a post-processor reveals its layout.
const FIRST: u32 = u32::MAX;
const SECOND: u32 = u32::MAX - 1;

#[derive(Clone, Copy, Debug, PartialEq)]
struct Piece {
    /// [`FIRST`], [`SECOND`], or the id of a special token.
    id: u32,
    type_id: u32,
}

/// Sequence of special tokens and placeholders of texts.
#[derive(Debug, PartialEq)]
pub(super) struct Layout(Vec<Piece>);

impl Layout {
    fn new(pieces: &[(u32, u32)]) -> Self {
        Self(pieces.iter().map(|&(id, type_id)| Piece { id, type_id }).collect())
    }

    fn special_ids(&self) -> impl Iterator<Item = u32> {
        self.0.iter().map(|piece| piece.id).filter(|id| ![FIRST, SECOND].contains(id))
    }

    /// Returns the number of special tokens.
    pub(super) fn special_tokens(&self) -> usize {
        self.special_ids().count()
    }

    /// Returns the number of special tokens before the first text.
    pub(super) fn before_first(&self) -> usize {
        self.0.iter().take_while(|piece| piece.id != FIRST).count()
    }

    /// Returns the total length for texts of these lengths.
    pub(super) fn length(&self, first: usize, second: usize) -> usize {
        let length = |piece: &Piece| match piece.id {
            FIRST => first,
            SECOND => second,
            _ => 1,
        };
        self.0.iter().map(length).sum()
    }

    /// Returns ids and type ids of the whole sequence.
    pub(super) fn join(&self, first: &[u32], second: &[u32]) -> (Vec<u32>, Vec<u32>) {
        let length = self.length(first.len(), second.len());
        let (mut ids, mut type_ids) = (Vec::with_capacity(length), Vec::with_capacity(length));
        for piece in &self.0 {
            match piece.id {
                FIRST => ids.extend_from_slice(first),
                SECOND => ids.extend_from_slice(second),
                id => ids.push(id),
            }
            type_ids.extend(repeat_n(piece.type_id, ids.len() - type_ids.len()));
        }
        (ids, type_ids)
    }
}

/// The layouts for one text and for a pair.
#[derive(Debug, PartialEq)]
pub(super) struct Layouts {
    pub(super) single: Layout,
    pub(super) pair: Layout,
}

impl Layouts {
    /// Adds no special tokens.
    pub(super) fn bare() -> Self {
        Self { single: Layout::new(&[(FIRST, 0)]), pair: Layout::new(&[(FIRST, 0), (SECOND, 1)]) }
    }

    /// Adds a token after each text.
    pub(super) fn ended(last: u32) -> Self {
        Self {
            single: Layout::new(&[(FIRST, 0), (last, 0)]),
            pair: Layout::new(&[(FIRST, 0), (last, 0), (SECOND, 0), (last, 0)]),
        }
    }

    pub(super) fn bert(cls: u32, sep: u32) -> Self {
        Self {
            single: Layout::new(&[(cls, 0), (FIRST, 0), (sep, 0)]),
            pair: Layout::new(&[(cls, 0), (FIRST, 0), (sep, 0), (SECOND, 1), (sep, 1)]),
        }
    }

    pub(super) fn roberta(first: u32, last: u32) -> Self {
        Self {
            single: Layout::new(&[(first, 0), (FIRST, 0), (last, 0)]),
            pair: Layout::new(&[(first, 0), (FIRST, 0), (last, 0), (last, 0), (SECOND, 0), (last, 0)]),
        }
    }

    /// Reads the layouts from the tokenizer's post-processor.
    pub(super) fn of(tokenizer: &Steps) -> Result<Self, String> {
        let Some(processor) = tokenizer.get_post_processor() else {
            return Ok(Self::bare());
        };
        let text = |id| Encoding::from_tokens(vec![Token::new(id, String::new(), (0, 0))], 0);
        let read = |pair: Option<Encoding>| -> Result<Layout, String> {
            let encoding = catch_panic(|| processor.process(text(FIRST), pair, true))?;
            let pieces = encoding.get_ids().iter().zip(encoding.get_type_ids());
            Ok(Layout(pieces.map(|(&id, &type_id)| Piece { id, type_id }).collect()))
        };
        Ok(Self { single: read(None)?, pair: read(Some(text(SECOND)))? })
    }

    /// Returns the largest id of a special token.
    pub(super) fn max_id(&self) -> u32 {
        self.single.special_ids().chain(self.pair.special_ids()).max().unwrap_or(0)
    }
}

/// Returns how many tokens of each text to keep so that both have at most `limit`. The longer text is cut first. If both are
/// cut and the limit is odd, the longer one (the second if equal) keeps one more.
pub(super) fn longest_first(first: usize, second: Option<usize>, limit: usize) -> (usize, usize) {
    let Some(second) = second else { return (first.min(limit), 0) };
    if first.saturating_add(second) <= limit {
        return (first, second);
    }
    let half = limit / 2;
    let (short, long) = match first.min(second) {
        short if short <= half => (short, limit - short),
        _ => (half, limit - half),
    };
    if first > second { (long, short) } else { (short, long) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenizers::{
        TruncationDirection, TruncationParams, TruncationStrategy, utils::truncation::truncate_encodings,
    };

    fn encoding(length: usize) -> Encoding {
        Encoding::from_tokens((0..length).map(|i| Token::new(i as u32, String::new(), (0, 0))).collect(), 0)
    }

    #[test]
    fn lengths_are_the_crates_own() {
        for first in 0..25 {
            for second in 0..25 {
                for max_length in 0..40 {
                    let strategy = TruncationStrategy::LongestFirst;
                    let params =
                        TruncationParams { direction: TruncationDirection::Right, max_length, strategy, stride: 0 };
                    let (a, b) = truncate_encodings(encoding(first), Some(encoding(second)), &params).unwrap();
                    let expected = (a.len(), b.unwrap().len());
                    assert_eq!(
                        longest_first(first, Some(second), max_length),
                        expected,
                        "{first} {second} {max_length}"
                    );
                }
            }
        }
    }

    #[test]
    fn one_text_may_fill_the_limit() {
        assert_eq!(longest_first(10, None, 4), (4, 0));
        assert_eq!(longest_first(3, None, usize::MAX), (3, 0));
        assert_eq!(longest_first(3, Some(4), usize::MAX), (3, 4));
    }

    #[test]
    fn rows_are_joined_in_order() {
        let layouts = Layouts::bert(1, 2);
        assert_eq!(layouts.single.join(&[7, 8], &[]), (vec![1, 7, 8, 2], vec![0; 4]));
        assert_eq!(layouts.pair.join(&[7, 8], &[9]), (vec![1, 7, 8, 2, 9, 2], vec![0, 0, 0, 0, 1, 1]));
        assert_eq!((layouts.single.special_tokens(), layouts.pair.special_tokens()), (2, 3));
        assert_eq!(Layouts::roberta(1, 2).pair.join(&[7], &[9]).0, [1, 7, 2, 2, 9, 2]);
        assert_eq!(layouts.pair.length(5, 6), 14);
        assert_eq!(layouts.max_id(), 2);
    }
}
