//! Selection of the best scores.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::Hit;

/// Orders scores from the highest to the lowest: both zeros are equal, NaN comes last.
pub(crate) fn falling(a: f32, b: f32) -> Ordering {
    let key = |score: f32| if score.is_nan() { -f32::NAN } else { score + 0.0 };
    key(b).total_cmp(&key(a))
}

/// A hit, ordered so that a better one is less.
#[derive(Clone, Copy)]
struct Candidate(Hit);

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        falling(self.0.score, other.0.score).then(self.0.corpus_id.cmp(&other.0.corpus_id))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Candidate {}

/// The `limit` best hits; of equal scores those with lower ids. The order in which hits arrive doesn't matter.
pub(super) struct Best {
    limit: usize,
    /// A heap with the worst hit on top.
    hits: BinaryHeap<Candidate>,
}

impl Best {
    /// Makes an empty collection with memory for `limit` hits.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, hits: BinaryHeap::with_capacity(limit) }
    }

    pub(super) fn len(&self) -> usize {
        self.hits.len()
    }

    /// Considers the scores of the ids from `first` on.
    pub(super) fn consider(&mut self, first: usize, scores: &[f32]) {
        for (scores, first) in scores.chunks(64).zip((first..).step_by(64)) {
            let full = self.hits.len() == self.limit;
            // Most scores end here, many at a time.
            if let Some(worst) = self.hits.peek().filter(|_| full).map(|worst| worst.0.score)
                && scores.iter().fold(true, |all, score| all & (*score < worst))
            {
                continue;
            }
            for (score, corpus_id) in scores.iter().copied().zip(first..) {
                self.push(Candidate(Hit { corpus_id, score }));
            }
        }
    }

    fn push(&mut self, hit: Candidate) {
        if self.hits.len() < self.limit {
            self.hits.push(hit);
        } else if let Some(mut worst) = self.hits.peek_mut()
            && hit < *worst
        {
            *worst = hit;
        }
    }

    /// Returns the hits, the best first.
    pub(super) fn into_sorted(self) -> Vec<Hit> {
        self.hits.into_sorted_vec().into_iter().map(|candidate| candidate.0).collect()
    }
}
