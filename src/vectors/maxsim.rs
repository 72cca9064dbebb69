//! MaxSim scores of late interaction: each token of a query finds the most similar token of a document.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::kernels::buffer::Buffer;
use crate::kernels::nan::larger;
use crate::kernels::{Isa, dot};
use crate::options::CallOptions;
use crate::threads::schedule;
use crate::vectors::similarity::{Matrix, MatrixView, Run, zeros};

/// Function that compares a query's tokens with a document's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum MultiVectorSimilarity {
    /// `"maxsim"`: the sum over the query's tokens of the largest dot product with a token of the document.
    #[default]
    MaxSim,
    /// `"meanmaxsim"`: that sum over the number of the query's tokens.
    MeanMaxSim,
}

impl MultiVectorSimilarity {
    const ALL: [Self; 2] = [Self::MaxSim, Self::MeanMaxSim];

    /// Returns its name in `config_sentence_transformers.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::MaxSim => "maxsim",
            Self::MeanMaxSim => "meanmaxsim",
        }
    }
}

impl fmt::Display for MultiVectorSimilarity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for MultiVectorSimilarity {
    type Err = Error;

    /// # Errors
    /// [`Error::InvalidArgument`] for an unknown name, with the known ones.
    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|similarity| similarity.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::argument("similarity", format!("must be one of {known}, got {name:?}"))
        })
    }
}

/// Number of products of a query with a document in memory at once.
const PRODUCTS: usize = 1 << 20;
/// Number of documents that one piece of work compares with a query.
const DOCUMENTS: usize = 32;
/// Score of a document without tokens, below that of any other.
const NO_TOKENS: f32 = -1e9;

/// Returns the score of every query with every document: `(queries, documents)`. Each text is a matrix of its tokens'
/// vectors.
///
/// A pair's score has the same bits beside any other pairs and with any number of threads.
///
/// # Errors
/// [`Error::InvalidArgument`] if the widths differ; [`Error::Memory`]; [`Error::Interrupted`].
pub fn maxsim<'a, Q, D>(
    kind: MultiVectorSimilarity,
    queries: &'a [Q],
    documents: &'a [D],
    options: &CallOptions<'_>,
) -> Result<Matrix>
where
    &'a Q: Into<MatrixView<'a>>,
    &'a D: Into<MatrixView<'a>>,
{
    similarity(kind, &views(queries), &views(documents), Run::new(options.observer)?)
}

/// Returns the score of each query with the document at the same index.
///
/// # Errors
/// The errors of [`maxsim`]; [`Error::InvalidArgument`] if there are more queries than documents or more documents than
/// queries.
pub fn maxsim_pairwise<'a, Q, D>(
    kind: MultiVectorSimilarity,
    queries: &'a [Q],
    documents: &'a [D],
    options: &CallOptions<'_>,
) -> Result<Vec<f32>>
where
    &'a Q: Into<MatrixView<'a>>,
    &'a D: Into<MatrixView<'a>>,
{
    pairwise(kind, &views(queries), &views(documents), Run::new(options.observer)?)
}

fn views<'a, M>(texts: &'a [M]) -> Vec<MatrixView<'a>>
where
    &'a M: Into<MatrixView<'a>>,
{
    texts.iter().map(Into::into).collect()
}

/// Returns the scores of [`maxsim`].
fn similarity(
    kind: MultiVectorSimilarity,
    queries: &[MatrixView<'_>],
    documents: &[MatrixView<'_>],
    run: Run<'_>,
) -> Result<Matrix> {
    check_widths(queries, documents)?;
    let mut scores = zeros(queries.len(), documents.len())?;
    if !scores.is_empty() {
        let rows = queries.iter().zip(scores.chunks_mut(documents.len()));
        let pieces = rows.flat_map(|(query, row)| {
            row.chunks_mut(DOCUMENTS).zip(documents.chunks(DOCUMENTS)).map(move |piece| (query, piece))
        });
        let tokens = |texts: &[MatrixView<'_>]| texts.iter().map(MatrixView::rows).sum::<usize>();
        let terms = tokens(queries).saturating_mul(tokens(documents)).saturating_mul(documents[0].columns());
        let threads = run.threads(queries.len() * documents.len().div_ceil(DOCUMENTS), terms);
        schedule::run(pieces, threads, run.observer(), &|| {}, |(query, (scores, documents)), _| {
            let mut buffer = Buffer::default();
            for (score, document) in scores.iter_mut().zip(documents) {
                *score = score_of(run.isa(), kind, *query, *document, &mut buffer);
            }
            Ok(())
        })?;
    }
    Matrix::new(queries.len(), documents.len(), scores)
}

/// Returns the scores of [`maxsim_pairwise`].
fn pairwise(
    kind: MultiVectorSimilarity,
    queries: &[MatrixView<'_>],
    documents: &[MatrixView<'_>],
    run: Run<'_>,
) -> Result<Vec<f32>> {
    check_widths(queries, documents)?;
    if queries.len() != documents.len() {
        let problem = format!("must be as many as the queries, {}, got {}", queries.len(), documents.len());
        return Err(Error::argument("documents", problem));
    }
    let mut scores = zeros(queries.len(), 1)?;
    let pairs = queries.chunks(DOCUMENTS).zip(documents.chunks(DOCUMENTS)).zip(scores.chunks_mut(DOCUMENTS));
    let terms = queries.iter().zip(documents).map(|(a, b)| a.rows() * b.as_slice().len()).sum();
    let threads = run.threads(queries.len().div_ceil(DOCUMENTS), terms);
    schedule::run(pairs, threads, run.observer(), &|| {}, |((queries, documents), scores), _| {
        let mut buffer = Buffer::default();
        for ((query, document), score) in queries.iter().zip(documents).zip(scores) {
            *score = score_of(run.isa(), kind, *query, *document, &mut buffer);
        }
        Ok(())
    })?;
    Ok(scores)
}

/// Checks that all tokens' vectors are of one width.
fn check_widths(queries: &[MatrixView<'_>], documents: &[MatrixView<'_>]) -> Result<()> {
    let Some(width) = queries.first().or(documents.first()).map(MatrixView::columns) else { return Ok(()) };
    for (argument, texts) in [("queries", queries), ("documents", documents)] {
        if let Some((i, text)) = texts.iter().enumerate().find(|(_, text)| text.columns() != width) {
            let problem = format!("all vectors must be of one width, {width}, got {} at index {i}", text.columns());
            return Err(Error::argument(argument, problem));
        }
    }
    Ok(())
}

fn score_of(
    isa: Isa,
    kind: MultiVectorSimilarity,
    query: MatrixView<'_>,
    document: MatrixView<'_>,
    buffer: &mut Buffer,
) -> f32 {
    let tokens = document.rows();
    let score = if tokens == 0 {
        NO_TOKENS
    } else {
        let best = |products: &[f32]| products.iter().copied().fold(f32::NEG_INFINITY, larger);
        let mut sum = 0.0;
        let step = PRODUCTS.div_ceil(tokens);
        for first in (0..query.rows()).step_by(step) {
            let some = query.some_rows(first, step);
            buffer.resize(some.rows() * tokens);
            dot::dots(isa, some.as_slice(), document.as_slice(), query.columns(), buffer);
            sum = buffer.chunks_exact(tokens).fold(sum, |sum, products| sum + f64::from(best(products)));
        }
        sum as f32
    };
    match kind {
        MultiVectorSimilarity::MaxSim => score,
        MultiVectorSimilarity::MeanMaxSim => score / query.rows().max(1) as f32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::noise;
    use crate::process;

    #[test]
    fn tokens_with_nan_make_the_score_nan() {
        let query = Matrix::new(2, 2, vec![1.0, 0.0, 0.0, 1.0]).unwrap();
        for column in 0..4 {
            let mut document = vec![1.0; 4];
            document[column] = f32::NAN;
            let document = Matrix::new(2, 2, document).unwrap();
            let run = Run::new(None).unwrap();
            let scores = similarity(MultiVectorSimilarity::MaxSim, &[query.view()], &[document.view()], run).unwrap();
            assert!(scores.as_slice()[0].is_nan(), "{column}");
        }
    }

    /// Its products don't fit in one piece.
    #[test]
    fn a_long_query_has_the_sum_of_its_tokens() {
        let (query, document) = (noise(3000 * 4, 1), noise(1000 * 4, 2));
        let (query, document) = (Matrix::new(3000, 4, query).unwrap(), Matrix::new(1000, 4, document).unwrap());
        let run = Run::new(None).unwrap();
        let score = |query: MatrixView<'_>| {
            let scores = similarity(MultiVectorSimilarity::MaxSim, &[query], &[document.view()], run).unwrap();
            f64::from(scores.as_slice()[0])
        };
        let each: f64 = (0..3000).map(|token| score(query.view().some_rows(token, 1))).sum();
        assert!((score(query.view()) - each).abs() < 1e-6 * each, "{each}");
    }

    fn run() -> Run<'static> {
        Run::new(None).unwrap()
    }

    fn truth(query: &Matrix, document: &Matrix) -> f64 {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let best = |q: usize| {
            let products = (0..document.rows()).map(|d| dot(query.row(q), document.row(d)));
            products.fold(f64::NEG_INFINITY, f64::max)
        };
        (0..query.rows()).map(best).sum()
    }

    #[test]
    fn scores_agree_with_float64_alone_and_among_others() {
        let text = |tokens: usize, seed: u64| Matrix::new(tokens, 33, noise(tokens * 33, seed)).unwrap();
        let queries: Vec<_> = (1..6).map(|tokens| text(tokens * 7, tokens as u64)).collect();
        let documents: Vec<_> = (1..90).map(|tokens| text(tokens, 100 + tokens as u64)).collect();
        let views = |texts: &[Matrix]| -> Vec<MatrixView<'static>> {
            texts.to_vec().leak().iter().map(|text: &'static Matrix| text.view()).collect()
        };
        let (q, d) = (views(&queries), views(&documents));
        let before = process::num_threads().unwrap();
        for threads in [1, 3] {
            process::set_num_threads(threads).unwrap();
            let scores = similarity(MultiVectorSimilarity::MaxSim, &q, &d, run()).unwrap();
            let means = similarity(MultiVectorSimilarity::MeanMaxSim, &q, &d, run()).unwrap();
            for (i, j) in (0..5).flat_map(|i| (0..89).map(move |j| (i, j))) {
                let score = scores.row(i)[j];
                assert!((f64::from(score) - truth(&queries[i], &documents[j])).abs() < 2e-5, "{i} {j}: {score}");
                assert_eq!(means.row(i)[j], score / queries[i].rows() as f32);
                let alone = pairwise(MultiVectorSimilarity::MaxSim, &q[i..=i], &d[j..=j], run()).unwrap();
                assert_eq!(alone, [score]);
            }
        }
        process::set_num_threads(before).unwrap();
    }

    #[test]
    fn texts_without_tokens_and_no_texts() {
        let (some, none) = (Matrix::new(2, 3, vec![1.0; 6]).unwrap(), Matrix::new(0, 3, vec![]).unwrap());
        let kind = MultiVectorSimilarity::MaxSim;
        let scores = similarity(kind, &[some.view(), none.view()], &[none.view(), some.view()], run()).unwrap();
        assert_eq!(scores.as_slice(), [NO_TOKENS, 6.0, NO_TOKENS, 0.0]);
        assert_eq!(similarity(kind, &[], &[some.view()], run()).unwrap().rows(), 0);
        assert_eq!(pairwise(kind, &[], &[], run()).unwrap(), [0.0; 0]);
        let wide = Matrix::new(1, 4, vec![1.0; 4]).unwrap();
        assert!(similarity(kind, &[some.view()], &[wide.view()], run()).is_err());
        assert!(pairwise(kind, &[some.view()], &[], run()).is_err());
    }
}
