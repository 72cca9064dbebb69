//! Words of a text, which may be several tokens of the vocabulary: with white space before it and without, for example.

use crate::error::Result;
use crate::heads::{SparseRow, largest_of_each};
use crate::tokenize::Tokenizer;

/// Special tokens that are no words, by their roles.
const SPECIAL: [&str; 4] = ["cls_token", "eos_token", "pad_token", "unk_token"];

/// Tokens that stand for words: of those that decode to the same text, the one that is spelled like it.
pub(crate) struct Words<'a> {
    tokenizer: &'a Tokenizer,
    special: Vec<u32>,
}

impl<'a> Words<'a> {
    pub(super) fn of(tokenizer: &'a Tokenizer) -> Self {
        let named = tokenizer.named_special_tokens().iter().filter(|(role, _)| SPECIAL.contains(role));
        Self { tokenizer, special: named.filter_map(|(_, token)| tokenizer.id(token)).collect() }
    }

    /// Turns the weights of tokens into those of words, without special tokens. The largest weight of a word stays.
    pub(super) fn weights(&self, tokens: SparseRow) -> Result<SparseRow> {
        let words = tokens.into_iter().filter(|(token, _)| !self.special.contains(token));
        let words = words.map(|(token, weight)| Ok((self.word(token)?, weight))).collect::<Result<_>>()?;
        Ok(largest_of_each(words))
    }

    fn word(&self, token: u32) -> Result<u32> {
        Ok(self.tokenizer.id(&self.tokenizer.decode(&[token], false)?).unwrap_or(token))
    }
}
