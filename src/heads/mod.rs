//! The heads: from token embeddings to what a model gives. One kind a file, each written in the ops' words.

mod classifier;
mod multi_vector;
mod sentence;
mod splade;
mod transform;

use std::ops::Range;
use std::path::Path;

use crate::batch::Batch;
use crate::config::{JsonFile, Kind, ModuleEntry};
use crate::error::Result;
use crate::kernels::nan::all_finite;
use crate::layers::{Backbone, Checkpoint};
use crate::ops::{DeviceBatch, Ops, TokenSelection};
use crate::weights::Weights;

pub(crate) use self::multi_vector::PROJECTION;

/// What follows a backbone.
pub(crate) trait Head<O: Ops>: Send + Sync {
    /// The tokens whose vectors it needs.
    fn queries(&self, batch: &Batch, wanted: Wanted) -> TokenSelection;

    /// From the vectors of the tokens that [`Head::queries`] asks for, `(tokens, hidden_size)`.
    fn forward(&self, ops: &O, tokens: O::Tensor, batch: &DeviceBatch<'_, O>, asked: &Asked<'_>) -> Result<Output>;

    /// Columns of what a text becomes.
    fn width(&self) -> usize;

    /// Whether the prompt's tokens are left out.
    fn excludes_prompt(&self) -> bool {
        false
    }
}

/// What a head is asked for.
pub(crate) struct Asked<'a> {
    pub(crate) wanted: Wanted,
    /// Called now and then by a head that takes long; an error stops it.
    pub(crate) checkpoint: &'a Checkpoint<'a>,
}

/// What is wanted of a forward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    SentenceEmbeddings,
    TokenEmbeddingsToo,
}

/// What a forward pass gives.
#[derive(Default)]
pub(crate) struct Output {
    /// A row a text, `(texts, width)`: sentence embeddings, or logits. Empty for sparse models.
    pub(crate) sentence_embeddings: Vec<f32>,
    /// `(tokens, hidden_size)`, of late-interaction models `(tokens, width)`; empty where not wanted.
    pub(crate) token_embeddings: Vec<f32>,
    /// A row a text, of sparse models.
    pub(crate) sparse: Vec<SparseRow>,
}

impl Output {
    /// The parts of a batch's first texts, of the next, and so on.
    pub(crate) fn split(self, batch: &Batch, counts: &[usize]) -> Vec<Self> {
        if counts.len() == 1 {
            return vec![self];
        }
        let width = self.sentence_embeddings.len() / batch.len().max(1);
        let token_width = self.token_embeddings.len() / batch.input_ids.len().max(1);
        let texts: Vec<_> = batch.texts().collect();
        let mut sparse = self.sparse.into_iter();
        let mut first = 0;
        let mut part = |count: &usize| {
            let rows = first..first + count;
            let tokens =
                texts.get(first).map_or(0, |text| text.start)..texts[..rows.end].last().map_or(0, |text| text.end);
            first = rows.end;
            Self {
                sentence_embeddings: self.sentence_embeddings[rows.start * width..rows.end * width].to_vec(),
                token_embeddings: self.token_embeddings[tokens.start * token_width..tokens.end * token_width].to_vec(),
                sparse: sparse.by_ref().take(*count).collect(),
            }
        };
        counts.iter().map(&mut part).collect()
    }

    /// Whether all numbers of a text are finite: the `row`-th of the batch, whose tokens are these.
    pub(crate) fn is_finite(&self, row: usize, tokens: Range<usize>, batch: &Batch) -> bool {
        let tokens_finite = match self.token_embeddings.len().checked_div(batch.input_ids.len()) {
            Some(width) => all_finite(&self.token_embeddings[tokens.start * width..tokens.end * width]),
            None => true,
        };
        let width = self.sentence_embeddings.len() / batch.len();
        let sentence_finite = all_finite(&self.sentence_embeddings[row * width..][..width]);
        let sparse_finite = self.sparse.get(row).is_none_or(|row| all_finite(row.iter().map(|(_, number)| number)));
        tokens_finite && sentence_finite && sparse_finite
    }
}

/// What is not 0 in a row: columns, rising, and numbers.
pub(crate) type SparseRow = Vec<(u32, f32)>;

/// What a head is loaded from.
pub(crate) struct Files<'a> {
    pub(crate) folder: &'a Path,
    /// What `modules.json` lists, where there is one.
    pub(crate) entries: Option<&'a [ModuleEntry]>,
    /// The transformer's folder and its `config.json`.
    pub(crate) transformer: &'a Path,
    pub(crate) config: &'a JsonFile,
}

/// Loads the head of a kind of model; `weights` are the transformer's, which is told where the head needs more of it than
/// its last layer.
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
