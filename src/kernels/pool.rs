//! Pooling: the rows of one text's tokens into one row (sentence-transformers' `Pooling`).

use crate::config::PoolingMode;

/// Pools `tokens`, `(length, width)`, of which the first `skip` rows are the prompt's and don't count, into `out`.
///
/// With nothing left to pool, `cls` is the first token, `max` is -infinity, and all others are 0.
pub(crate) fn pool(mode: PoolingMode, tokens: &[f32], width: usize, skip: usize, out: &mut [f32]) {
    let length = tokens.len() / width;
    let skip = skip.min(length);
    let kept = || tokens.chunks_exact(width).skip(skip);
    let count = (length - skip) as f32;
    match mode {
        PoolingMode::Cls => {
            let first = if skip == length { 0 } else { skip };
            out.copy_from_slice(&tokens[first * width..(first + 1) * width]);
        }
        PoolingMode::LastToken => match kept().next_back() {
            Some(last) => out.copy_from_slice(last),
            None => out.fill(0.0),
        },
        PoolingMode::Max => {
            out.fill(f32::NEG_INFINITY);
            kept().for_each(|row| out.iter_mut().zip(row).for_each(|(out, x)| *out = out.max(*x)));
        }
        PoolingMode::Mean => weighted_sum(out, kept(), |_| 1.0, 1.0 / count.max(1e-9)),
        PoolingMode::MeanSqrtLen => weighted_sum(out, kept(), |_| 1.0, 1.0 / count.max(1e-9).sqrt()),
        PoolingMode::WeightedMean => {
            // Weights are the places 1, 2, … in the whole text, prompt included.
            let weight = |i: usize| (skip + i + 1) as f32;
            let sum: f32 = (0..length - skip).map(weight).sum();
            weighted_sum(out, kept(), weight, 1.0 / sum.max(1e-9));
        }
    }
}

fn weighted_sum<'a>(out: &mut [f32], rows: impl Iterator<Item = &'a [f32]>, weight: impl Fn(usize) -> f32, scale: f32) {
    out.fill(0.0);
    for (i, row) in rows.enumerate() {
        let weight = weight(i);
        out.iter_mut().zip(row).for_each(|(out, x)| *out += weight * x);
    }
    out.iter_mut().for_each(|out| *out *= scale);
}
