//! Embeddings of several kinds, and their hybrid scores.

use std::fmt;
use std::str::FromStr;

use super::maxsim::{MultiVectorSimilarity, maxsim, maxsim_pairwise};
use super::sparse::{SparseEmbeddings, sparse_similarity, sparse_similarity_pairwise};
use super::{pairwise_similarity, similarity};
use crate::config::Similarity;
use crate::error::{Error, Result};
use crate::options::CallOptions;
use crate::vectors::embeddings::{Embeddings, Truncated};
use crate::vectors::similarity::{Matrix, MatrixView};

/// Kind of embeddings, each from a head of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EmbeddingKind {
    /// One vector per text.
    Dense,
    /// A weight for each token of a text.
    Sparse,
    /// A vector for each token of a text.
    MultiVector,
}

impl EmbeddingKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Dense, Self::Sparse, Self::MultiVector];

    /// Returns its name: "dense", "sparse" or "multi_vector".
    pub fn name(self) -> &'static str {
        match self {
            Self::Dense => "dense",
            Self::Sparse => "sparse",
            Self::MultiVector => "multi_vector",
        }
    }
}

impl fmt::Display for EmbeddingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for EmbeddingKind {
    type Err = Error;

    /// # Errors
    /// [`Error::InvalidArgument`] for an unknown name, with the known ones.
    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::argument("kinds", format!("must be among {known}, got {name:?}"))
        })
    }
}

/// Embeddings of texts in their order, of each kind that was asked for.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HybridEmbeddings {
    /// One vector per text.
    pub dense: Option<Embeddings>,
    /// A sparse row per text.
    pub sparse: Option<SparseEmbeddings>,
    /// A matrix per text, with a vector for each of its tokens.
    pub multi_vector: Option<Vec<Matrix>>,
    /// Count of the texts that were cut.
    pub truncated: Truncated,
}

/// Borrowed [`HybridEmbeddings`].
#[derive(Clone, Debug, Default)]
pub struct HybridView<'a> {
    /// One vector per text.
    pub dense: Option<MatrixView<'a>>,
    /// A sparse row per text.
    pub sparse: Option<&'a SparseEmbeddings>,
    /// A matrix per text, with a vector for each of its tokens.
    pub multi_vector: Option<Vec<MatrixView<'a>>>,
}

impl<'a> From<&'a HybridEmbeddings> for HybridView<'a> {
    fn from(embeddings: &'a HybridEmbeddings) -> Self {
        Self {
            dense: embeddings.dense.as_ref().map(MatrixView::from),
            sparse: embeddings.sparse.as_ref(),
            multi_vector: embeddings.multi_vector.as_ref().map(|texts| texts.iter().map(Matrix::view).collect()),
        }
    }
}

impl HybridView<'_> {
    fn has(&self, kind: EmbeddingKind) -> bool {
        match kind {
            EmbeddingKind::Dense => self.dense.is_some(),
            EmbeddingKind::Sparse => self.sparse.is_some(),
            EmbeddingKind::MultiVector => self.multi_vector.is_some(),
        }
    }

    /// Returns the number of texts, which must be the same for all kinds.
    fn len(&self, argument: &'static str) -> Result<usize> {
        let counts = [
            self.dense.map(|dense| dense.rows()),
            self.sparse.map(SparseEmbeddings::len),
            self.multi_vector.as_ref().map(Vec::len),
        ];
        let mut counts = counts.into_iter().flatten();
        let first = counts.next().unwrap_or_default();
        match counts.find(|count| *count != first) {
            Some(other) => {
                let problem = format!("must have as many texts in all kinds of embeddings, got {first} and {other}");
                Err(Error::argument(argument, problem))
            }
            None => Ok(first),
        }
    }
}

/// Weights of the kinds in a hybrid score. A weight of 0 leaves its kind out.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "a literal with all weights is their natural form")]
pub struct HybridWeights {
    /// Weight of the dot product of dense embeddings.
    pub dense: f32,
    /// Weight of the dot product of sparse embeddings.
    pub sparse: f32,
    /// Weight of the mean over a query's tokens of the largest dot product with a document's token.
    pub multi_vector: f32,
}

impl HybridWeights {
    fn of(self, kind: EmbeddingKind) -> f32 {
        match kind {
            EmbeddingKind::Dense => self.dense,
            EmbeddingKind::Sparse => self.sparse,
            EmbeddingKind::MultiVector => self.multi_vector,
        }
    }

    /// Returns the given weights; by default equal ones of the kinds that both sides have.
    fn checked(given: Option<Self>, a: &HybridView<'_>, b: &HybridView<'_>) -> Result<Self> {
        let both = |kind| a.has(kind) && b.has(kind);
        let equal = |kind| if both(kind) { 1.0 } else { 0.0 };
        let weights = given.unwrap_or(Self {
            dense: equal(EmbeddingKind::Dense),
            sparse: equal(EmbeddingKind::Sparse),
            multi_vector: equal(EmbeddingKind::MultiVector),
        });
        for kind in EmbeddingKind::ALL {
            let weight = weights.of(kind);
            if !(weight >= 0.0 && weight.is_finite()) {
                return Err(Error::argument("weights", format!("{kind} must be a number of at least 0, got {weight}")));
            }
            if weight > 0.0 && !both(kind) {
                let problem = format!("{kind} must be 0, got {weight}: a or b has no {kind} embeddings");
                return Err(Error::argument("weights", problem));
            }
        }
        let sum = weights.dense + weights.sparse + weights.multi_vector;
        if sum > 0.0 && sum.is_finite() {
            return Ok(weights);
        }
        Err(Error::argument("weights", format!("must have a positive sum, got {sum}")))
    }
}

/// Returns the hybrid score of every text of `a`, the queries, with every text of `b`, the documents: `(a.len, b.len)`.
///
/// It is the weighted mean of the scores of each kind, as in FlagEmbedding's `compute_score`: the dot product of dense
/// and of sparse embeddings, and for vectors of tokens [`MultiVectorSimilarity::MeanMaxSim`]. Without weights, all kinds
/// that both sides have count equally.
///
/// # Errors
/// [`Error::InvalidArgument`] for a weight of a kind that `a` or `b` lacks, and for weights below 0 or without a sum; if
/// widths differ; [`Error::Memory`]; [`Error::Interrupted`].
pub fn hybrid_similarity<'a, 'b>(
    a: impl Into<HybridView<'a>>,
    b: impl Into<HybridView<'b>>,
    weights: Option<HybridWeights>,
    options: &CallOptions<'_>,
) -> Result<Matrix> {
    let (a, b) = (a.into(), b.into());
    let (rows, columns) = (a.len("a")?, b.len("b")?);
    let scores = Scores {
        dense: &|a, b| Ok(similarity(Similarity::Dot, a, b, options)?.into_vec()),
        sparse: &|a, b| Ok(sparse_similarity(Similarity::Dot, a, b, options)?.into_vec()),
        multi_vector: &|a, b| Ok(maxsim(MultiVectorSimilarity::MeanMaxSim, a, b, options)?.into_vec()),
    };
    Matrix::new(rows, columns, scores.mean(&a, &b, weights)?)
}

/// Returns the hybrid score of each text of `a` with the text of `b` at the same index; see [`hybrid_similarity`].
///
/// # Errors
/// The errors of [`hybrid_similarity`]; [`Error::InvalidArgument`] if the numbers of texts differ.
pub fn hybrid_similarity_pairwise<'a, 'b>(
    a: impl Into<HybridView<'a>>,
    b: impl Into<HybridView<'b>>,
    weights: Option<HybridWeights>,
    options: &CallOptions<'_>,
) -> Result<Vec<f32>> {
    let (a, b) = (a.into(), b.into());
    a.len("a")?;
    b.len("b")?;
    let scores = Scores {
        dense: &|a, b| pairwise_similarity(Similarity::Dot, a, b, options),
        sparse: &|a, b| sparse_similarity_pairwise(Similarity::Dot, a, b, options),
        multi_vector: &|a, b| maxsim_pairwise(MultiVectorSimilarity::MeanMaxSim, a, b, options),
    };
    scores.mean(&a, &b, weights)
}

type Score<'s, T> = &'s dyn Fn(T, T) -> Result<Vec<f32>>;

/// Functions that score texts by each kind of embeddings.
struct Scores<'s> {
    dense: Score<'s, MatrixView<'s>>,
    sparse: Score<'s, &'s SparseEmbeddings>,
    multi_vector: Score<'s, &'s [MatrixView<'s>]>,
}

impl<'s> Scores<'s> {
    /// Returns the weighted means of the scores.
    fn mean(&self, a: &'s HybridView<'s>, b: &'s HybridView<'s>, weights: Option<HybridWeights>) -> Result<Vec<f32>> {
        let weights = HybridWeights::checked(weights, a, b)?;
        let mut sum = Vec::new();
        let mut add = |weight: f32, scores: Vec<f32>| {
            if sum.is_empty() {
                sum = scores.into_iter().map(|score| weight * score).collect();
            } else {
                sum.iter_mut().zip(scores).for_each(|(sum, score)| *sum += weight * score);
            }
        };
        if let (Some(a), Some(b), true) = (a.dense, b.dense, weights.dense > 0.0) {
            add(weights.dense, (self.dense)(a, b)?);
        }
        if let (Some(a), Some(b), true) = (a.sparse, b.sparse, weights.sparse > 0.0) {
            add(weights.sparse, (self.sparse)(a, b)?);
        }
        if let (Some(a), Some(b), true) = (&a.multi_vector, &b.multi_vector, weights.multi_vector > 0.0) {
            add(weights.multi_vector, (self.multi_vector)(a, b)?);
        }
        let total = weights.dense + weights.sparse + weights.multi_vector;
        sum.iter_mut().for_each(|sum| *sum /= total);
        Ok(sum)
    }
}
