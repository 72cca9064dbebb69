//! Static embeddings: the mean of a text's token vectors, without a transformer (StaticEmbedding of
//! sentence-transformers, model2vec).

use std::path::Path;

use super::Network;
use crate::batch::Batch;
use crate::config::{ModuleEntry, ModuleInput};
use crate::error::{Error, Result};
use crate::heads::{HeadRequest, Output};
use crate::kernels::prefetch::{LINE, prefetch};
use crate::layers::{Checkpoint, Limits};
use crate::modules::{self, Module};
use crate::ops::Ops;
use crate::options::StaticRule;
use crate::weights::{Array, Weights};

/// Number of tokens to prefetch ahead.
const AHEAD: usize = 2;

/// Vectors of tokens. Several tokens can share one.
struct Vectors {
    /// `(rows, width)`
    rows: Array,
    /// Row of each token; `None` if the row is the token's id.
    mapping: Option<Vec<u32>>,
    /// Factor of each token's row.
    weights: Option<Array>,
}

impl Vectors {
    /// Loads sentence-transformers' `embedding.weight`, or model2vec's `embeddings` with `mapping` and `weights`.
    fn load(folder: &Path) -> Result<Self> {
        let weights = Weights::open(folder)?;
        if weights.has("embedding.weight") {
            return Ok(Self { rows: weights.any_matrix("embedding.weight")?, mapping: None, weights: None });
        }
        let rows = weights.any_matrix_or_int8(EMBEDDINGS)?;
        let mapping = weights.has("mapping").then(|| weights.indices("mapping", rows.shape[0])).transpose()?;
        let tokens = mapping.as_ref().map_or(rows.shape[0], Vec::len);
        let scales = weights.has(TOKEN_WEIGHTS).then(|| weights.array(TOKEN_WEIGHTS, &[tokens])).transpose()?;
        Ok(Self { rows, mapping, weights: scales })
    }

    fn width(&self) -> usize {
        self.rows.shape[1]
    }

    fn tokens(&self) -> usize {
        self.mapping.as_ref().map_or(self.rows.shape[0], Vec::len)
    }

    /// Returns a token's unscaled vector and its factor.
    fn of(&self, token: u32) -> (&[f32], f32) {
        let token = token as usize;
        let row = self.mapping.as_ref().map_or(token, |mapping| mapping[token] as usize);
        let weight = self.weights.as_ref().map_or(1.0, |weights| weights.as_slice()[token]);
        (&self.rows.as_slice()[row * self.width()..][..self.width()], weight)
    }
}

struct StaticEmbedding<O: Ops> {
    ops: O,
    vectors: Vectors,
    modules: Vec<Module<O>>,
    embedding_dimension: usize,
}

/// Returns the rule of the library that loads a module's folder: sentence-transformers takes no int8 rows without weights.
pub(crate) fn rule(folder: &Path) -> Result<StaticRule> {
    let weights = Weights::open(folder)?;
    Ok(match weights.is_int8(EMBEDDINGS) && !weights.has(TOKEN_WEIGHTS) {
        true => StaticRule::Model2Vec,
        false => StaticRule::SentenceTransformers,
    })
}

/// model2vec's names of the rows, and of the tokens' factors.
const EMBEDDINGS: &str = "embeddings";
const TOKEN_WEIGHTS: &str = "weights";

/// Loads a StaticEmbedding, which is the first entry, and the modules after it.
pub(crate) fn load<O: Ops>(entries: &[ModuleEntry], ops: O) -> Result<Box<dyn Network>> {
    let [first, rest @ ..] = entries else {
        return Err(Error::unsupported("modules.json: first module", "none", "StaticEmbedding"));
    };
    let vectors = Vectors::load(&first.folder)?;
    let (mut modules, mut width) = (Vec::new(), vectors.width());
    for entry in rest {
        let (module, output) = Module::load(entry, ModuleInput::Sentences, width, &ops)?;
        modules.push(module);
        width = output;
    }
    Ok(Box::new(StaticEmbedding { ops, vectors, modules, embedding_dimension: width }))
}

impl<O: Ops> Network for StaticEmbedding<O> {
    fn forward(&self, batch: &Batch, request: HeadRequest, _: usize, _: &Checkpoint<'_>) -> Result<Output> {
        let width = self.vectors.width();
        let mut means = vec![0.0; batch.len() * width];
        for (mean, text) in means.chunks_exact_mut(width).zip(batch.texts()) {
            let scale = 1.0 / text.len().max(1) as f32;
            let tokens = &batch.input_ids[text];
            for (i, token) in tokens.iter().enumerate() {
                // Rows are scattered in a table larger than the caches.
                if let Some(next) = tokens.get(i + AHEAD) {
                    let (row, _) = self.vectors.of(*next);
                    (0..row.len()).step_by(LINE / size_of::<f32>()).for_each(|column| prefetch(row, column));
                }
                let (vector, weight) = self.vectors.of(*token);
                mean.iter_mut().zip(vector).for_each(|(mean, x)| *mean += x * weight);
            }
            mean.iter_mut().for_each(|mean| *mean *= scale);
        }
        let mut output = Output::of(batch);
        output.pooled = modules::apply(&self.modules, &self.ops, &self.ops.tensor(means, width)?)?;
        if request.token_embeddings {
            let scaled = |token: &u32| {
                let (vector, weight) = self.vectors.of(*token);
                vector.iter().map(move |x| x * weight)
            };
            output.token_embeddings = batch.input_ids.iter().flat_map(scaled).collect();
        }
        Ok(output)
    }

    fn limits(&self) -> Limits {
        Limits {
            hidden_size: self.vectors.width(),
            vocab_size: self.vectors.tokens(),
            type_vocab_size: None,
            max_tokens: None,
            max_position_embeddings: None,
        }
    }

    fn width(&self) -> usize {
        self.embedding_dimension
    }

    fn takes_no_tokens(&self) -> bool {
        true
    }
}
