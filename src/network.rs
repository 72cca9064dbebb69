//! A loaded model's computation: the backbone, pooling, and the modules after it, on one device.

use std::path::Path;
use std::sync::Mutex;

use crate::backbones::{self, Backbone, Checkpoint, Limits};
use crate::batch::Batch;
use crate::config::{JsonFile, ModuleEntry, PoolingConfig, PoolingMode};
use crate::error::Result;
use crate::modules::{self, Module};
use crate::ops::{Ops, Queries};
use crate::team::Team;
use crate::weights::Weights;

/// From packed tokens to vectors. Shared by threads; each call works in scratch memory of its own.
pub(crate) trait Network: Send + Sync {
    /// Computes a micro-batch, on several threads where it is the only one; the token embeddings only where they are
    /// `wanted`.
    fn forward(
        &self,
        batch: &Batch,
        prompt_length: usize,
        wanted: Wanted,
        threads: usize,
        checkpoint: &Checkpoint<'_>,
    ) -> Result<Output>;

    /// What the backbone takes and gives.
    fn limits(&self) -> Limits;

    /// Columns of the sentence embeddings.
    fn embedding_dimension(&self) -> usize;

    /// Whether pooling leaves out the prompt's tokens.
    fn excludes_prompt(&self) -> bool;
}

/// What is wanted of a forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    SentenceEmbeddings,
    TokenEmbeddingsToo,
}

/// What a forward pass gives.
pub(crate) struct Output {
    /// `(texts, embedding_dimension)`
    pub(crate) sentence_embeddings: Vec<f32>,
    /// `(tokens, hidden_size)`; empty where not wanted.
    pub(crate) token_embeddings: Vec<f32>,
}

/// A network in one device's ops.
struct On<O: Ops> {
    ops: O,
    /// Workers whose scratch memory waits for the next call.
    idle: Mutex<Vec<O>>,
    backbone: Box<dyn Backbone<O>>,
    pooling: PoolingConfig,
    modules: Vec<Module<O>>,
    embedding_dimension: usize,
}

/// Loads the network of a model's folder. `entries` is what `modules.json` lists, where there is one.
pub(crate) fn load<O: Ops>(
    folder: &Path,
    entries: Option<&[ModuleEntry]>,
    transformer: &Path,
    config: &JsonFile,
    ops: O,
) -> Result<Box<dyn Network>> {
    let backbone = backbones::load(config, Weights::open(transformer)?, &ops)?;
    let hidden_size = backbone.limits().hidden_size;
    let pooling = modules::pooling(entries, folder, config, hidden_size)?;
    let mut width = pooling.modes.len() * hidden_size;
    let mut modules = Vec::new();
    for entry in entries.unwrap_or_default().iter().skip(2) {
        let (module, output) = Module::load(entry, width, &ops)?;
        modules.push(module);
        width = output;
    }
    let idle = Mutex::default();
    Ok(Box::new(On { ops, idle, backbone, pooling, modules, embedding_dimension: width }))
}

impl<O: Ops> Network for On<O> {
    fn forward(
        &self,
        batch: &Batch,
        prompt_length: usize,
        wanted: Wanted,
        threads: usize,
        checkpoint: &Checkpoint<'_>,
    ) -> Result<Output> {
        // Never waited for: in a fork's child, a thread that held the lock may be left behind in the parent.
        let waiting = self.idle.try_lock().ok().and_then(|mut idle| idle.pop());
        let mut ops = waiting.unwrap_or_else(|| self.ops.worker());
        let output = Team::with(threads, |team| {
            ops.join(team);
            self.compute(&ops, batch, prompt_length, wanted, checkpoint)
        })?;
        ops.join(Team::default());
        if let Ok(mut idle) = self.idle.try_lock() {
            idle.push(ops);
        }
        Ok(output)
    }

    fn limits(&self) -> Limits {
        self.backbone.limits()
    }

    fn embedding_dimension(&self) -> usize {
        self.embedding_dimension
    }

    fn excludes_prompt(&self) -> bool {
        !self.pooling.include_prompt
    }
}

impl<O: Ops> On<O> {
    fn compute(
        &self,
        ops: &O,
        batch: &Batch,
        prompt_length: usize,
        wanted: Wanted,
        checkpoint: &Checkpoint<'_>,
    ) -> Result<Output> {
        let skip = if self.pooling.include_prompt { 0 } else { prompt_length };
        // cls pooling takes a text's first token, and needs none of the others of the last layer.
        let first = wanted == Wanted::SentenceEmbeddings && self.pooling.modes == [PoolingMode::Cls] && skip == 0;
        let queries = if first { Queries::First } else { Queries::All };
        let tokens = self.backbone.forward(ops, batch, queries, checkpoint)?;
        let token_embeddings = match wanted {
            Wanted::TokenEmbeddingsToo => ops.to_vec(&tokens)?,
            Wanted::SentenceEmbeddings => Vec::new(),
        };
        let mut x = match queries {
            Queries::All => ops.pool(&tokens, batch, &self.pooling.modes, skip)?,
            Queries::First => tokens,
        };
        for module in &self.modules {
            x = module.forward(ops, &x)?;
        }
        Ok(Output { sentence_embeddings: ops.to_vec(&x)?, token_embeddings })
    }
}
