//! All kinds of embeddings that a model's heads give, from one forward pass (bge-m3).

use super::sentence::{Model, check_truncate_dim};
use super::sparse::check_active_dims;
use crate::config::ModuleKind;
use crate::engine::{DenseRows, Engine, HybridRows, KeptTokens, SparseRows, TokenRows};
use crate::error::{Error, Result};
use crate::heads::HeadRequest;
use crate::options::{CallOptions, HybridOptions};
use crate::tokenize::Input;
use crate::vectors;
use crate::vectors::hybrid::{EmbeddingKind, HybridEmbeddings, HybridWeights};
use crate::vectors::similarity::Matrix;

/// Several kinds of embeddings from one forward pass.
impl Model {
    /// Kinds of embeddings that the model's heads give. Most models have dense ones only; bge-m3 has all.
    pub fn embedding_kinds(&self) -> Vec<EmbeddingKind> {
        EmbeddingKind::ALL.into_iter().filter(|kind| width(&self.engine, *kind).is_some()).collect()
    }

    /// Embeds texts by all of the model's heads in one forward pass, or by those that `options` asks for.
    ///
    /// Dense embeddings have the bits of [`Model::encode`]. If `truncate_dim` cuts a model that normalizes, they are
    /// normalized again, and so are the vectors of tokens. On a CPU a text's result has the same bits for any other
    /// texts, order and number of threads.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a kind that the model has no head for; the errors of [`Model::encode`].
    ///
    /// # Examples
    /// ```
    /// use rushlight::Model;
    ///
    /// # let name = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/hybrid/bgem3-heads/model");
    /// // let name = "BAAI/bge-m3";
    /// let model = Model::load(name)?;
    /// let queries = model.encode_all(&["a query"], &Default::default())?;
    /// let documents = model.encode_all(&["one document", "another"], &Default::default())?;
    /// let scores = model.hybrid_similarity(&queries, &documents, None)?;
    /// assert_eq!((scores.rows(), scores.columns()), (1, 2));
    /// # Ok::<(), rushlight::Error>(())
    /// ```
    pub fn encode_all<T: AsRef<str>>(&self, inputs: &[T], options: &HybridOptions<'_>) -> Result<HybridEmbeddings> {
        self.encode_all_inputs(&Input::texts(inputs), options)
    }

    /// Embeds texts and pairs of texts like [`Model::encode_all`].
    ///
    /// # Errors
    /// The errors of [`Model::encode_all`].
    pub fn encode_all_inputs(&self, inputs: &[Input<'_>], options: &HybridOptions<'_>) -> Result<HybridEmbeddings> {
        let truncate_dim = check_truncate_dim(options.truncate_dim)?.or(self.truncate_dim);
        let columns = |width: usize| truncate_dim.map_or(width, |columns| columns.min(width));
        let max_active_dims = check_active_dims(options.max_active_dims)?;
        let engine = self.engine.route(options.role);
        let widths = Widths::new(&engine, options.kinds)?;
        let kept = KeptTokens { skips_first: true, ..KeptTokens::default() };
        let rows = |inputs| {
            let tokens = |width| {
                let columns = columns(width);
                Ok::<_, Error>(TokenRows::new(inputs, columns, &kept)?.normalized(columns < width))
            };
            let sparse = |_| SparseRows::new(inputs, max_active_dims, engine.words());
            Ok(HybridRows {
                dense: widths.dense.map(|width| DenseRows::new(inputs, width)).transpose()?,
                sparse: widths.sparse.map(sparse).transpose()?,
                multi_vector: widths.multi_vector.map(tokens).transpose()?,
            })
        };
        let mut rows = self.engine.run(inputs, &options.request(), rows)?;
        let dense = rows.of(|rows| rows.dense.take()).zip(widths.dense).map(|(rows, width)| {
            let cut = columns(width) < width && ends_in_normalize(&engine);
            rows.embeddings(columns(width), options.normalize_embeddings || cut)
        });
        let sparse = rows.of(|rows| rows.sparse.take()).zip(widths.sparse);
        let multi_vector = rows.of(|rows| rows.multi_vector.take());
        Ok(HybridEmbeddings {
            dense: dense.transpose()?,
            sparse: sparse.map(|(rows, width)| rows.sparse_embeddings(width)).transpose()?,
            multi_vector: multi_vector.map(|rows| rows.matrices()).transpose()?,
            truncated: rows.truncated,
        })
    }

    /// Returns the hybrid score of every text of `a` with every text of `b`; see [`vectors::hybrid_similarity`].
    ///
    /// # Errors
    /// The errors of [`vectors::hybrid_similarity`].
    pub fn hybrid_similarity(
        &self,
        a: &HybridEmbeddings,
        b: &HybridEmbeddings,
        weights: Option<HybridWeights>,
    ) -> Result<Matrix> {
        vectors::hybrid_similarity(a, b, weights, &CallOptions::default())
    }
}

/// Width of the rows of each requested kind.
struct Widths {
    dense: Option<usize>,
    sparse: Option<usize>,
    multi_vector: Option<usize>,
}

impl Widths {
    /// # Errors
    /// [`Error::InvalidArgument`] for a requested kind without a head.
    fn new(engine: &Engine, kinds: Option<&[EmbeddingKind]>) -> Result<Self> {
        let of = |kind: EmbeddingKind| match (kinds, width(engine, kind)) {
            (Some(kinds), _) if !kinds.contains(&kind) => Ok(None),
            (Some(_), None) => {
                let there = EmbeddingKind::ALL.into_iter().filter(|kind| width(engine, *kind).is_some());
                let there: Vec<_> = there.map(EmbeddingKind::name).collect();
                let problem = format!("this model has no head for {kind}; it has {}", there.join(", "));
                Err(Error::argument("kinds", problem))
            }
            (_, width) => Ok(width),
        };
        if kinds.is_some_and(<[_]>::is_empty) {
            return Err(Error::argument("kinds", "must name at least one kind of embeddings, got none"));
        }
        Ok(Self {
            dense: of(EmbeddingKind::Dense)?,
            sparse: of(EmbeddingKind::Sparse)?,
            multi_vector: of(EmbeddingKind::MultiVector)?,
        })
    }
}

/// Returns the width of the rows of a kind; `None` without a head for it.
fn width(engine: &Engine, kind: EmbeddingKind) -> Option<usize> {
    let network = &engine.loaded.network;
    match kind {
        EmbeddingKind::Dense => Some(network.width()),
        EmbeddingKind::Sparse => network.width_of(HeadRequest::SPARSE),
        EmbeddingKind::MultiVector => network.width_of(HeadRequest::TOKEN_VECTORS),
    }
}

fn ends_in_normalize(engine: &Engine) -> bool {
    let last = engine.loaded.folders.entries.as_deref().and_then(<[_]>::last);
    last.is_some_and(|entry| entry.kind == ModuleKind::Normalize)
}
