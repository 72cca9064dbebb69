//! Sentence embeddings: pooling and the modules after it.

use super::{Files, Head, HeadRequest, Output, Selected};
use crate::batch::Batch;
use crate::config::{ModuleEntry, ModuleInput, ModuleKind, PoolingConfig, PoolingMode};
use crate::error::{Error, Result};
use crate::layers::Backbone;
use crate::modules::{self, Module};
use crate::ops::{DeviceBatch, Ops, TokenSelection};

pub(super) struct Sentence<O: Ops> {
    pooling: PoolingConfig,
    modules: Vec<Module<O>>,
    hidden_size: usize,
    embedding_dimension: usize,
}

pub(super) fn load<O: Ops>(files: &Files<'_>, backbone: &mut Backbone<O>, ops: &O) -> Result<Box<dyn Head<O>>> {
    let after = files.entries.map(|entries| entries.get(1..).unwrap_or_default());
    Ok(Box::new(Sentence::load(files, after, backbone, ops, ModuleInput::Sentences)?))
}

/// Loads the modules of a reranker, whose last is a Dense module that gives scores.
pub(super) fn load_scores<O: Ops>(files: &Files<'_>, backbone: &mut Backbone<O>, ops: &O) -> Result<Box<dyn Head<O>>> {
    if files.entries.and_then(<[_]>::last).is_none_or(|last| last.kind != ModuleKind::Dense) {
        let problem = "must list a Dense module with the output \"scores\" last, or only a Transformer, or a Transformer and a \
                       LogitScore: a reranker gives scores";
        return Err(Error::config(files.folder.join("modules.json"), "(whole file)", problem));
    }
    let after = files.entries.map(|entries| entries.get(1..).unwrap_or_default());
    Ok(Box::new(Sentence::load(files, after, backbone, ops, ModuleInput::SentencesForScores)?))
}

impl<O: Ops> Sentence<O> {
    /// Loads the modules after the transformer: pooling, and those after it. `last` is the input and output of the
    /// last one.
    pub(super) fn load(
        files: &Files<'_>,
        mut after: Option<&[ModuleEntry]>,
        backbone: &mut Backbone<O>,
        ops: &O,
        last: ModuleInput,
    ) -> Result<Self> {
        let hidden_size = backbone.limits().hidden_size;
        let of_layers = |entry: &ModuleEntry| entry.kind == ModuleKind::WeightedLayerPooling;
        if let Some([layers, rest @ ..]) = after.filter(|after| after.first().is_some_and(of_layers)) {
            backbone.mix(modules::layer_weights(layers, backbone.layers())?, files.config)?;
            after = Some(rest);
        }
        let pooling = modules::pooling(after, files.folder, files.config)?;
        let rest = after.and_then(|after| after.get(1..)).unwrap_or_default();
        let (modules, width) = modules::load(rest, last, pooling.modes.len() * hidden_size, ops)?;
        Ok(Self { pooling, modules, hidden_size, embedding_dimension: width })
    }

    /// Computes the embeddings of texts.
    pub(super) fn embed(&self, ops: &O, tokens: &Selected<'_, O>, batch: &DeviceBatch<'_, O>) -> Result<Vec<f32>> {
        let pooled = match tokens.selection {
            TokenSelection::All => Some(ops.pool(tokens.embeddings, batch, &self.pooling.modes)?),
            TokenSelection::First | TokenSelection::Last => None,
        };
        modules::apply(&self.modules, ops, pooled.as_ref().unwrap_or(tokens.embeddings))
    }
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
        output.pooled = self.embed(ops, tokens, batch)?;
        Ok(())
    }

    fn width(&self) -> usize {
        self.embedding_dimension
    }

    fn after_pooling(&self, ops: &O, rows: &[f32]) -> Result<Option<Vec<f32>>> {
        if self.pooling.modes.len() != 1 {
            return Ok(None);
        }
        modules::apply(&self.modules, ops, &ops.tensor(rows.to_vec(), self.hidden_size)?).map(Some)
    }

    fn excludes_prompt(&self) -> bool {
        !self.pooling.include_prompt
    }
}
