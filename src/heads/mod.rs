//! Heads, which turn token embeddings into rows. Each kind has a file, written in terms of the ops.

mod bge_m3;
mod classifier;
mod features;
mod logit_score;
mod multi_vector;
mod output;
mod sentence;
mod sparse_auto_encoder;
mod splade;
mod token_classifier;
mod transform;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::batch::Batch;
use crate::config::{AdapterSource, JsonFile, Kind, LogitScoreConfig, ModuleEntry, ModuleKind, TransformerTask};
use crate::error::Result;
use crate::families::Family;
use crate::layers::{Backbone, Checkpoint};
use crate::ops::{DeviceBatch, Ops, TokenSelection};
use crate::weights::Weights;

pub(crate) use self::features::{Feature, load as load_feature};
pub(crate) use self::logit_score::yes_and_no;
pub(crate) use self::multi_vector::PROJECTION;
pub(crate) use self::output::{HeadRequest, Output, SparseRow, largest_of_each};

/// Head, which turns a backbone's token embeddings into rows of one type. Several heads can share a forward pass.
pub(crate) trait Head<O: Ops>: Send + Sync {
    /// Returns the type of the head's rows.
    fn gives(&self) -> HeadRequest;

    /// Returns the tokens whose embeddings the head reads.
    fn selection(&self, batch: &Batch) -> TokenSelection;

    /// Computes rows from token embeddings, `(tokens, hidden_size)`, and stores them in `output`.
    fn forward(&self, ops: &O, tokens: &Selected<'_, O>, batch: &DeviceBatch<'_, O>, output: &mut Output)
    -> Result<()>;

    /// Number of columns of a row.
    fn width(&self) -> usize;

    /// Returns true if pooling excludes the prompt's tokens.
    fn excludes_prompt(&self) -> bool {
        false
    }

    /// Applies what follows pooling to pooled rows of the backbone's width; `None` if pooling gives another width.
    fn after_pooling(&self, _: &O, _: &[f32]) -> Result<Option<Vec<f32>>> {
        Ok(None)
    }

    /// Returns the number of weights that a sparse row keeps by default; `None` means all.
    fn active_dims(&self) -> Option<usize> {
        None
    }

    /// Returns the tokens that its sparse rows have weights of.
    fn weighed(&self) -> Weighed {
        Weighed::Vocabulary
    }
}

/// Tokens that a sparse row has weights of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Weighed {
    /// All tokens of the vocabulary.
    #[default]
    Vocabulary,
    /// Tokens of the text, without special ones.
    Tokens,
    /// Words of the text, which stand for all tokens of the same spelling.
    Words,
}

/// Token embeddings of a forward pass.
pub(crate) struct Selected<'a, O: Ops> {
    /// `(tokens, hidden_size)`
    pub(crate) embeddings: &'a O::Tensor,
    /// Tokens that these embeddings belong to.
    pub(crate) selection: TokenSelection,
    /// Called regularly by a slow head; an error stops it.
    pub(crate) checkpoint: &'a Checkpoint<'a>,
}

/// Files that a head is loaded from.
pub(crate) struct Files<'a> {
    pub(crate) folder: &'a Path,
    /// Modules that `modules.json` lists, if there is one.
    pub(crate) entries: Option<&'a [ModuleEntry]>,
    /// Folder of the transformer's weights.
    pub(crate) weights: &'a Path,
    pub(crate) config: &'a JsonFile,
    /// Family that this config names.
    pub(crate) family: &'static Family,
    pub(crate) task: TransformerTask,
    /// Tokens that score pairs, if the folder lists no LogitScore module.
    pub(crate) answers: Option<LogitScoreConfig>,
    /// Adapter to merge into the transformer's weights.
    pub(crate) adapter: Option<AdapterSource>,
}

/// Loads the head of a kind of model, and after it other heads that the folder has. `weights` are the transformer's. A
/// head that reads several layers configures the backbone for it.
pub(crate) fn load<O: Ops>(
    kind: Kind,
    files: &Files<'_>,
    weights: &Weights,
    backbone: &mut Backbone<O>,
    ops: &O,
) -> Result<Vec<Box<dyn Head<O>>>> {
    let limits = backbone.limits();
    let beside = |kind| bge_m3::load(kind, files.weights, limits, ops);
    if let Some(head) = beside(kind)? {
        return Ok(vec![head]);
    }
    Ok(match kind {
        Kind::Sentence => {
            let own = sentence::load(files, backbone, ops)?;
            let others = [beside(Kind::Sparse)?, beside(Kind::MultiVector)?];
            std::iter::once(own).chain(others.into_iter().flatten()).collect()
        }
        Kind::Reranker => vec![match files.task {
            TransformerTask::TextGeneration => logit_score::load(files, weights, limits, ops)?,
            TransformerTask::FeatureExtraction | TransformerTask::Features => {
                sentence::load_scores(files, backbone, ops)?
            }
            TransformerTask::SequenceClassification | TransformerTask::FillMask => {
                classifier::load(files, weights, limits.hidden_size, ops)?
            }
        }],
        Kind::Sparse if files.family.weighs_tokens(files.config) => {
            vec![token_classifier::load(files, weights, limits, ops)?]
        }
        Kind::Sparse => match files.entries {
            Some([_, before @ .., last]) if last.kind == ModuleKind::SparseAutoEncoder => {
                vec![sparse_auto_encoder::load(files, before, last, backbone, ops)?]
            }
            _ => vec![splade::load(files, weights, limits, ops)?],
        },
        Kind::MultiVector => vec![multi_vector::load(files, weights, limits.hidden_size, ops)?],
    })
}

/// Returns the number of logits. The default is 2, as in transformers.
fn num_labels(file: &JsonFile) -> Result<usize> {
    let listed: Option<BTreeMap<String, Value>> = file.get("id2label", None)?;
    let counted: Option<usize> = file.get("num_labels", None)?;
    match listed {
        Some(labels) => file.positive("id2label", labels.len()),
        None => file.positive("num_labels", counted.unwrap_or(2)),
    }
}
