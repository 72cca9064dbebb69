//! Sentence embeddings: pooling and the modules after it.

use super::{Files, Head, HeadRequest, Output, Selected};
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
    fn gives(&self) -> HeadRequest {
        HeadRequest::POOLED
    }

    /// Selects one token per text if pooling reads no other, so that the last layer computes only that one.
    fn selection(&self, batch: &Batch) -> TokenSelection {
        match self.pooling.modes[..] {
            _ if batch.excluded.iter().any(|count| *count > 0) => TokenSelection::All,
            [PoolingMode::Cls] => TokenSelection::First,
            [PoolingMode::LastToken] => TokenSelection::Last,
            _ => TokenSelection::All,
        }
    }

    fn forward(
        &self,
        ops: &O,
        tokens: &Selected<'_, O>,
        batch: &DeviceBatch<'_, O>,
        output: &mut Output,
    ) -> Result<()> {
        let pooled = match tokens.selection {
            TokenSelection::All => Some(ops.pool(tokens.embeddings, batch, &self.pooling.modes)?),
            TokenSelection::First | TokenSelection::Last => None,
        };
        output.pooled = modules::apply(&self.modules, ops, pooled.as_ref().unwrap_or(tokens.embeddings))?;
        Ok(())
    }

    fn width(&self) -> usize {
        self.embedding_dimension
    }

    fn excludes_prompt(&self) -> bool {
        !self.pooling.include_prompt
    }
}
