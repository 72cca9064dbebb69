//! Text to ids: the tokens of a text or a pair with its special tokens, truncated, and their offsets.

use std::borrow::Cow;
use std::ops::Range;

use super::layout::longest_first;
use super::{Input, Tokenizer, Tokens};
use crate::alloc;
use crate::catch_panic::catch_panic;
use crate::error::{Error, Result};
use crate::options::TruncationSide;

impl Tokenizer {
    /// Tokenizes `prompt` and `input`, truncated to `max_length` tokens. Special tokens count, and are never cut.
    ///
    /// The prompt is put before the (first) text and tokenized with it; `""` means none. The longer text of a pair is cut
    /// first. `usize::MAX` cuts nothing.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the tokenizer fails on the text, for example since it has no unknown token.
    pub fn encode(&self, input: Input<'_>, prompt: &str, max_length: usize) -> Result<Tokens> {
        self.encode_cut(input, prompt, max_length, None)
    }

    /// Tokenizes like [`Tokenizer::encode`], and truncates at the given side instead of the tokenizer's own.
    pub(crate) fn encode_cut(
        &self,
        input: Input<'_>,
        prompt: &str,
        max_length: usize,
        side: Option<TruncationSide>,
    ) -> Result<Tokens> {
        let cut_left = self.cuts_left(side);
        let (first, second) = match input {
            Input::Text(text) => (text, None),
            Input::Pair(first, second) => (first, Some(second)),
            Input::Ids(ids) => return Ok(self.given(ids, max_length, cut_left)),
            Input::Image(_) => return Err(no_text()),
        };
        let first = match prompt {
            "" => Cow::Borrowed(first),
            _ => Cow::Owned([prompt, first].concat()),
        };
        let layout = if second.is_some() { &self.layouts.pair } else { &self.layouts.single };
        let limit = max_length.saturating_sub(layout.special_tokens());
        let (first, first_length) = self.encode_text(&first)?;
        let (second, second_length) = second.map(|text| self.encode_text(text)).transpose()?.unzip();
        let (kept_first, kept_second) = longest_first(first.len(), second.as_ref().map(Vec::len), limit);
        let second = second.unwrap_or_default();
        let full_length = layout.length(first_length, second_length.unwrap_or_default());
        let (ids, type_ids) = layout.join(
            self.before_end(cut(&first, kept_first, cut_left)),
            self.before_end(cut(&second, kept_second, cut_left)),
        );
        Ok(Tokens::new(ids, self.token_type_ids.then_some(type_ids), full_length))
    }

    /// Returns true if truncation removes the first tokens: by the given side, else by the tokenizer's own.
    fn cuts_left(&self, side: Option<TruncationSide>) -> bool {
        side.map_or(self.cut_left, |side| side == TruncationSide::Left)
    }

    /// Tokenizes a text that has its special tokens, truncated to `max_length` tokens.
    pub(crate) fn encode_bare(&self, text: &str, max_length: usize, side: Option<TruncationSide>) -> Result<Tokens> {
        let all = self.encode_plain(text)?;
        let ids = cut(&all, all.len().min(max_length), self.cuts_left(side)).to_vec();
        let type_ids = self.token_type_ids.then(|| vec![0; ids.len()]);
        Ok(Tokens::new(ids, type_ids, all.len()))
    }

    /// Returns the ids before an end token that isn't repeated.
    fn before_end<'a>(&self, ids: &'a [u32]) -> &'a [u32] {
        match ids {
            [before @ .., last] if Some(*last) == self.ends_once => before,
            all => all,
        }
    }

    /// Returns the ids of a text without special tokens, and their number before model2vec's cut by characters.
    fn encode_text(&self, text: &str) -> Result<(Vec<u32>, usize)> {
        let text = self.stripped(text);
        let Some(rule) = self.model2vec else {
            let ids = self.encode_plain(text)?;
            let length = self.before_end(&ids).len();
            return Ok((ids, length));
        };
        let beginning = rule.cut(text);
        let mut ids = self.encode_plain(beginning)?;
        let mut all = if beginning == text { ids.clone() } else { self.encode_plain(text)? };
        ids.truncate(self.limit.unwrap_or(usize::MAX));
        [&mut ids, &mut all].into_iter().for_each(|ids| rule.keep_known(ids));
        // A long unknown word can begin with known tokens, which only the cut text has.
        let length = all.len().max(ids.len());
        Ok((ids, length))
    }

    fn stripped<'a>(&self, text: &'a str) -> &'a str {
        // Python counts these separators as white space, too.
        let is_space = |c: char| c.is_whitespace() || ('\x1c'..='\x1f').contains(&c);
        if self.strips { text.trim_matches(is_space) } else { text }
    }

    /// Returns the tokens of ids that a caller gives.
    fn given(&self, ids: &[u32], max_length: usize, cut_left: bool) -> Tokens {
        let full_length = ids.len();
        let ids = cut(ids, max_length, cut_left).to_vec();
        let type_ids = self.token_type_ids.then(|| vec![0; ids.len()]);
        Tokens::new(ids, type_ids, full_length)
    }

    /// Returns the number of tokens of an input before truncation, special tokens included.
    ///
    /// # Errors
    /// The errors of [`encode`](Self::encode).
    pub fn count(&self, input: Input<'_>) -> Result<usize> {
        let length = |text: &str| Ok::<_, Error>(self.encode_text(text)?.1);
        Ok(match input {
            Input::Text(text) => self.layouts.single.length(length(text)?, 0),
            Input::Pair(first, second) => self.layouts.pair.length(length(first)?, length(second)?),
            Input::Ids(ids) => ids.len(),
            Input::Image(_) => return Err(no_text()),
        })
    }

    /// Returns the number of a text's first tokens that pooling without the prompt skips. It counts the tokens of the prompt
    /// alone, truncated like a text, without a special token at the end.
    pub(crate) fn prompt_length(&self, prompt: &str, max_length: usize) -> Result<usize> {
        let ids = self.encode(Input::Text(prompt), "", max_length)?.ids;
        let ends_special = ids.last().is_some_and(|id| self.special_ids.contains(id));
        Ok(ids.len() - usize::from(ends_special))
    }

    /// Returns the ids of a text without truncation and special tokens.
    ///
    /// # Errors
    /// The errors of [`encode`](Self::encode).
    pub fn encode_plain(&self, text: &str) -> Result<Vec<u32>> {
        check_memory(text)?;
        let encoding = catch_panic(|| self.inner.encode_fast(text, false)).map_err(Error::Tokenizer)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Returns the byte ranges of the tokens of a text, or of the first text of a pair, without special tokens. Ranges are
    /// widened to whole characters, so that tokens may overlap.
    pub(crate) fn offsets(&self, input: Input<'_>) -> Result<Vec<Range<usize>>> {
        let (Input::Text(text) | Input::Pair(text, _)) = input else { return Ok(Vec::new()) };
        check_memory(text)?;
        let stripped = self.stripped(text);
        let first = stripped.as_ptr().addr() - text.as_ptr().addr();
        let encoding = catch_panic(|| self.inner.encode(stripped, false)).map_err(Error::Tokenizer)?;
        let to_characters = |&(start, end): &(usize, usize)| {
            let (start, end) = (first + start, first + end);
            let start = (0..=start.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
            let end = (end.min(text.len())..=text.len()).find(|at| text.is_char_boundary(*at));
            start.unwrap_or(0)..end.unwrap_or(text.len())
        };
        Ok(encoding.get_offsets().iter().map(to_characters).collect())
    }
}

/// Returns the ids that truncation keeps.
fn cut(ids: &[u32], kept: usize, left: bool) -> &[u32] {
    let range = if left { ids.len().saturating_sub(kept)..ids.len() } else { 0..kept };
    ids.get(range).unwrap_or(ids)
}

/// Checks that memory suffices to tokenize a long text, since the tokenizers crate aborts the process if not.
fn check_memory(text: &str) -> Result<()> {
    /// Length in bytes from which the check is made.
    const LONG_TEXT: usize = 1 << 20;
    /// Memory per byte of text: its offsets in the text and the normalized text, and a token.
    const BYTES_PER_BYTE: usize = 128;
    if text.len() < LONG_TEXT {
        return Ok(());
    }
    alloc::check::<u8>(
        text.len().saturating_mul(BYTES_PER_BYTE),
        &format!("the tokens of a text of {} bytes", text.len()),
    )
}

/// Problem with an image where a text is due.
pub(crate) const NO_TEXT: &str = "is an image: only texts have token ids and token embeddings";

/// Returns the error of an image, which a tokenizer doesn't read.
pub(crate) fn no_text() -> Error {
    Error::Tokenizer(NO_TEXT.to_owned())
}
