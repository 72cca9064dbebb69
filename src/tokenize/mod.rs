//! Conversion of text to ids, exactly as transformers' tokenizer classes do it, on top of the tokenizers crate.
//!
//! - [`files`]: a tokenizer's files, with errors that name file and key.
//! - [`load`]: loading a tokenizer from its folder.
//! - [`class`]: the tokenizer classes, with their [`default_tokens`]; [`rebuild`]: the steps that each class builds.
//! - [`steps`]: the steps that change a text, and [`regex`], in bounded time and memory.
//! - [`sentence_piece`]: models of SentencePiece, with their rules of normalization, [`charsmap`].
//! - [`special`]: special and added tokens, from up to four files.
//! - [`difference`]: tokens of a class that differ from those of tokenizer.json itself.
//! - [`encode`]: text to ids. [`layout`]: positions of special tokens, and truncation.
//! - [`pad_to`]: query expansion.

mod charsmap;
pub(crate) mod class;
mod default_tokens;
mod difference;
mod encode;
mod files;
mod input;
mod layout;
mod load;
mod model2vec;
mod pad_to;
mod rebuild;
mod regex;
mod sentence_piece;
mod special;
mod steps;
#[cfg(test)]
mod tests;
mod tokens;

use std::collections::HashMap;
use std::collections::HashSet;

use tokenizers::AddedToken;

use self::layout::Layouts;
use self::model2vec::Model2VecRule;
use self::steps::Steps;
use crate::catch_panic::catch_panic;
use crate::error::{Error, Result};

pub use self::difference::TokenizerDifference;
pub(crate) use self::encode::{NO_TEXT, no_text};
pub use self::input::Input;
pub(crate) use self::load::TokenizerSettings;
pub(crate) use self::pad_to::PadTo;
#[cfg(feature = "fuzz")]
pub use self::sentence_piece::normalize_by_sentence_piece;
pub use self::tokens::Tokens;

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
    /// End token that isn't added to a text that ends with it.
    ends_once: Option<u32>,
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

    /// Returns the number of special tokens around a text or a pair, whichever has more. No input is cut to fewer tokens.
    pub(crate) fn special_tokens(&self) -> usize {
        self.layouts.single.special_tokens().max(self.layouts.pair.special_tokens())
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

    /// Returns true if the model gets an attention mask, by which it leaves padding out.
    pub(crate) fn masks_padding(&self) -> bool {
        self.attention_mask
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

/// Removes the spaces that decoding leaves before punctuation and English endings.
fn clean_up_spaces(text: String) -> String {
    let spaced = [" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're"];
    spaced.iter().fold(text, |text, ending| text.replace(ending, ending.trim()))
}
