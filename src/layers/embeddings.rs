//! Embeddings: of each token the sum of its vectors in one table or several, normalized.

use crate::batch::Batch;
use crate::config::{Activation, JsonFile};
use crate::error::Result;
use crate::ops::{Lookup, Ops};

/// The tables that a family has, and what is made of their sum.
pub(crate) struct Embeddings<O: Ops> {
    pub(crate) words: O::Table,
    pub(crate) token_types: Option<O::Table>,
    pub(crate) positions: Option<(O::Table, PositionRule)>,
    pub(crate) norm: Option<O::Norm>,
    /// To the encoder's width, where tables are narrower.
    pub(crate) projection: Option<O::Linear>,
    pub(crate) factor: Option<f32>,
}

impl<O: Ops> Embeddings<O> {
    /// Of words alone.
    pub(crate) fn of_words(words: O::Table) -> Self {
        Self { words, token_types: None, positions: None, norm: None, projection: None, factor: None }
    }

    /// `(tokens, hidden_size)`
    pub(crate) fn forward(&self, ops: &O, batch: &Batch) -> Result<O::Tensor> {
        let places = self.positions.as_ref().map(|(table, rule)| (table, rule.of(batch)));
        let mut lookups = vec![Lookup { table: &self.words, entries: &batch.input_ids }];
        lookups.extend(self.token_types.as_ref().map(|table| Lookup { table, entries: &batch.token_type_ids }));
        lookups.extend(places.as_ref().map(|(table, places)| Lookup { table: *table, entries: places }));
        let mut x = ops.embed(&lookups, self.norm.as_ref())?;
        if let Some(projection) = &self.projection {
            x = ops.linear(&x, projection, Activation::Identity)?;
        }
        match self.factor {
            Some(factor) => ops.scale(&x, factor),
            None => Ok(x),
        }
    }
}

/// What the position of a token is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PositionRule {
    /// Its place in the text.
    FromZero,
    /// A running count of the tokens that aren't padding, from `pad + 1`; padding itself, which may stand literally in a
    /// text, is at `pad`. The rule is fairseq's.
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

    /// How many tokens have a position, of which there are `max_position_embeddings`.
    pub(crate) fn room(self, config: &JsonFile, max_position_embeddings: usize) -> Result<usize> {
        let Self::AfterPadding { pad } = self else {
            return config.positive("max_position_embeddings", max_position_embeddings);
        };
        let room = max_position_embeddings.checked_sub(pad as usize + 1).filter(|room| *room > 0);
        room.ok_or_else(|| {
            let problem =
                format!("must be more than pad_token_id + 1, {}, got {max_position_embeddings}", u64::from(pad) + 1);
            config.error("max_position_embeddings", problem)
        })
    }
}
