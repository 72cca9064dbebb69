//! Options of calls that compare, search, group or quantize embeddings.

use super::options;
use crate::config::Similarity;
use crate::observer::Observer;

options! {
    /// Options of a call that has nothing to choose but its observer.
    #[derive(Clone, Copy, Debug, Default)]
    CallOptions<'a> {
        /// Observer, which may stop the call.
        observer: Option<&'a dyn Observer> => with_observer(&'a dyn Observer),
    }
}

options! {
    /// Options of [`semantic_search`](crate::vectors::semantic_search) and [`rescore`](crate::vectors::rescore).
    #[derive(Clone, Copy, Debug)]
    SearchOptions<'a> {
        /// Number of hits of each query, at least 1. A smaller corpus gives fewer.
        top_k: usize => with_top_k(usize),
        /// Similarity function.
        similarity: Similarity => with_similarity(Similarity),
        /// Observer, which may stop the call.
        observer: Option<&'a dyn Observer> => with_observer(&'a dyn Observer),
    }
}

impl Default for SearchOptions<'_> {
    /// Returns 10 hits by cosine similarity.
    fn default() -> Self {
        Self { top_k: 10, similarity: Similarity::Cosine, observer: None }
    }
}

options! {
    /// Options of [`paraphrase_mining_embeddings`](crate::vectors::paraphrase_mining_embeddings).
    #[derive(Clone, Copy, Debug)]
    MiningOptions<'a> {
        /// Largest number of pairs, at least 1.
        max_pairs: usize => with_max_pairs(usize),
        /// Number of other rows that each row is paired with, at least 1.
        top_k: usize => with_top_k(usize),
        /// Similarity function.
        similarity: Similarity => with_similarity(Similarity),
        /// Observer, which may stop the call.
        observer: Option<&'a dyn Observer> => with_observer(&'a dyn Observer),
    }
}

impl Default for MiningOptions<'_> {
    /// Returns 500,000 pairs of each row's 100 nearest by cosine similarity.
    fn default() -> Self {
        Self { max_pairs: 500_000, top_k: 100, similarity: Similarity::Cosine, observer: None }
    }
}

options! {
    /// Options of [`community_detection`](crate::vectors::community_detection).
    #[derive(Clone, Copy, Debug)]
    CommunityOptions<'a> {
        /// Smallest cosine similarity of a member with the centre.
        threshold: f32 => with_threshold(f32),
        /// Smallest number of members, at least 1.
        min_community_size: usize => with_min_community_size(usize),
        /// Number of rows between two calls of the observer's `progress`, at least 1.
        batch_size: usize => with_batch_size(usize),
        /// Observer, which gets the progress and may stop the call.
        observer: Option<&'a dyn Observer> => with_observer(&'a dyn Observer),
    }
}

impl Default for CommunityOptions<'_> {
    /// Returns a threshold of 0.75 and communities of at least 10.
    fn default() -> Self {
        Self { threshold: 0.75, min_community_size: 10, batch_size: 1024, observer: None }
    }
}

options! {
    /// Options of [`quantize`](crate::vectors::quantize()). Without ranges and calibration, the embeddings themselves
    /// give the ranges.
    #[derive(Clone, Copy, Debug, Default)]
    QuantizeOptions<'a> {
        /// Smallest and largest number of each dimension, for int8 and uint8.
        ranges: Option<(&'a [f32], &'a [f32])> => with_ranges(impl Into<Option<(&'a [f32], &'a [f32])>>),
        /// Embeddings whose smallest and largest numbers are the ranges, row by row.
        calibration: Option<&'a [f32]> => with_calibration(impl Into<Option<&'a [f32]>>),
        /// Observer, which may stop the call.
        observer: Option<&'a dyn Observer> => with_observer(&'a dyn Observer),
    }
}
