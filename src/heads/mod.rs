//! The heads: from token embeddings to rows. One kind a file, each written in the ops' words.

mod classifier;
mod multi_vector;
mod output;
mod sentence;
mod splade;
mod transform;

use std::path::Path;

use crate::batch::Batch;
use crate::config::{JsonFile, Kind, ModuleEntry};
use crate::error::Result;
use crate::layers::{Backbone, Checkpoint};
use crate::ops::{DeviceBatch, Ops, TokenSelection};
use crate::weights::Weights;

pub(crate) use self::multi_vector::PROJECTION;
pub(crate) use self::output::{HeadRequest, Output, SparseRow};

/// A head: it follows a backbone, and makes rows of one type. Several heads can read one forward pass.
pub(crate) trait Head<O: Ops>: Send + Sync {
    /// The rows that it makes.
    fn gives(&self) -> HeadRequest;

    /// The tokens whose embeddings it reads.
    fn selection(&self, batch: &Batch) -> TokenSelection;

    /// Makes rows of the embeddings of the tokens in `tokens`, `(tokens, hidden_size)`, and puts them into `output`.
    fn forward(&self, ops: &O, tokens: &Selected<'_, O>, batch: &DeviceBatch<'_, O>, output: &mut Output)
    -> Result<()>;

    /// Columns of a row.
    fn width(&self) -> usize;

    /// Returns true where pooling leaves out the prompt's tokens.
    fn excludes_prompt(&self) -> bool {
        false
    }
}

/// Token embeddings of a forward pass.
pub(crate) struct Selected<'a, O: Ops> {
    /// `(tokens, hidden_size)`
    pub(crate) embeddings: &'a O::Tensor,
    /// The tokens that they are of.
    pub(crate) selection: TokenSelection,
    /// Called now and then by a head that takes long; an error stops it.
    pub(crate) checkpoint: &'a Checkpoint<'a>,
}

/// Files that a head is loaded from.
pub(crate) struct Files<'a> {
    pub(crate) folder: &'a Path,
    /// The modules that `modules.json` lists, where there is one.
    pub(crate) entries: Option<&'a [ModuleEntry]>,
    /// The transformer's folder and its `config.json`.
    pub(crate) transformer: &'a Path,
    pub(crate) config: &'a JsonFile,
}

/// Loads the head of a kind of model; `weights` are the transformer's. A head that reads more than the last layer tells the
/// backbone.
pub(crate) fn load<O: Ops>(
    kind: Kind,
    files: &Files<'_>,
    weights: &Weights,
    backbone: &mut Backbone<O>,
    ops: &O,
) -> Result<Box<dyn Head<O>>> {
    let limits = backbone.limits();
    match kind {
        Kind::Sentence => sentence::load(files, backbone, ops),
        Kind::Reranker => classifier::load(files, weights, limits.hidden_size, ops),
        Kind::Sparse => splade::load(files, weights, limits, ops),
        Kind::MultiVector => multi_vector::load(files, weights, limits.hidden_size, ops),
    }
}
