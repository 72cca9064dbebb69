//! Long texts in parts that a model takes whole.

use std::ops::Range;

use super::Reader;
use crate::error::{Error, Result};
use crate::observer::{NoObserver, ask};
use crate::options::ChunkOptions;
use crate::tokenize::{Input, Tokenizer};

/// A token's place in its text, in bytes.
type Span = Range<usize>;

impl Reader {
    /// Splits a text into chunks that the model takes whole: the bytes of each in `text`, in their order.
    ///
    /// A chunk begins and ends with a token, at white space where there is some in it, and never within a character. White
    /// space around chunks belongs to none. A text without tokens, or short enough, is a single chunk. Only a character or
    /// a part of a word that alone has more tokens than `max_tokens` makes a chunk with more.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where `max_tokens` leaves no room beside the special tokens, or `overlap` none for new
    /// tokens; [`Error::Interrupted`] where the observer stops it; as [`Reader::tokenize`] for the text.
    pub fn chunk(&self, text: &str, options: &ChunkOptions<'_>) -> Result<Vec<Range<usize>>> {
        let checkpoint = || ask(options.observer.unwrap_or(&NoObserver));
        let most = [options.max_tokens, Some(self.max_length())].into_iter().flatten().min().unwrap_or(usize::MAX);
        let room = most.saturating_sub(self.tokenizer().count(Input::Text(options.prompt))?);
        if room == 0 {
            let problem = format!("must leave room for more than the special tokens and the prompt, got {most}");
            return Err(Error::argument("max_tokens", problem));
        }
        if options.overlap >= room {
            let problem = format!("must be less than the {room} tokens of a chunk, got {}", options.overlap);
            return Err(Error::argument("overlap", problem));
        }
        let places =
            self.interruptible(Input::Text(text), &checkpoint, Tokenizer::offsets).map_err(|error| match error {
                Error::Tokenizer(problem) => Error::argument("text", problem),
                other => other,
            })?;
        let parted = Parted { text, places, room };
        // Alone, and behind the prompt, a chunk may have other tokens than within its text, and more of them.
        let fits = |chunk: &Range<usize>| -> Result<bool> {
            let chunk = [options.prompt, &text[chunk.clone()]].concat();
            Ok(self.tokenizer().count(Input::Text(&chunk))? <= most)
        };
        let whole = || std::iter::once(0..text.len()).collect();
        if parted.places.len() <= room && fits(&(0..text.len()))? {
            return Ok(whole());
        }
        let mut chunks: Vec<Range<usize>> = Vec::new();
        let (mut first, mut next) = (0, 0);
        while next < parted.places.len() {
            checkpoint()?;
            let (start, chunk, end) = parted.next_chunk(first, next, &fits)?;
            next = end;
            // White space makes no chunk.
            if !chunk.is_empty() && chunk.end > chunks.last().map_or(0, |last| last.end) {
                chunks.push(chunk);
            }
            let back = next.saturating_sub(options.overlap);
            first = (back.max(start + 1)..next).find(|i| parted.begins_word(*i)).unwrap_or(next);
        }
        Ok(if chunks.is_empty() { whole() } else { chunks })
    }
}

/// A text, and where its tokens are.
struct Parted<'a> {
    text: &'a str,
    places: Vec<Span>,
    /// Tokens that a chunk has about.
    room: usize,
}

impl Parted<'_> {
    /// The longest chunk that begins with the token `first`, or behind it where that leaves no room for another token or
    /// for a word that would fit, and ends behind the token `next`: where it begins, itself, and the token behind it.
    fn next_chunk(
        &self,
        first: usize,
        next: usize,
        fits: &dyn Fn(&Range<usize>) -> Result<bool>,
    ) -> Result<(usize, Range<usize>, usize)> {
        let mut cut = None;
        for start in (first..=next).filter(|i| *i == first || *i == next || self.begins_word(*i)) {
            let (chunk, end, fitting) = self.longest(start, next + 1, fits)?;
            if fitting && (end == self.places.len() || self.begins_word(end)) {
                return Ok((start, chunk, end));
            }
            if cut.is_none() && (fitting || start == next) {
                cut = Some((start, chunk, end));
            }
        }
        // At least the last start has given one.
        Ok(cut.unwrap_or_else(|| (next, self.between(next, next + 1), next + 1)))
    }

    /// The longest chunk that begins with a token, ends at `least` or behind it, and fits; the token behind it; and whether
    /// it does fit.
    fn longest(
        &self,
        first: usize,
        least: usize,
        fits: &dyn Fn(&Range<usize>) -> Result<bool>,
    ) -> Result<(Range<usize>, usize, bool)> {
        let mut end = self.places.len().min(first + self.room).max(least);
        let mut before = usize::MAX;
        loop {
            end = self.boundary(least, end);
            let chunk = self.between(first, end);
            let fitting = fits(&chunk)?;
            if fitting || end <= least || end >= before {
                return Ok((chunk, end, fitting));
            }
            (before, end) = (end, end - 1);
        }
    }

    /// The last place from `least` to `end` where a chunk may end: before a word, else before a character, else behind `end`.
    fn boundary(&self, least: usize, end: usize) -> usize {
        let count = self.places.len();
        if end == count {
            return end;
        }
        let before = || (least..=end).rev();
        let parts = |i: &usize| self.places[*i].start >= self.places[*i - 1].end;
        let word = before().find(|i| self.begins_word(*i));
        // A character of more tokens than there is room for stays whole.
        word.or_else(|| before().find(parts)).or_else(|| (end..count).find(parts)).unwrap_or(count)
    }

    /// The text from a token to that before another one, without white space at both ends: what a tokenizer leaves out,
    /// such as accents, belongs to the token before it.
    fn between(&self, first: usize, end: usize) -> Range<usize> {
        let start = if first == 0 { 0 } else { self.places[first].start };
        let end = self.places.get(end).map_or(self.text.len(), |place| place.start).max(start);
        let chunk = &self.text[start..end];
        let end = start + chunk.trim_end().len();
        end - chunk.trim().len()..end
    }

    /// Whether there is white space between a token and the one before, or at the begin of it.
    fn begins_word(&self, i: usize) -> bool {
        let (before, here) = (&self.places[i - 1], &self.places[i]);
        // What a tokenizer leaves out between tokens may be other than white space.
        let apart = self.text.get(before.end..here.start);
        let space = self.text[here.start..].chars().next().is_some_and(char::is_whitespace);
        apart.is_some_and(|apart| space || apart.contains(char::is_whitespace))
    }
}
