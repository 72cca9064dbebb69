//! Conversion of text to ids, exactly as transformers' tokenizer classes do it, on top of the tokenizers crate.
//!
//! - [`files`]: a tokenizer's files, with errors that name file and key.
//! - [`load`]: loading a tokenizer from its folder.
//! - [`class`]: the tokenizer classes, with their [`default_tokens`]; [`rebuild`]: the steps that each class builds.
//! - [`steps`]: the steps that change a text, and [`regex`], in bounded time and memory.
//! - [`special`]: special and added tokens, from up to four files.
//! - [`difference`]: tokens of a class that differ from those of tokenizer.json itself.
//! - [`layout`]: positions of special tokens, and truncation.
//! - [`pad_to`]: query expansion. [`catch_panic`]: panics of the tokenizers crate as errors.

mod catch_panic;
pub(crate) mod class;
mod default_tokens;
mod difference;
mod files;
mod layout;
mod load;
mod model2vec;
mod pad_to;
mod rebuild;
mod regex;
mod special;
mod steps;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::HashSet;
use std::ops::Range;

use tokenizers::AddedToken;

use self::catch_panic::catch_panic;
#[cfg(feature = "images")]
pub(crate) use self::catch_panic::catch_panic_of;
use self::layout::{Layouts, longest_first};
use self::model2vec::Model2VecRule;
use self::steps::Steps;
use crate::alloc;
use crate::error::{Error, Result};
use crate::images::{Image, Prepared};
use crate::options::TruncationSide;

pub use self::difference::TokenizerDifference;
pub(crate) use self::load::TokenizerSettings;
pub(crate) use self::pad_to::PadTo;

/// One input: a text, a pair of texts, token ids, or an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Input<'a> {
    /// A text.
    Text(&'a str),
    /// Two texts that the model sees as one sequence, with its separator in between.
    Pair(&'a str, &'a str),
    /// Token ids of the model's tokenizer, special ones included. They are computed without a prompt.
    Ids(&'a [u32]),
    /// An image, for models that embed texts and images in one space. It is computed without a prompt.
    Image(Image<'a>),
}

impl<'a> Input<'a> {
    pub(crate) fn texts<T: AsRef<str>>(texts: &'a [T]) -> Vec<Self> {
        texts.iter().map(|text| Self::Text(text.as_ref())).collect()
    }

    /// Number of bytes.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Pair(first, second) => first.len() + second.len(),
            Self::Ids(ids) => size_of_val(ids),
            Self::Image(image) => image.bytes(),
        }
    }
}

impl<'a> From<&'a str> for Input<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<Image<'a>> for Input<'a> {
    fn from(image: Image<'a>) -> Self {
        Self::Image(image)
    }
}

impl<'a> From<&'a [u32]> for Input<'a> {
    fn from(ids: &'a [u32]) -> Self {
        Self::Ids(ids)
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
    /// Index of the text that each token belongs to; `None` if the model takes no `token_type_ids`.
    pub type_ids: Option<Vec<u32>>,
    /// Number of tokens before truncation, special tokens included.
    pub full_length: usize,
    /// Number of the last tokens that are padding which other tokens don't attend to.
    pub(crate) unattended: usize,
    /// Number of the first tokens that pooling leaves out: the prompt's.
    pub(crate) excluded: usize,
    /// Position of the first token. Padding before it, which no token attends to, isn't computed.
    pub(crate) first_position: usize,
    /// Image whose tokens these are, if the input is one.
    pub(crate) image: Option<Prepared>,
}

impl Tokens {
    /// Tokens of a text without padding.
    pub(crate) fn new(ids: Vec<u32>, type_ids: Option<Vec<u32>>, full_length: usize) -> Self {
        Self { ids, type_ids, full_length, unattended: 0, excluded: 0, first_position: 0, image: None }
    }

    /// Number of the last tokens that are padding which other tokens don't attend to: of late-interaction queries.
    pub fn unattended(&self) -> usize {
        self.unattended
    }
}

/// A tokenizer: text to ids and back. It is immutable after loading, so threads share it.
pub struct Tokenizer {
    inner: Steps,
    layouts: Layouts,
    special_ids: HashSet<u32>,
    token_type_ids: bool,
    /// True if the model gets an attention mask, by which it leaves padding out.
    attention_mask: bool,
    max_id: u32,
    pad_id: Option<u32>,
    expansion_token_id: Option<u32>,
    pad_left: bool,
    cut_left: bool,
    model_max_length: Option<usize>,
    /// True if white space at both ends of a text is removed first.
    strips: bool,
    /// Length limit of tokenizer.json itself.
    limit: Option<usize>,
    /// model2vec's rule, if texts are read by it.
    model2vec: Option<Model2VecRule>,
    cleans_up_spaces: bool,
    word_end: Option<&'static str>,
    /// Tokens made special after loading; the files don't list them as such.
    promoted: Vec<(u32, String)>,
    difference: Option<TokenizerDifference>,
    /// Special tokens by role, such as `cls_token`.
    special_tokens: Vec<(&'static str, String)>,
}

impl Tokenizer {
    /// Replaces the length limit of tokenizer.json.
    pub(crate) fn cut_to(self, limit: Option<usize>) -> Self {
        Self { limit, ..self }
    }

    /// Removes white space at both ends of a text, prompt included, or keeps it.
    pub(crate) fn stripping(self, strips: bool) -> Self {
        Self { strips, ..self }
    }

    /// Returns the length limit of the tokenizer's own files, which is no setting of the model.
    pub(crate) fn limit(&self) -> Option<usize> {
        [self.limit, self.model2vec.and_then(Model2VecRule::max_tokens)].into_iter().flatten().min()
    }

    /// Returns the length limit of tokenizer.json itself.
    pub(crate) fn limit_of_file(&self) -> Option<usize> {
        self.limit
    }

    /// Removes the special tokens around a text.
    pub(crate) fn bare(self) -> Self {
        Self { layouts: Layouts::bare(), ..self }
    }

    /// Makes each prefix a special token if it, or its first word, is a token: texts are not split or normalized there.
    pub(crate) fn with_prefixes(mut self, prefixes: &[String]) -> Result<Self> {
        for prefix in prefixes {
            let Some(word) = prefix.split_whitespace().next() else { continue };
            let known = [prefix.as_str(), word].into_iter().find_map(|token| Some((token, self.id(token)?)));
            let Some((token, id)) = known else { continue };
            if self.encode_plain(token)? != [id] {
                let added = AddedToken::from(token, true).normalized(false);
                catch_panic(|| self.inner.add_special_tokens([added])).map_err(Error::Tokenizer)?;
                self.special_ids.insert(id);
                self.promoted.push((id, token.to_owned()));
            }
        }
        Ok(self)
    }

    /// Returns the tokens that [`Tokenizer::with_prefixes`] made special, with their ids.
    pub(crate) fn promoted(&self) -> &[(u32, String)] {
        &self.promoted
    }

    /// Returns the id of a token.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Returns the token that expands queries by default: the mask token, else the end-of-text token.
    pub(crate) fn expansion_token_id(&self) -> Option<u32> {
        self.expansion_token_id
    }

    /// Returns the token of an id.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

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
        let (ids, type_ids) = layout.join(cut(&first, kept_first, cut_left), cut(&second, kept_second, cut_left));
        Ok(Tokens::new(ids, self.token_type_ids.then_some(type_ids), full_length))
    }

    /// Returns true if the model gets an attention mask, by which it leaves padding out.
    pub(crate) fn masks_padding(&self) -> bool {
        self.attention_mask
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

    /// Returns the ids of a text without special tokens, and their number before model2vec's cut by characters.
    fn encode_text(&self, text: &str) -> Result<(Vec<u32>, usize)> {
        let text = self.stripped(text);
        let Some(rule) = self.model2vec else {
            let ids = self.encode_plain(text)?;
            let length = ids.len();
            return Ok((ids, length));
        };
        let beginning = rule.cut(text);
        let mut ids = self.encode_plain(beginning)?;
        let mut all = if beginning == text { ids.clone() } else { self.encode_plain(text)? };
        ids.truncate(self.limit.unwrap_or(usize::MAX));
        [&mut ids, &mut all].into_iter().for_each(|ids| rule.keep_known(ids));
        Ok((ids, all.len()))
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

    /// Returns the number of special tokens around a text or a pair, whichever has more. No input is cut to fewer tokens.
    pub(crate) fn special_tokens(&self) -> usize {
        self.layouts.single.special_tokens().max(self.layouts.pair.special_tokens())
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

    /// Returns the number of special tokens before a text.
    pub(crate) fn tokens_before_text(&self) -> usize {
        self.layouts.single.before_first()
    }

    /// Decodes ids to text, with or without special tokens. Unknown ids are skipped, as in transformers.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the decoder fails on these tokens.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        let mut text = catch_panic(|| self.inner.decode(ids, skip_special)).map_err(Error::Tokenizer)?;
        if let Some(word_end) = self.word_end {
            text = text.replace(word_end, " ").trim().to_owned();
        }
        Ok(if self.cleans_up_spaces { clean_up_spaces(text) } else { text })
    }

    /// Returns the difference from the tokens of `tokenizer.json` itself, if there is one: as in transformers, the tokenizer's
    /// class may build steps of its own. [`LoadOptions::tokenizer_as_filed`](crate::LoadOptions::tokenizer_as_filed) takes
    /// the file's.
    pub fn difference(&self) -> Option<&TokenizerDifference> {
        self.difference.as_ref()
    }

    /// Returns the size of the vocabulary without added tokens, as transformers counts it.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(false)
    }

    /// Special tokens by role, such as `cls_token`.
    pub fn named_special_tokens(&self) -> &[(&'static str, String)] {
        &self.special_tokens
    }

    /// Returns all tokens with their ids, added tokens included.
    pub fn vocab(&self) -> HashMap<String, u32> {
        self.inner.get_vocab(true)
    }

    /// Returns the largest id that a text can get. It may exceed the model's embedding table: then it is an added token
    /// that the model never learned, and only texts that contain this token get it.
    pub fn max_id(&self) -> u32 {
        self.max_id
    }

    /// Returns the id of the padding token.
    pub fn pad_id(&self) -> Option<u32> {
        self.pad_id
    }

    /// Returns the type id of padding.
    pub fn pad_type_id(&self) -> u32 {
        0
    }

    /// Returns true if padding goes before the tokens.
    pub fn pad_left(&self) -> bool {
        self.pad_left
    }

    /// Returns true if the model takes `token_type_ids`.
    pub fn has_token_type_ids(&self) -> bool {
        self.token_type_ids
    }

    /// Returns the length limit in the folder's files; `None` if there is none, or a huge number that means none.
    pub fn model_max_length(&self) -> Option<usize> {
        self.model_max_length
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

/// Removes the spaces that decoding leaves before punctuation and English endings.
fn clean_up_spaces(text: String) -> String {
    let spaced = [" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're"];
    spaced.iter().fold(text, |text, ending| text.replace(ending, ending.trim()))
}
