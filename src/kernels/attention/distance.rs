//! Attention biases by distance (Raffel et al., 2020).

use std::ops::Range;

use pulp::Simd;

use crate::kernels::multiply_add;

/// Bias of scores by the distance from query to key, for each head.
pub(crate) struct DistanceBias {
    /// `(heads, 2 * longest - 1)`: the bias of query `q` for key `k` is at column `q - k + longest - 1`.
    pub(super) table: Vec<f32>,
    /// Length of the longest text covered, in tokens. Greater distances share the biases of the greatest one covered.
    pub(super) longest: usize,
}

impl DistanceBias {
    /// Returns the biases of a table `(heads, 2 * longest - 1)`, where that of key `k` for query `q` is at column
    /// `k - q + longest - 1`.
    pub(crate) fn new(table: &[f32], longest: usize) -> Self {
        let turned = table.chunks_exact(2 * longest - 1).flat_map(|head| head.iter().rev().copied());
        Self { table: turned.collect(), longest }
    }

    /// Computes `row * scale + bias` for a key's scores with queries at some positions.
    #[inline(always)]
    pub(super) fn add<S: Simd>(
        &self,
        simd: S,
        row: &mut [f32],
        scale: f32,
        head: usize,
        key: usize,
        queries: Range<usize>,
    ) {
        let columns = 2 * self.longest - 1;
        let table = &self.table[head * columns..][..columns];
        let near = (key + 1).saturating_sub(self.longest).clamp(queries.start, queries.end);
        let far = (key + self.longest).clamp(queries.start, queries.end);
        let (row, after) = row.split_at_mut(far - queries.start);
        let (before, row) = row.split_at_mut(near - queries.start);
        before.iter_mut().for_each(|x| *x = *x * scale + table[0]);
        if near < far {
            add_scaled(simd, row, scale, &table[self.longest - 1 + near - key..][..far - near]);
        }
        after.iter_mut().for_each(|x| *x = *x * scale + table[columns - 1]);
    }
}

/// Computes `row * factor + more`.
#[inline(always)]
fn add_scaled<S: Simd>(simd: S, row: &mut [f32], factor: f32, more: &[f32]) {
    let (vectors, tail) = S::as_mut_simd_f32s(row);
    let (more, last) = S::as_simd_f32s(more);
    for (x, more) in vectors.iter_mut().zip(more) {
        *x = multiply_add(simd, *x, simd.splat_f32s(factor), *more);
    }
    let last = multiply_add(simd, simd.partial_load_f32s(tail), simd.splat_f32s(factor), simd.partial_load_f32s(last));
    simd.partial_store_f32s(tail, last);
}
