//! What fills a query up for late interaction.

use std::iter::repeat_n;

use super::Tokens;

/// A token that is put behind others until there are `length`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fill {
    pub(crate) id: u32,
    pub(crate) length: usize,
    /// Whether other tokens attend to it.
    pub(crate) attend: bool,
}

impl Fill {
    pub(crate) fn up(self, tokens: &mut Tokens) {
        let missing = self.length.saturating_sub(tokens.ids.len());
        tokens.ids.extend(repeat_n(self.id, missing));
        if let Some(types) = &mut tokens.type_ids {
            types.extend(repeat_n(0, missing));
        }
        tokens.unattended = if self.attend { 0 } else { missing };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_texts_are_filled_up_and_long_ones_are_not() {
        let tokens = |ids: &[u32]| {
            let (ids, type_ids, full_length) = (ids.to_vec(), Some(vec![1; ids.len()]), ids.len());
            let mut tokens = Tokens { ids, type_ids, full_length, unattended: 0, excluded: 0 };
            Fill { id: 9, length: 4, attend: false }.up(&mut tokens);
            (tokens.ids, tokens.type_ids.unwrap(), tokens.unattended)
        };
        assert_eq!(tokens(&[1, 2]), (vec![1, 2, 9, 9], vec![1, 1, 0, 0], 2));
        assert_eq!(tokens(&[1, 2, 3, 4, 5]), (vec![1, 2, 3, 4, 5], vec![1; 5], 0));
    }
}
