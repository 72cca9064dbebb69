//! Search in binary embeddings by Hamming distance.

use super::search::{Hit, none_yet, sorted};
use crate::config::Similarity;
use crate::error::Result;
use crate::kernels::buffer::Buffer;
use crate::kernels::hamming;
use crate::threads::schedule::{self, lock};
use crate::vectors::quantize::BinaryView;
use crate::vectors::similarity::{self, MatrixView, RowSource, Run};

/// Bytes of the corpus that stay in the second-level cache while queries go by.
const BYTES: usize = 1 << 18;

/// Queries that go by in one piece of work.
const QUERIES: usize = 64;

/// Finds the rows with the smallest Hamming distance to the query.
pub(super) fn search_binary(
    kind: Similarity,
    queries: MatrixView<'_>,
    corpus: BinaryView<'_>,
    top_k: usize,
    run: Run<'_>,
) -> Result<Vec<Vec<Hit>>> {
    let dim = similarity::same_width(("queries", queries.columns()), ("corpus", corpus.columns()))?;
    let bytes = corpus.bytes_in_row();
    let packed = corpus.pack(queries, run)?;
    let query = |i: usize| &packed[i * bytes..][..bytes];
    let best = none_yet(queries.rows(), top_k.min(corpus.rows()))?;
    let size = (BYTES / bytes.max(1)).max(1);
    let tiles = (0..corpus.rows()).step_by(size);
    let tiles = tiles.flat_map(|row| (0..queries.rows()).step_by(QUERIES).map(move |first| (row, first)));
    let count = corpus.rows().div_ceil(size) * queries.rows().div_ceil(QUERIES);
    let threads = run.threads(count, packed.len().saturating_mul(corpus.rows()));
    schedule::run(tiles, threads, run.observer(), &|| {}, |(row, first), checkpoint| {
        let rows = size.min(corpus.rows() - row);
        let mut scores = Buffer::default();
        scores.resize(rows);
        for (i, best) in best.iter().enumerate().skip(first).take(QUERIES) {
            checkpoint()?;
            hamming::distances(run.isa(), query(i), corpus.packed(row, rows), &mut scores);
            scores.iter_mut().for_each(|distance| *distance = -*distance);
            lock(best).consider(row, &scores);
        }
        Ok(())
    })?;
    let mut found = sorted(best, run)?;
    found.iter_mut().flatten().for_each(|hit| hit.score = score(kind, -hit.score, dim));
    Ok(found)
}

/// Returns the score of two rows of 1 and -1 that differ in `distance` dimensions.
fn score(kind: Similarity, distance: f32, dim: usize) -> f32 {
    let (distance, dim) = (f64::from(distance), dim as f64);
    let score = match kind {
        // No dimension has the cosine 0, as in float32.
        Similarity::Cosine => (dim - 2.0 * distance) / dim.max(1.0),
        Similarity::Dot => dim - 2.0 * distance,
        Similarity::Euclidean => 0.0 - 2.0 * distance.sqrt(),
        Similarity::Manhattan => 0.0 - 2.0 * distance,
    };
    score as f32
}
