//! Work with embeddings: compare, search, mine for pairs, find communities, normalize, truncate and quantize.
//!
//! All results are exact. Calls use as many threads as [`process`](crate::process) allows. Memory grows with the rows and
//! the result, not with the number of comparisons. Of equal scores the lower index comes first; NaN is below every number.
//!
//! Embeddings are passed as `impl Into<MatrixView>`: [`&Embeddings`](crate::Embeddings), [`&Matrix`](Matrix), a
//! [`MatrixView`] of your own memory, or a slice, which is one row.

mod best;
mod binary;
mod communities;
mod corpus;
pub(crate) mod embeddings;
pub(crate) mod hybrid;
pub(crate) mod maxsim;
pub(crate) mod mining;
mod normalize;
pub(crate) mod quantize;
mod rescore;
mod search;
pub(crate) mod similarity;
pub(crate) mod sparse;

#[cfg(feature = "ndarray")]
mod ndarray;
#[cfg(feature = "serde")]
mod serde;
#[cfg(test)]
mod tests;

pub use corpus::Corpus;
pub use hybrid::{hybrid_similarity, hybrid_similarity_pairwise};
pub use maxsim::{maxsim, maxsim_pairwise};
pub use mining::SimilarPair;
pub use quantize::quantize;
pub use search::Hit;
pub use sparse::{sparse_similarity, sparse_similarity_pairwise};

pub(crate) use best::falling;

use crate::config::Similarity;
use crate::error::{Error, Result};
use crate::options::{CallOptions, CommunityOptions, MiningOptions, SearchOptions};
use similarity::{Matrix, MatrixView, Run};

/// Returns the score of every row of `a` with every row of `b`: `(a.rows, b.rows)`.
///
/// A pair's score has the same bits whatever the other rows, the number of threads, and in [`pairwise_similarity`].
///
/// # Errors
/// [`Error::InvalidArgument`] if the widths differ; [`Error::Memory`]; [`Error::Interrupted`].
///
/// # Examples
/// ```
/// use rushlight::{CallOptions, Matrix, Similarity, vectors};
///
/// let query = [1.0, 0.0];
/// let corpus = Matrix::from_rows([[0.0, 1.0], [2.0, 0.0]])?;
/// let scores = vectors::similarity(Similarity::Dot, &query, &corpus, &CallOptions::default())?;
/// assert_eq!(scores[0], [0.0, 2.0]);
/// # Ok::<(), rushlight::Error>(())
/// ```
#[doc(alias("cos_sim", "dot_score", "euclidean_sim", "manhattan_sim"))]
pub fn similarity<'a, 'b>(
    kind: Similarity,
    a: impl Into<MatrixView<'a>>,
    b: impl Into<MatrixView<'b>>,
    options: &CallOptions<'_>,
) -> Result<Matrix> {
    similarity::similarity(kind, a.into(), b.into(), Run::new(options.observer)?)
}

/// Returns the score of each row of `a` with the same row of `b`.
///
/// # Errors
/// [`Error::InvalidArgument`] if the widths or the numbers of rows differ; [`Error::Interrupted`].
#[doc(alias("pairwise_cos_sim", "pairwise_dot_score", "pairwise_euclidean_sim", "pairwise_manhattan_sim"))]
pub fn pairwise_similarity<'a, 'b>(
    kind: Similarity,
    a: impl Into<MatrixView<'a>>,
    b: impl Into<MatrixView<'b>>,
    options: &CallOptions<'_>,
) -> Result<Vec<f32>> {
    similarity::pairwise(kind, a.into(), b.into(), Run::new(options.observer)?)
}

/// Finds the rows of `corpus` that are most similar to each query, the best first.
///
/// The precision of the corpus decides on the scores:
///
/// - float32, an `impl Into<MatrixView>`: the similarity of the rows;
/// - a byte for each dimension, [`Int8View`](crate::Int8View): the similarity with the numbers that the codes stand for;
/// - a bit for each dimension, [`BinaryView`](crate::BinaryView): the similarity of rows of 1 and -1, with the queries
///   quantized, too. For scores of the queries as they are, find a few times more hits and [`rescore`] them.
///
/// # Errors
/// [`Error::InvalidArgument`] if the widths differ or `top_k` is 0; [`Error::Memory`]; [`Error::Interrupted`].
///
/// # Examples
/// ```
/// use rushlight::{Matrix, SearchOptions, vectors};
///
/// let corpus = Matrix::from_rows([[0.0, 1.0], [2.0, 0.0], [1.0, 1.0]])?;
/// let hits = vectors::semantic_search(&[1.0, 0.0], &corpus, &SearchOptions::default().with_top_k(2))?;
/// assert_eq!(hits[0][0].corpus_id, 1);
/// # Ok::<(), rushlight::Error>(())
/// ```
pub fn semantic_search<'q, 'c>(
    queries: impl Into<MatrixView<'q>>,
    corpus: impl Into<Corpus<'c>>,
    options: &SearchOptions<'_>,
) -> Result<Vec<Vec<Hit>>> {
    let &SearchOptions { top_k, similarity, observer } = options;
    search::search(similarity, queries.into(), corpus.into(), top_k, Run::new(observer)?)
}

/// Scores each query's `hits` with the rows of `corpus` and returns the best: of the corpus that was searched, or of the
/// same embeddings in another precision. Bits count as 1 and -1.
///
/// # Errors
/// [`Error::InvalidArgument`] if the widths differ, `top_k` is 0, or `hits` are not of as many queries or not of this
/// corpus; [`Error::Interrupted`].
///
/// # Examples
/// ```
/// use rushlight::vectors::{rescore, semantic_search};
/// use rushlight::{Matrix, Precision, SearchOptions, quantize};
///
/// let query = [3.0, 1.0];
/// let corpus = Matrix::from_rows([[-1.0, 2.0], [1.0, 2.0], [2.0, 1.0]])?;
/// let quantized = quantize(&corpus, Precision::Ubinary, &Default::default())?;
///
/// let options = SearchOptions::default().with_top_k(2);
/// let found = semantic_search(&query, quantized.binary_view(2)?, &options)?;
/// assert_eq!(found[0].iter().map(|hit| hit.corpus_id).collect::<Vec<_>>(), [1, 2]);
/// let hits = rescore(&query, &found, &corpus, &options.with_top_k(1))?;
/// assert_eq!(hits[0][0].corpus_id, 2);
/// # Ok::<(), rushlight::Error>(())
/// ```
pub fn rescore<'q, 'c>(
    queries: impl Into<MatrixView<'q>>,
    hits: &[Vec<Hit>],
    corpus: impl Into<Corpus<'c>>,
    options: &SearchOptions<'_>,
) -> Result<Vec<Vec<Hit>>> {
    let &SearchOptions { top_k, similarity, observer } = options;
    rescore::rescored(similarity, queries.into(), hits, corpus.into(), top_k, Run::new(observer)?)
}

/// Finds the most similar pairs among each row and its `top_k` most similar others: each pair once, the best first.
///
/// # Errors
/// [`Error::InvalidArgument`] if `max_pairs` or `top_k` is 0; [`Error::Memory`]; [`Error::Interrupted`].
///
/// # Examples
/// ```
/// use rushlight::{Matrix, vectors};
///
/// let embeddings = Matrix::from_rows([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]])?;
/// let pairs = vectors::paraphrase_mining_embeddings(&embeddings, &Default::default())?;
/// assert_eq!((pairs[0].i, pairs[0].j), (0, 2));
/// # Ok::<(), rushlight::Error>(())
/// ```
pub fn paraphrase_mining_embeddings<'a>(
    embeddings: impl Into<MatrixView<'a>>,
    options: &MiningOptions<'_>,
) -> Result<Vec<SimilarPair>> {
    let &MiningOptions { max_pairs, top_k, similarity, observer } = options;
    mining::mine(similarity, embeddings.into(), max_pairs, top_k, Run::new(observer)?)
}

/// Finds groups of rows whose cosine similarity with one of them, the centre, is at least `threshold`.
///
/// The largest group comes first; of each group the centre comes first and the others by falling similarity. No row is in
/// two groups.
///
/// Every row is the centre of a candidate. Candidates are taken by falling size, those of one size by their centre. A
/// candidate whose centre is taken is dropped. Others lose the members that are taken, and stay if `min_community_size` are
/// left.
///
/// # Errors
/// [`Error::InvalidArgument`] if `threshold` is NaN, or `min_community_size` or `batch_size` is 0; [`Error::Interrupted`].
///
/// # Examples
/// ```
/// use rushlight::{CommunityOptions, Matrix, vectors};
///
/// let embeddings = Matrix::from_rows([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1]])?;
/// let options = CommunityOptions::default().with_min_community_size(2);
/// assert_eq!(vectors::community_detection(&embeddings, &options)?, [[0, 2]]);
/// # Ok::<(), rushlight::Error>(())
/// ```
pub fn community_detection<'a>(
    embeddings: impl Into<MatrixView<'a>>,
    options: &CommunityOptions<'_>,
) -> Result<Vec<Vec<usize>>> {
    let &CommunityOptions { threshold, min_community_size, batch_size, observer } = options;
    communities::communities(embeddings.into(), threshold, min_community_size, batch_size, Run::new(observer)?)
}

/// Divides each row by its L2 norm. A norm below 1e-12 counts as 1e-12, so a row of zeros stays one.
///
/// # Errors
/// [`Error::Memory`]; [`Error::Interrupted`].
///
/// # Examples
/// ```
/// use rushlight::{Matrix, vectors};
///
/// let embeddings = Matrix::from_rows([[3.0, 4.0], [0.0, 0.0]])?;
/// let unit = vectors::normalize_embeddings(&embeddings, &Default::default())?;
/// assert_eq!(unit.as_slice(), [0.6, 0.8, 0.0, 0.0]);
/// # Ok::<(), rushlight::Error>(())
/// ```
pub fn normalize_embeddings<'a>(embeddings: impl Into<MatrixView<'a>>, options: &CallOptions<'_>) -> Result<Matrix> {
    normalize::normalize(embeddings.into(), Run::new(options.observer)?)
}

/// Returns the first `truncate_dim` columns, or all if there are no more. Truncation changes the norm: normalize afterwards.
///
/// # Errors
/// [`Error::InvalidArgument`] if `truncate_dim` is 0.
///
/// # Examples
/// ```
/// use rushlight::{Matrix, vectors};
///
/// let embeddings = Matrix::from_rows([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])?;
/// assert_eq!(vectors::truncate_embeddings(&embeddings, 2)?.as_slice(), [1.0, 2.0, 4.0, 5.0]);
/// # Ok::<(), rushlight::Error>(())
/// ```
pub fn truncate_embeddings<'a>(embeddings: impl Into<MatrixView<'a>>, truncate_dim: usize) -> Result<Matrix> {
    if truncate_dim == 0 {
        return Err(Error::argument("truncate_dim", "must be at least 1, got 0"));
    }
    let embeddings = embeddings.into();
    let columns = truncate_dim.min(embeddings.columns());
    let data = embeddings.into_iter().flat_map(|row| &row[..columns]).copied().collect();
    Matrix::new(embeddings.rows(), columns, data)
}
