//! Long texts in parts that a model takes whole.

use std::ops::Range;

use super::Model;
use crate::error::{Error, Result};
use crate::schedule::{Nobody, Observer};
use crate::tokenize::{Input, Tokenizer};

/// How a text is parted; see [`Model::chunk`].
#[derive(Clone, Copy, Debug, Default)]
pub struct ChunkOptions {
    /// Tokens of a chunk at most, special tokens included; `None` is as many as the model keeps of a text.
    pub max_tokens: Option<usize>,
    /// Tokens that a chunk shares with the one before, about: as many as end at a word.
    pub overlap: usize,
}

/// A token's place in its text, in bytes.
type Span = Range<usize>;

impl Model {
    /// Parts a text into chunks that the model takes whole: the bytes of each in `text`, in their order.
    ///
    /// A chunk begins and ends with a token, at white space where there is some in it, and never within a character. White
    /// space around chunks belongs to none. A text without tokens, or short enough, is a single chunk. Only a character or
    /// a part of a word that alone has more tokens than `max_tokens` makes a chunk with more.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where `max_tokens` leaves no room beside the special tokens, or `overlap` none for new
    /// tokens; as [`Model::encode`] for the text.
    pub fn chunk(&self, text: &str, options: &ChunkOptions) -> Result<Vec<Range<usize>>> {
        self.chunk_watched(text, options, &Nobody)
    }

    pub(crate) fn chunk_watched(
        &self,
        text: &str,
        options: &ChunkOptions,
        observer: &dyn Observer,
    ) -> Result<Vec<Range<usize>>> {
        let checkpoint = || if observer.interrupted() { Err(Error::Interrupted) } else { Ok(()) };
        let most = [options.max_tokens, Some(self.max_length())].into_iter().flatten().min().unwrap_or(usize::MAX);
        let room = most.saturating_sub(self.tokenizer().count(Input::Text(""))?);
        if room == 0 {
            let problem = format!("must leave room for more than the special tokens, got {most}");
            return Err(Error::argument("max_tokens", problem));
        }
        if options.overlap >= room {
            let problem = format!("must be less than the {room} tokens of a chunk, got {}", options.overlap);
            return Err(Error::argument("overlap", problem));
        }
        let whole = || std::iter::once(0..text.len()).collect();
        let places = self.interruptible(Input::Text(text), &checkpoint, Tokenizer::places)?;
        if places.len() <= room {
            return Ok(whole());
        }
        let mut chunks: Vec<Range<usize>> = Vec::new();
        let (mut first, mut next) = (0, 0);
        while next < places.len() {
            checkpoint()?;
            let chunk;
            (chunk, next) = self.next_chunk(text, &places, first..next + 1, room, most)?;
            // White space makes no chunk.
            if !chunk.is_empty() && chunk.end > chunks.last().map_or(0, |last| last.end) {
                chunks.push(chunk);
            }
            let back = next.saturating_sub(options.overlap);
            first = (back.max(first + 1)..next).find(|i| begins_word(text, &places, *i)).unwrap_or(next);
        }
        Ok(if chunks.is_empty() { whole() } else { chunks })
    }

    /// The longest chunk that has all of `least`, and the token behind it.
    fn next_chunk(
        &self,
        text: &str,
        places: &[Span],
        least: Range<usize>,
        room: usize,
        most: usize,
    ) -> Result<(Range<usize>, usize)> {
        let first = least.start;
        let mut end = places.len().min(first + room);
        let mut before = usize::MAX;
        loop {
            end = boundary(text, places, least.end, end);
            let chunk = between(text, places, first, end);
            // Alone it may have other tokens than within its text, and more of them.
            let fits =
                end <= least.end || end >= before || self.tokenizer().count(Input::Text(&text[chunk.clone()]))? <= most;
            if fits {
                return Ok((chunk, end));
            }
            (before, end) = (end, end - 1);
        }
    }
}

/// The last place from `least` to `end` where a chunk may end: before a word, else before a character, else behind `end`.
fn boundary(text: &str, places: &[Span], least: usize, end: usize) -> usize {
    if end == places.len() {
        return end;
    }
    let before = || (least..=end).rev();
    let parts = |i: &usize| places[*i].start >= places[*i - 1].end;
    let word = before().find(|i| begins_word(text, places, *i));
    // A character of more tokens than there is room for stays whole.
    word.or_else(|| before().find(parts)).or_else(|| (end..places.len()).find(parts)).unwrap_or(places.len())
}

/// The text from a token to that before another one, without white space at both ends: what a tokenizer leaves out, such as
/// accents, belongs to the token before it.
fn between(text: &str, places: &[Span], first: usize, end: usize) -> Range<usize> {
    let start = if first == 0 { 0 } else { places[first].start };
    let end = places.get(end).map_or(text.len(), |place| place.start).max(start);
    let chunk = &text[start..end];
    let end = start + chunk.trim_end().len();
    end - chunk.trim().len()..end
}

/// Whether there is white space between a token and the one before, or at the begin of it.
fn begins_word(text: &str, places: &[Span], i: usize) -> bool {
    let (before, here) = (&places[i - 1], &places[i]);
    let apart = before.end < here.start;
    let space = text[here.start..].chars().next().is_some_and(char::is_whitespace);
    before.end <= here.start && (apart || space)
}
