//! Chunking of long texts, so that a model reads each chunk without truncation.

use std::ops::Range;

use super::Reader;
use crate::error::{Error, Result};
use crate::observer::{NoObserver, ask};
use crate::options::ChunkOptions;
use crate::tokenize::Input;

/// Byte range of a token in its text.
type Span = Range<usize>;

impl Reader {
    /// Splits a text into chunks that fit the model without truncation. Returns the byte range of each in `text`, in
    /// order.
    ///
    /// Chunks start and end at tokens, at white space if possible, and never inside a character. White space around
    /// chunks belongs to none. A text without tokens, or a short one, is a single chunk. A chunk exceeds `max_tokens`
    /// only if a single character or an unsplittable part of a word does.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the special tokens and the prompt fill `max_tokens`, or `overlap` fills a chunk;
    /// [`Error::Interrupted`] if the observer stops it; the errors of [`Reader::tokenize`] for the text.
    pub fn chunk(&self, text: &str, options: &ChunkOptions<'_>) -> Result<Vec<Range<usize>>> {
        let checkpoint = || ask(options.observer.unwrap_or(&NoObserver));
        let limit = [options.max_tokens, Some(self.max_length())].into_iter().flatten().min().unwrap_or(usize::MAX);
        let capacity = limit.saturating_sub(self.count("", options.prompt)?);
        if capacity == 0 {
            let problem = format!("must leave room for more than the special tokens and the prompt, got {limit}");
            return Err(Error::argument("max_tokens", problem));
        }
        if options.overlap >= capacity {
            let problem = format!("must be less than the {capacity} tokens of a chunk, got {}", options.overlap);
            return Err(Error::argument("overlap", problem));
        }
        let spans = self.interruptible(Input::Text(text), &checkpoint, |loaded, input| loaded.tokenizer.offsets(input));
        let spans = spans.map_err(|error| match error {
            Error::Tokenizer(problem) => Error::argument("text", problem),
            other => other,
        })?;
        let parted = Parted { text, spans, capacity };
        // A chunk after the prompt can have other tokens than within its text, and more of them.
        let fits = |chunk: &Range<usize>| Ok(self.count(&text[chunk.clone()], options.prompt)? <= limit);
        let whole = || std::iter::once(0..text.len()).collect();
        if parted.spans.len() <= capacity && fits(&(0..text.len()))? {
            return Ok(whole());
        }
        let mut chunks: Vec<Range<usize>> = Vec::new();
        let (mut first, mut next) = (0, 0);
        while next < parted.spans.len() {
            checkpoint()?;
            let (start, chunk, end) = parted.next_chunk(first, next, &fits)?;
            next = end;
            // White space alone is not a chunk.
            if !chunk.is_empty() && chunk.end > chunks.last().map_or(0, |last| last.end) {
                chunks.push(chunk);
            }
            let back = next.saturating_sub(options.overlap);
            // After a token of white space alone, the next one starts no later.
            let last = chunks.last().map(|last| last.start);
            let begins = |i: &usize| parted.begins_word(*i) && Some(parted.between(*i, next).start) > last;
            first = (back.max(start + 1)..next).find(begins).unwrap_or(next);
        }
        Ok(if chunks.is_empty() { whole() } else { chunks })
    }
}

/// Text with the byte ranges of its tokens.
struct Parted<'a> {
    text: &'a str,
    spans: Vec<Span>,
    /// Approximate number of the text's tokens in a chunk.
    capacity: usize,
}

impl Parted<'_> {
    /// Returns the longest chunk that starts at the token `first` and contains the token `next`: its first token, its
    /// bytes and the token after it. The start moves towards `next` if the overlap leaves no space for it, or for a
    /// whole word.
    fn next_chunk(
        &self,
        first: usize,
        next: usize,
        fits: &dyn Fn(&Range<usize>) -> Result<bool>,
    ) -> Result<(usize, Range<usize>, usize)> {
        let mut cut = None;
        for start in (first..=next).filter(|i| *i == first || *i == next || self.begins_word(*i)) {
            let (chunk, end, fitting) = self.longest(start, next + 1, fits)?;
            if fitting && (end == self.spans.len() || self.begins_word(end)) {
                return Ok((start, chunk, end));
            }
            if cut.is_none() && (fitting || start == next) {
                cut = Some((start, chunk, end));
            }
        }
        // The last start always gives a chunk.
        Ok(cut.unwrap_or_else(|| (next, self.between(next, next + 1), next + 1)))
    }

    /// Returns the longest chunk that starts at the token `first`, ends at `least` or later, and fits; then the token
    /// after it, and true if the chunk fits.
    fn longest(
        &self,
        first: usize,
        least: usize,
        fits: &dyn Fn(&Range<usize>) -> Result<bool>,
    ) -> Result<(Range<usize>, usize, bool)> {
        let mut end = self.spans.len().min(first + self.capacity).max(least);
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

    /// Returns the last token from `least` to `end` where a chunk may end: before a word, else before a character. If
    /// there is none, returns the first one after `end`.
    fn boundary(&self, least: usize, end: usize) -> usize {
        let count = self.spans.len();
        if end == count {
            return end;
        }
        let before = || (least..=end).rev();
        let parts = |i: &usize| self.spans[*i].start >= self.spans[*i - 1].end;
        let word = before().find(|i| self.begins_word(*i));
        // A character stays whole even if its tokens exceed the limit.
        word.or_else(|| before().find(parts)).or_else(|| (end..count).find(parts)).unwrap_or(count)
    }

    /// Returns the bytes from the token `first` to the token before `end`, without white space at both ends. Characters
    /// that the tokenizer drops, such as accents, belong to the token before them.
    fn between(&self, first: usize, end: usize) -> Range<usize> {
        let start = if first == 0 { 0 } else { self.spans[first].start };
        let end = self.spans.get(end).map_or(self.text.len(), |span| span.start).max(start);
        let chunk = &self.text[start..end];
        let end = start + chunk.trim_end().len();
        end - chunk.trim().len()..end
    }

    /// Returns true if white space separates a token from the one before, or starts the token.
    fn begins_word(&self, i: usize) -> bool {
        let (before, here) = (&self.spans[i - 1], &self.spans[i]);
        // A tokenizer can drop characters other than white space between tokens.
        let apart = self.text.get(before.end..here.start);
        let space = self.text[here.start..].chars().next().is_some_and(char::is_whitespace);
        apart.is_some_and(|apart| space || apart.contains(char::is_whitespace))
    }
}
