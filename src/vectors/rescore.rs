//! Rescoring of hits.

use super::best::Best;
use super::corpus::Corpus;
use super::search::Hit;
use crate::config::Similarity;
use crate::error::{Error, Result};
use crate::kernels::buffer::Buffer;
use crate::threads::schedule;
use crate::vectors::similarity::{self, MatrixView, RowSource, Run, Scorer};

/// Returns the hits of [`rescore`](super::rescore).
pub(super) fn rescored(
    kind: Similarity,
    queries: MatrixView<'_>,
    hits: &[Vec<Hit>],
    corpus: Corpus<'_>,
    top_k: usize,
    run: Run<'_>,
) -> Result<Vec<Vec<Hit>>> {
    if top_k == 0 {
        return Err(Error::argument("top_k", "must be at least 1, got 0"));
    }
    if hits.len() != queries.rows() {
        let problem = format!("must have a list for each query, {}, got {}", queries.rows(), hits.len());
        return Err(Error::argument("hits", problem));
    }
    match corpus {
        Corpus::Float32(rows) => rescore_rows(kind, queries, hits, &rows, top_k, run),
        Corpus::Int8(rows) => rescore_rows(kind, queries, hits, &rows, top_k, run),
        Corpus::Binary(rows) => rescore_rows(kind, queries, hits, &rows, top_k, run),
    }
}

fn rescore_rows(
    kind: Similarity,
    queries: MatrixView<'_>,
    hits: &[Vec<Hit>],
    corpus: &impl RowSource,
    top_k: usize,
    run: Run<'_>,
) -> Result<Vec<Vec<Hit>>> {
    let width = similarity::same_width(("queries", queries.columns()), ("corpus", corpus.columns()))?;
    if let Some(hit) = hits.iter().flatten().find(|hit| hit.corpus_id >= corpus.rows()) {
        let problem = format!("must be rows of the corpus, from 0 up to {1}, got {0}", hit.corpus_id, corpus.rows());
        return Err(Error::argument("hits", problem));
    }
    let mut found = vec![Vec::new(); hits.len()];
    let terms = hits.iter().map(Vec::len).sum::<usize>().saturating_mul(width);
    let pieces = hits.iter().zip(&mut found).enumerate();
    schedule::run(pieces, run.threads(hits.len(), terms), run.observer(), &|| {}, |(i, (hits, found)), _| {
        let (mut best, mut scorer, mut buffer) =
            (Best::new(top_k.min(hits.len())), Scorer::default(), Buffer::default());
        for hit in hits {
            let score = if width == 0 {
                0.0
            } else {
                let row = corpus.read(run.isa(), hit.corpus_id, 1, &mut buffer);
                scorer.scores(kind, run.isa(), queries.row(i), row, width)[0]
            };
            best.consider(hit.corpus_id, &[score]);
        }
        *found = best.into_sorted();
        Ok(())
    })?;
    Ok(found)
}
