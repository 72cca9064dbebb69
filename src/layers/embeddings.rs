//! Embedding layer: sums a token's vectors in one or more tables and normalizes the sum.

use super::patches::Patches;
use crate::batch::Batch;
use crate::config::{Activation, JsonFile};
use crate::error::Result;
use crate::ops::{Lookup, Ops};

/// Embedding tables of a family, and the steps after their sum.
pub(crate) struct Embeddings<O: Ops> {
    pub(crate) words: O::Table,
    pub(crate) token_types: Option<O::Table>,
    pub(crate) positions: Option<(O::Table, PositionRule)>,
    /// Patches of images, which are added before the norm.
    pub(crate) patches: Option<Patches<O>>,
    pub(crate) norm: Option<O::Norm>,
    /// Projection to the encoder's width, if the tables are narrower.
    pub(crate) projection: Option<O::Linear>,
    pub(crate) factor: Option<f32>,
}

impl<O: Ops> Embeddings<O> {
    /// Makes embeddings of the word table alone.
    pub(crate) fn of_words(words: O::Table) -> Self {
        Self { words, token_types: None, positions: None, patches: None, norm: None, projection: None, factor: None }
    }

    /// Returns the embeddings of a batch, `(tokens, hidden_size)`.
    pub(crate) fn forward(&self, ops: &O, batch: &Batch) -> Result<O::Tensor> {
        let positions = self.positions.as_ref().map(|(table, rule)| (table, rule.of(batch)));
        let mut lookups = vec![Lookup { table: &self.words, entries: &batch.input_ids }];
        lookups.extend(self.token_types.as_ref().map(|table| Lookup { table, entries: &batch.token_type_ids }));
        lookups.extend(positions.as_ref().map(|(table, positions)| Lookup { table: *table, entries: positions }));
        let mut x = match &self.patches {
            None => ops.embed(&lookups, self.norm.as_ref())?,
            Some(patches) => {
                let x = patches.add(ops, ops.embed(&lookups, None)?, batch)?;
                match &self.norm {
                    Some(norm) => ops.norm(&x, norm)?,
                    None => x,
                }
            }
        };
        if let Some(projection) = &self.projection {
            x = ops.linear(&x, projection, Activation::Identity)?;
        }
        match self.factor {
            Some(factor) => ops.scale(&x, factor),
            None => Ok(x),
        }
    }
}

/// Rule that gives each token its position.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PositionRule {
    /// Index in the text.
    FromZero,
    /// fairseq's rule: counts the tokens that aren't padding, from `pad + 1`. Literal padding tokens in a text are at
    /// `pad`.
    AfterPadding { pad: u32 },
}

impl PositionRule {
    fn of(self, batch: &Batch) -> Vec<u32> {
        let Self::AfterPadding { pad } = self else { return batch.positions() };
        let of_text = |text: std::ops::Range<usize>| {
            batch.input_ids[text].iter().scan(pad, move |last, id| {
                *last += u32::from(*id != pad);
                Some(if *id == pad { pad } else { *last })
            })
        };
        batch.texts().flat_map(of_text).collect()
    }

    /// Returns the number of tokens that fit into `max_position_embeddings` positions.
    pub(crate) fn max_tokens(self, config: &JsonFile, max_position_embeddings: usize) -> Result<usize> {
        let Self::AfterPadding { pad } = self else {
            return config.positive("max_position_embeddings", max_position_embeddings);
        };
        let max_tokens = max_position_embeddings.checked_sub(pad as usize + 1).filter(|tokens| *tokens > 0);
        max_tokens.ok_or_else(|| {
            let problem =
                format!("must be more than pad_token_id + 1, {}, got {max_position_embeddings}", u64::from(pad) + 1);
            config.error("max_position_embeddings", problem)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenize::Tokens;

    #[test]
    fn literal_padding_is_not_counted() {
        let tokens = |ids: &[u32]| Tokens::new(ids.to_vec(), None, ids.len());
        let batch = Batch::new(&[tokens(&[0, 1, 7, 1, 2]), tokens(&[1, 9])]);
        assert_eq!(PositionRule::AfterPadding { pad: 1 }.of(&batch), [2, 1, 3, 1, 4, 1, 2]);
        assert_eq!(PositionRule::FromZero.of(&batch), [0, 1, 2, 3, 4, 0, 1]);
    }
}
