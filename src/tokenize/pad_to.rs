//! Padding of queries for late interaction (query expansion).

use std::iter::repeat_n;

use super::Tokens;

/// Padding to a minimum length with one token, which the model reads as a token of the text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PadTo {
    pub(crate) token_id: u32,
    pub(crate) length: usize,
    /// True if other tokens attend to the padding.
    pub(crate) attend: bool,
    /// True if the padding precedes the text.
    pub(crate) left: bool,
}

impl PadTo {
    pub(crate) fn apply(self, tokens: &mut Tokens) {
        let missing = self.length.saturating_sub(tokens.ids.len());
        let at = |length| if self.left { 0 } else { length };
        let end = at(tokens.ids.len());
        tokens.ids.splice(end..end, repeat_n(self.token_id, missing));
        if let Some(types) = &mut tokens.type_ids {
            let end = at(types.len());
            types.splice(end..end, repeat_n(0, missing));
        }
        tokens.unattended = if self.attend { 0 } else { missing };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_texts_are_padded_and_long_ones_are_not() {
        let padded = |left, ids: &[u32]| {
            let (ids, type_ids, full_length) = (ids.to_vec(), Some(vec![1; ids.len()]), ids.len());
            let mut tokens = Tokens::new(ids, type_ids, full_length);
            PadTo { token_id: 9, length: 4, attend: false, left }.apply(&mut tokens);
            (tokens.ids, tokens.type_ids.unwrap(), tokens.unattended)
        };
        let tokens = |ids: &[u32]| padded(false, ids);
        assert_eq!(padded(true, &[1, 2]).0, [9, 9, 1, 2]);
        assert_eq!(tokens(&[1, 2]), (vec![1, 2, 9, 9], vec![1, 1, 0, 0], 2));
        assert_eq!(tokens(&[1, 2, 3, 4, 5]), (vec![1, 2, 3, 4, 5], vec![1; 5], 0));
    }
}
