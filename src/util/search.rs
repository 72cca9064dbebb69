//! Which rows of a corpus are most like each query.

use std::sync::Mutex;

use super::best::Best;
use crate::error::{Error, Result};
use crate::schedule::lock;
use crate::similarity::{self, MatrixView, Run, Similarity};

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
    corpus: MatrixView<'_>,
    top_k: usize,
    run: Run<'_>,
) -> Result<Vec<Vec<Hit>>> {
    if top_k == 0 {
        return Err(Error::argument("top_k", "must be at least 1, got 0"));
    }
    let most = top_k.min(corpus.rows());
    let best: Vec<_> = (0..queries.rows()).map(|_| Mutex::new(Best::new(most))).collect();
    similarity::visit(kind, queries, corpus, run, |tile| {
        for (scores, best) in tile.scores.chunks_exact(tile.columns).zip(&best[tile.row..]) {
            lock(best).consider(tile.column, scores);
        }
    })
    .map_err(|error| error.of_argument("corpus"))?;
    let sorted = |best: Mutex<Best>| best.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()).into_sorted();
    Ok(best.into_iter().map(sorted).collect())
}
