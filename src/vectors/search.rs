//! Which rows of a corpus are most like each query.

use std::sync::Mutex;

use super::best::Best;
use super::bits::search_bits;
use super::corpus::Corpus;
use crate::error::{Error, Result};
use crate::threads::schedule::{self, lock};
use crate::vectors::similarity::{self, MatrixView, Rows, Run, Similarity};

/// A row of the corpus that a search found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// Its index in the corpus.
    pub corpus_id: usize,
    /// Its score with the query.
    pub score: f32,
}

pub(crate) fn search(
    kind: Similarity,
    queries: MatrixView<'_>,
    corpus: Corpus<'_>,
    top_k: usize,
    run: Run<'_>,
) -> Result<Vec<Vec<Hit>>> {
    if top_k == 0 {
        return Err(Error::argument("top_k", "must be at least 1, got 0"));
    }
    let found = match corpus {
        Corpus::Float32(rows) => search_rows(kind, queries, &rows, top_k, run),
        Corpus::Levels(rows) => search_rows(kind, queries, &rows, top_k, run),
        Corpus::Bits(rows) => search_bits(kind, queries, rows, top_k, run),
    };
    found.map_err(|error| error.of_argument("corpus"))
}

fn search_rows(
    kind: Similarity,
    queries: MatrixView<'_>,
    corpus: &impl Rows,
    top_k: usize,
    run: Run<'_>,
) -> Result<Vec<Vec<Hit>>> {
    let best = none_yet(queries.rows(), top_k.min(corpus.rows()));
    similarity::visit(kind, queries, corpus, run, |tile| {
        for (scores, best) in tile.scores.chunks_exact(tile.columns).zip(&best[tile.row..]) {
            lock(best).consider(tile.column, scores);
        }
    })?;
    sorted(best, run)
}

/// The best of each query, `most` of them, which threads then find.
pub(super) fn none_yet(queries: usize, most: usize) -> Vec<Mutex<Best>> {
    (0..queries).map(|_| Mutex::new(Best::new(most))).collect()
}

/// The hits of each query, the best first.
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
