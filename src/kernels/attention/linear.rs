//! Linear attention biases, ALiBi (Press et al., 2022), on both sides of a query.

use pulp::Simd;

use crate::kernels::multiply_add;

/// Numbers of the lanes of the widest vector.
const LANES: [f32; 16] = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0];

/// Computes `row * scale - slope * |query - key|` for a key's scores with the queries from position `first` on.
#[inline(always)]
pub(super) fn add<S: Simd>(simd: S, row: &mut [f32], scale: f32, slope: f32, key: usize, first: usize) {
    let (scale, slope) = (simd.splat_f32s(scale), simd.splat_f32s(-slope));
    let biased = |x, distance| multiply_add(simd, x, scale, simd.mul_f32s(slope, simd.abs_f32s(distance)));
    let mut distance = simd.partial_load_f32s(&LANES[..S::F32_LANES]);
    distance = simd.add_f32s(distance, simd.splat_f32s(first as f32 - key as f32));
    let (vectors, tail) = S::as_mut_simd_f32s(row);
    for x in vectors {
        *x = biased(*x, distance);
        distance = simd.add_f32s(distance, simd.splat_f32s(S::F32_LANES as f32));
    }
    let last = biased(simd.partial_load_f32s(tail), distance);
    simd.partial_store_f32s(tail, last);
}
