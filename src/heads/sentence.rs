//! Sentence embeddings: pooling, and the modules after it.

use super::{Asked, Files, Head, Output, Wanted};
use crate::batch::Batch;
use crate::config::{ModuleEntry, ModuleInput, ModuleKind, PoolingConfig, PoolingMode};
use crate::error::Result;
use crate::layers::Backbone;
use crate::modules::{self, Module};
use crate::ops::{DeviceBatch, Ops, TokenSelection};

struct Sentence<O: Ops> {
    pooling: PoolingConfig,
    modules: Vec<Module<O>>,
    embedding_dimension: usize,
}

pub(super) fn load<O: Ops>(files: &Files<'_>, backbone: &mut Backbone<O>, ops: &O) -> Result<Box<dyn Head<O>>> {
    let hidden_size = backbone.limits().hidden_size;
    let mut after = files.entries.map(|entries| entries.get(1..).unwrap_or_default());
    let of_layers = |entry: &ModuleEntry| entry.kind == ModuleKind::WeightedLayerPooling;
    if let Some([layers, rest @ ..]) = after.filter(|after| after.first().is_some_and(of_layers)) {
        backbone.mix(modules::layer_weights(layers, backbone.layers())?, files.config)?;
        after = Some(rest);
    }
    let pooling = modules::pooling(after, files.folder, files.config)?;
    let mut width = pooling.modes.len() * hidden_size;
    let mut modules = Vec::new();
    for entry in after.unwrap_or_default().iter().skip(1) {
        let (module, output) = Module::load(entry, ModuleInput::Sentences, width, ops)?;
        modules.push(module);
        width = output;
    }
    Ok(Box::new(Sentence { pooling, modules, embedding_dimension: width }))
}

impl<O: Ops> Head<O> for Sentence<O> {
    /// Pooling that takes a single token of a text needs none of the others of the last layer.
    fn queries(&self, batch: &Batch, wanted: Wanted) -> TokenSelection {
        match self.pooling.modes[..] {
            _ if wanted == Wanted::TokenEmbeddingsToo || batch.excluded.iter().any(|count| *count > 0) => {
                TokenSelection::All
            }
            [PoolingMode::Cls] => TokenSelection::First,
            [PoolingMode::LastToken] => TokenSelection::Last,
            _ => TokenSelection::All,
        }
    }

    fn forward(&self, ops: &O, tokens: O::Tensor, batch: &DeviceBatch<'_, O>, asked: &Asked<'_>) -> Result<Output> {
        let token_embeddings = match asked.wanted {
            Wanted::TokenEmbeddingsToo => ops.to_vec(&tokens)?,
            Wanted::SentenceEmbeddings => Vec::new(),
        };
        let mut x = match self.queries(batch, asked.wanted) {
            TokenSelection::All => ops.pool(&tokens, batch, &self.pooling.modes)?,
            TokenSelection::First | TokenSelection::Last => tokens,
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
