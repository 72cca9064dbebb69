//! Search for the rows of a corpus that are most similar to each query.

use std::sync::Mutex;

use super::best::Best;
use super::binary::search_binary;
use super::corpus::Corpus;
use crate::alloc;
use crate::config::Similarity;
use crate::error::{Error, Result};
use crate::threads::schedule::{self, lock};
use crate::vectors::similarity::{self, MatrixView, RowSource, Run};

/// Row of the corpus that a search found.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Hit {
    /// Index of the row in the corpus.
    pub corpus_id: usize,
    /// Score of the row with the query.
    pub score: f32,
}

/// Returns the hits of [`semantic_search`](super::semantic_search).
pub(super) fn search(
    kind: Similarity,
    queries: MatrixView<'_>,
    corpus: Corpus<'_>,
    top_k: usize,
    run: Run<'_>,
) -> Result<Vec<Vec<Hit>>> {
    if top_k == 0 {
        return Err(Error::argument("top_k", "must be at least 1, got 0"));
    }
    match corpus {
        Corpus::Float32(rows) => search_rows(kind, queries, &rows, top_k, run),
        Corpus::Int8(rows) => search_rows(kind, queries, &rows, top_k, run),
        Corpus::Binary(rows) => search_binary(kind, queries, rows, top_k, run),
    }
}

fn search_rows(
    kind: Similarity,
    queries: MatrixView<'_>,
    corpus: &impl RowSource,
    top_k: usize,
    run: Run<'_>,
) -> Result<Vec<Vec<Hit>>> {
    similarity::same_width(("queries", queries.columns()), ("corpus", corpus.columns()))?;
    let best = none_yet(queries.rows(), top_k.min(corpus.rows()))?;
    similarity::visit(kind, queries, corpus, run, |tile| {
        for (scores, best) in tile.scores.chunks_exact(tile.columns).zip(&best[tile.row..]) {
            lock(best).consider(tile.column, scores);
        }
    })?;
    sorted(best, run)
}

/// Makes an empty collection for each query, of at most `limit` hits.
///
/// # Errors
/// [`Error::Memory`], if there is none for the hits of all queries.
pub(super) fn none_yet(queries: usize, limit: usize) -> Result<Vec<Mutex<Best>>> {
    /// Memory of a hit: its own, and a caller's copy.
    const HIT: usize = 2 * size_of::<Hit>();
    /// Memory of a query's collection beside its hits.
    const COLLECTION: usize = 128;
    let bytes = queries.saturating_mul(limit.saturating_mul(HIT).saturating_add(COLLECTION));
    alloc::check::<u8>(bytes, &format!("{limit} hits of {queries} queries; take fewer queries at a time"))?;
    Ok((0..queries).map(|_| Mutex::new(Best::new(limit))).collect())
}

/// Sorts the hits of each query, the best first.
pub(super) fn sorted(best: Vec<Mutex<Best>>, run: Run<'_>) -> Result<Vec<Vec<Hit>>> {
    let mut hits = vec![Vec::new(); best.len()];
    let found: usize = best.iter().map(|best| lock(best).len()).sum();
    // To compare two hits takes as long as some terms.
    let threads = run.threads(best.len(), found << 6);
    schedule::run(best.into_iter().zip(&mut hits), threads, run.observer(), &|| {}, |(best, hits), _| {
        *hits = best.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()).into_sorted();
        Ok(())
    })?;
    Ok(hits)
}
