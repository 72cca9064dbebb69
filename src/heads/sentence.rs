//! Sentence embeddings: pooling, and the modules after it.

use super::{Files, Head, Output, Wanted};
use crate::batch::Batch;
use crate::config::{On, PoolingConfig, PoolingMode};
use crate::error::Result;
use crate::modules::{self, Module};
use crate::ops::{Ops, Queries};

struct Sentence<O: Ops> {
    pooling: PoolingConfig,
    modules: Vec<Module<O>>,
    embedding_dimension: usize,
}

pub(super) fn load<O: Ops>(files: &Files<'_>, hidden_size: usize, ops: &O) -> Result<Box<dyn Head<O>>> {
    let pooling = modules::pooling(files.entries, files.folder, files.config, hidden_size)?;
    let mut width = pooling.modes.len() * hidden_size;
    let mut modules = Vec::new();
    for entry in files.entries.unwrap_or_default().iter().skip(2) {
        let (module, output) = Module::load(entry, On::Sentences, width, ops)?;
        modules.push(module);
        width = output;
    }
    Ok(Box::new(Sentence { pooling, modules, embedding_dimension: width }))
}

impl<O: Ops> Head<O> for Sentence<O> {
    /// Pooling that takes a single token of a text needs none of the others of the last layer.
    fn queries(&self, wanted: Wanted, skip: usize) -> Queries {
        match self.pooling.modes[..] {
            _ if wanted == Wanted::TokenEmbeddingsToo || skip > 0 => Queries::All,
            [PoolingMode::Cls] => Queries::First,
            [PoolingMode::LastToken] => Queries::Last,
            _ => Queries::All,
        }
    }

    fn forward(&self, ops: &O, tokens: O::Tensor, batch: &Batch, skip: usize, wanted: Wanted) -> Result<Output> {
        let token_embeddings = match wanted {
            Wanted::TokenEmbeddingsToo => ops.to_vec(&tokens)?,
            Wanted::SentenceEmbeddings => Vec::new(),
        };
        let mut x = match self.queries(wanted, skip) {
            Queries::All => ops.pool(&tokens, batch, &self.pooling.modes, skip)?,
            Queries::First | Queries::Last => tokens,
        };
        for module in &self.modules {
            x = module.forward(ops, &x)?;
        }
        Ok(Output { sentence_embeddings: ops.to_vec(&x)?, token_embeddings, ..Output::default() })
    }

    fn width(&self) -> usize {
        self.embedding_dimension
    }

    fn excludes_prompt(&self) -> bool {
        !self.pooling.include_prompt
    }
}
