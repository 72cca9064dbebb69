//! Tokens of an input.

use crate::images::Prepared;

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
