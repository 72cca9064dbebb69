//! Text to ids, exactly as the reference: transformers' tokenizer classes over the tokenizers crate.
//!
//! - [`files`]: the JSON files, read with errors that name file and key.
//! - [`load`]: a folder's tokenizer.
//! - [`class`]: which tokenizer class a folder asks for; [`rebuild`]: what that class makes of tokenizer.json.
//! - [`steps`]: what is done to a text, and [`regex`], in bounded time and memory.
//! - [`special`]: the special and added tokens, from up to four files.
//! - [`layout`]: where special tokens go, and what is cut.

mod class;
mod files;
mod fill;
mod guard;
mod layout;
mod load;
mod rebuild;
mod regex;
mod special;
mod steps;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
#[cfg(feature = "python")]
use std::collections::HashMap;
use std::collections::HashSet;
use std::ops::Range;

use tokenizers::AddedToken;

use self::guard::caught;
use self::layout::{Layouts, longest_first};
use self::steps::Steps;
use crate::alloc;
use crate::error::{Error, Result};

pub(crate) use self::fill::Fill;

/// One input: a text, or a pair of texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Input<'a> {
    /// A text.
    Text(&'a str),
    /// Two texts that the model sees as one sequence, with its separator in between.
    Pair(&'a str, &'a str),
}

impl<'a> Input<'a> {
    pub(crate) fn texts<T: AsRef<str>>(texts: &'a [T]) -> Vec<Self> {
        texts.iter().map(|text| Self::Text(text.as_ref())).collect()
    }
}

impl<'a> From<&'a str> for Input<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<(&'a str, &'a str)> for Input<'a> {
    fn from((first, second): (&'a str, &'a str)) -> Self {
        Self::Pair(first, second)
    }
}

/// The tokens of one input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Token ids, special ones included.
    pub ids: Vec<u32>,
    /// To which of two texts each token belongs; `None` where the model is not told.
    pub type_ids: Option<Vec<u32>>,
    /// How many tokens there are before the cut, special ones included.
    pub full_length: usize,
    /// How many of the last ids only fill the text up, and are not attended to.
    pub(crate) unattended: usize,
    /// Number of the first tokens that pooling leaves out, since they are the prompt's.
    pub(crate) excluded: usize,
}

/// Text to ids and back. Nothing about it changes after loading, so threads share it.
pub struct Tokenizer {
    inner: Steps,
    layouts: Layouts,
    special_ids: HashSet<u32>,
    token_type_ids: bool,
    max_id: u32,
    pad_id: Option<u32>,
    filler_id: Option<u32>,
    pad_left: bool,
    cut_left: bool,
    model_max_length: Option<usize>,
    /// Tokens that are kept in any case where the tokenizer itself says it.
    limit: Option<usize>,
    cleans_up: bool,
    word_end: Option<&'static str>,
    /// Tokens that are special beyond what the files say.
    promoted: Vec<(u32, String)>,
    /// Special tokens by what they are for, such as `cls_token`.
    special_tokens: Vec<(&'static str, String)>,
}

impl Tokenizer {
    /// The same, with a limit of its own in place of tokenizer.json's.
    pub(crate) fn cut_to(self, limit: Option<usize>) -> Self {
        Self { limit, ..self }
    }

    /// How many tokens the tokenizer itself keeps of a text, where that is limited: not a setting of the model's.
    pub(crate) fn limit(&self) -> Option<usize> {
        self.limit
    }

    /// The same, without special tokens around a text.
    pub(crate) fn bare(self) -> Self {
        Self { layouts: Layouts::bare(), ..self }
    }

    /// The same, in which each prefix is one token where it, or its first word, is known as one: a text is not parted or
    /// normalized there.
    pub(crate) fn with_prefixes(mut self, prefixes: &[String]) -> Result<Self> {
        for prefix in prefixes {
            let Some(word) = prefix.split_whitespace().next() else { continue };
            let known = [prefix.as_str(), word].into_iter().find_map(|token| Some((token, self.id(token)?)));
            let Some((token, id)) = known else { continue };
            if self.encode_plain(token)? != [id] {
                let added = AddedToken::from(token, true).normalized(false);
                caught(|| self.inner.add_special_tokens([added])).map_err(Error::Tokenizer)?;
                self.special_ids.insert(id);
                self.promoted.push((id, token.to_owned()));
            }
        }
        Ok(self)
    }

    /// The tokens that [`Tokenizer::with_prefixes`] made special, with their ids: the files don't say so.
    pub(crate) fn promoted(&self) -> &[(u32, String)] {
        &self.promoted
    }

    /// The id of a token, where there is one.
    pub(crate) fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The id of the mask token, or for want of one of the token that ends texts.
    pub(crate) fn filler_id(&self) -> Option<u32> {
        self.filler_id
    }

    /// The token of an id, where there is one.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The tokens of `prompt` and `input`, at most `max_length` of them, special ones included: those are never cut.
    ///
    /// The prompt goes before the (first) text and is tokenized with it; `""` is none. Of a pair the longer text is cut
    /// first. `usize::MAX` cuts nothing.
    ///
    /// # Errors
    /// The tokenizer fails on the text: it has no token for what it does not know, or a file that loads but makes no
    /// sense.
    pub fn encode(&self, input: Input<'_>, prompt: &str, max_length: usize) -> Result<Tokens> {
        let (first, second) = match input {
            Input::Text(text) => (text, None),
            Input::Pair(first, second) => (first, Some(second)),
        };
        let first = match prompt {
            "" => Cow::Borrowed(first),
            _ => Cow::Owned([prompt, first].concat()),
        };
        let layout = if second.is_some() { &self.layouts.pair } else { &self.layouts.single };
        let room = max_length.saturating_sub(layout.added());
        let first = self.encode_plain(&first)?;
        let second = second.map(|text| self.encode_plain(text)).transpose()?;
        let (kept_first, kept_second) = longest_first(first.len(), second.as_ref().map(Vec::len), room);
        let second = second.unwrap_or_default();
        let full_length = layout.length(first.len(), second.len());
        let (ids, type_ids) = layout.join(self.cut(&first, kept_first), self.cut(&second, kept_second));
        Ok(Tokens { ids, type_ids: self.token_type_ids.then_some(type_ids), full_length, unattended: 0, excluded: 0 })
    }

    fn cut<'a>(&self, ids: &'a [u32], kept: usize) -> &'a [u32] {
        let range = if self.cut_left { ids.len().saturating_sub(kept)..ids.len() } else { 0..kept };
        ids.get(range).unwrap_or(ids)
    }

    /// How many special tokens there are around a text, or around a pair where those are more: no input is cut to fewer.
    pub(crate) fn special_tokens(&self) -> usize {
        self.layouts.single.added().max(self.layouts.pair.added())
    }

    /// How many tokens an input has, uncut, special ones included.
    ///
    /// # Errors
    /// As for [`encode`](Self::encode).
    pub fn count(&self, input: Input<'_>) -> Result<usize> {
        let length = |text: &str| Ok::<_, Error>(self.encode_plain(text)?.len());
        Ok(match input {
            Input::Text(text) => self.layouts.single.length(length(text)?, 0),
            Input::Pair(first, second) => self.layouts.pair.length(length(first)?, length(second)?),
        })
    }

    /// How many of a text's first tokens are the prompt's, as pooling without the prompt counts them: the tokens of
    /// the prompt alone, cut like a text, but for a special one at the end.
    pub(crate) fn prompt_length(&self, prompt: &str, max_length: usize) -> Result<usize> {
        let ids = self.encode(Input::Text(prompt), "", max_length)?.ids;
        let ends_special = ids.last().is_some_and(|id| self.special_ids.contains(id));
        Ok(ids.len() - usize::from(ends_special))
    }

    /// The ids of a text, uncut and without the special tokens around it.
    ///
    /// # Errors
    /// As for [`encode`](Self::encode).
    pub fn encode_plain(&self, text: &str) -> Result<Vec<u32>> {
        check_memory(text)?;
        let encoding = caught(|| self.inner.encode_fast(text, false)).map_err(Error::Tokenizer)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Where the tokens of a text, or of the first of a pair, lie in it, in bytes and without special tokens: whole
    /// characters, which several may share.
    pub(crate) fn places(&self, input: Input<'_>) -> Result<Vec<Range<usize>>> {
        let (Input::Text(text) | Input::Pair(text, _)) = input;
        check_memory(text)?;
        let encoding = caught(|| self.inner.encode(text, false)).map_err(Error::Tokenizer)?;
        let whole = |&(start, end): &(usize, usize)| {
            let start = (0..=start.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
            let end = (end.min(text.len())..=text.len()).find(|at| text.is_char_boundary(*at));
            start.unwrap_or(0)..end.unwrap_or(text.len())
        };
        Ok(encoding.get_offsets().iter().map(whole).collect())
    }

    /// The text of ids, with or without its special tokens. Ids of no token are left out, as in the reference.
    ///
    /// # Errors
    /// The tokenizer's decoder fails on these tokens.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        let mut text = caught(|| self.inner.decode(ids, skip_special)).map_err(Error::Tokenizer)?;
        if let Some(word_end) = self.word_end {
            text = text.replace(word_end, " ").trim().to_owned();
        }
        Ok(if self.cleans_up { cleaned_up(text) } else { text })
    }

    /// The size of the vocabulary, without added tokens, as transformers counts it.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(false)
    }

    /// Special tokens by what they are for, such as `cls_token`.
    pub fn special_tokens_by_part(&self) -> &[(&'static str, String)] {
        &self.special_tokens
    }

    /// All tokens with their ids, added ones included.
    #[cfg(feature = "python")]
    pub(crate) fn vocab(&self) -> HashMap<String, u32> {
        self.inner.get_vocab(true)
    }

    /// The largest id that a text can get. It may lie beyond the model's embedding table: then it is an added token
    /// that the model never learned, and only a text with that token in it gets it.
    pub fn max_id(&self) -> u32 {
        self.max_id
    }

    /// The id to pad with, where there is a padding token.
    pub fn pad_id(&self) -> Option<u32> {
        self.pad_id
    }

    /// The type id to pad with.
    pub fn pad_type_id(&self) -> u32 {
        0
    }

    /// Whether padding goes before the tokens.
    pub fn pad_left(&self) -> bool {
        self.pad_left
    }

    /// Whether the model is told which token belongs to which text.
    pub fn has_token_type_ids(&self) -> bool {
        self.token_type_ids
    }

    /// The limit that the folder's files say; `None` where there is none, or a number so large that it says "none".
    pub fn model_max_length(&self) -> Option<usize> {
        self.model_max_length
    }
}

/// Looks whether there is memory to tokenize a long text, for what does it aborts without.
fn check_memory(text: &str) -> Result<()> {
    /// Shorter ones take little.
    const LONG: usize = 1 << 20;
    /// What a byte may take: its places in the text and the normalized one, and a token.
    const BYTES: usize = 128;
    if text.len() < LONG {
        return Ok(());
    }
    alloc::check::<u8>(text.len().saturating_mul(BYTES), &format!("the tokens of a text of {} bytes", text.len()))
}

/// Takes out the spaces that decoding leaves before punctuation and English endings.
fn cleaned_up(text: String) -> String {
    let spaced = [" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're"];
    spaced.iter().fold(text, |text, ending| text.replace(ending, ending.trim()))
}
