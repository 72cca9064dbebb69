//! Paraphrase mining: the most similar pairs of rows.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::best::falling;
use super::search::search;
use crate::alloc;
use crate::config::Similarity;
use crate::error::{Error, Result};
use crate::observer::ask;
use crate::vectors::similarity::{MatrixView, Run};

/// Number of rows whose neighbours are in memory at once.
const ROWS: usize = 4096;

/// Two rows with their score. A better pair is less.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SimilarPair {
    /// Score of both rows.
    pub score: f32,
    /// Index of the first row.
    pub i: usize,
    /// Index of the second row, higher than the first.
    pub j: usize,
}

impl Ord for SimilarPair {
    fn cmp(&self, other: &Self) -> Ordering {
        falling(self.score, other.score).then((self.i, self.j).cmp(&(other.i, other.j)))
    }
}

impl PartialOrd for SimilarPair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for SimilarPair {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for SimilarPair {}

/// Refuses counts of 0.
pub(crate) fn check(max_pairs: usize, top_k: usize) -> Result<()> {
    for (argument, count) in [("max_pairs", max_pairs), ("top_k", top_k)] {
        if count == 0 {
            return Err(Error::argument(argument, "must be at least 1, got 0"));
        }
    }
    Ok(())
}

/// Returns the pairs of [`paraphrase_mining_embeddings`](super::paraphrase_mining_embeddings).
pub(super) fn mine(
    kind: Similarity,
    rows: MatrixView<'_>,
    max_pairs: usize,
    top_k: usize,
    run: Run<'_>,
) -> Result<Vec<SimilarPair>> {
    /// Memory of a pair: its own in a tree that is half empty, and that of the result.
    const PAIR: usize = 3 * size_of::<SimilarPair>();
    check(max_pairs, top_k)?;
    let most = max_pairs.min(rows.rows().saturating_mul(top_k.min(rows.rows())));
    alloc::check::<u8>(most.saturating_mul(PAIR), &format!("{most} pairs; take fewer max_pairs or a smaller top_k"))?;
    // A pair's score is the same from both sides, so the set takes it once.
    let mut pairs = BTreeSet::new();
    for first in (0..rows.rows()).step_by(ROWS) {
        // One more: a row is among its own neighbours.
        let hits = search(kind, rows.some_rows(first, ROWS), rows.into(), top_k.saturating_add(1), run)?;
        for (i, hits) in (first..).zip(hits) {
            ask(run.observer())?;
            for hit in hits.iter().filter(|hit| hit.corpus_id != i).take(top_k) {
                pairs.insert(SimilarPair { score: hit.score, i: i.min(hit.corpus_id), j: i.max(hit.corpus_id) });
                if pairs.len() > max_pairs {
                    pairs.pop_last();
                }
            }
        }
    }
    Ok(pairs.into_iter().collect())
}
