//! The best of many scores.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::Hit;

/// Orders scores from the highest to the lowest: both zeros are equal, NaN comes last.
pub(crate) fn falling(a: f32, b: f32) -> Ordering {
    let key = |score: f32| if score.is_nan() { -f32::NAN } else { score + 0.0 };
    key(b).total_cmp(&key(a))
}

/// A hit whose order is: the better the less.
#[derive(Clone, Copy)]
struct Ranked(Hit);

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        falling(self.0.score, other.0.score).then(self.0.corpus_id.cmp(&other.0.corpus_id))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ranked {}

/// The best hits, a number of them at most: of equal scores those of the lower ids. The order in which hits come
/// changes nothing.
pub(super) struct Best {
    most: usize,
    /// The worst on top.
    hits: BinaryHeap<Ranked>,
}

impl Best {
    pub(super) fn new(most: usize) -> Self {
        Self { most, hits: BinaryHeap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.hits.len()
    }

    /// Considers the scores of the ids from `first` on.
    pub(super) fn consider(&mut self, first: usize, scores: &[f32]) {
        for (scores, first) in scores.chunks(64).zip((first..).step_by(64)) {
            let full = self.hits.len() == self.most;
            // Most scores end here, many at a time.
            if let Some(worst) = self.hits.peek().filter(|_| full).map(|worst| worst.0.score)
                && scores.iter().fold(true, |all, score| all & (*score < worst))
            {
                continue;
            }
            for (score, corpus_id) in scores.iter().copied().zip(first..) {
                self.push(Ranked(Hit { corpus_id, score }));
            }
        }
    }

    fn push(&mut self, hit: Ranked) {
        if self.hits.len() < self.most {
            self.hits.push(hit);
        } else if let Some(mut worst) = self.hits.peek_mut()
            && hit < *worst
        {
            *worst = hit;
        }
    }

    /// The best first.
    pub(super) fn into_sorted(self) -> Vec<Hit> {
        self.hits.into_sorted_vec().into_iter().map(|ranked| ranked.0).collect()
    }
}
