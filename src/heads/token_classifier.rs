//! Weight of each token by a linear layer, as in the sparse embeddings of gte-multilingual-base and bge-m3: a row has the
//! largest weight of every token of the text.

use super::{Files, Head, HeadRequest, Output, Selected, Weighed, largest_of_each, num_labels};
use crate::batch::Batch;
use crate::config::Activation;
use crate::error::Result;
use crate::layers::{Limits, Parameters};
use crate::ops::{DeviceBatch, Ops, TokenSelection};
use crate::weights::Weights;

pub(super) struct TokenClassifier<O: Ops> {
    linear: O::Linear,
    vocab_size: usize,
    weighed: Weighed,
}

impl<O: Ops> TokenClassifier<O> {
    /// Makes the head of a layer with one output. Its rows have weights of tokens.
    pub(super) fn of_tokens(linear: O::Linear, vocab_size: usize) -> Self {
        Self { linear, vocab_size, weighed: Weighed::Tokens }
    }
}

pub(super) fn load<O: Ops>(files: &Files<'_>, weights: &Weights, limits: Limits, ops: &O) -> Result<Box<dyn Head<O>>> {
    let labels = num_labels(files.config)?;
    if labels != 1 {
        return Err(files.config.unsupported("id2label", labels.to_string(), "1 label, the weight of a token"));
    }
    // One output gains nothing by less precision.
    let ops = &ops.in_full_precision();
    let linear = Parameters::new(weights, ops).linear("classifier", limits.hidden_size, labels)?;
    Ok(Box::new(TokenClassifier { linear, vocab_size: limits.vocab_size, weighed: Weighed::Words }))
}

impl<O: Ops> Head<O> for TokenClassifier<O> {
    fn gives(&self) -> HeadRequest {
        HeadRequest::SPARSE
    }

    fn selection(&self, _: &Batch) -> TokenSelection {
        TokenSelection::All
    }

    fn forward(
        &self,
        ops: &O,
        tokens: &Selected<'_, O>,
        batch: &DeviceBatch<'_, O>,
        output: &mut Output,
    ) -> Result<()> {
        let weights = ops.to_vec(&ops.linear(tokens.embeddings, &self.linear, Activation::Relu)?)?;
        let row = |text: std::ops::Range<usize>| {
            let weighed = batch.input_ids[text.clone()].iter().copied().zip(weights[text].iter().copied());
            weighed.filter(|(_, weight)| *weight != 0.0).collect()
        };
        output.sparse = batch.texts().map(row).map(largest_of_each).collect();
        Ok(())
    }

    fn width(&self) -> usize {
        self.vocab_size
    }

    fn weighed(&self) -> Weighed {
        self.weighed
    }
}
