//! Scoring again what a search found.

use super::best::Best;
use super::corpus::Corpus;
use super::search::Hit;
use crate::error::{Error, Result};
use crate::kernels::buffer::Buffer;
use crate::threads::schedule;
use crate::vectors::similarity::{self, MatrixView, Rows, Run, Scratch, Similarity};

pub(crate) fn rescored(
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
        let problem = format!("must be of as many queries as there are, {}, got {}", queries.rows(), hits.len());
        return Err(Error::argument("hits", problem));
    }
    match corpus {
        Corpus::Float32(rows) => rescore_rows(kind, queries, hits, &rows, top_k, run),
        Corpus::Levels(rows) => rescore_rows(kind, queries, hits, &rows, top_k, run),
        Corpus::Bits(rows) => rescore_rows(kind, queries, hits, &rows, top_k, run),
    }
}

fn rescore_rows(
    kind: Similarity,
    queries: MatrixView<'_>,
    hits: &[Vec<Hit>],
    corpus: &impl Rows,
    top_k: usize,
    run: Run<'_>,
) -> Result<Vec<Vec<Hit>>> {
    let width = similarity::same_width(queries.columns(), corpus.columns()).map_err(|e| e.of_argument("corpus"))?;
    if let Some(hit) = hits.iter().flatten().find(|hit| hit.corpus_id >= corpus.rows()) {
        let problem = format!("there is no row {} in a corpus of {}", hit.corpus_id, corpus.rows());
        return Err(Error::argument("hits", problem));
    }
    let mut found = vec![Vec::new(); hits.len()];
    let terms = hits.iter().map(Vec::len).sum::<usize>().saturating_mul(width);
    let pieces = hits.iter().zip(&mut found).enumerate();
    schedule::run(pieces, run.threads(hits.len(), terms), run.observer(), &|| {}, |(i, (hits, found)), _| {
        let (mut best, mut scratch, mut buffer) =
            (Best::new(top_k.min(hits.len())), Scratch::default(), Buffer::default());
        for hit in hits {
            let score = if width == 0 {
                0.0
            } else {
                let row = corpus.read(run.isa(), hit.corpus_id, 1, &mut buffer);
                scratch.scores(kind, run.isa(), queries.row(i), row, width)[0]
            };
            best.consider(hit.corpus_id, &[score]);
        }
        *found = best.into_sorted();
        Ok(())
    })?;
    Ok(found)
}
