//! What is done with embeddings: comparing, searching, mining for pairs, finding communities, and making them smaller.
//!
//! All of it is exact, on as many threads as [`process`](crate::process) allows, in memory that grows with the rows and the
//! result but not with the number of comparisons. Of equal scores the lower index comes first; NaN is below every number.

mod best;
mod bits;
mod communities;
mod corpus;
pub(crate) mod embeddings;
pub(crate) mod maxsim;
mod mining;
mod normalize;
pub(crate) mod quantize;
mod rescore;
mod search;
pub(crate) mod similarity;
pub(crate) mod sparse;

#[cfg(test)]
mod tests;

pub use corpus::Corpus;
pub use mining::SimilarPair;
pub use search::Hit;

pub(crate) use best::falling;
pub(crate) use communities::communities;
pub(crate) use mining::mine;
pub(crate) use normalize::normalize;
pub(crate) use rescore::rescored;
pub(crate) use search::search;

use crate::error::{Error, Result};
use crate::models::Model;
use crate::observer::NoObserver;
use crate::options::EncodeOptions;
use similarity::{Matrix, MatrixView, Run, Similarity};

/// The scores of every row of `a`, `(n, width)`, with every row of `b`, `(m, width)`: `(n, m)`.
///
/// # Errors
/// [`Error::InvalidArgument`] where the widths differ or the result is larger than the
/// memory.
#[doc(alias("cos_sim", "dot_score", "euclidean_sim", "manhattan_sim"))]
pub fn similarity(kind: Similarity, a: MatrixView<'_>, b: MatrixView<'_>) -> Result<Matrix> {
    similarity::similarity(kind, a, b, Run::watched_by(&NoObserver)?)
}

/// The score of each row of `a` with the same row of `b`: `n` of them.
///
/// # Errors
/// [`Error::InvalidArgument`] where the widths or the numbers of rows differ.
#[doc(alias("pairwise_cos_sim", "pairwise_dot_score", "pairwise_euclidean_sim", "pairwise_manhattan_sim"))]
pub fn pairwise_similarity(kind: Similarity, a: MatrixView<'_>, b: MatrixView<'_>) -> Result<Vec<f32>> {
    similarity::pairwise(kind, a, b, Run::watched_by(&NoObserver)?)
}

/// The `top_k` rows of `corpus` that are most similar to each query, the best first; fewer where it has fewer.
///
/// A corpus of float32, a [`MatrixView`], is searched for the best scores. So is one of a byte for each dimension,
/// [`Levels`](crate::Levels), by what its levels stand for. In one of a bit for each dimension, [`Bits`](crate::Bits), the
/// rows are found in whose bits the queries' own differ least; the scores are those of rows of 1 and -1. To have them by the
/// queries as they are, find a few times more and [`rescore`] them.
///
/// # Errors
/// [`Error::InvalidArgument`] where the widths differ or `top_k` is 0.
///
/// # Examples
/// ```
/// use rushlight::vectors::semantic_search;
/// use rushlight::{Matrix, Similarity};
///
/// let queries = Matrix::new(1, 2, vec![1.0, 0.0])?;
/// let corpus = Matrix::new(3, 2, vec![0.0, 1.0, 2.0, 0.0, 1.0, 1.0])?;
/// let hits = semantic_search(queries.view(), corpus.view().into(), 2, Similarity::Cosine)?;
/// assert_eq!(hits[0][0].corpus_id, 1);
/// # Ok::<(), rushlight::Error>(())
/// ```
pub fn semantic_search(
    queries: MatrixView<'_>,
    corpus: Corpus<'_>,
    top_k: usize,
    kind: Similarity,
) -> Result<Vec<Vec<Hit>>> {
    search(kind, queries, corpus, top_k, Run::watched_by(&NoObserver)?)
}

/// The `top_k` best of each query's `hits`, by their scores with the rows of `corpus`: of the one that was searched, or of
/// the same embeddings in another precision. Bits count as 1 and -1.
///
/// # Errors
/// [`Error::InvalidArgument`] where the widths differ, `top_k` is 0, or `hits` are not of as many queries or not of this
/// corpus.
///
/// # Examples
/// ```
/// use rushlight::vectors::{rescore, semantic_search};
/// use rushlight::{Bits, Matrix, Precision, Similarity, quantize};
///
/// let queries = Matrix::new(1, 2, vec![3.0, 1.0])?;
/// let corpus = Matrix::new(3, 2, vec![-1.0, 2.0, 1.0, 2.0, 2.0, 1.0])?;
/// let quantized = quantize(corpus.as_slice(), 2, Precision::Ubinary, None, None)?;
/// let bits = Bits::new(&quantized, 2)?;
///
/// let found = semantic_search(queries.view(), bits.into(), 2, Similarity::Cosine)?;
/// assert_eq!(found[0].iter().map(|hit| hit.corpus_id).collect::<Vec<_>>(), [1, 2]);
/// let hits = rescore(queries.view(), &found, corpus.view().into(), 1, Similarity::Cosine)?;
/// assert_eq!(hits[0][0].corpus_id, 2);
/// # Ok::<(), rushlight::Error>(())
/// ```
pub fn rescore(
    queries: MatrixView<'_>,
    hits: &[Vec<Hit>],
    corpus: Corpus<'_>,
    top_k: usize,
    kind: Similarity,
) -> Result<Vec<Vec<Hit>>> {
    rescored(kind, queries, hits, corpus, top_k, Run::watched_by(&NoObserver)?)
}

/// Embeds `sentences` and finds the most similar pairs of them: [`paraphrase_mining_embeddings`] of their embeddings.
///
/// # Errors
/// [`Error::InvalidArgument`] where `max_pairs` or `top_k` is 0, before anything is embedded; those of [`Model::encode`].
///
/// # Examples
/// ```
/// use rushlight::vectors::paraphrase_mining;
/// use rushlight::{Model, Similarity};
///
/// # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/tiny/bert-mean-normalize/model");
/// let model = Model::from_dir(folder)?;
/// let sentences = ["The cat sits outside.", "A man plays guitar.", "The cat sits outside."];
/// let pairs = paraphrase_mining(&model, &sentences, 10, 2, Similarity::Cosine)?;
/// assert_eq!((pairs[0].i, pairs[0].j), (0, 2));
/// # Ok::<(), rushlight::Error>(())
/// ```
pub fn paraphrase_mining<T: AsRef<str>>(
    model: &Model,
    sentences: &[T],
    max_pairs: usize,
    top_k: usize,
    kind: Similarity,
) -> Result<Vec<SimilarPair>> {
    mining::check(max_pairs, top_k)?;
    let embeddings = model.encode(sentences, &EncodeOptions::default())?;
    paraphrase_mining_embeddings((&embeddings).into(), max_pairs, top_k, kind)
}

/// The most similar pairs among each row and its `top_k` most similar others: `max_pairs` of them at most, each once, the
/// best first.
///
/// # Errors
/// [`Error::InvalidArgument`] where `max_pairs` or `top_k` is 0.
pub fn paraphrase_mining_embeddings(
    embeddings: MatrixView<'_>,
    max_pairs: usize,
    top_k: usize,
    kind: Similarity,
) -> Result<Vec<SimilarPair>> {
    mine(kind, embeddings, max_pairs, top_k, Run::watched_by(&NoObserver)?)
}

/// Groups of rows whose cosine with one of them, the centre, is at least `threshold`: the largest group first, of each the
/// centre first and the others by falling similarity. No row is in two of them.
///
/// Every row is the centre of a candidate. They are taken by their size, those of one size by their centre: a candidate
/// whose centre is taken is left out, the others lose the members that are taken, and stay where `min_community_size` are
/// left.
///
/// # Errors
/// [`Error::InvalidArgument`] where `threshold` is NaN or `min_community_size` is 0.
pub fn community_detection(
    embeddings: MatrixView<'_>,
    threshold: f32,
    min_community_size: usize,
) -> Result<Vec<Vec<usize>>> {
    communities(embeddings, threshold, min_community_size, communities::BATCH, Run::watched_by(&NoObserver)?)
}

/// Each row over its L2 norm; a norm under 1e-12 counts as that, so a row of zeros stays one.
///
/// # Errors
/// [`Error::InvalidArgument`] where `RUSHLIGHT_CPU` names an instruction set that this machine lacks.
///
/// # Examples
/// ```
/// use rushlight::Matrix;
/// use rushlight::vectors::normalize_embeddings;
///
/// let embeddings = Matrix::new(2, 2, vec![3.0, 4.0, 0.0, 0.0])?;
/// assert_eq!(normalize_embeddings(embeddings.view())?.as_slice(), [0.6, 0.8, 0.0, 0.0]);
/// # Ok::<(), rushlight::Error>(())
/// ```
pub fn normalize_embeddings(embeddings: MatrixView<'_>) -> Result<Matrix> {
    normalize(embeddings, Run::watched_by(&NoObserver)?)
}

/// The first `truncate_dim` columns, or all where there are no more. The rows of what was normalized before are not any
/// longer: where the norm matters, normalize afterwards.
///
/// # Errors
/// [`Error::InvalidArgument`] where `truncate_dim` is 0.
///
/// # Examples
/// ```
/// use rushlight::Matrix;
/// use rushlight::vectors::truncate_embeddings;
///
/// let embeddings = Matrix::new(2, 3, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])?;
/// assert_eq!(truncate_embeddings(embeddings.view(), 2)?, Matrix::new(2, 2, vec![1.0, 2.0, 4.0, 5.0])?);
/// # Ok::<(), rushlight::Error>(())
/// ```
pub fn truncate_embeddings(embeddings: MatrixView<'_>, truncate_dim: usize) -> Result<Matrix> {
    if truncate_dim == 0 {
        return Err(Error::argument("truncate_dim", "must be at least 1, got 0"));
    }
    let columns = truncate_dim.min(embeddings.columns());
    let data = (0..embeddings.rows()).flat_map(|i| &embeddings.row(i)[..columns]).copied().collect();
    Matrix::new(embeddings.rows(), columns, data)
}
