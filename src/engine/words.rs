//! Tokens that stand for a text in its sparse row. A word may be several tokens of the vocabulary: with white space before it
//! and without, for example.

use crate::error::Result;
use crate::heads::{SparseRow, Weighed, largest_of_each};
use crate::tokenize::Tokenizer;

/// Special tokens that are no words, by their roles.
const SPECIAL: [&str; 4] = ["cls_token", "eos_token", "pad_token", "unk_token"];

/// Tokens of texts without the special ones. Of tokens that decode to the same word, the one that is spelled like it can
/// stand for all.
pub(crate) struct Words<'a> {
    tokenizer: &'a Tokenizer,
    special: Vec<u32>,
    joined: bool,
}

impl<'a> Words<'a> {
    /// Returns the tokens that rows have weights of; `None` means all of the vocabulary.
    pub(super) fn of(tokenizer: &'a Tokenizer, weighed: Weighed) -> Option<Self> {
        let named = tokenizer.named_special_tokens().iter().filter(|(role, _)| SPECIAL.contains(role));
        let special = named.filter_map(|(_, token)| tokenizer.id(token)).collect();
        let joined = match weighed {
            Weighed::Vocabulary => return None,
            Weighed::Tokens => false,
            Weighed::Words => true,
        };
        Some(Self { tokenizer, special, joined })
    }

    /// Drops special tokens from a row. Of the tokens of a word, the largest weight stays.
    pub(super) fn weights(&self, tokens: SparseRow) -> Result<SparseRow> {
        let words = tokens.into_iter().filter(|(token, _)| !self.special.contains(token));
        if !self.joined {
            return Ok(words.collect());
        }
        let words = words.map(|(token, weight)| Ok((self.word(token)?, weight))).collect::<Result<_>>()?;
        Ok(largest_of_each(words))
    }

    fn word(&self, token: u32) -> Result<u32> {
        Ok(self.tokenizer.id(&self.tokenizer.decode(&[token], false)?).unwrap_or(token))
    }
}
