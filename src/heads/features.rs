//! Features of models that embed texts and images: the embedding of one token, which is the input's.

use super::{Files, Head, HeadRequest, Output, Selected};
use crate::batch::Batch;
use crate::config::ModuleInput;
use crate::error::Result;
use crate::layers::Limits;
use crate::modules::{self, Module};
use crate::ops::{DeviceBatch, Ops, TokenSelection};

/// Token whose embedding is that of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feature {
    First,
    Last,
    /// The first of those with the largest id.
    LargestId,
    /// The first with this id; the first of all if there is none.
    FirstOf(u32),
}

impl Feature {
    /// Returns the token of each input, as a row of the batch.
    fn rows(self, batch: &Batch) -> Vec<u32> {
        let row = |text: std::ops::Range<usize>| {
            let ids = &batch.input_ids[text.clone()];
            let first_of = |id: u32| ids.iter().position(|other| *other == id).unwrap_or(0);
            let token = match self {
                Self::First => 0,
                Self::Last => ids.len() - 1,
                Self::LargestId => first_of(ids.iter().copied().max().unwrap_or(0)),
                Self::FirstOf(id) => first_of(id),
            };
            (text.start + token) as u32
        };
        batch.texts().map(row).collect()
    }
}

struct Features<O: Ops> {
    feature: Feature,
    modules: Vec<Module<O>>,
    width: usize,
}

/// Loads the head of a tower, with the modules after the transformer.
pub(crate) fn load<O: Ops>(files: &Files<'_>, feature: Feature, limits: Limits, ops: &O) -> Result<Box<dyn Head<O>>> {
    let after = files.entries.and_then(|entries| entries.get(1..)).unwrap_or_default();
    let (modules, width) = modules::load(after, ModuleInput::Sentences, limits.hidden_size, ops)?;
    Ok(Box::new(Features { feature, modules, width }))
}

impl<O: Ops> Head<O> for Features<O> {
    fn gives(&self) -> HeadRequest {
        HeadRequest::POOLED
    }

    /// Selects one token per input if it is the first or the last of all, so that the last layer computes only that one.
    fn selection(&self, batch: &Batch) -> TokenSelection {
        let rows = self.feature.rows(batch);
        if rows == Feature::First.rows(batch) {
            TokenSelection::First
        } else if rows == Feature::Last.rows(batch) {
            TokenSelection::Last
        } else {
            TokenSelection::All
        }
    }

    fn forward(
        &self,
        ops: &O,
        tokens: &Selected<'_, O>,
        batch: &DeviceBatch<'_, O>,
        output: &mut Output,
    ) -> Result<()> {
        output.pooled = match tokens.selection {
            TokenSelection::All => {
                let rows = ops.select_rows(tokens.embeddings, &self.feature.rows(batch))?;
                modules::apply(&self.modules, ops, &rows)?
            }
            TokenSelection::First | TokenSelection::Last => modules::apply(&self.modules, ops, tokens.embeddings)?,
        };
        Ok(())
    }

    fn width(&self) -> usize {
        self.width
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenize::Tokens;

    #[test]
    fn a_feature_is_that_of_the_first_end() {
        let tokens = |ids: &[u32]| Tokens::new(ids.to_vec(), None, ids.len());
        let batch = Batch::new(&[tokens(&[1, 9, 3, 9]), tokens(&[9]), tokens(&[1, 2])]);
        let rows = |feature: Feature| feature.rows(&batch);
        assert_eq!([rows(Feature::First), rows(Feature::Last)], [[0, 4, 5], [3, 4, 6]]);
        assert_eq!([rows(Feature::LargestId), rows(Feature::FirstOf(9))], [[1, 4, 6], [1, 4, 5]]);
    }
}
