//! Static sparse embeddings: a fixed weight for each distinct token of a text, without a transformer.

use std::path::Path;

use super::Network;
use crate::batch::Batch;
use crate::config::{JsonFile, idf};
use crate::error::Result;
use crate::heads::{HeadRequest, Output};
use crate::layers::{Checkpoint, Limits};
use crate::tokenize::Tokenizer;
use crate::weights::{Array, Weights};

struct TokenWeights {
    weights: Array,
}

/// Loads a SparseStaticEmbedding module, with the weights of its own file or of a JSON file by token.
pub(crate) fn load(folder: &Path, tokenizer: &Tokenizer) -> Result<Box<dyn Network>> {
    let weights = match idf(folder)? {
        Some(file) => by_token(&file, tokenizer)?,
        None => Weights::open(folder)?.vector(WEIGHT)?,
    };
    Ok(Box::new(TokenWeights { weights }))
}

/// Name of the weights' tensor.
pub(crate) const WEIGHT: &str = "weight";

/// Returns the weights of a JSON file by token id. The weight of a token that the vocabulary lacks becomes that of the
/// unknown token, as in sentence-transformers; absent tokens weigh 0.
pub(crate) fn by_token(file: &JsonFile, tokenizer: &Tokenizer) -> Result<Array> {
    let mut weights = vec![0.0; tokenizer.vocab_size()];
    let unknown = tokenizer.named_special_tokens().iter().find(|(role, _)| *role == "unk_token");
    let unknown = unknown.and_then(|(_, token)| tokenizer.id(token));
    for (token, weight) in file.token_weights()? {
        let id = tokenizer.id(token).or(unknown);
        match id.and_then(|id| weights.get_mut(id as usize)) {
            Some(slot) => *slot = weight,
            None => return Err(file.error(token, "must be a token of the vocabulary, which has no unknown token")),
        }
    }
    Ok(Array::new(vec![weights.len()], weights))
}

impl Network for TokenWeights {
    fn forward(&self, batch: &Batch, _: HeadRequest, _: usize, _: &Checkpoint<'_>) -> Result<Output> {
        let weights = self.weights.as_slice();
        let row = |text: std::ops::Range<usize>| {
            let mut ids = batch.input_ids[text].to_vec();
            ids.sort_unstable();
            ids.dedup();
            ids.into_iter().map(|id| (id, weights[id as usize])).filter(|(_, weight)| *weight != 0.0).collect()
        };
        let mut output = Output::of(batch);
        output.sparse = batch.texts().map(row).collect();
        Ok(output)
    }

    fn limits(&self) -> Limits {
        Limits {
            hidden_size: 1,
            vocab_size: self.width(),
            type_vocab_size: None,
            max_tokens: None,
            max_position_embeddings: None,
        }
    }

    fn width(&self) -> usize {
        self.weights.as_slice().len()
    }

    fn takes_no_tokens(&self) -> bool {
        true
    }
}
