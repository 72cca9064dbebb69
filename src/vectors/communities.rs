//! Community detection: groups of rows close to a centre.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::best::falling;
use crate::config::Similarity;
use crate::error::{Error, Result};
use crate::vectors::similarity::{self, MatrixView, Run};

/// Returns the groups of [`community_detection`](super::community_detection).
pub(super) fn communities(
    rows: MatrixView<'_>,
    threshold: f32,
    min_community_size: usize,
    batch_size: usize,
    run: Run<'_>,
) -> Result<Vec<Vec<usize>>> {
    if threshold.is_nan() {
        return Err(Error::argument("threshold", "must be a number, got NaN"));
    }
    for (argument, count) in [("min_community_size", min_community_size), ("batch_size", batch_size)] {
        if count == 0 {
            return Err(Error::argument(argument, "must be at least 1, got 0"));
        }
    }
    let sizes = sizes(rows, threshold, batch_size, run)?;
    let mut centres: Vec<_> = (0..rows.rows()).filter(|centre| sizes[*centre] >= min_community_size).collect();
    centres.sort_by_key(|centre| (std::cmp::Reverse(sizes[*centre]), *centre));
    let mut taken = vec![false; rows.rows()];
    let mut communities = Vec::new();
    for centre in centres {
        if taken[centre] {
            continue;
        }
        // Scored again: to keep the members of all candidates would take memory for all pairs.
        let mut members = members(rows, centre, threshold, run)?;
        members.retain(|member| !taken[*member]);
        if members.len() < min_community_size {
            continue;
        }
        members.retain(|member| *member != centre);
        members.insert(0, centre);
        members.iter().for_each(|member| taken[*member] = true);
        communities.push(members);
    }
    communities.sort_by_key(|members| std::cmp::Reverse(members.len()));
    Ok(communities)
}

/// Counts the rows close to each row.
fn sizes(rows: MatrixView<'_>, threshold: f32, batch_size: usize, run: Run<'_>) -> Result<Vec<usize>> {
    let sizes: Vec<_> = (0..rows.rows()).map(|_| AtomicUsize::new(0)).collect();
    for first in (0..rows.rows()).step_by(batch_size) {
        let batch = rows.some_rows(first, batch_size);
        similarity::visit(Similarity::Cosine, batch, &rows, run, |tile| {
            for (scores, size) in tile.scores.chunks_exact(tile.columns).zip(&sizes[first + tile.row..]) {
                size.fetch_add(scores.iter().filter(|score| **score >= threshold).count(), Relaxed);
            }
        })?;
        run.observer().progress(first + batch.rows(), rows.rows());
    }
    Ok(sizes.into_iter().map(AtomicUsize::into_inner).collect())
}

/// Returns the rows close to one, the closest first.
fn members(rows: MatrixView<'_>, centre: usize, threshold: f32, run: Run<'_>) -> Result<Vec<usize>> {
    let scores = similarity::similarity(Similarity::Cosine, rows.some_rows(centre, 1), rows, run)?.into_vec();
    let mut members: Vec<_> = (0..rows.rows()).filter(|member| scores[*member] >= threshold).collect();
    members.sort_by(|a, b| falling(scores[*a], scores[*b]));
    Ok(members)
}
