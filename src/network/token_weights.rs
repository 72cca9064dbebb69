//! Static sparse embeddings: a fixed weight for each distinct token of a text, without a transformer.

use std::path::Path;

use super::Network;
use crate::batch::Batch;
use crate::config::JsonFile;
use crate::error::Result;
use crate::heads::{HeadRequest, Output};
use crate::layers::{Checkpoint, Limits};
use crate::weights::{Array, Weights};

struct TokenWeights {
    weights: Array,
}

/// Loads a SparseStaticEmbedding module.
pub(crate) fn load(folder: &Path) -> Result<Box<dyn Network>> {
    if let Some(config) = JsonFile::read_if_there(folder.join("config.json"))? {
        config.knows(&["frozen", "path"])?;
        if let Some(path) = config.value.get("path").filter(|path| !path.is_null()) {
            return Err(config.unsupported("path", path.to_string(), "none: the weights in model.safetensors"));
        }
    }
    Ok(Box::new(TokenWeights { weights: Weights::open(folder)?.vector("weight")? }))
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
